//! A search as a value: what has been measured, and what is to be measured next. It can be written down at any time, and goes
//! on from there with the same questions.

use super::aim::Aim;
use super::anchors::{Anchors, FEWEST};
use super::evolution::Evolution;
use super::process::Process;
use super::region::{Point, Region};
use super::rounds::Rounds;
use super::strategy::Strategy;
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
/// Proposals that are measured in full at the end, where they were measured on anchors.
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
    /// Whether they are those of anchors, spread over the items that these stand for.
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
    /// The items that proposals are measured on, where these are not all, once the space has been measured.
    anchors: Option<Anchors>,
    state: State,
}

/// What a strategy remembers beside the trials.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum State {
    Rounds(Rounds),
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
            if strategy.items() > 0 && candidates.len() < FEWEST {
                return Err(SearchError::Few { given: candidates.len() });
            }
        }
        let state = match strategy {
            Strategy::Full | Strategy::Race(_) => State::Rounds(Rounds::new(candidates.len(), strategy)),
            Strategy::GaussianProcess(_) => State::Process(region),
            Strategy::CmaEs(_) => State::Evolution { region, law: None, generation: Vec::new() },
        };
        let trial = |candidate| Trial { candidate, scores: Scores::default(), estimated: false };
        let trials: Vec<Trial> = candidates.into_iter().map(trial).collect();
        Ok(Self { strategy: *strategy, aim, given: trials.len(), trials, anchors: None, state })
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
        // The candidates of the space come first.
        if let Some(trial) = self.trials.iter().position(|trial| !trial.is_measured()) {
            return Some(self.again(trial, Portion::Share(1.0)));
        }
        let Some(candidate) = self.proposed() else { return self.confirmed() };
        let anchors = self.anchors.as_ref().map(|anchors| Portion::Places(anchors.asked.clone()));
        let portion = anchors.unwrap_or(Portion::Share(1.0));
        Some(Ask { trial: self.trials.len(), candidate, portion })
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
            State::Rounds(_) => None,
        }
    }

    /// At the end the leader is measured in full, until one that was leads, or some were and others lead.
    fn confirmed(&self) -> Option<Ask> {
        let proposals = self.trials[self.given..].iter();
        let confirmed = proposals.filter(|trial| !trial.estimated).count();
        let leader = self.leader(|_| true)?;
        let open = self.trials[leader].estimated && confirmed < CONFIRMED;
        open.then(|| self.again(leader, Portion::Share(1.0)))
    }

    /// What came of the last question.
    pub fn tell(&mut self, ask: Ask, scores: Scores) {
        let (scores, estimated) = match (&ask.portion, &self.anchors) {
            (Portion::Places(_), Some(anchors)) => (anchors.whole(&scores), true),
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
        let begun = self.trials.iter().all(Trial::is_measured);
        if begun && self.anchors.is_none() && self.strategy.items() > 0 {
            let full: Vec<&Scores> = self.trials.iter().map(|trial| &trial.scores).collect();
            self.anchors = Some(Anchors::choose(&full, self.strategy.items(), self.strategy.seed()));
        }
        self.evolve();
    }

    /// The items that proposals are measured on, where these are not all.
    pub fn anchors(&self) -> Option<&Anchors> {
        self.anchors.as_ref()
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
mod tests {
    use super::*;
    use crate::search::{CmaEs, Directions, GaussianProcess, Race, Skill, Space};
    use crate::units::Scale;

    /// The candidates that a file without laws gives: each model alone and the bisector, at each magnitude.
    fn begin(models: usize, scales: &[f64]) -> Vec<Candidate> {
        let scales = scales.iter().map(|s| Scale::new(*s).unwrap()).collect();
        Space { directions: Vec::new(), scales }.candidates(models).unwrap()
    }

    /// Two hundred items; one is right if it is easier than the candidate is good, so that figures are in steps of 0.5 %.
    fn scores(skill: f64) -> Scores {
        Scores(vec![(
            1.0,
            (0..200).map(|i| f64::from(u8::from((f64::from(i) + 0.5) / 200.0 < skill))).collect(),
        )])
    }

    /// Takes a study to its end, and says what was asked.
    fn run(study: &mut Study, skill: &dyn Fn(&Candidate) -> f64) -> Vec<Candidate> {
        let mut asked = Vec::new();
        while let Some(ask) = study.ask() {
            assert_eq!(study.ask().as_ref(), Some(&ask), "asked twice it says the same");
            asked.push(ask.candidate.clone());
            let scores = scores(skill(&ask.candidate));
            study.tell(ask, scores);
        }
        asked
    }

    fn process(trials: usize, seed: u64) -> Strategy {
        Strategy::GaussianProcess(GaussianProcess { trials, seed, items: 0 })
    }

    fn evolution(trials: usize, seed: u64) -> Strategy {
        Strategy::CmaEs(CmaEs { trials, seed, ..CmaEs::default() })
    }

    /// A ridge with its peak at λ = 0.37, s = 1.3.
    fn hill(c: &Candidate) -> f64 {
        let (l, s) = (c.direction.weights()[0], c.scale.get());
        0.9 - 1.5 * (l - 0.37).powi(2) - 0.4 * (s - 1.3).powi(2)
    }

    /// Three models; the peak is on an edge, where the third has no share.
    fn edge(c: &Candidate) -> f64 {
        let w = c.direction.weights();
        0.8 - (w[0] - 0.7).powi(2) - (w[1] - 0.3).powi(2) - 0.8 * w[2]
    }

    #[test]
    fn proposals_come_near_the_optimum_of_known_functions() {
        for seed in 0..3 {
            for (strategy, near) in [(process(30, seed), 0.006), (evolution(60, seed), 0.012)] {
                let mut study = Study::new(begin(2, &[0.5, 2.0]), &strategy, Aim::Mean).unwrap();
                run(&mut study, &hill);
                let best = &study.trials()[study.winner().unwrap()].candidate;
                assert!(hill(best) > 0.9 - near, "{}, seed {seed}: {best}", strategy.name());
            }
            for (strategy, near) in [(process(30, seed), 0.012), (evolution(70, seed), 0.02)] {
                let mut study = Study::new(begin(3, &[1.0]), &strategy, Aim::Mean).unwrap();
                run(&mut study, &edge);
                let best = &study.trials()[study.winner().unwrap()].candidate;
                assert!(edge(best) > 0.8 - near, "{}, seed {seed}: {best}", strategy.name());
            }
        }
    }

    #[test]
    fn a_process_needs_fewer_trials_than_random_draws() {
        // The best of thirty Dirichlet draws at random magnitudes, on average over seeds, is further from the peak.
        let region = Region::around(&begin(2, &[0.5, 2.0]));
        let (mut by_process, mut by_chance) = (0.0, 0.0);
        for seed in 0..4 {
            let mut study = Study::new(begin(2, &[0.5, 2.0]), &process(24, seed), Aim::Mean).unwrap();
            run(&mut study, &hill);
            by_process += hill(&study.trials()[study.winner().unwrap()].candidate);
            let mut stream = Stream::new(seed, "chance", 0);
            let draws = (0..24).map(|_| region.candidate(&region.draw(&mut stream, 1.0)).unwrap());
            by_chance += draws.map(|c| hill(&c)).fold(0.0, f64::max);
        }
        assert!(by_process > by_chance, "{by_process} {by_chance}");
    }

    #[test]
    fn the_same_seed_asks_the_same_and_another_one_something_else() {
        for of in [process, evolution] {
            let asked =
                |seed| run(&mut Study::new(begin(3, &[1.0, 1.5]), &of(30, seed), Aim::Mean).unwrap(), &hill);
            assert_eq!(asked(1), asked(1));
            assert_ne!(asked(1), asked(2));
            let all = asked(1);
            assert!(
                all.iter().enumerate().all(|(i, c)| !all[..i].iter().any(|d| same(c, d))),
                "nothing twice"
            );
        }
    }

    #[test]
    fn written_down_after_any_answer_it_asks_what_it_would_have_asked() {
        let full = Strategy::Full;
        for strategy in [process(16, 3), evolution(24, 3), Strategy::Race(Race::default()), full] {
            let grid = Space {
                directions: vec![Directions::Grid { steps: 8 }],
                scales: vec![Scale::new(1.0).unwrap()],
            };
            let candidates = grid.candidates(2).unwrap();
            let whole = run(&mut Study::new(candidates.clone(), &strategy, Aim::Mean).unwrap(), &hill);
            let mut study = Study::new(candidates, &strategy, Aim::Mean).unwrap();
            let mut asked = Vec::new();
            while let Some(ask) = study.ask() {
                asked.push(ask.candidate.clone());
                let scores = scores(hill(&ask.candidate));
                study.tell(ask, scores);
                let text = serde_json::to_string(&study).unwrap();
                study = serde_json::from_str(&text).unwrap();
            }
            assert_eq!(asked, whole, "{}", strategy.name());
        }
    }

    #[test]
    fn a_front_is_looked_for_along_its_whole_length() {
        let skill = |name: &str, part| Skill { name: name.into(), parts: vec![part], best: 1.0 };
        let aim = Aim::Pareto(vec![skill("a", 0), skill("b", 1)]);
        let mut study = Study::new(begin(2, &[1.0]), &process(24, 1), aim.clone()).unwrap();
        while let Some(ask) = study.ask() {
            // The more of one, the less of the other: every λ is on the front.
            let l = ask.candidate.direction.weights()[0];
            let both = [l.sqrt(), (1.0 - l).sqrt()].map(|skill| scores(skill).0.remove(0)).to_vec();
            study.tell(ask, Scores(both));
        }
        let all: Vec<Option<&Scores>> = study.trials().iter().map(|trial| Some(&trial.scores)).collect();
        let mut front: Vec<f64> =
            aim.front(&all).iter().map(|i| study.trials()[*i].candidate.direction.weights()[0]).collect();
        front.sort_by(f64::total_cmp);
        assert!(front.len() > 12, "{front:?}");
        let gap = front.windows(2).map(|pair| pair[1] - pair[0]).fold(0.0, f64::max);
        assert!(gap < 0.3, "{front:?}");
    }

    #[test]
    fn proposals_on_anchors_ask_a_fraction_and_the_winner_has_a_full_figure() {
        for strategy in [
            Strategy::GaussianProcess(GaussianProcess { trials: 24, seed: 2, items: 30 }),
            Strategy::CmaEs(CmaEs { trials: 40, seed: 2, items: 30, ..CmaEs::default() }),
        ] {
            let mut study = Study::new(begin(2, &[0.5, 2.0]), &strategy, Aim::Mean).unwrap();
            let (mut asked, mut proposals) = (0, 0);
            while let Some(ask) = study.ask() {
                let whole = scores(hill(&ask.candidate)).0.remove(0).1;
                let values = ask.portion.of(0, &whole);
                proposals += usize::from(matches!(ask.portion, Portion::Places(_)));
                asked += values.len();
                study.tell(ask, Scores(vec![(1.0, values)]));
            }
            let trials = study.trials().len();
            assert_eq!(proposals, trials - 6);
            assert!(asked <= 6 * 200 + proposals * 30 + CONFIRMED * 200, "{asked}");
            let winner = &study.trials()[study.winner().unwrap()];
            assert!(!winner.estimated && hill(&winner.candidate) > 0.85, "{}", winner.candidate);
            assert_eq!(winner.scores, scores(hill(&winner.candidate)));
            assert!(study.anchors().unwrap().error < 0.1);
        }
    }

    #[test]
    fn what_cannot_be_searched_is_refused() {
        let new = |candidates, strategy, aim| Study::new(candidates, &strategy, aim).unwrap_err().to_string();
        assert!(new(begin(1, &[1.0]), process(9, 0), Aim::Mean).contains("nothing to look for"));
        assert!(new(begin(3, &[1.0]), process(3, 0), Aim::Mean).contains("`trials` of the strategy is 3"));
        assert!(new(begin(2, &[1.0]), process(0, 0), Aim::Mean).contains("between 1 and 300"));
        let sigma = Strategy::CmaEs(CmaEs { sigma: 0.0, ..CmaEs::default() });
        assert!(new(begin(2, &[1.0]), sigma, Aim::Mean).contains("`sigma`"));
        let few = Strategy::GaussianProcess(GaussianProcess { items: 5, ..GaussianProcess::default() });
        assert!(new(begin(1, &[1.0, 2.0]), few, Aim::Mean).contains("`items`"));
        for strategy in [Strategy::Race(Race::default()), evolution(9, 0)] {
            assert!(new(begin(2, &[1.0]), strategy, Aim::Pareto(Vec::new())).contains("a front has none"));
        }
    }
}
