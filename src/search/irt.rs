//! Item response theory: how likely a candidate of some ability has an item right (Birnbaum 1968), as tinyBenchmarks (Maia Polo et
//! al. 2024) and MERGE³ (Mencattini et al. 2025) use it to tell answers that were not asked for.

use super::Candidate;
use serde::{Deserialize, Serialize};

/// Rounds of the fit, each one Newton step for all items and one for all candidates. It settles within a few dozen.
const ROUNDS: usize = 100;
/// Abilities are between these, and found by halving so often.
const ABILITIES: (f64, f64) = (-20.0, 20.0);
const HALVINGS: usize = 50;
/// Variances of parameters over items that the fit begins with, and those that they do not fall below.
const WIDE: f64 = 1.0;
const NARROW: f64 = 1e-3;

/// A model with two parameters to an item and one ability to a candidate: P(right) = σ(a·θ − b). Values between 0 and 1 count as
/// that share of a right answer (the fractional logit of Papke & Wooldridge 1996).
///
/// Fitted to the mode under normal priors, as tinyBenchmarks has them: θ ~ N(0, 1), and for a and b the mean and variance over the
/// items of this benchmark, by expectation maximisation with Laplace's approximation. The abilities are kept at mean 0 and variance 1.
/// Since the mean of b is free, the model expects as many right answers of the candidates it is fitted to as they gave.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Irt {
    items: Vec<Item>,
    /// Of the candidates that it is fitted to.
    pub(super) abilities: Vec<f64>,
}

/// An item: how well it tells abilities apart, and how hard it is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Item {
    a: f64,
    b: f64,
}

/// What is expected of an ability before an item is asked: a normal law.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Prior {
    pub(super) mean: f64,
    pub(super) variance: f64,
}

/// That of candidates of whom nothing is known.
const ANYBODY: Prior = Prior { mean: 0.0, variance: 1.0 };

impl Irt {
    /// Fits the model to the values of all items, candidate by candidate.
    pub(super) fn fit(candidates: &[&[f64]]) -> Self {
        let count = candidates.first().map_or(0, |values| values.len());
        let mut abilities = begin(candidates);
        let level = logit(share(candidates.iter().flat_map(|values| values.iter())));
        let mut items = vec![Item { a: 1.0, b: -level }; count];
        let (mut a, mut b) =
            (Prior { mean: 1.0, variance: WIDE }, Prior { mean: -level, variance: 4.0 * WIDE });
        for round in 0..ROUNDS {
            // A parameter moves no further: far from its optimum a logistic curve is too flat for Newton's method.
            let stride = 1.0 / (1.0 + round as f64 / 10.0);
            // Sums over the items, of a and b and of their squares with what these are uncertain by.
            let mut sums = [(0.0, 0.0); 2];
            for (number, item) in items.iter_mut().enumerate() {
                let answers =
                    abilities.iter().zip(candidates).map(|(theta, values)| (*theta, values[number]));
                let [var_a, var_b] = item.step(answers, a, b, stride);
                for (sum, (value, variance)) in sums.iter_mut().zip([(item.a, var_a), (item.b, var_b)]) {
                    *sum = (sum.0 + value, sum.1 + value * value + variance);
                }
            }
            for (prior, (sum, squares)) in [&mut a, &mut b].into_iter().zip(sums) {
                prior.mean = sum / count.max(1) as f64;
                prior.variance = (squares / count.max(1) as f64 - prior.mean.powi(2)).max(NARROW);
            }
            for (theta, values) in abilities.iter_mut().zip(candidates) {
                let (up, curved) = slope(*theta, items.iter().zip(values.iter().copied()), ANYBODY);
                *theta += (up / curved).clamp(-stride, stride);
            }
            // Else the scale would drift: the smaller all a, the less their prior takes, and a larger θ makes up for it.
            standardise(&mut abilities);
        }
        Self { items, abilities }
    }

