//! Weighted sums of models and of deltas.

use super::{Facts, LANES, Room, Slice};
use crate::merge::arithmetic::Real;

/// Model Soups (Wortsman et al. 2022): out = Σ w_k·θ_k / divisor.
#[inline(always)]
pub(super) fn models<F: Real>(facts: &Facts, divisor: f64, fused: bool, slice: &Slice<'_>, out: &mut [f32]) {
    let (whole, rest) = out.as_chunks_mut::<LANES>();
    let tail = whole.len() * LANES;
    for (number, out) in whole.iter_mut().enumerate() {
        mean::<F, LANES>(facts, divisor, fused, slice, number * LANES, out);
    }
    for (number, out) in rest.iter_mut().enumerate() {
        mean::<F, 1>(facts, divisor, fused, slice, tail + number, std::array::from_mut(out));
    }
}

/// N elements of [`models`], in registers.
#[inline(always)]
fn mean<F: Real, const N: usize>(
    facts: &Facts,
    divisor: f64,
    fused: bool,
    slice: &Slice<'_>,
    at: usize,
    out: &mut [f32; N],
) {
    let mut sums = [F::Sum::ZERO; N];
    for (k, term) in facts.terms.iter().enumerate() {
        let model = &slice.model(k)[at..at + N];
        if fused {
            for (sum, m) in sums.iter_mut().zip(model) {
                *sum = F::from_f32(*m).fused(term.weight, *sum);
            }
            continue;
        }
        let weight = F::from_f64(term.weight);
        for (sum, m) in sums.iter_mut().zip(model) {
            *sum = *sum + (F::from_f32(*m) * weight).widen();
        }
    }
    // Divided by one, a number is itself, and a division costs more than all the rest.
    let over = (divisor != 1.0).then(|| F::from_f64(divisor));
    for (o, sum) in out.iter_mut().zip(&sums) {
        let sum = F::narrow(*sum);
        *o = (if let Some(divisor) = over { sum / divisor } else { sum }).to_f32();
    }
}

/// Task arithmetic (Ilharco et al. 2023): out = θ_pre + scale·(Σ w_k·δ_k / divisor). M³ has the direction λ for w and the
/// magnitude s for the scale (paper, equation 2); a plain sum has w = 1.
#[inline(always)]
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
            let kept = &mut room.deltas[k].as_flattened_mut()[..out.len()];
            slice.delta(k, term, kept);
            for (sum, d) in sums.iter_mut().zip(kept) {
                *sum = *sum + (*d * weight).widen();
            }
        }
    }
    if divisor == 1.0 {
        for ((o, b), sum) in out.iter_mut().zip(slice.base).zip(sums) {
            *o = (F::from_f32(*b) + F::narrow(*sum).times(scale)).to_f32();
        }
    } else {
        let divisor = F::from_f64(divisor);
        for ((o, b), sum) in out.iter_mut().zip(slice.base).zip(sums) {
            *o = (F::from_f32(*b) + (F::narrow(*sum) / divisor).times(scale)).to_f32();
        }
    }
}

/// mergekit's `nearswap`: out = w·θ + (1 − w)·θ_pre with w = min(1, t / |θ_pre − θ|), 1 where they are equal.
#[inline(always)]
pub(super) fn near<F: Real>(t: f64, slice: &Slice<'_>, out: &mut [f32]) {
    let one = F::from_f64(1.0);
    for ((o, m), b) in out.iter_mut().zip(slice.model(0)).zip(slice.base) {
        let (m, b) = (F::from_f32(*m), F::from_f32(*b));
        let far = if m > b { m - b } else { b - m };
        let share = if far == F::ZERO { one } else { (one / far).times(t) };
        let w = if share < one { share } else { one };
        *o = (m * w + b * (one - w)).to_f32();
    }
}
