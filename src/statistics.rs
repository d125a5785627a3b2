//! Means of items with their intervals, alone and paired, and the bootstrap for what is no mean.

use crate::random::Stream;
use rayon::prelude::*;

/// Resamples of a bootstrap.
pub const RESAMPLES: u64 = 10_000;

/// The 97.5 % point of the normal law: half-width of a two-sided 95 % interval in standard errors.
pub const Z95: f64 = 1.959_963_984_540_054;

/// A figure with the half-width of its 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// The figure.
    pub value: f64,
    /// Half of its interval.
    pub half_width: f64,
    /// Items behind it.
    pub n: usize,
}

/// s²/n with the sample's variance s², for two values or more.
pub fn variance_of_mean(values: &[f64], mean: f64) -> f64 {
    let n = values.len() as f64;
    values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0) / n
}

/// Weighted mean over benchmarks: Σ w_b·(mean of the values of b), with the interval from Σ w_b²·s_b²/n_b.
pub fn mean_of(parts: &[(f64, &[f64])]) -> Estimate {
    let mut value = 0.0;
    let mut variance = 0.0;
    let mut count = 0;
    for (weight, values) in parts {
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n.max(1.0);
        value += weight * mean;
        if values.len() > 1 {
            variance += weight * weight * variance_of_mean(values, mean);
        }
        count += values.len();
    }
    Estimate { value, half_width: Z95 * variance.sqrt(), n: count }
}

/// The weighted mean of a − b item by item, for two models on the same items: the interval is that of the paired
/// differences, which is narrower than that of two separate means.
pub fn paired_difference(parts: &[(f64, &[f64], &[f64])]) -> Estimate {
    let differences: Vec<(f64, Vec<f64>)> =
        parts.iter().map(|(w, a, b)| (*w, a.iter().zip(*b).map(|(a, b)| a - b).collect())).collect();
    let borrowed: Vec<(f64, &[f64])> = differences.iter().map(|(w, d)| (*w, d.as_slice())).collect();
    mean_of(&borrowed)
}

/// The 2.5 % and 97.5 % points of a statistic over [`RESAMPLES`] resamples of `n` items (percentile bootstrap, Efron 1979).
/// Resamples for which it does not exist are left out; none if there are no others. Each has a random stream of its own, so that
/// threads cannot change a bit.
pub fn bootstrap(
    n: usize,
    seed: u64,
    purpose: &str,
    statistic: impl Fn(&mut dyn Iterator<Item = usize>) -> Option<f64> + Sync,
) -> Option<(f64, f64)> {
    let mut found: Vec<f64> = (0..RESAMPLES)
        .into_par_iter()
        .filter_map(|index| {
            let mut stream = Stream::new(seed, purpose, index);
            statistic(&mut (0..n).map(|_| (stream.unit() * n as f64) as usize))
        })
        .collect();
    found.sort_by(f64::total_cmp);
    let last = found.len().checked_sub(1)?;
    let at = |p: f64| found[(p * last as f64).round() as usize];
    Some((at(0.025), at(0.975)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_paired_interval_is_narrower_when_models_agree() {
        let a: Vec<f64> = (0..100).map(|i| f64::from(u8::from(i % 2 == 0))).collect();
        let mut b = a.clone();
        b[0] = 0.0;
        let paired = paired_difference(&[(1.0, &a, &b)]);
        assert!((paired.value - 0.01).abs() < 1e-12);
        assert!(paired.half_width < mean_of(&[(1.0, &a)]).half_width);
    }
}
