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
        for (number, line) in files::read_text(&path)?.lines().enumerate() {
            match serde_json::from_str(line) {
                Ok(Record::Answer { key, answer, .. }) => {
                    ledger.answers.insert(key, answer);
                }
                Ok(Record::Verdict { key, verdict, .. }) => {
                    ledger.verdicts.insert(key, verdict);
                }
                Err(e) => {
                    return Err(RunError::Damaged { path, line: number + 1, reason: e.to_string() });
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

    /// Writes a verdict down.
    pub fn record_verdict(&mut self, key: Digest, item: &ItemId, verdict: Value) -> Result<(), RunError> {
        self.append(&Record::Verdict { key, item: item.clone(), verdict: verdict.clone() })?;
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
                ledger.record_verdict(key(i + 10), &"x".into(), serde_json::json!({ "value": i })).unwrap();
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
