//! Rows: where they are, how they are read, and what names them.

use crate::bench::card::{Card, DataFile};
use crate::bench::error::BenchError;
use crate::bench::rows;
use crate::digest::{Canonical, Digest, sha256};
use crate::files;
use crate::ids::ItemId;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::HashMap;
use std::fmt;
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
    /// The rows of the solved examples that go before it. They change its prompt, and not what it is.
    pub examples: Vec<Arc<Map<String, Value>>>,
}

impl Item {
    /// A question without examples.
    pub fn new(id: ItemId, fields: Map<String, Value>) -> Self {
        Self { id, fields, examples: Vec::new() }
    }

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

/// The files of a split: the only one in the embedded suite; in a data folder those of the first copy that is there.
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
            missing(
                vec![vec![path]],
                "It comes with the project; point at the folder that holds it".to_owned(),
            )
        }
        DataSource::Folder(folder) => {
            let copies = card.dataset.copies(split);
            if copies.is_empty() {
                let has = Split::ALL.into_iter().filter(|s| !card.dataset.copies(*s).is_empty()).collect();
                return Err(BenchError::NoSplit { benchmark: card.id.clone(), split, has });
            }
            let path = |file: &DataFile| folder.join(&file.name);
            let there = |copy: &&Vec<&DataFile>| copy.iter().all(|file| files::is_file(&path(file)));
            if let Some(copy) = copies.iter().find(there) {
                let held = |file: &&DataFile| Held { path: path(file), file: Some((*file).clone()) };
                return Ok(copy.iter().map(held).collect());
            }
            let pull = if copies.iter().any(|copy| copy.iter().all(|file| file.hub.is_some())) {
                format!(", or fetch it with `m3 data pull {} --data {}`", card.id, folder.display())
            } else {
                String::new()
            };
            let tried: Vec<Vec<PathBuf>> = copies
                .iter()
                .map(|copy| copy.iter().map(|f| path(f)).filter(|p| !files::is_file(p)).collect())
                .collect();
            let put = match &tried[..] {
                [one] if one.len() == 1 => "Put it there under this name",
                [_] => "Put all of them there under these names",
                _ => "Put one copy there under its name",
            };
            missing(tried, format!("{put}{pull}; the data is {}", published()))
        }
    }
}

/// Reads a split, and checks what the card says about its files.
pub(super) fn read(card: &Card, data: &DataSource, split: Split) -> Result<Vec<Row>, BenchError> {
    let mut rows = Rows::default();
    for Held { path, file } in locate(card, data, split)? {
        let file = file.as_ref();
        let bytes = files::read(&path)?;
        if let Some(Err(changed)) = file.map(|file| accept(card, file, &path, &bytes)) {
            // That nothing is in it says more than that it was changed.
            let nothing = rows::read(&path, file, bytes).is_ok_and(|rows| rows.is_empty());
            return Err(if nothing { BenchError::NoRows { path } } else { changed });
        }
        let mut raw = rows::read(&path, file, bytes)?;
        if raw.is_empty() {
            return Err(BenchError::NoRows { path });
        }
        if let Some(condition) = file.map(|file| &file.condition) {
            let fits = |raw: &rows::Raw| {
                condition.iter().all(|(key, text)| raw.fields.get(key).and_then(Value::as_str) == Some(text))
            };
            raw.retain(fits);
            if raw.is_empty() {
                return Err(BenchError::NoneFits { path, condition: condition.clone() });
            }
        }
        let found = raw.len();
        match file.and_then(|f| f.rows) {
            Some(expected) if expected != found => {
                return Err(BenchError::Rows { benchmark: card.id.clone(), path, expected, found });
            }
            _ => rows.add(card, &path, raw)?,
        }
    }
    Ok(rows.rows)
}

/// Makes sure that bytes are those that are published for `file`, if that is known.
pub(super) fn accept(card: &Card, file: &DataFile, path: &Path, bytes: &[u8]) -> Result<(), BenchError> {
    let Some(expected) = &file.sha256 else { return Ok(()) };
    let found = sha256(bytes);
    if found == *expected {
        return Ok(());
    }
    let (path, expected, source_note) = (path.to_owned(), expected.clone(), card.source.clone());
    Err(BenchError::Checksum { path, expected, found, source_note })
}

/// What is known of a data file in a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DataState {
    /// It is not there.
    Missing,
    /// It is there, and its bytes are the published ones.
    Right,
    /// It is there, and no checksum is published.
    Unknown,
    /// It is there with another SHA-256 than the published one.
    Wrong {
        /// The SHA-256.
        found: String,
    },
}

impl DataFile {
    /// What is known of it in `folder`. Reads the whole file where there is a checksum.
    pub fn state(&self, folder: &Path) -> Result<DataState, BenchError> {
        let path = folder.join(&self.name);
        if !files::is_file(&path) {
            return Ok(DataState::Missing);
        }
        let Some(expected) = &self.sha256 else { return Ok(DataState::Unknown) };
        let found = sha256(&files::read(&path)?);
        Ok(if found == *expected { DataState::Right } else { DataState::Wrong { found } })
    }
}

/// An item, and the file and the line (from 1) that it was read from.
pub(super) struct Row {
    pub(super) path: Arc<Path>,
    pub(super) line: usize,
    pub(super) item: Item,
}

impl Row {
    /// That its item has not what is needed in a field.
    pub(super) fn lacks(&self, key: &str, wanted: &'static str) -> BenchError {
        field(&self.path, self.line, &self.item.fields, key, wanted)
    }
}

/// That a row has not what is needed in a field.
pub(super) fn field(
    path: &Path,
    line: usize,
    fields: &Map<String, Value>,
    key: &str,
    wanted: &'static str,
) -> BenchError {
    // A key may lead into a field.
    let there = fields.keys().any(|field| key == field || key.starts_with(&format!("{field}.")));
    let has = (!there).then(|| fields.keys().map(|key| format!("`{key}`")).collect());
    BenchError::Field { path: path.to_owned(), line, key: key.to_owned(), wanted, has }
}

#[derive(Default)]
struct Rows {
    rows: Vec<Row>,
    seen: HashMap<ItemId, usize>,
}

impl Rows {
    fn add(&mut self, card: &Card, path: &Path, raw: Vec<rows::Raw>) -> Result<(), BenchError> {
        let path: Arc<Path> = path.into();
        for rows::Raw { line, fields } in raw {
            let fields = renamed(card, fields);
            let id = match named(card, &fields) {
                None => self.rows.len().to_string().into(),
                Some(Ok(id)) => id,
                Some(Err(key)) => {
                    return Err(field(&path, line, &fields, key, "a text or a number"));
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
            self.rows.push(Row { path: Arc::clone(&path), line, item: Item::new(id, fields) });
        }
        Ok(())
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_item_is_its_content_whatever_the_order_of_its_fields() {
        let item = |json: &str| Item::new("0".into(), serde_json::from_str(json).unwrap());
        let a = item(r#"{"q": "1", "a": [1, 2]}"#);
        assert_eq!(a.digest(), item(r#"{"a": [1, 2], "q": "1"}"#).digest());
        assert_ne!(a.digest(), item(r#"{"a": [1, 3], "q": "1"}"#).digest());
        assert_ne!(a.digest(), Item { id: "1".into(), ..a.clone() }.digest());
    }
}
