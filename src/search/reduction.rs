//! What the values of a few items tell of all of them: the estimators of tinyBenchmarks (Maia Polo et al. 2024), with the expectation of
//! MERGE³ (Mencattini et al. 2025) where the candidates are merges.

use super::anchors::Anchors;
use super::irt::{Ends, Irt};
use super::strategy::Estimator;
use super::{Candidate, Scores};
use crate::statistics::Z95;
use serde::{Deserialize, Serialize};

/// Candidates in full that a reduction is made from, at least: its error is measured on each of them in turn.
pub(super) const FEWEST: usize = 3;

/// Which items are asked, and what their values tell of the others.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reduction {
    anchors: Anchors,
    /// What the other items are expected to be; none where each is taken for its anchor.
    expected: Option<Expected>,
    /// How far the mean of a candidate that it was not made from is off, as the root of the mean square.
    error: f64,
}

/// Models of the answers to each benchmark, and how much they are relied on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Expected {
    models: Vec<(Irt, Ends)>,
    /// The anchors' share of an estimate; the rest is the models'.
    share: f64,
}

/// What both ways of estimating left a candidate off by, who was not there when they were made.
struct Off {
    /// For each benchmark by its anchors and by its model.
    means: Vec<(f64, f64)>,
    /// The same of the weighted mean.
    whole: (f64, f64),
}

impl Reduction {
    /// Chooses at most `count` items of each benchmark by candidates that were measured in full, and measures the error: each of
    /// them in turn is estimated by what the others give.
    pub(super) fn new(full: &[(&Candidate, &Scores)], count: usize, estimator: Estimator, seed: u64) -> Self {
        let mut reduction = Self::of(full, count, estimator, seed);
        let off: Vec<Off> = (0..full.len())
            .map(|out| {
                let others: Vec<_> =
                    full.iter().enumerate().filter(|(i, _)| *i != out).map(|(_, one)| *one).collect();
                Self::of(&others, count, estimator, seed).off(full[out].0, full[out].1)
            })
            .collect();
        // Each one's error with the share that the errors of the others give.
        let squares = (0..off.len()).map(|out| {
            let share = share(off.iter().enumerate().filter(|(i, _)| *i != out).map(|(_, off)| off));
            mixed(off[out].whole, share).powi(2)
        });
        reduction.error = (squares.sum::<f64>() / full.len().max(1) as f64).sqrt();
        if let Some(expected) = &mut reduction.expected {
            expected.share = share(off.iter());
        }
        reduction
    }

    fn of(full: &[(&Candidate, &Scores)], count: usize, estimator: Estimator, seed: u64) -> Self {
        let candidates: Vec<&Candidate> = full.iter().map(|(candidate, _)| *candidate).collect();
        let scores: Vec<&Scores> = full.iter().map(|(_, scores)| *scores).collect();
        let model = |benchmark: usize| {
            let values: Vec<&[f64]> = scores.iter().map(|s| s.0[benchmark].1.as_slice()).collect();
            let irt = Irt::fit(&values);
            let ends = Ends::of(&candidates, &irt.abilities);
            (irt, ends)
        };
        let expected = (estimator == Estimator::Irt).then(|| {
            let benchmarks = scores.first().map_or(0, |scores| scores.0.len());
            Expected { models: (0..benchmarks).map(model).collect(), share: 0.0 }
        });
        Self { anchors: Anchors::of(&scores, count, seed), expected, error: 0.0 }
    }

    /// For each benchmark the places of the items that are asked, rising.
    pub fn asked(&self) -> &[Vec<usize>] {
        &self.anchors.asked
    }

    /// Items that are asked of a candidate.
    pub fn count(&self) -> usize {
        self.anchors.asked.iter().map(Vec::len).sum()
    }

    /// How far the mean of a candidate that the items were not chosen by is off, as the root of the mean square.
    pub fn error(&self) -> f64 {
        self.error
    }

    /// Half of the 95 % interval that the error makes.
    pub(super) fn half_width(&self) -> f64 {
        Z95 * self.error
    }

    /// Scores on all items: an item that was asked has its value, another one what its anchor and the model say.
    pub(super) fn whole(&self, candidate: &Candidate, asked: &Scores) -> Scores {
        let mut whole = self.anchors.whole(asked);
        if let (Some(expected), Some(models)) = (&self.expected, self.by_models(candidate, asked)) {
            for ((_, values), (_, model)) in whole.0.iter_mut().zip(&models.0) {
                for (value, model) in values.iter_mut().zip(model) {
                    *value = expected.share * *value + (1.0 - expected.share) * model;
                }
            }
        }
        whole
    }

