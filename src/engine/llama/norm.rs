//! RMS norm of a batch.

use super::elementwise;
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

    /// Norms each row of `x[rows, stride]` into `out[rows, hidden]`; what lies between the rows is left alone.
    pub(crate) fn apply(&self, isa: Isa, x: &[f32], stride: usize, out: &mut [f32]) {
        let hidden = self.weight.len();
        for (x, out) in x.chunks_exact(stride).zip(out.chunks_exact_mut(hidden)) {
            elementwise::rms_norm(isa, &x[..hidden], &self.weight, self.eps, out);
        }
    }
}
