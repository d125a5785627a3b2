//! What a merge will cost in reading, writing and memory, from headers alone; and how fast this machine reads an input.

use super::rule::{Scope, Sparsify};
use super::survey::sweeps;
use super::{MergeError, NamedInput, Plan};
use crate::checkpoint::{Span, TensorSource};
use rayon::prelude::*;
use serde::Serialize;
use std::time::Instant;

/// Bytes that are read to measure a rate.
const SAMPLE: usize = 64 << 20;
/// Elements of one piece of the sample.
const PIECE: usize = 1 << 16;

/// The program itself, with its headers.
const PROGRAM: u64 = 16 << 20;
/// What a thread writes from: 64 Ki elements, and their bytes.
const WRITER: u64 = 1 << 19;
/// Elements of a block, unless a row is longer.
const BLOCK: u64 = 1 << 14;
/// Counts and sample of one cut that is sought, twice while two threads put theirs together.
const CUT: u64 = 2 * ((2 << 20) + (1 << 18));
/// Sample of a cut over a whole model.
const SAMPLE_OF_MODEL: u64 = 8 << 20;

/// What a merge will cost.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Estimate {
    /// How often each input is read as a whole, in the order of the inputs: once for each sweep that the facts of the recipe
    /// need, and once to blend. What its digest needs is read on the way.
    pub sweeps: Vec<f64>,
    /// Bytes that are read in all sweeps, in the inputs' element types.
    pub read_bytes: u64,
    /// Bytes of the result's weights.
    pub write_bytes: u64,
    /// Peak memory in bytes. The matrices of an adapter come on top.
    pub memory_bytes: u64,
}

impl Plan {
    /// Bytes of the result's weights.
    pub fn bytes(&self) -> u64 {
        self.jobs.values().map(|job| job.info.bytes() as u64).sum()
    }

    /// What the merge will cost with so many threads. `inputs` are those that it was planned for.
    pub fn estimate(&self, inputs: &[NamedInput], threads: usize) -> Estimate {
        let stored: Vec<u64> = inputs
            .iter()
            .map(|input| input.checkpoint.manifest().iter().map(|(_, info)| info.bytes() as u64).sum())
            .collect();
        let mut read = vec![0u64; stored.len()];
        let (mut wide, mut most) = (BLOCK, 0);
        let (mut cuts, mut whole) = (0, 0);
        for job in self.jobs.values() {
            let mut add = |source: usize, tensor, times: u64| {
                // As it is stored: the plan's own source may round it to a wider type first.
                let info = inputs.get(source).and_then(|input| input.checkpoint.manifest().get(tensor));
                if let (Some(info), Some(read)) = (info, read.get_mut(source)) {
                    *read += times * info.bytes() as u64;
                }
            };
            for input in job.base.iter().chain(job.parts.iter().map(|part| &part.input)) {
                add(input.source, &input.tensor, sweeps(job) + 1);
            }
            if job.granularity() > 1 {
                wide = wide.max(job.granularity() as u64);
            }
            most = most.max(job.parts.len() as u64);
            let steps = || job.parts.iter().flat_map(|part| &part.steps).filter(|s| s.density() < 1.0);
            let sought = |step: &Sparsify| match step {
                Sparsify::Trim { .. } => 1,
                Sparsify::Breadcrumbs { .. } => 2,
                _ => 0,
            };
            cuts = cuts.max(steps().map(sought).sum());
            let of_model = steps().filter(|step| matches!(step, Sparsify::Trim { scope: Scope::Model, .. }));
            whole = whole.max(of_model.count() as u64);
        }
        let beside = |input: &NamedInput| {
            let companions = input.checkpoint.companions();
            let others: usize = companions.others.iter().map(|(_, bytes)| bytes.len()).sum();
            // As opened, and as planned.
            2 * (companions.tokenizer.len() + others) as u64
        };
        // A block of every input, and as many again for what is done to them.
        let blocks = wide * 4 * 2 * (most + 2);
        Estimate {
            sweeps: read.iter().zip(&stored).map(|(r, s)| *r as f64 / (*s).max(1) as f64).collect(),
            read_bytes: read.iter().sum(),
            write_bytes: self.bytes(),
            memory_bytes: PROGRAM
                + inputs.iter().map(beside).sum::<u64>()
                + whole * SAMPLE_OF_MODEL
                + threads as u64 * (WRITER + blocks + cuts * CUT),
        }
    }

    /// With how many of `threads` the merge stays within so many bytes of memory; with none, what one needs.
    pub fn threads_within(&self, memory: u64, inputs: &[NamedInput], threads: usize) -> Result<usize, u64> {
        let needed = |threads| self.estimate(inputs, threads).memory_bytes;
        (1..=threads).rev().find(|threads| needed(*threads) <= memory).ok_or_else(|| needed(1))
    }
}

/// How fast `source` is read and widened on all threads, in its stored bytes per second, over at most its first 64 MiB. What
/// the system has in its cache comes faster than from disk.
pub fn read_rate(source: &dyn TensorSource) -> Result<f64, MergeError> {
    let mut pieces = Vec::new();
    let mut bytes = 0;
    'all: for (name, info) in source.manifest().iter() {
        for start in (0..info.elements()).step_by(PIECE) {
            let span = Span { start, len: PIECE.min(info.elements() - start) };
            bytes += span.len * info.dtype.size();
            if bytes > SAMPLE {
                bytes -= span.len * info.dtype.size();
                break 'all;
            }
            pieces.push((name, span));
        }
    }
    let begun = Instant::now();
    pieces.par_iter().try_for_each_init(
        || vec![0.0f32; PIECE],
        |values, (name, span)| source.read(name, *span, &mut values[..span.len]),
    )?;
    Ok(bytes as f64 / begun.elapsed().as_secs_f64().max(1e-6))
}
