//! Sums over whole tensors, rows and columns.
//!
//! A merge in f64 adds one number after the other. One in f32 adds as torch does on a CPU with one thread, so that its
//! numbers are torch's to the last bit: there eight lanes stand for a vector register whatever the machine has, rows of
//! four registers are added up level by level, and what is left over is added at the end. The 16-bit types add in f64:
//! what is left of a difference after rounding to them is next to nothing.

use super::arithmetic::Real;

/// A sum that is fed piece by piece. Where the pieces end does not matter.
pub(super) trait Total<F>: Clone + Send {
    /// The sum of `n` numbers that are to come.
    fn of(n: usize) -> Self;
    /// The same of a column of a matrix with several, which lies across memory.
    fn of_column(n: usize, _column: usize, _columns: usize) -> Self {
        Self::of(n)
    }
    /// Takes the next numbers.
    fn add(&mut self, values: &[F]);
    /// The sum.
    fn total(self) -> f64;
}

/// In f64, in order.
#[derive(Clone, Debug, Default)]
pub(super) struct Plain(f64);

impl<F: Real> Total<F> for Plain {
    fn of(_: usize) -> Self {
        Self::default()
    }

    #[inline(always)]
    fn add(&mut self, values: &[F]) {
        for x in values {
            self.0 += x.to_f64();
        }
    }

    fn total(self) -> f64 {
        self.0
    }
}

/// Squares in f64, in order.
#[derive(Clone, Debug, Default)]
pub(super) struct PlainSquares(f64);

impl<F: Real> Total<F> for PlainSquares {
    fn of(_: usize) -> Self {
        Self::default()
    }

    #[inline(always)]
    fn add(&mut self, values: &[F]) {
        for x in values {
            self.0 += x.to_f64() * x.to_f64();
        }
    }

    fn total(self) -> f64 {
        self.0
    }
}

/// Numbers that torch adds side by side in one register.
const LANES: usize = 8;
/// Registers that it adds side by side.
const REGISTERS: usize = 4;
/// Numbers of a row.
const ROW: usize = LANES * REGISTERS;
/// Levels of partial sums: each takes over what the one below has summed in so many rows.
const LEVELS: usize = 4;

/// Σ x as `torch.sum` over numbers that lie behind each other.
#[derive(Clone, Debug)]
pub(super) struct Cascade {
    levels: [[f32; ROW]; LEVELS],
    /// 2^power rows are summed in a level before the next one takes them over.
    power: u32,
    /// Numbers of a row: less than [`ROW`] where they do not fill registers.
    width: usize,
    /// Rows that are to come in all, and that have been added.
    rows: usize,
    added: usize,
    /// What has come of the next row, or behind the last.
    rest: [f32; ROW],
    held: usize,
}

impl Total<f32> for Cascade {
    fn of(n: usize) -> Self {
        Self::in_rows(n, if n < LANES { REGISTERS } else { ROW })
    }

    fn of_column(n: usize, column: usize, columns: usize) -> Self {
        // Columns are added side by side, by four registers or by four numbers; those left over one by one.
        let together = if columns < LANES { REGISTERS } else { ROW };
        Self::in_rows(n, if column < columns / together * together { 1 } else { REGISTERS })
    }

    #[inline(always)]
    fn add(&mut self, mut values: &[f32]) {
        while let Some(first) = values.first() {
            if self.held == 0 && self.width == ROW {
                let rows = values.as_chunks().0;
                let rows = &rows[..rows.len().min(self.rows - self.added)];
                if !rows.is_empty() {
                    self.take_rows(rows);
                    values = &values[rows.len() * ROW..];
                    continue;
                }
            }
            self.rest[self.held] = *first;
            self.held += 1;
            values = &values[1..];
            if self.held == self.width && self.added < self.rows {
                self.held = 0;
                let row = self.rest;
                self.take_rows(&[row]);
            }
        }
    }

    fn total(self) -> f64 {
        let [mut sums, upper @ ..] = self.levels;
        for level in upper {
            add(&mut sums, &level);
        }
        let rest = &self.rest[..self.held];
        if self.width < ROW {
            for x in rest {
                sums[0] += x;
            }
            return f64::from(sums[1..REGISTERS].iter().fold(sums[0], |sum, x| sum + x));
        }
        let (registers, single) = rest.as_chunks::<LANES>();
        let (lanes, others) = sums.split_at_mut(LANES);
        for register in registers.iter().chain(others.as_chunks().0) {
            add(lanes, register);
        }
        let single = single.iter().fold(0.0, |sum: f32, x| sum + x);
        f64::from(lanes.iter().fold(single, |sum, x| sum + x))
    }
}

impl Cascade {
    fn in_rows(n: usize, width: usize) -> Self {
        let rows = n / width;
        let power = (rows.next_power_of_two().ilog2() / LEVELS as u32).max(4);
        let levels = [[0.0; ROW]; LEVELS];
        Self { levels, power, width, rows, added: 0, rest: [0.0; ROW], held: 0 }
    }

    #[inline(always)]
    fn take_rows(&mut self, mut rows: &[[f32; ROW]]) {
        let step = 1 << self.power;
        while !rows.is_empty() {
            // As many as the lowest level takes before it is emptied: its sums stay in registers.
            let (now, later) = rows.split_at(rows.len().min(step - self.added % step));
            let mut sums = self.levels[0];
            for row in now {
                for (sum, x) in sums.iter_mut().zip(row) {
                    *sum += x;
                }
            }
            self.levels[0] = sums;
            self.added += now.len();
            rows = later;
            if self.added.is_multiple_of(step) {
                self.hand_up(step);
            }
        }
    }

