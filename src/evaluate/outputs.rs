//! Scores answers that were generated elsewhere, and keeps the verdicts in a file of their own.

use super::{EvaluateError, VerdictFileError};
use crate::bench::{Answered, Measure, Profile, Tools, Verdict};
use crate::digest::Digest;
use crate::event::{Event, Observer};
use crate::files;
use crate::ids::{BenchmarkId, ItemId};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::time::Instant;

/// Every measure's verdicts, in the order of `answered`; nothing if the user asked to stop.
pub fn score_outputs(
    work: &str,
    measures: &[Measure<'_>],
    answered: &[Answered],
    tools: &Tools<'_>,
    watch: &dyn Observer,
) -> Option<Vec<Vec<Verdict>>> {
    watch.observe(&Event::Started { work, total: Some(answered.len() as u64), unit: "items" });
    let begun = Instant::now();
    let score = |Answered { item, output }: &Answered| {
        if watch.stop_requested() {
            return None;
        }
        let verdicts: Vec<Verdict> = measures.iter().map(|m| m.score(item, output, tools)).collect();
        watch.observe(&Event::Advanced { by: 1 });
        Some(verdicts)
    };
    let by_item: Option<Vec<Vec<Verdict>>> = answered.par_iter().map(score).collect();
    watch.observe(&Event::Finished { took: begun.elapsed() });
    let mut by_measure = vec![Vec::with_capacity(answered.len()); measures.len()];
    for verdicts in by_item? {
        for (all, verdict) in by_measure.iter_mut().zip(verdicts) {
            all.push(verdict);
        }
    }
    Some(by_measure)
}

/// One line of a file of verdicts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VerdictRow {
    /// Which benchmark.
    pub benchmark: BenchmarkId,
    /// Whose rules.
    pub profile: Profile,
    /// Which of the profile's figures.
    pub metric: String,
    /// Which item.
    pub id: ItemId,
    /// What the item is, where it is one of a data set: two with one name may be of different sets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item: Option<Digest>,
    /// What its answer is worth.
    #[serde(flatten)]
    pub verdict: Verdict,
}

/// Writes a file of verdicts, whole or not at all.
pub fn write_verdicts<'r>(
    path: &Path,
    rows: impl IntoIterator<Item = &'r VerdictRow>,
) -> Result<(), EvaluateError> {
    let mut text = String::new();
    for row in rows {
        let line = serde_json::to_string(row).unwrap_or_else(|_| unreachable!("keys are strings"));
        text.push_str(&line);
        text.push('\n');
    }
    Ok(files::write(path, text.as_bytes())?)
}

/// Reads a file of verdicts.
pub fn read_verdicts(path: &Path) -> Result<Vec<VerdictRow>, EvaluateError> {
    let text = files::read_text(path)?;
    let rows: Vec<VerdictRow> = text
        .lines()
        .enumerate()
        .map(|(index, line)| {
            serde_json::from_str(line).map_err(|source| VerdictFileError {
                path: path.to_owned(),
                line: index + 1,
                source: Some(source),
            })
        })
        .collect::<Result<_, _>>()?;
    if rows.is_empty() {
        return Err(VerdictFileError { path: path.to_owned(), line: 1, source: None }.into());
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts_are_read_as_they_were_written() {
        let row = |id: &str, verdict| VerdictRow {
            benchmark: "gsm8k".into(),
            profile: Profile::Paper,
            metric: "exact_match".into(),
            id: id.into(),
            item: None,
            verdict,
        };
        let rows = [row("0", Verdict::correct("5")), row("1", Verdict::no_answer())];
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("v.jsonl");
        write_verdicts(&path, &rows).unwrap();
        assert_eq!(read_verdicts(&path).unwrap(), rows);
        let first = files::read_text(&path).unwrap().lines().next().unwrap().to_owned();
        assert_eq!(
            first,
            r#"{"benchmark":"gsm8k","profile":"paper","metric":"exact_match","id":"0","verdict":"scored","value":1.0,"extracted":"5","reason":{"is":"correct"}}"#
        );
        for (damaged, said) in [("", "is empty"), ("{}\n", "line 1"), ("x", "line 1")] {
            files::write(&path, damaged.as_bytes()).unwrap();
            let e = read_verdicts(&path).unwrap_err().to_string();
            assert!(e.contains(said) && e.contains("m3 score"), "{e}");
        }
    }
}
