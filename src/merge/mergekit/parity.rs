//! mergekit's own numbers: the reference cases (where they are at hand) and the small golden file in the clone.
//!
//! Each configuration goes the way that a file goes: YAML, layout, jobs, survey, view.
#![expect(clippy::print_stdout, reason = "one line of figures for each case")]

use super::Mergekit;
use crate::checkpoint::{CheckpointError, Companions, ModelConfig, TensorInfo, TensorSource};
use crate::dtype::DType;
use crate::event::Silent;
use crate::ids::TensorName;
use crate::merge::fixture::{Memory, Stored, Tensors, last_place, stored, under, weights};
use crate::merge::plan::{Opened, Plan};
use safetensors::SafeTensors;
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;

/// A model in memory, whose tensors are those of the config.
fn opened(name: &str, tensors: Tensors, config: &ModelConfig) -> Opened {
    let opened = unchecked(name, tensors, config);
    config.check(opened.weights.manifest()).unwrap();
    opened
}

/// A model in memory.
pub(super) fn unchecked(name: &str, tensors: Tensors, config: &ModelConfig) -> Opened {
    Opened {
        path: name.into(),
        companions: Companions {
            config: config.clone(),
            config_json: serde_json::Map::new(),
            tokenizer: Vec::new(),
            others: Vec::new(),
        },
        weights: Arc::new(Memory::new(tensors)),
    }
}

/// What makes a model of a name.
type Models<'a> = &'a dyn Fn(&str) -> Result<Opened, CheckpointError>;

/// The plan of a configuration for models in memory.
fn plan(config: &Value, models: Models<'_>) -> Result<Plan, String> {
    // JSON is YAML: what a file would say.
    let recipe = Mergekit::parse(&config.to_string(), Path::new("case.yml")).map_err(|e| e.to_string())?;
    recipe.plan_with(0, &Silent, models).map_err(|e| e.to_string())
}

/// Steps between neighbours of `dtype` that lie between two values.
fn steps(dtype: DType, a: f32, b: f32) -> u64 {
    let place = |x: f32| {
        let mut bytes = vec![0u8; dtype.size()];
        dtype.narrow(&[x], &mut bytes);
        let (bits, sign) = match dtype {
            DType::F32 => (i64::from(u32::from_le_bytes(bytes.try_into().unwrap())), 1i64 << 31),
            _ => (i64::from(u16::from_le_bytes(bytes.try_into().unwrap())), 1i64 << 15),
        };
        if bits >= sign { -(bits - sign) } else { bits }
    };
    if a.is_nan() && b.is_nan() { 0 } else { place(a).abs_diff(place(b)) }
}

/// How far a merge is from what mergekit wrote.
#[derive(Default)]
struct Distance {
    max_ulp: u64,
    /// The largest difference in units of the last place of the largest number that goes into the element: where a base
    /// and a delta cancel, one rounding more or less is many units of the small result.
    at_scale: f64,
    elements: usize,
    differing: usize,
    /// Where the largest is.
    at: String,
}

impl Distance {
    fn compare(plan: &Plan, want: &Tensors, inputs: &[Tensors]) -> Self {
        let view = plan.survey(None, &Silent).unwrap();
        assert_eq!(view.manifest().len(), want.len(), "another number of tensors");
        let mut found = Self::default();
        for (name, (info, want)) in want {
            let tensor = TensorName::from(name.as_str());
            assert_eq!(view.manifest().get(&tensor), Some(info), "{name}");
            let got = view.read_all(&tensor).unwrap();
            for (i, (a, b)) in got.iter().zip(want).enumerate() {
                let ulp = steps(info.dtype, *a, *b);
                let of = |t: &Tensors| t.get(name).and_then(|(_, v)| v.get(i)).map_or(0.0, |x| x.abs());
                let scale = inputs.iter().map(of).fold(b.abs(), f32::max);
                if ulp > 0 {
                    let step = last_place(info.dtype, scale);
                    found.at_scale = found.at_scale.max(f64::from((a - b).abs()) / step);
                }
                found.elements += 1;
                found.differing += usize::from(ulp > 0);
                if ulp > found.max_ulp {
                    found.max_ulp = ulp;
                    found.at = format!("{name}[{i}] {a} {b}");
                }
            }
        }
        found
    }

