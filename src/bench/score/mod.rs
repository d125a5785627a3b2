//! **What is this answer worth?** One file per kind of scorer; a card names one and gives its options.
//!
//! - `gsm8k.rs`: the number behind "The answer is: "
//! - `math.rs`: the expression behind "The answer is: ", and when two of them are the same
//! - `humaneval.rs`, `mbpp.rs`: does the program pass its tests?
//! - `livebench_coding/`: does the program pass LiveCodeBench's tests?
//! - `program.rs`: taking a program out of an answer and running it
//! - `suspicion.rs`: does a program that passes look like one that cheats?
//! - `exact.rs`: is the answer, trimmed, the one in the row?
//! - `exact_match.rs`: lm-evaluation-harness' `regex` filter and `exact_match`
//! - `label_word.rs`: is the last word the right label?
//! - `typos.rs`: is the corrected text in the answer?
//! - `ifeval/`: which of a row's instructions does the answer follow?

mod exact;
mod exact_match;
mod gsm8k;
mod humaneval;
mod ifeval;
mod label_word;
mod livebench_coding;
mod math;
mod mbpp;
mod program;
mod suspicion;
mod typos;

pub(super) use exact::Exact;
pub(super) use exact_match::ExactMatch;
pub(super) use gsm8k::Gsm8k;
pub(super) use humaneval::HumanEval;
pub(super) use ifeval::Ifeval;
pub(super) use label_word::LabelWord;
pub(super) use livebench_coding::LivebenchCoding;
pub(super) use math::Math;
pub(super) use mbpp::Mbpp;
pub(super) use program::Programs;
pub(super) use typos::Typos;

pub use math::is_equiv;

use crate::bench::dataset::Item;
use crate::bench::verdict::Verdict;
use crate::sandbox::Sandbox;
use std::fmt;

/// What scorers may use beside the answer.
#[derive(Clone, Copy, Default)]
pub struct Tools<'a> {
    /// Who runs programs.
    pub sandbox: Option<&'a dyn Sandbox>,
}

impl fmt::Debug for Tools<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tools").field("sandbox", &self.sandbox.is_some()).finish()
    }
}

/// A field that a row lacks.
#[derive(Debug)]
pub(super) struct BadField {
    pub(super) key: String,
    pub(super) wanted: &'static str,
}

impl BadField {
    pub(super) fn new(key: &str, wanted: &'static str) -> Self {
        Self { key: key.to_owned(), wanted }
    }
}

/// One kind of scoring. A verdict follows from item, answer and options alone (and from what the sandbox saw), so it
/// may be worked out on any thread.
pub(super) trait Scorer: Send + Sync + fmt::Debug {
    /// Grows whenever a verdict could change.
    fn version(&self) -> u32;

    /// The same scorer, if the answers that it scores are programs: then [`Tools::sandbox`] is needed.
    fn programs(&self) -> Option<&dyn Programs> {
        None
    }

    /// Whether the row has what scoring will need; asked before the first question is.
    fn check(&self, item: &Item) -> Result<(), BadField>;

    /// The right label, where every item has one of a few: what a model that always says the same is right about.
    fn gold_label(&self, _: &Item) -> Option<&str> {
        None
    }

    /// What the raw generated text is worth. `item` has passed [`Scorer::check`].
    fn score(&self, item: &Item, answer: &str, tools: &Tools<'_>) -> Verdict;
}

/// The text in a field that must have one.
fn need<'a>(item: &'a Item, key: &str) -> Result<&'a str, BadField> {
    item.text(key).ok_or_else(|| BadField::new(key, "a text"))
}
