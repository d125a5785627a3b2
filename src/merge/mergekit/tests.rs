//! What a configuration may not say, and what the layout makes of slices.

use super::Mergekit;
use super::parity::unchecked;
use crate::checkpoint::{ModelConfig, TensorInfo, TensorSource};
use crate::dtype::DType;
use crate::event::{Event, Observer, Silent};
use crate::ids::TensorName;
use crate::merge::fixture::Tensors;
use crate::merge::plan::{Opened, Plan};
use serde_json::json;
use std::path::Path;
use std::sync::Mutex;

/// A model of four layers whose elements are all `value`; `edit` may change names and shapes.
fn model(name: &str, value: f32, edit: impl Fn(&str, &mut Vec<usize>) -> bool) -> Opened {
    let config = json!({
        "model_type": "llama", "hidden_size": 4, "intermediate_size": 2, "vocab_size": 5, "num_hidden_layers": 4,
        "num_attention_heads": 2,
    });
    let config = ModelConfig::parse(&config.to_string(), Path::new("config.json")).unwrap();
    let mut tensors = Tensors::new();
    for (name, mut shape) in config.tensors() {
        if edit(name.as_str(), &mut shape) {
            let info = TensorInfo { dtype: DType::F32, shape };
            let values = vec![value; info.elements()];
            tensors.insert(name.as_str().to_owned(), (info, values));
        }
    }
    unchecked(name, tensors, &config)
}

fn whole(name: &str) -> Opened {
    let value = match name {
        "base" => 1.0,
        "a" => 2.0,
        _ => 4.0,
    };
    model(name, value, |_, _| true)
}

fn plan_with(yaml: &str, open: &dyn Fn(&str) -> Opened, watch: &dyn Observer) -> Result<Plan, String> {
    let recipe = Mergekit::parse(yaml, Path::new("merge.yml")).map_err(|e| e.to_string())?;
    recipe.plan_with(0, watch, |name| Ok(open(name))).map_err(|e| e.to_string())
}

fn refused(yaml: &str, parts: &[&str]) {
    let Err(said) = plan_with(yaml, &whole, &Silent) else { panic!("accepted:\n{yaml}") };
    assert!(said.contains("merge.yml"), "no file in: {said}");
    for part in parts {
        assert!(said.contains(part), "no `{part}` in: {said}\nfor\n{yaml}");
    }
}

const TWO: &str =
    "models:\n  - {model: a, parameters: {weight: 1}}\n  - {model: b, parameters: {weight: 1}}\n";

#[test]
fn an_unknown_key_is_an_error_at_every_level() {
    for (yaml, line) in [
        (format!("merge_method: linear\n{TWO}normalise: true\n"), "line 5 "),
        ("merge_method: linear\nmodels:\n  - model: a\n    weight: 1\n".to_owned(), "line 4 "),
        ("merge_method: linear\nslices:\n  - sources: []\n    layers: 1\n".to_owned(), "line 4 "),
        (
            "merge_method: linear\nslices:\n  - sources:\n      - model: a\n        layer_range: [0, 1]\n        range: 2\n"
                .to_owned(),
            "line 6 ",
        ),
        (
            "merge_method: linear\nslices:\n  - sources: [{model: a, layer_range: [0, 4]}]\n    residual_weight: 0.5\n"
                .to_owned(),
            "line 4 ",
        ),
        (format!("merge_method: linear\n{TWO}tokenizer:\n  sauce: union\n"), "line 6 "),
        (format!("merge_method: linear\n{TWO}tokenizer: {{tokens: {{x: {{forced: true}}}}}}\n"), "line 5 "),
        ("merge_method: linear\nmodules: {default: {model: a}}\n".to_owned(), "line 2 "),
    ] {
        refused(&yaml, &["unknown", line]);
    }
}

