//! Mathematical answers judged by their value. What is compared, and when two of them are the same:
//!
//! - numbers, exactly where they are rational: 1/2, 0.5, \frac12, 50 \%, 0.1\overline{6}, 3\frac12, 1,234, 101_2. A decimal
//!   with six places or more may be the other side rounded. A percentage is its number or a hundredth of it, for it may
//!   answer "what percent";
//! - expressions by their value, or with variables by their values at several points;
//! - equations where each is a multiple of the other; "x = 5" is 5, and is not "y = 5";
//! - tuples, intervals and matrices item by item, with their brackets; lists and sets in any order; unions of intervals;
//!   "x > 2" is (2, ∞);
//! - units that a question leaves open: only where both answers have a known one, amounts are compared;
//! - words without regard to capitals.
//!
//! What cannot be read so is compared as the text that Hendrycks' `is_equiv` makes of it. Where both can be read, that text
//! decides nothing: it takes "19 \text{ and } 43" for 19.
//!
//! - `answer.rs`: the forms of an answer
//! - `compare.rs`: when two answers are the same
//! - `expression.rs`: expressions and their values
//! - `parser.rs`: expressions from tokens
//! - `lexer.rs`: LaTeX and what people type, as tokens
//! - `digits.rs`: numbers as they are written
//! - `names.rs`: what names mean
//! - `number.rs`: numbers
//! - `units.rs`: units

mod answer;
mod compare;
mod digits;
mod expression;
mod lexer;
mod names;
mod number;
mod parser;
mod units;

use super::math::{gold, is_equiv};
use super::{BadField, Scorer, Tools, need};
use crate::bench::dataset::Item;
use crate::bench::extract::{last_boxed, strip};
use crate::bench::verdict::Verdict;
use serde::Deserialize;

/// `math_value` has no options.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::bench) struct MathValue {}

impl Scorer for MathValue {
    fn version(&self) -> u32 {
        1
    }

    fn check(&self, item: &Item) -> Result<(), BadField> {
        need(item, "problem").and_then(|_| need(item, "solution")).map(|_| ())
    }

    fn score(&self, item: &Item, answer: &str, _: &Tools<'_>) -> Verdict {
        let Some(found) = extract(answer) else { return Verdict::no_answer() };
        let solution = item.text("solution").unwrap_or_default();
        let right = gold(solution).or_else(|| last_boxed(solution));
        Verdict::judged(right.is_some_and(|right| same_value(found, right)), found)
    }
}

/// Whether an answer is the right one by value, or, where one of them cannot be read, as text.
pub fn same_value(answer: &str, right: &str) -> bool {
    let (answer, right) = (core(answer), core(right));
    if strip(answer).is_empty() || strip(right).is_empty() {
        return false;
    }
    compare::same(answer, right).unwrap_or_else(|| is_equiv(answer, right))
}

/// What announces an answer, in small letters.
const PHRASE: &str = "answer is";

/// The answer in a text: in its last box; else in its last `<answer>`; else behind the last "answer is"; else its last
/// formula; else its last number.
fn extract(text: &str) -> Option<&str> {
    let found = last_boxed(text)
        .or_else(|| last_tag(text))
        .or_else(|| behind_phrase(text))
        .or_else(|| last_formula(text))
        .or_else(|| last_number(text))?;
    let found = core(found);
    if found.is_empty() {
        return None;
    }
    if !answer::is_readable(found) {
        // "12 because 48 divided by 4 is 12"
        let first = found.split_whitespace().next().unwrap_or(found).trim_end_matches(['.', ',', ';']);
        if first.trim_start_matches(['-', '$', '\\']).starts_with(|c: char| c.is_ascii_digit()) {
            return Some(first);
        }
        let words = found.split_whitespace().filter(|w| w.len() > 1 && w.chars().all(char::is_alphabetic));
        if words.count() > 2 {
            // "Therefore, the smallest number is 90"
            return last_formula(found).or_else(|| last_number(found)).or(Some(found));
        }
    }
    Some(found)
}

