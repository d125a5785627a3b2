//! A linear layer without bias: y = x · Wᵀ.

use super::simd::{self, LANES, Lanes, Panels, Rows, Store, Team};
use crate::checkpoint::{CheckpointError, Span, TensorSource};
use crate::ids::TensorName;
use crate::isa::Isa;
use rayon::prelude::*;
use std::time::{Duration, Instant};

/// Weights that are read at once while packing, in numbers: bounds what loading allocates besides the panels.
const READ_AT_ONCE: usize = 1 << 17;

/// Weights of one or several matrices `[out, in]` over the same input, packed into panels of 16 outputs.
#[derive(Debug)]
pub(crate) struct Linear {
    /// `[panel, in]`, each 16 outputs.
    lanes: Vec<Lanes>,
    inputs: usize,
    outputs: usize,
}

impl Linear {
    /// Reads and packs the matrices of `parts`, each `[outputs, inputs]`, one under the other.
    pub(crate) fn load(
        source: &dyn TensorSource,
        parts: &[(TensorName, usize)],
        inputs: usize,
    ) -> Result<Self, CheckpointError> {
        let outputs: usize = parts.iter().map(|(_, outputs)| outputs).sum();
        let mut lanes = vec![Lanes::ZERO; outputs.div_ceil(LANES) * inputs];
        // Panels in groups; a group reads the rows of `parts` that fall into it, in pieces that do not cross tensors.
        let group = (READ_AT_ONCE / (LANES * inputs)).max(1);
        lanes.par_chunks_mut(group * inputs).enumerate().try_for_each(|(number, panels)| {
            let first_row = number * group * LANES;
            let past_row = (first_row + panels.len() / inputs * LANES).min(outputs);
            let mut buffer = Vec::new();
            let mut part_start = 0;
            for (name, part_outputs) in parts {
                let (from, to) = (first_row.max(part_start), past_row.min(part_start + part_outputs));
                if from < to {
                    buffer.resize((to - from) * inputs, 0.0);
                    let span = Span { start: (from - part_start) * inputs, len: buffer.len() };
                    source.read(name, span, &mut buffer)?;
                    for (row, weights) in (from - first_row..).zip(buffer.chunks_exact(inputs)) {
                        let panel = &mut panels[row / LANES * inputs..][..inputs];
                        for (lanes, &weight) in panel.iter_mut().zip(weights) {
                            lanes.0[row % LANES] = weight;
                        }
                    }
                }
                part_start += part_outputs;
            }
            Ok::<(), CheckpointError>(())
        })?;
        Ok(Self { lanes, inputs, outputs })
    }

    /// Width of an output row: the outputs, rounded up to whole panels.
    pub(crate) fn width(&self) -> usize {
        self.outputs.next_multiple_of(LANES)
    }

    /// Bytes of the packed weights.
    pub(crate) fn bytes(&self) -> usize {
        size_of_val(self.lanes.as_slice())
    }

    /// `y[rows, width] (+)= x[rows, inputs] · Wᵀ`, rows of `x` being `x_stride` apart and those of `y` touching.
    pub(crate) fn apply(&self, isa: Isa, team: Team, x: Rows<'_>, y: &mut [f32], store: Store) {
        let panels = Panels {
            lanes: &self.lanes,
            stride: self.inputs,
            count: self.outputs.div_ceil(LANES),
            depth: self.inputs,
        };
        simd::multiply(isa, team, x, panels, y, self.width(), store);
    }

    /// Row `output` of the matrix, `[inputs]`: an embedding, where the head is tied to it.
    pub(crate) fn row(&self, output: usize, out: &mut [f32]) {
        let panel = &self.lanes[output / LANES * self.inputs..][..self.inputs];
        for (out, lanes) in out.iter_mut().zip(panel) {
            *out = lanes.0[output % LANES];
        }
    }
}

/// Speed of the packed product `x[rows, inputs] · Wᵀ[inputs, outputs]` on the current rayon pool, in 10⁹ operations per
/// second (a multiplication and an addition are two). Runs for about `time`; for benches.
pub fn matmul_gflops(rows: usize, inputs: usize, outputs: usize, time: Duration) -> f64 {
    let lanes = (0..outputs.div_ceil(LANES) * inputs).map(|i| Lanes([(i % 7) as f32; LANES])).collect();
    let linear = Linear { lanes, inputs, outputs };
    let x: Vec<f32> = (0..rows * inputs).map(|i| (i % 5) as f32).collect();
    let mut y = vec![0.0; rows * linear.width()];
    let isa = Isa::detect();
    let mut once = || {
        let x = Rows { data: &x, stride: inputs, count: rows };
        linear.apply(isa, Team::Pool, x, &mut y, Store::Replace);
    };
    once();
    let (start, mut runs) = (Instant::now(), 0u32);
    while start.elapsed() < time {
        once();
        runs += 1;
    }
    2.0 * (rows * inputs * outputs) as f64 * f64::from(runs) / start.elapsed().as_secs_f64() / 1e9
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::fixture::{Memory, numbers};

    #[test]
    fn matrices_are_packed_one_under_the_other_and_rows_come_back() {
        // 21 + 30 outputs: panels cross the border between the matrices and the last one is not full.
        let (a, b) = (numbers(1, 21 * 10), numbers(2, 30 * 10));
        let source = Memory::new([("a", vec![21, 10], a.clone()), ("b", vec![30, 10], b.clone())]);
        let linear = Linear::load(&source, &[("a".into(), 21), ("b".into(), 30)], 10).unwrap();
        assert_eq!(linear.width(), 64);
        let all: Vec<f32> = a.into_iter().chain(b).collect();
        let mut row = vec![0.0; 10];
        for (i, want) in all.chunks(10).enumerate() {
            linear.row(i, &mut row);
            assert_eq!(row, want);
        }
        let mut y = vec![f32::NAN; 64];
        let x = numbers(3, 10);
        let rows = Rows { data: &x, stride: 10, count: 1 };
        linear.apply(Isa::detect(), Team::Alone, rows, &mut y, Store::Replace);
        for (got, weights) in y.iter().zip(all.chunks(10)) {
            let want = x.iter().zip(weights).fold(0.0f32, |sum, (x, w)| x.mul_add(*w, sum));
            assert_eq!(*got, want);
        }
        assert!(y[51..].iter().all(|&y| y == 0.0), "outputs that do not exist are 0");
    }

    #[test]
    fn a_large_matrix_is_read_in_groups() {
        let (inputs, outputs) = (1000, 300);
        let w = numbers(4, inputs * outputs);
        let source = Memory::new([("w", vec![outputs, inputs], w.clone())]);
        let linear = Linear::load(&source, &[("w".into(), outputs)], inputs).unwrap();
        assert!(inputs * outputs > READ_AT_ONCE, "or there would be one group");
        let mut row = vec![0.0; inputs];
        for (i, want) in w.chunks(inputs).enumerate() {
            linear.row(i, &mut row);
            assert_eq!(row, want);
        }
    }
}
