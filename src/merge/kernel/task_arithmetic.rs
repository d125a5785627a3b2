//! Task arithmetic (Ilharco et al. 2023): out = θ_pre + Σ c_k·(θ_k − θ_pre), where c_k = s·λ_k under M³ (paper,
//! equation 2) and c_k = s in the plain sum.

use super::Kernel;

/// Coefficients c_k, as f32. Subtraction, product and sum each round to f32; deltas are summed in the models' order.
pub(in crate::merge) struct TaskArithmetic(pub(in crate::merge) Vec<f32>);

impl Kernel for TaskArithmetic {
    fn blend(&self, base: &[f32], models: &[&[f32]], out: &mut [f32]) {
        out.fill(0.0);
        for (c, model) in self.0.iter().zip(models) {
            for ((o, b), m) in out.iter_mut().zip(base).zip(*model) {
                *o += c * (m - b);
            }
        }
        for (o, b) in out.iter_mut().zip(base) {
            *o += b;
        }
    }
}
