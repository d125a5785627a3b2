//! The arithmetic of a merge on one aligned slice of every model.
//!
//! - `sums`: Σ w_k·θ_k, θ_pre + s·Σ w_k·δ_k, and the swap of what is near
//! - `consensus`: the same over the deltas with the elected sign
//! - `arcs`: spherical interpolation, whole tensors, rows and columns
//! - `stock`: Model Stock's ratio between base and mean
//!
//! Everything here is pure and elementwise (or by whole rows): `out[i]` depends on `base[i]`, `models[*][i]`, the facts of
//! the tensor and the place i only, so chunking and thread count cannot change a bit.

pub(super) mod arcs;
mod consensus;
pub(super) mod stock;
mod sums;

use super::arithmetic::Real;
use super::rule::Divisor;
use super::sparsify::Keep;
use crate::checkpoint::Elements;
use crate::dtype::DType;
use crate::isa::Isa;
use crate::random::Draws;
use std::sync::Arc;

/// Elements that are held in the first-level cache at a time.
const BLOCK: usize = 512;
/// Elements that are elected and merged together, in registers.
const LANES: usize = 32;

/// How the parts of one tensor are combined, once its facts are known.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Form {
    /// Σ w_k·θ_k / divisor.
    Models { divisor: f64, fused: bool },
    /// θ_pre + scale·(Σ w_k·δ_k / divisor).
    Deltas { divisor: f64, scale: f64 },
    /// t·(Σ θ_k / N) + (1 − t)·θ_pre.
    Towards { t: f64 },
    /// θ_pre + scale·(Σ over the elected sign).
    Consensus { weighted: bool, zero_is_plus: bool, divisor: Divisor, scale: f64 },
    /// The arc between two models (or their deltas), row by row.
    RowArcs { t: f64, row: usize },
    /// The same column by column: the weights of both ends are in the facts.
    ColumnArcs,
    /// As `Towards` with a ratio for each row.
    RowTowards { row: usize },
    /// θ_pre + min(1, t / |δ|)·δ.
    Near { t: f64 },
}

/// One model's part, once the facts of the tensor are known.
#[derive(Clone)]
pub(super) struct Term {
    /// w_k.
    pub(super) weight: f64,
    /// What is done to its delta.
    pub(super) keeps: Vec<Keep>,
    /// The random numbers of those steps.
    pub(super) draws: Vec<Option<Arc<dyn Draws>>>,
}

/// What is needed to blend any slice of one tensor.
pub(super) struct Facts {
    pub(super) form: Form,
    pub(super) terms: Vec<Term>,
    /// The arc of each column, where columns have arcs of their own.
    pub(super) columns: Vec<arcs::Arc>,
    /// Elements that belong together; slices begin and end between them.
    pub(super) granularity: usize,
}

