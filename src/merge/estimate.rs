//! What a merge will cost in reading, writing and memory, from headers alone; and how fast this machine reads an input.

use super::rule::{Along, Blend, Elect, Job, Part, Rescale, Sparsify};
use super::{MergeError, NamedInput, Plan};
use crate::checkpoint::{Span, TensorSource};
use rayon::prelude::*;
use serde::Serialize;
use std::time::Instant;

/// Bytes that are read to measure a rate.
const SAMPLE: usize = 64 << 20;
/// Elements of one piece of the sample.
const PIECE: usize = 1 << 16;

/// The program itself, with the 8 MiB that a digest is computed through.
const PROGRAM: u64 = 16 << 20;
/// What a thread needs beside its blocks: raw bytes of a read (1 MiB), counts of a cut, the writer's elements and bytes.
const THREAD: u64 = (1 << 20) + (1 << 19) + (1 << 19);
/// Elements of a block, unless a row is longer.
const BLOCK: u64 = 1 << 14;
/// Bytes of one element in the wide sums and masks of a block.
const WIDE: u64 = 16;

/// What a merge will cost.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Estimate {
    /// How often each input is read as a whole, in the order of the inputs: once for its digest, once to blend, and in
    /// between as often as the facts of the method ask for.
    pub sweeps: Vec<f64>,
    /// Bytes that are read in all sweeps, in the inputs' element types.
    pub read_bytes: u64,
    /// Bytes of the result's weights.
    pub write_bytes: u64,
    /// Peak memory in bytes. The matrices of an adapter come on top.
    pub memory_bytes: u64,
}

/// How often the facts of one tensor ask for the delta of a part (its model's tensor, and with it the base's) before the
/// tensor is blended. This is what `survey` does: a cut is found in two sweeps (a third one counts equal magnitudes, where
/// they straddle the cut); an L1 ratio takes two; the majority of signs one; an angle two, or one for each pair of models.
fn passes(job: &Job, part: &Part) -> u64 {
    const CUT: u64 = 2;
    let steps = part.steps.iter().map(|step| {
        let whole = step.density() >= 1.0;
        let l1 = if !whole && step.rescale() == Rescale::L1 { 2 } else { 0 };
        l1 + match step {
            _ if whole => 0,
            Sparsify::Dare { .. } | Sparsify::Della { .. } => 0,
            Sparsify::Trim { .. } => CUT,
            Sparsify::Breadcrumbs { .. } => 2 * CUT,
        }
    });
    let blend = match job.blend {
        Blend::Consensus { elect: Elect::Plain, .. } => 1,
        Blend::Slerp { .. } | Blend::NuSlerp { along: Along::Whole | Along::Columns, .. } => 2,
        Blend::ModelStock { rows: false } => job.parts.len().saturating_sub(1) as u64,
        _ => 0,
    };
    steps.sum::<u64>() + blend
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
        let mut read = stored.clone();
        let (mut wide, mut most) = (BLOCK, 0);
        for job in self.jobs.values() {
            let mut add = |source: usize, tensor, times: u64| {
                let info = self.sources.get(source).and_then(|s| s.manifest().get(tensor));
                if let (Some(info), Some(read)) = (info, read.get_mut(source)) {
                    *read += times * info.bytes() as u64;
                }
            };
            let mut surveyed = 0;
            for part in &job.parts {
                let passes = passes(job, part);
                surveyed += passes;
                add(part.input.source, &part.input.tensor, passes + 1);
            }
            if let Some(base) = &job.base {
                add(base.source, &base.tensor, surveyed + 1);
            }
            if job.granularity() > 1 {
                wide = wide.max(job.granularity() as u64);
            }
            most = most.max(job.parts.len() as u64);
        }
        let beside = |input: &NamedInput| {
            let companions = input.checkpoint.companions();
            let others: usize = companions.others.iter().map(|(_, bytes)| bytes.len()).sum();
            // As opened, and as planned.
            2 * (companions.tokenizer.len() + others) as u64
        };
        let blocks = wide * (4 * (most + 2) + WIDE);
        Estimate {
            sweeps: read.iter().zip(&stored).map(|(r, s)| *r as f64 / (*s).max(1) as f64).collect(),
            read_bytes: read.iter().sum(),
            write_bytes: self.bytes(),
            memory_bytes: PROGRAM
                + inputs.iter().map(beside).sum::<u64>()
                + threads as u64 * (THREAD + blocks),
        }
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
