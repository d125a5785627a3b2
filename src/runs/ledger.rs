//! One run's facts: all in memory, each on disk before it counts.

use super::RunError;
use super::format::{Answer, Open, Record};
use crate::digest::Digest;
use crate::files::{self, Append};
use crate::ids::ItemId;
use serde_json::Value;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub(super) const RECORDS: &str = "records.jsonl";
const OPEN: &str = "open.json";

/// The facts of one run.
#[derive(Debug)]
pub struct Ledger {
    folder: PathBuf,
    log: Append,
    answers: HashMap<Digest, Answer>,
    verdicts: HashMap<Digest, Value>,
}

impl Ledger {
    pub(super) fn open(folder: &Path) -> Result<Self, RunError> {
        let path = folder.join(RECORDS);
        // Opening cuts a last line that a crash tore; every line that is left is whole.
        let log = Append::open(&path)?.ok_or_else(|| RunError::Busy { path: folder.to_owned() })?;
        let folder = folder.to_owned();
        let mut ledger = Self { folder, log, answers: HashMap::new(), verdicts: HashMap::new() };
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

    /// Notes that so many items are asked for, and that some of them are not known yet. If the process dies, this stays.
    pub fn begin(&self, items: usize) -> Result<(), RunError> {
        if open(&self.folder)?.is_some_and(|before| before >= items) {
            return Ok(());
        }
        let text = serde_json::to_string(&Open { items })
            .unwrap_or_else(|_| unreachable!("it has string keys only"));
        Ok(files::write(&self.folder.join(OPEN), text.as_bytes())?)
    }

    /// Notes that so many items were asked for and are known. A larger question that was stopped before stays open.
    pub fn end(&self, items: usize) -> Result<(), RunError> {
        match open(&self.folder)? {
            Some(before) if before <= items => Ok(files::remove_file(&self.folder.join(OPEN))?),
            _ => Ok(()),
        }
    }

    /// Writes an answer down.
    pub fn record_answer(&mut self, key: Digest, item: &ItemId, answer: Answer) -> Result<(), RunError> {
        self.append(&Record::Answer { key, item: item.clone(), answer: answer.clone() })?;
        self.answers.insert(key, answer);
        Ok(())
    }

    /// Writes a verdict down, unless it stands there already: one that is not final is found again and again. `content` is the
    /// digest of the item's row, `answer` the key of what was judged, `took` the time that judging took.
    pub fn record_verdict(
        &mut self,
        key: Digest,
        item: &ItemId,
        content: Digest,
        answer: Digest,
        verdict: Value,
        took: Duration,
    ) -> Result<(), RunError> {
        if self.verdicts.get(&key) == Some(&verdict) {
            return Ok(());
        }
        let (item, content, answer) = (item.clone(), Some(content), Some(answer));
        let seconds = Some(took.as_secs_f64());
        self.append(&Record::Verdict { key, item, content, answer, verdict: verdict.clone(), seconds })?;
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

/// How many items are asked for that are not all known yet.
pub(super) fn open(folder: &Path) -> Result<Option<usize>, RunError> {
    let path = folder.join(OPEN);
    if !files::is_file(&path) {
        return Ok(None);
    }
    let open: Result<Open, _> = serde_json::from_str(&files::read_text(&path)?);
    let open = open.map_err(|e| RunError::Damaged { path, line: e.line(), reason: e.to_string() })?;
    Ok(Some(open.items))
}

/// Every record in a file's text.
pub(super) fn records<'t>(
    path: &'t Path,
    text: &'t str,
) -> impl Iterator<Item = Result<Record, RunError>> + 't {
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
            seconds: Some(0.5),
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
                ledger
                    .record_verdict(key(i + 10), &"x".into(), key(i), key(i), verdict, Duration::ZERO)
                    .unwrap();
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
    fn a_question_stays_open_until_one_as_large_is_answered() {
        let dir = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(dir.path()).unwrap();
        ledger.begin(9).unwrap();
        ledger.begin(2).unwrap();
        ledger.end(2).unwrap();
        assert_eq!(open(dir.path()).unwrap(), Some(9));
        ledger.end(9).unwrap();
        assert_eq!(open(dir.path()).unwrap(), None);
        ledger.end(9).unwrap();
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
