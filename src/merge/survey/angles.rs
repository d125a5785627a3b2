//! The angles between models, over whole tensors and by columns.

use super::Survey;
use super::stream::{Stream, blocks};
use crate::checkpoint::CheckpointError;
use crate::isa::Isa;
use crate::merge::arithmetic::Real;
use crate::merge::kernel::arcs::{self, Arc, Norms, Products};
use crate::merge::kernel::stock;
use crate::merge::rule::Job;
use crate::merge::totals::Total;

/// Elements that mergekit's `slerp` adds up at a time; then it adds up these sums.
const CHUNK: usize = 1 << 20;

impl Survey<'_> {
    /// Gives the blocks of the deltas (or models, without a base) of the first two parts, with the place of each.
    fn pairs<F: Real>(
        &self,
        job: &Job,
        mut take: impl FnMut(usize, &[F], &[F]),
    ) -> Result<(), CheckpointError> {
        let mut stream = Stream::new(self);
        let (mut a, mut b) = (Vec::new(), Vec::new());
        for span in blocks(job) {
            stream.go(job, span)?;
            for (part, values) in [&mut a, &mut b].into_iter().enumerate() {
                values.clear();
                values.extend(stream.delta(job, part, &[], span)?.iter().map(|x| F::from_f32(*x)));
            }
            Isa::detect().run(
                #[inline(always)]
                || take(span.start, &a, &b),
            );
        }
        Ok(())
    }
}

/// Both ends by mergekit's `slerp`.
pub(super) fn slerp<F: Real>(survey: &Survey<'_>, job: &Job, t: f64) -> Result<Arc, CheckpointError> {
    let starts = (0..job.info.elements()).step_by(CHUNK);
    let sizes = starts.map(|start| CHUNK.min(job.info.elements() - start));
    let mut products: Vec<Products<F>> = sizes.clone().map(Products::of).collect();
    survey.pairs(job, |start, a, b| {
        by_chunk(start, a, b, |chunk, a, b| products[chunk].add(a, b));
    })?;
    // The length of the lengths is the length of the whole.
    let mut ends = [F::Squares::of(products.len()), F::Squares::of(products.len())];
    for chunk in products {
        for (end, length) in ends.iter_mut().zip(chunk.lengths()) {
            end.add(&[F::from_f64(length)]);
        }
    }
    let norms = Norms::<F>::slerp(ends.map(|end| end.total().sqrt()));
    let mut parts: Vec<F::Total> = sizes.map(F::Total::of).collect();
    survey.pairs(job, |start, a, b| {
        by_chunk(start, a, b, |chunk, a, b| norms.add_cosine(&mut parts[chunk], a, b));
    })?;
    let mut cosine = F::Total::of(parts.len());
    for part in parts {
        cosine.add(&[F::from_f64(part.total())]);
    }
    Ok(arcs::slerp::<F>(t, cosine.total()))
}

/// Gives what lies in each chunk.
#[inline(always)]
fn by_chunk<F>(start: usize, mut a: &[F], mut b: &[F], mut take: impl FnMut(usize, &[F], &[F])) {
    let mut at = start;
    while !a.is_empty() {
        let len = (CHUNK - at % CHUNK).min(a.len());
        let (first, others) = (a.split_at(len), b.split_at(len));
        take(at / CHUNK, first.0, others.0);
        (a, b) = (first.1, others.1);
        at += len;
    }
}

/// Both ends by mergekit's `nuslerp`.
pub(super) fn nuslerp<F: Real>(survey: &Survey<'_>, job: &Job, t: f64) -> Result<Arc, CheckpointError> {
    let n = job.info.elements();
    let mut products = Products::<F>::of(n);
    survey.pairs(job, |_, a, b| products.add(a, b))?;
    let norms = Norms::<F>::nuslerp(products.lengths());
    let mut cosine = F::Total::of(n);
    survey.pairs(job, |_, a, b| norms.add_cosine(&mut cosine, a, b))?;
    Ok(arcs::nuslerp::<F>(t, cosine.total()))
}

/// The same for each column.
pub(super) fn column_arcs<F: Real>(
    survey: &Survey<'_>,
    job: &Job,
    t: f64,
) -> Result<Vec<Arc>, CheckpointError> {
    // mergekit takes a vector for one column.
    let width = if job.info.shape.len() < 2 { 1 } else { job.row() };
    let height = job.info.elements() / width.max(1);
    let column =
        |i: usize| if width == 1 { Products::of(height) } else { Products::of_column(height, i, width) };
    let mut products: Vec<Products<F>> = (0..width).map(column).collect();
    survey.pairs(job, |start, a, b| {
        for (i, (a, b)) in (start..).zip(a.iter().zip(b)) {
            products[i % width].add(&[*a], &[*b]);
        }
    })?;
    let norms: Vec<Norms<F>> = products.iter().map(|p| Norms::nuslerp(p.lengths())).collect();
    let cosine =
        |i: usize| if width == 1 { F::Total::of(height) } else { F::Total::of_column(height, i, width) };
    let mut cosines: Vec<F::Total> = (0..width).map(cosine).collect();
    survey.pairs(job, |start, a: &[F], b: &[F]| {
        for (i, (a, b)) in (start..).zip(a.iter().zip(b)) {
            norms[i % width].add_cosine(&mut cosines[i % width], &[*a], &[*b]);
        }
    })?;
    Ok(cosines.into_iter().map(|cosine| arcs::nuslerp::<F>(t, cosine.total())).collect())
}

/// Model Stock's ratio, from the products of all pairs of deltas.
pub(super) fn stock_ratio<F: Real>(survey: &Survey<'_>, job: &Job) -> Result<f64, CheckpointError> {
    let n = job.parts.len();
    let mut products = vec![Products::<F>::of(job.info.elements()); n * n];
    let mut stream = Stream::new(survey);
    let mut deltas: Vec<Vec<F>> = vec![Vec::new(); n];
    for span in blocks(job) {
        stream.go(job, span)?;
        for (part, delta) in deltas.iter_mut().enumerate() {
            delta.clear();
            delta.extend(stream.delta(job, part, &[], span)?.iter().map(|x| F::from_f32(*x)));
        }
        for (i, a) in deltas.iter().enumerate() {
            for (j, b) in deltas.iter().enumerate().skip(i + 1) {
                let products = &mut products[i * n + j];
                Isa::detect().run(
                    #[inline(always)]
                    || products.add(a, b),
                );
            }
        }
    }
    Ok(stock::ratio::<F>(n, |i, j| products[i * n + j].clone()).to_f64())
}
