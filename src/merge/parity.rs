//! Replays the paper's own program (stored inputs, masks and outputs) where a folder of reference data is given.

use super::arithmetic::Arithmetic;
use super::rule::{Blend, Divisor, Elect, Input, Job, Part, Rescale, Scope, Sources, Sparsify};
use super::survey::survey;
use super::view::MergedView;
use crate::checkpoint::{CheckpointError, Manifest, Span, TensorInfo, TensorSource};
use crate::digest::Digest;
use crate::dtype::DType;
use crate::event::Silent;
use crate::ids::TensorName;
use crate::random::Draws;
use crate::units::{Density, DropRate};
use safetensors::SafeTensors;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

/// Where the stored cases are: a folder of its own, or the reference data of the tests.
pub(super) fn folder() -> Option<PathBuf> {
    let given = std::env::var_os("M3_PARITY").map(PathBuf::from);
    let shared = || std::env::var_os("M3_SHARED").map(|s| PathBuf::from(s).join("parity/visible"));
    given.or_else(shared).map(|f| f.join("merge"))
}

pub(super) fn read(name: &str) -> Option<Vec<u8>> {
    folder().map(|f| crate::files::read(&f.join(name)).unwrap())
}

/// Tensors in memory.
pub(super) struct Memory {
    manifest: Manifest,
    values: BTreeMap<TensorName, Vec<f32>>,
}

impl Memory {
    /// The tensors of `set` whose names begin with `prefix`, which is taken off.
    pub(super) fn new(set: &SafeTensors<'_>, prefix: &str) -> Self {
        let mut values = BTreeMap::new();
        let mut manifest = Vec::new();
        for name in set.names().into_iter().filter(|n| n.starts_with(prefix)) {
            let tensor = set.tensor(name).unwrap();
            let dtype = match tensor.dtype() {
                safetensors::Dtype::F32 => DType::F32,
                safetensors::Dtype::F16 => DType::F16,
                safetensors::Dtype::BF16 => DType::Bf16,
                _ => continue,
            };
            let mut widened = vec![0.0; tensor.shape().iter().product()];
            dtype.widen(tensor.data(), &mut widened);
            let short = TensorName::from(&name[prefix.len()..]);
            manifest.push((short.clone(), TensorInfo { shape: tensor.shape().to_vec(), dtype }));
            values.insert(short, widened);
        }
        Self { manifest: manifest.into_iter().collect(), values }
    }
}

impl TensorSource for Memory {
    fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    fn read(&self, name: &TensorName, span: Span, out: &mut [f32]) -> Result<(), CheckpointError> {
        out.copy_from_slice(&self.values[name][span.start..span.start + span.len]);
        Ok(())
    }

    fn digest(&self) -> Result<Digest, CheckpointError> {
        Ok(Digest::of_bytes(b"memory"))
    }
}

/// A stored decision for each element: stays where the byte is 0.
struct Stored(Vec<u8>);

impl Draws for Stored {
    fn fill(&self, start: u64, out: &mut [u32]) {
        for (u, dropped) in out.iter_mut().zip(&self.0[start as usize..]) {
            *u = if *dropped == 0 { 0 } else { u32::MAX };
        }
    }
}

/// Distance in units of the last place that `dtype` has at `magnitude`.
pub(super) fn ulps(got: f32, want: f32, magnitude: f32, dtype: DType) -> f32 {
    let bits = match dtype {
        DType::F32 => 23,
        DType::Bf16 => 7,
        DType::F16 => 10,
    };
    let smallest = if dtype == DType::F16 { 2f32.powi(-14) } else { f32::MIN_POSITIVE };
    let exponent = magnitude.abs().max(smallest).log2().floor() as i32;
    if got.is_nan() && want.is_nan() {
        return 0.0;
    }
    (got - want).abs() / 2f32.powi(exponent - bits)
}

/// One line for scripts/parity.
pub(super) fn report(
    set: &str,
    rows: usize,
    left_out: &[String],
    disagree: &[String],
    worst: &BTreeMap<String, f32>,
) {
    let ids: Vec<&str> = disagree.iter().filter_map(|d| d.split(':').next()).collect();
    let line = serde_json::json!({
        "set": set, "rows": rows, "agree": rows - disagree.len(), "disagree": ids, "details": disagree,
        "left_out": left_out.len(), "reasons": left_out, "max_ulp": worst,
    });
    // Libtest may have begun this line.
    #[expect(clippy::print_stdout, reason = "read by scripts/parity")]
    {
        println!("\nparity-json {line}");
    }
}

