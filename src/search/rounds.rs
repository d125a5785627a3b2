//! A list of candidates, measured round by round on more items.

use super::strategy::Strategy;
use serde::{Deserialize, Serialize};

/// How far the rounds have come.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Rounds {
    /// Who is in this round, in the order of the list.
    running: Vec<usize>,
    /// How many of them have been measured in it.
    done: usize,
    /// Its share of the items.
    share: f64,
    /// The best of the last round; none before its end.
    winner: Option<usize>,
}

impl Rounds {
    pub(super) fn new(candidates: usize, strategy: &Strategy) -> Self {
        Self { running: (0..candidates).collect(), done: 0, share: strategy.first(), winner: None }
    }

    /// Who is to be measured next, and on which share of the items; nobody when the last round is over.
    pub(super) fn next(&self) -> Option<(usize, f64)> {
        if self.winner.is_some() {
            return None;
        }
        self.running.get(self.done).map(|i| (*i, self.share))
    }

    /// The winner of the last round.
    pub(super) fn winner(&self) -> Option<usize> {
        self.winner
    }

    /// One more is measured. `value` is how good a candidate is, `ahead` how far one is ahead of another with the half-width of
    /// the 95 % interval of that.
    pub(super) fn measured(
        &mut self,
        strategy: &Strategy,
        value: impl Fn(usize) -> f64,
        ahead: impl Fn(usize, usize) -> (f64, f64),
    ) {
        self.done += 1;
        if self.done < self.running.len() {
            return;
        }
        // Stable: of equally good ones the first stays first.
        let mut ranked = self.running.clone();
        ranked.sort_by(|a, b| value(*b).total_cmp(&value(*a)));
        let leader = ranked[0];
        if self.share >= 1.0 {
            self.winner = Some(leader);
            return;
        }
        self.running = strategy.goes_on(&ranked, |i| ahead(leader, i));
        self.running.sort_unstable();
        self.done = 0;
        // One alone needs no more rounds, only its figure.
        self.share = if self.running.len() == 1 { 1.0 } else { strategy.next(self.share) };
    }
}
