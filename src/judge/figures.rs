//! What verdicts on pairs sum up to, as alpaca_eval's leaderboards have it.

use serde::Serialize;

/// One instruction's verdict, and how long the two answers are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Judged {
    /// From 1, the reference's answer is better, to 2, the model's is; none where the judge said nothing that counts.
    pub preference: Option<f64>,
    /// Characters of the reference's answer.
    pub len_1: usize,
    /// Characters of the model's answer.
    pub len_2: usize,
}

impl Judged {
    /// The preference in 0..=1, 1 for the model; alpaca_eval's older 0 is a draw, and what lies elsewhere counts for
    /// nothing.
    pub fn share(&self) -> Option<f64> {
        let preference = self.preference.map(|p| if p == 0.0 { 1.5 } else { p })?;
        (1.0..=2.0).contains(&preference).then_some(preference - 1.0)
    }
}

/// Figures under alpaca_eval's names; rates and their errors are percentages.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Figures {
    /// Mean preference for the model, a draw counting one half.
    pub win_rate: Option<f64>,
    /// Its standard error, √(s²/n) with the sample's variance; none below two verdicts.
    pub standard_error: Option<f64>,
    /// Normal 95 % interval of the win rate, kept inside [0, 100].
    pub ci95: Option<(f64, f64)>,
    /// Verdicts for the model.
    pub n_wins: usize,
    /// Verdicts for the reference.
    pub n_wins_base: usize,
    /// Verdicts for neither.
    pub n_draws: usize,
    /// All verdicts that count.
    pub n_total: usize,
    /// Instructions without a verdict that counts; they are in no rate.
    pub unscored: usize,
    /// The win rate with every verdict rounded to a win, a draw or a loss.
    pub discrete_win_rate: Option<f64>,
    /// Mean length of the model's answers in characters, cut to a whole number as the leaderboards have it.
    pub avg_length: usize,
}

impl Figures {
    /// Sums verdicts up (alpaca_eval 0.6.6, `metrics/helpers.py`: absolute and zero-one scoring rules).
    pub fn of(judged: &[Judged]) -> Self {
        let shares: Vec<f64> = judged.iter().filter_map(Judged::share).collect();
        let rounded: Vec<f64> =
            shares.iter().map(|&s| if s == 0.5 { s } else { f64::from(u8::from(s > 0.5)) }).collect();
        let count = |is: fn(f64) -> bool| shares.iter().filter(|s| is(**s)).count();
        let win_rate = mean(&shares).map(|m| 100.0 * m);
        let standard_error = standard_error(&shares).map(|e| 100.0 * e);
        let interval =
            |(rate, error): (f64, f64)| ((rate - 1.96 * error).max(0.0), (rate + 1.96 * error).min(100.0));
        let lengths: usize = judged.iter().map(|j| j.len_2).sum();
        Self {
            win_rate,
            standard_error,
            ci95: win_rate.zip(standard_error).map(interval),
            n_wins: count(|s| s > 0.5),
            n_wins_base: count(|s| s < 0.5),
            n_draws: count(|s| s == 0.5),
            n_total: shares.len(),
            unscored: judged.len() - shares.len(),
            discrete_win_rate: mean(&rounded).map(|m| 100.0 * m),
            avg_length: lengths.checked_div(judged.len()).unwrap_or(0),
        }
    }
}

/// The mean of some values; none of none.
pub(super) fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// √(s²/n) with the sample's variance s².
pub(super) fn standard_error(values: &[f64]) -> Option<f64> {
    deviation(values).map(|s| s / (values.len() as f64).sqrt())
}

/// The sample's standard deviation (n − 1); none below two values.
pub(super) fn deviation(values: &[f64]) -> Option<f64> {
    let centre = mean(values).filter(|_| values.len() > 1)?;
    let squares: f64 = values.iter().map(|v| (v - centre).powi(2)).sum();
    Some((squares / (values.len() - 1) as f64).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_are_halves_and_what_is_no_preference_is_unscored() {
        let judged = |preference| Judged { preference, len_1: 1, len_2: 3 };
        let all = [Some(2.0), Some(1.25), Some(0.0), Some(1.5), None, Some(f64::NAN), Some(7.0)].map(judged);
        let figures = Figures::of(&all);
        assert_eq!(
            (figures.n_wins, figures.n_wins_base, figures.n_draws, figures.n_total, figures.unscored),
            (1, 1, 2, 4, 3)
        );
        // (1 + 0.25 + 0.5 + 0.5)/4 and (1 + 0 + 0.5 + 0.5)/4.
        assert_eq!((figures.win_rate, figures.discrete_win_rate), (Some(56.25), Some(50.0)));
        // Squares about 0.5625: (0.19140625 + 0.09765625 + 2·0.00390625)/3/4.
        let error = 100.0 * (0.296_875_f64 / 12.0).sqrt();
        assert!((figures.standard_error.unwrap() - error).abs() < 1e-12);
        let none = Figures::of(&all[4..]);
        assert_eq!((none.win_rate, none.standard_error, none.ci95, none.unscored), (None, None, None, 3));
    }
}
