//! What is asked about a candidate. The search knows neither engine nor benchmark.

use super::Candidate;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// How good a candidate is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fitness {
    /// The higher the better: a mean of skills in [0, 1].
    pub value: f64,
    /// Half of its 95 % interval.
    pub half_width: f64,
}

/// Why a candidate could not be measured.
#[derive(Debug, Error)]
#[error("the candidate could not be measured")]
pub struct ObjectiveError(#[source] pub Box<dyn std::error::Error + Send + Sync>);

/// Measures candidates. Measuring the same one twice gives the same fitness.
pub trait Objective {
    /// How good is it?
    fn measure(&mut self, candidate: &Candidate) -> Result<Fitness, ObjectiveError>;
}
