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

impl From<Estimate> for Fitness {
    fn from(Estimate { value, half_width, n }: Estimate) -> Self {
        Self { value, half_width, items: n }
    }
}

/// The values of items, benchmark by benchmark, each with its weight in the mean that is sought.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Scores(pub Vec<(f64, Vec<f64>)>);

impl Scores {
    /// The weighted mean.
    pub fn fitness(&self) -> Fitness {
        let parts: Vec<(f64, &[f64])> = self.0.iter().map(|(w, v)| (*w, v.as_slice())).collect();
        mean_of(&parts).into()
    }

    /// Items behind it.
    pub fn count(&self) -> usize {
        self.0.iter().map(|(_, values)| values.len()).sum()
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

/// On which items a candidate is measured. The items of a benchmark have one order for all candidates.
#[derive(Clone, Debug, PartialEq)]
pub enum Portion {
    /// The first ones of each benchmark, as many as are this share of them, above 0 and at most 1.
    Share(f64),
    /// For each benchmark those at these places.
    Places(Vec<Vec<usize>>),
}

impl Portion {
    /// The items of one benchmark, the one at place `benchmark` of the scores.
    pub fn of<T: Clone>(&self, benchmark: usize, items: &[T]) -> Vec<T> {
        match self {
            Self::Share(share) => items[..(share * items.len() as f64).ceil() as usize].to_vec(),
            Self::Places(places) => places[benchmark].iter().map(|place| items[*place].clone()).collect(),
        }
    }
}

/// Measures candidates. Measuring the same one twice gives the same scores.
pub trait Objective {
    /// Its scores on a portion of the items of each benchmark.
    fn measure(&mut self, candidate: &Candidate, portion: &Portion) -> Result<Scores, ObjectiveError>;
}
