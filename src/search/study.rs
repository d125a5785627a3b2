//! A search as a value: what has been measured, and what is to be measured next. It can be written down at any time, and goes
//! on from there with the same questions.

use super::aim::Aim;
use super::evolution::Evolution;
use super::process::Process;
use super::reduction::{FEWEST, Reduction};
use super::region::{Point, Region};
use super::rounds::Rounds;
use super::strategy::{Full, Strategy};
use super::{Candidate, Portion, Scores, SearchError};
use crate::random::Stream;
use serde::{Deserialize, Serialize};

/// Points that a Gaussian process is asked about for each proposal: anywhere, and near the best ones.
const ANYWHERE: usize = 768;
const NEARBY: usize = 256;
/// Every how many proposals one is where the process knows least.
const EXPLORES: usize = 4;
/// Once more about the best of them, ever nearer.
const CLOSER: usize = 8;
/// Candidates that are measured in full at the end, where they were measured on some items.
const CONFIRMED: usize = 5;
/// A law of CMA-ES that is narrower than this many steps of the grid has arrived.
const ARRIVED: f64 = 0.002;

/// A candidate, as far as it has been measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    /// The point.
    pub candidate: Candidate,
    /// Its scores; without benchmarks while it has not been measured at all.
    pub scores: Scores,
    /// Whether only some of them were measured, and the others are estimated.
    pub estimated: bool,
}

impl Trial {
    fn is_measured(&self) -> bool {
        !self.scores.0.is_empty()
    }
}

/// What is to be measured next.
#[derive(Clone, Debug, PartialEq)]
pub struct Ask {
    /// Its place among the trials.
    pub trial: usize,
    /// The point.
    pub candidate: Candidate,
    /// On which items.
    pub portion: Portion,
}

/// A search.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Study {
    strategy: Strategy,
    aim: Aim,
    trials: Vec<Trial>,
    /// How many of them the space gives.
    given: usize,
    /// The items that candidates are measured on, where these are not all, once those have been measured that they are chosen by.
    reduction: Option<Reduction>,
    state: State,
}

/// What a strategy remembers beside the trials.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum State {
    Rounds(Rounds),
    /// The candidates of the space, most of them on some items.
    List {
        /// Which are measured in full, in this order, before the others.
        first: Vec<usize>,
    },
    /// Everything is in the trials.
    Process(Region),
    Evolution {
        region: Region,
        /// None while the candidates of the space are measured.
        law: Option<Evolution>,
        /// This generation's candidates.
        generation: Vec<Candidate>,
    },
}

impl Study {
    /// A search that begins with these candidates.
    pub fn new(candidates: Vec<Candidate>, strategy: &Strategy, aim: Aim) -> Result<Self, SearchError> {
        strategy.check()?;
        if candidates.is_empty() {
            return Err(SearchError::Empty { what: "no candidates" });
        }
        if matches!(aim, Aim::Pareto(_)) && matches!(strategy, Strategy::Race(_) | Strategy::CmaEs(_)) {
            return Err(SearchError::NoFront { kind: strategy.name() });
        }
        let region = Region::around(&candidates);
        if let Some(trials) = strategy.trials() {
            if region.freedoms() == 0 {
                return Err(SearchError::Nothing { kind: strategy.name() });
            }
            if trials < candidates.len() {
                return Err(SearchError::Trials { trials, given: candidates.len() });
            }
        }
        if strategy.reduced().is_some() && candidates.len() < FEWEST {
            return Err(SearchError::Few { given: candidates.len() });
        }
        let state = match strategy {
            Strategy::Full(Full { in_full, items: 1.., .. }) if *in_full < candidates.len() => {
                State::List { first: region.spread(&candidates, *in_full) }
            }
            Strategy::Full(_) | Strategy::Race(_) => State::Rounds(Rounds::new(candidates.len(), strategy)),
            Strategy::GaussianProcess(_) => State::Process(region),
            Strategy::CmaEs(_) => State::Evolution { region, law: None, generation: Vec::new() },
        };
        let trial = |candidate| Trial { candidate, scores: Scores::default(), estimated: false };
        let trials: Vec<Trial> = candidates.into_iter().map(trial).collect();
        Ok(Self { strategy: *strategy, aim, given: trials.len(), trials, reduction: None, state })
    }

    /// Everything so far.
    pub fn trials(&self) -> &[Trial] {
        &self.trials
    }

    /// What is sought.
    pub fn aim(&self) -> &Aim {
        &self.aim
    }

