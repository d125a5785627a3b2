//! CMA-ES: a normal law that moves to where candidates are good, and learns their shape (Hansen 2016, "The CMA Evolution
//! Strategy: A Tutorial"; equation numbers are its own). It minimises.

use crate::random::Stream;
use serde::{Deserialize, Serialize};
use std::f64::consts::PI;

/// A law of points in n dimensions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Evolution {
    mean: Vec<f64>,
    sigma: f64,
    /// C, row by row.
    shape: Vec<Vec<f64>>,
    path_sigma: Vec<f64>,
    path_shape: Vec<f64>,
    generation: u64,
    population: usize,
    seed: u64,
}

impl Evolution {
    /// A round law about `mean`. A population of 0 is the usual one, 4 + ⌊3·ln n⌋ (table 1).
    pub(super) fn new(mean: Vec<f64>, sigma: f64, population: usize, seed: u64) -> Self {
        let n = mean.len();
        let usual = 4 + (3.0 * (n as f64).ln()).floor() as usize;
        Self {
            shape: (0..n).map(|i| (0..n).map(|j| f64::from(u8::from(i == j))).collect()).collect(),
            path_sigma: vec![0.0; n],
            path_shape: vec![0.0; n],
            generation: 0,
            population: if population == 0 { usual } else { population },
            mean,
            sigma,
            seed,
        }
    }

    /// How far its points are apart: the largest standard deviation.
    pub(super) fn width(&self) -> f64 {
        let most = self.shape.iter().enumerate().map(|(i, row)| row[i]).fold(0.0, f64::max);
        self.sigma * most.sqrt()
    }

    /// The points of this generation, the same ones each time (equations 38 to 40).
    pub(super) fn sample(&self) -> Vec<Vec<f64>> {
        let (values, vectors) = eigen(&self.shape);
        let one = |number: u64| {
            let mut stream = Stream::new(self.seed, &format!("cma-es/{}", self.generation), number);
            let stretched: Vec<f64> =
                values.iter().map(|value| value.max(0.0).sqrt() * normal(&mut stream)).collect();
            let step = |i: usize| vectors[i].iter().zip(&stretched).map(|(v, z)| v * z).sum::<f64>();
            self.mean.iter().enumerate().map(|(i, mean)| mean + self.sigma * step(i)).collect()
        };
        (0..self.population as u64).map(one).collect()
    }

    /// Learns from a generation: its points, which may have been moved to where they are allowed, the best first.
    pub(super) fn learn(&mut self, ranked: &[Vec<f64>]) {
        let n = self.mean.len() as f64;
        let parents = (ranked.len() / 2).max(1);
        let raw: Vec<f64> =
            (1..=parents).map(|i| f64::midpoint(ranked.len() as f64, 1.0).ln() - (i as f64).ln()).collect();
        let sum: f64 = raw.iter().sum();
        let weights: Vec<f64> = raw.iter().map(|w| w / sum).collect();
        let effective = 1.0 / weights.iter().map(|w| w * w).sum::<f64>();
        // Table 1.
        let c_sigma = (effective + 2.0) / (n + effective + 5.0);
        let damping = 1.0 + 2.0 * (((effective - 1.0) / (n + 1.0)).sqrt() - 1.0).max(0.0) + c_sigma;
        let c_path = (4.0 + effective / n) / (n + 4.0 + 2.0 * effective / n);
        let c_one = 2.0 / ((n + 1.3).powi(2) + effective);
        let c_parents =
            (1.0 - c_one).min(2.0 * (effective - 2.0 + 1.0 / effective) / ((n + 2.0).powi(2) + effective));
        let usual_length = n.sqrt() * (1.0 - 1.0 / (4.0 * n) + 1.0 / (21.0 * n * n));

        let steps: Vec<Vec<f64>> = ranked[..parents]
            .iter()
            .map(|point| point.iter().zip(&self.mean).map(|(x, m)| (x - m) / self.sigma).collect())
            .collect();
        let mean_step: Vec<f64> = (0..self.mean.len())
            .map(|i| steps.iter().zip(&weights).map(|(step, w)| w * step[i]).sum())
            .collect();
        for (mean, step) in self.mean.iter_mut().zip(&mean_step) {
            *mean += self.sigma * step;
        }
        let (values, vectors) = eigen(&self.shape);
        // C^(-1/2)·⟨y⟩.
        let along: Vec<f64> = (0..values.len())
            .map(|k| {
                let part: f64 = mean_step.iter().enumerate().map(|(i, y)| vectors[i][k] * y).sum();
                part / values[k].max(1e-20).sqrt()
            })
            .collect();
        for (i, path) in self.path_sigma.iter_mut().enumerate() {
            let white: f64 = vectors[i].iter().zip(&along).map(|(v, a)| v * a).sum();
            *path = (1.0 - c_sigma) * *path + (c_sigma * (2.0 - c_sigma) * effective).sqrt() * white;
        }
        let length = self.path_sigma.iter().map(|p| p * p).sum::<f64>().sqrt();
        self.generation += 1;
        let settled = (1.0 - (1.0 - c_sigma).powf(2.0 * self.generation as f64)).sqrt();
        let moving = f64::from(u8::from(length / settled < (1.4 + 2.0 / (n + 1.0)) * usual_length));
        for (path, step) in self.path_shape.iter_mut().zip(&mean_step) {
            *path = (1.0 - c_path) * *path + moving * (c_path * (2.0 - c_path) * effective).sqrt() * step;
        }
        let lost = (1.0 - moving) * c_path * (2.0 - c_path);
        for i in 0..self.mean.len() {
            for j in 0..self.mean.len() {
                let parents: f64 = steps.iter().zip(&weights).map(|(step, w)| w * step[i] * step[j]).sum();
                let path = self.path_shape[i] * self.path_shape[j];
                let old = (1.0 + c_one * lost - c_one - c_parents) * self.shape[i][j];
                self.shape[i][j] = old + c_one * path + c_parents * parents;
            }
        }
        // A step longer than e in one generation would only be an accident.
        self.sigma *= (c_sigma / damping * (length / usual_length - 1.0)).min(1.0).exp();
    }
}

