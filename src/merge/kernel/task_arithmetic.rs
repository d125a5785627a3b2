//! Task arithmetic (Ilharco et al. 2023): out = θ_pre + Σ c_k·(θ_k − θ_pre), where c_k = s·λ_k under M³ (paper,
//! equation 2) and c_k = s in the plain sum.

use super::{BLOCK, Kernel};

/// Coefficients c_k.
pub(in crate::merge) struct TaskArithmetic(pub(in crate::merge) Vec<f64>);

impl Kernel for TaskArithmetic {
    fn blend(&self, base: &[f32], models: &[&[f32]], out: &mut [f32]) {
        let mut sums = [0.0f64; BLOCK];
        for (number, part) in out.chunks_mut(BLOCK).enumerate() {
            let base = &base[number * BLOCK..][..part.len()];
            let sums = &mut sums[..part.len()];
            sums.fill(0.0);
            for (c, model) in self.0.iter().zip(models) {
                for ((sum, b), m) in sums.iter_mut().zip(base).zip(&model[number * BLOCK..]) {
                    *sum += c * (f64::from(*m) - f64::from(*b));
                }
            }
            for ((o, b), sum) in part.iter_mut().zip(base).zip(sums) {
                *o = (f64::from(*b) + *sum) as f32;
            }
        }
    }
}
