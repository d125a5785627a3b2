//! Packed weights: matrices of a checkpoint in panels of 16 outputs.

use super::half::{self, Pairs};
use super::simd::{HalfLanes, LANES, Lanes};
use crate::checkpoint::{CheckpointError, Manifest, Span, TensorSource};
use crate::dtype::{DType, half_bits};
use crate::engine::settings::Precision;
use crate::ids::TensorName;
use crate::isa::Isa;
use rayon::prelude::*;
use std::ops::Range;

/// Weights that are read at once while packing, in numbers: loading allocates twice that for each thread besides the panels.
pub(super) const READ_AT_ONCE: usize = 1 << 17;

/// Packed weights.
#[derive(Debug)]
pub(super) enum Weights {
    /// In f32, for rows in f32.
    Full(Vec<Lanes>),
    /// In bfloat16, for rows in f32.
    Half(Vec<HalfLanes>),
    /// In bfloat16, for rows in bfloat16.
    Pairs(Vec<Pairs>),
}

impl Weights {
    /// Reads and packs matrices, each `[outputs, inputs]`.
    pub(super) fn read(
        source: &dyn TensorSource,
        matrices: &Matrices<'_>,
        inputs: usize,
        precision: Precision,
    ) -> Result<Self, CheckpointError> {
        let all =
            |want| matrices.parts.iter().all(|(name, _)| form(source.manifest(), name, precision) == want);
        Ok(if all(Form::Pairs) {
            Self::Pairs(pack(source, matrices, inputs)?)
        } else if all(Form::Half) {
            Self::Half(pack(source, matrices, inputs)?)
        } else {
            Self::Full(pack(source, matrices, inputs)?)
        })
    }
}

/// One or two `k` of one panel that weights are put into.
trait Slot: Copy + Send {
    const ZERO: Self;
    /// Slots of a panel of `inputs` numbers.
    fn of_panel(inputs: usize) -> usize {
        inputs
    }
    /// Fills a panel with its columns `[16, inputs]`.
    fn fill(panel: &mut [Self], columns: &[f32], inputs: usize);
}

impl Slot for Lanes {
    const ZERO: Self = Self::ZERO;
    #[inline(always)]
    fn fill(panel: &mut [Self], columns: &[f32], inputs: usize) {
        for (k, lanes) in panel.iter_mut().enumerate() {
            lanes.0 = std::array::from_fn(|column| columns[column * inputs + k]);
        }
    }
}

impl Slot for HalfLanes {
    const ZERO: Self = Self::ZERO;
    #[inline(always)]
    fn fill(panel: &mut [Self], columns: &[f32], inputs: usize) {
        for (k, lanes) in panel.iter_mut().enumerate() {
            // The source has it in bfloat16, so that nothing is lost.
            lanes.0 = std::array::from_fn(|column| (columns[column * inputs + k].to_bits() >> 16) as u16);
        }
    }
}

impl Slot for Pairs {
    const ZERO: Self = Self::ZERO;
    fn of_panel(inputs: usize) -> usize {
        half::pairs(inputs)
    }
    #[inline(always)]
    fn fill(panel: &mut [Self], columns: &[f32], inputs: usize) {
        for (block, pairs) in panel.chunks_mut(half::BLOCK / 2).enumerate() {
            // Rounded along the columns, and turned then: 16 numbers at a time.
            let mut rounded = [[[0; 2]; half::BLOCK / 2]; LANES];
            for (rounded, column) in rounded.iter_mut().zip(columns.chunks_exact(inputs)) {
                let from = &column[block * half::BLOCK..];
                for (to, &weight) in rounded.as_flattened_mut().iter_mut().zip(from) {
                    *to = half_bits(weight);
                }
            }
            for (pair, lanes) in pairs.iter_mut().enumerate() {
                lanes.0 = std::array::from_fn(|column| rounded[column][pair]);
            }
        }
    }
}

/// How a matrix is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Full,
    Half,
    Pairs,
}

/// In bfloat16, if it is stored so, which loses nothing, or if `precision` says so.
fn form(manifest: &Manifest, name: &TensorName, precision: Precision) -> Form {
    match (precision, manifest.get(name).map(|info| info.dtype)) {
        (Precision::Bf16, _) => Form::Pairs,
        (Precision::Source, Some(DType::Bf16)) => Form::Half,
        (Precision::Source, _) => Form::Full,
    }
}

