//! One run's facts: all in memory, each on disk before it counts.

use super::RunError;
use super::format::{Answer, Record};
use crate::digest::Digest;
use crate::files::{self, Append};
use crate::ids::ItemId;
use serde_json::Value;
use std::collections::HashMap;
use std::path::Path;

/// The facts of one run.
#[derive(Debug)]
pub struct Ledger {
    log: Append,
    answers: HashMap<Digest, Answer>,
    verdicts: HashMap<Digest, Value>,
}

impl Ledger {
    pub(super) fn open(folder: &Path) -> Result<Self, RunError> {
        let path = folder.join("records.jsonl");
        // Opening cuts a last line that a crash tore; every line that is left is whole.
        let log = Append::open(&path)?.ok_or_else(|| RunError::Busy { path: folder.to_owned() })?;
        let mut ledger = Self { log, answers: HashMap::new(), verdicts: HashMap::new() };
        for record in records(&path, &files::read_text(&path)?) {
            match record? {
                Record::Answer { key, answer, .. } => {
                    ledger.answers.insert(key, answer);
                }
                Record::Verdict { key, verdict, .. } => {
                    ledger.verdicts.insert(key, verdict);
                }
            }
        }
        Ok(ledger)
    }

    /// The answer with this key, if it is known.
    pub fn answer(&self, key: &Digest) -> Option<&Answer> {
        self.answers.get(key)
    }

    /// The verdict with this key, if it is known.
    pub fn verdict(&self, key: &Digest) -> Option<&Value> {
        self.verdicts.get(key)
    }

    /// Writes an answer down.
    pub fn record_answer(&mut self, key: Digest, item: &ItemId, answer: Answer) -> Result<(), RunError> {
        self.append(&Record::Answer { key, item: item.clone(), answer: answer.clone() })?;
        self.answers.insert(key, answer);
        Ok(())
    }

    /// Writes a verdict down. `content` is the digest of the item's row.
    pub fn record_verdict(
        &mut self,
        key: Digest,
        item: &ItemId,
        content: Digest,
        verdict: Value,
    ) -> Result<(), RunError> {
        let item = item.clone();
        self.append(&Record::Verdict { key, item, content: Some(content), verdict: verdict.clone() })?;
        self.verdicts.insert(key, verdict);
        Ok(())
    }

    /// Makes sure that everything is on disk even if the machine fails. A killed process alone loses nothing.
    pub fn sync(&self) -> Result<(), RunError> {
        Ok(self.log.sync()?)
    }

    fn append(&mut self, record: &Record) -> Result<(), RunError> {
        let line =
            serde_json::to_string(record).unwrap_or_else(|_| unreachable!("records have string keys only"));
        Ok(self.log.line(&line)?)
    }
}

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

/// The verdicts of the run in `folder`, the newest for each key, without opening it for writing: somebody may be at it.
pub fn stored_verdicts(folder: &Path) -> Result<Vec<StoredVerdict>, RunError> {
    let path = folder.join("records.jsonl");
    let text = files::read_text(&path)?;
    // What is behind the last line break is being written right now, or was torn by a crash.
    let whole = &text[..text.rfind('\n').map_or(0, |end| end + 1)];
    let mut found: Vec<StoredVerdict> = Vec::new();
    let mut places: HashMap<Digest, usize> = HashMap::new();
    for record in records(&path, whole) {
        if let Record::Verdict { key, item, content, verdict } = record? {
            let stored = StoredVerdict { item, content, verdict };
            if let Some(&place) = places.get(&key) {
                found[place] = stored;
            } else {
                places.insert(key, found.len());
                found.push(stored);
            }
        }
    }
    Ok(found)
}

/// An answer in a run that is only read.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredAnswer {
    /// The item's name; items of two splits may have the same.
    pub item: ItemId,
    /// The answer.
    pub answer: Answer,
}

/// The answers of the run in `folder`, in the order in which they came, without opening it for writing.
pub fn stored_answers(folder: &Path) -> Result<Vec<StoredAnswer>, RunError> {
    let path = folder.join("records.jsonl");
    let text = files::read_text(&path)?;
    let whole = &text[..text.rfind('\n').map_or(0, |end| end + 1)];
    let answer = |record: Result<Record, RunError>| match record {
        Ok(Record::Answer { item, answer, .. }) => Some(Ok(StoredAnswer { item, answer })),
        Ok(Record::Verdict { .. }) => None,
        Err(e) => Some(Err(e)),
    };
    records(&path, whole).filter_map(answer).collect()
}

/// Every record in a file's text.
fn records<'t>(path: &'t Path, text: &'t str) -> impl Iterator<Item = Result<Record, RunError>> + 't {
    text.lines().enumerate().map(move |(number, line)| {
        serde_json::from_str(line).map_err(|e| RunError::Damaged {
            path: path.to_owned(),
            line: number + 1,
            reason: e.to_string(),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::completion::Finish;

    fn answer(text: &str) -> Answer {
        Answer {
            prompt: Digest::of_bytes(b"prompt"),
            text: Ok(text.to_owned()),
            prompt_tokens: 3,
            generated_tokens: 2,
            finish: Some(Finish::EndOfText),
        }
    }

    #[test]
    fn cut_at_any_byte_the_whole_records_stay_and_the_run_goes_on() {
        let dir = tempfile::tempdir().unwrap();
        let key = |i: u8| Digest::of_bytes(&[i]);
        {
            let mut ledger = Ledger::open(dir.path()).unwrap();
            for i in 0..3 {
                ledger.record_answer(key(i), &"x".into(), answer("a\nb ü")).unwrap();
                let verdict = serde_json::json!({ "value": i });
                ledger.record_verdict(key(i + 10), &"x".into(), key(i), verdict).unwrap();
            }
        }
        let path = dir.path().join("records.jsonl");
        let whole = files::read(&path).unwrap();
        for cut in 0..=whole.len() {
            files::write(&path, &whole[..cut]).unwrap();
            let records = whole[..cut].split(|b| *b == b'\n').count() - 1;
            let mut ledger = Ledger::open(dir.path()).unwrap();
            assert_eq!(ledger.answers.len() + ledger.verdicts.len(), records, "cut at {cut}");
            ledger.record_answer(key(99), &"y".into(), answer("z")).unwrap();
            drop(ledger);
            let again = Ledger::open(dir.path()).unwrap();
            assert_eq!(again.answer(&key(99)), Some(&answer("z")), "cut at {cut}");
        }
    }

    #[test]
    fn one_process_writes_a_run() {
        let dir = tempfile::tempdir().unwrap();
        let _first = Ledger::open(dir.path()).unwrap();
        let second = Ledger::open(dir.path()).unwrap_err();
        assert!(second.to_string().contains("another m3"), "{second}");
    }

    #[test]
    fn a_line_that_is_no_record_is_named() {
        let dir = tempfile::tempdir().unwrap();
        files::write(&dir.path().join("records.jsonl"), b"{\"kind\":\"dance\"}\n").unwrap();
        let e = Ledger::open(dir.path()).unwrap_err().to_string();
        assert!(e.contains("line 1") && e.contains("dance"), "{e}");
    }
}