#[test]
fn an_unknown_parameter_is_an_error_in_every_scope() {
    for (yaml, key, line) in [
        (format!("merge_method: linear\n{TWO}parameters:\n  lambda: 2\n"), "`lambda`", "line 6"),
        ("merge_method: linear\nmodels:\n  - model: a\n    parameters:\n      wait: 1\n".to_owned(), "`wait`", "line 5"),
        (
            "merge_method: linear\nslices:\n  - sources: [{model: a, layer_range: [0, 4]}]\n    parameters: {gamma: 1}\n".to_owned(),
            "`gamma`",
            "line 4",
        ),
        (
            "merge_method: linear\nslices:\n  - sources:\n    - model: a\n      layer_range: [0, 4]\n      parameters: {mass: 1}\n".to_owned(),
            "`mass`",
            "line 6",
        ),
        (
            "merge_method: linear\nmodules:\n  default:\n    models: [{model: a}]\n    parameters: {rate: 1}\n".to_owned(),
            "`rate`",
            "line 5",
        ),
        (
            "merge_method: slerp\nbase_model: a\nmodels:\n  - model: b\n    parameters: {t: 0.5}\n".to_owned(),
            "`t` belongs to the whole merge",
            "line 5",
        ),
    ] {
        refused(&yaml, &[key, line]);
    }
}

#[test]
fn what_contradicts_itself_is_named() {
    let slices = "slices: [{sources: [{model: a, layer_range: [0, 4], parameters: {weight: 1}}]}]\n";
    let cases: [(String, &[&str]); 20] = [
        (format!("merge_method: linear\n{TWO}{slices}"), &["both `models` and `slices`"]),
        (format!("merge_method: linear\n{TWO}modules: {{default: {{}}}}\n"), &["beside `modules`"]),
        ("merge_method: linear\n".into(), &["neither"]),
        ("merge_method: linear\nmodules: {text: {models: [{model: a}]}}\n".into(), &["one module", "default"]),
        (format!("merge_method: sce\nbase_model: base\n{TWO}"), &["line 1", "`sce`", "dare_ties"]),
        (format!("merge_method: ties\n{TWO}"), &["`base_model`", "needs"]),
        ("merge_method: linear\nmodels: [{model: a}]\n".into(), &["`weight`", "is missing", "`a`"]),
        (
            "merge_method: linear\nmodels: [{model: a, parameters: {weight: [{filter: mlp, value: 1}]}}]\n".into(),
            &["`weight`", "model.embed_tokens.weight"],
        ),
        (format!("merge_method: slerp\nbase_model: a\n{TWO}").replace(", parameters: {weight: 1}", ""), &["`t`", "is missing"]),
        (format!("merge_method: linear\ndtype: int8\n{TWO}"), &["line 2", "`dtype`", "int8", "bfloat16"]),
        (format!("merge_method: linear\nout_dtype: float64\n{TWO}"), &["`out_dtype`", "float64"]),
        (slices.replace("4]", "5]") + "merge_method: linear\n", &["`layer_range`", "[0, 5]", "4 layers"]),
        (slices.replace("[0, 4]", "[2, 2]") + "merge_method: linear\n", &["[2, 2]", "no layer"]),
        (
            "merge_method: linear\nslices:\n  - sources:\n    - {model: a, layer_range: [0, 2]}\n    - {model: b, layer_range: [0, 3]}\n".into(),
            &["line 5", "[0, 3]", "not as long"],
        ),
        ("merge_method: linear\nmodels: [{model: a}, {model: a}]\n".into(), &["`a` takes part twice"]),
        ("merge_method: task_arithmetic\nbase_model: base\n".to_owned() + slices, &["base_model among the sources"]),
        ("merge_method: passthrough\nmodels: [{model: a}, {model: b}]\n".into(), &["exactly one model"]),
        (
            "merge_method: linear\nmodels:\n  - {model: a, parameters: {weight: 1}}\n  - {model: b, parameters: {weight: -1}}\n".into(),
            &["`weight`", "sums to 0"],
        ),
        (format!("merge_method: linear\n{TWO}tokenizer_source: c\n"), &["line 5", "`c`", "not one of the models"]),
        (format!("merge_method: linear\n{TWO}chat_template: chatml\n"), &["`chat_template`", "Jinja"]),
    ];
    for (yaml, parts) in cases {
        refused(&yaml, parts);
    }
    let weights = |value: &str| {
        format!("merge_method: linear\nmodels: [{{model: a, parameters: {{weight: {value}}}}}]\n")
    };
    refused(&weights("heavy"), &["`weight`", "`heavy`", "number"]);
    refused(&weights("[]"), &["empty list"]);
    refused(&weights("[[1, 2]]"), &["list inside a list"]);
    refused(&weights("[{filter: mlp}]"), &["value"]);
    refused(&weights("[{filter: mlp, value: 1, when: now}]"), &["when"]);
    let della = "merge_method: della\nbase_model: base\nmodels:\n  - model: a\n    parameters: {weight: 1, density: 0.9}\n";
    refused(della, &["`epsilon`", "0.15"]);
}

