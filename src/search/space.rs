//! Which candidates there are.

use crate::merge::{Direction, DirectionLaw, MergeError};
use crate::units::{Alpha, Scale};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A point of the search: a direction and a magnitude, θ = θ_pre + s·Σ λ_k·δ_k.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Candidate {
    /// Where the direction comes from.
    pub law: DirectionLaw,
    /// The direction itself: the drawn numbers, so that the point can be replayed without the law.
    pub direction: Direction,
    /// The magnitude.
    pub scale: Scale,
}

/// A space without candidates, or laws that do not fit it.
#[derive(Debug, Error)]
pub enum SearchError {
    /// Nothing to search.
    #[error("the search space is empty: give at least one scale")]
    Empty,
    /// A law that does not fit.
    #[error(transparent)]
    Direction(#[from] MergeError),
}

/// The paper's space for two models: λ drawn from Beta(α, α) for each α of a list, at each of the scales; always with
/// both end points and the bisector.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PairSpace {
    /// Shapes of the Beta law (paper, section 4.1: 0.2, 0.4, 0.5, 1, 2, 3, 5).
    pub alphas: Vec<Alpha>,
    /// Draws for each α.
    pub draws: u64,
    /// Seed of the draws.
    pub seed: u64,
    /// Magnitudes s.
    pub scales: Vec<Scale>,
}

impl PairSpace {
    /// All candidates: end points and bisector first, then the draws; equal points appear once.
    pub fn candidates(&self) -> Result<Vec<Candidate>, SearchError> {
        if self.scales.is_empty() {
            return Err(SearchError::Empty);
        }
        let fixed = |first: f64| {
            Direction::new(vec![first, 1.0 - first]).map(|weights| DirectionLaw::Fixed { weights })
        };
        let mut laws = vec![fixed(0.0)?, fixed(1.0)?, DirectionLaw::Uniform];
        for &alpha in &self.alphas {
            laws.extend((0..self.draws).map(|index| DirectionLaw::Beta { alpha, seed: self.seed, index }));
        }
        let mut candidates: Vec<Candidate> = Vec::new();
        for &scale in &self.scales {
            for law in &laws {
                let direction = law.draw(2)?;
                if !candidates.iter().any(|c| c.direction == direction && c.scale == scale) {
                    candidates.push(Candidate { law: law.clone(), direction, scale });
                }
            }
        }
        Ok(candidates)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn space(scales: &[f64]) -> PairSpace {
        PairSpace {
            alphas: vec![Alpha::new(0.5).unwrap(), Alpha::new(2.0).unwrap()],
            draws: 3,
            seed: 1,
            scales: scales.iter().map(|s| Scale::new(*s).unwrap()).collect(),
        }
    }

    #[test]
    fn ends_and_bisector_are_always_there_and_nothing_twice() {
        let all = space(&[1.0, 1.0]).candidates().unwrap();
        assert_eq!(all.len(), 3 + 2 * 3);
        for want in [0.0, 1.0, 0.5] {
            assert!(all.iter().any(|c| c.direction.weights()[0] == want), "{want}");
        }
        assert_eq!(all, space(&[1.0]).candidates().unwrap(), "the same draws each time");
    }

    #[test]
    fn an_empty_side_is_refused() {
        assert!(matches!(space(&[]).candidates(), Err(SearchError::Empty)));
    }
}
