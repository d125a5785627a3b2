//! Weights as they are when they are loaded in another element type.

use crate::checkpoint::{CheckpointError, Elements, Manifest, Span, TensorInfo, TensorSource};
use crate::digest::{Canonical, Digest};
use crate::dtype::DType;
use crate::ids::TensorName;
use std::sync::Arc;

/// A source whose elements are rounded to `dtype` as they are read.
pub(super) struct Rounded {
    source: Arc<dyn TensorSource>,
    dtype: DType,
    manifest: Manifest,
}

impl Rounded {
    /// `source` itself where all its elements have that type already.
    pub(super) fn load(source: Arc<dyn TensorSource>, dtype: DType) -> Arc<dyn TensorSource> {
        if source.manifest().iter().all(|(_, info)| info.dtype == dtype) {
            return source;
        }
        let manifest = source
            .manifest()
            .iter()
            .map(|(name, info)| (name.clone(), TensorInfo { dtype, shape: info.shape.clone() }))
            .collect();
        Arc::new(Self { source, dtype, manifest })
    }
}

impl TensorSource for Rounded {
    fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    fn read(&self, name: &TensorName, span: Span, out: &mut [f32]) -> Result<(), CheckpointError> {
        self.source.read(name, span, out)?;
        self.dtype.round(out);
        Ok(())
    }

    fn fetch(&self, name: &TensorName, span: Span, out: &mut Elements) -> Result<(), CheckpointError> {
        if self.dtype == DType::F32 {
            // Every element is one of f32 already.
            return self.source.fetch(name, span, out);
        }
        out.fill(span.len, |values| self.read(name, span, values))
    }

    fn digest(&self) -> Result<Digest, CheckpointError> {
        let form = Canonical::new("rounded/1").text("dtype", &self.dtype.to_string());
        Ok(form.digest("source", self.source.digest()?).finish())
    }
}