    /// The estimate of the models alone (p-IRT): the values of what was asked, and what is expected of the rest.
    fn by_models(&self, candidate: &Candidate, asked: &Scores) -> Option<Scores> {
        let models = &self.expected.as_ref()?.models;
        let one = |(((weight, values), places), (irt, ends)): (_, &(Irt, Ends))| {
            let (weight, values, places): (&f64, &Vec<f64>, &Vec<usize>) = (weight, values, places);
            let ability = irt.ability(places, values, ends.prior(candidate));
            let mut all: Vec<f64> = irt.expected(ability).collect();
            for (place, value) in places.iter().zip(values) {
                all[*place] = *value;
            }
            (*weight, all)
        };
        let benchmarks = asked.0.iter().map(|(weight, values)| (weight, values));
        Some(Scores(benchmarks.zip(&self.anchors.asked).zip(models).map(one).collect()))
    }

    /// How far both ways are off for a candidate whose values of all items are known.
    fn off(&self, candidate: &Candidate, truth: &Scores) -> Off {
        let asked = self.anchors.taken(truth);
        let anchors = self.anchors.whole(&asked);
        let models = self.by_models(candidate, &asked).unwrap_or_else(|| anchors.clone());
        let mean = |scores: &Scores, k: usize| Scores(vec![scores.0[k].clone()]).fitness().value;
        let means = (0..truth.0.len())
            .map(|k| (mean(&anchors, k) - mean(truth, k), mean(&models, k) - mean(truth, k)))
            .collect();
        let value = truth.fitness().value;
        Off { means, whole: (anchors.fitness().value - value, models.fitness().value - value) }
    }
}

fn mixed((anchors, models): (f64, f64), share: f64) -> f64 {
    share * anchors + (1.0 - share) * models
}

