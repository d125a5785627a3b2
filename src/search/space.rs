//! Which candidates there are.

use crate::merge::{Direction, DirectionLaw, MergeError};
use crate::units::{Alpha, Scale};
use serde::{Deserialize, Serialize};
use std::fmt;
use thiserror::Error;

/// Points that a grid may have at most, and orders that a p-series may have: more than anybody can wait for.
const MANY: u64 = 100_000;

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

impl fmt::Display for Candidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let weights: Vec<String> = self.direction.weights().iter().map(|w| format!("{w:.3}")).collect();
        write!(f, "λ = ({}), s = {}", weights.join(", "), self.scale)
    }
}

/// A space without candidates, or laws that do not fit it.
#[derive(Debug, Error)]
pub enum SearchError {
    /// Nothing to search.
    #[error("the search space is empty: {what}")]
    Empty {
        /// What is missing.
        what: &'static str,
    },
    /// More than anybody can wait for.
    #[error("{what} gives more than {MANY} candidates for {models} models; ask for fewer")]
    TooMany {
        /// Which source of directions.
        what: &'static str,
        /// How many models there are.
        models: usize,
    },
    /// A strategy that could never end, or never begin.
    #[error("`{key}` of the strategy must be {range}, but is {got}")]
    Strategy {
        /// Which setting.
        key: &'static str,
        /// What it may be.
        range: &'static str,
        /// What it is.
        got: f64,
    },
    /// A strategy without anything to propose.
    #[error(
        "`{kind}` has nothing to look for: one model at one magnitude has no direction; name more models, or two scales"
    )]
    Nothing {
        /// The strategy.
        kind: &'static str,
    },
    /// More candidates than may be measured.
    #[error(
        "`trials` of the strategy is {trials}, but [space] alone gives {given} candidates, which are measured first; allow more, or give fewer"
    )]
    Trials {
        /// What is allowed.
        trials: usize,
        /// What there is.
        given: usize,
    },
    /// Too few candidates to tell items apart by.
    #[error(
        "with `items` the strategy tells items apart by the {given} candidates that [space] gives, and needs at least three; give it more"
    )]
    Few {
        /// What there is.
        given: usize,
    },
    /// A strategy that has a way of its own to ask fewer items.
    #[error(
        "`{kind}` does not go with `items`: it asks all who are in it the same items, ever more of them, and drops who is behind \
         by pairing the answers, and answers that were estimated cannot be paired; leave `items` out, or take another `kind`"
    )]
    NoItems {
        /// The strategy.
        kind: &'static str,
    },
    /// A strategy that drops candidates by one figure.
    #[error(
        "`{kind}` keeps what is best by one figure, and a front has none; take `full` or `gaussian_process`, or another `aim`"
    )]
    NoFront {
        /// The strategy.
        kind: &'static str,
    },
    /// A law that does not fit.
    #[error(transparent)]
    Direction(#[from] MergeError),
}

/// Where directions come from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "law", rename_all = "snake_case", deny_unknown_fields)]
pub enum Directions {
    /// λ ~ Beta(α, α) for two models, so many draws for each α (paper, section 4.1: 0.2, 0.4, 0.5, 1, 2, 3, 5).
    Beta {
        /// Shapes.
        alphas: Vec<Alpha>,
        /// Draws for each.
        draws: u64,
        /// Seed of the draws.
        seed: u64,
    },
    /// λ ~ Dirichlet(α, …, α) for any number of models, so many draws for each α.
    Dirichlet {
        /// Shapes.
        alphas: Vec<Alpha>,
        /// Draws for each.
        draws: u64,
        /// Seed of the draws.
        seed: u64,
    },
    /// The p-series of each p, given to the models in every order (paper, section 3.2: 0, 1, 2, 3).
    PSeries {
        /// Steepnesses.
        p: Vec<f64>,
    },
    /// Every way to share `steps` equal parts among the models.
    Grid {
        /// Parts.
        steps: u32,
    },
}