    /// Empties the lowest level, and those above it that are full, into the next ones.
    fn hand_up(&mut self, step: usize) {
        for level in 1..LEVELS {
            let below = std::mem::replace(&mut self.levels[level - 1], [0.0; ROW]);
            add(&mut self.levels[level], &below);
            if self.added & ((step - 1) << (level as u32 * self.power)) != 0 {
                break;
            }
        }
    }
}

#[inline(always)]
fn add(sums: &mut [f32], values: &[f32]) {
    for (sum, x) in sums.iter_mut().zip(values) {
        *sum += x;
    }
}

/// Σ x² as `torch.norm` over numbers that lie behind each other.
#[derive(Clone, Debug)]
pub(super) struct Squares {
    lanes: [f32; LANES],
    /// Numbers of a register: one in a column.
    width: usize,
    rest: [f32; LANES],
    held: usize,
}

impl Total<f32> for Squares {
    fn of(_: usize) -> Self {
        Self { lanes: [0.0; LANES], width: LANES, rest: [0.0; LANES], held: 0 }
    }

    fn of_column(n: usize, _: usize, _: usize) -> Self {
        Self { width: 1, ..Self::of(n) }
    }

    #[inline(always)]
    fn add(&mut self, mut values: &[f32]) {
        while let Some(first) = values.first() {
            if self.held == 0
                && self.width == LANES
                && let Some((register, others)) = values.split_first_chunk()
            {
                self.take(register);
                values = others;
                continue;
            }
            self.rest[self.held] = *first;
            self.held += 1;
            values = &values[1..];
            if self.held == self.width {
                self.held = 0;
                let register = self.rest;
                self.take(&register);
            }
        }
    }

    fn total(self) -> f64 {
        let [first, others @ ..] = self.lanes;
        let sum = others.iter().fold(first, |sum, x| sum + x);
        // Of what does not fill a register four are multiplied together, and fewer are multiplied and added in one step.
        let (fours, single) = self.rest[..self.held].as_chunks::<4>();
        let sum = fours.as_flattened().iter().fold(sum, |sum, x| sum + x * x);
        f64::from(single.iter().fold(sum, |sum, x| x.mul_add(*x, sum)))
    }
}

impl Squares {
    #[inline(always)]
    fn take(&mut self, register: &[f32; LANES]) {
        for (lane, x) in self.lanes.iter_mut().zip(register) {
            *lane += x * x;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Numbers that are fed in pieces.
    fn fed<T: Total<f32>>(values: &[f32], pieces: &[usize]) -> f64 {
        let mut total = T::of(values.len());
        let mut left = values;
        for len in pieces {
            let (piece, others) = left.split_at((*len).min(left.len()));
            total.add(piece);
            left = others;
        }
        total.add(left);
        total.total()
    }

    proptest! {
        #[test]
        fn pieces_do_not_matter_and_it_is_the_sum(
            values in prop::collection::vec(-2.0f32..2.0, 0..3000),
            pieces in prop::collection::vec(0usize..200, 0..20),
        ) {
            let exact = |of: fn(f64) -> f64| values.iter().map(|x| of(f64::from(*x))).sum::<f64>();
            let cascade = fed::<Cascade>(&values, &pieces);
            prop_assert_eq!(cascade, fed::<Cascade>(&values, &[]));
            prop_assert!((cascade - exact(|x| x)).abs() <= 1e-4 * (1.0 + exact(f64::abs)));
            let squares = fed::<Squares>(&values, &pieces);
            prop_assert_eq!(squares, fed::<Squares>(&values, &[]));
            prop_assert!((squares - exact(|x| x * x)).abs() <= 1e-4 * (1.0 + squares));
        }
    }

    #[test]
    fn they_are_torchs_to_the_last_bit() {
        // As `scripts/golden/torch_sums.py` makes them.
        let golden: serde_json::Value = serde_json::from_str(include_str!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/golden/torch_sums.json"
        )))
        .unwrap();
        for case in golden.as_array().unwrap() {
            let field = |name: &str| case[name].as_u64();
            let (n, column) = (field("n").unwrap(), field("column").zip(field("columns")));
            let (first, step) = column.unwrap_or((0, 1));
            let values: Vec<f32> = (0..n).map(|i| number(first + i * step)).collect();
            let (mut sum, mut squares) = match column.map(|(j, of)| (n as usize, j as usize, of as usize)) {
                Some((n, j, of)) => (Cascade::of_column(n, j, of), Squares::of_column(n, j, of)),
                None => (Cascade::of(n as usize), Squares::of(n as usize)),
            };
            sum.add(&values);
            squares.add(&values);
            let (sum, norm) = (sum.total() as f32, (squares.total() as f32).sqrt());
            for (what, got) in [("sum", sum), ("norm", norm)] {
                assert_eq!(u64::from(got.to_bits()), field(what).unwrap(), "{what} of {case}");
            }
        }
    }

    /// The i-th number of the golden file: exact in f32, of changing sign and size.
    fn number(i: u64) -> f32 {
        let bits = (i.wrapping_mul(0x9E37_79B9) >> 8) & 0xFF_FFFF;
        (bits as f32 - 8_388_608.0) / 8_388_608.0
    }
}
