//! From verdicts to figures. Means are over scored items; invalid ones count as wrong, unscored ones for nothing.

use crate::bench::Verdict;
use crate::statistics::{Z95, variance_of_mean};
use serde::Serialize;

/// A benchmark's figures. Values are in [0, 1].
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// Scored items.
    pub n: usize,
    /// Mean value; none if nothing was scored.
    pub mean: Option<f64>,
    /// Standard error of the mean, √(s²/n) with the sample's variance; none below two items.
    pub standard_error: Option<f64>,
    /// 95 % interval of the mean.
    pub ci95: Option<(f64, f64)>,
    /// Scored items whose value is 1.
    pub right: usize,
    /// Scored items that have an answer, and not the right one.
    pub wrong: usize,
    /// Scored items from which no answer could be extracted.
    pub invalid: usize,
    /// Items without a verdict.
    pub unscored: usize,
}

impl Summary {
    /// Sums verdicts up.
    pub fn of(verdicts: &[Verdict]) -> Self {
        let values: Vec<f64> = verdicts.iter().filter_map(Verdict::value).collect();
        let n = values.len();
        let mean = (n > 0).then(|| values.iter().sum::<f64>() / n as f64);
        let right = values.iter().filter(|v| **v == 1.0).count();
        let invalid = verdicts.iter().filter(|v| v.is_invalid()).count();
        Self {
            n,
            mean,
            standard_error: mean.filter(|_| n > 1).map(|m| variance_of_mean(&values, m).sqrt()),
            // Values between 0 and 1 vary less than a proportion with their mean, so that Wilson's interval holds.
            ci95: mean.map(|m| wilson(m, n)),
            right,
            wrong: n - right - invalid,
            invalid,
            unscored: verdicts.iter().filter(|v| v.is_unscored()).count(),
        }
    }
}

/// Wilson's 95 % score interval of a proportion `p` out of `n` (Wilson 1927). It stays inside [0, 1] and has a width at
/// 0 and 1 too, where p ± 1.96·√(p(1−p)/n) has none.
fn wilson(p: f64, n: usize) -> (f64, f64) {
    let n = n as f64;
    let z2 = Z95 * Z95;
    let centre = (p + z2 / (2.0 * n)) / (1.0 + z2 / n);
    let half = Z95 / (1.0 + z2 / n) * (p * (1.0 - p) / n + z2 / (4.0 * n * n)).sqrt();
    // At the ends both halves are equal but for the last bit.
    let low = if p > 0.0 { (centre - half).max(0.0) } else { 0.0 };
    let high = if p < 1.0 { (centre + half).min(1.0) } else { 1.0 };
    (low, high)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::{Unscored, Verdict};

    #[test]
    fn wilson_matches_published_values() {
        // 81 of 263: (0.2553, 0.3662), Newcombe 1998, table I, method 3.
        let (low, high) = wilson(81.0 / 263.0, 263);
        assert!((low - 0.2553).abs() < 5e-5 && (high - 0.3662).abs() < 5e-5, "{low} {high}");
        // 0 of 20: (0, 0.1611).
        let (low, high) = wilson(0.0, 20);
        assert!(low == 0.0 && (high - 0.1611).abs() < 5e-5, "{low} {high}");
        assert!((1..400).all(|n| wilson(0.0, n).0 == 0.0 && wilson(1.0, n).1 == 1.0));
    }

    #[test]
    fn unscored_items_count_for_nothing_and_invalid_ones_as_wrong() {
        let verdicts = [
            Verdict::correct("1"),
            Verdict::wrong("2"),
            Verdict::no_answer(),
            Verdict::Unscored { why: Unscored::NoSandbox },
        ];
        let s = Summary::of(&verdicts);
        assert_eq!((s.n, s.right, s.wrong, s.invalid, s.unscored), (3, 1, 1, 1, 1));
        assert!((s.mean.unwrap() - 1.0 / 3.0).abs() < 1e-12);
        // The values 1, 0, 0: s² = 1/3, s²/n = 1/9.
        assert!((s.standard_error.unwrap() - 1.0 / 3.0).abs() < 1e-12);
        let none = Summary::of(&verdicts[3..]);
        assert_eq!((none.n, none.mean, none.standard_error, none.ci95), (0, None, None, None));
    }
}
