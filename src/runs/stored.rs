//! Runs that are only read, without opening them for writing: somebody may be at them.

use super::RunError;
use super::format::{Answer, Record, RunManifest, VERSION};
use super::ledger::{RECORDS, open, records};
use crate::digest::Digest;
use crate::files;
use crate::ids::{ItemId, RunId};
use serde::Deserialize;
use serde_json::Value;
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// A verdict in a run that is only read.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredVerdict {
    /// The item's name.
    pub item: ItemId,
    /// The digest of its row, which older records do not have.
    pub content: Option<Digest>,
    /// The verdict, in the words of the benchmark room.
    pub verdict: Value,
}

/// An answer in a run.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredAnswer {
    /// The item's name; items of two splits may have the same.
    pub item: ItemId,
    /// The answer.
    pub answer: Answer,
}

/// What a run knows of one item: an answer, what it was worth, or both.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredItem {
    /// The item's name.
    pub item: ItemId,
    /// The digest of its row; older records, and answers without a verdict, do not have it.
    pub content: Option<Digest>,
    /// The answer. An older record does not say which one it judged; it is found by the item's name if only one answer has that.
    pub answer: Option<Answer>,
    /// The newest verdict, in the words of the benchmark room.
    pub verdict: Option<Value>,
}

/// What is in a run's folder.
#[derive(Clone, Debug)]
pub struct Content {
    /// What the run is.
    pub manifest: RunManifest,
    /// Its items in the order in which they were judged; behind them those that were answered only.
    pub items: Vec<StoredItem>,
    /// How many items an evaluation asked for that has not come to its end.
    pub open: Option<usize>,
}

/// A run's folder.
#[derive(Debug)]
pub struct StoredRun {
    /// Its name in the store: the first digits of its key.
    pub id: RunId,
    /// The folder.
    pub folder: PathBuf,
    /// Bytes of all its files.
    pub bytes: u64,
    /// When one of its files was written last.
    pub changed: SystemTime,
    /// What is in it, or why it cannot be read.
    pub content: Result<Content, RunError>,
}

impl StoredRun {
    /// Reads the run in `folder`.
    pub fn read(folder: &Path) -> Result<Self, RunError> {
        let name = folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        // The folder's own size says nothing about the run.
        let (mut bytes, mut changed) = (0, files::measure(folder)?.1);
        for file in files::list(folder)? {
            // A file that is being replaced may be gone by now.
            let Ok((length, when)) = files::measure(&file) else { continue };
            bytes += length;
            changed = changed.max(when);
        }
        Ok(Self { id: name.into(), folder: folder.to_owned(), bytes, changed, content: content(folder) })
    }
}

/// Every run of the store at `root`, in the order of their names.
pub fn stored_runs(root: &Path) -> Result<Vec<StoredRun>, RunError> {
    folders(root)?.iter().map(|folder| StoredRun::read(folder)).collect()
}

/// The run whose key begins with `key`.
pub fn find(root: &Path, key: &str) -> Result<StoredRun, RunError> {
    let begins = |folder: &&PathBuf| folder.file_name().is_some_and(|n| n.to_string_lossy().starts_with(key));
    let all = folders(root)?;
    let found: Vec<&PathBuf> = all.iter().filter(begins).collect();
    match found.as_slice() {
        [one] => StoredRun::read(one),
        other => Err(RunError::Key { key: key.to_owned(), path: root.to_owned(), found: other.len() }),
    }
}

fn folders(root: &Path) -> Result<Vec<PathBuf>, RunError> {
    let runs = root.join("runs");
    if !files::is_folder(&runs) {
        return Err(RunError::NoStore { path: root.to_owned() });
    }
    Ok(files::list(&runs)?.into_iter().filter(|path| files::is_folder(path)).collect())
}

fn content(folder: &Path) -> Result<Content, RunError> {
    let manifest = manifest(folder)?;
    Ok(Content { manifest, items: items(folder)?, open: open(folder)? })
}

