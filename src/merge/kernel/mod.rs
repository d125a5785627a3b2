//! The arithmetic of a merge on one aligned slice of every model.
//!
//! - `average`: Σ c_k·θ_k
//! - `task_arithmetic`: θ_pre + Σ c_k·δ_k

mod average;
mod task_arithmetic;

pub(super) use average::Average;
pub(super) use task_arithmetic::TaskArithmetic;

/// Elements whose sums are held on the stack at a time.
const BLOCK: usize = 512;

/// Pure elementwise arithmetic: `out[i]` depends on `base[i]` and `models[*][i]` only, so chunking and thread count
/// cannot change a bit.
///
/// Arithmetic is in f64 and rounds to f32 once, at the end: the result is the exact value of the formula, rounded, so two
/// ways of writing one merge (an average, and task arithmetic at s = 1) give the same numbers.
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
        lam: Option<f64>,
        scaling: Option<f64>,
        weight_mask_rate: Option<f64>,
        exclude: Option<Vec<String>>,
        raises: Option<String>,
    }

    fn values(set: &SafeTensors<'_>, name: &str) -> Option<Vec<f32>> {
        let tensor = set.tensor(name).ok()?;
        Some(tensor.data().chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect())
    }

    /// The terms c_k·δ_k of element `i`.
    fn deltas_of(
        models: &[Vec<f32>],
        coefficients: &[f64],
        base: f32,
        i: usize,
    ) -> impl Iterator<Item = f64> {
        models.iter().zip(coefficients).map(move |(m, c)| c * (f64::from(m[i]) - f64::from(base)))
    }

    /// Distance in units of the last place of `magnitude`.
    fn ulps(got: f32, want: f32, magnitude: f32) -> f32 {
        let ulp = f32::from_bits(magnitude.abs().max(f32::MIN_POSITIVE).to_bits() + 1)
            - magnitude.abs().max(f32::MIN_POSITIVE);
        (got - want).abs() / ulp
    }

    /// How far the paper's program may be from the exact value. It works in f32, and each of its two to four operations
    /// rounds by half a unit in the last place of something no larger than the sum of all terms' absolute values.
    const PROGRAM: f32 = 2.0;

    /// Replays the paper's program (stored outputs) where a folder of reference data is given: ours is the exact value of
    /// its formula, its own is within its own rounding of that.
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
            let coefficients: Vec<f64> = match (case.mixup, case.method.as_str()) {
                (true, _) => vec![scale * lambda, scale * (1.0 - lambda)],
                (false, "average_merging") => vec![1.0 / case.n_models as f64; case.n_models],
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
                    let terms: f64 = deltas_of(&models, &coefficients, base[i], i).map(f64::abs).sum();
                    let magnitude = (f64::from(base[i].abs()) + terms) as f32;
                    let sum: f64 = deltas_of(&models, &coefficients, base[i], i).sum();
                    let exact = (f64::from(base[i]) + sum) as f32;
                    let program = ulps(want[i], exact, magnitude);
                    assert_eq!(got[i].to_bits(), exact.to_bits(), "{} {name}[{i}]", case.id);
                    assert!(program <= PROGRAM, "{} {name}[{i}]: {program} ulp", case.id);
                    compared += 1;
                }
            }
        }
        assert!(compared > 10_000, "only {compared} numbers were compared");
    }
}
