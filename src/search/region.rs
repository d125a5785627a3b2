//! The points that a strategy may propose: directions and magnitudes, as coordinates and back.

use super::Candidate;
use super::irt::alone;
use crate::merge::{Direction, DirectionLaw};
use crate::random::Stream;
use crate::units::Scale;
use serde::{Deserialize, Serialize};

/// λ and s are proposed in steps of one in so many: finer ones no evaluation can tell apart, and a point that was measured is
/// met again.
const STEPS: f64 = 1000.0;

/// All directions over some models, at the magnitudes between two.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Region {
    models: usize,
    low: f64,
    high: f64,
}

/// A point of a region: proportions that are none negative and sum to one, and where s is between its bounds, in [0, 1].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Point {
    pub(super) weights: Vec<f64>,
    pub(super) height: f64,
}

impl Region {
    /// The region that spans these candidates.
    pub(super) fn around(candidates: &[Candidate]) -> Self {
        let scales = candidates.iter().map(|c| c.scale.get());
        Self {
            models: candidates.first().map_or(0, |c| c.direction.weights().len()),
            low: scales.clone().fold(f64::INFINITY, f64::min),
            high: scales.fold(f64::NEG_INFINITY, f64::max),
        }
    }

    /// So many candidates, each as far as can be from those before it (Gonzalez 1985): each model alone once, and then any.
    pub(super) fn spread(&self, candidates: &[Candidate], count: usize) -> Vec<usize> {
        let points: Vec<Point> = candidates.iter().map(|candidate| self.point(candidate)).collect();
        let apart = |a: usize, b: usize| {
            let (weights, height) = points[a].apart(&points[b]);
            weights + height
        };
        let mut chosen: Vec<usize> = Vec::new();
        while chosen.len() < count.min(candidates.len()) {
            let lonely = |i: &usize| {
                alone(&candidates[*i])
                    .is_some_and(|model| !chosen.iter().any(|c| alone(&candidates[*c]) == Some(model)))
            };
            let open: Vec<usize> = (0..candidates.len()).filter(|i| !chosen.contains(i)).collect();
            let ends: Vec<usize> = open.iter().copied().filter(lonely).collect();
            let far = |i: &usize| chosen.iter().map(|c| apart(*i, *c)).fold(f64::INFINITY, f64::min);
            // Of equally far ones the first.
            let next = if ends.is_empty() { open } else { ends };
            let Some(next) = next.into_iter().reduce(|best, i| if far(&i) > far(&best) { i } else { best })
            else {
                break;
            };
            chosen.push(next);
        }
        chosen
    }

    /// Numbers that can be chosen freely.
    pub(super) fn freedoms(&self) -> usize {
        self.models.saturating_sub(1) + usize::from(self.has_height())
    }

    fn has_height(&self) -> bool {
        self.high > self.low
    }

    /// Where a candidate is.
    pub(super) fn point(&self, candidate: &Candidate) -> Point {
        let height =
            if self.has_height() { (candidate.scale.get() - self.low) / (self.high - self.low) } else { 0.0 };
        Point { weights: candidate.direction.weights().to_vec(), height }
    }

    /// The candidate at a point, on the grid of [`STEPS`]: parts that were rounded down get what is missing, the largest rest
    /// first.
    pub(super) fn candidate(&self, point: &Point) -> Option<Candidate> {
        let exact: Vec<f64> = point.weights.iter().map(|w| w * STEPS).collect();
        let mut parts: Vec<f64> = exact.iter().map(|x| x.floor()).collect();
        let mut order: Vec<usize> = (0..parts.len()).collect();
        order.sort_by(|a, b| (exact[*b] - parts[*b]).total_cmp(&(exact[*a] - parts[*a])));
        let missing = STEPS - parts.iter().sum::<f64>();
        for &k in order.iter().take(missing.max(0.0).round() as usize) {
            parts[k] += 1.0;
        }
        let direction = Direction::new(parts.iter().map(|part| part / STEPS).collect()).ok()?;
        let s = self.low + point.height * (self.high - self.low);
        // Bounds are kept as they are, whatever their digits.
        let scale = Scale::new(((s * STEPS).round() / STEPS).clamp(self.low, self.high)).ok()?;
        Some(Candidate { law: DirectionLaw::Fixed { weights: direction.clone() }, direction, scale })
    }

