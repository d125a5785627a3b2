//! Merged weights that nobody has written yet.

use super::kernel::Kernel;
use crate::checkpoint::{CheckpointError, Folder, Manifest, Span, TensorSource};
use crate::digest::{Canonical, Digest};
use crate::ids::TensorName;
use std::sync::Arc;

/// Elements that are blended at a time. A read needs (models + 1) such buffers, whatever the size of the tensor.
const CHUNK: usize = 1 << 16;

/// A merge as a [`TensorSource`]: each read blends just the elements asked for, rounded to the result's element type.
/// The engine that loads it and the writer that saves it therefore see the same numbers.
pub struct MergedView {
    base: Option<Arc<Folder>>,
    models: Vec<Arc<Folder>>,
    coefficients: Vec<f64>,
    kernel: Box<dyn Kernel>,
    manifest: Manifest,
}

impl MergedView {
    pub(super) fn new(
        base: Option<Arc<Folder>>,
        models: Vec<Arc<Folder>>,
        coefficients: Vec<f64>,
        kernel: Box<dyn Kernel>,
        manifest: Manifest,
    ) -> Self {
        Self { base, models, coefficients, kernel, manifest }
    }
}

impl TensorSource for MergedView {
    fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    fn read(&self, name: &TensorName, span: Span, out: &mut [f32]) -> Result<(), CheckpointError> {
        let info =
            self.manifest.get(name).ok_or_else(|| CheckpointError::NoTensor { tensor: name.clone() })?;
        let width = CHUNK.min(span.len);
        let mut base = vec![0.0f32; if self.base.is_some() { width } else { 0 }];
        let mut models = vec![vec![0.0f32; width]; self.models.len()];
        for (i, part) in out.chunks_mut(CHUNK).enumerate() {
            let at = Span { start: span.start + i * CHUNK, len: part.len() };
            if let Some(source) = &self.base {
                source.read(name, at, &mut base[..at.len])?;
            }
            for (source, buffer) in self.models.iter().zip(&mut models) {
                source.read(name, at, &mut buffer[..at.len])?;
            }
            let slices: Vec<&[f32]> = models.iter().map(|m| &m[..at.len]).collect();
            self.kernel.blend(&base[..base.len().min(at.len)], &slices, part);
            info.dtype.round(part);
        }
        Ok(())
    }

    /// By inputs and coefficients, not by the bytes of the result: known without computing it. A merge that is one of
    /// its models has that model's digest.
    fn digest(&self) -> Result<Digest, CheckpointError> {
        if let ([model], [1.0]) = (self.models.as_slice(), self.coefficients.as_slice())
            && *model.manifest() == self.manifest
        {
            return model.digest();
        }
        let mut form = Canonical::new("merge/1");
        if let Some(base) = &self.base {
            form = form.digest("base", base.digest()?);
        }
        for (model, c) in self.models.iter().zip(&self.coefficients) {
            form = form.digest("model", model.digest()?).float("coefficient", *c);
        }
        for (name, info) in self.manifest.iter() {
            form = form.text(name.as_str(), &info.dtype.to_string());
        }
        Ok(form.finish())
    }
}
