//! A linear layer: y = x · Wᵀ + b.

use super::buffer::Buffer;
use super::half::{self, HalfPanels, Pairs, Rounded};
use super::packing::{Matrices, Weights};
use super::simd::{self, LANES, Lanes, Packed, Panels, Rows, Store, Team};
use crate::checkpoint::{CheckpointError, TensorSource};
use crate::dtype::half_bits;
use crate::engine::logits::{NotANumber, Top};
use crate::engine::settings::Precision;
use crate::ids::TensorName;
use crate::isa::Isa;
use rayon::prelude::*;
use std::cell::RefCell;
use std::ops::Range;
use std::time::{Duration, Instant};

/// Rows that are not worth waking another thread for.
const ROWS_AT_ONCE: usize = 8;
/// Numbers of a product, for all rows, among which the largest are looked for while they are in a core's cache.
const LOOKED_AT_ONCE: usize = 32 << 10;
/// Pieces per thread of such a product, at least.
const PIECES_PER_THREAD: usize = 4;

/// Weights of one or several matrices `[out, in]` over the same input, packed into panels of 16 outputs.
#[derive(Debug)]
pub(crate) struct Linear {
    /// `[panel, in]`, each 16 outputs.
    weights: Weights,
    /// `[width]`, where there is one.
    bias: Option<Vec<f32>>,
    inputs: usize,
    outputs: usize,
}

/// Room for the left-hand side of a product, kept between products.
#[derive(Debug, Default)]
pub(crate) struct Operand {
    /// `[rows, inputs]`, or one row for each thread that rounds them.
    full: Vec<f32>,
    half: Rounded,
}

impl Linear {
    /// Reads and packs matrices, each `[outputs, inputs]`.
    pub(crate) fn load(
        source: &dyn TensorSource,
        matrices: &Matrices<'_>,
        inputs: usize,
        precision: Precision,
    ) -> Result<Self, CheckpointError> {
        let weights = Weights::read(source, matrices, inputs, precision)?;
        Ok(Self { weights, bias: None, inputs, outputs: matrices.outputs() })
    }

    /// Reads the biases `[outputs]` of the matrices that it was loaded with, by their names.
    pub(crate) fn with_bias(
        mut self,
        source: &dyn TensorSource,
        matrices: &Matrices<'_>,
        names: &[TensorName],
    ) -> Result<Self, CheckpointError> {
        let mut bias = vec![0.0; self.width()];
        for (part, name) in names.iter().enumerate() {
            for (row, value) in source.read_all(name)?.into_iter().enumerate() {
                bias[matrices.place(part, row)] = value;
            }
        }
        self.bias = Some(bias);
        Ok(self)
    }

    /// Width of an output row: the outputs, rounded up to whole panels.
    pub(crate) fn width(&self) -> usize {
        self.outputs.next_multiple_of(LANES)
    }

    /// Bytes of the packed weights.
    pub(crate) fn bytes(&self) -> usize {
        match &self.weights {
            Weights::Full(lanes) => size_of_val(lanes.as_slice()),
            Weights::Half(lanes) => size_of_val(lanes.as_slice()),
            Weights::Pairs(pairs) => size_of_val(pairs.as_slice()),
        }
    }

    /// What one more row costs where the weights come from memory, in times of the first: about, as measured on two cores.
    pub(crate) fn cost_of_row(&self, isa: Isa) -> f64 {
        match (&self.weights, isa.halves()) {
            #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
            (Weights::Pairs(_), crate::isa::Halves::Tiles) => 0.02,
            (Weights::Pairs(_), _) => 0.05,
            (Weights::Full(_) | Weights::Half(_), _) => 0.12,
        }
    }

