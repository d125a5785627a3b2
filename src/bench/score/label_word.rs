//! The label in the last word: PromptBench's `OutputProcess.cls` with a label map, as the paper's copy of it has it
//! (MixupModelMerge, `promptbench/utils/dataprocess.py`, and `proj_func` in `sst2.py` and `cola.py`, bug for bug):
//!
//! 1. The answer in small letters loses every text of `remove`, then the characters of `strip` at both ends.
//! 2. What is behind the last space (U+0020, no other white space) is the word; it loses the characters of `drop`.
//! 3. The word must be a label, letter for letter. Anything else is invalid, and wrong.
//!
//! With `take = "first"` it is another rule, of ours: the answer is the first label with which a word of the text begins
//! ([`first_word`]), in capitals or not, and the model is not asked for more than that. An answer without one is invalid.

use super::{BadField, Scorer, Tools};
use crate::bench::dataset::Item;
use crate::bench::verdict::Verdict;
use crate::completion::first_word;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// The options of `label_word`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::bench) struct LabelWord {
    /// The field that holds the number of the right label.
    field: String,
    /// The words that count, with their numbers.
    labels: BTreeMap<String, i64>,
    /// Which word is looked at.
    #[serde(default)]
    take: Take,
    /// Texts that are removed wherever they stand, in this order.
    #[serde(default)]
    remove: Vec<String>,
    /// Characters that are removed at both ends of the answer.
    #[serde(default)]
    strip: String,
    /// Characters that are removed within the last word.
    #[serde(default)]
    drop: String,
}

/// Which word of an answer says what it means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Take {
    /// The last, which is known when the answer has ended.
    #[default]
    Last,
    /// The first that is a label.
    First,
}

impl LabelWord {
    fn words(&self) -> Vec<String> {
        self.labels.keys().map(|label| label.to_lowercase()).collect()
    }

    /// The label in an answer, and its number.
    fn label(&self, answer: &str) -> Option<(String, i64)> {
        if self.take == Take::First {
            let words = self.words();
            let (label, _) = first_word(answer, &words, true)?;
            return self.labels.iter().nth(label).map(|(label, number)| (label.clone(), *number));
        }
        let mut text = answer.to_lowercase();
        for part in &self.remove {
            text = text.replace(part.as_str(), "");
        }
        let stripped = text.trim_matches(|c| self.strip.contains(c));
        let last = stripped.rsplit(' ').next().unwrap_or_default();
        let word: String = last.chars().filter(|c| !self.drop.contains(*c)).collect();
        let number = *self.labels.get(&word)?;
        Some((word, number))
    }

    /// The number in the row, as JSON or, in tab-separated values, as text.
    fn right(&self, item: &Item) -> Option<i64> {
        match item.fields.get(&self.field)? {
            Value::Number(number) => number.as_i64(),
            Value::String(text) => text.parse().ok(),
            _ => None,
        }
    }
}

impl Scorer for LabelWord {
    fn version(&self) -> u32 {
        1
    }

    fn check(&self, item: &Item) -> Result<(), BadField> {
        match self.gold_label(item) {
            Some(_) => Ok(()),
            None => Err(BadField::new(&self.field, "the number of one of the card's labels")),
        }
    }

    fn end_with(&self) -> Vec<String> {
        if self.take == Take::First { self.words() } else { Vec::new() }
    }

    fn gold_label(&self, item: &Item) -> Option<&str> {
        let right = self.right(item)?;
        self.labels.iter().find(|(_, number)| **number == right).map(|(label, _)| label.as_str())
    }

    fn score(&self, item: &Item, answer: &str, _: &Tools<'_>) -> Verdict {
        match self.label(answer) {
            Some((label, number)) => Verdict::judged(self.right(item) == Some(number), &label),
            None => Verdict::no_answer(),
        }
    }
}