/// One case of the paper's own program, with its λ fixed.
#[derive(Clone, Deserialize)]
struct Case {
    id: String,
    dtype: DType,
    method: String,
    n_models: usize,
    #[serde(default)]
    mixup: bool,
    lam: Option<f64>,
    scaling: Option<f64>,
    mask_rate: Option<f64>,
    weight_mask_rate: Option<f64>,
    #[serde(default)]
    rescale: bool,
    strategy: Option<String>,
    weight_format: Option<String>,
    mask_apply_method: Option<String>,
    exclude: Option<Vec<String>>,
    raises: Option<String>,
}

impl Case {
    /// Why we have nothing to compare with.
    fn left_out(&self) -> Option<&'static str> {
        if self.raises.is_some() {
            Some("the program raises")
        } else if self.exclude.is_some() {
            Some("we have no list of tensors that stay the base's")
        } else if self.strategy.as_deref() == Some("magnitude") {
            Some(
                "its magnitude masking per tensor is not offered: trim does the same, keeping ties otherwise",
            )
        } else if self.weight_format.as_deref() == Some("finetuned_weight") {
            Some("we drop from deltas, never from weights")
        } else if self.mixup && self.n_models == 3 {
            Some("the program's mixup of three models ignores the third or adds it whole")
        } else {
            None
        }
    }

    fn method(&self) -> &str {
        self.mask_apply_method.as_deref().unwrap_or(&self.method)
    }

    fn weights(&self) -> Vec<f64> {
        let lambda = self.lam.unwrap_or(1.0); // the program's α ≤ 0 means λ = 1
        if self.mixup { vec![lambda, 1.0 - lambda] } else { vec![1.0; self.n_models] }
    }

    /// Σ of the absolute values of all terms of element `i`; `all` is the base, then the models.
    fn terms(&self, all: &[Vec<f32>], i: usize) -> f32 {
        let left = 1.0 - self.weight_mask_rate.filter(|r| *r < 1.0).unwrap_or(0.0);
        let factor = self.scaling.unwrap_or(1.0).max(1.0) / left;
        let base = f64::from(all[0][i]);
        let deltas =
            all[1..].iter().zip(self.weights()).map(|(m, w)| (w * factor * (f64::from(m[i]) - base)).abs());
        (base.abs() + deltas.sum::<f64>()) as f32
    }

    fn steps(&self) -> Vec<Sparsify> {
        let mut steps = Vec::new();
        match self.weight_mask_rate {
            Some(1.0) | None => {}
            Some(rate) => {
                let rescale = if self.rescale { Rescale::Inverse } else { Rescale::None };
                steps.push(Sparsify::Dare { drop: DropRate::new(rate).unwrap(), rescale, seed: 0 });
            }
        }
        if self.method() == "ties_merging" {
            // A mask rate of one keeps the largest magnitude of the model alone.
            let density = Density::new((1.0 - self.mask_rate.unwrap_or(0.5)).max(1e-9)).unwrap();
            steps.push(Sparsify::Trim { density, scope: Scope::Model, rescale: Rescale::None });
        }
        steps
    }

    fn blend(&self) -> Blend {
        let scale = self.scaling.unwrap_or(1.0);
        let masked = self.weight_mask_rate.is_some();
        match (self.method(), self.mixup) {
            ("average_merging", true) if masked => Blend::Deltas { divisor: Divisor::One, scale: 1.0 },
            ("average_merging", false) if masked => Blend::Deltas { divisor: Divisor::Weights, scale: 1.0 },
            ("average_merging", true) => Blend::Models { divisor: Divisor::One, fused: false },
            ("average_merging", false) => Blend::Models { divisor: Divisor::Weights, fused: false },
            ("task_arithmetic", _) => Blend::Deltas { divisor: Divisor::One, scale },
            _ => Blend::Consensus { elect: Elect::Plain, divisor: Divisor::Weights, scale },
        }
    }
}

