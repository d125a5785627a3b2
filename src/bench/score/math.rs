//! The expression behind "The answer is: ", and when two of them are the same: what the paper's program does
//! (MixupModelMerge, `utils/evaluate_llms_utils.py`: `process_results`, `last_boxed_only_string`, `remove_boxed`,
//! `is_equiv`), whose comparison is that of Hendrycks et al. 2021, quirks included:
//!
//! - Both sides are normalised as text and compared as text; nothing is computed.
//! - Where the reference's normalisation throws, its caller compares the two raw texts instead ([`Raises`]). That
//!   happens at an empty `\frac` or `\sqrt`, at two units (`\text{ `), and at every `a/b` whose sides are not both
//!   whole numbers.
//! - Dollar signs are removed only where they are escaped: "$42$" is not "42".
//! - A gold answer in `\boxed 5`, without a brace, is read as none, and no answer is right.

use super::{BadField, Scorer, Tools, need};
use crate::bench::dataset::Item;
use crate::bench::extract::{ANSWER_PHRASE, after_last, ascii_digit, strip};
use crate::bench::verdict::Verdict;
use serde::Deserialize;

/// The options of `math`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::bench) struct Math {
    /// Where the answer stands.
    #[serde(default)]
    answer: Place,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Place {
    /// Behind the last "The answer is: ", as in the paper's program.
    #[default]
    Phrase,
    /// Between the first and the last dollar sign, or everywhere where there are no two, as in lm-evaluation-harness 0.4.13
    /// (`lm_eval/tasks/hendrycks_math/utils.py`). This finds always something.
    Dollars,
}

impl Scorer for Math {
    fn version(&self) -> u32 {
        1
    }

    fn check(&self, item: &Item) -> Result<(), BadField> {
        need(item, "problem").and_then(|_| need(item, "solution")).map(|_| ())
    }

    fn score(&self, item: &Item, answer: &str, _: &Tools<'_>) -> Verdict {
        let pred = match self.answer {
            Place::Phrase => extract(answer),
            Place::Dollars => Some(between_dollars(answer)),
        };
        let Some(pred) = pred else { return Verdict::no_answer() };
        let right = item.text("solution").and_then(gold).is_some_and(|gold| is_equiv(pred, gold));
        Verdict::judged(right, pred)
    }
}

/// What is behind the last phrase, up to the first full stop at a line's end, stripped, without one final full stop.
fn extract(answer: &str) -> Option<&str> {
    let rest = after_last(answer, ANSWER_PHRASE)?;
    let sentence = strip(rest.split_once(".\n").map_or(rest, |(sentence, _)| sentence));
    Some(strip(sentence.strip_suffix('.').unwrap_or(sentence)))
}

/// What is between the first and the last dollar sign.
fn between_dollars(answer: &str) -> &str {
    match (answer.find('$'), answer.rfind('$')) {
        (Some(first), Some(last)) if first < last => &answer[first + 1..last],
        _ => answer,
    }
}

/// The contents of the solution's last `\boxed{…}`, braces balanced. A last `\fbox` counts where there is no `\boxed`,
/// but its contents are not taken out of it: like everything else without `\boxed{` it gives no answer.
pub(super) fn gold(solution: &str) -> Option<&str> {
    let inside = &solution[solution.rfind("\\boxed")?..];
    let mut open = 0usize;
    for (at, byte) in inside.bytes().enumerate() {
        match byte {
            b'{' => open += 1,
            // A closing brace before any opening one: the reference counts below zero and takes a later brace.
            b'}' if open == 0 => return None,
            b'}' => {
                open -= 1;
                if open == 0 {
                    return inside[..at].strip_prefix("\\boxed{");
                }
            }
            _ => {}
        }
    }
    None
}

/// Where the reference throws an exception.
#[derive(Debug, PartialEq)]
struct Raises;

