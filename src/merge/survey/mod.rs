//! What must be known of the inputs before a tensor can be blended piece by piece: where the magnitudes are cut, how much
//! was dropped, how elected signs fall when the votes are even, and the angles between models.
//!
//! Every fact is found by streaming over the inputs; nothing grows with the size of a tensor. Counts are whole numbers and
//! sums are taken over blocks of fixed size in their order, so threads and chunks cannot change a fact. A sweep reads a
//! block of the base once, for all the models that it is swept for.
//!
//! - `stream`: reading block by block
//! - `cuts`: where magnitudes are cut
//! - `angles`: the angles between models
//! - `norms`: how much of a delta is kept

mod angles;
mod cuts;
mod norms;
mod stream;

use super::arithmetic::{Real, with_real};
use super::identity::of_marks;
use super::kernel::arcs::Arc;
use super::kernel::{Facts, Form, Term};
use super::rule::{Along, Blend, Divisor, Elect, Job, Part, Rescale, Scope, Sources, Sparsify};
use super::sparsify::{Cut, Factor, Keep, Mask, below};
use crate::checkpoint::{CheckpointError, Span};
use crate::digest::Digest;
use crate::event::{Event, Observer};
use crate::isa::Isa;
use angles::{column_arcs, nuslerp, slerp, stock_ratio};
use cuts::Rank;
use rayon::prelude::*;
use std::collections::BTreeMap;
use std::sync::{Arc as Shared, Mutex, PoisonError};
use std::time::Instant;
use stream::{Stream, blocks};

/// Sums of weights nearer to zero than this are not divided by (mergekit's `normalize`).
const NO_WEIGHT: f64 = 1e-8;

/// What is known of the steps of one part.
type Known = Vec<Keep>;

/// What must be known of the inputs of a merge whatever their proportion: where magnitudes are cut, what is scaled up again,
/// and how votes fall that are even.
struct Marks {
    keeps: Vec<Vec<Known>>,
    zero_is_plus: bool,
}

/// What surveys found, for the next merge of the same inputs by the same method: the candidates of a search are many, and
/// their cuts are one. Grows with the number of tensors, not with their size.
#[derive(Clone, Default)]
pub struct Surveys(Shared<Mutex<BTreeMap<Digest, Shared<Marks>>>>);

impl Surveys {
    fn get(&self, what: Digest) -> Option<Shared<Marks>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&what).cloned()
    }

    fn put(&self, what: Digest, marks: &Shared<Marks>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(what, Shared::clone(marks));
    }
}

/// How often the survey reads the inputs of one tensor, as a rule: more often only where a sample was misleading.
pub(super) fn sweeps(job: &Job) -> u64 {
    sweeps_for_marks(job) + sweeps_for_angles(job)
}

fn sweeps_for_marks(job: &Job) -> u64 {
    let steps = || job.parts.iter().flat_map(|part| part.steps.iter().enumerate());
    let stages = |asks: &dyn Fn(&Sparsify) -> bool| {
        let mut stages: Vec<usize> =
            steps().filter(|(_, step)| step.density() < 1.0 && asks(step)).map(|(stage, _)| stage).collect();
        stages.sort_unstable();
        stages.dedup();
        stages.len() as u64
    };
    let cuts = stages(&|step| matches!(step, Sparsify::Trim { .. } | Sparsify::Breadcrumbs { .. }));
    let norms = stages(&|step| step.rescale() == Rescale::L1);
    cuts + norms + u64::from(job.counts_votes())
}

/// How often a tensor is read for the angles between its models.
fn sweeps_for_angles(job: &Job) -> u64 {
    match job.blend {
        Blend::Slerp { .. } | Blend::NuSlerp { along: Along::Whole | Along::Columns, .. } => 2,
        Blend::ModelStock { rows: false } => 1,
        _ => 0,
    }
}

/// Finds the facts of all jobs, in their order. Marks that are among `surveys` are not sought again.
pub(super) fn survey(
    sources: &Sources,
    jobs: &[&Job],
    surveys: Option<&Surveys>,
    watch: &dyn Observer,
) -> Result<Vec<Facts>, CheckpointError> {
    let survey = Survey { sources, jobs, watch };
    let sought = surveys.filter(|_| jobs.iter().any(|job| sweeps_for_marks(job) > 0));
    let place =
        sought.map(|surveys| Ok::<_, CheckpointError>((surveys, of_marks(sources, jobs)?))).transpose()?;
    let known = place.and_then(|(surveys, what)| surveys.get(what));
    let marks = if let Some(known) = known {
        known
    } else {
        let marks = Shared::new(survey.counted(sweeps_for_marks, Survey::marks)?);
        if let Some((surveys, what)) = place {
            surveys.put(what, &marks);
        }
        marks
    };
    survey.counted(sweeps_for_angles, |survey| survey.facts(&marks))
}

