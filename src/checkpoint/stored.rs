//! Tensors that lie as plain elements in one or more files: what safetensors and PyTorch's zip files have in common.

use super::known::Known;
use super::passing::Passing;
use super::{CheckpointError, Elements, Manifest, Span, TensorInfo, TensorSource};
use crate::digest::{Canonical, Digest};
use crate::files::{Identity, ReadAt};
use crate::ids::TensorName;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::OnceLock;

/// A tensor that a file's header describes.
pub(super) struct Found {
    pub(super) name: TensorName,
    pub(super) info: TensorInfo,
    /// Where in the file its first byte is.
    pub(super) offset: u64,
    pub(super) order: Order,
}

/// In which order elements lie in a file. Steps count elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// Row by row without gaps.
    RowMajor,
    /// A matrix whose rows begin `step` apart, as in a slice of columns.
    Rows { step: usize },
    /// A matrix whose columns are contiguous and begin `step` apart, as in a transposed view.
    Columns { step: usize },
}

/// Where a tensor's bytes are.
#[derive(Debug)]
struct Place {
    shard: usize,
    offset: u64,
    order: Order,
    /// What is known of the hash of its bytes.
    hash: Passing,
}

/// Little-endian tensors in opened files.
#[derive(Debug, Default)]
pub(super) struct Stored {
    manifest: Manifest,
    shards: Vec<ReadAt>,
    places: BTreeMap<TensorName, Place>,
    digest: OnceLock<Digest>,
    /// Where the digest is kept, if it is.
    known: Option<Known>,
}

impl Stored {
    /// Puts the tensors of opened files together. Each must lie within its file, which is the caller's to check.
    pub(super) fn new(files: Vec<(ReadAt, Vec<Found>)>) -> Self {
        let mut shards = Vec::new();
        let mut places = BTreeMap::new();
        let mut manifest = Vec::new();
        for (number, (shard, found)) in files.into_iter().enumerate() {
            shards.push(shard);
            for Found { name, info, offset, order } in found {
                let hash = Passing::new(info.bytes());
                places.insert(name.clone(), Place { shard: number, offset, order, hash });
                manifest.push((name, info));
            }
        }
        let manifest = manifest.into_iter().collect();
        Self { manifest, shards, places, digest: OnceLock::new(), known: None }
    }

    /// Looks for the digest among those that were found before, which are kept in `folder`, and will keep it there.
    pub(super) fn recall(&mut self, folder: &Path) {
        let files: Option<Vec<Identity>> = self.shards.iter().map(ReadAt::identity).collect();
        let tensors: Vec<&str> = self.manifest.iter().map(|(name, _)| name.as_str()).collect();
        let known = files.map(|files| Known::of(folder, &format!("weights/1 {tensors:?}"), files));
        if let Some(digest) = known.as_ref().and_then(Known::get) {
            self.digest = OnceLock::from(digest);
        }
        self.known = known;
    }

    /// Takes note of bytes that were read, where their digest is not known yet.
    fn pass(&self, place: &Place, start: usize, bytes: &[u8]) {
        if self.digest.get().is_none() {
            place.hash.pass(start, bytes);
        }
    }

    /// Reads the stored bytes of elements from `start` on, in row-major order.
    fn read_bytes(
        &self,
        place: &Place,
        info: &TensorInfo,
        start: usize,
        out: &mut [u8],
    ) -> Result<(), CheckpointError> {
        let (shard, size) = (&self.shards[place.shard], info.dtype.size());
        let at = |element: usize| place.offset + (element * size) as u64;
        if place.order == Order::RowMajor {
            return Ok(shard.read_exact(out, at(start))?);
        }
        let columns = info.shape.last().copied().unwrap_or(1);
        let (mut done, len) = (0, out.len() / size);
        while done < len {
            // As many whole rows as there are, or a part of one.
            let (row, column) = ((start + done) / columns, (start + done) % columns);
            let rows = if column == 0 { ((len - done) / columns).max(1) } else { 1 };
            let width = (columns - column).min(len - done);
            let block = &mut out[done * size..][..((rows - 1) * columns + width) * size];
            done += (rows - 1) * columns + width;
            if let Order::Columns { step } = place.order {
                let mut run = vec![0u8; rows * size];
                for c in 0..width {
                    shard.read_exact(&mut run, at((column + c) * step + row))?;
                    for (r, element) in run.chunks_exact(size).enumerate() {
                        block[(r * columns + c) * size..][..size].copy_from_slice(element);
                    }
                }
            } else if let Order::Rows { step } = place.order {
                for (r, line) in block.chunks_mut(columns * size).enumerate() {
                    shard.read_exact(line, at((row + r) * step + column))?;
                }
            }
        }
        Ok(())
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
        let info = self.manifest.for_read(name, span, out.len())?;
        let place = &self.places[name];
        info.dtype.widen_from(out, |bytes| {
            self.read_bytes(place, info, span.start, bytes)?;
            self.pass(place, span.start * info.dtype.size(), bytes);
            Ok(())
        })
    }

    fn fetch(&self, name: &TensorName, span: Span, out: &mut Elements) -> Result<(), CheckpointError> {
        let info = self.manifest.for_read(name, span, span.len)?;
        let place = &self.places[name];
        let bytes = out.reset(info.dtype, span.len);
        self.read_bytes(place, info, span.start, bytes)?;
        self.pass(place, span.start * info.dtype.size(), bytes);
        Ok(())
    }

    /// Digest of every tensor's name, type, shape and bytes; neither the split into shards nor the file format matters.
    fn digest(&self) -> Result<Digest, CheckpointError> {
        let now = || self.shards.iter().map(ReadAt::identity);
        if let Some(shard) = self.known.as_ref().and_then(|known| known.changed(now())) {
            return Err(CheckpointError::Changed { path: self.shards[shard].path().to_owned() });
        }
        if let Some(known) = self.digest.get() {
            return Ok(*known);
        }
        let mut form = Canonical::new("weights/1");
        for (name, info) in self.manifest.iter() {
            let place = &self.places[name];
            let size = info.dtype.size();
            let hash = place.hash.hash(|start, out| self.read_bytes(place, info, start / size, out))?;
            form = form
                .text("tensor", name.as_str())
                .text("dtype", &info.dtype.to_string())
                .text("shape", &format!("{:?}", info.shape))
                .bytes("data", hash.as_bytes());
        }
        let digest = *self.digest.get_or_init(|| form.finish());
        if let Some(known) = &self.known
            && known.changed(now()).is_none()
        {
            known.put(digest);
        }
        Ok(digest)
    }
}
