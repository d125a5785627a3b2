//! alpaca_eval's `model_outputs.json`: what a model answered to each instruction; and two such files put together.

use super::JudgeError;
use super::error::shown;
use crate::files;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};

/// One answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OutputRow {
    /// Which part of the evaluation set the instruction is from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dataset: Option<String>,
    /// What was asked.
    pub instruction: String,
    /// What was answered.
    pub output: String,
    /// Who answered.
    #[serde(default)]
    pub generator: String,
    /// What else the file says, kept as it is.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

/// A model's answers, in the order of the file.
#[derive(Clone, Debug, PartialEq)]
pub struct OutputsFile {
    /// Where they were read.
    pub path: PathBuf,
    /// The answers; each instruction once.
    pub rows: Vec<OutputRow>,
}

/// An instruction with the two answers to be compared.
#[derive(Clone, Debug, PartialEq)]
pub struct Pair {
    /// Which part of the evaluation set it is from.
    pub dataset: Option<String>,
    /// What was asked.
    pub instruction: String,
    /// The reference's answer.
    pub output_1: String,
    /// The model's answer.
    pub output_2: String,
    /// Who the reference is.
    pub generator_1: String,
    /// Who the model is.
    pub generator_2: String,
}

impl OutputsFile {
    /// Reads a file: a JSON array, or one object a line. The same answer to the same instruction twice counts once.
    pub fn read(path: &Path) -> Result<Self, JudgeError> {
        let bad = |reason: String| JudgeError::BadOutputs { path: path.to_owned(), reason };
        let text = files::read_text(path)?;
        let rows: Vec<OutputRow> = if text.trim_start().starts_with('[') {
            serde_json::from_str(&text).map_err(|e| bad(e.to_string()))?
        } else {
            let lines = text.lines().zip(1..).filter(|(line, _)| !line.trim().is_empty());
            let row = |(line, number): (&str, usize)| {
                serde_json::from_str(line).map_err(|e| bad(format!("line {number}: {e}")))
            };
            lines.map(row).collect::<Result<_, _>>()?
        };
        let stem = path.file_stem().map_or_else(|| "model".into(), |s| s.to_string_lossy());
        Self::of(path, rows, &stem)
    }

    /// Checks answers that were read or made. `generator` is the name of those that have none.
    pub fn of(path: &Path, rows: Vec<OutputRow>, generator: &str) -> Result<Self, JudgeError> {
        let bad = |reason: String| JudgeError::BadOutputs { path: path.to_owned(), reason };
        if rows.is_empty() {
            return Err(bad("it has no rows".into()));
        }
        let mut first: HashMap<String, String> = HashMap::new();
        let mut twice: Vec<String> = Vec::new();
        let mut kept = Vec::with_capacity(rows.len());
        for mut row in rows {
            if row.generator.is_empty() {
                generator.clone_into(&mut row.generator);
            }
            match first.get(&row.instruction) {
                None => {
                    first.insert(row.instruction.clone(), row.output.clone());
                    kept.push(row);
                }
                Some(output) if *output == row.output => {}
                Some(_) => twice.push(row.instruction),
            }
        }
        if !twice.is_empty() {
            twice.dedup();
            let texts: Vec<&str> = twice.iter().map(String::as_str).collect();
            return Err(JudgeError::Twice {
                path: path.to_owned(),
                count: twice.len(),
                shown: shown(&texts),
            });
        }
        let names: BTreeSet<&str> = kept.iter().map(|r| r.generator.as_str()).collect();
        if names.len() > 1 {
            let found = names.into_iter().collect::<Vec<_>>().join(", ");
            return Err(JudgeError::Several { path: path.to_owned(), what: "generator", found });
        }
        Ok(Self { path: path.to_owned(), rows: kept })
    }

    /// Who answered.
    pub fn generator(&self) -> &str {
        self.rows.first().map_or("", |row| &row.generator)
    }

    /// Puts the model's answers beside the reference's, in the reference's order. Instructions that only one side has are
    /// an error that lists them, or left out if `partial`.
    pub fn against(&self, reference: &Self, partial: bool) -> Result<Vec<Pair>, JudgeError> {
        let mine: HashMap<&str, &OutputRow> = self.rows.iter().map(|r| (r.instruction.as_str(), r)).collect();
        let theirs: HashSet<&str> = reference.rows.iter().map(|r| r.instruction.as_str()).collect();
        let only = |rows: &'_ [OutputRow], known: &dyn Fn(&str) -> bool| -> Vec<String> {
            rows.iter().map(|r| &r.instruction).filter(|i| !known(i)).cloned().collect()
        };
        let missing = only(&reference.rows, &|i| mine.contains_key(i));
        let extra = only(&self.rows, &|i| theirs.contains(i));
        if !(partial || missing.is_empty() && extra.is_empty()) {
            let list = |texts: &[String]| match texts {
                [] => String::new(),
                texts => format!(" ({})", shown(&texts.iter().map(String::as_str).collect::<Vec<_>>())),
            };
            return Err(JudgeError::Mismatch {
                outputs: self.path.clone(),
                reference: reference.path.clone(),
                missing: missing.len(),
                shown_missing: list(&missing),
                extra: extra.len(),
                shown_extra: list(&extra),
            });
        }
        let pair = |row: &OutputRow| {
            let own = mine.get(row.instruction.as_str())?;
            Some(Pair {
                dataset: row.dataset.clone().or_else(|| own.dataset.clone()),
                instruction: row.instruction.clone(),
                output_1: row.output.clone(),
                output_2: own.output.clone(),
                generator_1: row.generator.clone(),
                generator_2: own.generator.clone(),
            })
        };
        let pairs: Vec<Pair> = reference.rows.iter().filter_map(pair).collect();
        if pairs.is_empty() {
            return Err(JudgeError::NothingInCommon {
                outputs: self.path.clone(),
                reference: reference.path.clone(),
            });
        }
        Ok(pairs)
    }

    /// The file's text, as alpaca_eval writes and reads it.
    pub fn text(&self) -> String {
        serde_json::to_string_pretty(&self.rows).unwrap_or_else(|_| unreachable!("keys are strings"))
    }
}
