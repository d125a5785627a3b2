//! mergekit's YAML, unchanged, from file to folder; vocabularies that differ.

use crate::cli::Project;
use m3::checkpoint::{Folder, TensorSource};
use serde_json::Value;

fn open(project: &Project, name: &str) -> Folder {
    Folder::open(&project.path(name)).unwrap()
}

fn same_weights(a: &Folder, b: &Folder) {
    assert_eq!(a.manifest(), b.manifest());
    for (name, _) in a.manifest().iter() {
        assert_eq!(a.read_all(name).unwrap(), b.read_all(name).unwrap(), "{name}");
    }
}

const TIES: &str = "
models:
  - model: models/base
  - model: models/math
    parameters:
      density: [1, 0.7, 0.1] # a gradient over the layers
      weight: 1.0
  - model: models/code
    parameters:
      density: 0.5
      weight:
        - filter: mlp
          value: 0.5
        - value: 0.25
merge_method: ties
base_model: models/base
parameters:
  normalize: true
  int8_mask: true
dtype: bfloat16
";

#[test]
fn a_configuration_from_mergekits_examples_runs_as_it_is() {
    let project = Project::new();
    let config = project.write("ties.yml", TIES);
    project.m3(&["merge", config.to_str().unwrap(), "--out", "one"]).ok();
    project.m3(&["merge", config.to_str().unwrap(), "--out", "two", "--seed", "7"]).ok();
    let one = open(&project, "one");
    same_weights(&one, &open(&project, "two"));
    assert_eq!(one.manifest(), open(&project, "models/base").manifest());
    let record = std::fs::read_to_string(project.path("two/m3_recipe.json")).unwrap();
    let record: Value = serde_json::from_str(&record).unwrap();
    assert_eq!(record["made_from"]["mergekit"]["seed"], 7);
    assert_eq!(record["made_from"]["mergekit"]["text"], TIES);
    let said = project.m3(&["eval", "ties.yml", "--bench", "gsm8k", "--limit", "2", "--json"]).ok();
    assert!(said.contains("\"n\":2"), "{said}");
}

#[test]
fn random_methods_follow_the_seed() {
    let project = Project::new();
    let dare = TIES.replace("merge_method: ties", "merge_method: dare_linear");
    project.write("dare.yaml", &dare);
    for (out, seed) in [("a", "1"), ("b", "1"), ("c", "2")] {
        project.m3(&["merge", "dare.yaml", "--out", out, "--seed", seed]).ok();
    }
    let (a, b, c) = (open(&project, "a"), open(&project, "b"), open(&project, "c"));
    same_weights(&a, &b);
    assert_ne!(a.digest().unwrap(), c.digest().unwrap());
    let recipe = project.write("r.toml", &Project::recipe_text("uniform", ""));
    let said = project.m3(&["merge", recipe.to_str().unwrap(), "--out", "d", "--seed", "1"]).fails(1);
    assert!(said.contains("--seed"), "{said}");
}

#[test]
fn a_stack_of_layers_is_a_model() {
    let project = Project::new();
    let layers = open(&project, "models/math").companions().config.layers;
    let config = format!(
        "merge_method: passthrough\nslices:\n  - sources: [{{model: models/math, layer_range: [0, {layers}]}}]\n  \
         - sources: [{{model: models/code, layer_range: [1, {layers}]}}]\n"
    );
    project.write("stack.yml", &config);
    project.m3(&["merge", "stack.yml", "--out", "stack"]).ok();
    assert_eq!(open(&project, "stack").companions().config.layers, 2 * layers - 1);
    project.m3(&["generate", "stack", "1 + 1 =", "--max-tokens", "2"]).ok();
}

#[test]
fn mistakes_are_named_with_their_line() {
    let project = Project::new();
    for (from, to, parts) in [
        ("density: 0.5", "densety: 0.5", ["`densety`", "line 10"]),
        ("- model: models/code", "- model: models/cook", ["models/cook", "line 8"]),
        ("base_model: models/base", "base: models/base", ["unknown field `base`", "16"]),
        ("dtype: bfloat16", "dtype: q4_0", ["`dtype`", "line 20"]),
    ] {
        project.write("bad.yml", &TIES.replace(from, to));
        let said = project.m3(&["merge", "bad.yml", "--out", "out"]).fails(1);
        for part in parts.iter().chain(&["bad.yml"]) {
            assert!(said.contains(part), "no `{part}` in {said}");
        }
        assert!(!project.path("out").exists());
    }
}

