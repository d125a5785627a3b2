//! Directions of a merge, and the laws that draw them.

use super::MergeError;
use crate::random::Stream;
use crate::units::{Alpha, Lambda};
use rand_distr::Distribution;
use serde::{Deserialize, Serialize};

/// How far the sum of proportions may be from one: a hundred f64 roundings.
const SUM_TOLERANCE: f64 = 1e-9;

/// Proportions λ_k of the models' deltas: none negative, together one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Vec<f64>", into = "Vec<f64>")]
pub struct Direction(Box<[f64]>);

impl Direction {
    /// Checks the proportions.
    pub fn new(weights: Vec<f64>) -> Result<Self, MergeError> {
        let reason = if weights.is_empty() {
            Some("it has no proportions")
        } else if weights.iter().any(|w| !w.is_finite() || *w < 0.0) {
            Some("a proportion is negative or no number")
        } else if (weights.iter().sum::<f64>() - 1.0).abs() > SUM_TOLERANCE {
            Some("its proportions do not sum to one")
        } else {
            None
        };
        match reason {
            Some(reason) => Err(MergeError::Direction { weights, reason }),
            None => Ok(Self(weights.into())),
        }
    }

    /// λ of the first of two models, 1 − λ of the second (paper, equation 3).
    pub fn pair(lambda: Lambda) -> Self {
        Self([lambda.get(), 1.0 - lambda.get()].into())
    }

    /// The bisector: the same for each of `models`.
    pub fn uniform(models: usize) -> Self {
        Self(vec![1.0 / models as f64; models].into())
    }

    /// λ_k ∝ 1/k^p for the k-th model, k from 1 (paper, equation 4). p = 0 is the bisector.
    pub fn p_series(models: usize, p: f64) -> Self {
        let raw: Vec<f64> = (1..=models).map(|k| (k as f64).powf(-p)).collect();
        let sum: f64 = raw.iter().sum();
        Self(raw.iter().map(|w| w / sum).collect())
    }

    /// The proportions, in the order of the models.
    pub fn weights(&self) -> &[f64] {
        &self.0
    }
}

impl TryFrom<Vec<f64>> for Direction {
    type Error = MergeError;
    fn try_from(weights: Vec<f64>) -> Result<Self, MergeError> {
        Self::new(weights)
    }
}

impl From<Direction> for Vec<f64> {
    fn from(direction: Direction) -> Self {
        direction.0.into()
    }
}

/// How a direction is found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "law", rename_all = "snake_case", deny_unknown_fields)]
pub enum DirectionLaw {
    /// The bisector.
    Uniform,
    /// These proportions, one for each model.
    Fixed {
        /// The proportions.
        weights: Direction,
    },
    /// λ for two models.
    Lambda {
        /// Proportion of the first model.
        lambda: Lambda,
    },
    /// λ ~ Beta(α, α) for two models: draw number `index` of the stream of `seed`.
    Beta {
        /// Shape: below 1 the ends are likelier than the middle.
        alpha: Alpha,
        /// Seed of the draws.
        seed: u64,
        /// Which draw.
        #[serde(default)]
        index: u64,
    },
    /// λ ~ Dirichlet(α, …, α) for any number of models: draw number `index` of the stream of `seed`. For two it has the law
    /// of `Beta`, though not its draws.
    Dirichlet {
        /// Shape: below 1 single models are likelier than mixtures.
        alpha: Alpha,
        /// Seed of the draws.
        seed: u64,
        /// Which draw.
        #[serde(default)]
        index: u64,
    },
    /// λ_k ∝ 1/k^p in the order of the models.
    PSeries {
        /// Steepness, at least 0.
        p: f64,
    },
}

impl DirectionLaw {
    /// The direction that the law gives for `models` models; the same one each time.
    pub fn draw(&self, models: usize) -> Result<Direction, MergeError> {
        let pairs_only = |law| match models {
            2 => Ok(()),
            got => Err(MergeError::Models { law, wants: "two models", got }),
        };
        match self {
            Self::Uniform => Ok(Direction::uniform(models)),
            Self::Fixed { weights } if weights.weights().len() == models => Ok(weights.clone()),
            Self::Fixed { weights } => Err(MergeError::Direction {
                weights: weights.weights().to_vec(),
                reason: "it must have one proportion for each model",
            }),
            Self::Lambda { lambda } => pairs_only("lambda").map(|()| Direction::pair(*lambda)),
            Self::Beta { alpha, seed, index } => {
                pairs_only("Beta")?;
                Ok(Direction::pair(beta(*alpha, *seed, *index)))
            }
            Self::Dirichlet { alpha, seed, index } => Ok(dirichlet(*alpha, *seed, *index, models)),
            Self::PSeries { p } if p.is_finite() && *p >= 0.0 => Ok(Direction::p_series(models, *p)),
            Self::PSeries { .. } => Err(MergeError::Contradiction {
                what: "p of a p-series must be a finite number of at least 0",
            }),
        }
    }
}

