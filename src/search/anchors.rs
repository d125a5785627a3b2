//! A few items that stand for all of them: the anchor points of tinyBenchmarks (Maia Polo et al. 2024), which MERGE³ (Mencattini
//! et al. 2025) uses to search merges. Items that all candidates so far answer alike are expected to be answered alike by the next.

use super::Scores;
use crate::random::Stream;
use serde::{Deserialize, Serialize};

/// Anchors to a cluster, on average. With one to each, some stand for many items and others for few, and the estimate is no better
/// than that of random items; with many, what tells items apart is lost.
const TO_A_CLUSTER: usize = 3;
/// Rounds of k-means, which settles long before.
const ROUNDS: usize = 50;

/// Which items are asked, and which one stands for each.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Anchors {
    /// For each benchmark the places of its anchors among the items, rising.
    pub(super) asked: Vec<Vec<usize>>,
    /// For each benchmark and each of its items the place of its anchor in `asked`.
    stands_for: Vec<Vec<usize>>,
}

impl Anchors {
    /// Chooses at most `count` items of each benchmark by candidates that were measured in full.
    pub(super) fn of(full: &[&Scores], count: usize, seed: u64) -> Self {
        let benchmarks = full.first().map_or(0, |scores| scores.0.len());
        let (mut asked, mut stands_for) = (Vec::new(), Vec::new());
        for benchmark in 0..benchmarks {
            let items = full[0].0[benchmark].1.len();
            let answers: Vec<Vec<f64>> = (0..items)
                .map(|item| full.iter().map(|scores| scores.0[benchmark].1[item]).collect())
                .collect();
            let (anchors, places) =
                cluster(&answers, count, &mut Stream::new(seed, "anchors", benchmark as u64));
            asked.push(anchors);
            stands_for.push(places);
        }
        Self { asked, stands_for }
    }

    /// The anchors' part of scores on all items.
    pub(super) fn taken(&self, whole: &Scores) -> Scores {
        let take = |((weight, values), asked): (&(f64, Vec<f64>), &Vec<usize>)| {
            (*weight, asked.iter().map(|item| values[*item]).collect())
        };
        Scores(whole.0.iter().zip(&self.asked).map(take).collect())
    }

    /// Scores on all items, each one's that of its anchor.
    pub(super) fn whole(&self, anchors: &Scores) -> Scores {
        let spread = |((weight, values), places): (&(f64, Vec<f64>), &Vec<usize>)| {
            (*weight, places.iter().map(|place| values[*place]).collect())
        };
        Scores(anchors.0.iter().zip(&self.stands_for).map(spread).collect())
    }
}

/// k-means of rows (Lloyd 1982, begun as Arthur & Vassilvitskii 2007 do), and the rows that are nearest to each centre: places of
/// these rows, rising, and for each row the number of its own.
fn cluster(rows: &[Vec<f64>], count: usize, stream: &mut Stream) -> (Vec<usize>, Vec<usize>) {
    let count = count.min(rows.len());
    let apart = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>();
    let mut centres: Vec<Vec<f64>> = Vec::new();
    while centres.len() < count.div_ceil(TO_A_CLUSTER) {
        // As likely as it is far from the centres so far; equally likely where all are at one.
        let far =
            |row: &Vec<f64>| centres.iter().map(|c| apart(row, c)).fold(f64::INFINITY, f64::min).min(1e9);
        let weights: Vec<f64> = rows.iter().map(far).collect();
        let sum: f64 = weights.iter().sum();
        if sum <= 0.0 {
            break;
        }
        let mut left = stream.unit() * sum;
        let drawn = weights.iter().position(|w| {
            left -= w;
            left < 0.0
        });
        centres.push(rows[drawn.unwrap_or(rows.len() - 1)].clone());
    }
    let nearest = |row: &[f64], centres: &[Vec<f64>]| {
        let places = 0..centres.len();
        places.min_by(|a, b| apart(row, &centres[*a]).total_cmp(&apart(row, &centres[*b]))).unwrap_or(0)
    };
    let mut of: Vec<usize> = Vec::new();
    for _ in 0..ROUNDS {
        let now: Vec<usize> = rows.iter().map(|row| nearest(row, &centres)).collect();
        if now == of {
            break;
        }
        of = now;
        for (number, centre) in centres.iter_mut().enumerate() {
            let mine: Vec<&Vec<f64>> =
                rows.iter().zip(&of).filter(|(_, of)| **of == number).map(|(r, _)| r).collect();
            if !mine.is_empty() {
                for (k, value) in centre.iter_mut().enumerate() {
                    *value = mine.iter().map(|row| row[k]).sum::<f64>() / mine.len() as f64;
                }
            }
        }
    }
    share_out(rows, &of, &centres, count, stream)
}

/// The anchors of clusters: one for each, and what is left of `count` by size, so that all stand for nearly as many rows. The rows of a
/// cluster are dealt out among its anchors.
fn share_out(
    rows: &[Vec<f64>],
    of: &[usize],
    centres: &[Vec<f64>],
    count: usize,
    stream: &mut Stream,
) -> (Vec<usize>, Vec<usize>) {
    let apart = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>();
    let mut members: Vec<Vec<usize>> = vec![Vec::new(); centres.len()];
    for item in stream.permutation(rows.len()) {
        members[of[item]].push(item);
    }
    // In the order of their distance to the centre; of equal ones in a random order.
    for (mine, centre) in members.iter_mut().zip(centres) {
        mine.sort_by(|a, b| apart(&rows[*a], centre).total_cmp(&apart(&rows[*b], centre)));
    }
    members.retain(|mine| !mine.is_empty());
    let mut shares = vec![1; members.len()];
    for _ in members.len()..count {
        let load = |k: usize| members[k].len() as f64 / f64::from(shares[k]);
        if let Some(most) = (0..members.len()).max_by(|a, b| load(*a).total_cmp(&load(*b))) {
            shares[most] += 1;
        }
    }
    let mut anchor_of = vec![0; rows.len()];
    for (mine, share) in members.iter().zip(&shares) {
        let share = (*share as usize).min(mine.len());
        for (number, item) in mine.iter().enumerate() {
            anchor_of[*item] = mine[number % share];
        }
    }
    let mut asked: Vec<usize> = anchor_of.clone();
    asked.sort_unstable();
    asked.dedup();
    let places = anchor_of.iter().map(|item| asked.binary_search(item).unwrap_or(0)).collect();
    (asked, places)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_that_are_answered_alike_share_an_anchor() {
        let scores = |values: &[f64]| Scores(vec![(1.0, values.repeat(5))]);
        let (a, b) = (scores(&[1.0, 1.0, 0.0, 0.0, 1.0, 0.0]), scores(&[1.0, 0.0, 0.0, 1.0, 1.0, 0.0]));
        // Four clusters, as many as there are ways to answer.
        let anchors = Anchors::of(&[&a, &b], 12, 0);
        assert_eq!(anchors.asked[0].len(), 12);
        assert_eq!(anchors.whole(&anchors.taken(&a)), a);
        assert_eq!(anchors.whole(&anchors.taken(&b)), b);
        // With as many anchors as items every item is its own; with more too.
        assert_eq!(Anchors::of(&[&a, &b], 40, 0).asked, [(0..30).collect::<Vec<_>>()]);
        assert_eq!(Anchors::of(&[&a], 1, 0).asked[0].len(), 1);
    }
}
