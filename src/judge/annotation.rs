//! alpaca_eval's `annotations.json`: one verdict on one pair of answers.

use super::figures::Judged;
use super::outputs::Pair;
use super::{Figures, JudgeError};
use crate::files;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::Path;

/// One verdict, with the keys of alpaca_eval. What is ours alone are the two preferences of the two orders.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Annotation {
    /// What was asked.
    pub instruction: String,
    /// The reference's answer.
    pub output_1: String,
    /// Who the reference is.
    pub generator_1: String,
    /// Which part of the evaluation set the instruction is from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dataset: Option<String>,
    /// The model's answer.
    pub output_2: String,
    /// Who the model is.
    pub generator_2: String,
    /// Who judged.
    #[serde(default)]
    pub annotator: String,
    /// 1: the reference is better; 2: the model is; between: how likely each; none: the judge said nothing that counts.
    pub preference: Option<f64>,
    /// What the judge said; one text for each order that was asked.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub raw_completion: Value,
    /// The preference with the reference's answer shown first, where both orders were asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preference_in_order: Option<f64>,
    /// The preference with the model's answer shown first, where both orders were asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preference_swapped: Option<f64>,
    /// What else a file says, kept as it is.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

impl Annotation {
    /// The verdict on a pair.
    pub fn of(pair: &Pair, annotator: &str, preference: Option<f64>, raw_completion: Value) -> Self {
        Self {
            instruction: pair.instruction.clone(),
            output_1: pair.output_1.clone(),
            generator_1: pair.generator_1.clone(),
            dataset: pair.dataset.clone(),
            output_2: pair.output_2.clone(),
            generator_2: pair.generator_2.clone(),
            annotator: annotator.to_owned(),
            preference,
            raw_completion,
            preference_in_order: None,
            preference_swapped: None,
            rest: Map::new(),
        }
    }

    /// What figures need of it.
    pub fn judged(&self) -> Judged {
        Judged {
            preference: self.preference,
            len_1: self.output_1.chars().count(),
            len_2: self.output_2.chars().count(),
        }
    }

    /// Reads a file of one model's verdicts.
    pub fn read(path: &Path) -> Result<Vec<Self>, JudgeError> {
        let bad = |reason: String| JudgeError::BadAnnotations { path: path.to_owned(), reason };
        let text = files::read_text(path)?;
        let rows: Vec<Self> = serde_json::from_str(&text).map_err(|e| bad(e.to_string()))?;
        if rows.is_empty() {
            return Err(bad("it has no rows".into()));
        }
        for (what, name) in [
            ("generator_1", (|a| &a.generator_1) as fn(&Self) -> &String),
            ("generator_2", |a| &a.generator_2),
            ("annotator", |a| &a.annotator),
        ] {
            let names: BTreeSet<&str> = rows.iter().map(|a| name(a).as_str()).collect();
            if names.len() > 1 {
                let found = names.into_iter().collect::<Vec<_>>().join(", ");
                return Err(JudgeError::Several { path: path.to_owned(), what, found });
            }
        }
        Ok(rows)
    }

    /// The text of a file of verdicts, as alpaca_eval writes and reads it.
    pub fn file(rows: &[Self]) -> String {
        serde_json::to_string_pretty(rows).unwrap_or_else(|_| unreachable!("keys are strings"))
    }
}

/// How much the judge prefers what it is shown first.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct PositionBias {
    /// Pairs with a verdict in both orders.
    pub n: usize,
    /// Mean preference for the answer shown first less one half, in percentage points: 0 for a judge without bias, 50 for
    /// one that always says the first.
    pub points: f64,
    /// Share of the pairs, in percent, on which both orders prefer the same answer (or none).
    pub consistent: f64,
}

impl PositionBias {
    /// The bias in some verdicts; none if they were asked in one order only.
    pub fn of(rows: &[Annotation]) -> Option<Self> {
        let both: Vec<(f64, f64)> =
            rows.iter().filter_map(|a| a.preference_in_order.zip(a.preference_swapped)).collect();
        if both.is_empty() {
            return None;
        }
        let n = both.len() as f64;
        // In order the reference (1) is shown first, swapped the model (2).
        let first: f64 = both.iter().map(|(a, b)| f64::midpoint(2.0 - a, b - 1.0) - 0.5).sum();
        let sides = both.iter().filter(|(a, b)| a.total_cmp(&1.5) == b.total_cmp(&1.5)).count();
        Some(Self { n: both.len(), points: 100.0 * first / n, consistent: 100.0 * sides as f64 / n })
    }
}

/// The row of a model in alpaca_eval's `leaderboard.csv`, with its head. `controlled` is the length-controlled win rate with
/// its standard error.
fn leaderboard(model: &str, figures: &Figures, controlled: Option<(f64, f64)>) -> String {
    let number = |x: Option<f64>| x.map_or_else(String::new, |x| x.to_string());
    let quoted = if model.contains([',', '"', '\n']) {
        format!("\"{}\"", model.replace('"', "\"\""))
    } else {
        model.to_owned()
    };
    let mut text = String::from(
        ",win_rate,standard_error,n_wins,n_wins_base,n_draws,n_total,discrete_win_rate,mode,avg_length,\
         length_controlled_winrate,lc_standard_error\n",
    );
    let _ = writeln!(
        text,
        "{quoted},{},{},{},{},{},{},{},community,{},{},{}",
        number(figures.win_rate),
        number(figures.standard_error),
        figures.n_wins,
        figures.n_wins_base,
        figures.n_draws,
        figures.n_total,
        number(figures.discrete_win_rate),
        figures.avg_length,
        number(controlled.map(|c| c.0)),
        number(controlled.map(|c| c.1)),
    );
    text
}

/// Writes a model's verdicts into a folder, as alpaca_eval names its files: `annotations.json`, and `leaderboard.csv` with the
/// model's row. `controlled` is the length-controlled win rate with its standard error.
pub fn write_verdicts(
    folder: &Path,
    rows: &[Annotation],
    figures: &Figures,
    controlled: Option<(f64, f64)>,
) -> Result<(), JudgeError> {
    let model = rows.first().map_or("", |row| &row.generator_2);
    files::create_folder(folder)?;
    files::write(&folder.join("annotations.json"), Annotation::file(rows).as_bytes())?;
    files::write(&folder.join("leaderboard.csv"), leaderboard(model, figures, controlled).as_bytes())?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(in_order: f64, swapped: f64) -> Annotation {
        let pair = Pair {
            dataset: None,
            instruction: "i".into(),
            output_1: "a".into(),
            output_2: "b".into(),
            generator_1: "r".into(),
            generator_2: "m".into(),
        };
        let mut row = Annotation::of(&pair, "x", Some(f64::midpoint(in_order, swapped)), Value::Null);
        (row.preference_in_order, row.preference_swapped) = (Some(in_order), Some(swapped));
        row
    }

    #[test]
    fn a_judge_that_always_says_the_first_is_found_out() {
        let always_first = vec![asked(1.0, 2.0); 4];
        let bias = PositionBias::of(&always_first).unwrap();
        assert_eq!((bias.n, bias.points, bias.consistent), (4, 50.0, 0.0));
        let fair = [asked(1.0, 1.0), asked(2.0, 2.0)];
        assert_eq!(PositionBias::of(&fair).unwrap().points, 0.0);
        assert_eq!(PositionBias::of(&[asked(1.25, 1.0)]).unwrap().points, -12.5);
        let mut once = asked(1.0, 2.0);
        once.preference_swapped = None;
        assert_eq!(PositionBias::of(&[once]), None);
    }
}
