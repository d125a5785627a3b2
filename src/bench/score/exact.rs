//! Is the answer, trimmed, the one in the row? Only for rows whose right answer is unique by construction.

use super::{BadField, Scorer, Tools, need};
use crate::bench::dataset::Item;
use crate::bench::extract::strip;
use crate::bench::verdict::Verdict;
use serde::Deserialize;

/// The options of `exact`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::bench) struct Exact {
    /// The field that holds the right answer.
    field: String,
}

impl Scorer for Exact {
    fn version(&self) -> u32 {
        1
    }

    fn check(&self, item: &Item) -> Result<(), BadField> {
        match strip(need(item, &self.field)?) {
            "" => Err(BadField::new(&self.field, "a text that is not blank")),
            _ => Ok(()),
        }
    }

    fn score(&self, item: &Item, answer: &str, _: &Tools<'_>) -> Verdict {
        let answer = strip(answer);
        if answer.is_empty() {
            return Verdict::no_answer();
        }
        Verdict::judged(item.text(&self.field).map(strip) == Some(answer), answer)
    }
}