#[test]
fn a_base_of_a_slice_must_be_one_of_its_sources() {
    let slices = |base: &str, more: &str| {
        format!(
            "merge_method: task_arithmetic\n{more}slices:\n  - sources: [{{model: a, layer_range: [0, 4]}}, \
             {{model: b, layer_range: [0, 4]}}]\n    base_model: {base}\nparameters: {{weight: 1}}\n"
        )
    };
    refused(&slices("c", ""), &["line 4", "`base_model`", "`c`", "one of its sources"]);
    refused(&slices("a", "tokenizer_source: union\n"), &["line 5", "`base_model`", "`tokenizer_source`"]);
    let read = |yaml: &str| {
        let view = plan_with(yaml, &whole, &Silent).unwrap().survey(None, &Silent).unwrap();
        view.read_all(&TensorName::from("lm_head.weight")).unwrap()[0]
    };
    // 2 + (4 − 2) with a as the base; with b as the base 4 + (2 − 4).
    assert_eq!(read(&slices("a", "base_model: base\n")), 4.0);
    assert_eq!(read(&slices("b", "")), 2.0);
    let nuslerp = slices("a", "base_model: base\n").replace("    base_model: a\n", "");
    refused(&nuslerp.replace("task_arithmetic", "nuslerp"), &["`sources`", "base_model among the sources"]);
}

#[test]
fn what_would_take_all_memory_is_refused() {
    let yaml = format!("merge_method: linear\n{TWO}tokenizer: {{pad_to_multiple_of: NUMBER}}\n");
    for number in ["0", "65537", "18446744073709551615"] {
        refused(&yaml.replace("NUMBER", number), &["line 5", "`pad_to_multiple_of`", number]);
    }
}

#[test]
fn tensors_are_compared_before_any_work() {
    let yaml = format!("merge_method: linear\n{TWO}");
    let open = |name: &str| {
        model(name, 1.0, |tensor, shape| {
            if name == "b" && tensor.contains("up_proj") {
                shape[0] += 1;
            }
            true
        })
    };
    let said = plan_with(&yaml, &open, &Silent).err().unwrap();
    assert!(said.contains("model.layers.0.mlp.up_proj.weight") && said.contains("[3, 4]"), "{said}");
    let open = |name: &str| model(name, 1.0, |tensor, _| name == "a" || !tensor.contains("2.mlp.up_proj"));
    let said = plan_with(&yaml, &open, &Silent).err().unwrap();
    assert!(said.contains("`model.layers.2.mlp.up_proj.weight` is in `a` but not in `b`"), "{said}");
}