/// Bytes of a matrix `[outputs, inputs]` when it is packed.
pub(crate) fn packed_bytes(
    manifest: &Manifest,
    name: &TensorName,
    (outputs, inputs): (usize, usize),
    precision: Precision,
) -> usize {
    outputs.div_ceil(LANES)
        * match form(manifest, name, precision) {
            Form::Full => inputs * size_of::<Lanes>(),
            Form::Half => inputs * size_of::<HalfLanes>(),
            Form::Pairs => half::pairs(inputs) * size_of::<Pairs>(),
        }
}

/// Matrices `[out, in]` over the same input, and in which order a row of the product has their outputs.
pub(crate) struct Matrices<'a> {
    parts: &'a [(TensorName, usize)],
    order: Order,
}

enum Order {
    Behind,
    InTurn,
}

impl<'a> Matrices<'a> {
    /// One behind the other. Each has its number of outputs.
    pub(crate) fn behind(parts: &'a [(TensorName, usize)]) -> Self {
        Self { parts, order: Order::Behind }
    }

    /// A panel of each in turn, all having as many outputs: the first 16 outputs of the first, those of the second, and so on.
    pub(crate) fn in_turn(parts: &'a [(TensorName, usize)]) -> Self {
        Self { parts, order: Order::InTurn }
    }

    pub(super) fn outputs(&self) -> usize {
        match self.order {
            Order::Behind => self.parts.iter().map(|(_, outputs)| outputs).sum(),
            Order::InTurn => self.parts.iter().map(|(_, outputs)| outputs.next_multiple_of(LANES)).sum(),
        }
    }

    /// So many panels are read together, or a multiple of them.
    fn turn(&self) -> usize {
        match self.order {
            Order::Behind => 1,
            Order::InTurn => self.parts.len(),
        }
    }

    /// Where in a row of the product output `row` of a matrix is.
    pub(super) fn place(&self, part: usize, row: usize) -> usize {
        match self.order {
            Order::Behind => self.parts[..part].iter().map(|(_, outputs)| outputs).sum::<usize>() + row,
            Order::InTurn => (row / LANES * self.parts.len() + part) * LANES + row % LANES,
        }
    }

    /// The outputs of a matrix that are among these of the product, which are whole turns of panels.
    fn among(&self, part: usize, places: &Range<usize>) -> Range<usize> {
        let outputs = self.parts[part].1;
        let within = |place: usize| match self.order {
            Order::Behind => place.saturating_sub(self.place(part, 0)).min(outputs),
            Order::InTurn => (place / self.parts.len()).min(outputs),
        };
        within(places.start)..within(places.end)
    }
}

/// Reads the matrices and packs them.
fn pack<S: Slot>(
    source: &dyn TensorSource,
    matrices: &Matrices<'_>,
    inputs: usize,
) -> Result<Vec<S>, CheckpointError> {
    let stride = S::of_panel(inputs);
    let mut lanes = vec![S::ZERO; matrices.outputs().div_ceil(LANES) * stride];
    // Panels in groups; a group reads the rows that fall into it, in pieces that do not cross tensors.
    let group = (READ_AT_ONCE / (LANES * inputs)).max(1).next_multiple_of(matrices.turn());
    lanes.par_chunks_mut(group * stride).enumerate().try_for_each(|(number, panels)| {
        let first = number * group * LANES;
        let places = first..first + panels.len() / stride * LANES;
        // `[place, inputs]`; what has no output is 0.
        let mut columns = vec![0.0; places.len() * inputs];
        let mut buffer = Vec::new();
        for (part, (name, _)) in matrices.parts.iter().enumerate() {
            let rows = matrices.among(part, &places);
            if rows.is_empty() {
                continue;
            }
            buffer.resize(rows.len() * inputs, 0.0);
            source.read(name, Span { start: rows.start * inputs, len: buffer.len() }, &mut buffer)?;
            for (row, weights) in rows.zip(buffer.chunks_exact(inputs)) {
                let place = matrices.place(part, row) - first;
                columns[place * inputs..][..inputs].copy_from_slice(weights);
            }
        }
        Isa::detect().run(
            #[inline(always)]
            || {
                let columns = columns.chunks_exact(LANES * inputs);
                for (panel, columns) in panels.chunks_exact_mut(stride).zip(columns) {
                    S::fill(panel, columns, inputs);
                }
            },
        );
        Ok::<(), CheckpointError>(())
    })?;
    Ok(lanes)
}
