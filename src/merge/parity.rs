//! Replays the paper's own program (stored inputs, masks and outputs) where a folder of reference data is given.

use super::arithmetic::Arithmetic;
use super::fixture::{Memory, Stored, Tensors, stored, ulps, under, weights};
use super::rule::{Blend, Divisor, Elect, Input, Job, Part, Rescale, Scope, Sources, Sparsify};
use super::survey::survey;
use super::view::MergedView;
use crate::checkpoint::{TensorInfo, TensorSource};
use crate::dtype::DType;
use crate::event::Silent;
use crate::ids::TensorName;
use crate::units::{Density, DropRate};
use safetensors::SafeTensors;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::Arc;

/// One line for scripts/parity.
fn report(set: &str, rows: usize, left_out: &[String], disagree: &[String], worst: &BTreeMap<String, f64>) {
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
const PLAIN: f64 = 1.0;
/// The same where the program rounds more often than we do: a masked model is rounded before it is merged, and in 16 bits
/// each operation rounds, where ours rounds once. The unit is that of the sum of all terms' absolute values.
const ROUNDED: f64 = 2.0;

#[test]
fn equal_to_the_papers_program() {
    let (Some(inputs), Some(outputs), Some(cases)) =
        (stored("paper_inputs.safetensors"), stored("paper_outputs.safetensors"), stored("paper_cases.json"))
    else {
        return;
    };
    let inputs = SafeTensors::deserialize(&inputs).unwrap();
    let models = weights(&inputs);
    let outputs = weights(&SafeTensors::deserialize(&outputs).unwrap());
    let cases: Vec<Case> = serde_json::from_slice(&cases).unwrap();
    let (mut left_out, mut disagree, mut worst, mut rows) = (Vec::new(), Vec::new(), BTreeMap::new(), 0);
    for case in &cases {
        if let Some(why) = case.left_out() {
            left_out.push(format!("{}: {why}", case.id));
            continue;
        }
        rows += 1;
        let want: Tensors = under(&outputs, &format!("{}::", case.id));
        let model = |name: &str| Memory::new(under(&models, &format!("{}::{name}::", case.dtype)));
        let mut sources: Sources = vec![Arc::new(model("base"))];
        sources.extend(
            (0..case.n_models).map(|k| Arc::new(model(&format!("model{k}"))) as Arc<dyn TensorSource>),
        );
        let job = |(name, (info, _)): (&String, &(TensorInfo, Vec<f32>))| {
            let name = TensorName::from(name.as_str());
            (name.clone(), job(case, &inputs, &name, info))
        };
        let jobs: BTreeMap<TensorName, Job> = want.iter().map(job).collect();
        let facts = survey(&sources, &jobs.values().collect::<Vec<_>>(), None, &Silent).unwrap();
        let tensors = jobs.into_iter().zip(facts).map(|((name, job), facts)| (name, (job, facts))).collect();
        let view = MergedView::new(sources.clone(), tensors);
        let plain = case.weight_mask_rate.is_none() && case.dtype == DType::F32;
        let mut most = 0.0f64;
        for (name, (_, want)) in &want {
            let name = TensorName::from(name.as_str());
            let all: Vec<Vec<f32>> = sources.iter().map(|s| s.read_all(&name).unwrap()).collect();
            for (i, (got, want)) in view.read_all(&name).unwrap().iter().zip(want).enumerate() {
                let magnitude = if plain { *want } else { case.terms(&all, i) };
                most = most.max(ulps(case.dtype, *got, *want, magnitude));
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
            // An element stays where the byte is 0.
            let mask = inputs.tensor(&format!("mask/r{rate}/m{k}/{}", name.as_str())).unwrap();
            let draws = mask.data().iter().map(|dropped| if *dropped == 0 { 0 } else { u32::MAX });
            *first = Some(Arc::new(Stored(draws.collect())));
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