    /// The free numbers of a point: all proportions but the last, and the height if there is one.
    pub(super) fn coordinates(&self, point: &Point) -> Vec<f64> {
        let mut all = point.weights[..self.models - 1].to_vec();
        all.extend(self.has_height().then_some(point.height));
        all
    }

    /// The nearest point to any numbers.
    pub(super) fn nearest(&self, coordinates: &[f64]) -> Point {
        let (free, rest) = coordinates.split_at(self.models - 1);
        let mut weights = free.to_vec();
        weights.push(1.0 - free.iter().sum::<f64>());
        Point { weights: onto_simplex(&weights), height: rest.first().map_or(0.0, |h| h.clamp(0.0, 1.0)) }
    }

    /// A random point; `sharp` above 1 prefers few models.
    pub(super) fn draw(&self, stream: &mut Stream, sharp: f64) -> Point {
        let raw: Vec<f64> = (0..self.models).map(|_| (-(1.0 - stream.unit()).ln()).powf(sharp)).collect();
        let sum: f64 = raw.iter().sum::<f64>().max(f64::MIN_POSITIVE);
        let height = if self.has_height() { stream.unit() } else { 0.0 };
        Point { weights: raw.iter().map(|x| x / sum).collect(), height }
    }

    /// A random point near another, at most a share `far` of the way to anywhere.
    pub(super) fn near(&self, point: &Point, far: f64, stream: &mut Stream) -> Point {
        let (elsewhere, share) = (self.draw(stream, 2.0), far * stream.unit());
        let weights = point
            .weights
            .iter()
            .zip(&elsewhere.weights)
            .map(|(a, b)| (1.0 - share) * a + share * b)
            .collect();
        let height = (point.height + far * (2.0 * stream.unit() - 1.0)).clamp(0.0, 1.0);
        Point { weights, height: if self.has_height() { height } else { 0.0 } }
    }
}

impl Point {
    /// Squared distances in λ, where two models alone are 1 apart, and in height.
    pub(super) fn apart(&self, other: &Self) -> (f64, f64) {
        let weights = self.weights.iter().zip(&other.weights).map(|(a, b)| (a - b).powi(2)).sum::<f64>();
        (weights / 2.0, (self.height - other.height).powi(2))
    }
}

/// The nearest point whose parts are none negative and sum to one (Held, Wolfe & Crowder 1974): a constant is taken from all
/// parts, and what falls below zero is cut.
fn onto_simplex(x: &[f64]) -> Vec<f64> {
    let mut sorted = x.to_vec();
    sorted.sort_by(|a, b| b.total_cmp(a));
    let (mut sum, mut cut) = (0.0, 0.0);
    for (k, part) in sorted.iter().enumerate() {
        sum += part;
        let here = (sum - 1.0) / (k + 1) as f64;
        if *part > here {
            cut = here;
        }
    }
    x.iter().map(|part| (part - cut).max(0.0)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn region() -> Region {
        Region { models: 3, low: 0.5, high: 2.0 }
    }

    #[test]
    fn the_nearest_point_of_the_simplex() {
        assert_eq!(onto_simplex(&[0.2, 0.3, 0.5]), [0.2, 0.3, 0.5]);
        assert_eq!(onto_simplex(&[2.0, 0.0, -1.0]), [1.0, 0.0, 0.0]);
        // By hand: 0.1 is taken from both of the first two.
        let near = onto_simplex(&[0.7, 0.5, -0.4]);
        assert!((near[0] - 0.6).abs() < 1e-12 && (near[1] - 0.4).abs() < 1e-12 && near[2] == 0.0, "{near:?}");
    }

    #[test]
    fn every_point_is_a_candidate_on_the_grid_and_the_same_one_again() {
        let region = region();
        let mut stream = Stream::new(1, "test", 0);
        for sharp in [1.0, 3.0] {
            for _ in 0..500 {
                let candidate = region.candidate(&region.draw(&mut stream, sharp)).unwrap();
                let again = region.candidate(&region.point(&candidate)).unwrap();
                assert_eq!(again, candidate);
                let whole = candidate.direction.weights().iter().all(|w| (w * STEPS).fract().abs() < 1e-9);
                assert!(whole && (0.5..=2.0).contains(&candidate.scale.get()), "{candidate:?}");
                let point = region.point(&candidate);
                let there = region.nearest(&region.coordinates(&point));
                assert!(there.apart(&point).0 < 1e-20 && there.apart(&point).1 < 1e-20);
            }
        }
    }
}
