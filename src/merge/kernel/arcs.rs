//! Spherical interpolation (Shoemake 1985): the weights of two vectors on the arc between them.

use super::{Room, Slice};
use crate::merge::arithmetic::Real;

/// Products of two vectors, as far as an arc needs them.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(in crate::merge) struct Products {
    /// Σ a².
    pub(in crate::merge) aa: f64,
    /// Σ b².
    pub(in crate::merge) bb: f64,
    /// Σ a·b.
    pub(in crate::merge) ab: f64,
}

impl Products {
    /// Adds a pair of elements.
    pub(in crate::merge) fn add(&mut self, a: f64, b: f64) {
        self.aa += a * a;
        self.bb += b * b;
        self.ab += a * b;
    }

    /// Adds the products of further elements.
    pub(in crate::merge) fn merge(&mut self, other: Self) {
        self.aa += other.aa;
        self.bb += other.bb;
        self.ab += other.ab;
    }

    fn cosine(self, least_norm: f64) -> f64 {
        self.ab / (self.aa.sqrt().max(least_norm) * self.bb.sqrt().max(least_norm))
    }

    /// Cosine of the angle as Model Stock takes it: the product of the norms is at least 1e-6 (mergekit).
    pub(in crate::merge) fn stock_cosine(self) -> f64 {
        (self.ab / (self.aa.sqrt() * self.bb.sqrt()).max(1e-6)).clamp(-1.0, 1.0)
    }
}

/// Above this cosine two tensors are interpolated linearly (mergekit's `slerp`).
const PARALLEL: f64 = 0.9995;
/// Norms below this are not divided by (mergekit's `slerp`).
const NO_NORM: f64 = 1e-8;
/// The same for `nuslerp`.
const NUSLERP_NORM: f64 = 1e-7;
/// Sines below this count as parallel (mergekit's `nuslerp`).
const NO_SINE: f64 = 1e-8;

/// The weights of both ends at `t`, by mergekit's `slerp`.
pub(in crate::merge) fn slerp(t: f64, products: Products) -> (f64, f64) {
    let norm = |square: f64| if square.sqrt() > NO_NORM { square.sqrt() } else { 1.0 };
    let cosine = products.ab / (norm(products.aa) * norm(products.bb));
    if cosine.abs() > PARALLEL {
        return (1.0 - t, t);
    }
    let angle = cosine.acos();
    (((1.0 - t) * angle).sin() / angle.sin(), (t * angle).sin() / angle.sin())
}

/// The weights of both ends at `t`, by mergekit's `nuslerp`.
pub(in crate::merge) fn nuslerp(t: f64, products: Products) -> (f64, f64) {
    let angle = products.cosine(NUSLERP_NORM).clamp(-1.0, 1.0).acos();
    let sine = angle.sin();
    if sine.abs() < NO_SINE {
        return (1.0 - t, t);
    }
    (((1.0 - t) * angle).sin() / sine, (t * angle).sin() / sine)
}

/// Every row on its own arc; on deltas where there is a base.
pub(super) fn rows<F: Real>(t: f64, row: usize, slice: &Slice<'_>, room: &mut Room<F>, out: &mut [f32]) {
    let base = slice.base;
    for (k, ends) in room.deltas.iter_mut().enumerate() {
        for (i, (x, m)) in ends.iter_mut().zip(slice.model(k)).enumerate() {
            *x = F::from_f32(*m) - base.get(i).map_or(F::ZERO, |b| F::from_f32(*b));
        }
    }
    let [a, b] = room.deltas.as_slice() else { return };
    for (number, out) in out.chunks_mut(row).enumerate() {
        let at = number * row;
        let mut products = Products::default();
        for i in at..at + out.len() {
            products.add(a[i].to_f64(), b[i].to_f64());
        }
        let (first, second) = nuslerp(t, products);
        let (first, second) = (F::from_f64(first), F::from_f64(second));
        for (i, o) in (at..).zip(out) {
            let theta = base.get(i).map_or(F::ZERO, |b| F::from_f32(*b));
            *o = (a[i] * first + b[i] * second + theta).to_f32();
        }
    }
}