    /// `y[rows, width] (+)= x[rows, inputs] · Wᵀ + b`, rows of `y` touching. `row` writes the row of `x` with a number; the
    /// threads of the team share the rows. Where weights are in pairs, `x` is rounded to bfloat16.
    #[expect(
        clippy::too_many_arguments,
        reason = "both sides, the sums and the room to work in are separate things"
    )]
    pub(crate) fn apply(
        &self,
        isa: Isa,
        team: Team,
        rows: usize,
        row: impl Fn(usize, &mut [f32]) + Sync,
        y: &mut [f32],
        store: Store,
        operand: &mut Operand,
    ) {
        self.fill(isa, team, rows, row, operand);
        self.multiply(isa, team, rows, operand, y, store);
    }

    /// The left-hand side of its products, as `row` writes its rows.
    fn fill(
        &self,
        isa: Isa,
        team: Team,
        rows: usize,
        row: impl Fn(usize, &mut [f32]) + Sync,
        operand: &mut Operand,
    ) {
        let Operand { full, half } = operand;
        if matches!(self.weights, Weights::Pairs(_)) {
            return half.fill_by(isa, team, (rows, self.inputs), full, row);
        }
        full.resize(rows * self.inputs, 0.0);
        if team == Team::Pool && rows > ROWS_AT_ONCE {
            let x = full.par_chunks_exact_mut(self.inputs).with_min_len(ROWS_AT_ONCE).enumerate();
            x.for_each(|(number, x)| row(number, x));
        } else {
            full.chunks_exact_mut(self.inputs).enumerate().for_each(|(number, x)| row(number, x));
        }
    }

    /// [`Linear::apply`] for a left-hand side that is there.
    pub(crate) fn multiply(
        &self,
        isa: Isa,
        team: Team,
        rows: usize,
        operand: &Operand,
        y: &mut [f32],
        store: Store,
    ) {
        self.multiply_some(isa, team, rows, operand, 0..self.outputs.div_ceil(LANES), y, store);
    }

    /// [`Linear::multiply`] with some of the panels: rows of `y` have 16 numbers of each.
    #[expect(clippy::too_many_arguments, reason = "as `apply`")]
    fn multiply_some(
        &self,
        isa: Isa,
        team: Team,
        rows: usize,
        operand: &Operand,
        some: Range<usize>,
        y: &mut [f32],
        store: Store,
    ) {
        let (stride, width) = (self.inputs, some.len() * LANES);
        let lanes = match &self.weights {
            Weights::Full(lanes) => Some(Packed::Full(&lanes[some.start * stride..])),
            Weights::Half(lanes) => Some(Packed::Half(&lanes[some.start * stride..])),
            Weights::Pairs(pairs) => {
                let panels = self.panels(pairs, some.clone());
                half::multiply(isa, team, &operand.half, panels, y, width, store);
                None
            }
        };
        if let Some(lanes) = lanes {
            let x = Rows { data: &operand.full, stride, count: rows };
            let panels = Panels { lanes, stride, count: some.len(), depth: stride };
            simd::multiply(isa, team, x, panels, y, width, store);
        }
        if let Some(bias) = &self.bias {
            for row in y.chunks_exact_mut(width).take(rows) {
                for (y, bias) in row.iter_mut().zip(&bias[some.start * LANES..]) {
                    *y += bias;
                }
            }
        }
    }

    /// The largest output of each row, of equal ones the first: what [`Linear::apply`] gives is looked at piece by piece while
    /// it is in the cache, and not kept.
    pub(crate) fn tops(
        &self,
        isa: Isa,
        team: Team,
        rows: usize,
        row: impl Fn(usize, &mut [f32]) + Sync,
        tops: &mut Vec<Result<u32, NotANumber>>,
        operand: &mut Operand,
    ) {
        thread_local! {
            static SUMS: RefCell<Buffer> = const { RefCell::new(Buffer::EMPTY) };
        }
        tops.clear();
        if rows == 0 {
            return;
        }
        self.fill(isa, team, rows, row, operand);
        let (operand, panels) = (&*operand, self.outputs.div_ceil(LANES));
        let threads = if team == Team::Pool { rayon::current_num_threads() } else { 1 };
        let most = (LOOKED_AT_ONCE / (rows * LANES)).clamp(1, panels.div_ceil(threads * PIECES_PER_THREAD));
        let at_once = most.next_multiple_of(2);
        let work = |piece: usize| -> Vec<Result<Top, NotANumber>> {
            let some = piece * at_once..panels.min((piece + 1) * at_once);
            let (first, width) = (some.start * LANES, some.len() * LANES);
            SUMS.with_borrow_mut(|sums| {
                let sums = sums.of(rows * width);
                self.multiply_some(isa, Team::Alone, rows, operand, some, sums, Store::Replace);
                let outputs = width.min(self.outputs - first);
                let row =
                    |sums: &[f32]| Top::of(&sums[..outputs]).map(|top| Top { id: first + top.id, ..top });
                sums.chunks_exact(width).take(rows).map(row).collect()
            })
        };
        let pieces = 0..panels.div_ceil(at_once);
        let found: Vec<_> = match team {
            Team::Pool => pieces.into_par_iter().map(work).collect(),
            Team::Alone => pieces.map(work).collect(),
        };
        tops.extend((0..rows).map(|row| {
            let mut pieces = found.iter().map(|piece| piece[row]);
            let first = pieces.next().unwrap_or(Err(NotANumber))?;
            Ok(pieces.try_fold(first, |top, later| Ok(top.or_later(later?)))?.id as u32)
        }));
    }

    /// The left-hand side of the products of `next`: `fold(x · Wᵀ + b)`, `x` being written by `row`. `fold` gets outputs of two
    /// panels in turn and makes half as many numbers of them. `wide` and `operand` are room to work in.
    #[expect(
        clippy::too_many_arguments,
        reason = "two operands, what is between them, and the room to work in are separate things"
    )]
    pub(crate) fn fold(
        &self,
        isa: Isa,
        team: Team,
        rows: usize,
        row: impl Fn(usize, &mut [f32]) + Sync,
        fold: impl Fn(&[f32], &mut [f32]) + Sync,
        wide: &mut Buffer,
        operand: &mut Operand,
        (next, to): (&Self, &mut Operand),
    ) {
        if let (Weights::Pairs(pairs), Weights::Pairs(_)) = (&self.weights, &next.weights) {
            self.fill(isa, team, rows, row, operand);
            let biased = |column: usize, sums: &mut [f32], out: &mut [f32]| {
                if let Some(bias) = &self.bias {
                    sums.iter_mut().zip(&bias[column..]).for_each(|(sum, bias)| *sum += bias);
                }
                fold(sums, out);
            };
            let (x, w) = (&operand.half, self.panels(pairs, 0..self.outputs.div_ceil(LANES)));
            return half::multiply_folded(isa, team, x, w, next.inputs, &mut to.half, biased);
        }
        let width = self.width();
        let wide = wide.of(rows * width);
        self.apply(isa, team, rows, row, wide, Store::Replace, operand);
        let folded = |number: usize, out: &mut [f32]| fold(&wide[number * width..][..width], out);
        next.fill(isa, team, rows, folded, to);
    }

    fn panels<'w>(&self, pairs: &'w [Pairs], some: Range<usize>) -> HalfPanels<'w> {
        let depth = half::pairs(self.inputs);
        HalfPanels {
            pairs: &pairs[some.start * depth..],
            stride: depth,
            count: some.len(),
            depth,
            ahead: None,
        }
    }

    /// Row `output` of the matrix, `[inputs]`: an embedding, where the head is tied to it.
    pub(crate) fn row(&self, output: usize, out: &mut [f32]) {
        let (panel, column, inputs) = (output / LANES, output % LANES, self.inputs);
        let out = &mut out[..inputs];
        match &self.weights {
            Weights::Full(lanes) => {
                for (out, lanes) in out.iter_mut().zip(&lanes[panel * inputs..]) {
                    *out = lanes.0[column];
                }
            }
            Weights::Half(lanes) => {
                for (out, lanes) in out.iter_mut().zip(&lanes[panel * inputs..]) {
                    *out = widen(lanes.0[column]);
                }
            }
            Weights::Pairs(pairs) => {
                for (out, pairs) in out.chunks_mut(2).zip(&pairs[panel * half::pairs(inputs)..]) {
                    for (out, &bits) in out.iter_mut().zip(&pairs.0[column]) {
                        *out = widen(bits);
                    }
                }
            }
        }
    }
}

