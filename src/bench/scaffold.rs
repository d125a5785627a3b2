//! What a new benchmark begins with: a folder that works, to be changed piece by piece.

use crate::bench::error::BenchError;
use crate::bench::registry::NAMES;
use crate::files::{self, Staged};
use std::path::Path;

/// The files of a new benchmark, and where they stand in its folder. `NAME` is the folder's name.
const FILES: [(&str, &str); 4] = [
    ("benchmark.toml", include_str!("scaffold/benchmark.toml")),
    ("prompt.jinja", include_str!("scaffold/prompt.jinja")),
    ("cases.json", include_str!("scaffold/cases.json")),
    ("data/test.jsonl", include_str!("scaffold/test.jsonl")),
];

/// Begins a benchmark in `folder`, which must not exist yet and is named after it.
pub fn scaffold(folder: &Path) -> Result<Vec<&'static str>, BenchError> {
    let name = folder.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if name.is_empty() || !name.chars().all(fits) {
        return Err(BenchError::NewName { folder: folder.to_owned() });
    }
    if NAMES.contains(&name) {
        return Err(BenchError::NewTaken { name: name.to_owned() });
    }
    if files::exists(folder) {
        return Err(BenchError::NewExists { folder: folder.to_owned() });
    }
    let staged = Staged::new(folder)?;
    for (path, text) in FILES {
        let path = staged.path().join(path);
        files::create_folder(path.parent().unwrap_or(staged.path()))?;
        files::write(&path, text.replace("NAME", name).as_bytes())?;
    }
    staged.commit()?;
    Ok(FILES.iter().map(|(path, _)| *path).collect())
}
