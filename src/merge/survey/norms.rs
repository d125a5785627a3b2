//! How much of a delta is kept, by L1 norm.

use super::stream::{Stream, blocks};
use super::{Known, Survey};
use crate::checkpoint::CheckpointError;
use crate::dtype::DType;
use crate::isa::Isa;
use crate::merge::arithmetic::{Arithmetic, Real, with_real};
use crate::merge::rule::{Job, Rescale, Sparsify};
use crate::merge::sparsify::{Factor, Keep, Mask};
use crate::merge::totals::{Cascade, Total};

/// Norms below this are not scaled up (mergekit's `rescale`).
const NO_NORM: f64 = 1e-7;

impl Survey<'_> {
    /// Σ|δ| / Σ|kept| for the parts whose step asks for it.
    pub(super) fn l1_ratios(
        &self,
        job: &Job,
        known: &[Known],
        steps: &[Option<&Sparsify>],
        masks: &[Option<Mask>],
    ) -> Result<Vec<Factor>, CheckpointError> {
        let mut ratios = vec![Factor::One; job.parts.len()];
        let mut asked: Vec<(usize, Known, [Sizes; 2])> = Vec::new();
        for (part, (step, mask)) in steps.iter().zip(masks).enumerate() {
            if let (Some(step), Some(mask)) = (step, mask)
                && step.rescale() == Rescale::L1
                && *mask != Mask::All
            {
                let mut with = known[part].clone();
                with.push(Keep { mask: *mask, factor: Factor::One });
                asked.push((part, with, [Sizes::of(job), Sizes::of(job)]));
            }
        }
        if asked.is_empty() {
            return Ok(ratios);
        }
        let mut stream = Stream::new(self);
        for span in blocks(job) {
            stream.go(job, span)?;
            for (part, with, [before, after]) in &mut asked {
                before.add(stream.delta(job, *part, &known[*part], span)?);
                after.add(stream.again(job, *part, with, span));
            }
        }
        for (part, _, sizes) in asked {
            let [before, after] = sizes.map(Sizes::total);
            if before >= NO_NORM && after >= NO_NORM {
                ratios[part] = Factor::Times(with_real!(job.arithmetic, quotient(before, after)));
            }
        }
        Ok(ratios)
    }
}

/// Σ|x| of a tensor.
enum Sizes {
    /// As torch has it.
    Cascade(Box<Cascade>),
    /// In f64.
    Exact(f64),
}

impl Sizes {
    fn of(job: &Job) -> Self {
        match job.arithmetic {
            Arithmetic::In(DType::F32) => Self::Cascade(Box::new(Cascade::of(job.info.elements()))),
            _ => Self::Exact(0.0),
        }
    }

    /// Takes the next elements.
    fn add(&mut self, values: &[f32]) {
        const STEP: usize = 1024;
        match self {
            Self::Cascade(total) => Isa::detect().run(
                #[inline(always)]
                || {
                    let mut sizes = [0.0; STEP];
                    for values in values.chunks(STEP) {
                        sizes.iter_mut().zip(values).for_each(|(size, x)| *size = x.abs());
                        total.add(&sizes[..values.len()]);
                    }
                },
            ),
            Self::Exact(total) => *total += l1(values),
        }
    }

    fn total(self) -> f64 {
        match self {
            Self::Cascade(total) => (*total).total(),
            Self::Exact(total) => total,
        }
    }
}

/// Σ|x|, by lanes in a fixed order, so that it runs in vectors and is the same on any.
fn l1(values: &[f32]) -> f64 {
    const LANES: usize = 16;
    Isa::detect().run(
        #[inline(always)]
        || {
            let mut sums = [0.0f64; LANES];
            let (whole, rest) = values.as_chunks::<LANES>();
            for values in whole {
                for (sum, x) in sums.iter_mut().zip(values) {
                    *sum += f64::from(x.abs());
                }
            }
            for (sum, x) in sums.iter_mut().zip(rest) {
                *sum += f64::from(x.abs());
            }
            sums.iter().sum()
        },
    )
}

/// One number over another.
fn quotient<F: Real>(a: f64, b: f64) -> f64 {
    (F::from_f64(a) / F::from_f64(b)).to_f64()
}