struct Survey<'a> {
    sources: &'a Sources,
    jobs: &'a [&'a Job],
    watch: &'a dyn Observer,
}

impl Survey<'_> {
    /// Does a part of the survey that reads every tensor so many times, with its progress.
    fn counted<R>(
        &self,
        sweeps: fn(&Job) -> u64,
        work: impl FnOnce(&Self) -> Result<R, CheckpointError>,
    ) -> Result<R, CheckpointError> {
        let total = self.jobs.iter().map(|job| sweeps(job) * job.info.elements() as u64).sum();
        if total == 0 {
            return work(self);
        }
        let begun = Instant::now();
        self.watch.observe(&Event::Started { work: "surveying", total: Some(total), unit: "parameters" });
        let done = work(self)?;
        self.watch.observe(&Event::Finished { took: begun.elapsed() });
        Ok(done)
    }

    fn marks(&self) -> Result<Marks, CheckpointError> {
        let mut keeps: Vec<Vec<Known>> = self.jobs.iter().map(|j| vec![Vec::new(); j.parts.len()]).collect();
        let stages = self.jobs.iter().flat_map(|j| &j.parts).map(|p| p.steps.len()).max().unwrap_or(0);
        for stage in 0..stages {
            let cuts = self.cuts_of_models(stage, &keeps)?;
            let found: Vec<Vec<Option<Keep>>> = self
                .jobs
                .par_iter()
                .zip(&keeps)
                .map(|(job, known)| self.stage(job, known, stage, &cuts))
                .collect::<Result<_, CheckpointError>>()?;
            for (known, found) in keeps.iter_mut().flatten().zip(found.into_iter().flatten()) {
                known.extend(found);
            }
        }
        let zero_is_plus = self.majority(&keeps)?;
        Ok(Marks { keeps, zero_is_plus })
    }

    fn facts(&self, marks: &Marks) -> Result<Vec<Facts>, CheckpointError> {
        let Marks { keeps, zero_is_plus } = marks;
        let facts = |(job, keeps): (&&Job, &Vec<Known>)| self.facts_of(job, keeps, *zero_is_plus);
        self.jobs.par_iter().zip(keeps).map(facts).collect()
    }

    /// The steps of one stage with the facts of their tensor, by part.
    fn stage(
        &self,
        job: &Job,
        known: &[Known],
        stage: usize,
        models: &[(usize, Cut)],
    ) -> Result<Vec<Option<Keep>>, CheckpointError> {
        let steps: Vec<Option<&Sparsify>> = job.parts.iter().map(|part| part.steps.get(stage)).collect();
        let n = job.info.elements() as u64;
        let ranks: Vec<Rank> = steps
            .iter()
            .enumerate()
            .flat_map(|(part, step)| ranks(step.as_ref(), n).into_iter().map(move |k| Rank { part, k }))
            .collect();
        let mut cuts = self.cuts_of_tensor(job, known, &ranks)?.into_iter();
        let mut next = || cuts.next().unwrap_or(Cut::ALL);
        let masks: Vec<Option<Mask>> = steps
            .iter()
            .zip(&job.parts)
            .map(|(step, part)| step.map(|step| mask(job, part, step, models, &mut next)))
            .collect();
        let ratios = self.l1_ratios(job, known, &steps, &masks)?;
        let keep = |((step, mask), ratio): ((Option<&Sparsify>, Option<Mask>), Factor)| {
            step.zip(mask).map(|(step, mask)| Keep {
                mask,
                factor: match (mask, step.rescale()) {
                    (Mask::All, _) | (_, Rescale::None) => Factor::One,
                    (_, Rescale::Inverse) => Factor::Over(step.density()),
                    (_, Rescale::L1) => ratio,
                },
            })
        };
        Ok(steps.into_iter().zip(masks).zip(ratios).map(keep).collect())
    }

    /// Whether most elements of the model have a positive sum of deltas, for those where the sum is zero.
    fn majority(&self, keeps: &[Vec<Known>]) -> Result<bool, CheckpointError> {
        let plain = |job: &Job| matches!(job.blend, Blend::Consensus { elect: Elect::Plain, .. });
        if !self.jobs.iter().any(|job| job.counts_votes()) {
            return Ok(true);
        }
        let pieces: Vec<(&Job, &Vec<Known>, Span)> = self
            .jobs
            .iter()
            .copied()
            .zip(keeps)
            .filter(|(job, _)| plain(job))
            .flat_map(|(job, known)| blocks(job).map(move |span| (job, known, span)))
            .collect();
        let balance: i64 = pieces
            .par_iter()
            .map_init(
                || (Stream::new(self), Vec::new()),
                |(stream, sums): &mut (Stream<'_>, Vec<f64>), (job, known, span)| {
                    stream.go(job, *span)?;
                    sums.clear();
                    sums.resize(span.len, 0.0);
                    for (part, known) in known.iter().enumerate() {
                        add(sums, stream.delta(job, part, known, *span)?);
                    }
                    Ok(balance(sums))
                },
            )
            .sum::<Result<i64, CheckpointError>>()?;
        Ok(balance > 0)
    }

    fn facts_of(&self, job: &Job, keeps: &[Known], zero_is_plus: bool) -> Result<Facts, CheckpointError> {
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
            keeps: keeps.clone(),
            draws: part.draws.clone(),
        });
        Ok(Facts { form, terms: terms.collect(), columns, granularity: job.granularity() })
    }
}

