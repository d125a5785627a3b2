//! Weighted average of weights (Wortsman et al. 2022, Model Soups): out = Σ c_k·θ_k.

use super::{BLOCK, Kernel};

/// Coefficients c_k.
pub(in crate::merge) struct Average(pub(in crate::merge) Vec<f64>);

impl Kernel for Average {
    fn blend(&self, _: &[f32], models: &[&[f32]], out: &mut [f32]) {
        let mut sums = [0.0f64; BLOCK];
        for (number, part) in out.chunks_mut(BLOCK).enumerate() {
            let sums = &mut sums[..part.len()];
            sums.fill(0.0);
            for (c, model) in self.0.iter().zip(models) {
                for (sum, m) in sums.iter_mut().zip(&model[number * BLOCK..]) {
                    *sum += c * f64::from(*m);
                }
            }
            for (o, sum) in part.iter_mut().zip(sums) {
                *o = *sum as f32;
            }
        }
    }
}
