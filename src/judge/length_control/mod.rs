//! The length-controlled win rate of AlpacaEval 2 (Dubois et al. 2024, arXiv:2404.04475): what the judge would have
//! preferred, had both answers the same length.
//!
//! - `gamed`: the instruction difficulties and gamed baselines that the full model needs, from alpaca_eval's `df_gamed.csv`
//! - `logistic`: logistic regression with an L1 penalty, its strength chosen by cross-validation

mod gamed;
mod logistic;

pub use gamed::Gamed;

use super::JudgeError;
use super::figures::{self, Judged};
use logistic::Row;
use serde::Serialize;

/// Weight of all rows of the two gamed baselines together against the model's own.
const BASELINES: f64 = 0.2 / 2.0;

/// Which model was fitted; the names are alpaca_eval's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Glm {
    /// Length, difficulty of the instruction and the model itself, held near the gamed baselines: what leaderboards have.
    LengthControlledV1,
    /// As v1, and not held.
    LengthControlledNoreg,
    /// Length and the model itself: what can be had without `df_gamed.csv`. Not comparable with leaderboards.
    LengthControlledMinimal,
}

impl Glm {
    /// alpaca_eval's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::LengthControlledV1 => "length_controlled_v1",
            Self::LengthControlledNoreg => "length_controlled_noreg",
            Self::LengthControlledMinimal => "length_controlled_minimal",
        }
    }
}

/// The length-controlled win rate, in percent.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LengthControlled {
    /// Which model was fitted.
    pub glm: Glm,
    /// Mean over instructions of the preference that the fit predicts at equal lengths.
    pub length_controlled_winrate: f64,
    /// Standard error of that mean over instructions, as alpaca_eval has it: it knows nothing of the fit's own error, and
    /// is 0 where all instructions are predicted alike.
    pub lc_standard_error: Option<f64>,
    /// Coefficients of tanh(standardised length difference), of the difficulty (none in the minimal model), of the model.
    pub weights: Vec<f64>,
    /// Whether it is so far from the plain win rate that alpaca_eval would warn of a failed fit.
    pub extreme: bool,
}

impl LengthControlled {
    /// The reference against itself: even by construction.
    fn even(glm: Glm) -> Self {
        let weights = vec![0.0; if glm == Glm::LengthControlledMinimal { 2 } else { 3 }];
        Self { glm, length_controlled_winrate: 50.0, lc_standard_error: Some(0.0), weights, extreme: false }
    }
}

