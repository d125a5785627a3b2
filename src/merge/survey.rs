//! What must be known of the inputs before a tensor can be blended piece by piece: where the magnitudes are cut, how much
//! was dropped, how elected signs fall when the votes are even, and the angles between models.
//!
//! Every fact is found by streaming over the inputs; nothing grows with the size of a tensor. Counts are whole numbers and
//! sums are taken over blocks of fixed size in their order, so threads and chunks cannot change a fact.

use super::arithmetic::{Real, with_real};
use super::kernel::arcs::{self, Arc, Norms, Products};
use super::kernel::stock;
use super::kernel::{Facts, Form, Term, delta};
use super::rule::{Along, Blend, Divisor, Elect, Input, Job, Part, Rescale, Scope, Sources, Sparsify};
use super::sparsify::{Cut, Factor, Keep, Mask, Selection, below, key};
use crate::checkpoint::{CheckpointError, Span};
use crate::event::Observer;
use rayon::prelude::*;

/// Elements of a block; rows are kept whole.
const BLOCK: usize = 1 << 14;
/// Norms below this are not scaled up (mergekit's `rescale`).
const NO_NORM: f64 = 1e-7;
/// Sums of weights nearer to zero than this are not divided by (mergekit's `normalize`).
const NO_WEIGHT: f64 = 1e-8;

/// Finds the facts of all jobs, in their order.
pub(super) fn survey(
    sources: &Sources,
    jobs: &[&Job],
    watch: &dyn Observer,
) -> Result<Vec<Facts>, CheckpointError> {
    let survey = Survey { sources, jobs, watch };
    let mut keeps: Vec<Vec<Vec<Keep>>> = jobs.iter().map(|j| vec![Vec::new(); j.parts.len()]).collect();
    let stages = jobs.iter().flat_map(|j| &j.parts).map(|p| p.steps.len()).max().unwrap_or(0);
    for stage in 0..stages {
        let cuts = survey.model_cuts(stage, &keeps)?;
        let found: Vec<Vec<Option<Keep>>> = jobs
            .par_iter()
            .zip(&keeps)
            .map(|(job, known)| {
                let step = |(part, known): (&Part, &Vec<Keep>)| {
                    part.steps.get(stage).map(|step| survey.keep(job, part, known, step, &cuts)).transpose()
                };
                job.parts.iter().zip(known).map(step).collect()
            })
            .collect::<Result<_, CheckpointError>>()?;
        for (known, found) in keeps.iter_mut().flatten().zip(found.into_iter().flatten()) {
            known.extend(found);
        }
    }
    let zero_is_plus = survey.majority(&keeps)?;
    jobs.par_iter().zip(keeps).map(|(job, keeps)| survey.facts(job, keeps, zero_is_plus)).collect()
}

/// The cut of each source that is cut as a whole.
type ModelCuts = Vec<(usize, Cut)>;

struct Survey<'a> {
    sources: &'a Sources,
    jobs: &'a [&'a Job],
    watch: &'a dyn Observer,
}

/// The fixed blocks of a tensor.
fn blocks(job: &Job) -> impl Iterator<Item = Span> + use<> {
    let (elements, row) = (job.info.elements(), job.granularity());
    let width = (BLOCK / row).max(1) * row;
    (0..elements).step_by(width).map(move |start| Span { start, len: width.min(elements - start) })
}

/// f32 deltas of one part after the steps that are known, over one block.
fn read_delta<F: Real>(
    sources: &Sources,
    job: &Job,
    part: &Part,
    keeps: &[Keep],
    span: Span,
) -> Result<Vec<f32>, CheckpointError> {
    let model = read(sources, &part.input, span)?;
    let mut values = vec![F::ZERO; span.len];
    match &job.base {
        Some(base) => {
            let base = read(sources, base, span)?;
            delta(keeps, &part.draws, span.start as u64, &base, &model, &mut values);
        }
        None => values.iter_mut().zip(&model).for_each(|(x, m)| *x = F::from_f32(*m)),
    }
    Ok(values.iter().map(|x| x.to_f32()).collect())
}

fn read(sources: &Sources, input: &Input, span: Span) -> Result<Vec<f32>, CheckpointError> {
    let mut values = vec![0.0; span.len];
    sources[input.source].read(&input.tensor, span, &mut values)?;
    Ok(values)
}

