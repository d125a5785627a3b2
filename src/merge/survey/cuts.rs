//! Where magnitudes are cut: over a tensor, or over all tensors of a model.

use super::stream::{Stream, blocks};
use super::{Known, Survey, kept};
use crate::checkpoint::{CheckpointError, Span};
use crate::isa::Isa;
use crate::merge::rule::{Job, Scope, Sparsify};
use crate::merge::sparsify::{Counts, Cut, Found, Keep, Sought, Window, key};
use rayon::prelude::*;

/// Magnitudes of a sample that says about where a cut lies.
const SAMPLE: usize = 1 << 16;
/// Elements that a sample takes from one place, so that it has many places.
const SPOT: usize = 128;
/// Groups that the blocks of a model are counted in, each by one thread at a time.
const GROUPS: usize = 64;

/// A cut that is sought in a tensor.
#[derive(Clone, Copy)]
pub(super) struct Rank {
    /// Which part's delta.
    pub(super) part: usize,
    /// So many of the largest magnitudes are in.
    pub(super) k: u64,
}

/// A search for the k-th largest of some elements.
struct Search {
    k: u64,
    window: Window,
    /// The k-th largest of a sample.
    guess: u32,
    found: Option<Found>,
}

impl Search {
    /// The k-th largest of `n`, near where it is in a sample that was taken spot by spot.
    fn new(k: u64, n: u64, sample: &[u32]) -> Self {
        let mut sorted = sample.to_vec();
        let place = ((k - 1) as f64 / n as f64 * sample.len() as f64) as usize;
        let Some(last) = sorted.len().checked_sub(1) else {
            return Self { k, window: Window::ALL, guess: 0, found: None };
        };
        let (larger, guess, smaller) = sorted.select_nth_unstable_by(place.min(last), |a, b| b.cmp(a));
        let (guess, spread) = (*guess, spread(sample, *guess));
        // The borders are that many places before and behind the guess, as far as there are such.
        let high = match larger.len().checked_sub(spread) {
            Some(place) => *larger.select_nth_unstable_by(place, |a, b| b.cmp(a)).1,
            None => larger.iter().copied().max().unwrap_or(guess),
        };
        let low = match smaller.get(spread) {
            Some(_) => *smaller.select_nth_unstable_by(spread, |a, b| b.cmp(a)).1,
            None => smaller.iter().copied().min().unwrap_or(guess),
        };
        Self { k, window: Window::between(low, high, n), guess, found: None }
    }

    fn narrow(&mut self, counts: &Counts) {
        match self.window.seek(counts, self.k) {
            Sought::Found(found) => self.found = Some(found),
            Sought::Within(window) => self.window = window,
            Sought::Missed => self.window = Window::ALL,
        }
    }
}

/// How many places of a sample the cut may lie beside its guess: five standard errors of the number of elements above the
/// guess, taken from how much that number differs between spots, because neighbours are alike.
fn spread(sample: &[u32], guess: u32) -> usize {
    let spots = sample.chunks(SPOT);
    let mean = |total: f64| total / spots.len() as f64;
    let above = |spot: &[u32]| spot.iter().map(|x| u32::from(*x > guess)).sum::<u32>();
    let (sum, squares) = spots.clone().map(above).fold((0.0, 0.0), |(sum, squares), above| {
        let above = f64::from(above);
        (sum + above, squares + above * above)
    });
    let variance = (mean(squares) - mean(sum) * mean(sum)).max(0.0);
    (5.0 * (variance * spots.len() as f64).sqrt()) as usize + 16
}

/// Every so many elements there is a spot of a sample, if `n` elements are more than the sample.
fn stride(n: u64) -> usize {
    (n as usize).div_ceil(SAMPLE / SPOT).max(SPOT)
}

/// Spots of a tensor whose first element is the `before`-th of all, a stride apart from each other in all of them.
fn spots(job: &Job, before: u64, stride: usize) -> impl Iterator<Item = Span> + use<> {
    let (elements, row) = (job.info.elements(), job.granularity());
    let first = (stride - (before % stride as u64) as usize) % stride;
    (first..elements).step_by(stride).map(move |at| {
        let start = at / row * row;
        let len = SPOT.next_multiple_of(row).min(elements - start);
        Span { start, len }
    })
}