#[test]
fn slices_stack_layers() {
    let yaml = "merge_method: passthrough\nslices:\n  - sources: [{model: a, layer_range: [0, 3]}]\n  - sources: [{model: b, layer_range: [1, 4]}]\n";
    let plan = plan_with(yaml, &whole, &Silent).unwrap();
    assert_eq!(plan.companions().config.layers, 6);
    assert_eq!(plan.companions().config_json["num_hidden_layers"], 6);
    let view = plan.survey(None, &Silent).unwrap();
    let first = |name: &str| view.read_all(&TensorName::from(name)).unwrap()[0];
    assert_eq!(first("model.embed_tokens.weight"), 2.0);
    assert_eq!(first("model.layers.2.mlp.up_proj.weight"), 2.0);
    assert_eq!(first("model.layers.3.mlp.up_proj.weight"), 4.0);
    assert_eq!(first("lm_head.weight"), 4.0, "the head is the last slice's");
}

#[test]
fn gradients_run_over_the_layers() {
    let yaml = "merge_method: linear\nmodels:\n  - {model: a, parameters: {weight: [0, 1]}}\n  - {model: b, parameters: {weight: [1, 0]}}\n";
    let view = plan_with(yaml, &whole, &Silent).unwrap().survey(None, &Silent).unwrap();
    let first = |name: &str| view.read_all(&TensorName::from(name)).unwrap()[0];
    let layers: Vec<f32> = (0..4).map(|i| first(&format!("model.layers.{i}.mlp.up_proj.weight"))).collect();
    // Weights 0 1/3 2/3 1 of 2 against 1 2/3 1/3 0 of 4, rounded to f32 on the way.
    for (got, want) in layers.iter().zip([4.0, 10.0 / 3.0, 8.0 / 3.0, 2.0]) {
        assert!((got - want).abs() < 1e-6, "{layers:?}");
    }
    assert_eq!(first("lm_head.weight"), 4.0, "outside of the layers t is 0");
}

#[test]
fn a_parameter_of_the_base_is_said_to_be_idle() {
    #[derive(Default)]
    struct Warnings(Mutex<Vec<String>>);
    impl Observer for Warnings {
        fn observe(&self, event: &Event<'_>) {
            if let Event::Warning { text } = event {
                self.0.lock().unwrap().push((*text).to_owned());
            }
        }
    }
    let yaml = "merge_method: ties\nbase_model: base\nmodels:\n  - {model: base, parameters: {weight: 1}}\n  - {model: a, parameters: {weight: 1}}\n";
    let warnings = Warnings::default();
    plan_with(yaml, &whole, &warnings).unwrap();
    let said = warnings.0.lock().unwrap();
    assert!(said.len() == 1 && said[0].contains("`weight` of `base` has no effect"), "{said:?}");
}

#[test]
fn degenerate_shapes_pass_through_every_method() {
    // A vector, one row, one column and nothing at all: whatever the method, a merge of equal models is the model.
    let open = |name: &str| {
        model(name, 0.5, |tensor, shape| {
            if tensor.contains("up_proj") {
                *shape = vec![0, 4];
            }
            true
        })
    };
    for (method, more) in [
        ("linear", "{weight: 1}"),
        ("task_arithmetic", "{weight: 1}"),
        ("ties", "{weight: 1, density: 0.5}"),
        ("dare_ties", "{weight: 1, density: 0.5}"),
        ("della", "{weight: 1, density: 0.5}"),
        ("breadcrumbs", "{weight: 1, density: 0.5}"),
        ("nuslerp", "{weight: 1}"),
        ("model_stock", "{}"),
    ] {
        let yaml = format!(
            "merge_method: {method}\nbase_model: base\nmodels:\n  - {{model: a, parameters: {more}}}\n  - {{model: b, parameters: {more}}}\n"
        );
        let yaml = if method == "linear" { yaml.replace("base_model: base\n", "") } else { yaml };
        let view = plan_with(&yaml, &open, &Silent).unwrap().survey(None, &Silent).unwrap();
        for (name, _) in view.manifest().iter() {
            let read = view.read_all(name).unwrap();
            assert!(read.iter().all(|x| *x == 0.5), "{method} {name}: {read:?}");
        }
    }
}
