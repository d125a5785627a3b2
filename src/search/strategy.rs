//! How candidates are found and measured, as a file says it: those of the space in full or in a race, or more of them, proposed
//! by what has been measured.

use super::SearchError;
use super::reduction::FEWEST;
use crate::statistics::Z95;
use serde::{Deserialize, Serialize};

/// Candidates that a strategy may measure at most; fitting a process to more takes seconds for each.
const MOST: usize = 1000;
const MOST_FITTED: usize = 300;

/// How candidates are found and measured.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Strategy {
    /// Every candidate of the space, on every item: the paper's; or most of them on a few items.
    Full(Full),
    /// Round by round on more items, while those that fall behind drop out.
    Race(Race),
    /// After the candidates of the space, each next one is that of which a Gaussian process expects most.
    GaussianProcess(GaussianProcess),
    /// After the candidates of the space, generations of a normal law that moves to where candidates are good.
    CmaEs(CmaEs),
}

impl Default for Strategy {
    fn default() -> Self {
        Self::Full(Full::default())
    }
}

/// How a candidate that was asked some items of a benchmark is estimated on all of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Estimator {
    /// Every item is taken to have the value of the one that stands for it.
    Anchors,
    /// A model of item response theory says what the other items are expected to be, as far as it was right about candidates that
    /// it was not fitted to; the anchors have the rest of the say.
    #[default]
    Irt,
}

/// The candidates of the space and no others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Full {
    /// Items of each benchmark on which candidates are measured, those that stand best for all of them; 0 for all.
    pub items: usize,
    /// How these are estimated on all items.
    pub estimator: Estimator,
    /// Candidates that are measured on all items all the same, spread over the space; the items are chosen by them.
    pub in_full: usize,
    /// Seed of that choice.
    pub seed: u64,
}

impl Default for Full {
    fn default() -> Self {
        Self { items: 0, estimator: Estimator::default(), in_full: 8, seed: 0 }
    }
}

/// Proposals by expected improvement (Jones, Schonlau & Welch 1998) on λ × s.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GaussianProcess {
    /// Candidates altogether, those of the space among them.
    pub trials: usize,
    /// Seed of the points among which each proposal is chosen.
    pub seed: u64,
    /// Items of each benchmark on which proposals are measured, those that stand best for all of them; 0 for all.
    pub items: usize,
    /// How these are estimated on all items.
    pub estimator: Estimator,
}

impl Default for GaussianProcess {
    fn default() -> Self {
        Self { trials: 40, seed: 0, items: 0, estimator: Estimator::default() }
    }
}

/// Proposals by CMA-ES (Hansen 2016) on λ × s; points outside are moved to the nearest that is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CmaEs {
    /// Candidates altogether, those of the space among them.
    pub trials: usize,
    /// Seed of the draws.
    pub seed: u64,
    /// Standard deviation at first, where λ and s span 1.
    pub sigma: f64,
    /// Candidates in a generation; 0 for 4 + ⌊3·ln n⌋ in n dimensions.
    pub population: usize,
    /// Items of each benchmark on which proposals are measured, those that stand best for all of them; 0 for all.
    pub items: usize,
    /// How these are estimated on all items.
    pub estimator: Estimator,
}

impl Default for CmaEs {
    fn default() -> Self {
        Self { trials: 60, seed: 0, sigma: 0.3, population: 0, items: 0, estimator: Estimator::default() }
    }
}

/// A race: successive halving (Jamieson & Talwalkar 2016) in which the paired statistics of racing (Maron & Moore 1993) may
/// drop a candidate earlier.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Race {
    /// Share of the items in the first round.
    pub first: f64,
    /// How many times as many items the next round has.
    pub growth: f64,
    /// Share of the candidates of a round that the next one has at most; never fewer than two.
    pub keep: f64,
    /// A candidate drops out when it is behind the leader by more than so many standard errors of their paired difference.
    pub sigmas: f64,
    /// Read only to be refused: a race asks all who are in it the same items, and pairs their answers.
    #[serde(skip_serializing)]
    pub items: usize,
}

impl Default for Race {
    fn default() -> Self {
        Self { first: 0.02, growth: 2.0, keep: 0.55, sigmas: 3.0, items: 0 }
    }
}

