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

/// The file of a split: the only one in the embedded suite, the first that is there in a data folder.
pub(super) fn locate(
    card: &Card,
    data: &DataSource,
    split: Split,
) -> Result<(PathBuf, Option<DataFile>), BenchError> {
    let missing = |tried, what_to_do| {
        Err(BenchError::MissingData { benchmark: card.id.clone(), split, tried, what_to_do })
    };
    match data {
        DataSource::Embedded(suite) => {
            let path = suite.join(&card.dataset.embedded).join(format!("{split}.jsonl"));
            if files::is_file(&path) {
                return Ok((path, None));
            }
            missing(vec![path], "It comes with the project; point at the folder that holds it".to_owned())
        }
        DataSource::Folder(folder) => {
            let held: Vec<_> = card.dataset.files.iter().filter(|f| f.split == split).collect();
            if held.is_empty() {
                let has = Split::ALL
                    .into_iter()
                    .filter(|s| card.dataset.files.iter().any(|f| f.split == *s))
                    .collect();
                return Err(BenchError::NoSplit { benchmark: card.id.clone(), split, has });
            }
            let there = held.iter().find(|f| files::is_file(&folder.join(&f.name)));
            if let Some(file) = there {
                return Ok((folder.join(&file.name), Some((*file).clone())));
            }
            let tried = held.iter().map(|f| folder.join(&f.name)).collect();
            missing(tried, format!("Put it there under that name; it is {} ({})", card.source, card.licence))
        }
    }
}

/// Reads a split, and checks what the card says about its file.
pub(super) fn read(card: &Card, data: &DataSource, split: Split) -> Result<(PathBuf, Vec<Row>), BenchError> {
    let (path, file) = locate(card, data, split)?;
    let text = files::read_text(&path)?;
    let file = file.as_ref();
    if let Some(expected) = file.and_then(|f| f.sha256.as_ref()) {
        let found = sha256(text.as_bytes());
        if found != *expected {
            let (expected, source_note) = (expected.clone(), card.source.clone());
            return Err(BenchError::Checksum { path, expected, found, source_note });
        }
    }
    let rows = parse(card, &path, &text)?;
    match file.and_then(|f| f.rows) {
        Some(expected) if expected != rows.len() => {
            Err(BenchError::Rows { benchmark: card.id.clone(), path, expected, found: rows.len() })
        }
        _ => Ok((path, rows)),
    }
}

/// An item and the line (from 1) that it was read from.
pub(super) struct Row {
    pub(super) line: usize,
    pub(super) item: Item,
}

fn parse(card: &Card, path: &Path, text: &str) -> Result<Vec<Row>, BenchError> {
    let mut rows = Vec::new();
    let mut seen: HashMap<ItemId, usize> = HashMap::new();
    for (index, line_text) in text.lines().enumerate() {
        if line_text.trim().is_empty() {
            continue;
        }
        let line = index + 1;
        let raw: Map<String, Value> = serde_json::from_str(line_text).map_err(|source| BenchError::Row {
            path: path.to_owned(),
            line,
            source,
        })?;
        let (renamed, mut fields): (Map<_, _>, Map<_, _>) =
            raw.into_iter().partition(|(key, _)| card.dataset.aliases.contains_key(key));
        for (key, value) in renamed {
            // A row may have a field under both names: its own name wins.
            fields.entry(card.dataset.aliases[&key].as_str()).or_insert(value);
        }
        let id = match &card.dataset.id_field {
            None => rows.len().to_string(),
            Some(key) => match fields.get(key) {
                Some(Value::String(id)) => id.clone(),
                Some(Value::Number(id)) => id.to_string(),
                _ => {
                    let (path, key) = (path.to_owned(), key.clone());
                    return Err(BenchError::Field { path, line, key, wanted: "a text or a number" });
                }
            },
        };
        let id = ItemId::from(id);
        if let Some(&first) = seen.get(&id) {
            return Err(BenchError::Duplicate { path: path.to_owned(), line, first, id });
        }
        seen.insert(id.clone(), line);
        rows.push(Row { line, item: Item { id, fields } });
    }
    Ok(rows)
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