impl Survey<'_> {
    fn deltas(
        &self,
        job: &Job,
        part: &Part,
        keeps: &[Keep],
        span: Span,
    ) -> Result<Vec<f32>, CheckpointError> {
        if self.watch.stop_requested() {
            return Err(CheckpointError::Stopped);
        }
        let sources = self.sources;
        with_real!(job.arithmetic, read_delta(sources, job, part, keeps, span))
    }

    /// The cut of each model whose step of this stage is a trim over the whole model.
    fn model_cuts(&self, stage: usize, keeps: &[Vec<Vec<Keep>>]) -> Result<ModelCuts, CheckpointError> {
        let mut trimmed: Vec<(usize, f64)> = Vec::new();
        let whole = |part: &Part| match part.steps.get(stage) {
            Some(Sparsify::Trim { density, scope: Scope::Model, .. }) => Some(density.get()),
            _ => None,
        };
        for part in self.jobs.iter().flat_map(|j| &j.parts) {
            if let Some(density) = whole(part)
                && !trimmed.iter().any(|(source, _)| *source == part.input.source)
            {
                trimmed.push((part.input.source, density));
            }
        }
        let cut = |(source, density): (usize, f64)| {
            let pieces: Vec<(&Job, &Part, &[Keep], Span)> = self
                .jobs
                .iter()
                .zip(keeps)
                .flat_map(|(job, known)| {
                    job.parts.iter().zip(known).map(move |(part, known)| (*job, part, known))
                })
                .filter(|(_, part, _)| part.input.source == source && whole(part).is_some())
                .flat_map(|(job, part, known)| {
                    blocks(job).map(move |span| (job, part, known.as_slice(), span))
                })
                .collect();
            let n: u64 = pieces.iter().map(|(.., span)| span.len as u64).sum();
            let dropped = dropped(density, n);
            if dropped == 0 {
                return Ok((source, Cut::ALL));
            }
            // The paper's program keeps what is at least as large as the k-th smallest of n, k = ⌊n·drop⌋.
            let mut selection = Selection::new(n - dropped + 1);
            loop {
                let counts = pieces
                    .par_iter()
                    .try_fold(Selection::counts, |mut counts, (job, part, known, span)| {
                        selection.count(&self.deltas(job, part, known, *span)?, &mut counts);
                        Ok::<_, CheckpointError>(counts)
                    })
                    .try_reduce(Selection::counts, |mut a, b| {
                        a.iter_mut().zip(b).for_each(|(x, y)| *x += y);
                        Ok(a)
                    })?;
                if let Some(found) = selection.narrow(&counts) {
                    return Ok((source, Cut { key: found.key, ties_before: u64::MAX }));
                }
            }
        };
        trimmed.into_iter().map(cut).collect()
    }

    /// A step with the facts of its tensor.
    fn keep(
        &self,
        job: &Job,
        part: &Part,
        known: &[Keep],
        step: &Sparsify,
        cuts: &ModelCuts,
    ) -> Result<Keep, CheckpointError> {
        let n = job.info.elements() as u64;
        let mask = match *step {
            Sparsify::Dare { drop, .. } if drop.get() == 0.0 => Mask::All,
            Sparsify::Dare { drop, .. } => {
                Mask::Random { below: below(with_real!(job.arithmetic, probability(1.0 - drop.get()))) }
            }
            Sparsify::Della { density, .. } if density.get() == 1.0 => Mask::All,
            Sparsify::Della { density, epsilon, .. } => {
                Mask::Ranked { density: density.get(), epsilon, row: job.row() }
            }
            Sparsify::Trim { density, .. } | Sparsify::Breadcrumbs { density, .. }
                if density.get() == 1.0 =>
            {
                Mask::All
            }
            Sparsify::Trim { scope: Scope::Model, .. } => {
                let cut = cuts.iter().find(|(source, _)| *source == part.input.source);
                cut.map_or(Mask::All, |(_, cut)| Mask::Largest(*cut))
            }
            Sparsify::Trim { density, .. } => {
                Mask::Largest(self.largest(job, part, known, kept(density.get(), n).max(1))?)
            }
            Sparsify::Breadcrumbs { density, gamma, .. } => {
                let (target, top) = (kept(density.get(), n), kept(gamma.get(), n));
                // Where more is to be kept than lies below the top, the top gives way.
                let top = top.min(n - target);
                Mask::Between {
                    low: self.largest(job, part, known, target + top)?,
                    high: self.largest(job, part, known, top)?,
                }
            }
        };
        let factor = match (mask, step.rescale()) {
            (Mask::All, _) | (_, Rescale::None) => Factor::One,
            (_, Rescale::Inverse) => Factor::Over(step.density()),
            (_, Rescale::L1) => self.l1_ratio(job, part, known, mask)?,
        };
        Ok(Keep { mask, factor })
    }

    /// The cut below the `k` largest magnitudes of one tensor; among equal ones the first are in.
    fn largest(&self, job: &Job, part: &Part, known: &[Keep], k: u64) -> Result<Cut, CheckpointError> {
        let n = job.info.elements() as u64;
        if k == 0 || n == 0 {
            return Ok(Cut::NONE);
        }
        if k >= n {
            return Ok(Cut::ALL);
        }
        let mut selection = Selection::new(k);
        let found = loop {
            let mut counts = Selection::counts();
            for span in blocks(job) {
                selection.count(&self.deltas(job, part, known, span)?, &mut counts);
            }
            if let Some(found) = selection.narrow(&counts) {
                break found;
            }
        };
        if found.wanted == found.ties {
            return Ok(Cut { key: found.key, ties_before: u64::MAX });
        }
        let mut left = found.wanted;
        for span in blocks(job) {
            for (place, x) in (span.start as u64..).zip(self.deltas(job, part, known, span)?) {
                if key(x) == found.key {
                    left -= 1;
                    if left == 0 {
                        return Ok(Cut { key: found.key, ties_before: place + 1 });
                    }
                }
            }
        }
        Ok(Cut { key: found.key, ties_before: u64::MAX })
    }

    /// Σ|δ| / Σ|kept|.
    fn l1_ratio(
        &self,
        job: &Job,
        part: &Part,
        known: &[Keep],
        mask: Mask,
    ) -> Result<Factor, CheckpointError> {
        let mut with = known.to_vec();
        with.push(Keep { mask, factor: Factor::One });
        let (mut before, mut after) = (0.0, 0.0);
        for span in blocks(job) {
            let l1 = |values: Vec<f32>| values.iter().map(|x| f64::from(x.abs())).sum::<f64>();
            before += l1(self.deltas(job, part, known, span)?);
            after += l1(self.deltas(job, part, &with, span)?);
        }
        Ok(if before < NO_NORM || after < NO_NORM {
            Factor::One
        } else {
            Factor::Times(with_real!(job.arithmetic, quotient(before, after)))
        })
    }

    /// Whether most elements of the model have a positive sum of deltas, for those where the sum is zero.
    fn majority(&self, keeps: &[Vec<Vec<Keep>>]) -> Result<bool, CheckpointError> {
        let plain = |job: &&Job| matches!(job.blend, Blend::Consensus { elect: Elect::Plain, .. });
        let pieces: Vec<(&Job, &Vec<Vec<Keep>>, Span)> = self
            .jobs
            .iter()
            .zip(keeps)
            .filter(|(job, _)| plain(job))
            .flat_map(|(job, known)| blocks(job).map(move |span| (*job, known, span)))
            .collect();
        let balance: i64 = pieces
            .par_iter()
            .map(|(job, known, span)| {
                let mut sums = vec![0.0f64; span.len];
                for (part, known) in job.parts.iter().zip(*known) {
                    for (sum, d) in sums.iter_mut().zip(self.deltas(job, part, known, *span)?) {
                        *sum += f64::from(d);
                    }
                }
                Ok(sums.iter().map(|s| i64::from(*s > 0.0) - i64::from(*s < 0.0)).sum::<i64>())
            })
            .sum::<Result<i64, CheckpointError>>()?;
        Ok(balance > 0)
    }

    fn facts(&self, job: &Job, keeps: Vec<Vec<Keep>>, zero_is_plus: bool) -> Result<Facts, CheckpointError> {
        let weights: Vec<f64> = job.parts.iter().map(|p| p.weight).collect();
        let divisor = |divisor: Divisor| match divisor {
            Divisor::One => 1.0,
            Divisor::Weights => with_real!(job.arithmetic, sum(&weights)),
        };
        let mut columns = Vec::new();
        let arc = |arc: Arc| {
            let form = match job.base {
                Some(_) => Form::Deltas { divisor: arc.divisor, scale: 1.0 },
                None => Form::Models { divisor: arc.divisor, fused: false },
            };
            (form, vec![arc.first, arc.second])
        };
        let (form, weights) = match job.blend {
            Blend::Models { divisor: by, fused } => (Form::Models { divisor: divisor(by), fused }, weights),
            Blend::Deltas { divisor: by, scale } => {
                let by = divisor(by);
                let divisor = if by.abs() < NO_WEIGHT { 1.0 } else { by };
                (Form::Deltas { divisor, scale }, weights)
            }
            Blend::Consensus { elect: Elect::Weighted, divisor, scale } => {
                (Form::Consensus { weighted: true, zero_is_plus: true, divisor, scale }, weights)
            }
            Blend::Consensus { elect: Elect::Plain, divisor, scale } => {
                (Form::Consensus { weighted: false, zero_is_plus, divisor, scale }, weights)
            }
            Blend::Slerp { t } => arc(with_real!(job.arithmetic, slerp(self, job, t))?),
            Blend::NuSlerp { t, along: Along::Rows } => (Form::RowArcs { t, row: job.row() }, weights),
            Blend::NuSlerp { t, along: Along::Columns } => {
                columns = with_real!(job.arithmetic, column_arcs(self, job, t))?;
                (Form::ColumnArcs, weights)
            }
            Blend::NuSlerp { t, along: Along::Whole } => {
                arc(with_real!(job.arithmetic, nuslerp(self, job, t))?)
            }
            Blend::ModelStock { rows: true } => (Form::RowTowards { row: job.row() }, weights),
            Blend::ModelStock { rows: false } => {
                (Form::Towards { t: with_real!(job.arithmetic, stock_ratio(self, job))? }, weights)
            }
            Blend::NearSwap { t } => (Form::Near { t }, weights),
        };
        let terms = job.parts.iter().zip(keeps).zip(weights).map(|((part, keeps), weight)| Term {
            weight,
            keeps,
            draws: part.draws.clone(),
        });
        Ok(Facts { form, terms: terms.collect(), columns, granularity: job.granularity() })
    }

    /// Gives each pair of elements of the deltas (or models, without a base) of two parts, with its place.
    fn pairs<F: Real>(
        &self,
        job: &Job,
        i: usize,
        j: usize,
        mut take: impl FnMut(usize, F, F),
    ) -> Result<(), CheckpointError> {
        for span in blocks(job) {
            let (a, b) =
                (self.deltas(job, &job.parts[i], &[], span)?, self.deltas(job, &job.parts[j], &[], span)?);
            for (place, (a, b)) in (span.start..).zip(a.iter().zip(&b)) {
                take(place, F::from_f32(*a), F::from_f32(*b));
            }
        }
        Ok(())
    }

    /// Products over the whole tensor.
    fn products<F: Real>(&self, job: &Job, i: usize, j: usize) -> Result<Products, CheckpointError> {
        let mut all = Products::default();
        self.pairs(job, i, j, |_, a: F, b: F| all.add(a, b))?;
        Ok(all)
    }
}