impl Directions {
    fn laws(&self, models: usize) -> Result<Vec<DirectionLaw>, SearchError> {
        let empty = |what| Err(SearchError::Empty { what });
        let drawn = |alphas: &[Alpha], draws: u64, law: &dyn Fn(Alpha, u64) -> DirectionLaw| {
            alphas.iter().flat_map(|alpha| (0..draws).map(|index| law(*alpha, index))).collect()
        };
        match self {
            Self::Beta { alphas, draws, .. } | Self::Dirichlet { alphas, draws, .. }
                if alphas.is_empty() || *draws == 0 =>
            {
                empty("a law that draws needs at least one of `alphas` and one of `draws`")
            }
            Self::Beta { alphas, draws, .. } | Self::Dirichlet { alphas, draws, .. }
                if (alphas.len() as u64).saturating_mul(*draws) > MANY =>
            {
                Err(SearchError::TooMany { what: "a law that draws", models })
            }
            Self::Beta { alphas, draws, seed } => {
                Ok(drawn(alphas, *draws, &|alpha, index| DirectionLaw::Beta { alpha, seed: *seed, index }))
            }
            Self::Dirichlet { alphas, draws, seed } => Ok(drawn(alphas, *draws, &|alpha, index| {
                DirectionLaw::Dirichlet { alpha, seed: *seed, index }
            })),
            Self::PSeries { p } if p.is_empty() => empty("a p-series needs at least one `p`"),
            Self::PSeries { p } => {
                if (1..=models as u64).product::<u64>() > MANY {
                    return Err(SearchError::TooMany { what: "every order of a p-series", models });
                }
                let mut laws = Vec::new();
                for &p in p {
                    let weights = DirectionLaw::PSeries { p }.draw(models)?;
                    for (number, order) in orders(models).iter().enumerate() {
                        let given = order.iter().map(|place| weights.weights()[*place]).collect();
                        laws.push(match number {
                            0 => DirectionLaw::PSeries { p },
                            _ => DirectionLaw::Fixed { weights: Direction::new(given)? },
                        });
                    }
                }
                Ok(laws)
            }
            Self::Grid { steps: 0 } => empty("a grid needs at least one of `steps`"),
            Self::Grid { steps } => {
                // As many ways as there are to choose N − 1 borders among steps + N − 1 places.
                let ways =
                    (1..models as u64).fold(1u64, |ways, k| ways.saturating_mul(u64::from(*steps) + k) / k);
                if ways > MANY {
                    return Err(SearchError::TooMany { what: "the grid", models });
                }
                shares(*steps, models)
                    .into_iter()
                    .map(|parts| {
                        let weights = parts.iter().map(|p| f64::from(*p) / f64::from(*steps)).collect();
                        Ok(DirectionLaw::Fixed { weights: Direction::new(weights)? })
                    })
                    .collect()
            }
        }
    }
}

/// Every order of 0..n; the first is the natural one.
fn orders(n: usize) -> Vec<Vec<usize>> {
    let mut orders = vec![Vec::new()];
    for _ in 0..n {
        let longer = |order: &Vec<usize>| {
            let rest = (0..n).filter(|place| !order.contains(place));
            rest.map(|place| [order.as_slice(), &[place]].concat()).collect::<Vec<_>>()
        };
        orders = orders.iter().flat_map(longer).collect();
    }
    orders
}

/// Every way to share `parts` among `n`.
fn shares(parts: u32, n: usize) -> Vec<Vec<u32>> {
    match n {
        0 => Vec::new(),
        1 => vec![vec![parts]],
        _ => (0..=parts)
            .rev()
            .flat_map(|first| {
                shares(parts - first, n - 1).into_iter().map(move |rest| [&[first], rest.as_slice()].concat())
            })
            .collect(),
    }
}

/// What is searched: directions from any number of sources, each at each of the magnitudes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Space {
    /// Where directions come from. Every model alone and the bisector are always candidates too.
    #[serde(default)]
    pub directions: Vec<Directions>,
    /// Magnitudes s.
    pub scales: Vec<Scale>,
}

