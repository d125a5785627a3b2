//! The feed-forward block: down(silu(gate(x)) · up(x)).

use super::elementwise;
use super::half::Rounded;
use super::linear::Linear;
use super::simd::{Rows, Store, Team};
use crate::checkpoint::{CheckpointError, ModelConfig, TensorSource};
use crate::engine::settings::Precision;
use crate::isa::Isa;
use rayon::prelude::*;

/// Rows whose gates are worth waking another thread for.
const ROWS_WORTH_SHARING: usize = 16;

/// Weights of one feed-forward block.
#[derive(Debug)]
pub(crate) struct Mlp {
    /// `[2 · intermediate, hidden]`: the gate, then the up projection.
    gate_up: Linear,
    /// `[hidden, intermediate]`
    down: Linear,
    hidden: usize,
    intermediate: usize,
}

impl Mlp {
    /// Reads and packs the weights below `prefix`.
    pub(crate) fn load(
        source: &dyn TensorSource,
        config: &ModelConfig,
        prefix: &str,
        precision: Precision,
    ) -> Result<Self, CheckpointError> {
        let (hidden, intermediate) = (config.hidden_size, config.intermediate_size);
        let name = |part: &str| format!("{prefix}.mlp.{part}_proj.weight").into();
        let bias = |part: &str| format!("{prefix}.mlp.{part}_proj.bias").into();
        let mut gate_up = Linear::load(
            source,
            &[(name("gate"), intermediate), (name("up"), intermediate)],
            hidden,
            precision,
        )?;
        let mut down = Linear::load(source, &[(name("down"), hidden)], intermediate, precision)?;
        if config.biases.mlp {
            gate_up = gate_up.with_bias(source, &[bias("gate"), bias("up")])?;
            down = down.with_bias(source, &[bias("down")])?;
        }
        Ok(Self { gate_up, down, hidden, intermediate })
    }

    /// Bytes of the packed weights.
    pub(crate) fn bytes(&self) -> usize {
        self.gate_up.bytes() + self.down.bytes()
    }

    /// Adds the block's output to the residual stream: `residual[rows, width] += mlp(normed[rows, hidden])`. `wide`,
    /// `narrow` and `rounded` are room to work in.
    #[expect(clippy::too_many_arguments, reason = "the batch and the room to work in are separate things")]
    pub(crate) fn add(
        &self,
        isa: Isa,
        team: Team,
        normed: &[f32],
        residual: &mut [f32],
        wide: &mut Vec<f32>,
        narrow: &mut Vec<f32>,
        rounded: &mut Rounded,
    ) {
        let (hidden, intermediate) = (self.hidden, self.intermediate);
        let rows = normed.len() / hidden;
        let width = self.gate_up.width();
        wide.resize(rows * width, 0.0);
        narrow.resize(rows * intermediate, 0.0);
        let x = Rows { data: normed, stride: hidden, count: rows };
        self.gate_up.apply(isa, team, x, wide, Store::Replace, rounded);
        let gated = |(both, out): (&[f32], &mut [f32])| {
            let (gate, rest) = both.split_at(intermediate);
            elementwise::silu_times(isa, gate, &rest[..intermediate], out);
        };
        if team == Team::Pool && rows >= ROWS_WORTH_SHARING {
            wide.par_chunks_exact(width).zip(narrow.par_chunks_exact_mut(intermediate)).for_each(gated);
        } else {
            wide.chunks_exact(width).zip(narrow.chunks_exact_mut(intermediate)).for_each(gated);
        }
        let x = Rows { data: narrow, stride: intermediate, count: rows };
        self.down.apply(isa, team, x, residual, Store::Add, rounded);
    }
}