    /// The likeliest ability of a candidate, given its values of some items.
    pub(super) fn ability(&self, asked: &[usize], values: &[f64], prior: Prior) -> f64 {
        let answers = || asked.iter().map(|item| &self.items[*item]).zip(values.iter().copied());
        // The logarithm of the posterior is concave, so that its slope has one zero.
        let (mut low, mut high) = ABILITIES;
        for _ in 0..HALVINGS {
            let middle = 0.5 * (low + high);
            let rises = slope(middle, answers(), prior).0 > 0.0;
            *(if rises { &mut low } else { &mut high }) = middle;
        }
        0.5 * (low + high)
    }

    /// What a candidate is expected to have on each item.
    pub(super) fn expected(&self, ability: f64) -> impl Iterator<Item = f64> + '_ {
        self.items.iter().map(move |item| item.chance(ability))
    }
}

impl Item {
    fn chance(&self, theta: f64) -> f64 {
        1.0 / (1.0 + (self.b - self.a * theta).exp())
    }

    /// One Newton step, given abilities and the values of their owners. Returns the variances of both parameters (Laplace).
    fn step(
        &mut self,
        answers: impl Iterator<Item = (f64, f64)>,
        a: Prior,
        b: Prior,
        stride: f64,
    ) -> [f64; 2] {
        let (mut up_a, mut up_b) = ((a.mean - self.a) / a.variance, (b.mean - self.b) / b.variance);
        let (mut aa, mut ab, mut bb) = (1.0 / a.variance, 0.0, 1.0 / b.variance);
        for (theta, value) in answers {
            let chance = self.chance(theta);
            let doubt = chance * (1.0 - chance);
            up_a += (value - chance) * theta;
            up_b -= value - chance;
            aa += doubt * theta * theta;
            ab -= doubt * theta;
            bb += doubt;
        }
        // Positive: both priors are in it.
        let determinant = aa * bb - ab * ab;
        let (move_a, move_b) = ((bb * up_a - ab * up_b) / determinant, (aa * up_b - ab * up_a) / determinant);
        let shorter = stride / move_a.abs().max(move_b.abs()).max(stride);
        self.a += shorter * move_a;
        self.b += shorter * move_b;
        [bb / determinant, aa / determinant]
    }
}

/// How the logarithm of the posterior of an ability rises, and how strongly that is curved.
fn slope<'i>(theta: f64, answers: impl Iterator<Item = (&'i Item, f64)>, prior: Prior) -> (f64, f64) {
    let (mut up, mut curved) = ((prior.mean - theta) / prior.variance, 1.0 / prior.variance);
    for (item, value) in answers {
        let chance = item.chance(theta);
        up += item.a * (value - chance);
        curved += item.a * item.a * chance * (1.0 - chance);
    }
    (up, curved)
}

/// Abilities to begin with: the logits of the means, on the scale of abilities.
fn begin(candidates: &[&[f64]]) -> Vec<f64> {
    let mut logits: Vec<f64> = candidates.iter().map(|values| logit(share(values.iter()))).collect();
    standardise(&mut logits);
    logits
}

/// Brings abilities to mean 0 and variance 1; equal ones to 0.
fn standardise(abilities: &mut [f64]) {
    let n = abilities.len().max(1) as f64;
    let mean = abilities.iter().sum::<f64>() / n;
    let spread = (abilities.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n).sqrt();
    for ability in abilities {
        *ability = if spread > 1e-6 { (*ability - mean) / spread } else { 0.0 };
    }
}

/// The share of right answers, half an answer away from none and all.
fn share<'v>(values: impl Iterator<Item = &'v f64>) -> f64 {
    let (sum, count) = values.fold((0.5, 1.0), |(sum, count), value| (sum + value, count + 1.0));
    sum / count
}

fn logit(share: f64) -> f64 {
    (share / (1.0 - share)).ln()
}

/// What the models alone let expect of a merge (MERGE³): the ability of a merge is near the sum of theirs, weighted by λ. A model's
/// ability at a magnitude lies between those at the magnitudes that were measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Ends {
    /// For each model its magnitudes, rising, each with the ability there.
    models: Vec<Vec<(f64, f64)>>,
    /// How far merges are off, as the mean square over those that were measured, with one of whom nothing is known.
    variance: f64,
}

