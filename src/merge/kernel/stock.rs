//! Model Stock (Jang et al. 2024): between the base and the mean of the models, by the angle between their deltas.

use super::arcs::Products;
use super::{Room, Slice};
use crate::merge::arithmetic::Real;

/// Products of norms below this are not divided by (mergekit).
const NO_NORM: f64 = 1e-6;

/// Where the ratio would be divided by less than this the models pull in opposite directions, and the base stays (mergekit).
const OPPOSITE: f64 = 1e-6;

/// cos θ of two deltas.
fn cosine<F: Real>(products: Products<F>) -> F {
    let [a, b] = products.lengths().map(F::from_f64);
    let (norms, least) = (a * b, F::from_f64(NO_NORM));
    let cosine = F::from_f64(products.dot()) / if norms < least { least } else { norms };
    F::from_f64(cosine.to_f64().clamp(-1.0, 1.0))
}

/// t = N·cos θ / (1 + (N − 1)·cos θ) (equation 5), cos θ the mean over the pairs of `n` deltas.
pub(in crate::merge) fn ratio<F: Real>(n: usize, mut pair: impl FnMut(usize, usize) -> Products<F>) -> F {
    let (mut sum, mut pairs) = (F::Sum::ZERO, 0.0);
    for i in 0..n {
        for j in i + 1..n {
            sum = sum + cosine::<F>(pair(i, j)).widen();
            pairs += 1.0;
        }
    }
    let cosine = F::narrow(sum / F::Sum::from_f64(f64::max(pairs, 1.0)));
    let n = n as f64;
    let below = F::from_f64(1.0) + cosine.times(n - 1.0);
    if below.to_f64().abs() < OPPOSITE { F::ZERO } else { cosine.times(n) / below }
}

/// t·(Σ θ_k / N) + (1 − t)·θ_pre at one element.
fn between<F: Real>(t: F, slice: &Slice<'_>, i: usize) -> F {
    let n = slice.models.len();
    let sum = (0..n).fold(F::ZERO, |sum, k| sum + F::from_f32(slice.model(k)[i]));
    let rest = F::from_f64(1.0) - t;
    t * (sum / F::from_f64(n as f64)) + rest * F::from_f32(slice.base[i])
}

/// The whole tensor between its base and its mean.
pub(super) fn towards<F: Real>(t: f64, slice: &Slice<'_>, out: &mut [f32]) {
    let t = F::from_f64(t);
    out.iter_mut().enumerate().for_each(|(i, o)| *o = between(t, slice, i).to_f32());
}

/// Every row between its base and its mean, by its own ratio.
pub(super) fn rows<F: Real>(row: usize, slice: &Slice<'_>, room: &mut Room<F>, out: &mut [f32]) {
    for (k, delta) in room.deltas.iter_mut().enumerate() {
        for ((d, m), b) in delta.as_flattened_mut().iter_mut().zip(slice.model(k)).zip(slice.base) {
            *d = F::from_f32(*m) - F::from_f32(*b);
        }
    }
    for (number, out) in out.chunks_mut(row).enumerate() {
        let places = number * row..number * row + out.len();
        let t = ratio::<F>(room.deltas.len(), |i, j| {
            let mut products = Products::of(places.len());
            let (a, b) = (
                &room.deltas[i].as_flattened()[places.clone()],
                &room.deltas[j].as_flattened()[places.clone()],
            );
            products.add(a, b);
            products
        });
        places.zip(out).for_each(|(i, o)| *o = between(t, slice, i).to_f32());
    }
}
