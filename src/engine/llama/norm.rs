//! RMS norm of a row.

use super::{LANES, elementwise};
use crate::checkpoint::{CheckpointError, TensorSource};
use crate::ids::TensorName;
use crate::isa::Isa;

/// The weight `[hidden]` of an RMS norm, with its ε.
#[derive(Debug)]
pub(crate) struct Norm {
    weight: Vec<f32>,
    eps: f32,
}

impl Norm {
    /// Reads the weight.
    pub(crate) fn load(
        source: &dyn TensorSource,
        name: &TensorName,
        eps: f64,
    ) -> Result<Self, CheckpointError> {
        Ok(Self { weight: source.read_all(name)?, eps: eps as f32 })
    }

    /// Norms row `number` of the stream, `[rows, hidden in whole panels]`, into `out[hidden]`.
    pub(crate) fn row(&self, isa: Isa, stream: &[f32], number: usize, out: &mut [f32]) {
        let hidden = self.weight.len();
        let row = &stream[number * hidden.next_multiple_of(LANES)..][..hidden];
        elementwise::rms_norm(isa, row, &self.weight, self.eps, out);
    }
}
