//! Whose rules decide what is right, and the figures that they give.

use crate::bench::dataset::Item;
use crate::bench::score::{Scorer, Tools};
use crate::bench::verdict::Verdict;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Whose rules decide what is right.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Profile {
    /// The paper's program, bug for bug: what its numbers can be compared with.
    #[default]
    Paper,
    /// The benchmark's own reference today: what other people's numbers can be compared with.
    Standard,
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Paper => "paper",
            Self::Standard => "standard",
        })
    }
}

/// One of the figures of a profile: a name and the rules behind it.
#[derive(Clone, Copy, Debug)]
pub struct Measure<'a> {
    /// What the reference calls it.
    pub name: &'a str,
    pub(super) scorer: &'a dyn Scorer,
}

impl Measure<'_> {
    /// What the raw generated text is worth. May be called from any thread, with any text.
    pub fn score(&self, item: &Item, answer: &str, tools: &Tools<'_>) -> Verdict {
        self.scorer.score(item, answer, tools)
    }

    /// Whether scoring needs [`Tools::sandbox`].
    pub fn needs_programs(&self) -> bool {
        self.scorer.programs().is_some()
    }
}
