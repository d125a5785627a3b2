//! Is the number in the answer the one in the row? By value, so that 1/2 is 0.50 and 1,200 is 1200; or within a distance.

use super::{BadField, Scorer, Tools, need_some, value};
use crate::bench::dataset::Item;
use crate::bench::filter::{self, Filter};
use crate::bench::verdict::Verdict;
use serde::Deserialize;

/// The options of `numeric`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::bench) struct Numeric {
    /// The field with the right number: a number, or a text that is one.
    doc_to_target: String,
    /// How the number is taken out of the text; without filters, the whole answer is it.
    #[serde(default)]
    filter: Vec<Filter>,
    /// How far from the right number an answer may be; without it the two must have the same value.
    #[serde(default)]
    tolerance: Option<f64>,
}

/// The number in a text, without what often stands around it.
fn number(text: &str) -> Option<f64> {
    let plain = text.trim().trim_start_matches('$').trim_end_matches(['.', '%']).replace(',', "");
    plain.parse().ok().filter(|x: &f64| x.is_finite())
}

impl Scorer for Numeric {
    fn version(&self) -> u32 {
        1
    }

    fn check(&self, item: &Item) -> Result<(), BadField> {
        let targets = need_some(item, &self.doc_to_target)?;
        if targets.iter().all(|target| number(target).is_some()) {
            return Ok(());
        }
        Err(BadField::new(&self.doc_to_target, "a number"))
    }

    fn score(&self, item: &Item, answer: &str, _: &Tools<'_>) -> Verdict {
        let found = filter::apply(&self.filter, answer).map(|found| found.trim().to_owned());
        let Some(found) = found.filter(|found| found.contains(|c: char| c.is_ascii_digit())) else {
            return Verdict::no_answer();
        };
        let right = |target: &String| match self.tolerance {
            None => value::same_value(&found, target),
            Some(tolerance) => {
                number(&found).zip(number(target)).is_some_and(|(a, b)| (a - b).abs() <= tolerance)
            }
        };
        let targets = need_some(item, &self.doc_to_target).unwrap_or_default();
        Verdict::judged(targets.iter().any(right), &found)
    }
}