/// The number that bits of bfloat16 stand for.
fn widen(bits: u16) -> f32 {
    f32::from_bits(u32::from(bits) << 16)
}

/// Speed of the packed product `x[rows, inputs] · Wᵀ[inputs, outputs]` on the current rayon pool, in 10⁹ operations per
/// second (a multiplication and an addition are two), with both sides in bfloat16 or in f32. The weights are another matrix each
/// time, and come from memory as in a model. Runs for about `time`; for benches.
pub fn matmul_gflops(rows: usize, inputs: usize, outputs: usize, half: bool, time: Duration) -> f64 {
    /// Bytes of matrices that are multiplied before the first comes again.
    const ALL: usize = 256 << 20;
    let panels = outputs.div_ceil(LANES);
    let matrix = || {
        let weights = if half {
            let all = 0..panels * half::pairs(inputs);
            Weights::Pairs(all.map(|i| Pairs([[half_bits((i % 7) as f32); 2]; LANES])).collect())
        } else {
            Weights::Full((0..panels * inputs).map(|i| Lanes([(i % 7) as f32; LANES])).collect())
        };
        Linear { weights, bias: None, inputs, outputs }
    };
    let first = matrix();
    let count = ALL.div_ceil(first.bytes());
    let matrices: Vec<Linear> = std::iter::once(first).chain((1..count).map(|_| matrix())).collect();
    let x: Vec<f32> = (0..rows * inputs).map(|i| (i % 5) as f32).collect();
    let mut y = Buffer::EMPTY;
    let y = y.of(rows * matrices[0].width());
    let isa = Isa::detect();
    let mut operand = Operand::default();
    let mut once = |linear: &Linear| {
        let row = |number: usize, to: &mut [f32]| to.copy_from_slice(&x[number * inputs..][..inputs]);
        linear.apply(isa, Team::Pool, rows, row, y, Store::Replace, &mut operand);
    };
    once(&matrices[0]);
    let (start, mut runs) = (Instant::now(), 0u32);
    for linear in matrices.iter().cycle() {
        if start.elapsed() >= time {
            break;
        }
        once(linear);
        runs += 1;
    }
    2.0 * (rows * inputs * outputs) as f64 * f64::from(runs) / start.elapsed().as_secs_f64() / 1e9
}

