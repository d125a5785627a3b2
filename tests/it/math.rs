//! Mathematics by value, by hand and beside what other graders say of the same answers.

use crate::bench::{Tally, reference};
use m3::bench::{Benchmark, Item, Profile, Tools, same_value};
use serde_json::{Value, json};
use std::collections::BTreeMap;

#[test]
fn what_has_the_same_value_is_the_same() {
    let same = [
        ("1/2", "\\frac12"),
        ("0.50", "\\dfrac{1}{2}"),
        ("0.1\\overline{6}", "\\frac{1}{6}"),
        ("3\\frac{1}{2}", "3.5"),
        ("3 1/2", "\\frac72"),
        ("1{,}234{,}567", "1234567"),
        ("1,234", "1234"),
        ("1.2e3", "1200"),
        ("60\\%", "\\frac{3}{5}"),
        ("60\\%", "60"),
        ("10110_2", "22"),
        ("$\\$12.50$", "12.5"),
        ("\\sqrt{12}", "2\\sqrt3"),
        ("\\sqrt[3]{-8}", "-2"),
        ("\\frac{1}{\\sqrt2}", "\\frac{\\sqrt{2}}{2}"),
        ("\\sin 30^\\circ", "0.5"),
        ("\\log_2 8", "3"),
        ("\\binom{5}{2}", "10"),
        ("10!", "3628800"),
        ("|3-4i|", "5"),
        ("0.333333333", "\\frac13"),
        ("e^{i\\pi}", "-1"),
        ("(x+1)^2", "x^2+2x+1"),
        ("\\frac{x^2-1}{x-1}", "x+1"),
        ("y = 2x + 3", "4x - 2y = -6"),
        ("x = 5", "5"),
        ("x = 2 \\cdot 3 = 6", "6"),
        ("(1, 2)", "\\left(1, \\frac42\\right)"),
        ("\\{3, 1, 2\\}", "1, 2 \\text{ and } 3"),
        ("\\pm 2", "2, -2"),
        ("x \\ge 2", "[2, \\infty)"),
        ("-3 < k \\le 5", "(-3, 5]"),
        ("(3,\\infty)\\cup(-\\infty,2)", "(-\\infty, 2) \\cup (3, \\infty)"),
        ("\\begin{pmatrix} 1/2 \\\\ 2 \\end{pmatrix}", "\\begin{bmatrix} 0.5 \\\\ 2 \\end{bmatrix}"),
        ("3 \\text{ m}", "300 \\text{ cm}"),
        ("12 \\text{ square inches}", "12"),
        ("\\text{(C)}", "C"),
        ("\\text{Even}", "even"),
        ("3:1", "3"),
        ("The answer is $7$.", "7"),
    ];
    for (a, b) in same {
        assert!(same_value(a, b) && (a.starts_with("The") || same_value(b, a)), "{a} {b}");
    }
    let different = [
        ("2", "3"),
        ("1234567890123456789012345678901", "1234567890123456789012345678902"),
        ("0.33", "\\frac13"),
        ("3.14", "\\pi"),
        ("101_2", "101"),
        ("(1, 2)", "(2, 1)"),
        ("(1, 2)", "[1, 2]"),
        ("1, 2", "1, 2, 3"),
        ("\\pm 2", "2"),
        ("n = 5", "m = 5"),
        ("3R^2", "3r^2"),
        ("19 \\text{ and } 43", "19"),
        ("18 \\text{ ways} + 1", "18"),
        ("3 \\text{ m}", "3 \\text{ cm}"),
        ("\\sqrt{x^2}", "x"),
        ("\\text{odd}", "even"),
        ("", "0"),
        ("\\frac{1}{0}", "0"),
    ];
    for (a, b) in different {
        assert!(!same_value(a, b) && !same_value(b, a), "{a} {b}");
    }
}

