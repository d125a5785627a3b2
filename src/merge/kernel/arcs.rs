//! Spherical interpolation (Shoemake 1985): the weights of two vectors on the arc between them.
//!
//! All steps are taken in the number type of the merge, in mergekit's order.

use super::{Room, Slice};
use crate::merge::arithmetic::Real;
use crate::merge::totals::Total;

/// Pairs of elements that are multiplied before their products are added up.
const STEP: usize = 256;

/// Adds up f(a, b) over pairs of elements.
#[inline(always)]
fn add<F: Real>(total: &mut F::Total, a: &[F], b: &[F], f: impl Fn(F, F) -> F) {
    let mut products = [F::ZERO; STEP];
    for (a, b) in a.chunks(STEP).zip(b.chunks(STEP)) {
        let products = &mut products[..a.len()];
        for ((product, a), b) in products.iter_mut().zip(a).zip(b) {
            *product = f(*a, *b);
        }
        total.add(products);
    }
}

/// Products of two vectors, as far as an arc needs them.
#[derive(Clone)]
pub(in crate::merge) struct Products<F: Real> {
    aa: F::Squares,
    bb: F::Squares,
    ab: F::Total,
}

impl<F: Real> Products<F> {
    /// Those of vectors with `n` elements that are to come.
    pub(in crate::merge) fn of(n: usize) -> Self {
        Self { aa: F::Squares::of(n), bb: F::Squares::of(n), ab: F::Total::of(n) }
    }

    /// Those of a column with `n` elements.
    pub(in crate::merge) fn of_column(n: usize, column: usize, columns: usize) -> Self {
        let square = F::Squares::of_column(n, column, columns);
        Self { aa: square.clone(), bb: square, ab: F::Total::of_column(n, column, columns) }
    }

    /// Adds the next elements.
    #[inline(always)]
    pub(in crate::merge) fn add(&mut self, a: &[F], b: &[F]) {
        self.aa.add(a);
        self.bb.add(b);
        add(&mut self.ab, a, b, |a, b| a * b);
    }

    /// Both lengths: √Σ a², √Σ b².
    pub(in crate::merge) fn lengths(&self) -> [f64; 2] {
        [self.aa.clone().total().sqrt(), self.bb.clone().total().sqrt()]
    }

    /// Σ a·b.
    pub(in crate::merge) fn dot(self) -> f64 {
        self.ab.total()
    }
}

/// What two vectors are divided by before their cosine is taken.
#[derive(Clone, Copy, Debug)]
pub(in crate::merge) struct Norms<F> {
    a: F,
    b: F,
}

impl<F: Real> Norms<F> {
    /// Those of `slerp`: norms that are all but zero are not divided by.
    pub(in crate::merge) fn slerp(lengths: [f64; 2]) -> Self {
        let [a, b] = lengths.map(|length| F::from_f64(if length > NO_NORM { length } else { 1.0 }));
        Self { a, b }
    }

    /// Those of `nuslerp`.
    pub(in crate::merge) fn nuslerp(lengths: [f64; 2]) -> Self {
        let [a, b] = lengths.map(|length| F::from_f64(length.max(NO_NORM)));
        Self { a, b }
    }

    /// Adds the next elements' parts of the cosine.
    #[inline(always)]
    pub(in crate::merge) fn add_cosine(self, cosine: &mut F::Total, a: &[F], b: &[F]) {
        add(cosine, a, b, |a, b| a / self.a * (b / self.b));
    }
}

/// The weights of both ends, and what their sum is divided by.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::merge) struct Arc {
    pub(in crate::merge) first: f64,
    pub(in crate::merge) second: f64,
    pub(in crate::merge) divisor: f64,
}

impl Arc {
    fn line(t: f64) -> Self {
        Self { first: 1.0 - t, second: t, divisor: 1.0 }
    }
}

