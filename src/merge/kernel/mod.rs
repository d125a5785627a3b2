//! The arithmetic of a merge on one aligned slice of every model.
//!
//! - `average`: Σ c_k·θ_k
//! - `task_arithmetic`: θ_pre + Σ c_k·δ_k

mod average;
mod task_arithmetic;

pub(super) use average::Average;
pub(super) use task_arithmetic::TaskArithmetic;

/// Pure elementwise arithmetic: `out[i]` depends on `base[i]` and `models[*][i]` only, so chunking and thread count
/// cannot change a bit.
pub(super) trait Kernel: Send + Sync {
    /// All slices have the same length; `base` is empty for a kernel that needs none.
    fn blend(&self, base: &[f32], models: &[&[f32]], out: &mut [f32]);
}
