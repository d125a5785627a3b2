//! What is done to each delta before deltas are combined, once the facts of the tensor are known.
//!
//! - `cut`: which elements are among the k largest magnitudes
//! - `ranked`: DELLA's probabilities by rank inside a row

mod cut;
mod ranked;

pub(super) use cut::{Counts, Cut, Found, Sought, Window, key};

use super::arithmetic::Real;
use crate::random::Draws;

/// Which elements of a delta stay.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Mask {
    /// All.
    All,
    /// The largest magnitudes.
    Largest(Cut),
    /// Those among the largest of `low` that are not among the largest of `high`.
    Between { low: Cut, high: Cut },
    /// Those whose random number is below this, out of 2^32.
    Random { below: u64 },
    /// At random, with a probability that rises with the rank in the row.
    Ranked { density: f64, epsilon: f64, row: usize },
}

/// The random numbers below which an element with probability `p` stays: u/2^32 < p for whole u.
pub(super) fn below(p: f64) -> u64 {
    (p * 2f64.powi(32)).ceil() as u64
}

/// What is done to the elements that stay.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Factor {
    /// Nothing.
    One,
    /// They are multiplied.
    Times(f64),
    /// They are divided.
    Over(f64),
}

/// A step with all it needs to know of the tensor.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Keep {
    pub(super) mask: Mask,
    pub(super) factor: Factor,
}

impl Keep {
    /// Sets what is dropped to zero and scales the rest. `delta` holds elements `start ..` of the tensor, whole rows where
    /// the mask is by rank; `draws` is there for a random mask.
    #[inline(always)]
    pub(super) fn apply<F: Real>(&self, draws: Option<&dyn Draws>, start: u64, delta: &mut [F]) {
        match (self.mask, draws) {
            (Mask::All, _) => {}
            (Mask::Random { .. } | Mask::Ranked { .. }, None) => delta.fill(F::ZERO),
            (Mask::Largest(cut), _) => between(cut, Cut::NONE, start, delta),
            (Mask::Between { low, high }, _) => between(low, high, start, delta),
            (Mask::Random { below }, Some(draws)) => {
                const WIDTH: usize = 512;
                // Whole vectors of 32 bits; what no number of 32 bits reaches keeps all.
                let Ok(below) = u32::try_from(below) else { return self.scale(delta) };
                let mut drawn = [0u32; WIDTH];
                for (number, part) in delta.chunks_mut(WIDTH).enumerate() {
                    let drawn = &mut drawn[..part.len()];
                    draws.fill(start + (number * WIDTH) as u64, drawn);
                    for (x, u) in part.iter_mut().zip(drawn) {
                        *x = if *u < below { *x } else { F::ZERO };
                    }
                }
            }
            (Mask::Ranked { density, epsilon, row }, Some(draws)) => {
                for (number, part) in delta.chunks_mut(row).enumerate() {
                    ranked::drop(density, epsilon, draws, start + (number * row) as u64, part);
                }
            }
        }
        self.scale(delta);
    }

    #[inline(always)]
    fn scale<F: Real>(&self, delta: &mut [F]) {
        match self.factor {
            Factor::One => {}
            Factor::Times(f) => {
                let f = F::from_f64(f);
                for x in delta {
                    *x = *x * f;
                }
            }
            Factor::Over(f) => {
                let f = F::from_f64(f);
                for x in delta {
                    *x = *x / f;
                }
            }
        }
    }
}

/// Sets to zero what is not among the largest of `low`, or is among the largest of `high`. Places decide between equal
/// magnitudes, so that the elements fall into runs in each of which a magnitude decides alone.
#[inline(always)]
fn between<F: Real>(low: Cut, high: Cut, start: u64, delta: &mut [F]) {
    let end = start + delta.len() as u64;
    let borders = [low, high].map(|cut| cut.ties_before.clamp(start, end));
    let mut from = start;
    for to in [borders[0].min(borders[1]), borders[0].max(borders[1]), end] {
        let (least, most) = (low.least_at(from), high.least_at(from));
        for x in &mut delta[(from - start) as usize..(to - start) as usize] {
            let size = key(x.to_f32());
            *x = if size >= least && size < most { *x } else { F::ZERO };
        }
        from = to;
    }
}
