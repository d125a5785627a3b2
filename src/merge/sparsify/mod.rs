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
            (Mask::Largest(cut), _) if cut.ties_before == u64::MAX => {
                for x in &mut *delta {
                    *x = if key(x.to_f32()) >= cut.key { *x } else { F::ZERO };
                }
            }
            (Mask::Largest(cut), _) => {
                for (i, x) in (start..).zip(&mut *delta) {
                    if !cut.keeps(key(x.to_f32()), i) {
                        *x = F::ZERO;
                    }
                }
            }
            (Mask::Between { low, high }, _) => {
                for (i, x) in (start..).zip(&mut *delta) {
                    let size = key(x.to_f32());
                    if !low.keeps(size, i) || high.keeps(size, i) {
                        *x = F::ZERO;
                    }
                }
            }
            (Mask::Random { below }, Some(draws)) => {
                const WIDTH: usize = 512;
                let mut drawn = [0u32; WIDTH];
                for (number, part) in delta.chunks_mut(WIDTH).enumerate() {
                    let drawn = &mut drawn[..part.len()];
                    draws.fill(start + (number * WIDTH) as u64, drawn);
                    for (x, u) in part.iter_mut().zip(drawn) {
                        *x = if u64::from(*u) < below { *x } else { F::ZERO };
                    }
                }
            }
            (Mask::Ranked { density, epsilon, row }, Some(draws)) => {
                for (number, part) in delta.chunks_mut(row).enumerate() {
                    ranked::drop(density, epsilon, draws, start + (number * row) as u64, part);
                }
            }
        }
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
