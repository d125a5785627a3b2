//! What is asked about a candidate. The search knows neither engine nor benchmark.

use super::Candidate;
use crate::statistics::{Estimate, mean_of, paired_difference};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// How good a candidate is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fitness {
    /// The higher the better: a mean in [0, 1].
    pub value: f64,
    /// Half of its 95 % interval.
    pub half_width: f64,
    /// Items behind it.
    pub items: usize,
}

/// The values of items, benchmark by benchmark, each with its weight in the mean that is sought.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scores(pub Vec<(f64, Vec<f64>)>);

impl Scores {
    /// The weighted mean.
    pub fn fitness(&self) -> Fitness {
        let parts: Vec<(f64, &[f64])> = self.0.iter().map(|(w, v)| (*w, v.as_slice())).collect();
        let Estimate { value, half_width, n } = mean_of(&parts);
        Fitness { value, half_width, items: n }
    }

    /// How much better it is than another on the same items.
    pub fn ahead_of(&self, other: &Self) -> Estimate {
        let both = self.0.iter().zip(&other.0);
        let parts: Vec<(f64, &[f64], &[f64])> =
            both.map(|((w, a), (_, b))| (*w, a.as_slice(), b.as_slice())).collect();
        paired_difference(&parts)
    }
}

/// Why a candidate could not be measured.
#[derive(Debug, Error)]
#[error("the candidate could not be measured")]
pub struct ObjectiveError(#[source] pub Box<dyn std::error::Error + Send + Sync>);

/// Measures candidates. Measuring the same one twice gives the same scores.
pub trait Objective {
    /// Its scores on the first items of each benchmark, as many as are `share` of them, 0 < share ≤ 1. The items have one
    /// order for all candidates, and those of a smaller share come first in a larger one.
    fn measure(&mut self, candidate: &Candidate, share: f64) -> Result<Scores, ObjectiveError>;
}