impl Space {
    /// All candidates for so many models: each model alone and the bisector first, then what the laws give; equal points
    /// appear once.
    pub fn candidates(&self, models: usize) -> Result<Vec<Candidate>, SearchError> {
        if self.scales.is_empty() {
            return Err(SearchError::Empty { what: "give at least one of `scales`" });
        }
        if models == 0 {
            return Err(SearchError::Empty { what: "name at least one model" });
        }
        let alone = |k: usize| {
            Direction::new((0..models).map(|i| f64::from(u8::from(i == k))).collect())
                .map(|weights| DirectionLaw::Fixed { weights })
        };
        let mut laws = (0..models).map(alone).collect::<Result<Vec<_>, _>>()?;
        laws.push(DirectionLaw::Uniform);
        for source in &self.directions {
            laws.extend(source.laws(models)?);
        }
        let mut candidates: Vec<Candidate> = Vec::new();
        for &scale in &self.scales {
            for law in &laws {
                let direction = law.draw(models)?;
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

    fn space(directions: Vec<Directions>, scales: &[f64]) -> Space {
        Space { directions, scales: scales.iter().map(|s| Scale::new(*s).unwrap()).collect() }
    }

    fn beta() -> Directions {
        let alphas = vec![Alpha::new(0.5).unwrap(), Alpha::new(2.0).unwrap()];
        Directions::Beta { alphas, draws: 3, seed: 1 }
    }

    fn weights(candidates: &[Candidate]) -> Vec<Vec<f64>> {
        candidates.iter().map(|c| c.direction.weights().to_vec()).collect()
    }

    #[test]
    fn ends_and_bisector_are_always_there_and_nothing_twice() {
        let all = space(vec![beta(), beta()], &[1.0, 1.0]).candidates(2).unwrap();
        assert_eq!(all.len(), 3 + 2 * 3);
        for want in [0.0, 1.0, 0.5] {
            assert!(all.iter().any(|c| c.direction.weights()[0] == want), "{want}");
        }
        assert_eq!(all, space(vec![beta()], &[1.0]).candidates(2).unwrap(), "the same draws each time");
    }

    #[test]
    fn a_grid_has_every_share_once() {
        let all = space(vec![Directions::Grid { steps: 4 }], &[1.0]).candidates(3).unwrap();
        // C(6, 2) shares, and the bisector, which quarters do not have.
        assert_eq!(all.len(), 15 + 1);
        assert!(weights(&all).contains(&vec![0.25, 0.5, 0.25]));
    }

    #[test]
    fn a_p_series_goes_to_the_models_in_every_order() {
        let all = space(vec![Directions::PSeries { p: vec![0.0, 1.0] }], &[1.0]).candidates(3).unwrap();
        // Three alone, the bisector (which is p = 0), and six orders of p = 1.
        assert_eq!(all.len(), 3 + 1 + 6);
        let series = Direction::p_series(3, 1.0);
        let [a, b, c] = series.weights() else { panic!("three weights") };
        assert!(weights(&all).contains(&vec![*c, *a, *b]));
    }

    #[test]
    fn an_empty_or_endless_side_is_refused() {
        let refused = |directions, scales: &[f64], models| {
            space(directions, scales).candidates(models).unwrap_err().to_string()
        };
        assert!(refused(vec![], &[], 2).contains("scales"));
        assert!(refused(vec![], &[1.0], 0).contains("model"));
        let none = Directions::Beta { alphas: vec![], draws: 1, seed: 1 };
        assert!(refused(vec![none], &[1.0], 2).contains("alphas"));
        assert!(refused(vec![Directions::PSeries { p: vec![] }], &[1.0], 2).contains("`p`"));
        assert!(refused(vec![Directions::PSeries { p: vec![-1.0] }], &[1.0], 2).contains("at least 0"));
        assert!(refused(vec![Directions::PSeries { p: vec![1.0] }], &[1.0], 12).contains("12 models"));
        assert!(refused(vec![Directions::Grid { steps: 0 }], &[1.0], 2).contains("steps"));
        assert!(refused(vec![Directions::Grid { steps: 1000 }], &[1.0], 4).contains("grid"));
        assert!(refused(vec![beta()], &[1.0], 3).contains("two models"));
    }
}
