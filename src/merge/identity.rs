//! What a merge is, by inputs and rules: known without computing it.

use super::rule::{Job, Part, Sources};
use crate::checkpoint::CheckpointError;
use crate::digest::{Canonical, Digest};
use crate::ids::TensorName;

/// What a merge is: equal digests make equal numbers. A merge that is one of its models has that model's digest.
pub(super) fn of_merge(sources: &Sources, jobs: &[(&TensorName, &Job)]) -> Result<Digest, CheckpointError> {
    if let Some(source) = copied(sources, jobs) {
        return sources[source].digest();
    }
    let mut named = Named { sources, known: Vec::new() };
    let mut form = Canonical::new("merge/2");
    for (name, job) in jobs {
        form = form.text("tensor", name.as_str()).text("dtype", &job.info.dtype.to_string());
        form = named.inputs(form, job)?;
        for part in &job.parts {
            form = steps(form.float("weight", part.weight), part);
        }
        form = form
            .number("base", u64::from(job.base.is_some()))
            .text("blend", &format!("{:?}", job.blend))
            .text("arithmetic", &format!("{:?}", job.arithmetic));
        if let Some(dtype) = job.through {
            form = form.text("through", &dtype.to_string());
        }
    }
    Ok(form.finish())
}

/// What the marks of a merge depend on: all but the proportion, the magnitude, and how the result is rounded.
pub(super) fn of_marks(sources: &Sources, jobs: &[&Job]) -> Result<Digest, CheckpointError> {
    let mut named = Named { sources, known: Vec::new() };
    let mut form = Canonical::new("marks/1");
    for job in jobs {
        form = form
            .number("elements", job.info.elements() as u64)
            .number("row", job.row() as u64)
            .number("base", u64::from(job.base.is_some()))
            .number("votes", u64::from(job.counts_votes()))
            .text("arithmetic", &format!("{:?}", job.arithmetic));
        form = named.inputs(form, job)?;
        form = job.parts.iter().fold(form, steps);
    }
    Ok(form.finish())
}

/// The source that a merge is as it stands, if it is one.
fn copied(sources: &Sources, jobs: &[(&TensorName, &Job)]) -> Option<usize> {
    let (_, first) = jobs.first()?;
    let source = first.copies()?.source;
    let manifest = sources[source].manifest();
    let same = |(name, job): &(&TensorName, &Job)| {
        job.copies().is_some_and(|input| input.source == source && input.tensor == **name)
            && manifest.get(name) == Some(&job.info)
    };
    (manifest.len() == jobs.len() && jobs.iter().all(same)).then_some(source)
}

fn steps(form: Canonical, part: &Part) -> Canonical {
    part.steps
        .iter()
        .fold(form, |form, step| form.text("step", &format!("{step:?}")).number("model", part.model as u64))
}

/// The sources in the order of their first use, so that one which takes no part does not count.
struct Named<'a> {
    sources: &'a Sources,
    known: Vec<usize>,
}

impl Named<'_> {
    fn inputs(&mut self, mut form: Canonical, job: &Job) -> Result<Canonical, CheckpointError> {
        for input in job.base.iter().chain(job.parts.iter().map(|part| &part.input)) {
            if !self.known.contains(&input.source) {
                self.known.push(input.source);
                form = form.digest("source", self.sources[input.source].digest()?);
            }
            let number = self.known.iter().position(|s| *s == input.source).unwrap_or_default();
            form = form.number("from", number as u64).text("read", input.tensor.as_str());
        }
        Ok(form)
    }
}