/// The largest distance between our result and the program's in f32, in units of the last place of the result.
const PLAIN: f32 = 1.0;
/// The same where the program rounds more often than we do: a masked model is rounded before it is merged, and in 16 bits
/// each operation rounds, where ours rounds once. The unit is that of the sum of all terms' absolute values.
const ROUNDED: f32 = 2.0;

#[test]
fn equal_to_the_papers_program() {
    let (Some(inputs), Some(outputs), Some(cases)) =
        (read("paper_inputs.safetensors"), read("paper_outputs.safetensors"), read("paper_cases.json"))
    else {
        return;
    };
    let (inputs, outputs) =
        (SafeTensors::deserialize(&inputs).unwrap(), SafeTensors::deserialize(&outputs).unwrap());
    let cases: Vec<Case> = serde_json::from_slice(&cases).unwrap();
    let (mut left_out, mut disagree, mut worst, mut rows) = (Vec::new(), Vec::new(), BTreeMap::new(), 0);
    for case in &cases {
        if let Some(why) = case.left_out() {
            left_out.push(format!("{}: {why}", case.id));
            continue;
        }
        rows += 1;
        let want = Memory::new(&outputs, &format!("{}::", case.id));
        let model = |name: &str| Memory::new(&inputs, &format!("{}::{name}::", case.dtype));
        let mut sources: Sources = vec![Arc::new(model("base"))];
        sources.extend(
            (0..case.n_models).map(|k| Arc::new(model(&format!("model{k}"))) as Arc<dyn TensorSource>),
        );
        let jobs: BTreeMap<TensorName, Job> =
            want.manifest.iter().map(|(name, info)| (name.clone(), job(case, &inputs, name, info))).collect();
        let facts = survey(&sources, &jobs.values().collect::<Vec<_>>(), &Silent).unwrap();
        let tensors = jobs.into_iter().zip(facts).map(|((name, job), facts)| (name, (job, facts))).collect();
        let view = MergedView::new(sources.clone(), tensors);
        let plain = case.weight_mask_rate.is_none() && case.dtype == DType::F32;
        let mut most = 0.0f32;
        for (name, want) in &want.values {
            let all: Vec<Vec<f32>> = sources.iter().map(|s| s.read_all(name).unwrap()).collect();
            for (i, (got, want)) in view.read_all(name).unwrap().iter().zip(want).enumerate() {
                let magnitude = if plain { *want } else { case.terms(&all, i) };
                most = most.max(ulps(*got, *want, magnitude, case.dtype));
            }
        }
        let bound = if plain { PLAIN } else { ROUNDED };
        if most > bound {
            disagree.push(format!("{}: {most} ulp", case.id));
        }
        worst.insert(case.id.clone(), most);
    }
    report("merge/paper", rows, &left_out, &disagree, &worst);
    assert!(rows > 30, "only {rows} cases were compared");
    assert!(disagree.is_empty(), "{disagree:#?}");
}

fn job(case: &Case, inputs: &SafeTensors<'_>, name: &TensorName, info: &TensorInfo) -> Job {
    let parts = case.weights().into_iter().enumerate().map(|(k, weight)| {
        let input = Input { source: k + 1, tensor: name.clone() };
        let mut part = Part::new(input, weight, case.steps(), k);
        if let (Some(rate), Some(first)) =
            (case.weight_mask_rate.filter(|r| *r > 0.0 && *r < 1.0), part.draws.first_mut())
        {
            let stored = inputs.tensor(&format!("mask/r{rate}/m{k}/{}", name.as_str())).unwrap();
            *first = Some(Arc::new(Stored(stored.data().to_vec())));
        }
        part
    });
    let parts: Vec<Part> = parts.collect();
    // A drop rate of one leaves nothing of any delta.
    let parts = if case.weight_mask_rate == Some(1.0) { Vec::new() } else { parts };
    Job {
        info: info.clone(),
        base: Some(Input { source: 0, tensor: name.clone() }),
        parts,
        blend: case.blend(),
        // Of the 16-bit cases TIES must be computed in its type: which deltas are as large as the cut depends on it.
        arithmetic: match (case.dtype, case.method()) {
            (DType::F32, _) | (_, "ties_merging") => Arithmetic::In(case.dtype),
            _ => Arithmetic::Exact,
        },
        through: None,
    }
}