/// Fits the model and predicts at equal lengths; nothing where there are too few verdicts or the lengths do not differ.
///
/// logit p = a·tanh(Δ/σ) + b·difficulty + c, where Δ is the reference's length less the model's in characters and σ its
/// sample standard deviation over the instructions (alpaca_eval 0.6.6, `metrics/glm_winrate.py`). The difficulty of an
/// instruction is found by its position, so that `judged` must be in the order of the evaluation set.
pub fn length_controlled(
    judged: &[Judged],
    glm: Glm,
    gamed: Option<&Gamed>,
) -> Result<Option<LengthControlled>, JudgeError> {
    let deltas: Vec<f64> = judged.iter().map(|j| j.len_1 as f64 - j.len_2 as f64).collect();
    let Some(spread) = figures::deviation(&deltas) else { return Ok(None) };
    if spread == 0.0 && deltas[0] == 0.0 && judged.iter().all(|j| j.share() == Some(0.5)) {
        return Ok(Some(LengthControlled::even(glm)));
    }
    if spread == 0.0 {
        return Ok(None);
    }
    let gamed = gamed.filter(|_| glm != Glm::LengthControlledMinimal);
    if let Some(gamed) = gamed {
        gamed.covers(judged.len())?;
    }
    let features = |at: usize, length: f64| match gamed {
        Some(gamed) => vec![length, gamed.difficulties[at], 1.0],
        None => vec![length, 1.0],
    };
    let mut rows: Vec<Row> = Vec::new();
    if let Some(gamed) = gamed.filter(|_| glm == Glm::LengthControlledV1) {
        rows.extend(gamed.rows.iter().map(|r| Row {
            x: vec![r.std_delta_len.tanh(), r.difficulty, f64::from(u8::from(r.not_gamed))],
            p: r.preference,
            weight: if r.not_gamed { 1.0 } else { BASELINES },
        }));
    }
    let own = judged.iter().zip(&deltas).enumerate().filter_map(|(at, (j, delta))| {
        Some(Row { x: features(at, (delta / spread).tanh()), p: j.share()?, weight: 1.0 })
    });
    let before = rows.len();
    rows.extend(own);
    if rows.len() - before < logistic::FOLDS {
        return Ok(None);
    }
    let weights = logistic::fit_cross_validated(&rows);
    let predicted: Vec<f64> =
        (0..judged.len()).map(|at| logistic::probability(&weights, &features(at, 0.0))).collect();
    let shares: Vec<f64> = judged.iter().filter_map(Judged::share).collect();
    let plain = 100.0 * figures::mean(&shares).unwrap_or(0.5);
    let rate = 100.0 * figures::mean(&predicted).unwrap_or(0.5);
    Ok(Some(LengthControlled {
        glm,
        length_controlled_winrate: rate,
        lc_standard_error: figures::standard_error(&predicted).map(|e| 100.0 * e),
        weights,
        extreme: is_extreme(plain, rate),
    }))
}

/// Whether the controlled rate is further from the plain one than both 10 points and a quarter of the way to the end.
fn is_extreme(plain: f64, controlled: f64) -> bool {
    controlled < (plain - plain / 4.0).min(plain - 10.0)
        || controlled > (plain + (100.0 - plain) / 4.0).max(plain + 10.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The judge prefers the longer answer and nothing else: at equal lengths neither is better.
    #[test]
    fn a_preference_for_length_alone_is_taken_out() {
        let judged: Vec<Judged> = (0..200)
            .map(|i| {
                let longer = i % 10 < 7;
                let extra = 50 + 13 * (i % 11);
                let (len_1, len_2) = if longer { (300, 300 + extra) } else { (300 + extra, 300) };
                Judged { preference: Some(if longer { 1.8 } else { 1.2 }), len_1, len_2 }
            })
            .collect();
        let plain = Figures::of(&judged).win_rate.unwrap();
        let fit = length_controlled(&judged, Glm::LengthControlledMinimal, None).unwrap().unwrap();
        assert!((plain - 62.0).abs() < 1e-9);
        assert!((fit.length_controlled_winrate - 50.0).abs() < 2.5, "{fit:?}");
        assert!(fit.weights[0] < -1.0 && !fit.extreme, "{fit:?}");
    }

    #[test]
    fn equal_lengths_leave_nothing_to_control() {
        let itself = [Judged { preference: Some(1.5), len_1: 5, len_2: 5 }; 20];
        let even = length_controlled(&itself, Glm::LengthControlledMinimal, None).unwrap().unwrap();
        assert_eq!((even.length_controlled_winrate, even.weights), (50.0, vec![0.0, 0.0]));
        let judged = [Judged { preference: Some(2.0), len_1: 5, len_2: 5 }; 20];
        assert_eq!(length_controlled(&judged, Glm::LengthControlledMinimal, None).unwrap(), None);
        assert_eq!(length_controlled(&judged[..1], Glm::LengthControlledMinimal, None).unwrap(), None);
    }

    #[test]
    fn far_is_ten_points_and_a_quarter_of_the_way() {
        assert!(!is_extreme(50.0, 37.6) && is_extreme(50.0, 37.4));
        assert!(!is_extreme(20.0, 10.1) && is_extreme(20.0, 9.9));
        assert!(!is_extreme(90.0, 99.9) && is_extreme(20.0, 40.1));
    }

    use super::super::Figures;
}
