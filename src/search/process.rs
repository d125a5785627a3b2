//! A Gaussian process over the points of a region, and how much a point may be expected to improve on the best.

use super::region::Point;
use std::f64::consts::{LN_2, PI};

/// Length scales that are tried, in λ (two models alone are 1 apart) and in height.
const LENGTHS: [f64; 8] = [0.05, 0.1, 0.2, 0.35, 0.6, 1.0, 1.7, 3.0];
/// What a value may be off by beside the process, as a share of its variance. Items are the same for all candidates, but few:
/// the figure is a step function of λ.
const NOISES: [f64; 5] = [1e-4, 1e-3, 1e-2, 0.1, 0.5];
/// The length scale that is likeliest before anything is known, and how far off by a factor e^SPREAD it may easily be. With a wider
/// one, two magnitudes with like figures make s seem not to matter, and nothing between them is ever asked.
const LENGTH: f64 = 0.35;
const SPREAD: f64 = 0.5;

/// A process with a Matérn 5/2 kernel, fitted to points and values by the maximum of the marginal likelihood with a log-normal
/// prior of the length scales (Rasmussen & Williams 2006, section 5.4.1; Snoek et al. 2012 for the kernel).
#[derive(Debug)]
pub(super) struct Process<'p> {
    points: &'p [Point],
    lengths: (f64, f64),
    /// Lower triangle of the correlations with noise, row by row.
    factor: Vec<Vec<f64>>,
    /// K⁻¹·y.
    weights: Vec<f64>,
    mean: f64,
    deviation: f64,
}

impl<'p> Process<'p> {
    /// Fits one; nothing without points.
    pub(super) fn fit(points: &'p [Point], values: &[f64]) -> Option<Self> {
        let first = points.first()?;
        let n = points.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let spread = (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n).sqrt().max(1e-9);
        let y: Vec<f64> = values.iter().map(|v| (v - mean) / spread).collect();
        let tall = points.iter().any(|p| p.height != first.height);
        let heights: &[f64] = if tall { &LENGTHS } else { &LENGTHS[..1] };
        let mut best: Option<(f64, Self)> = None;
        for &wide in &LENGTHS {
            for &high in heights {
                for &noise in &NOISES {
                    let Some(factor) = cholesky(points, (wide, high), noise) else { continue };
                    let weights = solve(&factor, &y);
                    // The variance that fits best, given the rest.
                    let variance = (y.iter().zip(&weights).map(|(y, w)| y * w).sum::<f64>() / n).max(1e-12);
                    let half_log_determinant: f64 =
                        factor.iter().enumerate().map(|(i, row)| row[i].ln()).sum();
                    let prior = |length: f64| -0.5 * ((length / LENGTH).ln() / SPREAD).powi(2);
                    let prior = prior(wide) + if tall { prior(high) } else { 0.0 };
                    let likelihood = prior - 0.5 * n * variance.ln() - half_log_determinant;
                    if best.as_ref().is_none_or(|(known, _)| likelihood > *known) {
                        let deviation = spread * variance.sqrt();
                        let weights = weights.iter().map(|w| w * spread).collect();
                        best = Some((
                            likelihood,
                            Self { points, lengths: (wide, high), factor, weights, mean, deviation },
                        ));
                    }
                }
            }
        }
        best.map(|(_, process)| process)
    }

    /// Mean and standard deviation of what the value at a point is, without the noise.
    pub(super) fn at(&self, point: &Point) -> (f64, f64) {
        let near: Vec<f64> = self.points.iter().map(|p| kernel(p, point, self.lengths)).collect();
        let mean = self.mean + near.iter().zip(&self.weights).map(|(k, w)| k * w).sum::<f64>();
        let known: f64 = forward(&self.factor, &near).iter().map(|x| x * x).sum();
        (mean, self.deviation * (1.0 - known).max(0.0).sqrt())
    }

    /// The highest mean at a point that was measured.
    pub(super) fn best(&self) -> f64 {
        self.points.iter().map(|p| self.at(p).0).fold(f64::NEG_INFINITY, f64::max)
    }

    /// ln of E max(0, f(point) − best) (Jones, Schonlau & Welch 1998), so that points of which little may be expected are
    /// still in order.
    pub(super) fn log_improvement(&self, point: &Point, best: f64) -> f64 {
        let (mean, deviation) = self.at(point);
        let deviation = deviation.max(1e-12);
        deviation.ln() + log_expected((mean - best) / deviation)
    }
}

fn kernel(a: &Point, b: &Point, (wide, high): (f64, f64)) -> f64 {
    let (weights, height) = a.apart(b);
    let r = (5.0 * (weights / (wide * wide) + height / (high * high))).sqrt();
    (1.0 + r + r * r / 3.0) * (-r).exp()
}

