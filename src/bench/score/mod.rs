//! **What is this answer worth?** One file per kind of scorer; a card names one and gives its options.
//!
//! - `gsm8k.rs`: the number behind "The answer is: "
//! - `math.rs`: the expression behind "The answer is: ", and when two of them are the same
//! - `value/`: mathematical answers judged by their value
//! - `humaneval.rs`, `mbpp.rs`: does the program pass its tests?
//! - `livebench_coding/`: does the program pass LiveCodeBench's tests?
//! - `program.rs`: taking a program out of an answer and running it
//! - `suspicion.rs`: does a program that passes look like one that cheats?
//! - `exact.rs`: is the answer, trimmed, the one in the row?
//! - `exact_match.rs`: lm-evaluation-harness' filters and `exact_match`
//! - `numeric.rs`: is the number the right one?
//! - `matches.rs`: does a regular expression match?
//! - `multiple_choice.rs`: is the likeliest choice the right one?
//! - `judged.rs`: answers that somebody else must judge
//! - `label_word.rs`: is the last word, or the first label, the right one?
//! - `typos.rs`: is the corrected text in the answer?
//! - `ifeval/`: which of a row's instructions does the answer follow?

mod exact;
mod exact_match;
mod gsm8k;
mod humaneval;
mod ifeval;
mod judged;
mod label_word;
mod livebench_coding;
mod matches;
mod math;
mod mbpp;
mod multiple_choice;
mod numeric;
mod program;
mod suspicion;
mod typos;
mod value;

pub(super) use exact::Exact;
pub(super) use exact_match::ExactMatch;
pub(super) use gsm8k::Gsm8k;
pub(super) use humaneval::HumanEval;
pub(super) use ifeval::Ifeval;
pub(super) use judged::Judged;
pub(super) use label_word::LabelWord;
pub(super) use livebench_coding::LivebenchCoding;
pub(super) use matches::Matches;
pub(super) use math::Math;
pub(super) use mbpp::Mbpp;
pub(super) use multiple_choice::MultipleChoice;
pub(super) use numeric::Numeric;
pub(super) use program::Programs;
pub(super) use typos::Typos;
pub(super) use value::MathValue;

pub use math::is_equiv;
pub use value::same_value;

use crate::bench::dataset::Item;
use crate::bench::verdict::Verdict;
use crate::sandbox::Sandbox;
use serde_json::Value;
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

    /// What could follow the prompt, where the model is not asked to generate but how likely these are. The answer that is
    /// scored is then the JSON list of their [`crate::completion::Likelihood`]s.
    fn continuations(&self, _: &Item) -> Option<Vec<String>> {
        None
    }

    /// What an answer must be to be looked at, where it is no text that a model generates: said of answers from elsewhere.
    fn form(&self) -> Option<&'static str> {
        None
    }

    /// Words behind which there is nothing more to learn from an answer, in small letters: generation ends with the first of them.
    fn end_with(&self) -> Vec<String> {
        Vec::new()
    }

    /// The field with the instruction, if answers are not scored here but judged elsewhere.
    fn judged(&self) -> Option<&str> {
        None
    }

    /// What the raw generated text is worth. `item` has passed [`Scorer::check`].
    fn score(&self, item: &Item, answer: &str, tools: &Tools<'_>) -> Verdict;
}

/// The texts in a field that must have one, or a list of them; a number is its text.
fn need_some(item: &Item, key: &str) -> Result<Vec<String>, BadField> {
    let one = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    let found = match item.fields.get(key) {
        Some(Value::Array(all)) if !all.is_empty() => all.iter().map(one).collect(),
        Some(value) => one(value).map(|text| vec![text]),
        None => None,
    };
    found.ok_or_else(|| BadField::new(key, "a text or a number, or a list of them"))
}

/// The text in a field that must have one.
fn need<'a>(item: &'a Item, key: &str) -> Result<&'a str, BadField> {
    item.text(key).ok_or_else(|| BadField::new(key, "a text"))
}
