//! Reading tensors block by block.

use super::super::arithmetic::{Real, with_real};
use super::super::kernel::deltas;
use super::super::rule::{Input, Job};
use super::super::sparsify::Keep;
use super::Survey;
use crate::checkpoint::{CheckpointError, Elements, Span};
use crate::event::Event;

/// Elements of a block; rows are kept whole.
const BLOCK: usize = 1 << 14;

/// The fixed blocks of a tensor.
pub(super) fn blocks(job: &Job) -> impl Iterator<Item = Span> + use<> {
    let (elements, row) = (job.info.elements(), job.granularity());
    let width = (BLOCK / row).max(1) * row;
    (0..elements).step_by(width).map(move |start| Span { start, len: width.min(elements - start) })
}

/// One block of one tensor after the other: the base is read once, then the deltas of as many models as are asked for.
pub(super) struct Stream<'a> {
    survey: &'a Survey<'a>,
    base: Elements,
    model: Elements,
    delta: Vec<f32>,
    /// Whether blocks are progress.
    counts: bool,
}

impl<'a> Stream<'a> {
    /// For a sweep over whole tensors.
    pub(super) fn new(survey: &'a Survey<'a>) -> Self {
        Self {
            survey,
            base: Elements::default(),
            model: Elements::default(),
            delta: Vec::new(),
            counts: true,
        }
    }

    /// For a look here and there.
    pub(super) fn glance(survey: &'a Survey<'a>) -> Self {
        Self { counts: false, ..Self::new(survey) }
    }

    /// Goes to a block.
    pub(super) fn go(&mut self, job: &Job, span: Span) -> Result<(), CheckpointError> {
        if self.survey.watch.stop_requested() {
            return Err(CheckpointError::Stopped);
        }
        if self.counts {
            self.survey.watch.observe(&Event::Advanced { by: span.len as u64 });
        }
        match &job.base {
            Some(base) => read(self.survey, base, span, &mut self.base),
            None => Ok(()),
        }
    }

    /// The delta of a part after the steps that are known, in the block; the model itself where there is no base.
    pub(super) fn delta(
        &mut self,
        job: &Job,
        part: usize,
        keeps: &[Keep],
        span: Span,
    ) -> Result<&[f32], CheckpointError> {
        read(self.survey, &job.parts[part].input, span, &mut self.model)?;
        Ok(self.again(job, part, keeps, span))
    }

    /// The delta of the part that was last asked for, after other steps.
    pub(super) fn again(&mut self, job: &Job, part: usize, keeps: &[Keep], span: Span) -> &[f32] {
        let part = &job.parts[part];
        self.delta.resize(span.len, 0.0);
        if job.base.is_some() {
            let (granularity, start) = (job.granularity(), span.start as u64);
            let (base, model, out) = (&self.base, &self.model, &mut self.delta);
            with_real!(job.arithmetic, deltas(keeps, &part.draws, granularity, start, base, model, out));
        } else {
            self.model.widen_all(&mut self.delta);
            with_real!(job.arithmetic, round(&mut self.delta));
        }
        &self.delta
    }
}

fn read(survey: &Survey<'_>, input: &Input, span: Span, out: &mut Elements) -> Result<(), CheckpointError> {
    survey.sources[input.source].fetch(&input.tensor, span, out)
}

/// Rounds to the number type.
fn round<F: Real>(values: &mut [f32]) {
    for x in values {
        *x = F::from_f32(*x).to_f32();
    }
}