    fn line(&self, set: &str, id: &str, config: &Value) -> String {
        let line = json!({
            "set": set, "id": id, "max_ulp": self.max_ulp, "at_scale": self.at_scale, "elements": self.elements,
            "differing": self.differing, "at": self.at, "reason": self.reason(config),
        });
        format!("parity-json {line}")
    }

    /// Why it may be more than a unit of the last place.
    fn reason(&self, config: &Value) -> Option<&'static str> {
        match self.max_ulp {
            0 | 1 => None,
            _ if cuts(config) => Some(
                "which of equal magnitudes at the cut stay: the reference keeps those that an unstable sort leaves first, we \
                 keep the first ones",
            ),
            _ if sums(config) => Some(
                "a sine, an arc cosine or a quotient of sums that the reference rounds otherwise, where base and delta cancel",
            ),
            _ => None,
        }
    }
}

/// The config of the reference cases' Llamas, from the shapes of their tensors.
fn config_of(tensors: &Tensors) -> ModelConfig {
    let shape = |name: &str| &tensors[name].0.shape;
    let (embed, kv) = (shape("model.embed_tokens.weight"), shape("model.layers.0.self_attn.k_proj.weight"));
    let layers = tensors.keys().filter(|n| n.ends_with("q_proj.weight")).count();
    let head_dim = kv[0];
    let text = json!({
        "model_type": "llama", "hidden_size": embed[1], "vocab_size": embed[0], "num_hidden_layers": layers,
        "intermediate_size": shape("model.layers.0.mlp.up_proj.weight")[0], "head_dim": head_dim,
        "num_attention_heads": embed[1] / head_dim, "num_key_value_heads": 1,
    });
    ModelConfig::parse(&text.to_string(), Path::new("config.json")).unwrap()
}

/// Units of the last place, at the scale of the operands, that a merge may be away where a sum over the whole tensor enters
/// it: torch rounds sines and arc cosines otherwise than correctly.
const SUMMED: f64 = 8.0;
/// Share of the elements of a delta that lie exactly at a cut by magnitude, where mergekit keeps those that an unstable sort
/// leaves first and we keep the first ones.
const AT_THE_CUT: f64 = 0.02;

/// Whether a sum over whole tensors, rows or columns enters the result.
fn sums(config: &Value) -> bool {
    let method = config["merge_method"].as_str().unwrap();
    let rescales = match &config["parameters"]["rescale"] {
        Value::Bool(set) => *set,
        _ => matches!(method, "dare_ties" | "dare_linear" | "della" | "della_linear"),
    };
    rescales || matches!(method, "slerp" | "nuslerp" | "model_stock")
}

/// Whether magnitudes are cut.
fn cuts(config: &Value) -> bool {
    matches!(config["merge_method"].as_str().unwrap(), "ties" | "breadcrumbs" | "breadcrumbs_ties")
}

/// What is wrong with the distance of a case, if something is.
fn complaint(config: &Value, distance: &Distance) -> Option<String> {
    let close = if sums(config) { distance.at_scale <= SUMMED } else { distance.max_ulp <= 1 };
    let few = distance.differing as f64 <= AT_THE_CUT * distance.elements as f64;
    if close || (cuts(config) && few) { None } else { Some(distance.at.clone()) }
}

