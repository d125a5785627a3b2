//! The feed-forward block: down(silu(gate(x)) · up(x)).

use super::elementwise;
use super::linear::{Linear, Operand};
use super::norm::Norm;
use super::simd::{Store, Team};
use crate::checkpoint::{CheckpointError, ModelConfig, TensorSource};
use crate::engine::settings::Precision;
use crate::isa::Isa;

/// Weights of one feed-forward block.
#[derive(Debug)]
pub(crate) struct Mlp {
    /// `[2 · intermediate, hidden]`: the gate, then the up projection.
    gate_up: Linear,
    /// `[hidden, intermediate]`
    down: Linear,
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
        Ok(Self { gate_up, down, intermediate })
    }

    /// Bytes of the packed weights.
    pub(crate) fn bytes(&self) -> usize {
        self.gate_up.bytes() + self.down.bytes()
    }

    /// Adds the block's output to the residual stream: `residual[rows, width] += mlp(norm(residual))`. `wide` and `operand`
    /// are room to work in.
    pub(crate) fn add(
        &self,
        isa: Isa,
        team: Team,
        norm: &Norm,
        residual: &mut [f32],
        wide: &mut Vec<f32>,
        operand: &mut Operand,
    ) {
        let rows = residual.len() / self.down.width();
        let width = self.gate_up.width();
        wide.resize(rows * width, 0.0);
        let normed = |number: usize, out: &mut [f32]| norm.row(isa, residual, number, out);
        self.gate_up.apply(isa, team, rows, normed, wide, Store::Replace, operand);
        let gated = |number: usize, out: &mut [f32]| {
            let (gate, rest) = wide[number * width..][..width].split_at(self.intermediate);
            elementwise::silu_times(isa, gate, &rest[..self.intermediate], out);
        };
        self.down.apply(isa, team, rows, gated, residual, Store::Add, operand);
    }
}
