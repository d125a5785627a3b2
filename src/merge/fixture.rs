//! What the comparisons with other programs share: models in memory, stored draws, distances, and where the data is.

use crate::checkpoint::{CheckpointError, Manifest, Span, TensorInfo, TensorSource};
use crate::digest::Digest;
use crate::dtype::DType;
use crate::ids::TensorName;
use crate::random::Draws;
use safetensors::{Dtype, SafeTensors};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Tensors by name.
pub(super) type Tensors = BTreeMap<String, (TensorInfo, Vec<f32>)>;

/// A stored file, if the data is at hand: in a folder of its own, or among the reference data of the tests.
pub(super) fn stored(name: &str) -> Option<Vec<u8>> {
    let given = std::env::var_os("M3_PARITY").map(PathBuf::from);
    let shared = || std::env::var_os("M3_SHARED").map(|s| PathBuf::from(s).join("parity/visible"));
    let folder = given.or_else(shared)?;
    Some(crate::files::read(&folder.join("merge").join(name)).unwrap())
}

/// The weights of a safetensors file; other tensors, masks say, are left out.
pub(super) fn weights(file: &SafeTensors<'_>) -> Tensors {
    let weight = |(name, view): (String, safetensors::tensor::TensorView<'_>)| {
        let dtype = match view.dtype() {
            Dtype::F32 => DType::F32,
            Dtype::F16 => DType::F16,
            Dtype::BF16 => DType::Bf16,
            _ => return None,
        };
        let info = TensorInfo { dtype, shape: view.shape().to_vec() };
        let mut values = vec![0.0; info.elements()];
        dtype.widen(view.data(), &mut values);
        Some((name, (info, values)))
    };
    file.tensors().into_iter().filter_map(weight).collect()
}

/// The tensors whose names begin with `prefix`, which is taken off.
pub(super) fn under(tensors: &Tensors, prefix: &str) -> Tensors {
    let inside = tensors.iter().filter_map(|(n, t)| Some((n.strip_prefix(prefix)?.to_owned(), t.clone())));
    inside.collect()
}

/// A model in memory.
pub(super) struct Memory {
    manifest: Manifest,
    tensors: Tensors,
}

impl Memory {
    pub(super) fn new(tensors: Tensors) -> Self {
        let manifest = tensors.iter().map(|(n, (info, _))| (TensorName::from(n.as_str()), info.clone()));
        Self { manifest: manifest.collect(), tensors }
    }
}

impl TensorSource for Memory {
    fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    fn read(&self, name: &TensorName, span: Span, out: &mut [f32]) -> Result<(), CheckpointError> {
        out.copy_from_slice(&self.tensors[name.as_str()].1[span.start..][..span.len]);
        Ok(())
    }

    fn digest(&self) -> Result<Digest, CheckpointError> {
        Ok(Digest::of_bytes(b"memory"))
    }
}

/// Stored random numbers in place of ours.
pub(super) struct Stored(pub(super) Vec<u32>);

impl Draws for Stored {
    fn fill(&self, start: u64, out: &mut [u32]) {
        out.copy_from_slice(&self.0[start as usize..][..out.len()]);
    }
}

/// A unit in the last place that `dtype` has at `magnitude`.
pub(super) fn last_place(dtype: DType, magnitude: f32) -> f64 {
    let bits = match dtype {
        DType::F32 => 23,
        DType::F16 => 10,
        DType::Bf16 => 7,
    };
    let smallest = if dtype == DType::F16 { 2f32.powi(-14) } else { f32::MIN_POSITIVE };
    2f64.powi(f64::from(magnitude.abs().max(smallest)).log2().floor() as i32 - bits)
}

/// Distance in units of the last place that `dtype` has at `magnitude`.
pub(super) fn ulps(dtype: DType, got: f32, want: f32, magnitude: f32) -> f64 {
    if got.is_nan() && want.is_nan() {
        return 0.0;
    }
    (f64::from(got) - f64::from(want)).abs() / last_place(dtype, magnitude)
}
