//! Measure the candidates, keep the best, on a split of its own: the only loop of the street.

use super::{Aim, Candidate, Fitness, Objective, ObjectiveError, SearchError, Strategy, Study, Trial};
use serde::{Deserialize, Serialize};

/// A candidate with its fitness.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// The point.
    pub candidate: Candidate,
    /// How good it is, on the split of the search and on as many items as it came to.
    pub fitness: Fitness,
    /// How good it is at each skill, where the aim knows skills.
    pub skills: Vec<Fitness>,
}

/// A finished search.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Campaign {
    /// All points, those of the space first, in its order.
    pub measured: Vec<Measured>,
    /// Which of them won.
    pub winner: usize,
    /// Which of them are not beaten in every skill, where that is what was sought.
    pub front: Vec<usize>,
    /// Items that were asked of all candidates together.
    pub asked: usize,
    /// On how many items candidates were measured after the first ones, and how far such an estimate is off, as the root of the mean
    /// square over candidates that it was not made from; none where all were measured in full.
    pub estimate: Option<(usize, f64)>,
}

impl Campaign {
    /// Measures candidates as the strategy says, and keeps the one with the best mean. The best of those who came to the last
    /// round wins, of equally good ones the first, so that nothing but space and items decides. Nothing is kept here: the
    /// objective's own ledger makes a resumed campaign cheap.
    pub fn run<E: From<SearchError> + From<ObjectiveError>>(
        candidates: &[Candidate],
        strategy: &Strategy,
        objective: &mut dyn Objective,
    ) -> Result<Self, E> {
        let mut study = Study::new(candidates.to_vec(), strategy, Aim::Mean)?;
        Self::go_on(&mut study, objective, &mut |_| Ok(()))
    }

    /// Takes a study to its end. `keep` is told of every change of it, and may write it down.
    pub fn go_on<E: From<ObjectiveError>>(
        study: &mut Study,
        objective: &mut dyn Objective,
        keep: &mut dyn FnMut(&Study) -> Result<(), E>,
    ) -> Result<Self, E> {
        while let Some(ask) = study.ask() {
            let scores = objective.measure(&ask.candidate, &ask.portion)?;
            study.tell(ask, scores);
            keep(study)?;
        }
        Ok(Self::of(study))
    }

