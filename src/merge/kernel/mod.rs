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

#[cfg(test)]
mod tests {
    use super::*;
    use safetensors::SafeTensors;
    use serde::Deserialize;
    use std::path::PathBuf;

    /// One case of the paper's own program, with its λ fixed.
    #[derive(Deserialize)]
    struct Case {
        id: String,
        dtype: String,
        method: String,
        n_models: usize,
        #[serde(default)]
        mixup: bool,
        lam: Option<f32>,
        scaling: Option<f32>,
        weight_mask_rate: Option<f64>,
        exclude: Option<Vec<String>>,
        raises: Option<String>,
    }

    fn values(set: &SafeTensors<'_>, name: &str) -> Option<Vec<f32>> {
        let tensor = set.tensor(name).ok()?;
        Some(tensor.data().chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect())
    }

    /// Distance in units of the last place of `magnitude`.
    fn ulps(got: f32, want: f32, magnitude: f32) -> f32 {
        let ulp = f32::from_bits(magnitude.abs().max(f32::MIN_POSITIVE).to_bits() + 1)
            - magnitude.abs().max(f32::MIN_POSITIVE);
        (got - want).abs() / ulp
    }

    /// Furthest that ours may be from the exact value, in units of the last place of the largest operand (a sum can
    /// cancel): half a unit for the last addition, the rest for the roundings of the deltas, which are small.
    const OURS: f32 = 1.0;
    /// The same for the paper's program, which averages weights and not deltas. Of three models: the two sums round at up
    /// to twice and four times the size of an operand (3 half units), divided by 3, plus the division and this comparison.
    const PROGRAM: f32 = 2.0;

    /// Replays the paper's program (stored outputs) where a folder of reference data is given: both are the same formula,
    /// each within its own rounding of the exact value.
    #[test]
    fn equal_to_the_papers_program() {
        let Some(shared) = std::env::var_os("M3_SHARED").map(PathBuf::from) else { return };
        let folder = shared.join("parity/visible/merge");
        #[expect(clippy::disallowed_methods, reason = "a test reads its own reference data")]
        let read = |name: &str| std::fs::read(folder.join(name)).unwrap();
        let (inputs, outputs) = (read("paper_inputs.safetensors"), read("paper_outputs.safetensors"));
        let (inputs, outputs) =
            (SafeTensors::deserialize(&inputs).unwrap(), SafeTensors::deserialize(&outputs).unwrap());
        let cases: Vec<Case> = serde_json::from_slice(&read("paper_cases.json")).unwrap();
        let mut compared = 0;
        for case in &cases {
            let ours = ["average_merging", "task_arithmetic"].contains(&case.method.as_str());
            let plain = case.weight_mask_rate.is_none() && case.exclude.is_none() && case.raises.is_none();
            if !ours || !plain || case.dtype != "f32" || (case.mixup && case.n_models != 2) {
                continue;
            }
            let scale = case.scaling.unwrap_or(1.0);
            let lambda = case.lam.unwrap_or(1.0); // the program's α ≤ 0 means λ = 1
            let coefficients: Vec<f32> = match (case.mixup, case.method.as_str()) {
                (true, _) => vec![scale * lambda, scale * (1.0 - lambda)],
                (false, "average_merging") => vec![1.0 / case.n_models as f32; case.n_models],
                (false, _) => vec![scale; case.n_models],
            };
            let prefix = format!("{}::", case.id);
            for name in outputs.names().into_iter().filter_map(|n| n.strip_prefix(&prefix)) {
                let of = |model: &str| values(&inputs, &format!("f32::{model}::{name}")).unwrap();
                let base = of("base");
                let models: Vec<Vec<f32>> = (0..case.n_models).map(|i| of(&format!("model{i}"))).collect();
                let slices: Vec<&[f32]> = models.iter().map(Vec::as_slice).collect();
                let want = values(&outputs, &format!("{prefix}{name}")).unwrap();
                let mut got = vec![0.0; base.len()];
                TaskArithmetic(coefficients.clone()).blend(&base, &slices, &mut got);
                for i in 0..got.len() {
                    let magnitude = models.iter().map(|m| m[i].abs()).fold(base[i].abs(), f32::max);
                    let deltas = models.iter().zip(&coefficients);
                    let sum: f64 =
                        deltas.map(|(m, c)| f64::from(*c) * (f64::from(m[i]) - f64::from(base[i]))).sum();
                    let exact = (f64::from(base[i]) + sum) as f32;
                    let (ours, program) = (ulps(got[i], exact, magnitude), ulps(want[i], exact, magnitude));
                    assert!(
                        ours <= OURS && program <= PROGRAM,
                        "{} {name}[{i}]: ours {} ({ours} ulp), program {} ({program} ulp)",
                        case.id,
                        got[i],
                        want[i]
                    );
                    compared += 1;
                }
            }
        }
        assert!(compared > 10_000, "only {compared} numbers were compared");
    }
}
