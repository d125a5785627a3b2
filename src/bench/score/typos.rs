//! LiveBench's typos: is the corrected text in the answer, letter for letter? Two rules, each with its own idea of where
//! in the answer to look; lines end with "\n" alone.
//!
//! - `last_line`, of the paper's program (MixupModelMerge, `inference_llms_instruct_math_code.py`,
//!   `typos_process_results`): in the last line that is not empty. A line of spaces is not empty.
//! - `solution`, of LiveBench today (`livebench/process_results/writing/typos/utils.py`): in the last
//!   `<solution>…</solution>` of one line; without one, in what is between ` --- ` and ` --- ` of the first line that has
//!   such a thing; without that, everywhere. Line breaks are spaces then, and empty lines nothing.

use super::{BadField, Scorer, Tools, need};
use crate::bench::dataset::Item;
use crate::bench::extract::strip;
use crate::bench::verdict::Verdict;
use regex::Regex;
use serde::Deserialize;
use std::borrow::Cow;

/// The options of `typos`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::bench) struct Typos {
    /// The field with the corrected text.
    field: String,
    /// Where in the answer it must be.
    rule: Rule,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Rule {
    LastLine,
    Solution,
}

impl Rule {
    /// The part of the answer that counts.
    fn part(self, answer: &str) -> Cow<'_, str> {
        match self {
            Self::LastLine => answer.rsplit('\n').find(|line| !line.is_empty()).unwrap_or_default().into(),
            Self::Solution => {
                let plain = answer.replace("<solution>", "").replace("</solution>", "");
                let found = solution(answer).or_else(|| between_dashes(&plain)).unwrap_or(&plain);
                let lines: Vec<&str> = strip(found).split('\n').filter(|line| !line.is_empty()).collect();
                lines.join(" ").into()
            }
        }
    }
}

/// What is between the last pair of tags that stand in one line.
fn solution(answer: &str) -> Option<&str> {
    let tags = pattern(r"<solution>(.*?)</solution>");
    tags.captures_iter(answer).last().and_then(|found| found.get(1)).map(|inner| inner.as_str())
}

fn between_dashes(answer: &str) -> Option<&str> {
    let dashes = pattern(r".* --- (.*?) --- .*");
    dashes.captures(answer).and_then(|found| found.get(1)).map(|inner| inner.as_str())
}

fn pattern(pattern: &str) -> Regex {
    Regex::new(pattern).unwrap_or_else(|e| unreachable!("{e}"))
}

impl Scorer for Typos {
    fn version(&self) -> u32 {
        1
    }

    fn check(&self, item: &Item) -> Result<(), BadField> {
        match need(item, &self.field)? {
            "" => Err(BadField::new(&self.field, "a text that is not empty")),
            _ => Ok(()),
        }
    }

    fn score(&self, item: &Item, answer: &str, _: &Tools<'_>) -> Verdict {
        let part = self.rule.part(answer);
        if strip(&part).is_empty() {
            return Verdict::no_answer();
        }
        let right = item.text(&self.field).is_some_and(|gold| part.contains(gold));
        Verdict::judged(right, &part)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_rule_looks_somewhere_else() {
        let cases = [
            ("a\nb\n\n", "b", "a b"),
            ("a\n  ", "  ", "a"),
            ("", "", ""),
            ("<solution>a</solution> <solution>b</solution>\nc", "c", "b"),
            ("<solution>a\nb</solution>", "b</solution>", "a b"),
            ("<solution>x --- a --- y", "<solution>x --- a --- y", "a"),
            ("x --- a --- b --- y", "x --- a --- b --- y", "b"),
            (" --- a --- ", " --- a --- ", "a"),
            ("u\nx --- a --- y\n --- b --- ", " --- b --- ", "a"),
        ];
        for (answer, last_line, of_solution) in cases {
            assert_eq!(Rule::LastLine.part(answer), last_line, "{answer:?}");
            assert_eq!(Rule::Solution.part(answer), of_solution, "{answer:?}");
        }
    }
}