impl Ends {
    /// Those of candidates with known abilities.
    pub(super) fn of(candidates: &[&Candidate], abilities: &[f64]) -> Self {
        let count = candidates.first().map_or(0, |c| c.direction.weights().len());
        let mut models = vec![Vec::new(); count];
        for (candidate, ability) in candidates.iter().zip(abilities) {
            if let Some(model) = alone(candidate) {
                models[model].push((candidate.scale.get(), *ability));
            }
        }
        for ends in &mut models {
            ends.sort_by(|a, b| a.0.total_cmp(&b.0));
        }
        let mut ends = Self { models, variance: ANYBODY.variance };
        let merges = candidates.iter().zip(abilities).filter(|(candidate, _)| alone(candidate).is_none());
        let off: Vec<f64> =
            merges.filter_map(|(c, ability)| Some((ability - ends.mean(c)?).powi(2))).collect();
        ends.variance = (ANYBODY.variance + off.iter().sum::<f64>()) / (1.0 + off.len() as f64);
        ends
    }

    /// The sum, if all of its models have been measured alone.
    fn mean(&self, candidate: &Candidate) -> Option<f64> {
        let parts = candidate.direction.weights().iter().zip(&self.models).filter(|(share, _)| **share > 0.0);
        parts.map(|(share, ends)| Some(share * between(ends, candidate.scale.get())?)).sum()
    }

    /// What is expected of a candidate; where a model of it was not measured alone, what is of anybody.
    pub(super) fn prior(&self, candidate: &Candidate) -> Prior {
        self.mean(candidate).map_or(ANYBODY, |mean| Prior { mean, variance: self.variance })
    }
}

/// The model that a candidate is, where it is one alone.
pub(super) fn alone(candidate: &Candidate) -> Option<usize> {
    candidate.direction.weights().iter().position(|share| *share == 1.0)
}