    /// What a study has found.
    fn of(study: &Study) -> Self {
        let aim = study.aim();
        let most = study.trials().iter().map(|trial| trial.scores.count()).max().unwrap_or(0);
        let in_full = |trial: &Trial| trial.scores.count() == most && !trial.estimated;
        let scores: Vec<_> =
            study.trials().iter().map(|trial| in_full(trial).then_some(&trial.scores)).collect();
        let front = aim.front(&scores);
        let measured: Vec<Measured> = study
            .trials()
            .iter()
            .map(|trial| Measured {
                candidate: trial.candidate.clone(),
                fitness: match study.reduction().filter(|_| trial.estimated) {
                    None => aim.fitness(&trial.scores),
                    // As uncertain as if it were in full, and by what the estimate may be off.
                    Some(reduction) => {
                        let Fitness { value, half_width, .. } = aim.fitness_of_chances(&trial.scores);
                        Fitness {
                            value,
                            half_width: half_width.hypot(reduction.half_width()),
                            items: reduction.count(),
                        }
                    }
                },
                skills: aim.skills().iter().map(|skill| skill.mean(&trial.scores).into()).collect(),
            })
            .collect();
        let asked = measured.iter().map(|m| m.fitness.items).sum();
        let estimate = study.reduction().map(|reduction| (reduction.count(), reduction.error()));
        Self { winner: study.winner().unwrap_or(0), measured, front, asked, estimate }
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
    use crate::random::Stream;
    use crate::search::{Portion, Race, Scores};
    use crate::units::Scale;

    fn at(x: f64) -> Candidate {
        let direction = Direction::new(vec![x, 1.0 - x]).unwrap();
        let law = DirectionLaw::Fixed { weights: direction.clone() };
        Candidate { law, direction, scale: Scale::new(1.0).unwrap() }
    }

    /// Right about an item as often as the candidate is near the peak: the same item is hard for all.
    struct Peak {
        peak: f64,
        items: Vec<f64>,
    }

    impl Objective for Peak {
        fn measure(&mut self, c: &Candidate, portion: &Portion) -> Result<Scores, ObjectiveError> {
            let skill = 1.0 - (c.direction.weights()[0] - self.peak).abs();
            let right = |hard: &f64| f64::from(u8::from(*hard < skill));
            Ok(Scores(vec![(1.0, portion.of(0, &self.items).iter().map(right).collect())]))
        }
    }

    fn run(candidates: &[Candidate], strategy: &Strategy, of: &mut Peak) -> Result<Campaign, Failed> {
        Campaign::run(candidates, strategy, of)
    }

    #[derive(Debug, thiserror::Error)]
    enum Failed {
        #[error(transparent)]
        Search(#[from] SearchError),
        #[error(transparent)]
        Objective(#[from] ObjectiveError),
    }

    fn peak(seed: u64) -> Peak {
        let items = (0..400).map(|i| Stream::new(seed, "hardness", i).unit()).collect();
        Peak { peak: 0.6, items }
    }

    #[test]
    fn the_best_wins_and_of_equals_the_first() {
        let candidates = [at(0.0), at(0.55), at(0.65), at(0.6), at(0.6), at(1.0)];
        let done = run(&candidates, &Strategy::default(), &mut peak(1)).unwrap();
        assert_eq!(done.winner, 3);
        assert_eq!(done.asked, 6 * 400);
    }

    #[test]
    fn a_race_finds_a_winner_as_good_for_an_eighth_of_the_items() {
        let candidates: Vec<Candidate> = (0..64).map(|i| at(f64::from(i) / 63.0)).collect();
        for seed in 0..20 {
            let full = run(&candidates, &Strategy::default(), &mut peak(seed)).unwrap();
            let race = run(&candidates, &Strategy::Race(Race::default()), &mut peak(seed)).unwrap();
            assert!(race.asked * 8 < full.asked, "seed {seed}: {} of {}", race.asked, full.asked);
            assert_eq!(race.best().fitness.items, 400, "the winner has a full figure");
            let (best, found) = (full.best().fitness, race.best().fitness);
            assert!(found.value >= best.value - best.half_width, "seed {seed}: {found:?} {best:?}");
        }
    }

    #[test]
    fn a_race_looks_at_no_more_items_than_it_says() {
        let candidates: Vec<Candidate> = (0..30).map(|i| at(0.5 + f64::from(i) / 1e4)).collect();
        for race in [
            Race::default(),
            Race { keep: 1.0, ..Race::default() },
            Race { first: 0.3, growth: 1.4, ..Race::default() },
        ] {
            let strategy = Strategy::Race(race);
            let asked = run(&candidates, &strategy, &mut peak(3)).unwrap().asked as f64;
            // A share of the items is rounded up.
            let bound = 400.0 * strategy.looks(30) + 30.0;
            assert!(asked <= bound && asked > 0.2 * bound, "{race:?}: {asked} of {bound}");
        }
        assert!((Strategy::default().looks(30) - 30.0).abs() < 1e-12);
    }

    #[test]
    fn only_a_race_that_can_begin_and_end_is_taken() {
        assert!(Strategy::Race(Race::default()).check().is_ok());
        for race in [
            Race { first: 0.0, ..Race::default() },
            Race { growth: 1.0, ..Race::default() },
            Race { keep: 1.5, ..Race::default() },
            Race { sigmas: f64::NAN, ..Race::default() },
        ] {
            assert!(Strategy::Race(race).check().is_err(), "{race:?}");
        }
    }
}