impl Survey<'_> {
    /// The cut below the k largest magnitudes for each rank of one tensor; among equal magnitudes the first are in.
    pub(super) fn cuts_of_tensor(
        &self,
        job: &Job,
        known: &[Known],
        ranks: &[Rank],
    ) -> Result<Vec<Cut>, CheckpointError> {
        let n = job.info.elements() as u64;
        let mut cuts: Vec<Cut> =
            ranks.iter().map(|rank| if rank.k == 0 || n == 0 { Cut::NONE } else { Cut::ALL }).collect();
        let open: Vec<usize> = (0..ranks.len()).filter(|i| (1..n).contains(&ranks[*i].k)).collect();
        if open.is_empty() {
            return Ok(cuts);
        }
        let mut stream = Stream::glance(self);
        let mut samples = vec![Vec::new(); open.len()];
        for span in spots(job, 0, stride(n)) {
            stream.go(job, span)?;
            for (sample, i) in samples.iter_mut().zip(&open) {
                let part = ranks[*i].part;
                sample.extend(stream.delta(job, part, &known[part], span)?.iter().map(|x| key(*x)));
            }
        }
        let search = |(i, sample): (&usize, &Vec<u32>)| Search::new(ranks[*i].k, n, sample);
        let mut searches: Vec<Search> = open.iter().zip(&samples).map(search).collect();
        let mut stream = Stream::new(self);
        // How many elements of each block equal the guess: mostly it is right, and where the ties lie is known at once.
        let mut ties: Vec<Vec<u64>> = Vec::new();
        while searches.iter().any(|search| search.found.is_none()) {
            let mut counts: Vec<Counts> = searches.iter().map(|s| Counts::new(s.window)).collect();
            ties = vec![Vec::new(); searches.len()];
            for span in blocks(job) {
                stream.go(job, span)?;
                for (number, (search, i)) in searches.iter().zip(&open).enumerate() {
                    let part = ranks[*i].part;
                    let values = stream.delta(job, part, &known[part], span)?;
                    ties[number].push(add(&mut counts[number], search, values));
                }
            }
            let left = searches.iter_mut().zip(&counts).filter(|(search, _)| search.found.is_none());
            left.for_each(|(search, counts)| search.narrow(counts));
        }
        for ((search, mut ties), i) in searches.iter().zip(ties).zip(open) {
            if let Some(found) = search.found {
                if found.key != search.guess {
                    ties.clear();
                }
                let part = ranks[i].part;
                cuts[i] = self.cut_among_ties(job, part, &known[part], found, &ties)?;
            }
        }
        Ok(cuts)
    }

    /// The place up to which elements with the magnitude of the cut are in. `ties` are their numbers by block, if known.
    fn cut_among_ties(
        &self,
        job: &Job,
        part: usize,
        known: &[Keep],
        found: Found,
        ties: &[u64],
    ) -> Result<Cut, CheckpointError> {
        let mut ties_before = u64::MAX;
        if found.wanted < found.ties {
            let mut stream = Stream::glance(self);
            let mut left = found.wanted;
            'search: for (number, span) in blocks(job).enumerate() {
                if let Some(here) = ties.get(number).filter(|here| **here < left) {
                    left -= here;
                    continue;
                }
                stream.go(job, span)?;
                let values = stream.delta(job, part, known, span)?;
                let here = equal(values, found.key);
                if here < left {
                    left -= here;
                    continue;
                }
                for (place, x) in (span.start as u64..).zip(values) {
                    left -= u64::from(key(*x) == found.key);
                    if left == 0 {
                        ties_before = place + 1;
                        break 'search;
                    }
                }
            }
        }
        Ok(Cut { key: found.key, ties_before })
    }

    /// The cut of each source whose step of this stage is a trim over the whole model, by the source's number.
    pub(super) fn cuts_of_models(
        &self,
        stage: usize,
        keeps: &[Vec<Known>],
    ) -> Result<Vec<(usize, Cut)>, CheckpointError> {
        let mut models: Vec<Whole> = Vec::new();
        for job in self.jobs {
            for part in &job.parts {
                if let Some(Sparsify::Trim { density, scope: Scope::Model, .. }) = part.steps.get(stage) {
                    let n = job.info.elements() as u64;
                    match models.iter_mut().find(|m| m.source == part.input.source) {
                        Some(model) => model.n += n,
                        None => models.push(Whole { source: part.input.source, density: density.get(), n }),
                    }
                }
            }
        }
        let all = models.iter().map(|m| (m.source, Cut::ALL)).collect();
        // The paper's program keeps what is at least as large as the k-th smallest of n, k = ⌊n·drop⌋.
        models.retain(|m| dropped(m.density, m.n) > 0);
        if models.is_empty() {
            return Ok(all);
        }
        let pieces = |spans: &dyn Fn(&Job, u64) -> Vec<Span>| {
            let mut before = 0;
            let mut pieces: Vec<Piece<'_>> = Vec::new();
            for (job, known) in self.jobs.iter().zip(keeps) {
                pieces.extend(spans(job, before).into_iter().map(|span| Piece { job, known, span }));
                before += job.info.elements() as u64;
            }
            pieces
        };
        let elements: u64 = self.jobs.iter().map(|job| job.info.elements() as u64).sum();
        // The sample of a whole model is as much larger as it has tensors.
        let stride = stride(elements / self.jobs.len().clamp(1, 32) as u64);
        let sample = |pieces: &[Piece<'_>]| {
            let mut samples = vec![Vec::new(); models.len()];
            each(Stream::glance(self), stage, &models, pieces, |model, values| {
                samples[model].extend(values.iter().map(|x| key(*x)));
            })?;
            Ok::<_, CheckpointError>(samples)
        };
        let samples = sample(&pieces(&|job, before| spots(job, before, stride).collect()))?;
        let search =
            |(m, sample): (&Whole, &Vec<u32>)| Search::new(m.n - dropped(m.density, m.n) + 1, m.n, sample);
        let mut searches: Vec<Search> = models.iter().zip(&samples).map(search).collect();
        let pieces = pieces(&|job, _| blocks(job).collect());
        while searches.iter().any(|search| search.found.is_none()) {
            let empty = || searches.iter().map(|s| Counts::new(s.window)).collect::<Vec<_>>();
            let counts = pieces
                .par_chunks(pieces.len().div_ceil(GROUPS).max(1))
                .try_fold(empty, |mut counts, pieces| {
                    each(Stream::new(self), stage, &models, pieces, |model, values| {
                        add(&mut counts[model], &searches[model], values);
                    })?;
                    Ok::<_, CheckpointError>(counts)
                })
                .try_reduce(empty, |a, b| Ok(a.into_iter().zip(&b).map(|(a, b)| a.merge(b)).collect()))?;
            let left = searches.iter_mut().zip(&counts).filter(|(search, _)| search.found.is_none());
            left.for_each(|(search, counts)| search.narrow(counts));
        }
        let mut cuts: Vec<(usize, Cut)> = all;
        for (model, search) in models.iter().zip(searches) {
            let found = search.found.map(|found| Cut { key: found.key, ties_before: u64::MAX });
            let place = cuts.iter_mut().find(|(source, _)| *source == model.source);
            if let (Some(found), Some((_, cut))) = (found, place) {
                *cut = found;
            }
        }
        Ok(cuts)
    }
}

