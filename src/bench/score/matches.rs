//! Does a regular expression match the answer: the card's, or the one in the row?

use super::{BadField, Scorer, Tools, need};
use crate::bench::dataset::Item;
use crate::bench::filter::{self, Filter};
use crate::bench::pattern;
use crate::bench::verdict::Verdict;
use regex::Regex;
use serde::Deserialize;

/// The options of `regex`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::bench) struct Matches {
    /// What matches.
    pattern: Pattern,
    /// How the answer is taken out of the text.
    #[serde(default)]
    filter: Vec<Filter>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Pattern {
    /// This, for every row.
    #[serde(deserialize_with = "pattern::pattern")]
    Regex(Regex),
    /// The one in this field.
    Field(String),
}

impl Scorer for Matches {
    fn version(&self) -> u32 {
        1
    }

    fn check(&self, item: &Item) -> Result<(), BadField> {
        let Pattern::Field(field) = &self.pattern else { return Ok(()) };
        let pattern = need(item, field)?;
        pattern::compiled(pattern).map(|_| ()).map_err(|_| {
            BadField::new(field, "a regular expression of Rust's regex crate that some text can match")
        })
    }

    fn score(&self, item: &Item, answer: &str, _: &Tools<'_>) -> Verdict {
        let found = filter::apply(&self.filter, answer).filter(|found| !found.trim().is_empty());
        let Some(found) = found else { return Verdict::no_answer() };
        let matched = match &self.pattern {
            Pattern::Regex(pattern) => pattern.is_match(&found),
            Pattern::Field(field) => {
                let pattern = item.text(field).and_then(|pattern| Regex::new(pattern).ok());
                pattern.is_some_and(|pattern| pattern.is_match(&found))
            }
        };
        Verdict::judged(matched, &found)
    }
}