/// On the line through the nearest points below and above; beyond the last points as these are.
fn between(points: &[(f64, f64)], x: f64) -> Option<f64> {
    let above = points.iter().find(|(at, _)| *at >= x);
    let below = points.iter().rev().find(|(at, _)| *at <= x);
    match (below, above) {
        (Some((low, a)), Some((high, b))) if high > low => Some(a + (b - a) * (x - low) / (high - low)),
        (Some((_, value)), _) | (None, Some((_, value))) => Some(*value),
        (None, None) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::merge::{Direction, DirectionLaw};
    use crate::random::Stream;
    use crate::units::Scale;

    /// Items of a world with two parameters, and who has them right.
    fn world(items: u64) -> Vec<Item> {
        let item = |i| {
            let mut stream = Stream::new(7, "item", i);
            Item { a: 0.5 + 1.5 * stream.unit(), b: 4.0 * stream.unit() - 1.5 }
        };
        (0..items).map(item).collect()
    }

    fn answers(items: &[Item], theta: f64, seed: u64) -> Vec<f64> {
        let luck = |i: usize| Stream::new(seed, "luck", i as u64).unit();
        items.iter().enumerate().map(|(i, item)| f64::from(u8::from(luck(i) < item.chance(theta)))).collect()
    }

    fn correlation(x: &[f64], y: &[f64]) -> f64 {
        let mean = |v: &[f64]| v.iter().sum::<f64>() / v.len() as f64;
        let (mx, my) = (mean(x), mean(y));
        let product = |u: &[f64], mu: f64, v: &[f64], mv: f64| {
            u.iter().zip(v).map(|(a, b)| (a - mu) * (b - mv)).sum::<f64>()
        };
        product(x, mx, y, my) / (product(x, mx, x, mx) * product(y, my, y, my)).sqrt()
    }

    #[test]
    fn parameters_of_simulated_answers_are_found_again() {
        let items = world(300);
        // Sixty candidates with mean 0 and variance 1, so that the scale is the model's own.
        let abilities: Vec<f64> = (0..60).map(|j| 1.732 * (f64::from(j) / 29.5 - 1.0)).collect();
        let values: Vec<Vec<f64>> =
            abilities.iter().enumerate().map(|(j, theta)| answers(&items, *theta, j as u64)).collect();
        let rows: Vec<&[f64]> = values.iter().map(Vec::as_slice).collect();
        let fitted = Irt::fit(&rows);
        let column = |of: &[Item], f: fn(&Item) -> f64| of.iter().map(f).collect::<Vec<f64>>();
        assert!(correlation(&fitted.abilities, &abilities) > 0.98);
        assert!(correlation(&column(&fitted.items, |i| i.b), &column(&items, |i| i.b)) > 0.95);
        assert!(correlation(&column(&fitted.items, |i| i.a), &column(&items, |i| i.a)) > 0.6);
        let off = fitted.abilities.iter().zip(&abilities).map(|(a, b)| (a - b).powi(2)).sum::<f64>() / 60.0;
        assert!(off.sqrt() < 0.25, "{off}");
        // As many right answers are expected as there were.
        let expected: f64 = fitted.abilities.iter().flat_map(|theta| fitted.expected(*theta)).sum();
        let had: f64 = values.iter().flatten().sum();
        assert!((expected - had).abs() < 1e-3 * had, "{expected} {had}");
        // A newcomer is placed by a sixth of the items.
        let some: Vec<usize> = (0..300).step_by(6).collect();
        let errors = (0..40).map(|seed| {
            let theta = -1.5 + 0.075 * seed as f64;
            let all = answers(&items, theta, 1000 + seed);
            let values: Vec<f64> = some.iter().map(|item| all[*item]).collect();
            (fitted.ability(&some, &values, ANYBODY) - theta).powi(2)
        });
        let error = (errors.sum::<f64>() / 40.0).sqrt();
        assert!(error < 0.4, "{error}");
    }

    #[test]
    fn values_between_nothing_and_all_are_shares_of_a_right_answer() {
        let half = vec![0.5; 40];
        let (none, all) = (vec![0.0; 40], vec![1.0; 40]);
        let fitted = Irt::fit(&[&none, &half, &all]);
        let mean = |theta| fitted.expected(theta).sum::<f64>() / 40.0;
        assert!((mean(fitted.abilities[1]) - 0.5).abs() < 0.01, "{fitted:?}");
        assert!(fitted.abilities[0] < fitted.abilities[1] && fitted.abilities[1] < fitted.abilities[2]);
        // What all answer alike, and nothing at all, are fitted too.
        let same = Irt::fit(&[&none, &none, &none]);
        assert!(same.expected(0.0).all(|chance| chance < 0.02), "{same:?}");
        assert!(Irt::fit(&[&[], &[]]).abilities.iter().all(|theta| theta.is_finite()));
    }

    fn at(weights: &[f64], scale: f64) -> Candidate {
        let direction = Direction::new(weights.to_vec()).unwrap();
        let law = DirectionLaw::Fixed { weights: direction.clone() };
        Candidate { law, direction, scale: Scale::new(scale).unwrap() }
    }

    #[test]
    fn a_merge_is_expected_between_its_models() {
        let known = [at(&[1.0, 0.0], 1.0), at(&[0.0, 1.0], 1.0), at(&[0.0, 1.0], 2.0), at(&[0.5, 0.5], 1.0)];
        let known: Vec<&Candidate> = known.iter().collect();
        let ends = Ends::of(&known, &[1.0, -1.0, 0.0, 0.2]);
        let mean = |weights: &[f64], scale| ends.prior(&at(weights, scale)).mean;
        assert!((mean(&[0.75, 0.25], 1.0) - 0.5).abs() < 1e-12);
        // At s = 1.5 the second model is half way to 0; the first was measured at one magnitude only.
        assert!((mean(&[0.5, 0.5], 1.5) - 0.25).abs() < 1e-12);
        // One merge, 0.2 off: the mean of 1 and 0.04.
        assert!((ends.variance - 0.52).abs() < 1e-12);
        let without = Ends::of(&known[1..], &[-1.0, 0.0, 0.2]);
        assert_eq!(without.prior(&at(&[0.5, 0.5], 1.0)), ANYBODY);
        assert_eq!(without.prior(&at(&[0.0, 1.0], 9.0)).mean, 0.0);
    }
}
