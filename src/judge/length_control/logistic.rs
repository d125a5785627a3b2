//! Logistic regression on preferences in [0, 1], without intercept, with an L1 penalty: the minimum over w of
//!
//! ‖w‖₁ + C·Σ ωᵢ·(pᵢ·ln(1 + e^(−xᵢ·w)) + (1 − pᵢ)·ln(1 + e^(xᵢ·w)))
//!
//! which is what alpaca_eval asks of scikit-learn by giving every row twice. C is one of ten values between 1e-4 and 1e4,
//! the one with the least weighted log loss over five folds. scikit-learn's solver stops early, ours at the minimum.

/// Folds of the cross-validation.
pub(super) const FOLDS: usize = 5;
/// Values of C that are tried.
const STRENGTHS: usize = 10;

/// One observation.
#[derive(Clone, Debug)]
pub(super) struct Row {
    /// Features.
    pub(super) x: Vec<f64>,
    /// Share of the preference for the model.
    pub(super) p: f64,
    /// Weight.
    pub(super) weight: f64,
}

/// 1/(1 + e^(−x·w)).
pub(super) fn probability(w: &[f64], x: &[f64]) -> f64 {
    1.0 / (1.0 + (-dot(w, x)).exp())
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// The fit at the best C.
pub(super) fn fit_cross_validated(rows: &[Row]) -> Vec<f64> {
    // Groups of one size each go round the folds, from the last (scikit-learn's GroupKFold).
    let fold = |at: usize| (rows.len() - 1 - at) % FOLDS;
    let mut losses = [0.0; STRENGTHS];
    for held_out in 0..FOLDS {
        let of = |in_fold: bool| -> Vec<&Row> {
            let mine = |(at, _): &(usize, &Row)| (fold(*at) == held_out) == in_fold;
            rows.iter().enumerate().filter(mine).map(|(_, row)| row).collect()
        };
        let (train, test) = (of(false), of(true));
        for (loss, c) in losses.iter_mut().zip(strengths()) {
            let w = fit(&train, c);
            *loss += test.iter().map(|row| log_loss(row, &w)).sum::<f64>() / test.len() as f64;
        }
    }
    let all: Vec<&Row> = rows.iter().collect();
    // Of equal losses the first wins.
    let best = (0..STRENGTHS).fold(0, |best, at| if losses[at] < losses[best] { at } else { best });
    let c = strengths().nth(best).unwrap_or(1.0);
    fit(&all, c)
}

/// 10^−4 … 10^4 in equal steps of the exponent.
fn strengths() -> impl Iterator<Item = f64> {
    (0..STRENGTHS).map(|i| 10f64.powf(-4.0 + 8.0 * i as f64 / (STRENGTHS - 1) as f64))
}

fn log_loss(row: &Row, w: &[f64]) -> f64 {
    let p = probability(w, &row.x).clamp(1e-15, 1.0 - 1e-15);
    -row.weight * (row.p * p.ln() + (1.0 - row.p) * (1.0 - p).ln())
}

/// ln(1 + e^x) without overflow.
fn softplus(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

fn objective(rows: &[&Row], w: &[f64], c: f64) -> f64 {
    let loss = |row: &&Row| {
        let z = dot(w, &row.x);
        row.weight * (row.p * softplus(-z) + (1.0 - row.p) * softplus(z))
    };
    w.iter().map(|w| w.abs()).sum::<f64>() + c * rows.iter().map(loss).sum::<f64>()
}

/// The minimum, by Newton steps whose quadratic models are minimised one coordinate at a time (Yuan, Ho & Lin 2012).
fn fit(rows: &[&Row], c: f64) -> Vec<f64> {
    let n = rows.first().map_or(0, |row| row.x.len());
    let mut w = vec![0.0; n];
    let mut now = objective(rows, &w, c);
    for _ in 0..100 {
        let step = newton_step(rows, &w, c);
        let mut length = 1.0;
        let (next, value) = loop {
            let next: Vec<f64> = w.iter().zip(&step).map(|(w, d)| w + length * d).collect();
            let value = objective(rows, &next, c);
            if value <= now || length < 1e-10 {
                break (next, value);
            }
            length *= 0.5;
        };
        let moved = step.iter().map(|d| (length * d).abs()).fold(0.0, f64::max);
        // Below this length rounding decides whether the objective falls.
        if value > now || moved < 1e-9 {
            break;
        }
        (w, now) = (next, value);
    }
    w
}

fn newton_step(rows: &[&Row], w: &[f64], c: f64) -> Vec<f64> {
    let n = w.len();
    let (mut gradient, mut hessian) = (vec![0.0; n], vec![vec![0.0; n]; n]);
    for row in rows {
        let p = probability(w, &row.x);
        let (first, second) = (c * row.weight * (p - row.p), c * row.weight * p * (1.0 - p));
        for i in 0..n {
            gradient[i] += first * row.x[i];
            for (entry, x) in hessian[i].iter_mut().zip(&row.x) {
                *entry += second * row.x[i] * x;
            }
        }
    }
    let mut step = vec![0.0; n];
    for _ in 0..1000 {
        let mut moved: f64 = 0.0;
        for i in 0..n {
            let curvature = hessian[i][i] + 1e-12;
            let slope = gradient[i] + dot(&hessian[i], &step);
            // The minimum in coordinate i, drawn towards w + step = 0 by the penalty.
            let free = w[i] + step[i] - slope / curvature;
            let shrunk = free.signum() * (free.abs() - 1.0 / curvature).max(0.0);
            let change = shrunk - w[i] - step[i];
            step[i] += change;
            moved = moved.max(change.abs());
        }
        if moved < 1e-13 {
            break;
        }
    }
    step
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(values: &[(f64, f64)]) -> Vec<Row> {
        values.iter().map(|&(x, p)| Row { x: vec![x, 1.0], p, weight: 1.0 }).collect()
    }

    /// At the minimum every slope lies within the penalty's reach.
    #[test]
    fn the_fit_is_a_minimum() {
        let rows = rows(&[(0.3, 0.9), (-0.7, 0.2), (0.1, 0.6), (0.9, 0.8), (-0.2, 0.5), (0.5, 0.1)]);
        let all: Vec<&Row> = rows.iter().collect();
        for c in [0.01, 1.0, 10.0, 1e4] {
            let w = fit(&all, c);
            for i in 0..w.len() {
                let slope: f64 = rows.iter().map(|r| c * (probability(&w, &r.x) - r.p) * r.x[i]).sum();
                let optimal = if w[i] == 0.0 {
                    slope.abs() <= 1.0 + 1e-9
                } else {
                    (slope + w[i].signum()).abs() < 1e-6
                };
                assert!(optimal, "C = {c}, w = {w:?}, slope {slope}");
            }
        }
        assert_eq!(fit(&all, 0.01), [0.0, 0.0]);
    }

    #[test]
    fn without_a_penalty_that_matters_the_mean_is_met() {
        let rows: Vec<Row> = (0..50)
            .map(|i| Row { x: vec![1.0], p: if i % 5 < 4 { 0.9 } else { 0.3 }, weight: 1.0 })
            .collect();
        let w = fit(&rows.iter().collect::<Vec<_>>(), 1e6);
        assert!((probability(&w, &[1.0]) - 0.78).abs() < 1e-3, "{w:?}");
    }
}