/// λ ~ Beta(α, α): draw number `index` of the stream that belongs to (seed, α).
pub(super) fn beta(alpha: Alpha, seed: u64, index: u64) -> Lambda {
    let a = alpha.get();
    let mut stream = Stream::new(seed, &format!("beta({a})"), index);
    // Alpha is checked to be positive and finite, which is all that the distribution asks for.
    let drawn = rand_distr::Beta::new(a, a).map_or(0.5, |law| law.sample(&mut stream));
    Lambda::new(drawn)
        .unwrap_or_else(|_| Lambda::new(0.5).unwrap_or_else(|_| unreachable!("0.5 is a proportion")))
}

/// λ ~ Dirichlet(α, …, α): Gamma(α) draws over their sum, from the stream that belongs to (seed, α, models).
fn dirichlet(alpha: Alpha, seed: u64, index: u64, models: usize) -> Direction {
    let a = alpha.get();
    let mut stream = Stream::new(seed, &format!("dirichlet({a})/{models}"), index);
    let Ok(law) = rand_distr::Gamma::new(a, 1.0) else { return Direction::uniform(models) };
    let drawn: Vec<f64> = (0..models).map(|_| law.sample(&mut stream)).collect();
    let sum: f64 = drawn.iter().sum();
    // All draws of a tiny α may underflow to zero together.
    if sum > 0.0 { Direction(drawn.iter().map(|x| x / sum).collect()) } else { Direction::uniform(models) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn p_series_weights_are_the_papers() {
        // Paper, Figure 4a: p = 3 gives .861, .108, .032.
        let w = Direction::p_series(3, 3.0);
        for (got, want) in w.weights().iter().zip([0.861, 0.108, 0.032]) {
            assert!((got - want).abs() < 5e-4, "{got} {want}");
        }
        assert_eq!(Direction::p_series(3, 0.0), Direction::uniform(3));
    }

    #[test]
    fn beta_follows_its_law() {
        // Mean ½ and variance 1/(4(2α + 1)), each within 4 standard errors of 4000 draws.
        for a in [0.2, 0.5, 1.0, 5.0] {
            let alpha = Alpha::new(a).unwrap();
            let draws: Vec<f64> = (0..4000).map(|i| beta(alpha, 11, i).get()).collect();
            let n = draws.len() as f64;
            let mean = draws.iter().sum::<f64>() / n;
            let variance = draws.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (n - 1.0);
            let want = 1.0 / (4.0 * (2.0 * a + 1.0));
            assert!((mean - 0.5).abs() < 4.0 * (want / n).sqrt(), "α {a}: mean {mean}");
            assert!((variance / want - 1.0).abs() < 4.0 * (2.0 / n).sqrt(), "α {a}: variance {variance}");
        }
    }

    #[test]
    fn dirichlet_follows_its_law() {
        // Mean 1/N and variance (1/N)(1 − 1/N)/(Nα + 1), each within 4 standard errors of 4000 draws.
        for (a, models) in [(0.5, 3), (2.0, 4)] {
            let alpha = Alpha::new(a).unwrap();
            let draws: Vec<f64> = (0..4000).map(|i| dirichlet(alpha, 5, i, models).weights()[1]).collect();
            let n = draws.len() as f64;
            let mean = draws.iter().sum::<f64>() / n;
            let variance = draws.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (n - 1.0);
            let share = 1.0 / models as f64;
            let want = share * (1.0 - share) / (models as f64 * a + 1.0);
            assert!((mean - share).abs() < 4.0 * (want / n).sqrt(), "α {a}: mean {mean}");
            assert!((variance / want - 1.0).abs() < 4.0 * (3.0 / n).sqrt(), "α {a}: variance {variance}");
        }
    }

    #[test]
    fn what_is_no_direction_is_refused() {
        for bad in [vec![], vec![0.5, 0.6], vec![-0.5, 1.5], vec![f64::NAN, 1.0]] {
            assert!(Direction::new(bad.clone()).is_err(), "{bad:?}");
        }
        let three = DirectionLaw::Beta { alpha: Alpha::new(0.5).unwrap(), seed: 0, index: 0 }.draw(3);
        assert_eq!(
            three.unwrap_err().to_string(),
            "the Beta law draws for two models, but the recipe has 3 models"
        );
        assert!(DirectionLaw::PSeries { p: -1.0 }.draw(3).is_err());
    }

    proptest! {
        #[test]
        fn every_law_gives_a_direction(models in 1usize..6, p in 0.0f64..10.0) {
            let d = DirectionLaw::PSeries { p }.draw(models).unwrap();
            prop_assert!(Direction::new(d.weights().to_vec()).is_ok());
            prop_assert!(Direction::new(Direction::uniform(models).weights().to_vec()).is_ok());
        }
    }
}