impl Strategy {
    /// Its name in a file.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Full(_) => "full",
            Self::Race(_) => "race",
            Self::GaussianProcess(_) => "gaussian_process",
            Self::CmaEs(_) => "cma_es",
        }
    }

    /// How many candidates a strategy that proposes measures altogether; none where there is a list.
    pub const fn trials(&self) -> Option<usize> {
        match self {
            Self::Full(_) | Self::Race(_) => None,
            Self::GaussianProcess(settings) => Some(settings.trials),
            Self::CmaEs(settings) => Some(settings.trials),
        }
    }

    /// How many items of each benchmark candidates are measured on after the first ones, and how they are estimated; none where
    /// all are measured in full.
    pub(super) fn reduced(&self) -> Option<(usize, Estimator)> {
        let (items, estimator) = match self {
            Self::Race(_) => return None,
            Self::Full(settings) => (settings.items, settings.estimator),
            Self::GaussianProcess(settings) => (settings.items, settings.estimator),
            Self::CmaEs(settings) => (settings.items, settings.estimator),
        };
        (items > 0).then_some((items, estimator))
    }

    /// The seed of what is drawn.
    pub(super) const fn seed(&self) -> u64 {
        match self {
            Self::Race(_) => 0,
            Self::Full(settings) => settings.seed,
            Self::GaussianProcess(settings) => settings.seed,
            Self::CmaEs(settings) => settings.seed,
        }
    }

    /// Refuses a strategy that could not begin or would never end.
    pub fn check(&self) -> Result<(), SearchError> {
        if matches!(self, Self::Race(Race { items: 1.., .. })) {
            return Err(SearchError::NoItems { kind: self.name() });
        }
        let share = |x: f64| x > 0.0 && x <= 1.0;
        let rules: Vec<(&'static str, f64, bool, &'static str)> = match self {
            Self::Full(Full { in_full, .. }) => {
                vec![("in_full", *in_full as f64, *in_full >= FEWEST, "at least 3")]
            }
            Self::Race(race) => vec![
                ("first", race.first, share(race.first), "above 0 and at most 1"),
                ("growth", race.growth, race.growth > 1.0 && race.growth.is_finite(), "above 1"),
                ("keep", race.keep, share(race.keep), "above 0 and at most 1"),
                ("sigmas", race.sigmas, race.sigmas > 0.0, "above 0"),
            ],
            Self::GaussianProcess(GaussianProcess { trials, .. }) => {
                vec![("trials", *trials as f64, (1..=MOST_FITTED).contains(trials), "between 1 and 300")]
            }
            Self::CmaEs(settings) => vec![
                (
                    "trials",
                    settings.trials as f64,
                    (1..=MOST).contains(&settings.trials),
                    "between 1 and 1000",
                ),
                ("sigma", settings.sigma, share(settings.sigma), "above 0 and at most 1"),
                (
                    "population",
                    settings.population as f64,
                    settings.population == 0 || (2..=MOST).contains(&settings.population),
                    "0, or between 2 and 1000",
                ),
            ],
        };
        match rules.into_iter().find(|(_, _, holds, _)| !holds) {
            Some((key, got, _, range)) => Err(SearchError::Strategy { key, range, got }),
            None => Ok(()),
        }
    }

    /// How many times all items are looked at, at most; those of the rounds before, whose answers are known, count again.
    pub fn looks(&self, candidates: usize) -> f64 {
        if let Some(trials) = self.trials() {
            return trials.max(candidates) as f64;
        }
        let (mut looks, mut running, mut share) = (0.0, candidates, self.first());
        loop {
            looks += running as f64 * share;
            if share >= 1.0 {
                return looks;
            }
            (running, share) = (running.min(self.most(running)), self.next(share));
        }
    }

    /// How many of these go on at most.
    fn most(&self, running: usize) -> usize {
        match self {
            Self::Race(race) => ((race.keep * running as f64).ceil() as usize).max(2),
            _ => running,
        }
    }

    /// Share of the items in the first round.
    pub(super) fn first(&self) -> f64 {
        match self {
            Self::Race(race) => race.first,
            _ => 1.0,
        }
    }

    /// Share of the items in the next round.
    pub(super) fn next(&self, share: f64) -> f64 {
        match self {
            Self::Race(race) => (share * race.growth).min(1.0),
            _ => 1.0,
        }
    }

    /// Who goes on, of candidates in the order of their fitness; `behind` is how far the leader is ahead of one, with the
    /// half-width of its 95 % interval.
    pub(super) fn goes_on<T: Copy>(&self, ranked: &[T], behind: impl Fn(T) -> (f64, f64)) -> Vec<T> {
        let Self::Race(race) = self else { return ranked.to_vec() };
        let most = self.most(ranked.len());
        let near = |candidate: T| {
            let (ahead, half_width) = behind(candidate);
            ahead <= race.sigmas * half_width / Z95
        };
        let others = ranked.iter().skip(1).copied().filter(|c| near(*c)).take(most - 1);
        ranked.iter().take(1).copied().chain(others).collect()
    }
}
