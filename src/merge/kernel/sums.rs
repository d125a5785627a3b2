//! Weighted sums of models and of deltas.

use super::{Facts, Room, Slice};
use crate::merge::arithmetic::Real;

/// Model Soups (Wortsman et al. 2022): out = Σ w_k·θ_k / divisor.
pub(super) fn models<F: Real>(
    facts: &Facts,
    divisor: f64,
    slice: &Slice<'_>,
    room: &mut Room<F>,
    out: &mut [f32],
) {
    let sums = &mut room.sums[..out.len()];
    sums.fill(F::Sum::ZERO);
    for (k, term) in facts.terms.iter().enumerate() {
        let weight = F::from_f64(term.weight);
        for (sum, m) in sums.iter_mut().zip(slice.model(k)) {
            *sum = *sum + (F::from_f32(*m) * weight).widen();
        }
    }
    let divisor = F::from_f64(divisor);
    for (o, sum) in out.iter_mut().zip(sums) {
        *o = (F::narrow(*sum) / divisor).to_f32();
    }
}

/// Task arithmetic (Ilharco et al. 2023): out = θ_pre + scale·(Σ w_k·δ_k / divisor). M³ has the direction λ for w and the
/// magnitude s for the scale (paper, equation 2); a plain sum has w = 1.
pub(super) fn deltas<F: Real>(
    facts: &Facts,
    divisor: f64,
    scale: f64,
    slice: &Slice<'_>,
    room: &mut Room<F>,
    out: &mut [f32],
) {
    let sums = &mut room.sums[..out.len()];
    sums.fill(F::Sum::ZERO);
    for (k, term) in facts.terms.iter().enumerate() {
        let weight = F::from_f64(term.weight);
        if term.keeps.is_empty() {
            for ((sum, m), b) in sums.iter_mut().zip(slice.model(k)).zip(slice.base) {
                *sum = *sum + ((F::from_f32(*m) - F::from_f32(*b)) * weight).widen();
            }
        } else {
            let kept = &mut room.deltas[k][..out.len()];
            slice.delta(k, term, kept);
            for (sum, d) in sums.iter_mut().zip(kept) {
                *sum = *sum + (*d * weight).widen();
            }
        }
    }
    let scale = F::from_f64(scale);
    if divisor == 1.0 {
        for ((o, b), sum) in out.iter_mut().zip(slice.base).zip(sums) {
            *o = (F::from_f32(*b) + F::narrow(*sum) * scale).to_f32();
        }
    } else {
        let divisor = F::from_f64(divisor);
        for ((o, b), sum) in out.iter_mut().zip(slice.base).zip(sums) {
            *o = (F::from_f32(*b) + F::narrow(*sum) / divisor * scale).to_f32();
        }
    }
}

/// Model Stock (Jang et al. 2024, equation 5): out = t·(Σ θ_k / N) + (1 − t)·θ_pre.
pub(super) fn towards<F: Real>(
    facts: &Facts,
    t: f64,
    slice: &Slice<'_>,
    room: &mut Room<F>,
    out: &mut [f32],
) {
    let sums = &mut room.sums[..out.len()];
    sums.fill(F::Sum::ZERO);
    for k in 0..facts.terms.len() {
        for (sum, m) in sums.iter_mut().zip(slice.model(k)) {
            *sum = *sum + F::from_f32(*m).widen();
        }
    }
    let (n, t, rest) = (F::from_f64(facts.terms.len() as f64), F::from_f64(t), F::from_f64(1.0 - t));
    for ((o, b), sum) in out.iter_mut().zip(slice.base).zip(sums) {
        *o = (F::narrow(*sum) / n * t + F::from_f32(*b) * rest).to_f32();
    }
}
