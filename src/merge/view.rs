//! Merged weights that nobody has written yet.

use super::arithmetic::with_real;
use super::identity::of_merge;
use super::kernel::{Facts, Out, blend};
use super::rule::{Input, Job, Sources};
use crate::checkpoint::{CheckpointError, Elements, Manifest, Span, TensorSource};
use crate::digest::Digest;
use crate::dtype::DType;
use crate::ids::TensorName;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Elements that are blended at a time. A read needs (models + 1) such buffers, whatever the size of the tensor; where a
/// rule looks at whole rows, as many rows as fit, at least one.
const CHUNK: usize = 1 << 14;

/// A merge as a [`TensorSource`]: each read blends just the elements asked for, rounded to the result's element type.
/// The engine that loads it and the writer that saves it therefore see the same numbers.
pub struct MergedView {
    sources: Sources,
    tensors: BTreeMap<TensorName, (Job, Facts)>,
    manifest: Manifest,
    rooms: Mutex<Vec<Room>>,
}

impl MergedView {
    pub(super) fn new(sources: Sources, tensors: BTreeMap<TensorName, (Job, Facts)>) -> Self {
        let manifest = tensors.iter().map(|(name, (job, _))| (name.clone(), job.info.clone())).collect();
        Self { sources, tensors, manifest, rooms: Mutex::default() }
    }

    fn rooms(&self) -> MutexGuard<'_, Vec<Room>> {
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn input(&self, input: &Input, span: Span, out: &mut [f32]) -> Result<(), CheckpointError> {
        self.sources[input.source].read(&input.tensor, span, out)
    }

    fn fetch_input(&self, input: &Input, span: Span, out: &mut Elements) -> Result<(), CheckpointError> {
        self.sources[input.source].fetch(&input.tensor, span, out)
    }

    fn entry(&self, name: &TensorName) -> Result<&(Job, Facts), CheckpointError> {
        self.tensors.get(name).ok_or_else(|| CheckpointError::NoTensor { tensor: name.clone() })
    }

    /// Lends a room: there are as many as there are readers at a time.
    fn in_room<R>(&self, work: impl FnOnce(&mut Room) -> R) -> R {
        let mut room = self.rooms().pop().unwrap_or_default();
        let done = work(&mut room);
        self.rooms().push(room);
        done
    }

    /// Blends whole granules.
    fn chunk(
        &self,
        job: &Job,
        facts: &Facts,
        span: Span,
        room: &mut Room,
        out: Out<'_>,
    ) -> Result<(), CheckpointError> {
        let Room { base, models } = room;
        if let Some(input) = &job.base {
            self.fetch_input(input, span, base)?;
        }
        models.resize_with(job.parts.len().max(models.len()), Elements::default);
        for (part, elements) in job.parts.iter().zip(&mut *models) {
            self.fetch_input(&part.input, span, elements)?;
        }
        let (base, models) = (job.base.is_some().then_some(&*base), &models[..job.parts.len()]);
        let (place, through) = ((span.start as u64, span.len), job.through.unwrap_or(DType::F32));
        with_real!(job.arithmetic, blend(facts, place, base, models, through, out));
        Ok(())
    }

    /// Blends a span chunk by chunk.
    fn chunks(
        &self,
        job: &Job,
        facts: &Facts,
        span: Span,
        room: &mut Room,
        out: &mut [f32],
    ) -> Result<(), CheckpointError> {
        let granule = facts.granularity;
        let width = (CHUNK / granule).max(1) * granule;
        let end = span.start + span.len;
        let mut at = span.start;
        while at < end {
            // Out to the borders of granules, and back to what was asked for.
            let first = at / granule * granule;
            let last = end.next_multiple_of(granule).min(first + width);
            let (from, to) = (at - span.start, last.min(end) - span.start);
            let whole = Span { start: first, len: last - first };
            if first == at && last <= end {
                self.chunk(job, facts, whole, room, Out::Wide(job.info.dtype, &mut out[from..to]))?;
            } else {
                let mut wide = vec![0.0; whole.len];
                self.chunk(job, facts, whole, room, Out::Wide(job.info.dtype, &mut wide))?;
                out[from..to].copy_from_slice(&wide[at - first..][..to - from]);
            }
            at = last.min(end);
        }
        Ok(())
    }
}

/// Buffers of one reader: a chunk of each input.
#[derive(Default)]
struct Room {
    base: Elements,
    models: Vec<Elements>,
}

impl TensorSource for MergedView {
    fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    fn read(&self, name: &TensorName, span: Span, out: &mut [f32]) -> Result<(), CheckpointError> {
        let (job, facts) = self.entry(name)?;
        if let Some(input) = job.copies() {
            self.input(input, span, out)?;
            job.info.dtype.round(out);
            return Ok(());
        }
        self.in_room(|room| self.chunks(job, facts, span, room, out))
    }

    fn fetch(&self, name: &TensorName, span: Span, out: &mut Elements) -> Result<(), CheckpointError> {
        let (job, facts) = self.entry(name)?;
        let dtype = job.info.dtype;
        if job.copies().is_some() || facts.granularity > 1 {
            return out.fill(span.len, |values| self.read(name, span, values));
        }
        let size = dtype.size();
        let bytes = out.reset(dtype, span.len);
        self.in_room(|room| {
            for (number, bytes) in bytes.chunks_mut(CHUNK * size).enumerate() {
                let part = Span { start: span.start + number * CHUNK, len: bytes.len() / size };
                self.chunk(job, facts, part, room, Out::Narrow(dtype, bytes))?;
            }
            Ok(())
        })
    }

    /// By inputs and rules, not by the bytes of the result: known without computing it. A merge that is one of its models
    /// has that model's digest.
    fn digest(&self) -> Result<Digest, CheckpointError> {
        let jobs: Vec<_> = self.tensors.iter().map(|(name, (job, _))| (name, job)).collect();
        of_merge(&self.sources, &jobs)
    }
}