/// How many of the largest magnitudes of a tensor of `n` elements a step must tell apart, in the order of the cuts of its
/// [`mask`].
fn ranks(step: Option<&&Sparsify>, n: u64) -> Vec<u64> {
    match step {
        Some(Sparsify::Trim { density, scope: Scope::Tensor, .. }) if density.get() < 1.0 => {
            vec![kept(density.get(), n).max(1)]
        }
        Some(Sparsify::Breadcrumbs { density, gamma, .. }) if density.get() < 1.0 => {
            let (target, top) = (kept(density.get(), n), kept(gamma.get(), n));
            // Where more is to be kept than lies below the top, the top gives way.
            let top = top.min(n - target);
            vec![target + top, top]
        }
        _ => Vec::new(),
    }
}

/// Which elements a step keeps; `cut` gives those of its [`ranks`].
fn mask(
    job: &Job,
    part: &Part,
    step: &Sparsify,
    models: &[(usize, Cut)],
    cut: &mut dyn FnMut() -> Cut,
) -> Mask {
    match *step {
        _ if step.density() == 1.0 => Mask::All,
        Sparsify::Dare { drop, .. } => {
            Mask::Random { below: below(with_real!(job.arithmetic, probability(1.0 - drop.get()))) }
        }
        Sparsify::Della { density, epsilon, .. } => {
            Mask::Ranked { density: density.get(), epsilon, row: job.row() }
        }
        Sparsify::Trim { scope: Scope::Model, .. } => {
            let cut = models.iter().find(|(source, _)| *source == part.input.source);
            cut.map_or(Mask::All, |(_, cut)| Mask::Largest(*cut))
        }
        Sparsify::Trim { .. } => Mask::Largest(cut()),
        Sparsify::Breadcrumbs { .. } => {
            let low = cut();
            Mask::Between { low, high: cut() }
        }
    }
}

fn add(sums: &mut [f64], values: &[f32]) {
    Isa::detect().run(
        #[inline(always)]
        || sums.iter_mut().zip(values).for_each(|(sum, x)| *sum += f64::from(*x)),
    );
}

/// How many more are above zero than below.
fn balance(sums: &[f64]) -> i64 {
    Isa::detect().run(
        #[inline(always)]
        || sums.iter().map(|s| i64::from(*s > 0.0) - i64::from(*s < 0.0)).sum(),
    )
}

/// Σ of weights, each rounded to the type.
fn sum<F: Real>(weights: &[f64]) -> f64 {
    let sum = weights.iter().fold(F::Sum::ZERO, |sum, w| sum + F::from_f64(*w).widen());
    F::narrow(sum).to_f64()
}

/// What a probability is in the type that masks are drawn in.
fn probability<F: Real>(p: f64) -> f64 {
    F::Chance::from_f64(p).to_f64()
}

/// ⌊share·n⌋.
fn kept(share: f64, n: u64) -> u64 {
    (share * n as f64) as u64
}
