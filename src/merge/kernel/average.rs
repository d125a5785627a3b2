//! Weighted average of weights (Wortsman et al. 2022, Model Soups): out = Σ c_k·θ_k, summed in the models' order.

use super::Kernel;

/// Coefficients c_k, as f32.
pub(in crate::merge) struct Average(pub(in crate::merge) Vec<f32>);

impl Kernel for Average {
    fn blend(&self, _: &[f32], models: &[&[f32]], out: &mut [f32]) {
        out.fill(0.0);
        for (c, model) in self.0.iter().zip(models) {
            for (o, m) in out.iter_mut().zip(*model) {
                *o += c * m;
            }
        }
    }
}
