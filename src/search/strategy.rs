//! How candidates are measured: all in full, or in a race.

use super::SearchError;
use crate::statistics::Z95;
use serde::{Deserialize, Serialize};

/// How candidates are measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Strategy {
    /// Every candidate on every item: the paper's.
    #[default]
    Full,
    /// Round by round on more items, while those that fall behind drop out.
    Race(Race),
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
}

impl Default for Race {
    fn default() -> Self {
        Self { first: 0.05, growth: 2.0, keep: 1.0 / 3.0, sigmas: 3.0 }
    }
}

impl Strategy {
    /// Refuses a race that could not begin or would never end.
    pub fn check(&self) -> Result<(), SearchError> {
        let Self::Race(race) = self else { return Ok(()) };
        let share = |x: f64| x > 0.0 && x <= 1.0;
        let rules: [(&'static str, f64, bool, &'static str); 4] = [
            ("first", race.first, share(race.first), "above 0 and at most 1"),
            ("growth", race.growth, race.growth > 1.0 && race.growth.is_finite(), "above 1"),
            ("keep", race.keep, share(race.keep), "above 0 and at most 1"),
            ("sigmas", race.sigmas, race.sigmas > 0.0, "above 0"),
        ];
        match rules.into_iter().find(|(_, _, holds, _)| !holds) {
            Some((key, got, _, range)) => Err(SearchError::Strategy { key, range, got }),
            None => Ok(()),
        }
    }

    /// How many times all items are looked at, at most; those of the rounds before, whose answers are known, count again.
    pub fn looks(&self, candidates: usize) -> f64 {
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
            Self::Full => running,
            Self::Race(race) => ((race.keep * running as f64).ceil() as usize).max(2),
        }
    }

    /// Share of the items in the first round.
    pub(super) fn first(&self) -> f64 {
        match self {
            Self::Full => 1.0,
            Self::Race(race) => race.first,
        }
    }

    /// Share of the items in the next round.
    pub(super) fn next(&self, share: f64) -> f64 {
        match self {
            Self::Full => 1.0,
            Self::Race(race) => (share * race.growth).min(1.0),
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
