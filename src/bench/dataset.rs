//! Rows: where they are, how they are read, and what names them.

use crate::bench::card::{Card, DataFile};
use crate::bench::error::BenchError;
use crate::digest::{Canonical, Digest};
use crate::files;
use crate::ids::ItemId;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};
use std::collections::HashMap;
use std::fmt::{self, Write as _};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

/// A part of a data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Split {
    /// What models are trained on.
    Train,
    /// What a search chooses on.
    Validation,
    /// What is reported.
    Test,
}

impl Split {
    /// Every split.
    pub const ALL: [Self; 3] = [Self::Train, Self::Validation, Self::Test];

    /// The name in cards, files and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Validation => "validation",
            Self::Test => "test",
        }
    }

    /// Every name.
    pub fn names() -> [&'static str; 3] {
        Self::ALL.map(Self::name)
    }
}

impl fmt::Display for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Split {
    type Err = BenchError;
    fn from_str(name: &str) -> Result<Self, BenchError> {
        Self::ALL
            .into_iter()
            .find(|s| s.name() == name)
            .ok_or_else(|| BenchError::UnknownSplit { name: name.to_owned() })
    }
}

/// Where rows are read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DataSource {
    /// The folder of the suite that comes with the project, with `<set>/<split>.jsonl` in it.
    Embedded(PathBuf),
    /// A folder with the published files, under the names that the cards give.
    Folder(PathBuf),
}

/// One question.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// Its name.
    pub id: ItemId,
    /// The row, with the card's field names.
    pub fields: Map<String, Value>,
}

impl Item {
    /// A field that holds text.
    pub fn text(&self, key: &str) -> Option<&str> {
        self.fields.get(key).and_then(Value::as_str)
    }

    /// What the row *is*; part of the key of every answer and verdict. The order of the fields does not matter.
    pub fn digest(&self) -> Digest {
        let mut fields: Vec<_> = self.fields.iter().collect();
        fields.sort_by_key(|(key, _)| *key);
        fields
            .into_iter()
            .fold(Canonical::new("m3/bench/item/1").text("id", self.id.as_str()), |form, (key, value)| {
                form.text(key, &value.to_string())
            })
            .finish()
    }
}

/// A file that holds a split or a part of it, and what the card says about it.
pub(super) struct Held {
    pub(super) path: PathBuf,
    pub(super) file: Option<DataFile>,
}

/// The files of a split: the only one in the embedded suite; in a data folder the first that is there, or all of them
/// where the card says so.
pub(super) fn locate(card: &Card, data: &DataSource, split: Split) -> Result<Vec<Held>, BenchError> {
    let missing = |tried, what_to_do| {
        Err(BenchError::MissingData { benchmark: card.id.clone(), split, tried, what_to_do })
    };
    let published = || format!("{} ({})", card.source, card.licence);
    match data {
        DataSource::Embedded(suite) => {
            let Some(embedded) = &card.dataset.embedded else {
                return Err(BenchError::NotEmbedded { benchmark: card.id.clone(), published: published() });
            };
            let path = suite.join(embedded).join(format!("{split}.jsonl"));
            if files::is_file(&path) {
                return Ok(vec![Held { path, file: None }]);
            }
            missing(vec![path], "It comes with the project; point at the folder that holds it".to_owned())
        }
        DataSource::Folder(folder) => {
            let held = card.dataset.files.iter().filter(|f| f.split == split);
            let held: Vec<_> =
                held.map(|file| Held { path: folder.join(&file.name), file: Some(file.clone()) }).collect();
            if held.is_empty() {
                let has = Split::ALL
                    .into_iter()
                    .filter(|s| card.dataset.files.iter().any(|f| f.split == *s))
                    .collect();
                return Err(BenchError::NoSplit { benchmark: card.id.clone(), split, has });
            }
            let (there, not): (Vec<_>, Vec<_>) = held.into_iter().partition(|h| files::is_file(&h.path));
            let enough = if card.dataset.all_files { not.is_empty() } else { !there.is_empty() };
            if !enough {
                let them = if card.dataset.all_files { "all of them" } else { "one of them" };
                let what_to_do = format!("Put {them} there under these names; the data is {}", published());
                return missing(not.into_iter().map(|h| h.path).collect(), what_to_do);
            }
            let wanted = if card.dataset.all_files { there.len() } else { 1 };
            Ok(there.into_iter().take(wanted).collect())
        }
    }
}

/// Reads a split, and checks what the card says about its files.
pub(super) fn read(card: &Card, data: &DataSource, split: Split) -> Result<Vec<Row>, BenchError> {
    let mut rows = Rows::default();
    for Held { path, file } in locate(card, data, split)? {
        let before = rows.rows.len();
        let text = files::read_text(&path)?;
        let file = file.as_ref();
        if let Some(expected) = file.and_then(|f| f.sha256.as_ref()) {
            let found = sha256(text.as_bytes());
            if found != *expected {
                let (expected, source_note) = (expected.clone(), card.source.clone());
                return Err(BenchError::Checksum { path, expected, found, source_note });
            }
        }
        rows.parse(card, &path, file, &text)?;
        let found = rows.rows.len() - before;
        match file.and_then(|f| f.rows) {
            Some(expected) if expected != found => {
                return Err(BenchError::Rows { benchmark: card.id.clone(), path, expected, found });
            }
            _ => {}
        }
    }
    Ok(rows.rows)
}