/// Above this cosine two tensors are interpolated linearly (mergekit's `slerp`).
const PARALLEL: f64 = 0.9995;
/// Norms below this are not divided by (mergekit).
const NO_NORM: f64 = 1e-8;
/// Sines below this count as parallel (mergekit's `nuslerp`).
const NO_SINE: f64 = 1e-7;

fn sine<F: Real>(x: F) -> F {
    F::from_f64(x.to_f64().sin())
}

/// Both ends at `t`, by mergekit's `slerp`.
pub(in crate::merge) fn slerp<F: Real>(t: f64, cosine: f64) -> Arc {
    let cosine = F::from_f64(cosine).to_f64();
    let (rest, t) = (F::from_f64(1.0) - F::from_f64(t), F::from_f64(t));
    if cosine.abs() > PARALLEL {
        return Arc { first: rest.to_f64(), second: t.to_f64(), divisor: 1.0 };
    }
    let angle = F::from_f64(cosine.acos());
    let whole = sine(angle);
    let (first, second) = (sine(rest * angle) / whole, sine(t * angle) / whole);
    Arc { first: first.to_f64(), second: second.to_f64(), divisor: 1.0 }
}

/// Both ends at `t`, by mergekit's `nuslerp`.
pub(in crate::merge) fn nuslerp<F: Real>(t: f64, cosine: f64) -> Arc {
    let cosine = F::from_f64(cosine).to_f64().clamp(-1.0, 1.0);
    let angle = F::from_f64(cosine.acos());
    let whole = sine(angle).to_f64();
    // Opposite vectors have no arc; what rounding leaves of the sine there means nothing.
    if whole.abs() < NO_SINE || cosine.abs() == 1.0 {
        return Arc::line(t);
    }
    let (first, second) = (sine(angle.times(1.0 - t)), sine(angle.times(t)));
    Arc { first: first.to_f64(), second: second.to_f64(), divisor: whole }
}

/// One element on an arc.
fn on<F: Real>(arc: Arc, a: F, b: F) -> F {
    (a * F::from_f64(arc.first) + b * F::from_f64(arc.second)) / F::from_f64(arc.divisor)
}

/// Every row on its own arc; on deltas where there is a base.
pub(super) fn rows<F: Real>(t: f64, row: usize, slice: &Slice<'_>, room: &mut Room<F>, out: &mut [f32]) {
    let base = slice.base;
    for (k, ends) in room.deltas.iter_mut().enumerate() {
        for (i, (x, m)) in ends.as_flattened_mut().iter_mut().zip(slice.model(k)).enumerate() {
            *x = F::from_f32(*m) - base.get(i).map_or(F::ZERO, |b| F::from_f32(*b));
        }
    }
    let [a, b] = room.deltas.as_slice() else { return };
    let (a, b) = (a.as_flattened(), b.as_flattened());
    for (number, out) in out.chunks_mut(row).enumerate() {
        let places = number * row..number * row + out.len();
        let (from, to) = (&a[places.clone()], &b[places.clone()]);
        let mut products = Products::of(from.len());
        products.add(from, to);
        let norms = Norms::nuslerp(products.lengths());
        let mut cosine = F::Total::of(from.len());
        norms.add_cosine(&mut cosine, from, to);
        let arc = nuslerp::<F>(t, cosine.total());
        for (i, o) in places.zip(out) {
            let theta = base.get(i).map_or(F::ZERO, |b| F::from_f32(*b));
            *o = (on(arc, a[i], b[i]) + theta).to_f32();
        }
    }
}

/// Every column on its own arc; on deltas where there is a base.
pub(super) fn columns<F: Real>(columns: &[Arc], slice: &Slice<'_>, out: &mut [f32]) {
    let (a, b) = (slice.model(0), slice.model(1));
    for (i, o) in out.iter_mut().enumerate() {
        let theta = slice.base.get(i).map_or(F::ZERO, |b| F::from_f32(*b));
        let arc = columns[((slice.place + i as u64) % columns.len() as u64) as usize];
        *o = (on(arc, F::from_f32(a[i]) - theta, F::from_f32(b[i]) - theta) + theta).to_f32();
    }
}