/// The anchors' share that leaves the least mean square over candidates and benchmarks. tinyBenchmarks (gp-IRT) derives it from a
/// variance and a bias that it guesses from other data; here both errors have been measured.
fn share<'o>(off: impl Iterator<Item = &'o Off>) -> f64 {
    let (mut product, mut square) = (0.0, 0.0);
    for (anchors, models) in off.flat_map(|off| &off.means) {
        product += models * (models - anchors);
        square += (models - anchors).powi(2);
    }
    if square > 0.0 { (product / square).clamp(0.0, 1.0) } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::merge::{Direction, DirectionLaw};
    use crate::random::Stream;
    use crate::units::Scale;

    const ITEMS: u64 = 600;

    /// A merge of two models in a world of items with two parameters. It is somewhat better than its models together.
    fn merge(lambda: f64, luck: u64) -> (Candidate, Scores) {
        let direction = Direction::new(vec![lambda, 1.0 - lambda]).unwrap();
        let law = DirectionLaw::Fixed { weights: direction.clone() };
        let candidate = Candidate { law, direction, scale: Scale::new(1.0).unwrap() };
        let ability = 2.4 * lambda - 1.2 + 0.5 * lambda * (1.0 - lambda);
        let right = |item| {
            let mut stream = Stream::new(0, "item", item);
            let (a, b) = (1.0 + 2.0 * stream.unit(), 5.0 * (stream.unit() - 0.4));
            let chance = 1.0 / (1.0 + (b - a * ability).exp());
            f64::from(u8::from(Stream::new(luck, "luck", item).unit() < chance))
        };
        (candidate, Scores(vec![(1.0, (0..ITEMS).map(right).collect())]))
    }

    fn rms(errors: &[f64]) -> f64 {
        (errors.iter().map(|e| e * e).sum::<f64>() / errors.len() as f64).sqrt()
    }

    /// Errors of both estimators for candidates that are new, of as many random items, and what both say that they are off by.
    fn errors(count: usize) -> [f64; 5] {
        let known: Vec<(Candidate, Scores)> =
            (0..9).map(|i| merge(f64::from(i) / 8.0, 100 + i as u64)).collect();
        let full: Vec<(&Candidate, &Scores)> =
            known.iter().map(|(candidate, scores)| (candidate, scores)).collect();
        let mut all: [Vec<f64>; 5] = Default::default();
        for choice in 0..6 {
            for (way, estimator) in [Estimator::Anchors, Estimator::Irt].into_iter().enumerate() {
                let reduction = Reduction::new(&full, count, estimator, choice);
                assert_eq!(reduction.count(), count);
                all[3 + way].push(reduction.error());
                for seed in 0..40 {
                    let (candidate, scores) = merge(0.0125 + 0.025 * seed as f64, 1000 + seed);
                    let estimate = reduction.whole(&candidate, &reduction.anchors.taken(&scores));
                    for (place, value) in reduction.asked()[0].iter().map(|i| (*i, scores.0[0].1[*i])) {
                        assert_eq!(estimate.0[0].1[place], value, "what was asked is known");
                    }
                    all[way].push(estimate.fitness().value - scores.fitness().value);
                }
            }
            for seed in 0..40 {
                let scores = merge(0.0125 + 0.025 * seed as f64, 1000 + seed).1;
                let order = Stream::new(40 * choice + seed, "chance", 0).permutation(ITEMS as usize);
                let some: f64 = order[..count].iter().map(|i| scores.0[0].1[*i]).sum::<f64>() / count as f64;
                all[2].push(some - scores.fitness().value);
            }
        }
        all.map(|errors| rms(&errors))
    }

    #[test]
    fn both_are_nearer_than_as_many_items_by_chance_and_their_errors_are_told() {
        for count in [15, 40] {
            let [anchors, irt, chance, told_anchors, told_irt] = errors(count);
            assert!(anchors < 0.9 * chance, "{count}: {anchors} {chance}");
            assert!(irt < 0.75 * chance && irt < 0.9 * anchors, "{count}: {irt} {anchors} {chance}");
            // What is told was measured on nine candidates, each without the help of one, and the ends without that of a model.
            for (told, error) in [(told_anchors, anchors), (told_irt, irt)] {
                assert!(told > 0.6 * error && told < 2.0 * error, "{count}: {told} {error}");
            }
        }
    }

    /// A candidate of some ability: an item is right if its hardness and some luck of its own are below that (a Rasch model).
    fn rasch(ability: f64, luck: u64) -> (Candidate, Scores) {
        let right = |item: u64| {
            let hard = 4.0 * Stream::new(0, "hardness", item).unit() - 2.0;
            let chance = 1.0 / (1.0 + (2.5 * (hard - ability)).exp());
            f64::from(u8::from(Stream::new(luck, "luck", item).unit() < chance))
        };
        (merge(0.5, 0).0, Scores(vec![(1.0, (0..ITEMS).map(right).collect())]))
    }

    #[test]
    fn anchors_are_nearer_than_as_many_items_by_chance_and_their_error_is_told() {
        let known: Vec<(Candidate, Scores)> =
            (0..9).map(|i| rasch(-1.2 + 0.3 * f64::from(i), 100 + i as u64)).collect();
        let full: Vec<(&Candidate, &Scores)> =
            known.iter().map(|(candidate, scores)| (candidate, scores)).collect();
        let (mut by_anchors, mut by_chance, mut told) = (Vec::new(), Vec::new(), Vec::new());
        for choice in 0..6 {
            let reduction = Reduction::new(&full, 40, Estimator::Anchors, choice);
            assert_eq!(reduction.count(), 40);
            told.push(reduction.error());
            for seed in 0..40 {
                let (candidate, new) = rasch(-1.0 + 0.05 * seed as f64, 1000 + seed);
                let truth = new.fitness().value;
                let estimate = reduction.whole(&candidate, &reduction.anchors.taken(&new));
                by_anchors.push(estimate.fitness().value - truth);
                let order = Stream::new(40 * choice + seed, "chance", 0).permutation(ITEMS as usize);
                let some: f64 = order[..40].iter().map(|i| new.0[0].1[*i]).sum::<f64>() / 40.0;
                by_chance.push(some - truth);
            }
        }
        let (ours, chance, told) = (rms(&by_anchors), rms(&by_chance), rms(&told));
        assert!(ours < 0.75 * chance, "{ours} {chance}");
        // What is told was measured on nine candidates, each without the help of one.
        assert!(told > 0.8 * ours && told < 1.6 * ours, "{told} {ours}");
    }

    #[test]
    fn the_share_of_the_anchors_is_what_their_errors_deserve() {
        let off = |anchors, models| Off { means: vec![(anchors, models)], whole: (anchors, models) };
        // The anchors are right, the models are, neither, and both are alike.
        assert_eq!(share([off(0.0, 0.2), off(0.0, -0.1)].iter()), 1.0);
        assert_eq!(share([off(0.3, 0.0)].iter()), 0.0);
        assert!((share([off(0.1, -0.1)].iter()) - 0.5).abs() < 1e-12);
        assert_eq!(share([off(0.1, 0.1)].iter()), 0.0);
    }
}