#[cfg(test)]
mod tests {
    use super::super::packing::READ_AT_ONCE;
    use super::*;
    use crate::dtype::round_bf16;
    use crate::engine::fixture::{Memory, numbers};
    use crate::engine::logits::Logits;

    #[test]
    fn matrices_are_packed_one_under_the_other_and_rows_come_back() {
        // 21 + 30 outputs: panels cross the border between the matrices and the last one is not full.
        let (a, b) = (numbers(1, 21 * 10), numbers(2, 30 * 10));
        let source = Memory::new([("a", vec![21, 10], a.clone()), ("b", vec![30, 10], b.clone())]);
        let parts = [("a".into(), 21), ("b".into(), 30)];
        let linear = Linear::load(&source, &Matrices::behind(&parts), 10, Precision::Source).unwrap();
        assert_eq!(linear.width(), 64);
        let all: Vec<f32> = a.into_iter().chain(b).collect();
        let mut row = vec![0.0; 10];
        for (i, want) in all.chunks(10).enumerate() {
            linear.row(i, &mut row);
            assert_eq!(row, want);
        }
        let mut y = vec![f32::NAN; 64];
        let x = numbers(3, 10);
        let row = |_, to: &mut [f32]| to.copy_from_slice(&x);
        linear.apply(Isa::detect(), Team::Alone, 1, row, &mut y, Store::Replace, &mut Operand::default());
        for (got, weights) in y.iter().zip(all.chunks(10)) {
            let want = x.iter().zip(weights).fold(0.0f32, |sum, (x, w)| x.mul_add(*w, sum));
            assert_eq!(*got, want);
        }
        assert!(y[51..].iter().all(|&y| y == 0.0), "outputs that do not exist are 0");
    }

