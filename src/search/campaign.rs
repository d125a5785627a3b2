//! Measure the candidates, keep the best, on a split of its own: the only loop of the street.

use super::{Candidate, Fitness, Objective, ObjectiveError, Scores, Strategy};
use serde::{Deserialize, Serialize};

/// A candidate with its fitness.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// The point.
    pub candidate: Candidate,
    /// How good it is, on the split of the search and on as many items as it came to.
    pub fitness: Fitness,
}

/// A finished search.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Campaign {
    /// All points, in the order of the space.
    pub measured: Vec<Measured>,
    /// Which of them won.
    pub winner: usize,
    /// Items that were asked of all candidates together.
    pub asked: usize,
}

impl Campaign {
    /// Measures candidates as the strategy says. The best of those who came to the last round wins, of equally good ones
    /// the first, so that nothing but space and items decides. Nothing is kept here: the objective's own ledger makes a
    /// resumed campaign cheap.
    ///
    /// # Panics
    /// If there are no candidates, which a space does not allow.
    pub fn run(
        candidates: &[Candidate],
        strategy: &Strategy,
        objective: &mut dyn Objective,
    ) -> Result<Self, ObjectiveError> {
        assert!(!candidates.is_empty(), "a space has candidates");
        let mut scores = vec![Scores::default(); candidates.len()];
        let mut running: Vec<usize> = (0..candidates.len()).collect();
        let mut share = strategy.first();
        loop {
            for &i in &running {
                scores[i] = objective.measure(&candidates[i], share)?;
            }
            // Stable: of equally good ones the first stays first.
            running.sort_by(|a, b| scores[*b].fitness().value.total_cmp(&scores[*a].fitness().value));
            if share >= 1.0 {
                break;
            }
            let leader = &scores[running[0]];
            running = strategy.goes_on(&running, |i| {
                let ahead = leader.ahead_of(&scores[i]);
                (ahead.value, ahead.half_width)
            });
            running.sort_unstable();
            // One alone needs no more rounds, only its figure.
            share = if running.len() == 1 { 1.0 } else { strategy.next(share) };
        }
        let measured: Vec<Measured> = candidates
            .iter()
            .zip(&scores)
            .map(|(candidate, scores)| Measured { candidate: candidate.clone(), fitness: scores.fitness() })
            .collect();
        let asked = measured.iter().map(|m| m.fitness.items).sum();
        Ok(Self { winner: running[0], measured, asked })
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
    use crate::search::Race;
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
        fn measure(&mut self, c: &Candidate, share: f64) -> Result<Scores, ObjectiveError> {
            let skill = 1.0 - (c.direction.weights()[0] - self.peak).abs();
            let n = (share * self.items.len() as f64).ceil() as usize;
            let right = |hard: &f64| f64::from(u8::from(*hard < skill));
            Ok(Scores(vec![(1.0, self.items[..n].iter().map(right).collect())]))
        }
    }

    fn peak(seed: u64) -> Peak {
        let items = (0..400).map(|i| Stream::new(seed, "hardness", i).unit()).collect();
        Peak { peak: 0.6, items }
    }

    #[test]
    fn the_best_wins_and_of_equals_the_first() {
        let candidates = [at(0.0), at(0.55), at(0.65), at(0.6), at(0.6), at(1.0)];
        let done = Campaign::run(&candidates, &Strategy::Full, &mut peak(1)).unwrap();
        assert_eq!(done.winner, 3);
        assert_eq!(done.asked, 6 * 400);
    }

    #[test]
    fn a_race_finds_a_winner_as_good_for_an_eighth_of_the_items() {
        let candidates: Vec<Candidate> = (0..64).map(|i| at(f64::from(i) / 63.0)).collect();
        for seed in 0..20 {
            let full = Campaign::run(&candidates, &Strategy::Full, &mut peak(seed)).unwrap();
            let race = Campaign::run(&candidates, &Strategy::Race(Race::default()), &mut peak(seed)).unwrap();
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
            let asked = Campaign::run(&candidates, &strategy, &mut peak(3)).unwrap().asked as f64;
            // A share of the items is rounded up.
            let bound = 400.0 * strategy.looks(30) + 30.0;
            assert!(asked <= bound && asked > 0.2 * bound, "{race:?}: {asked} of {bound}");
        }
        assert!((Strategy::Full.looks(30) - 30.0).abs() < 1e-12);
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