/// The contents of the last `<answer>…</answer>`, which may not be closed.
fn last_tag(text: &str) -> Option<&str> {
    let inside = &text[text.rfind("<answer>")? + "<answer>".len()..];
    let inside = inside.split_once("</answer>").map_or(inside, |(inside, _)| inside);
    let box_or_formula = last_boxed(inside).or_else(|| last_formula(inside)).unwrap_or(inside);
    (!strip(box_or_formula).is_empty()).then_some(box_or_formula)
}

/// What is behind the last announcement, if there is anything.
fn behind_phrase(text: &str) -> Option<&str> {
    let lower = text.to_ascii_lowercase();
    let at = lower.rfind(PHRASE)? + PHRASE.len();
    let rest = text[at..].trim_start_matches([':', ' ', '\n', '\t', '*']);
    (!strip(rest).is_empty()).then_some(rest)
}

/// What is in the last pair of dollars, of `\(…\)`, or of `\[…\]`.
fn last_formula(text: &str) -> Option<&str> {
    let pair = |open: &str, close: &str| {
        let end = text.rfind(close)?;
        let start = text[..end].rfind(open)? + open.len();
        Some((end, &text[start..end]))
    };
    let dollars = {
        let all = text.trim_end_matches('$').len()..text.len();
        let end = if all.is_empty() { text.rfind('$') } else { Some(all.start) };
        end.and_then(|end| {
            let start = text[..end].rfind('$')? + 1;
            Some((end, &text[start..end]))
        })
    };
    let found = [dollars, pair("\\(", "\\)"), pair("\\[", "\\]")];
    found
        .into_iter()
        .flatten()
        .filter(|(_, inner)| !strip(inner).is_empty())
        .max_by_key(|(end, _)| *end)
        .map(|(_, f)| f)
}

/// The last run of digits, with sign, points, commas and a slash within.
fn last_number(text: &str) -> Option<&str> {
    let end = text.rfind(|c: char| c.is_ascii_digit())? + 1;
    let start = text[..end]
        .rfind(|c: char| !(c.is_ascii_digit() || "., /".contains(c)) || c == ' ')
        .map_or(0, |at| at + text[at..].chars().next().map_or(0, char::len_utf8));
    let start = if text[..start].ends_with('-') { start - 1 } else { start };
    Some(&text[start..end])
}

/// An answer without the sentence around it: the first line where what follows is another sentence, the one formula that
/// it has, no full stop at its end.
fn core(text: &str) -> &str {
    let mut text = strip(text);
    if let Some(rest) = behind_phrase(text) {
        text = rest;
    }
    let sentence = text.split_once(".\n").map_or(text, |(sentence, _)| sentence);
    let line = sentence.split_once('\n').map_or(sentence, |(line, _)| line);
    // A matrix may be written in several lines.
    let whole = |part: &str| {
        part.matches('{').count() == part.matches('}').count()
            && part.matches("\\begin").count() == part.matches("\\end").count()
            && part.matches('$').count().is_multiple_of(2)
            && !strip(part).is_empty()
    };
    text = strip(if whole(line) { line } else { sentence });
    if let Some(inner) = only_formula(text) {
        text = inner;
    }
    for (open, close) in [("\\(", "\\)"), ("\\[", "\\]")] {
        if let Some((_, rest)) = text.split_once(open)
            && let Some((inner, _)) = rest.split_once(close)
        {
            text = inner;
        }
    }
    strip(strip(text).trim_end_matches('.'))
}

/// The one formula in dollars that a sentence has.
fn only_formula(text: &str) -> Option<&str> {
    let mut marks = text.match_indices('$').map(|(at, _)| at).filter(|at| !text[..*at].ends_with('\\'));
    let (start, end) = (marks.next()?, marks.next()?);
    let inner = &text[start + 1..end];
    if inner.is_empty() {
        // `$$…$$`
        let end = marks.next()?;
        return (marks.next().is_some() && marks.next().is_none()).then(|| &text[start + 2..end]);
    }
    marks.next().is_none().then_some(inner)
}