/// Whether two answers are the same for the paper's program (`is_equiv`): equal when normalised, or equal as they are
/// where one of them cannot be normalised.
pub fn is_equiv(a: &str, b: &str) -> bool {
    match (normalise(a), normalise(b)) {
        (Ok(a), Ok(b)) => a == b,
        _ => a == b,
    }
}

/// What is removed or replaced first, in this order.
const REWRITES: [(&str, &str); 10] = [
    ("\n", ""),
    ("\\!", ""),
    ("\\\\", "\\"),
    ("tfrac", "frac"),
    ("dfrac", "frac"),
    ("\\left", ""),
    ("\\right", ""),
    ("^{\\circ}", ""),
    ("^\\circ", ""),
    ("\\$", ""),
];

/// The normal form of an answer.
fn normalise(text: &str) -> Result<String, Raises> {
    let mut text = text.to_owned();
    for (from, to) in REWRITES {
        replace(&mut text, from, to);
    }
    // Units stand at the right end, in `\text{ …}`; there may be one.
    let mut around_units = text.split("\\text{ ");
    let number = around_units.next().unwrap_or_default();
    if around_units.nth(1).is_some() {
        return Err(Raises);
    }
    let mut text = number.to_owned();
    replace(&mut text, "\\%", "");
    replace(&mut text, " .", " 0.");
    replace(&mut text, "{.", "{0.");
    if text.is_empty() {
        return Ok(text);
    }
    if text.starts_with('.') {
        text.insert(0, '0');
    }
    // "k = 5" is 5, if there is one `=` and at most two characters before it.
    if let Some((left, right)) = text.split_once('=')
        && !right.contains('=')
        && left.chars().nth(2).is_none()
    {
        let right_starts = text.len() - right.len();
        text.drain(..right_starts);
    }
    let mut text = brace_roots(&text)?;
    replace(&mut text, " ", "");
    let text = brace_fractions(text)?;
    if text == "0.5" {
        return Ok("\\frac{1}{2}".to_owned());
    }
    slash_to_fraction(text)
}

fn replace(text: &mut String, from: &str, to: &str) {
    if text.contains(from) {
        *text = text.replace(from, to);
    }
}

/// `\sqrt3` is `\sqrt{3}`; a root of nothing raises.
fn brace_roots(text: &str) -> Result<String, Raises> {
    let mut pieces = text.split("\\sqrt");
    let mut out = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let first = piece.chars().next().ok_or(Raises)?;
        out.push_str("\\sqrt");
        if first == '{' {
            out.push_str(piece);
        } else {
            out.extend(['{', first, '}']);
            out.push_str(&piece[first.len_utf8()..]);
        }
    }
    Ok(out)
}

/// `\frac12` and `\frac1{2}` are `\frac{1}{2}`. A fraction of one character leaves the whole text as it was; a fraction
/// of nothing raises.
fn brace_fractions(text: String) -> Result<String, Raises> {
    let mut pieces = text.split("\\frac");
    let mut out = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let mut chars = piece.chars();
        let a = chars.next().ok_or(Raises)?;
        out.push_str("\\frac");
        if a == '{' {
            out.push_str(piece);
            continue;
        }
        let Some(b) = chars.next() else {
            return Ok(text);
        };
        out.extend(['{', a, '}']);
        if b == '{' {
            out.push(b);
        } else {
            out.extend(['{', b, '}']);
        }
        out.push_str(chars.as_str());
    }
    Ok(out)
}

/// `a/b` with whole numbers, written as Python prints them, is `\frac{a}{b}`. Whole numbers written otherwise ("+1/2")
/// leave it as it is; anything else beside a single slash raises, for the reference catches `AssertionError` only.
fn slash_to_fraction(text: String) -> Result<String, Raises> {
    let Some((a, b)) = text.split_once('/').filter(|(_, b)| !b.contains('/')) else {
        return Ok(text);
    };
    // Both are looked at, for the second may raise where the first is only unusual.
    let canonical = [whole_as_printed(a)?, whole_as_printed(b)?] == [true; 2];
    Ok(if canonical { format!("\\frac{{{a}}}{{{b}}}") } else { text })
}

