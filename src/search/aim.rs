//! What makes a candidate good: a mean, the skill that suffers most, or no single figure at all.

use super::objective::{Fitness, Scores};
use crate::statistics::{Estimate, Z95, mean_of, paired_difference};
use serde::{Deserialize, Serialize};

/// Benchmarks that are one skill.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Skill {
    /// Its name.
    pub name: String,
    /// Places of its benchmarks in [`Scores`]; their weights count relative to each other.
    pub parts: Vec<usize>,
    /// The mean of the model that is best at it alone, in (0, 1]. Only [`Aim::WorstDrop`] needs it.
    pub best: f64,
}

/// What is sought.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Aim {
    /// The highest weighted mean of all benchmarks.
    #[default]
    Mean,
    /// The highest share that the skill that suffers most keeps of its best expert: max over candidates of min over skills of
    /// mean/best. 1 less that is the worst relative drop.
    WorstDrop(Vec<Skill>),
    /// Every candidate that no other one equals in all skills and betters in one.
    Pareto(Vec<Skill>),
}

impl Skill {
    /// Places and relative weights.
    fn weights(&self, scores: &Scores) -> Vec<(usize, f64)> {
        let sum: f64 = self.parts.iter().map(|part| scores.0[*part].0).sum();
        self.parts.iter().map(|part| (*part, scores.0[*part].0 / sum)).collect()
    }

    /// The mean of its benchmarks.
    pub fn mean(&self, scores: &Scores) -> Estimate {
        let parts: Vec<(f64, &[f64])> = self
            .weights(scores)
            .into_iter()
            .map(|(part, weight)| (weight, scores.0[part].1.as_slice()))
            .collect();
        mean_of(&parts)
    }
}

impl Aim {
    /// The skills, where the aim knows them.
    pub fn skills(&self) -> &[Skill] {
        match self {
            Self::Mean => &[],
            Self::WorstDrop(skills) | Self::Pareto(skills) => skills,
        }
    }

    /// How good a candidate is. For a front this is the weighted mean, which only says in what order it is told.
    pub fn fitness(&self, scores: &Scores) -> Fitness {
        match self {
            Self::Mean | Self::Pareto(_) => scores.fitness(),
            Self::WorstDrop(skills) => match worst(skills, scores) {
                Some((skill, kept)) => Fitness {
                    value: kept.value,
                    half_width: skill.mean(scores).half_width / skill.best,
                    items: scores.fitness().items,
                },
                None => scores.fitness(),
            },
        }
    }

    /// The same where a value between 0 and 1 is the chance that an item is right. Chances are nearer to each other than the
    /// answers will be, and each adds the variance p·(1 − p) of its own answer to that of the mean.
    pub fn fitness_of_chances(&self, scores: &Scores) -> Fitness {
        let of = |weights: &[(usize, f64)]| {
            let one = |(part, weight): &(usize, f64)| {
                let values = &scores.0[*part].1;
                let sum: f64 = values.iter().map(|p| p * (1.0 - p)).sum();
                (weight / values.len().max(1) as f64).powi(2) * sum
            };
            Z95 * weights.iter().map(one).sum::<f64>().sqrt()
        };
        let more = match self {
            Self::WorstDrop(skills) if !skills.is_empty() => {
                worst(skills, scores).map_or(0.0, |(skill, _)| of(&skill.weights(scores)) / skill.best)
            }
            _ => of(&scores.0.iter().enumerate().map(|(i, (weight, _))| (i, *weight)).collect::<Vec<_>>()),
        };
        let Fitness { value, half_width, items } = self.fitness(scores);
        Fitness { value, half_width: half_width.hypot(more), items }
    }

    /// How far one candidate is ahead of another on the same items. Of the worst drop the interval is that of the two skills
    /// that are worst: paired where it is the same one, else as for independent means.
    pub fn ahead(&self, a: &Scores, b: &Scores) -> Estimate {
        let Self::WorstDrop(skills) = self else { return a.ahead_of(b) };
        let (Some((in_a, of_a)), Some((in_b, of_b))) = (worst(skills, a), worst(skills, b)) else {
            return a.ahead_of(b);
        };
        let value = of_a.value - of_b.value;
        if in_a.name != in_b.name {
            return Estimate {
                value,
                half_width: of_a.half_width.hypot(of_b.half_width),
                n: of_a.n + of_b.n,
            };
        }
        let weights = in_a.weights(a);
        let parts: Vec<(f64, &[f64], &[f64])> = weights
            .iter()
            .map(|(part, weight)| (weight / in_a.best, a.0[*part].1.as_slice(), b.0[*part].1.as_slice()))
            .collect();
        paired_difference(&parts)
    }

    /// Which candidates no other one equals in all skills and betters in one. Candidates on fewer items than others are not asked
    /// about: `None` leaves one out.
    pub fn front(&self, all: &[Option<&Scores>]) -> Vec<usize> {
        let Self::Pareto(skills) = self else { return Vec::new() };
        let means: Vec<Option<Vec<f64>>> =
            all.iter().map(|s| s.map(|s| skills.iter().map(|skill| skill.mean(s).value).collect())).collect();
        let beaten = |mine: &[f64]| {
            means.iter().flatten().any(|other| {
                let at_least = other.iter().zip(mine).all(|(other, mine)| other >= mine);
                at_least && other.iter().zip(mine).any(|(other, mine)| other > mine)
            })
        };
        (0..all.len()).filter(|i| means[*i].as_ref().is_some_and(|mine| !beaten(mine))).collect()
    }

