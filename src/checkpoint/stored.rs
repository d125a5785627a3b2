//! Tensors that lie as plain elements in one or more files: what safetensors and PyTorch's zip files have in common.

use super::passing::Passing;
use super::{CheckpointError, Manifest, Span, TensorInfo, TensorSource};
use crate::digest::{Canonical, Digest};
use crate::files::ReadAt;
use crate::ids::TensorName;
use std::collections::BTreeMap;
use std::sync::OnceLock;

/// A tensor that a file's header describes: name, shape and type, and where in the file its first byte is.
pub(super) type Found = (TensorName, TensorInfo, u64);

/// Where a tensor's bytes are.
#[derive(Debug)]
struct Place {
    shard: usize,
    offset: u64,
    /// What is known of the hash of its bytes.
    hash: Passing,
}

/// Row-major, little-endian tensors in opened files.
#[derive(Debug, Default)]
pub(super) struct Stored {
    manifest: Manifest,
    shards: Vec<ReadAt>,
    places: BTreeMap<TensorName, Place>,
    digest: OnceLock<Digest>,
}

impl Stored {
    /// Puts the tensors of opened files together. Each must lie within its file, which is the caller's to check.
    pub(super) fn new(files: Vec<(ReadAt, Vec<Found>)>) -> Self {
        let mut shards = Vec::new();
        let mut places = BTreeMap::new();
        let mut manifest = Vec::new();
        for (number, (shard, found)) in files.into_iter().enumerate() {
            shards.push(shard);
            for (name, info, offset) in found {
                let hash = Passing::new(info.bytes());
                places.insert(name.clone(), Place { shard: number, offset, hash });
                manifest.push((name, info));
            }
        }
        Self { manifest: manifest.into_iter().collect(), shards, places, digest: OnceLock::new() }
    }

    /// Forgets `copy` if it is the same bytes as `original`.
    pub(super) fn drop_alias(&mut self, copy: &TensorName, original: &TensorName) {
        let at = |name| self.places.get(name).map(|place: &Place| (place.shard, place.offset));
        if at(copy).is_some_and(|place| at(original) == Some(place)) {
            self.places.remove(copy);
            self.manifest = self
                .manifest
                .iter()
                .filter(|(name, _)| *name != copy)
                .map(|(name, info)| (name.clone(), info.clone()))
                .collect();
        }
    }
}

impl TensorSource for Stored {
    fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    fn read(&self, name: &TensorName, span: Span, out: &mut [f32]) -> Result<(), CheckpointError> {
        let missing = || CheckpointError::NoTensor { tensor: name.clone() };
        let place = self.places.get(name).ok_or_else(missing)?;
        let info = self.manifest.get(name).ok_or_else(missing)?;
        assert!(span.start + span.len <= info.elements() && out.len() == span.len, "span outside the tensor");
        let start = span.start * info.dtype.size();
        info.dtype.widen_from(out, |bytes| {
            self.shards[place.shard].read_exact(bytes, place.offset + start as u64)?;
            place.hash.pass(start, bytes);
            Ok(())
        })
    }

    /// Digest of every tensor's name, type, shape and bytes; neither the split into shards nor the file format matters.
    fn digest(&self) -> Result<Digest, CheckpointError> {
        if let Some(known) = self.digest.get() {
            return Ok(*known);
        }
        let mut form = Canonical::new("weights/1");
        for (name, info) in self.manifest.iter() {
            let place = &self.places[name];
            let shard = &self.shards[place.shard];
            let hash = place.hash.hash(|start, out| shard.read_exact(out, place.offset + start as u64))?;
            form = form
                .text("tensor", name.as_str())
                .text("dtype", &info.dtype.to_string())
                .text("shape", &format!("{:?}", info.shape))
                .bytes("data", hash.as_bytes());
        }
        Ok(*self.digest.get_or_init(|| form.finish()))
    }
}