/// What the run in `folder` is.
pub fn manifest(folder: &Path) -> Result<RunManifest, RunError> {
    #[derive(Deserialize)]
    struct Version {
        version: u32,
    }
    let path = folder.join("run.json");
    let text = files::read_text(&path)?;
    let damaged = |e: serde_json::Error| RunError::Damaged {
        path: path.clone(),
        line: e.line(),
        reason: e.to_string(),
    };
    let Version { version } = serde_json::from_str(&text).map_err(damaged)?;
    if version > VERSION {
        return Err(RunError::Newer { path, found: version, readable: VERSION });
    }
    serde_json::from_str(&text).map_err(damaged)
}

/// The verdicts of the run in `folder`, the newest for each key.
pub fn stored_verdicts(folder: &Path) -> Result<Vec<StoredVerdict>, RunError> {
    let judged = |StoredItem { item, content, verdict, .. }| {
        verdict.map(|verdict| StoredVerdict { item, content, verdict })
    };
    Ok(items(folder)?.into_iter().filter_map(judged).collect())
}

/// The answers of the run in `folder`, in the order in which they came.
pub fn stored_answers(folder: &Path) -> Result<Vec<StoredAnswer>, RunError> {
    let answer = |record: Record| match record {
        Record::Answer { item, answer, .. } => Some(StoredAnswer { item, answer }),
        Record::Verdict { .. } => None,
    };
    Ok(whole_records(folder)?.into_iter().filter_map(answer).collect())
}

/// The records that are whole: what is behind the last line break is being written right now, or was torn by a crash, maybe
/// within a letter. A run that has only just begun has none.
fn whole_records(folder: &Path) -> Result<Vec<Record>, RunError> {
    let path = folder.join(RECORDS);
    if !files::is_file(&path) {
        return Ok(Vec::new());
    }
    let bytes = files::read(&path)?;
    let end = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    records(&path, &String::from_utf8_lossy(&bytes[..end])).collect()
}

fn items(folder: &Path) -> Result<Vec<StoredItem>, RunError> {
    let mut judged: Vec<(Option<Digest>, StoredItem)> = Vec::new();
    let mut places: HashMap<Digest, usize> = HashMap::new();
    let mut answers: HashMap<Digest, Answer> = HashMap::new();
    let mut answered: Vec<(Digest, ItemId)> = Vec::new();
    let mut named: HashMap<ItemId, Vec<Digest>> = HashMap::new();
    for record in whole_records(folder)? {
        match record {
            Record::Answer { key, item, answer } => {
                if answers.insert(key, answer).is_none() {
                    named.entry(item.clone()).or_default().push(key);
                    answered.push((key, item));
                }
            }
            Record::Verdict { key, item, content, answer, verdict, .. } => {
                let stored = (answer, StoredItem { item, content, answer: None, verdict: Some(verdict) });
                if let Some(&place) = places.get(&key) {
                    judged[place] = stored;
                } else {
                    places.insert(key, judged.len());
                    judged.push(stored);
                }
            }
        }
    }
    let mut used = HashSet::new();
    for (key, item) in &mut judged {
        let only = || named.get(&item.item).filter(|keys| keys.len() == 1).map(|keys| keys[0]);
        if let Some(key) = key.or_else(only) {
            item.answer = answers.get(&key).cloned();
            used.insert(key);
        }
    }
    let old = judged.iter().any(|(_, item)| item.answer.is_none());
    let waiting = answered.into_iter().filter(|(key, item)| {
        // An older record may have judged it without saying so.
        !(used.contains(key) || old && judged.iter().any(|(_, judged)| judged.item == *item))
    });
    let waiting: Vec<StoredItem> = waiting
        .map(|(key, item)| StoredItem {
            item,
            content: None,
            answer: answers.get(&key).cloned(),
            verdict: None,
        })
        .collect();
    Ok(judged.into_iter().map(|(_, item)| item).chain(waiting).collect())
}
