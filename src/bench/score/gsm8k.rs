//! The number behind "The answer is: ", as the paper's program reads it (MixupModelMerge,
//! `utils/evaluate_llms_utils.py`, `extract_answer_number`, and `test_gsm8k`, bug for bug):
//!
//! 1. Without the phrase, with its trailing space, the answer is invalid. Behind its last occurrence, the first match
//!    of `[\-+]?\d*[\.,/]?\d+` is the number, so at most one separator is read: "1,234,567" is 1234. `\d` is a decimal
//!    digit of any script.
//! 2. `a/b` is the quotient, except that `a/0` is `a`; without a numerator it is invalid. Other forms lose their comma
//!    and are a decimal number; +∞ (more than 308 digits) is invalid.
//! 3. The result is rounded to the nearest whole number, halves to the even one (Python's `round`): 12.5 is 12.
//! 4. It is right if it equals, as a 64-bit float, the whole number behind "#### " in the row's `answer`.

use super::{BadField, Scorer, Tools, need};
use crate::bench::dataset::Item;
use crate::bench::extract::{ANSWER_PHRASE, after_last, ascii_digit, strip};
use crate::bench::verdict::{Reason, Verdict};
use serde::Deserialize;

/// `gsm8k` has no options.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::bench) struct Gsm8k {}

/// What the reference's extraction comes to.
#[derive(Debug, PartialEq)]
enum Extracted {
    Number(f64),
    Nothing,
    Raises(&'static str),
}

impl Scorer for Gsm8k {
    fn version(&self) -> u32 {
        1
    }

    fn check(&self, item: &Item) -> Result<(), BadField> {
        let wanted = "a text with a whole number behind \"#### \"";
        need(item, "question")?;
        gold(item).map(|_| ()).ok_or_else(|| BadField::new("answer", wanted))
    }

    fn score(&self, item: &Item, answer: &str, _: &Tools<'_>) -> Verdict {
        match extract(answer) {
            // Without a fraction, but with every digit of a number beyond 2^53.
            Extracted::Number(number) => Verdict::judged(gold(item) == Some(number), &format!("{number:.0}")),
            Extracted::Nothing => Verdict::no_answer(),
            Extracted::Raises(exception) => {
                Verdict::scored(0.0, None, Reason::ReferenceRaises { exception: exception.to_owned() })
            }
        }
    }
}

/// `int(answer.split('#### ')[1].replace(',', ''))`, compared as a float.
fn gold(item: &Item) -> Option<f64> {
    let line = strip(item.text("answer")?.split("#### ").nth(1)?).replace(',', "");
    let digits = line.strip_prefix(['-', '+']).unwrap_or(&line);
    let whole = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    whole.then(|| line.parse().ok()).flatten()
}

fn extract(answer: &str) -> Extracted {
    let Some(number) = after_last(answer, ANSWER_PHRASE).and_then(first_number) else {
        return Extracted::Nothing;
    };
    let value = match number.split_once('/') {
        // `is_number` refuses a numerator without a digit.
        Some(("" | "+" | "-", _)) => return Extracted::Nothing,
        Some((numerator, "0")) => float(numerator),
        // The reference divides with the PyPI package Fraction 2.2.0, which goes through floats too; below 2^53 its
        // quotient is the correctly rounded one, and so is this.
        Some((numerator, denominator)) => match float(denominator) {
            0.0 => return Extracted::Raises("FractionException: Denominator cannot be 0"),
            denominator if denominator.is_infinite() => f64::INFINITY,
            denominator => float(numerator) / denominator,
        },
        None => match float(number) {
            f64::INFINITY => return Extracted::Nothing,
            value => value,
        },
    };
    if value.is_infinite() {
        return Extracted::Raises("OverflowError: cannot convert float infinity to integer");
    }
    // A whole number has no negative zero.
    Extracted::Number(value.round_ties_even() + 0.0)
}

/// The first match of `[\-+]?\d*[\.,/]?\d+`.
///
/// A match starts at the first digit there is, or at a separator directly before it, or at a sign directly before
/// those; for before the first digit there is nothing else that the pattern could take.
fn first_number(text: &str) -> Option<&str> {
    let first = text.find(is_digit)?;
    let before = &text[..first];
    let unseparated = before.strip_suffix(SEPARATORS).unwrap_or(before);
    let start = unseparated.strip_suffix(['-', '+']).unwrap_or(unseparated).len();

    let digits_end = |from: usize| text[from..].find(|c| !is_digit(c)).map_or(text.len(), |at| from + at);
    let mut end = digits_end(first);
    if unseparated.len() == first
        && let Some(behind) = text[end..].strip_prefix(SEPARATORS)
        && behind.starts_with(is_digit)
    {
        end = digits_end(text.len() - behind.len());
    }
    Some(&text[start..end])
}

const SEPARATORS: [char; 3] = ['.', ',', '/'];

fn is_digit(c: char) -> bool {
    ascii_digit(c).is_some()
}

/// Python's `float` of a text that the pattern matched, commas removed; too many digits are an infinity.
fn float(text: &str) -> f64 {
    let plain: String = text.chars().filter(|&c| c != ',').map(|c| ascii_digit(c).unwrap_or(c)).collect();
    // Both languages round correctly, and Rust takes every form that the pattern can match.
    plain.parse().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;
    use Extracted::{Nothing, Number};

    #[test]
    fn numbers_are_read_as_the_reference_reads_them() {
        let cases = [
            ("1,234,567", Number(1234.0)),
            ("12.5", Number(12.0)),
            ("13.5", Number(14.0)),
            ("-0.4", Number(0.0)),
            ("-3/2", Number(-2.0)),
            ("7/0", Number(7.0)),
            ("/5", Nothing),
            ("-/5", Nothing),
            ("-.5", Number(0.0)),
            ("-+5", Number(5.0)),
            (",5", Number(5.0)),
            ("5.", Number(5.0)),
            ("x/5", Nothing),
            ("\u{661}/\u{662}", Number(0.0)),
            ("$ 5 or 6", Number(5.0)),
            ("99999999999999999", Number(1e17)),
            ("none", Nothing),
        ];
        for (text, expected) in cases {
            assert_eq!(extract(&format!("{ANSWER_PHRASE}{text}")), expected, "{text}");
        }
        let huge = "9".repeat(400);
        assert_eq!(extract(&format!("{ANSWER_PHRASE}{huge}")), Nothing);
        for raising in [
            format!("-{huge}"),
            format!("{huge}/3"),
            format!("3/{huge}"),
            "7/00".to_owned(),
            "1/\u{660}".to_owned(),
        ] {
            assert!(
                matches!(extract(&format!("{ANSWER_PHRASE}{raising}")), Extracted::Raises(_)),
                "{raising}"
            );
        }
    }

    #[test]
    fn whole_numbers_are_shown_as_python_shows_them() {
        let fields = [("answer".to_owned(), "#### 5".into())].into_iter().collect();
        let item = Item::new("0".into(), fields);
        let shown = [
            ("-0.4", "0"),
            ("99999999999999999", "100000000000000000"),
            ("9007199254740993129007199254740993", "9007199254740993152921504606846976"),
        ];
        for (text, number) in shown {
            let verdict = Gsm8k {}.score(&item, &format!("{ANSWER_PHRASE}{text}"), &Tools::default());
            assert_eq!(verdict, Verdict::wrong(number));
        }
    }
}