/// Digits beyond which Python's `int` refuses a text (since 3.11).
const MOST_DIGITS: usize = 4300;

/// Whether the text is what Python prints for the whole number in it; raises where Python's `int` refuses it. `int`
/// takes white space around the number, one sign, decimal digits of any script, and single underscores between digits.
fn whole_as_printed(text: &str) -> Result<bool, Raises> {
    // Of white space, `int` takes what Rust does: not the separators that `strip` takes too.
    let inner = text.trim();
    let digits = inner.strip_prefix(['-', '+']).unwrap_or(inner);
    let mut count = 0;
    let mut after_digit = false;
    for c in digits.chars() {
        let is_digit = ascii_digit(c).is_some();
        let is_joint = c == '_' && after_digit;
        if !is_digit && !is_joint {
            return Err(Raises);
        }
        count += usize::from(is_digit);
        after_digit = is_digit;
    }
    if !after_digit || count > MOST_DIGITS {
        return Err(Raises);
    }
    Ok(inner.len() == text.len()
        && !inner.starts_with('+')
        && digits.bytes().all(|b| b.is_ascii_digit())
        && (!digits.starts_with('0') || inner == "0"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gold_answers_are_in_the_last_box() {
        assert_eq!(gold("so $\\boxed{1}$, no, $\\boxed{\\frac{1}{2}}$."), Some("\\frac{1}{2}"));
        for none in ["\\boxed 5", "\\fbox{5}", "5", "\\boxed{5", "", "\\boxed5 {6}", "\\boxed}{5}"] {
            assert_eq!(gold(none), None, "{none}");
        }
    }

    #[test]
    fn the_answer_ends_with_its_sentence() {
        assert_eq!(extract("The answer is: 5.\nThat is 6."), Some("5"));
        assert_eq!(extract("The answer is: 5. \n That is 6."), Some("5. \n That is 6"));
        assert_eq!(extract("The answer is: 1.5 .."), Some("1.5 ."));
        assert_eq!(extract("The answer is:5"), None);
        assert_eq!(extract("The answer is: "), Some(""));
    }

    #[test]
    fn answers_are_compared_as_text() {
        let same = [
            ("\\frac12", "\\dfrac{1}{2}"),
            ("\\frac1{2}", "1/2"),
            ("0.5", "\\tfrac12"),
            (".5", "0.5"),
            ("x = 5", "5"),
            ("50\\%", "50"),
            ("90^\\circ", "90"),
            ("\\sqrt3", "\\sqrt{3}"),
            ("5\\text{ cm}", "5"),
            ("\\left( 1, 2 \\right)", "(1,2)"),
            ("\\$5", "5"),
            // Python's `int` takes them, and the text is left alone.
            ("+1/2", "+1/2 "),
            // A raise on either side, and equal raw texts.
            ("a/b", "a/b"),
        ];
        for (a, b) in same {
            assert!(is_equiv(a, b) && is_equiv(b, a), "{a} {b}");
        }
        let different = [
            ("$42$", "42"),
            ("a/b", "a / b"),
            ("+1/2", "1/2"),
            ("01/2", "1/2"),
            ("-0/2", "0/2"),
            ("1\\text{ m}\\text{ s}", "1"),
            ("\\frac", "\\frac{}"),
            ("xyz = 5", "5"),
            ("1/2/3", "\\frac{1}{2}/3"),
        ];
        for (a, b) in different {
            assert!(!is_equiv(a, b) && !is_equiv(b, a), "{a} {b}");
        }
    }

    #[test]
    fn whole_numbers_are_pythons() {
        for taken in ["1", " 1\t", "+1", "1_0", "\u{661}", "00"] {
            assert!(whole_as_printed(taken).is_ok(), "{taken}");
        }
        for raising in ["", "\u{1f}1", "-", "1__0", "_1", "1_", "1.5", "- 1", "x", &"9".repeat(4301)] {
            assert!(whole_as_printed(raising).is_err(), "{raising}");
        }
    }
}