/// A number of the standard normal law (Box & Muller 1958).
fn normal(stream: &mut Stream) -> f64 {
    let (u, v) = (1.0 - stream.unit(), stream.unit());
    (-2.0 * u.ln()).sqrt() * (2.0 * PI * v).cos()
}

/// Eigenvalues of a symmetric matrix, and a matrix whose columns are the vectors, by Jacobi's rotations.
fn eigen(matrix: &[Vec<f64>]) -> (Vec<f64>, Vec<Vec<f64>>) {
    let n = matrix.len();
    let mut a = matrix.to_vec();
    let mut vectors: Vec<Vec<f64>> =
        (0..n).map(|i| (0..n).map(|j| f64::from(u8::from(i == j))).collect()).collect();
    for _ in 0..60 {
        let off: f64 = (0..n).flat_map(|i| (0..i).map(move |j| (i, j))).map(|(i, j)| a[i][j] * a[i][j]).sum();
        let on: f64 = (0..n).map(|i| a[i][i] * a[i][i]).sum();
        if off <= 1e-30 * on {
            break;
        }
        for p in 0..n {
            for q in p + 1..n {
                if a[p][q] == 0.0 {
                    continue;
                }
                // The angle that makes a[p][q] zero, the smaller of the two.
                let theta = (a[q][q] - a[p][p]) / (2.0 * a[p][q]);
                let tangent = theta.signum() / (theta.abs() + theta.hypot(1.0));
                let cosine = 1.0 / tangent.hypot(1.0);
                let sine = tangent * cosine;
                for row in &mut a {
                    let (x, y) = (row[p], row[q]);
                    (row[p], row[q]) = (cosine * x - sine * y, sine * x + cosine * y);
                }
                let (above, below) = a.split_at_mut(q);
                for (x, y) in above[p].iter_mut().zip(&mut below[0]) {
                    (*x, *y) = (cosine * *x - sine * *y, sine * *x + cosine * *y);
                }
                for row in &mut vectors {
                    let (x, y) = (row[p], row[q]);
                    (row[p], row[q]) = (cosine * x - sine * y, sine * x + cosine * y);
                }
            }
        }
    }
    ((0..n).map(|i| a[i][i]).collect(), vectors)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Evaluations until a function is below 1e-9, at most `most`.
    fn evaluations(f: impl Fn(&[f64]) -> f64, from: Vec<f64>, seed: u64, most: usize) -> usize {
        let mut law = Evolution::new(from, 0.5, 0, seed);
        let mut asked = 0;
        while asked < most {
            let mut points = law.sample();
            asked += points.len();
            points.sort_by(|a, b| f(a).total_cmp(&f(b)));
            if f(&points[0]) < 1e-9 {
                return asked;
            }
            law.learn(&points);
        }
        panic!("not below 1e-9 within {most} evaluations: {law:?}");
    }

    #[test]
    fn it_finds_the_minimum_of_the_sphere_and_of_a_thin_ellipsoid() {
        let sphere = |x: &[f64]| x.iter().map(|x| (x - 0.3).powi(2)).sum::<f64>();
        let thin = |x: &[f64]| x.iter().enumerate().map(|(i, x)| 1e6f64.powf(i as f64 / 4.0) * x * x).sum();
        for seed in 0..5 {
            assert!(evaluations(sphere, vec![1.0; 5], seed, 1000) > 50);
            assert!(evaluations(thin, vec![1.0; 5], seed, 5000) > 50);
            assert!(evaluations(sphere, vec![1.0], seed, 400) > 8);
        }
    }

    #[test]
    fn it_follows_the_bent_valley_of_rosenbrock() {
        let rosenbrock = |x: &[f64]| {
            x.windows(2).map(|w| 100.0 * (w[1] - w[0] * w[0]).powi(2) + (1.0 - w[0]).powi(2)).sum::<f64>()
        };
        // The four-dimensional function has a second minimum near (−1, 1, 1, 1), in which one run of some ends.
        for seed in 0..5 {
            evaluations(rosenbrock, vec![0.0; 4], seed, 6000);
        }
    }

    #[test]
    fn eigenvectors_make_the_matrix_again() {
        let matrix = vec![vec![4.0, 1.0, -2.0], vec![1.0, 3.0, 0.5], vec![-2.0, 0.5, 5.0]];
        let (values, vectors) = eigen(&matrix);
        for i in 0..3 {
            for j in 0..3 {
                let again: f64 = (0..3).map(|k| vectors[i][k] * values[k] * vectors[j][k]).sum();
                assert!((again - matrix[i][j]).abs() < 1e-12);
            }
        }
    }

    #[test]
    fn the_same_law_gives_the_same_points_also_after_it_was_written_down() {
        let mut law = Evolution::new(vec![0.5, 0.2], 0.3, 0, 7);
        law.learn(&law.sample());
        let again: Evolution = serde_json::from_str(&serde_json::to_string(&law).unwrap()).unwrap();
        assert_eq!(again, law);
        assert_eq!(again.sample(), law.sample());
        assert_ne!(Evolution { seed: 8, ..again }.sample(), law.sample());
    }
}
