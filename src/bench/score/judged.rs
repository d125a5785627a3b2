//! Answers that somebody else must judge: nothing is scored here.

use super::{BadField, Scorer, Tools, need};
use crate::bench::dataset::Item;
use crate::bench::extract::strip;
use crate::bench::verdict::{Unscored, Verdict};
use serde::Deserialize;

/// The options of `judged`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::bench) struct Judged {
    /// The field with the instruction.
    field: String,
}

impl Scorer for Judged {
    fn version(&self) -> u32 {
        1
    }

    fn judged(&self) -> Option<&str> {
        Some(&self.field)
    }

    fn check(&self, item: &Item) -> Result<(), BadField> {
        match strip(need(item, &self.field)?) {
            "" => Err(BadField::new(&self.field, "a text that is not blank")),
            _ => Ok(()),
        }
    }

    fn score(&self, _: &Item, _: &str, _: &Tools<'_>) -> Verdict {
        Verdict::Unscored { why: Unscored::NeedsJudge }
    }
}