/// Gives a model one more token and one more row.
pub(crate) fn add_token(project: &Project, model: &str, token: &str) {
    let folder = project.model(model);
    let read =
        |name: &str| -> Value { serde_json::from_slice(&std::fs::read(folder.join(name)).unwrap()).unwrap() };
    let write = |name: &str, value: &Value| std::fs::write(folder.join(name), value.to_string()).unwrap();
    let mut config = read("config.json");
    let rows = config["vocab_size"].as_u64().unwrap();
    config["vocab_size"] = (rows + 1).into();
    write("config.json", &config);
    let mut tokenizer = read("tokenizer.json");
    let mut added = tokenizer["added_tokens"][0].clone();
    added["id"] = rows.into();
    added["content"] = token.into();
    tokenizer["added_tokens"].as_array_mut().unwrap().push(added);
    write("tokenizer.json", &tokenizer);
    let path = folder.join("model.safetensors");
    let bytes = std::fs::read(&path).unwrap();
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let header: serde_json::Map<String, Value> = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
    let (mut new, mut data) = (serde_json::Map::new(), Vec::new());
    for (name, info) in header.iter().filter(|(name, _)| *name != "__metadata__") {
        let at = |i: usize| 8 + length + info["data_offsets"][i].as_u64().unwrap() as usize;
        let mut tensor = bytes[at(0)..at(1)].to_vec();
        let mut info = info.clone();
        if name.contains("embed_tokens") || name.contains("lm_head") {
            let row = tensor.len() / rows as usize;
            tensor.extend_from_within(..row);
            info["shape"][0] = (rows + 1).into();
        }
        info["data_offsets"] = serde_json::json!([data.len(), data.len() + tensor.len()]);
        data.extend(tensor);
        new.insert(name.clone(), info);
    }
    let mut header = Value::Object(new).to_string().into_bytes();
    header.resize(header.len().next_multiple_of(8), b' ');
    let file = [&(header.len() as u64).to_le_bytes()[..], &header, &data].concat();
    std::fs::write(&path, file).unwrap();
}

#[test]
fn a_vocabulary_that_differs_needs_a_word() {
    let project = Project::new();
    let rows = open(&project, "models/base").companions().config.vocab_size;
    add_token(&project, "math", "[PAD]");
    let recipe = Project::recipe_text("uniform", "");
    project.write("r.toml", &recipe);
    let said = project.m3(&["merge", "r.toml", "--out", "out"]).fails(1);
    assert!(said.contains("vocabulary") && said.contains("[PAD]") && said.contains("keep-padding"), "{said}");
    project.write("r.toml", &format!("vocabulary = \"pad\"\n{recipe}"));
    let said = project.m3(&["merge", "r.toml", "--out", "padded"]);
    assert!(said.stderr().contains(&format!("vocabulary: {} rows", rows + 1)), "{}", said.stderr());
    said.ok();
    assert_eq!(open(&project, "padded").companions().config.vocab_size, rows + 1);
    project.m3(&["generate", "padded", "1 + 1 =", "--max-tokens", "2"]).ok();
    project.write("r.toml", &format!("vocabulary = \"crop\"\n{recipe}"));
    assert!(project.m3(&["merge", "r.toml", "--out", "x"]).fails(1).contains("keep-padding"));
}

#[test]
fn a_union_has_every_token_and_can_be_run() {
    let project = Project::new();
    let rows = open(&project, "models/base").companions().config.vocab_size;
    add_token(&project, "math", "[SUM]");
    add_token(&project, "code", "[DEF]");
    project.write("union.yml", &format!("{}tokenizer_source: union\n", TIES.trim_start()));
    project.m3(&["merge", "union.yml", "--out", "union"]).ok();
    let union = open(&project, "union");
    assert_eq!(union.companions().config.vocab_size, rows + 2);
    // As the library numbers them that will read the file.
    let tokenizer = tokenizers::Tokenizer::from_bytes(&union.companions().tokenizer).unwrap();
    assert_eq!(tokenizer.token_to_id("[SUM]"), Some(rows as u32));
    assert_eq!(tokenizer.token_to_id("[DEF]"), Some(rows as u32 + 1));
    assert_eq!(tokenizer.encode("[DEF]", false).unwrap().get_ids(), [rows as u32 + 1]);
    project.m3(&["generate", "union", "1 + 1 = [SUM][DEF]", "--max-tokens", "2"]).ok();
    project.write("base.yml", &format!("{}tokenizer_source: base\n", TIES.trim_start()));
    project.m3(&["merge", "base.yml", "--out", "based"]).ok();
    assert_eq!(
        open(&project, "based").companions().tokenizer,
        open(&project, "models/base").companions().tokenizer
    );
}
