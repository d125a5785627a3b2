//! What two sets of tensors have in common, from their headers alone.

use crate::checkpoint::TensorSource;
use crate::ids::TensorName;
use serde::Serialize;

/// How the tensors of a model compare with those of a first one.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Agreement {
    /// Tensors that both have in one shape.
    pub shared: usize,
    /// Tensors that only the first has.
    pub missing: Vec<TensorName>,
    /// Tensors that only the other has.
    pub extra: Vec<TensorName>,
    /// Tensors with another shape: name, shape in the first, shape in the other.
    pub reshaped: Vec<(TensorName, Vec<usize>, Vec<usize>)>,
}

impl Agreement {
    /// Compares `other` with `first`.
    pub fn of(first: &dyn TensorSource, other: &dyn TensorSource) -> Self {
        let mut found = Self::default();
        for (name, info) in first.manifest().iter() {
            match other.manifest().get(name) {
                None => found.missing.push(name.clone()),
                Some(there) if there.shape != info.shape => {
                    found.reshaped.push((name.clone(), info.shape.clone(), there.shape.clone()));
                }
                Some(_) => found.shared += 1,
            }
        }
        let extra = other.manifest().iter().filter(|(name, _)| first.manifest().get(name).is_none());
        found.extra = extra.map(|(name, _)| name.clone()).collect();
        found
    }

    /// Whether both have the same tensors in the same shapes.
    pub fn whole(&self) -> bool {
        self.missing.is_empty() && self.extra.is_empty() && self.reshaped.is_empty()
    }
}