/// L with L·Lᵀ = K + noise·I; nothing if that is not positive definite in floating point.
fn cholesky(points: &[Point], lengths: (f64, f64), noise: f64) -> Option<Vec<Vec<f64>>> {
    let mut factor: Vec<Vec<f64>> = Vec::with_capacity(points.len());
    for (i, point) in points.iter().enumerate() {
        let mut row = Vec::with_capacity(i + 1);
        for j in 0..=i {
            let above = if j < i { &factor[j] } else { &row };
            let sum: f64 = row.iter().zip(above).take(j).map(|(a, b)| a * b).sum();
            let k = kernel(point, &points[j], lengths) + if i == j { noise } else { 0.0 };
            let next = if i == j {
                let square = k - sum;
                (square > 0.0).then(|| square.sqrt())?
            } else {
                (k - sum) / factor[j][j]
            };
            row.push(next);
        }
        factor.push(row);
    }
    Some(factor)
}

/// L⁻¹·y.
fn forward(factor: &[Vec<f64>], y: &[f64]) -> Vec<f64> {
    let mut x: Vec<f64> = Vec::with_capacity(y.len());
    for (row, y) in factor.iter().zip(y) {
        let sum: f64 = row.iter().zip(&x).map(|(a, b)| a * b).sum();
        x.push((y - sum) / row[x.len()]);
    }
    x
}

/// (L·Lᵀ)⁻¹·y.
fn solve(factor: &[Vec<f64>], y: &[f64]) -> Vec<f64> {
    let mut x = forward(factor, y);
    for i in (0..x.len()).rev() {
        let sum: f64 = (i + 1..x.len()).map(|j| factor[j][i] * x[j]).sum();
        x[i] = (x[i] - sum) / factor[i][i];
    }
    x
}

/// ln(z·Φ(z) + φ(z)).
fn log_expected(z: f64) -> f64 {
    let log_density = -0.5 * z * z - 0.5 * (LN_2 + PI.ln());
    if z > -4.0 {
        return (z * below(z) + log_density.exp()).ln();
    }
    // Φ(z)/φ(z) at x = −z as a continued fraction: 1/(x + 1/(x + 2/(x + 3/(…)))).
    let x = -z;
    let rest = (2..40).rev().fold(x, |rest, k| x + f64::from(k) / rest);
    // 1 − x·(Φ/φ) = (1/rest)/(x + 1/rest).
    log_density - (x * rest + 1.0).ln()
}

/// Φ(z) by its series at zero, which is exact enough above −4 (Abramowitz & Stegun 1964, 26.2.11).
fn below(z: f64) -> f64 {
    if z > 8.0 {
        return 1.0;
    }
    let (mut term, mut sum, mut k) = (z, z, 1.0);
    while f64::abs(term) > 1e-17 * f64::abs(sum) {
        k += 2.0;
        term *= z * z / k;
        sum += term;
    }
    0.5 + sum * (-0.5 * z * z).exp() / (2.0 * PI).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(x: f64) -> Point {
        Point { weights: vec![x, 1.0 - x], height: 0.0 }
    }

    #[test]
    fn the_normal_law_and_what_may_be_expected_of_it() {
        // Abramowitz & Stegun 1964, table 26.1.
        for (z, want) in [(0.0, 0.5), (1.0, 0.841_344_746_068_543), (-3.0, 0.001_349_898_031_630_095)] {
            assert!((below(z) / want - 1.0).abs() < 1e-12, "{z}");
        }
        assert!((log_expected(0.0).exp() - 0.398_942_280_401_432_7).abs() < 1e-15);
        // Both ways to compute it meet where one takes over, and far out it goes as φ(x)/x².
        assert!((log_expected(-4.0 + 1e-9) - log_expected(-4.0)).abs() < 1e-6);
        let far = log_expected(-1000.0) - (-500_000.0 - 0.5 * (2.0 * PI).ln() - 2.0 * 1000f64.ln());
        assert!(far.abs() < 1e-5, "{far}");
    }

    #[test]
    fn a_process_goes_through_what_was_measured_and_doubts_the_rest() {
        let points: Vec<Point> = [0.0, 0.1, 0.25, 0.4, 0.55, 0.7, 1.0].map(at).to_vec();
        let f = |x: f64| (3.0 * x).sin();
        let values: Vec<f64> = points.iter().map(|p| f(p.weights[0])).collect();
        let process = Process::fit(&points, &values).unwrap();
        for (point, value) in points.iter().zip(&values) {
            let (mean, deviation) = process.at(point);
            assert!((mean - value).abs() < 0.01 && deviation < 0.05, "{point:?}: {mean} ± {deviation}");
        }
        let (mean, between) = process.at(&at(0.85));
        assert!((mean - f(0.85)).abs() < 0.05, "{mean}");
        assert!(between > process.at(&at(0.7)).1);
        // The peak is at π/6.
        let best = process.best();
        let expected = |x: f64| process.log_improvement(&at(x), best);
        assert!(expected(0.5) > expected(0.9) && expected(0.5) > expected(0.05));
    }

    #[test]
    fn equal_values_and_a_point_alone_are_no_trouble() {
        let points: Vec<Point> = [0.0, 0.5, 0.5, 1.0].map(at).to_vec();
        let process = Process::fit(&points, &[0.3; 4]).unwrap();
        assert!((process.at(&at(0.2)).0 - 0.3).abs() < 1e-9);
        assert!(Process::fit(&points[..1], &[0.3]).unwrap().log_improvement(&at(1.0), 0.3).is_finite());
        assert!(Process::fit(&[], &[]).is_none());
    }
}