    /// One figure for each candidate, the higher the better, for a strategy that models one: the fitness, or for a front the
    /// augmented Chebyshev sum with weights that `draw` gives, other ones for each question (Knowles 2006, ParEGO).
    pub fn targets(&self, all: &[&Scores], mut draw: impl FnMut() -> f64) -> Vec<f64> {
        let Self::Pareto(skills) = self else { return all.iter().map(|s| self.fitness(s).value).collect() };
        let raw: Vec<f64> = skills.iter().map(|_| -(1.0 - draw()).ln()).collect();
        let sum: f64 = raw.iter().sum();
        let means: Vec<Vec<f64>> =
            all.iter().map(|s| skills.iter().map(|skill| skill.mean(s).value).collect()).collect();
        let range = |k: usize| {
            let of = means.iter().map(|m| m[k]);
            (of.clone().fold(f64::INFINITY, f64::min), of.fold(f64::NEG_INFINITY, f64::max))
        };
        let ranges: Vec<(f64, f64)> = (0..skills.len()).map(range).collect();
        let one = |mean: &Vec<f64>| {
            let short = |k: usize| {
                let (low, high) = ranges[k];
                raw[k] / sum * (high - mean[k]) / (high - low).max(1e-9)
            };
            let most = (0..skills.len()).map(short).fold(0.0, f64::max);
            -(most + 0.05 * (0..skills.len()).map(short).sum::<f64>())
        };
        means.iter().map(one).collect()
    }
}

/// The skill that keeps least of its best expert, with what it keeps.
fn worst<'s>(skills: &'s [Skill], scores: &Scores) -> Option<(&'s Skill, Estimate)> {
    let kept = |skill: &'s Skill| {
        let mean = skill.mean(scores);
        let kept =
            Estimate { value: mean.value / skill.best, half_width: mean.half_width / skill.best, n: mean.n };
        (skill, kept)
    };
    skills.iter().map(kept).min_by(|a, b| a.1.value.total_cmp(&b.1.value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn skill(name: &str, parts: &[usize], best: f64) -> Skill {
        Skill { name: name.into(), parts: parts.to_vec(), best }
    }

    /// Two benchmarks of one skill, one of another; each value is the share of ten items that are right.
    fn scores(right: [usize; 3]) -> Scores {
        let values = |n: usize| (0..10).map(|i| f64::from(u8::from(i < n))).collect();
        Scores([1.0, 1.0, 2.0].into_iter().zip(right).map(|(weight, n)| (weight, values(n))).collect())
    }

    #[test]
    fn the_worst_drop_is_that_of_the_skill_that_keeps_least_of_its_expert() {
        let aim = Aim::WorstDrop(vec![skill("a", &[0, 1], 0.8), skill("b", &[2], 0.5)]);
        // a keeps (0.6 + 0.8)/2 of 0.8, b keeps 0.3 of 0.5.
        let fitness = aim.fitness(&scores([6, 8, 3]));
        assert!((fitness.value - 0.6).abs() < 1e-12 && fitness.items == 30, "{fitness:?}");
        // b no longer limits.
        assert!((aim.fitness(&scores([6, 8, 9])).value - 0.875).abs() < 1e-12);
        let ahead = aim.ahead(&scores([6, 8, 9]), &scores([6, 8, 3]));
        assert!((ahead.value - 0.275).abs() < 1e-12 && ahead.half_width > 0.0);
        // The same skill limits both, on the same items: the interval is that of the pairs.
        let (near, far) =
            (aim.ahead(&scores([6, 8, 4]), &scores([6, 8, 3])), aim.fitness(&scores([6, 8, 4])));
        assert!((near.value - 0.2).abs() < 1e-12 && near.half_width < 1.3 * far.half_width);
    }

    #[test]
    fn the_front_holds_whoever_is_not_beaten_in_every_skill() {
        let aim = Aim::Pareto(vec![skill("a", &[0, 1], 1.0), skill("b", &[2], 1.0)]);
        let all =
            [scores([9, 9, 1]), scores([5, 5, 5]), scores([4, 5, 5]), scores([1, 1, 9]), scores([9, 9, 0])];
        let some: Vec<Option<&Scores>> = all.iter().map(Some).collect();
        assert_eq!(aim.front(&some), [0, 1, 3]);
        // Equal candidates do not beat each other, and one that was not measured in full is not asked about.
        assert_eq!(aim.front(&[Some(&all[1]), Some(&all[1]), None]), [0, 1]);
        assert!(Aim::Mean.front(&some).is_empty());
        // With weights near one skill alone, whoever is best at it has the highest figure.
        let all: Vec<&Scores> = all.iter().collect();
        let best = |draws: [f64; 2]| {
            let mut draws = draws.into_iter();
            let targets = aim.targets(&all, || draws.next().unwrap());
            (0..all.len()).max_by(|a, b| targets[*a].total_cmp(&targets[*b])).unwrap()
        };
        assert_eq!((best([1.0 - 1e-12, 1e-12]), best([1e-12, 1.0 - 1e-12])), (0, 3));
    }
}
