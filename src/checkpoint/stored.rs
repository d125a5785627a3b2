//! Tensors that lie as plain elements in one or more files: what safetensors and PyTorch's zip files have in common.

use super::{CheckpointError, Manifest, Span, TensorInfo, TensorSource};
use crate::digest::{Canonical, Digest};
use crate::files::ReadAt;
use crate::ids::TensorName;
use std::collections::BTreeMap;
use std::sync::OnceLock;

/// Bytes that are read at once while widening; bounds what a read allocates.
const CHUNK: usize = 1 << 20;

/// A tensor that a file's header describes: name, shape and type, and where in the file its first byte is.
pub(super) type Found = (TensorName, TensorInfo, u64);

/// Where a tensor's bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    shard: usize,
    offset: u64,
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
                places.insert(name.clone(), Place { shard: number, offset });
                manifest.push((name, info));
            }
        }
        Self { manifest: manifest.into_iter().collect(), shards, places, digest: OnceLock::new() }
    }

    /// Forgets `copy` if it is the same bytes as `original`.
    pub(super) fn drop_alias(&mut self, copy: &TensorName, original: &TensorName) {
        if self.places.get(copy).is_some_and(|place| self.places.get(original) == Some(place)) {
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
        let size = info.dtype.size();
        let shard = &self.shards[place.shard];
        let mut buffer = vec![0u8; CHUNK.min(span.len * size)];
        for (i, part) in out.chunks_mut(CHUNK / size).enumerate() {
            let offset = place.offset + ((span.start + i * (CHUNK / size)) * size) as u64;
            let bytes = &mut buffer[..part.len() * size];
            shard.read_exact(bytes, offset)?;
            info.dtype.widen(bytes, part);
        }
        Ok(())
    }

    /// Digest of every tensor's name, type, shape and bytes; neither the split into shards nor the file format matters.
    fn digest(&self) -> Result<Digest, CheckpointError> {
        if let Some(known) = self.digest.get() {
            return Ok(*known);
        }
        let mut form = Canonical::new("weights/1");
        let mut buffer = vec![0u8; 8 * CHUNK];
        for (name, info) in self.manifest.iter() {
            let place = &self.places[name];
            let mut hasher = blake3::Hasher::new();
            let mut done = 0;
            while done < info.bytes() {
                let part = (info.bytes() - done).min(buffer.len());
                self.shards[place.shard].read_exact(&mut buffer[..part], place.offset + done as u64)?;
                hasher.update_rayon(&buffer[..part]);
                done += part;
            }
            form = form
                .text("tensor", name.as_str())
                .text("dtype", &info.dtype.to_string())
                .text("shape", &format!("{:?}", info.shape))
                .bytes("data", hasher.finalize().as_bytes());
        }
        Ok(*self.digest.get_or_init(|| form.finish()))
    }
}
