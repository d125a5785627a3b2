//! Names, shapes and element types of a set of tensors.

use super::{CheckpointError, Span};
use crate::dtype::DType;
use crate::ids::TensorName;
use std::collections::BTreeMap;

/// Shape and stored element type of one tensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorInfo {
    /// Axes, outermost first; a matrix of a linear layer is `[out_features, in_features]`.
    pub shape: Vec<usize>,
    /// How its elements are stored.
    pub dtype: DType,
}

impl TensorInfo {
    /// Number of elements.
    pub fn elements(&self) -> usize {
        self.shape.iter().product()
    }

    /// Number of stored bytes.
    pub fn bytes(&self) -> usize {
        self.elements() * self.dtype.size()
    }
}

/// What a set of tensors holds, known from headers alone. Iterates in the order of names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Manifest(BTreeMap<TensorName, TensorInfo>);

impl Manifest {
    /// Looks a tensor up.
    pub fn get(&self, name: &TensorName) -> Option<&TensorInfo> {
        self.0.get(name)
    }

    /// The tensor of which a read asks for `span`. A span that leaves it, or room for another number of elements, is a mistake in the
    /// program and panics.
    pub(super) fn for_read(
        &self,
        name: &TensorName,
        span: Span,
        room: usize,
    ) -> Result<&TensorInfo, CheckpointError> {
        let info = self.get(name).ok_or_else(|| CheckpointError::NoTensor { tensor: name.clone() })?;
        assert!(span.start + span.len <= info.elements() && room == span.len, "span outside the tensor");
        Ok(info)
    }

    /// All tensors, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&TensorName, &TensorInfo)> {
        self.0.iter()
    }

    /// Number of tensors.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Number of parameters.
    pub fn parameters(&self) -> usize {
        self.0.values().map(TensorInfo::elements).sum()
    }
}

impl FromIterator<(TensorName, TensorInfo)> for Manifest {
    fn from_iter<I: IntoIterator<Item = (TensorName, TensorInfo)>>(entries: I) -> Self {
        Self(entries.into_iter().collect())
    }
}
