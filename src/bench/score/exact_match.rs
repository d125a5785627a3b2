//! lm-evaluation-harness' way from a text to a value: filters, then `exact_match` (`api/metrics.py`, version 0.4.13). The
//! options have its names and meanings: from what the filters leave and from the target, every match of each of
//! `regexes_to_ignore` is removed, in their order; punctuation (ASCII) and capitals do not matter where the options say so.
//! The answer is right if the two are equal then. Where a filter finds nothing, it is invalid.

use super::{BadField, Scorer, Tools, need_some};
use crate::bench::dataset::Item;
use crate::bench::filter::{self, Filter};
use crate::bench::pattern;
use crate::bench::verdict::Verdict;
use regex::Regex;
use serde::Deserialize;

/// The options of `exact_match`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::bench) struct ExactMatch {
    /// The field with the target: a text or a number, or a list of them, of which any will do.
    doc_to_target: String,
    /// How the answer is taken out of the text.
    #[serde(default)]
    filter: Vec<Filter>,
    /// What is removed before the comparison.
    #[serde(default, deserialize_with = "pattern::patterns")]
    regexes_to_ignore: Vec<Regex>,
    /// Whether capitals do not matter.
    #[serde(default)]
    ignore_case: bool,
    /// Whether punctuation does not matter.
    #[serde(default)]
    ignore_punctuation: bool,
}

impl ExactMatch {
    fn compared(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for ignored in &self.regexes_to_ignore {
            text = ignored.replace_all(&text, "").into_owned();
        }
        if self.ignore_case {
            text = text.to_lowercase();
        }
        if self.ignore_punctuation {
            text.retain(|c| !c.is_ascii_punctuation());
        }
        text
    }
}

impl Scorer for ExactMatch {
    fn version(&self) -> u32 {
        1
    }

    fn check(&self, item: &Item) -> Result<(), BadField> {
        need_some(item, &self.doc_to_target).map(|_| ())
    }

    fn score(&self, item: &Item, answer: &str, _: &Tools<'_>) -> Verdict {
        let Some(found) = filter::apply(&self.filter, answer).filter(|found| !found.is_empty()) else {
            return Verdict::no_answer();
        };
        let targets = need_some(item, &self.doc_to_target).unwrap_or_default();
        let ours = self.compared(&found);
        Verdict::judged(targets.iter().any(|target| self.compared(target) == ours), &found)
    }
}
