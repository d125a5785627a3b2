//! The feed-forward block: down(silu(gate(x)) · up(x)).

use super::buffer::Buffer;
use super::elementwise;
use super::linear::{Linear, Operand};
use super::norm::Norm;
use super::packing::Matrices;
use super::simd::{Store, Team};
use crate::checkpoint::{CheckpointError, ModelConfig, TensorSource};
use crate::engine::settings::Precision;
use crate::isa::Isa;

/// Weights of one feed-forward block.
#[derive(Debug)]
pub(crate) struct Mlp {
    /// `[2 · intermediate, hidden]`: a panel of the gate and one of the up projection in turn.
    gate_up: Linear,
    /// `[hidden, intermediate]`
    down: Linear,
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
        let (pair, one) =
            ([(name("gate"), intermediate), (name("up"), intermediate)], [(name("down"), hidden)]);
        let (pair, one) = (Matrices::in_turn(&pair), Matrices::behind(&one));
        let mut gate_up = Linear::load(source, &pair, hidden, precision)?;
        let mut down = Linear::load(source, &one, intermediate, precision)?;
        if config.biases.mlp {
            gate_up = gate_up.with_bias(source, &pair, &[bias("gate"), bias("up")])?;
            down = down.with_bias(source, &one, &[bias("down")])?;
        }
        Ok(Self { gate_up, down })
    }

    /// Bytes of the packed weights.
    pub(crate) fn bytes(&self) -> usize {
        self.gate_up.bytes() + self.down.bytes()
    }

    /// Adds the block's output to the residual stream: `residual[rows, width] += mlp(norm(residual))`. `wide` and `operands`
    /// are room to work in.
    pub(crate) fn add(
        &self,
        isa: Isa,
        team: Team,
        norm: &Norm,
        residual: &mut [f32],
        wide: &mut Buffer,
        operands: &mut [Operand; 2],
    ) {
        let rows = residual.len() / self.down.width();
        let [operand, gated] = operands;
        let normed = |number: usize, out: &mut [f32]| norm.row(isa, residual, number, out);
        let gate = |gate_up: &[f32], out: &mut [f32]| elementwise::silu_times(isa, gate_up, out);
        self.gate_up.fold(isa, team, rows, normed, gate, wide, operand, (&self.down, gated));
        self.down.multiply(isa, team, rows, gated, residual, Store::Add);
    }
}