    #[test]
    fn the_largest_output_is_found_piece_by_piece() {
        // 1300 outputs: several pieces, and a last panel that is not full. Equal rows of weights give equal outputs.
        let (rows, inputs, outputs) = (40, 64, 1300);
        let mut w = numbers(8, inputs * outputs);
        w.copy_within(..7 * inputs, 1290 * inputs);
        let source = Memory::new([("w", vec![outputs, inputs], w.clone())]);
        let part = [("w".into(), outputs)];
        let matrix = Matrices::behind(&part);
        let mut x = numbers(9, rows * inputs);
        // What the first of two equal outputs likes, and what nothing likes.
        x[..inputs].copy_from_slice(&w[3 * inputs..4 * inputs]);
        x[5 * inputs] = f32::NAN;
        let row = |number: usize, to: &mut [f32]| to.copy_from_slice(&x[number * inputs..][..inputs]);
        for precision in [Precision::Source, Precision::Bf16] {
            let linear = Linear::load(&source, &matrix, inputs, precision).unwrap();
            let mut y = vec![0.0; rows * linear.width()];
            let isa = Isa::detect();
            linear.apply(isa, Team::Alone, rows, row, &mut y, Store::Replace, &mut Operand::default());
            let all = y.chunks_exact(linear.width()).map(|row| Logits::All(&row[..outputs]).top());
            let all: Vec<_> = all.collect();
            assert_eq!((all[0], all[5]), (Ok(3), Err(NotANumber)));
            for team in [Team::Alone, Team::Pool] {
                let mut tops = Vec::new();
                linear.tops(isa, team, rows, row, &mut tops, &mut Operand::default());
                assert_eq!(tops, all, "{precision:?} {team:?}");
            }
        }
    }

    #[test]
    fn a_large_matrix_is_read_in_groups() {
        let (inputs, outputs) = (1000, 300);
        let w = numbers(4, inputs * outputs);
        let source = Memory::new([("w", vec![outputs, inputs], w.clone())]);
        let linear =
            Linear::load(&source, &Matrices::behind(&[("w".into(), outputs)]), inputs, Precision::Source)
                .unwrap();
        assert!(inputs * outputs > READ_AT_ONCE, "or there would be one group");
        let mut row = vec![0.0; inputs];
        for (i, want) in w.chunks(inputs).enumerate() {
            linear.row(i, &mut row);
            assert_eq!(row, want);
        }
    }

    #[test]
    fn weights_are_rounded_to_bfloat16_where_that_is_asked_for() {
        let (inputs, outputs) = (32, 18);
        let w = numbers(5, inputs * outputs);
        let source = Memory::new([("w", vec![outputs, inputs], w.clone())]);
        let parts = [("w".into(), outputs)];
        let matrix = Matrices::behind(&parts);
        let full = Linear::load(&source, &matrix, inputs, Precision::Source).unwrap();
        let half = Linear::load(&source, &matrix, inputs, Precision::Bf16).unwrap();
        assert_eq!(full.bytes(), 2 * half.bytes());
        let mut row = vec![0.0; inputs];
        for (i, want) in w.chunks(inputs).enumerate() {
            half.row(i, &mut row);
            assert!(row.iter().zip(want).all(|(got, &want)| *got == round_bf16(want)));
        }
    }
}