/// Why a verdict of ours is not that of math-verify, or of lm-evaluation-harness.
fn class(row: &Value, ours: bool) -> Option<&'static str> {
    let (gold, given) = (row["gold"].as_str()?, row["pred"].as_str()?);
    let any = |marks: &[&str]| marks.iter().any(|mark| given.contains(mark) || gold.contains(mark));
    Some(match ours {
        true if any(&["%"]) => {
            "yes: a percentage is its number or a hundredth of it; math-verify reads only the first, or neither"
        }
        true if any(&["\n", "because of", "nswer is"]) || given.trim_end().ends_with('.') => {
            "yes: a sentence around the answer is cut off; math-verify takes it for a part of a number"
        }
        true if given.matches(' ').count() * 2 + 1 >= given.chars().count() => {
            "yes: mathematics does not see blanks (\"2 7\" is 27)"
        }
        true if any(&["\\text", "\\mbox"]) => {
            "yes: text around a formula, and units behind a word, say nothing"
        }
        true if any(&[",\\!", "{,}", "\\,", "\\$", ",0"]) => {
            "yes: digits that are grouped, beside a name, a sign or a bracket"
        }
        true if any(&["\\ge", "\\le", "<", "\\in "]) => "yes: an inequality is the interval of its variable",
        true if any(&["answer =", "answer=", "=", "°", "\\degree", "circ", "{(", "{["]) => {
            "yes: a name before an answer, or degrees and braces around it, say nothing"
        }
        true => {
            "yes: another way to write the same value (mixed and repeating numbers, 1.2e1, \\sqrt[3]4, ⟨1, 2⟩)"
        }
        false if row["lm_eval_is_equiv"] == true && any(&["=", "+1"]) => {
            "no: a wrong value, which lm-evaluation-harness takes because it drops what is beside \"=\" or behind a unit"
        }
        false if gold.contains('_') || given.contains('_') => "no: math-verify drops the base of a number",
        false if given.to_lowercase() == gold.to_lowercase() || gold.to_uppercase() == *given => {
            "no: math-verify takes capitals and small letters for the same variable"
        }
        false if row["id"].as_str()?.starts_with("r1zero") => {
            "no: prose or broken markup, of which math-verify takes the last number; extraction from a whole text looks for it too"
        }
        false if any(&["\\mbox", " cm"]) => "no: a unit behind an equation",
        false => return None,
    })
}

#[test]
fn parity_by_value() {
    let Some(reference) = reference() else { return };
    let mut classes: BTreeMap<&str, usize> = BTreeMap::new();
    let mut unexplained = Vec::new();
    let (mut pairs, mut behind) = (Tally::default(), 0);
    for (file, verified) in [("math.jsonl", "math_verify_pair"), ("math_pairs.jsonl", "math_verify_boxed")] {
        for row in reference.rows(file) {
            let (Some(gold), Some(given)) = (row["gold"].as_str(), row["pred"].as_str()) else { continue };
            let ours = same_value(given, gold);
            let refused = row["lm_eval_is_equiv"] == true && !ours;
            pairs.compare(&row, &ours, &(row[verified] == true));
            if ours != (row[verified] == true) || refused {
                match class(&row, ours) {
                    Some(class) => *classes.entry(class).or_default() += 1,
                    None => unexplained.push(format!("{} {gold:?} {given:?} {ours}", row["id"])),
                }
            }
            behind += usize::from(refused && row[verified] == true);
        }
    }
    pairs.explain("math by value, beside math-verify", &classes);
    assert!(unexplained.is_empty(), "{}", unexplained.join("\n"));
    assert_eq!(behind, 0, "what both references take is taken");
    assert!(pairs.rows > 6000 && pairs.apart.len() * 5 < pairs.rows, "{} apart", pairs.apart.len());

    // Whole texts: what lm-evaluation-harness finds and takes is taken, and real outputs are judged as math-verify does.
    let math = Benchmark::load(&"math".into()).unwrap();
    let measures = math.measures(Profile::Standard).unwrap();
    let (mut dollars, mut real) = (Tally::default(), Tally::default());
    for row in reference.rows("math.jsonl") {
        let solution = format!("\\boxed{{{}}}", row["gold"].as_str().unwrap());
        let Value::Object(fields) = json!({"problem": "", "solution": solution}) else { unreachable!() };
        let item = Item::new("0".into(), fields);
        let output = row["output"].as_str().unwrap();
        let verdict = |at: usize| measures[at].score(&item, output, &Tools::default()).value() == Some(1.0);
        let (by_text, by_value) = (verdict(0), verdict(1));
        if !row["lm_eval_process_results"].is_string() {
            dollars.compare(&row, &by_text, &(row["lm_eval_process_results"] == true));
        }
        assert!(by_value || row["lm_eval_process_results"] != true, "{}", row["id"]);
        if row["id"].as_str().unwrap().starts_with("r1zero") {
            real.compare(&row, &by_value, &(row["math_verify_text"] == true));
        }
    }
    dollars.demand("math, lm-evaluation-harness");
    real.report("math by value, real outputs, beside math-verify");
    assert!(real.rows > 1000 && real.apart.len() * 16 < real.rows, "{} apart", real.apart.len());
}
