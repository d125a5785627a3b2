//! The reading face of a set of tensors.

use super::{CheckpointError, Elements, Manifest};
use crate::digest::Digest;
use crate::ids::TensorName;

/// Elements `start .. start + len` of a tensor, counted in row-major order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// First element.
    pub start: usize,
    /// Number of elements.
    pub len: usize,
}

/// A read-only, named set of tensors. Reading is repeatable and thread-safe.
///
/// Shards on disk and a merge that nobody has written yet have this same face, so the engine loads a candidate
/// straight from the merge, and the writer saves it with the same code.
pub trait TensorSource: Send + Sync {
    /// Names, shapes and element types.
    fn manifest(&self) -> &Manifest;

    /// Widens elements `span` of `name` to f32 into `out` (`out.len() == span.len`); never allocates in proportion to
    /// the tensor.
    fn read(&self, name: &TensorName, span: Span, out: &mut [f32]) -> Result<(), CheckpointError>;

    /// Reads the same into `out`, in whatever type they are had with the least work; widened they are the same numbers.
    fn fetch(&self, name: &TensorName, span: Span, out: &mut Elements) -> Result<(), CheckpointError> {
        out.fill(span.len, |values| self.read(name, span, values))
    }

    /// What these weights are, by content: equal digests read equal numbers.
    fn digest(&self) -> Result<Digest, CheckpointError>;

    /// Reads a whole tensor.
    fn read_all(&self, name: &TensorName) -> Result<Vec<f32>, CheckpointError> {
        let info =
            self.manifest().get(name).ok_or_else(|| CheckpointError::NoTensor { tensor: name.clone() })?;
        let len = info.elements();
        let mut out = vec![0.0; len];
        self.read(name, Span { start: 0, len }, &mut out)?;
        Ok(out)
    }
}