#[test]
fn reference_cases_are_mergekits_numbers() {
    let (Some(inputs), Some(outputs), Some(cases)) = (
        stored("mergekit_inputs.safetensors"),
        stored("mergekit_outputs.safetensors"),
        stored("mergekit_cases.json"),
    ) else {
        return;
    };
    let cases: Vec<Value> = serde_json::from_slice(&cases).unwrap();
    let inputs = weights(&SafeTensors::deserialize(&inputs).unwrap());
    let outputs = weights(&SafeTensors::deserialize(&outputs).unwrap());
    let (mut failed, mut unsupported) = (Vec::new(), Vec::new());
    for case in &cases {
        let (id, config) = (case["id"].as_str().unwrap(), &case["config"]);
        let tensors_of = |name: &str| {
            let (model, dtype) = name.split_once('_').unwrap();
            under(&inputs, &format!("{dtype}::{model}::"))
        };
        let model = |name: &str| {
            let tensors = tensors_of(name);
            let config = config_of(&tensors);
            Ok(opened(name, tensors, &config))
        };
        let mut plan = match plan(config, &model) {
            Ok(plan) => plan,
            Err(said) if said.contains("supported are") => {
                println!("parity-json {}", json!({"set": "merge/mergekit", "id": id, "unsupported": said}));
                unsupported.push(id.to_owned());
                continue;
            }
            Err(said) => {
                failed.push(format!("{id}: {said}"));
                continue;
            }
        };
        let names = names_of(config);
        plan.replace_draws(
            &|model, tensor| {
                let name = model.split('_').next().unwrap();
                let key = format!("draw/{name}/{}", tensor.as_str());
                // u < p becomes ⌊u·2³²⌋ < ⌈p·2³²⌉, the same for every u with 32 bits or fewer.
                let whole = |u: &f32| (f64::from(*u) * 2f64.powi(32)).floor() as u32;
                Arc::new(Stored(inputs[&key].1.iter().map(whole).collect()))
            },
            &names,
        );
        let all: Vec<Tensors> = names.iter().map(|n| tensors_of(n)).collect();
        let distance = Distance::compare(&plan, &under(&outputs, &format!("{id}::")), &all);
        println!("{}", distance.line("merge/mergekit", id, config));
        failed.extend(complaint(config, &distance).map(|at| format!("{id}: {at}")));
    }
    println!("{} cases, unsupported: {unsupported:?}", cases.len());
    assert!(failed.is_empty(), "{failed:#?}");
}

/// The models' names in the order of the plan's sources.
fn names_of(config: &Value) -> Vec<String> {
    let recipe = Mergekit::parse(&config.to_string(), Path::new("case.yml")).unwrap();
    super::layout::names(&recipe.config).unwrap().into_iter().map(|n| n.value).collect()
}

#[test]
fn golden_cases_are_mergekits_numbers() {
    let golden: Value = serde_json::from_str(include_str!(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/golden/merge_mergekit.json"
    )))
    .unwrap();
    let config = ModelConfig::parse(&golden["config"].to_string(), Path::new("config.json")).unwrap();
    let floats = |v: &Value| -> Vec<f32> {
        v.as_array().unwrap().iter().map(|x| x.as_f64().map_or(f32::NAN, |x| x as f32)).collect()
    };
    let tensors_of = |name: &str| -> Tensors {
        let tensors = golden["models"][name].as_object().unwrap().iter().map(|(n, v)| {
            let shape = golden["shapes"][n].as_array().unwrap();
            let shape = shape.iter().map(|x| x.as_u64().unwrap() as usize).collect();
            (n.clone(), (TensorInfo { dtype: DType::F32, shape }, floats(v)))
        });
        tensors.collect()
    };
    let model = |name: &str| Ok(opened(name, tensors_of(name), &config));
    let all: Vec<Tensors> = ["base", "a", "b", "c"].map(tensors_of).into();
    let mut failed = Vec::new();
    for case in golden["cases"].as_array().unwrap() {
        let id = case["id"].as_str().unwrap();
        let plan = match plan(&case["config"], &model) {
            Ok(plan) => plan,
            Err(said) => {
                failed.push(format!("{id}: {said}"));
                continue;
            }
        };
        let want: Tensors = case["tensors"]
            .as_object()
            .unwrap()
            .iter()
            .map(|(n, t)| {
                let dtype: DType = serde_json::from_value(t["dtype"].clone()).unwrap();
                let info = plan.info(n).unwrap_or_else(|| panic!("{id}: no {n}"));
                assert_eq!(info.dtype, dtype, "{id}: {n}");
                (n.clone(), (info, floats(&t["values"])))
            })
            .collect();
        let distance = Distance::compare(&plan, &want, &all);
        println!("{}", distance.line("golden/mergekit", id, &case["config"]));
        failed.extend(complaint(&case["config"], &distance).map(|at| format!("{id}: {at}")));
    }
    assert!(failed.is_empty(), "{failed:#?}");
}