/// Σ of weights, each rounded to the type.
fn sum<F: Real>(weights: &[f64]) -> f64 {
    let sum = weights.iter().fold(F::Sum::ZERO, |sum, w| sum + F::from_f64(*w).widen());
    F::narrow(sum).to_f64()
}

fn slerp<F: Real>(survey: &Survey<'_>, job: &Job, t: f64) -> Result<Arc, CheckpointError> {
    let norms = Norms::<F>::slerp(survey.products::<F>(job, 0, 1)?);
    let mut cosine = 0.0;
    survey.pairs(job, 0, 1, |_, a, b| cosine += norms.cosine(a, b))?;
    Ok(arcs::slerp::<F>(t, cosine))
}

fn nuslerp<F: Real>(survey: &Survey<'_>, job: &Job, t: f64) -> Result<Arc, CheckpointError> {
    let norms = Norms::<F>::nuslerp(survey.products::<F>(job, 0, 1)?);
    let mut cosine = 0.0;
    survey.pairs(job, 0, 1, |_, a, b| cosine += norms.cosine(a, b))?;
    Ok(arcs::nuslerp::<F>(t, cosine))
}

fn column_arcs<F: Real>(survey: &Survey<'_>, job: &Job, t: f64) -> Result<Vec<Arc>, CheckpointError> {
    // mergekit takes a vector for one column.
    let width = if job.info.shape.len() < 2 { 1 } else { job.row() };
    let mut products = vec![Products::default(); width];
    survey.pairs(job, 0, 1, |i, a: F, b: F| products[i % width].add(a, b))?;
    let norms: Vec<Norms<F>> = products.into_iter().map(Norms::nuslerp).collect();
    let mut cosines = vec![0.0; width];
    survey.pairs(job, 0, 1, |i, a, b| cosines[i % width] += norms[i % width].cosine(a, b))?;
    Ok(cosines.into_iter().map(|cosine| arcs::nuslerp::<F>(t, cosine)).collect())
}

fn stock_ratio<F: Real>(survey: &Survey<'_>, job: &Job) -> Result<f64, CheckpointError> {
    let n = job.parts.len();
    let mut pairs = Vec::new();
    for i in 0..n {
        for j in i + 1..n {
            pairs.push(survey.products::<F>(job, i, j)?);
        }
    }
    let mut pairs = pairs.into_iter();
    Ok(stock::ratio::<F>(n, |_, _| pairs.next().unwrap_or_default()).to_f64())
}

/// One number over another.
fn quotient<F: Real>(a: f64, b: f64) -> f64 {
    (F::from_f64(a) / F::from_f64(b)).to_f64()
}

/// What a probability is in the type that masks are drawn in.
fn probability<F: Real>(p: f64) -> f64 {
    F::Chance::from_f64(p).to_f64()
}

/// ⌊share·n⌋.
fn kept(share: f64, n: u64) -> u64 {
    (share * n as f64) as u64
}

/// ⌊n·(1 − density)⌋, where 1 − 0.7 is meant to be 0.3.
fn dropped(density: f64, n: u64) -> u64 {
    const DIGITS: f64 = 1e12;
    let drop = ((1.0 - density) * DIGITS).round() / DIGITS;
    (n as f64 * drop) as u64
}
