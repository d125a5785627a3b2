//! The angles between models, over whole tensors and by columns.

use super::Survey;
use super::stream::{Stream, blocks};
use crate::checkpoint::CheckpointError;
use crate::merge::arithmetic::Real;
use crate::merge::kernel::arcs::{self, Arc, Norms, Products};
use crate::merge::kernel::stock;
use crate::merge::rule::Job;

impl Survey<'_> {
    /// Gives each pair of elements of the deltas (or models, without a base) of the first two parts, with its place.
    fn pairs<F: Real>(&self, job: &Job, mut take: impl FnMut(usize, F, F)) -> Result<(), CheckpointError> {
        let mut stream = Stream::new(self);
        let mut first = Vec::new();
        for span in blocks(job) {
            stream.go(job, span)?;
            first.clear();
            first.extend_from_slice(stream.delta(job, 0, &[], span)?);
            for (place, (a, b)) in (span.start..).zip(first.iter().zip(stream.delta(job, 1, &[], span)?)) {
                take(place, F::from_f32(*a), F::from_f32(*b));
            }
        }
        Ok(())
    }

    /// Products of the first two parts over the whole tensor.
    fn products<F: Real>(&self, job: &Job) -> Result<Products, CheckpointError> {
        let mut all = Products::default();
        self.pairs(job, |_, a: F, b: F| all.add(a, b))?;
        Ok(all)
    }
}

/// Both ends by mergekit's `slerp`.
pub(super) fn slerp<F: Real>(survey: &Survey<'_>, job: &Job, t: f64) -> Result<Arc, CheckpointError> {
    let norms = Norms::<F>::slerp(survey.products::<F>(job)?);
    let mut cosine = 0.0;
    survey.pairs(job, |_, a, b| cosine += norms.cosine(a, b))?;
    Ok(arcs::slerp::<F>(t, cosine))
}

/// Both ends by mergekit's `nuslerp`.
pub(super) fn nuslerp<F: Real>(survey: &Survey<'_>, job: &Job, t: f64) -> Result<Arc, CheckpointError> {
    let norms = Norms::<F>::nuslerp(survey.products::<F>(job)?);
    let mut cosine = 0.0;
    survey.pairs(job, |_, a, b| cosine += norms.cosine(a, b))?;
    Ok(arcs::nuslerp::<F>(t, cosine))
}

/// The same for each column.
pub(super) fn column_arcs<F: Real>(
    survey: &Survey<'_>,
    job: &Job,
    t: f64,
) -> Result<Vec<Arc>, CheckpointError> {
    // mergekit takes a vector for one column.
    let width = if job.info.shape.len() < 2 { 1 } else { job.row() };
    let mut products = vec![Products::default(); width];
    survey.pairs(job, |i, a: F, b: F| products[i % width].add(a, b))?;
    let norms: Vec<Norms<F>> = products.into_iter().map(Norms::nuslerp).collect();
    let mut cosines = vec![0.0; width];
    survey.pairs(job, |i, a, b| cosines[i % width] += norms[i % width].cosine(a, b))?;
    Ok(cosines.into_iter().map(|cosine| arcs::nuslerp::<F>(t, cosine)).collect())
}

/// Model Stock's ratio, from the products of all pairs of deltas.
pub(super) fn stock_ratio<F: Real>(survey: &Survey<'_>, job: &Job) -> Result<f64, CheckpointError> {
    let n = job.parts.len();
    let mut products = vec![Products::default(); n * n];
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
                a.iter().zip(b).for_each(|(a, b)| products[i * n + j].add(*a, *b));
            }
        }
    }
    Ok(stock::ratio::<F>(n, |i, j| products[i * n + j]).to_f64())
}