/// Where a blend goes.
pub(super) enum Out<'a> {
    /// Numbers, rounded to what this type can hold.
    Wide(DType, &'a mut [f32]),
    /// Elements of this type.
    Narrow(DType, &'a mut [u8]),
}

/// Blends elements `start ..` of a tensor, `len` of them. All inputs have so many; there is no base where none takes part.
/// Each result is rounded to the type of `through` before that of `out`.
pub(super) fn blend<F: Real>(
    facts: &Facts,
    (start, len): (u64, usize),
    base: Option<&Elements>,
    models: &[Elements],
    through: DType,
    mut out: Out<'_>,
) {
    let width = (BLOCK.div_ceil(facts.granularity) * facts.granularity).min(len);
    let mut room = Room::<F>::new(facts.terms.len(), width);
    let mut wide = Wide::new(base.is_some(), models.len(), width);
    let mut merged = vec![0.0; width];
    let isa = Isa::detect();
    for at in (0..len).step_by(width.max(1)) {
        let n = width.min(len - at);
        let merged = &mut merged[..n];
        isa.run(
            #[inline(always)]
            || {
                wide.widen(base, models, at, n);
                let slice = Slice { place: start + at as u64, base: &wide.base, models: &wide.models };
                block(facts, &slice, &mut room, merged);
                through.round_block(merged);
                match &mut out {
                    Out::Wide(dtype, values) => {
                        dtype.round_block(merged);
                        values[at..at + n].copy_from_slice(merged);
                    }
                    Out::Narrow(dtype, bytes) => {
                        let size = dtype.size();
                        dtype.narrow_block(merged, &mut bytes[at * size..(at + n) * size]);
                    }
                }
            },
        );
    }
}

/// A block of every input, widened.
struct Wide {
    base: Vec<f32>,
    models: Vec<Vec<f32>>,
}

impl Wide {
    fn new(base: bool, models: usize, width: usize) -> Self {
        Self { base: vec![0.0; if base { width } else { 0 }], models: vec![vec![0.0; width]; models] }
    }

    /// Widens `n` elements from place `at` on.
    #[inline(always)]
    fn widen(&mut self, base: Option<&Elements>, models: &[Elements], at: usize, n: usize) {
        let base = base.into_iter().zip(std::iter::once(&mut self.base));
        for (elements, wide) in base.chain(models.iter().zip(&mut self.models)) {
            wide.resize(n, 0.0);
            elements.widen(at, wide);
        }
    }
}

/// Blends one block.
#[inline(always)]
fn block<F: Real>(facts: &Facts, slice: &Slice<'_>, room: &mut Room<F>, out: &mut [f32]) {
    match facts.form {
        Form::Models { divisor, fused } => sums::models::<F>(facts, divisor, fused, slice, out),
        Form::Deltas { divisor, scale } => sums::deltas(facts, divisor, scale, slice, room, out),
        Form::Towards { t } => stock::towards::<F>(t, slice, out),
        Form::Consensus { weighted, zero_is_plus, divisor, scale } => {
            let rule = consensus::Rule { weighted, zero_is_plus, divisor, scale };
            consensus::blend(facts, rule, slice, room, out);
        }
        Form::RowArcs { t, row } => arcs::rows(t, row, slice, room, out),
        Form::ColumnArcs => arcs::columns::<F>(&facts.columns, slice, out),
        Form::RowTowards { row } => stock::rows(row, slice, room, out),
        Form::Near { t } => sums::near::<F>(t, slice, out),
    }
}

/// The delta of one model after the first `steps` of its steps.
#[inline(always)]
pub(super) fn delta<F: Real>(
    keeps: &[Keep],
    draws: &[Option<Arc<dyn Draws>>],
    start: u64,
    base: &[f32],
    model: &[f32],
    out: &mut [F],
) {
    for ((d, m), b) in out.iter_mut().zip(model).zip(base) {
        *d = F::from_f32(*m) - F::from_f32(*b);
    }
    for (keep, draws) in keeps.iter().zip(draws) {
        keep.apply(draws.as_deref(), start, out);
    }
}

/// The deltas of one model after some of its steps, in f32. `out` holds elements `start ..` of the tensor, whole rows where
/// the granularity is a row.
pub(super) fn deltas<F: Real>(
    keeps: &[Keep],
    draws: &[Option<Arc<dyn Draws>>],
    granularity: usize,
    start: u64,
    base: &Elements,
    model: &Elements,
    out: &mut [f32],
) {
    let isa = Isa::detect();
    let width = (BLOCK.div_ceil(granularity) * granularity).min(out.len()).max(1);
    let (mut first, mut second) = (vec![0.0; width], vec![0.0; width]);
    let mut room = vec![F::ZERO; if keeps.is_empty() { 0 } else { width }];
    for (number, out) in out.chunks_mut(width).enumerate() {
        let at = number * width;
        let (wide_base, wide_model) = (&mut first[..out.len()], &mut second[..out.len()]);
        isa.run(
            #[inline(always)]
            || {
                base.widen(at, wide_base);
                model.widen(at, wide_model);
                if keeps.is_empty() {
                    for ((o, m), b) in out.iter_mut().zip(&*wide_model).zip(&*wide_base) {
                        *o = F::difference(*m, *b);
                    }
                } else {
                    let room = &mut room[..out.len()];
                    delta(keeps, draws, start + at as u64, wide_base, wide_model, room);
                    out.iter_mut().zip(&*room).for_each(|(o, d)| *o = d.to_f32());
                }
            },
        );
    }
}

/// What one block is blended from.
struct Slice<'a> {
    /// Place of its first element in the tensor.
    place: u64,
    /// θ_pre of the block, or empty.
    base: &'a [f32],
    models: &'a [Vec<f32>],
}

impl Slice<'_> {
    /// The block of model k.
    #[inline(always)]
    fn model(&self, k: usize) -> &[f32] {
        &self.models[k]
    }

    /// The delta of term k after its steps.
    #[inline(always)]
    fn delta<F: Real>(&self, k: usize, term: &Term, out: &mut [F]) {
        delta(&term.keeps, &term.draws, self.place, self.base, self.model(k), out);
    }
}

/// Buffers of one call, in whole lanes: those behind the end of a block hold anything, and what comes of them is not used.
struct Room<F: Real> {
    sums: Vec<F::Sum>,
    /// The delta of each model.
    deltas: Vec<Box<[[F; LANES]]>>,
    /// The merged delta.
    merged: Box<[[F; LANES]]>,
}

impl<F: Real> Room<F> {
    fn new(terms: usize, width: usize) -> Self {
        let lanes = || vec![[F::ZERO; LANES]; width.div_ceil(LANES)].into_boxed_slice();
        Self {
            sums: vec![F::Sum::ZERO; width],
            deltas: (0..terms).map(|_| lanes()).collect(),
            merged: lanes(),
        }
    }
}
