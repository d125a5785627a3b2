//! Measure the candidates, keep the best: the paper's strategy, on a split of its own.

use super::{Candidate, Fitness, Objective, ObjectiveError};
use serde::{Deserialize, Serialize};

/// A candidate with its fitness.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// The point.
    pub candidate: Candidate,
    /// How good it is, on the split of the search.
    pub fitness: Fitness,
}

/// A finished search.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Campaign {
    /// All points, in the order in which they were measured.
    pub measured: Vec<Measured>,
    /// Which of them won.
    pub winner: usize,
}

impl Campaign {
    /// Measures every candidate. Of equally good ones the first wins, which makes the winner independent of anything
    /// but the space. Nothing is kept here: the objective's own ledger makes a resumed campaign cheap.
    ///
    /// # Panics
    /// If there are no candidates, which a space does not allow.
    pub fn run(candidates: &[Candidate], objective: &mut dyn Objective) -> Result<Self, ObjectiveError> {
        assert!(!candidates.is_empty(), "a space has candidates");
        let mut measured = Vec::with_capacity(candidates.len());
        let mut winner = 0;
        for candidate in candidates {
            let fitness = objective.measure(candidate)?;
            measured.push(Measured { candidate: candidate.clone(), fitness });
            if fitness.value > measured[winner].fitness.value {
                winner = measured.len() - 1;
            }
        }
        Ok(Self { measured, winner })
    }

    /// The best candidate.
    pub fn best(&self) -> &Measured {
        &self.measured[self.winner]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::merge::{Direction, DirectionLaw};
    use crate::units::Scale;

    struct Peak(f64);
    impl Objective for Peak {
        fn measure(&mut self, c: &Candidate) -> Result<Fitness, ObjectiveError> {
            let distance = (c.direction.weights()[0] - self.0).abs();
            Ok(Fitness { value: (10.0 * (1.0 - distance)).round() / 10.0, half_width: 0.0 })
        }
    }

    #[test]
    fn the_best_wins_and_of_equals_the_first() {
        let at = |x: f64| {
            let direction = Direction::new(vec![x, 1.0 - x]).unwrap();
            let law = DirectionLaw::Fixed { weights: direction.clone() };
            Candidate { law, direction, scale: Scale::new(1.0).unwrap() }
        };
        let candidates = [at(0.0), at(0.61), at(0.6), at(1.0)];
        let done = Campaign::run(&candidates, &mut Peak(0.6)).unwrap();
        assert_eq!(done.best().candidate, at(0.61));
    }
}