/// Gives the values of each piece to the models that are cut as a whole.
fn each(
    mut stream: Stream<'_>,
    stage: usize,
    models: &[Whole],
    pieces: &[Piece<'_>],
    mut take: impl FnMut(usize, &[f32]),
) -> Result<(), CheckpointError> {
    for Piece { job, known, span } in pieces {
        stream.go(job, *span)?;
        for (number, part) in job.parts.iter().enumerate() {
            let whole = matches!(part.steps.get(stage), Some(Sparsify::Trim { scope: Scope::Model, .. }));
            if let Some(model) = models.iter().position(|m| whole && m.source == part.input.source) {
                take(model, stream.delta(job, number, &known[number], *span)?);
            }
        }
    }
    Ok(())
}

/// A model that is cut as a whole.
struct Whole {
    source: usize,
    density: f64,
    /// Its elements.
    n: u64,
}

/// A block of a tensor, with what is known of the tensor's parts.
struct Piece<'a> {
    job: &'a Job,
    known: &'a [Known],
    span: Span,
}

/// Counts, and says how many are the guess.
fn add(counts: &mut Counts, search: &Search, values: &[f32]) -> u64 {
    Isa::detect().run(
        #[inline(always)]
        || counts.add(search.window, search.guess, values),
    )
}

fn equal(values: &[f32], sought: u32) -> u64 {
    Isa::detect().run(
        #[inline(always)]
        || values.iter().map(|x| u32::from(key(*x) == sought)).sum::<u32>().into(),
    )
}

/// ⌊n·(1 − density)⌋, where 1 − 0.7 is meant to be 0.3.
fn dropped(density: f64, n: u64) -> u64 {
    const DIGITS: f64 = 1e12;
    let drop = ((1.0 - density) * DIGITS).round() / DIGITS;
    kept(drop, n)
}