/// An item, and the file and the line (from 1) that it was read from.
pub(super) struct Row {
    pub(super) path: Arc<Path>,
    pub(super) line: usize,
    pub(super) item: Item,
}

#[derive(Default)]
struct Rows {
    rows: Vec<Row>,
    seen: HashMap<ItemId, usize>,
}

impl Rows {
    fn parse(
        &mut self,
        card: &Card,
        path: &Path,
        file: Option<&DataFile>,
        text: &str,
    ) -> Result<(), BenchError> {
        let path: Arc<Path> = path.into();
        let table = file.filter(|f| f.is_tsv());
        let header = usize::from(table.is_some_and(|f| f.header));
        for (index, line_text) in text.lines().enumerate().skip(header) {
            if line_text.trim().is_empty() {
                continue;
            }
            let line = index + 1;
            let raw = match table {
                Some(file) => tab_separated(&path, line, &file.columns, line_text)?,
                None => object(&path, line, line_text)?,
            };
            let fields = renamed(card, raw);
            let id = match named(card, &fields) {
                None => self.rows.len().to_string().into(),
                Some(Ok(id)) => id,
                Some(Err(key)) => {
                    let (path, wanted) = (path.to_path_buf(), "a text or a number");
                    return Err(BenchError::Field { path, line, key: key.to_owned(), wanted });
                }
            };
            if let Some(&first) = self.seen.get(&id) {
                let first = &self.rows[first];
                return Err(BenchError::Duplicate {
                    path: path.to_path_buf(),
                    line,
                    first: first.line,
                    first_path: first.path.to_path_buf(),
                    id,
                });
            }
            self.seen.insert(id.clone(), self.rows.len());
            self.rows.push(Row { path: Arc::clone(&path), line, item: Item { id, fields } });
        }
        Ok(())
    }
}

/// One line of JSON Lines.
pub(super) fn object(path: &Path, line: usize, text: &str) -> Result<Map<String, Value>, BenchError> {
    serde_json::from_str(text).map_err(|source| BenchError::Row { path: path.to_owned(), line, source })
}

/// One line of tab-separated values. Quotation marks are characters like others, as in GLUE's files.
fn tab_separated(
    path: &Path,
    line: usize,
    columns: &[String],
    text: &str,
) -> Result<Map<String, Value>, BenchError> {
    let found = text.split('\t').count();
    if found != columns.len() {
        return Err(BenchError::Columns { path: path.to_owned(), line, found, expected: columns.to_owned() });
    }
    Ok(columns.iter().cloned().zip(text.split('\t').map(Value::from)).collect())
}

/// The row under the card's field names. A row may have a field under both names: its own name wins.
pub(super) fn renamed(card: &Card, raw: Map<String, Value>) -> Map<String, Value> {
    let (others, mut fields): (Map<_, _>, Map<_, _>) =
        raw.into_iter().partition(|(key, _)| card.dataset.aliases.contains_key(key));
    for (key, value) in others {
        fields.entry(card.dataset.aliases[&key].as_str()).or_insert(value);
    }
    fields
}

/// What names a row: the field that the card says, or the field's name if it does not hold a name; nothing where the
/// row's number does.
fn named<'c>(card: &'c Card, fields: &Map<String, Value>) -> Option<Result<ItemId, &'c str>> {
    let key = card.dataset.id_field.as_deref()?;
    Some(fields.get(key).and_then(name_in).ok_or(key))
}

/// The name in a field.
pub(super) fn name_in(value: &Value) -> Option<ItemId> {
    match value {
        Value::String(id) => Some(id.as_str().into()),
        Value::Number(id) => Some(id.to_string().into()),
        _ => None,
    }
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::with_capacity(64), |mut hex, byte| {
        // Writing into a `String` cannot fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sha256_of_the_standard_example() {
        // FIPS 180-2, appendix B.1.
        assert_eq!(sha256(b"abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }

    #[test]
    fn an_item_is_its_content_whatever_the_order_of_its_fields() {
        let item = |json: &str| Item { id: "0".into(), fields: serde_json::from_str(json).unwrap() };
        let a = item(r#"{"q": "1", "a": [1, 2]}"#);
        assert_eq!(a.digest(), item(r#"{"a": [1, 2], "q": "1"}"#).digest());
        assert_ne!(a.digest(), item(r#"{"a": [1, 3], "q": "1"}"#).digest());
        assert_ne!(a.digest(), Item { id: "1".into(), ..a.clone() }.digest());
    }
}