    /// What is to be measured next; nothing when the search is over. Asked twice without an answer it says the same.
    pub fn ask(&self) -> Option<Ask> {
        if let State::Rounds(rounds) = &self.state {
            let (trial, share) = rounds.next()?;
            return Some(self.again(trial, Portion::Share(share)));
        }
        if let Some(trial) = self.beginning().find(|trial| !self.trials[*trial].is_measured()) {
            return Some(self.again(trial, Portion::Share(1.0)));
        }
        let some = self.reduction.as_ref().map(|reduction| Portion::Places(reduction.asked().to_vec()));
        let portion = some.unwrap_or(Portion::Share(1.0));
        if let Some(trial) = self.trials.iter().position(|trial| !trial.is_measured()) {
            return Some(self.again(trial, portion));
        }
        let Some(candidate) = self.proposed() else { return self.confirmed() };
        Some(Ask { trial: self.trials.len(), candidate, portion })
    }

    /// The trials that are measured in full before anything else: those of the space, or the first ones of a list.
    fn beginning(&self) -> Box<dyn Iterator<Item = usize> + '_> {
        match &self.state {
            State::List { first } => Box::new(first.iter().copied()),
            _ => Box::new(0..self.given),
        }
    }

    fn again(&self, trial: usize, portion: Portion) -> Ask {
        Ask { trial, candidate: self.trials[trial].candidate.clone(), portion }
    }

    /// The next candidate that the space does not give.
    fn proposed(&self) -> Option<Candidate> {
        if self.trials.len() >= self.strategy.trials().unwrap_or(0) {
            return None;
        }
        match &self.state {
            State::Process(region) => self.proposal(region),
            State::Evolution { generation, .. } => generation.iter().find(|c| !self.is_known(c)).cloned(),
            State::Rounds(_) | State::List { .. } => None,
        }
    }

    /// At the end the leader is measured in full, until one that was leads, or some were and others lead.
    fn confirmed(&self) -> Option<Ask> {
        let in_full = self.trials.iter().filter(|trial| !trial.estimated).count();
        let confirmed = in_full - self.beginning().count();
        let leader = self.leader(|_| true)?;
        let open = self.trials[leader].estimated && confirmed < CONFIRMED;
        open.then(|| self.again(leader, Portion::Share(1.0)))
    }

    /// What came of the last question.
    pub fn tell(&mut self, ask: Ask, scores: Scores) {
        let (scores, estimated) = match (&ask.portion, &self.reduction) {
            (Portion::Places(_), Some(reduction)) => (reduction.whole(&ask.candidate, &scores), true),
            _ => (scores, false),
        };
        let trial = Trial { candidate: ask.candidate, scores, estimated };
        match self.trials.get_mut(ask.trial) {
            Some(known) => *known = trial,
            None => self.trials.push(trial),
        }
        if let State::Rounds(rounds) = &mut self.state {
            let (trials, aim) = (&self.trials, &self.aim);
            let ahead = |a: usize, b: usize| {
                let ahead = aim.ahead(&trials[a].scores, &trials[b].scores);
                (ahead.value, ahead.half_width)
            };
            rounds.measured(&self.strategy, |i| aim.fitness(&trials[i].scores).value, ahead);
        }
        self.reduce();
        self.evolve();
    }

    /// Chooses the items that the other candidates are measured on, when those have been measured that it is done by.
    fn reduce(&mut self) {
        let Some((items, estimator)) = self.strategy.reduced() else { return };
        let begun = self.beginning().all(|trial| self.trials[trial].is_measured());
        if begun && self.reduction.is_none() && !matches!(self.state, State::Rounds(_)) {
            let full: Vec<(&Candidate, &Scores)> = self
                .beginning()
                .map(|trial| &self.trials[trial])
                .map(|trial| (&trial.candidate, &trial.scores))
                .collect();
            self.reduction = Some(Reduction::new(&full, items, estimator, self.strategy.seed()));
        }
    }

    /// The items that candidates are measured on after the first ones, where these are not all, and what they tell.
    pub fn reduction(&self) -> Option<&Reduction> {
        self.reduction.as_ref()
    }

    /// Which trial won; none while nothing has been measured in full. Of a front it is the one with the highest mean.
    pub fn winner(&self) -> Option<usize> {
        if let State::Rounds(rounds) = &self.state {
            return rounds.winner();
        }
        self.leader(|trial| !trial.estimated)
    }

    /// The best of the trials that may lead.
    fn leader(&self, may: impl Fn(&Trial) -> bool) -> Option<usize> {
        let measured =
            (0..self.trials.len()).filter(|i| self.trials[*i].is_measured() && may(&self.trials[*i]));
        let value = |i: usize| self.aim.fitness(&self.trials[i].scores).value;
        // Of equally good ones the first.
        measured.reduce(|best, i| if value(i) > value(best) { i } else { best })
    }

    fn is_known(&self, candidate: &Candidate) -> bool {
        self.trials.iter().any(|trial| same(&trial.candidate, candidate))
    }

    /// The point of which most may be expected; every few proposals the one of which least is known.
    fn proposal(&self, region: &Region) -> Option<Candidate> {
        let Strategy::GaussianProcess(settings) = &self.strategy else { return None };
        let mut stream = Stream::new(settings.seed, "gaussian process", self.trials.len() as u64);
        let scores: Vec<&Scores> = self.trials.iter().map(|trial| &trial.scores).collect();
        let values = self.aim.targets(&scores, || stream.unit());
        let points: Vec<Point> = self.trials.iter().map(|trial| region.point(&trial.candidate)).collect();
        let process = Process::fit(&points, &values)?;
        let best = process.best();
        // Length scales that few points suggest may be far too long, and nothing that is expected to improve would ever show it.
        let explores = (self.trials.len() - self.given).is_multiple_of(EXPLORES);
        let mut order: Vec<usize> = (0..points.len()).collect();
        order.sort_by(|a, b| process.at(&points[*b]).0.total_cmp(&process.at(&points[*a]).0));
        order.truncate(4);
        let mut found: Option<(f64, Point, Candidate)> = None;
        let look = |point: Point, found: &mut Option<(f64, Point, Candidate)>| {
            let Some(candidate) = region.candidate(&point).filter(|c| !self.is_known(c)) else { return };
            // What is asked is the point on the grid.
            let there = region.point(&candidate);
            let expected =
                if explores { process.at(&there).1 } else { process.log_improvement(&there, best) };
            if found.as_ref().is_none_or(|(known, ..)| expected > *known) {
                *found = Some((expected, point, candidate));
            }
        };
        for number in 0..ANYWHERE {
            look(region.draw(&mut stream, if number % 2 == 0 { 1.0 } else { 2.5 }), &mut found);
        }
        for number in 0..NEARBY {
            look(region.near(&points[order[number % order.len()]], 0.2, &mut stream), &mut found);
        }
        for round in 0..CLOSER {
            let Some((_, centre, _)) = found.clone() else { break };
            for _ in 0..32 {
                look(region.near(&centre, 0.2 * 0.6f64.powi(round as i32), &mut stream), &mut found);
            }
        }
        found.map(|(.., candidate)| candidate)
    }

    /// Moves the law of CMA-ES on while everything of its generation is known.
    fn evolve(&mut self) {
        let State::Evolution { region, law, generation } = &self.state else { return };
        let Strategy::CmaEs(settings) = self.strategy else { return };
        if self.trials.iter().any(|trial| !trial.is_measured()) {
            return;
        }
        let (region, mut generation) = (*region, generation.clone());
        let mut law = law.clone().unwrap_or_else(|| {
            // It starts at the best of the space.
            let best = self.winner().map(|best| region.point(&self.trials[best].candidate));
            let mean = best.map(|point| region.coordinates(&point)).unwrap_or_default();
            Evolution::new(mean, settings.sigma, settings.population, settings.seed)
        });
        // A generation all of whose points were measured before teaches without a question, but not for ever.
        for _ in 0..1000 {
            if generation.iter().any(|c| !self.is_known(c)) {
                break;
            }
            if !generation.is_empty() {
                let value = |c: &Candidate| {
                    let trial = self.trials.iter().find(|trial| same(&trial.candidate, c));
                    trial.map_or(f64::NEG_INFINITY, |trial| self.aim.fitness(&trial.scores).value)
                };
                generation.sort_by(|a, b| value(b).total_cmp(&value(a)));
                let ranked: Vec<Vec<f64>> =
                    generation.iter().map(|c| region.coordinates(&region.point(c))).collect();
                law.learn(&ranked);
            }
            if law.width() < ARRIVED {
                generation.clear();
                break;
            }
            let points = law.sample().into_iter().map(|x| region.nearest(&x));
            generation = points.filter_map(|point| region.candidate(&point)).collect();
        }
        self.state = State::Evolution { region, law: Some(law), generation };
    }
}

fn same(a: &Candidate, b: &Candidate) -> bool {
    a.direction == b.direction && a.scale == b.scale
}

#[cfg(test)]
mod tests;
