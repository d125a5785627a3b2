//! Recipes from file to folder: models of every kind, the same bytes again from the record, flags, and what is said before.

use crate::cli::Project;
use crate::formats;
use crate::mergekit::add_token;
use crate::tiny_model::TinyModel;
use candle_core::quantized::GgmlDType;
use m3::checkpoint::{Checkpoint, Folder, TensorSource};
use serde_json::{Value, json};
use std::io::Write;
use std::path::Path;

fn bytes(project: &Project, file: &str) -> Vec<u8> {
    std::fs::read(project.path(file)).unwrap()
}

fn text(project: &Project, file: &str) -> String {
    String::from_utf8(bytes(project, file)).unwrap()
}

fn parsed(project: &Project, file: &str) -> Value {
    serde_json::from_slice(&bytes(project, file)).unwrap()
}

/// Two folders hold the same files with the same bytes.
fn same_folder(project: &Project, a: &str, b: &str, except: &[&str]) {
    let names = |folder: &str| {
        let mut names: Vec<String> = std::fs::read_dir(project.path(folder))
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    };
    assert_eq!(names(a), names(b));
    for name in names(a).iter().filter(|n| !except.contains(&n.as_str())) {
        assert!(bytes(project, &format!("{a}/{name}")) == bytes(project, &format!("{b}/{name}")), "{name}");
    }
}

const DRAWN: &str = "
base = \"models/base\"
models = [\"models/math\", \"models/code\"]
sparsify = [{ method = \"dare\", drop = 0.3, seed = 5 }]
combine = \"task_arithmetic\"
scale = 1.2
proportion = { law = \"beta\", alpha = 0.5, seed = 11 }
";

const YAML: &str = "
merge_method: dare_linear
base_model: models/base
models:
  - model: models/math
    parameters: {weight: 0.4, density: 0.5}
  - model: models/code
    parameters: {weight: 0.6, density: 0.5}
dtype: bfloat16
";

#[test]
fn a_record_gives_the_same_bytes_again() {
    let project = Project::new();
    project.write("drawn.toml", DRAWN);
    project.write("dare.yml", YAML);
    let flags = [
        "--base",
        "models/base",
        "--model",
        "models/math",
        "--model",
        "models/code",
        "--combine",
        "ties",
        "--trim",
        "0.3",
        "--scope",
        "model",
    ];
    let recipes: [(&str, &[&str]); 3] =
        [("toml", &["drawn.toml"]), ("yaml", &["dare.yml", "--seed", "7"]), ("flags", &flags)];
    for (name, recipe) in recipes {
        let (first, again) = (name.to_owned(), format!("{name}-again"));
        project.m3(&[&["merge", "--out", &first][..], recipe].concat()).ok();
        let said = project.m3(&["merge", &format!("{first}/m3_recipe.json"), "--out", &again]);
        assert!(!said.stderr().contains("warning"), "{}", said.stderr());
        said.ok();
        // The card has the name of the folder on top.
        same_folder(&project, &first, &again, &["README.md"]);
    }
    assert!(bytes(&project, "toml/model.safetensors") != bytes(&project, "yaml/model.safetensors"));
    let said =
        project.m3(&["eval", "yaml/m3_recipe.json", "--bench", "gsm8k", "--limit", "1", "--json"]).ok();
    assert!(said.contains("\"n\":1"), "{said}");
}

#[test]
fn a_record_has_what_was_asked_drawn_and_read() {
    let project = Project::new();
    project.write("drawn.toml", DRAWN);
    project.m3(&["merge", "drawn.toml", "--out", "out"]).ok();
    let record = parsed(&project, "out/m3_recipe.json");
    let made = &record["made_from"]["recipe"];
    assert_eq!(made["asked"]["proportion"], json!({"law": "beta", "alpha": 0.5, "seed": 11, "index": 0}));
    let lambda = made["direction"][0].as_f64().unwrap();
    assert!(lambda > 0.0 && lambda < 1.0, "{made}");
    assert_eq!(made["coefficients"], json!([1.2 * lambda, 1.2 * (1.0 - lambda)]));
    assert_eq!(record["m3"], env!("CARGO_PKG_VERSION"));
    let inputs = record["inputs"].as_array().unwrap();
    assert_eq!(inputs.len(), 3);
    for (input, name) in inputs.iter().zip(["base", "math", "code"]) {
        let folder = Folder::open(&project.model(name)).unwrap();
        assert_eq!(input["named"], format!("models/{name}"));
        assert_eq!(input["place"], project.model(name).canonicalize().unwrap().to_str().unwrap());
        assert_eq!(input["weights"], folder.digest().unwrap().hex());
        assert_eq!(input["companions"], folder.companions().digest().hex());
    }
}

#[test]
fn the_drawn_numbers_of_a_record_are_used_not_its_seed() {
    let project = Project::new();
    project.write("drawn.toml", DRAWN);
    project.m3(&["merge", "drawn.toml", "--out", "out"]).ok();
    let mut record = parsed(&project, "out/m3_recipe.json");
    record["made_from"]["recipe"]["direction"] = json!([0.125, 0.875]);
    project.write("edited.json", &record.to_string());
    let said = project.m3(&["merge", "edited.json", "--out", "edited"]);
    assert!(said.stderr().contains("warning: the record was made by"), "{}", said.stderr());
    said.ok();
    let fixed =
        DRAWN.replace("{ law = \"beta\", alpha = 0.5, seed = 11 }", "{ law = \"lambda\", lambda = 0.125 }");
    project.write("fixed.toml", &fixed);
    project.m3(&["merge", "fixed.toml", "--out", "fixed"]).ok();
    same_folder(&project, "edited", "fixed", &["README.md", "m3_recipe.json"]);
}

#[test]
fn an_input_that_changed_is_refused_by_its_name() {
    let project = Project::new();
    project.write("drawn.toml", DRAWN);
    project.m3(&["merge", "drawn.toml", "--out", "out"]).ok();
    let again = || project.m3(&["merge", "out/m3_recipe.json", "--out", "again"]).fails(1);

    let tokenizer = project.model("math").join("tokenizer.json");
    let old = std::fs::read(&tokenizer).unwrap();
    std::fs::write(&tokenizer, [old.as_slice(), b"\n"].concat()).unwrap();
    let said = again();
    assert!(said.contains("`models/math`") && said.contains("config and tokenizer"), "{said}");
    std::fs::write(&tokenizer, old).unwrap();

    project.damage_weight("code", 0.5);
    let said = again();
    for part in ["`models/code`", "digest of its weights", "has changed"] {
        assert!(said.contains(part), "no {part} in {said}");
    }
    assert!(!project.path("again").exists());
}

#[test]
fn a_record_finds_inputs_that_moved_by_their_names() {
    let project = Project::new();
    project.write("drawn.toml", DRAWN);
    project.m3(&["merge", "drawn.toml", "--out", "out"]).ok();
    let mut record = parsed(&project, "out/m3_recipe.json");
    for input in record["inputs"].as_array_mut().unwrap() {
        input["place"] = format!("/nowhere/{}", input["named"].as_str().unwrap()).into();
    }
    project.write("moved.json", &record.to_string());
    project.m3(&["merge", "moved.json", "--out", "again"]).ok();
    same_folder(&project, "out", "again", &["README.md"]);
    std::fs::rename(project.model("math"), project.path("gone")).unwrap();
    let said = project.m3(&["merge", "moved.json", "--out", "once-more"]).fails(1);
    assert!(said.contains("/nowhere/models/math"), "{said}");
}

#[test]
fn a_record_that_is_none_is_named() {
    let project = Project::new();
    project.write("drawn.toml", DRAWN);
    project.m3(&["merge", "drawn.toml", "--out", "out"]).ok();
    let record = parsed(&project, "out/m3_recipe.json");
    let with = |edit: &dyn Fn(&mut Value)| {
        let mut record = record.clone();
        edit(&mut record);
        project.write("bad.json", &record.to_string());
        let said = project.m3(&["merge", "bad.json", "--out", "x"]).fails(1);
        assert!(said.contains("bad.json"), "{said}");
        said
    };
    assert!(with(&|r| r["format"] = 2.into()).contains("format is 2"));
    assert!(with(&|r| r["more"] = 1.into()).contains("unknown field `more`"));
    assert!(with(&|r| drop(r["inputs"].as_array_mut().unwrap().pop())).contains("`inputs` lists"));
    assert!(with(&|r| r["made_from"]["recipe"]["direction"] = Value::Null).contains("belong together"));
    assert!(with(&|r| r["made_from"]["recipe"]["direction"] = json!([0.5, 0.6])).contains("sum to one"));
    let said = project.m3(&["merge", "models/base/config.json", "--out", "x"]).fails(1);
    assert!(said.contains("config.json") && said.contains("m3_recipe.json of a merge"), "{said}");
}

const SMALL: TinyModel = TinyModel {
    hidden: 8,
    layers: 1,
    heads: 2,
    kv_heads: 1,
    intermediate: 12,
    vocab: 284,
    context: 64,
    tied: true,
    seed: 5,
};

/// A LoRA on one layer of [`SMALL`].
fn adapter(folder: &Path) {
    std::fs::create_dir_all(folder).unwrap();
    std::fs::write(
        folder.join("adapter_config.json"),
        r#"{"peft_type":"LORA","r":1,"lora_alpha":2,"target_modules":["down_proj"]}"#,
    )
    .unwrap();
    let name = |part: &str| format!("base_model.model.model.layers.0.mlp.down_proj.{part}.weight");
    let tensors = [(name("lora_A"), vec![1, 12], vec![0.25; 12]), (name("lora_B"), vec![8, 1], vec![0.5; 8])];
    std::fs::write(folder.join("adapter_model.safetensors"), formats::safetensors(&tensors)).unwrap();
}

#[test]
fn a_recipe_takes_models_of_every_kind() {
    const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
    let project = Project::new();
    let seeded = |seed| TinyModel { seed, ..SMALL };
    let beside = project.path("beside");
    // Beside the recipe's file: a folder with an adapter, and one with a `.bin`. Elsewhere under the same name: another one.
    seeded(1).write(&beside.join("folder"), |_, _| true);
    adapter(&beside.join("lora"));
    seeded(9).write(&project.path("folder"), |_, _| true);
    seeded(2).write(&beside.join("bin"), |_, _| true);
    std::fs::remove_file(beside.join("bin/model.safetensors")).unwrap();
    std::fs::write(
        beside.join("bin/pytorch_model.bin"),
        formats::torch_bin(&formats::tensors(&seeded(2)), false),
    )
    .unwrap();
    // From the working folder: a GGUF file.
    let gguf = project.path("tiny.gguf");
    formats::write_gguf(&gguf, &seeded(3), &formats::metadata(&SMALL), |_| GgmlDType::F32);
    // In the hub's cache.
    let hub = project.path("cache/hub/models--org--tiny");
    seeded(4).write(&hub.join("snapshots").join(COMMIT), |_, _| true);
    std::fs::create_dir_all(hub.join("refs")).unwrap();
    std::fs::write(hub.join("refs/main"), COMMIT).unwrap();

    std::fs::write(
        beside.join("all.toml"),
        "combine = \"average\"\nmodels = [\"folder+lora\", \"bin\", \"tiny.gguf\", \"org/tiny@main\"]\n",
    )
    .unwrap();
    let cache = project.path("cache");
    let environment = [("HF_HOME", cache.to_str().unwrap())];
    project.m3_with(&["merge", "beside/all.toml", "--out", "out"], &environment).ok();

    let open = |path: &Path| Checkpoint::open_path(path).unwrap();
    let lora = format!("{}+{}", beside.join("folder").display(), beside.join("lora").display());
    let lora = Checkpoint::open(&lora.parse().unwrap(), &m3::checkpoint::OpenOptions::default()).unwrap();
    let models = [lora, open(&beside.join("bin")), open(&gguf), open(&hub.join("snapshots").join(COMMIT))];
    let out = Folder::open(&project.path("out")).unwrap();
    assert_eq!(out.manifest(), models[0].manifest());
    for (name, _) in out.manifest().iter() {
        let all: Vec<Vec<f32>> = models.iter().map(|m| m.read_all(name).unwrap()).collect();
        for (i, got) in out.read_all(name).unwrap().iter().enumerate() {
            let mean = all.iter().map(|m| f64::from(m[i])).sum::<f64>() / 4.0;
            assert!((f64::from(*got) - mean).abs() <= 1e-7, "{name}[{i}]: {got} {mean}");
        }
    }
    let record = parsed(&project, "out/m3_recipe.json");
    let place = |path: &Path| path.canonicalize().unwrap().to_str().unwrap().to_owned();
    let lora = format!("{}+{}", place(&beside.join("folder")), place(&beside.join("lora")));
    for (k, want) in
        [lora, place(&beside.join("bin")), place(&gguf), format!("org/tiny@{COMMIT}")].iter().enumerate()
    {
        assert_eq!(record["inputs"][k]["place"], *want);
        assert_eq!(record["inputs"][k]["weights"], models[k].digest().unwrap().hex());
    }
    assert!(text(&project, "out/README.md").starts_with("---\nbase_model:\n- org/tiny\n"));
    project.m3_with(&["merge", "out/m3_recipe.json", "--out", "again"], &environment).ok();
    same_folder(&project, "out", "again", &["README.md"]);
    let said = project.m3(&["merge", "out/m3_recipe.json", "--out", "x"]).fails(1);
    assert!(said.contains(&format!("org/tiny@{COMMIT}")), "{said}");
}

#[test]
fn the_card_and_the_small_files_go_along() {
    let project = Project::new();
    std::fs::write(project.model("base").join("README.md"), "the base's own").unwrap();
    project.write("drawn.toml", DRAWN);
    project.m3(&["merge", "drawn.toml", "--out", "out"]).ok();
    for name in ["generation_config.json", "tokenizer.json", "tokenizer_config.json"] {
        assert!(
            bytes(&project, &format!("out/{name}")) == bytes(&project, &format!("models/base/{name}")),
            "{name}"
        );
    }
    let (card, record) = (text(&project, "out/README.md"), parsed(&project, "out/m3_recipe.json"));
    assert!(!card.contains("the base's own"));
    let front = card.strip_prefix("---\n").unwrap().split_once("\n---\n").unwrap().0;
    assert_eq!(front, "base_model: []\nlibrary_name: transformers\ntags:\n- merge\n- m3");
    let digest = |k: usize| record["inputs"][k]["weights"].as_str().unwrap().to_owned();
    let lambda = record["made_from"]["recipe"]["direction"][0].as_f64().unwrap();
    for part in [
        "# out\n",
        "θ = θ_pre + s·Σ λ_k·δ_k",
        "arXiv:2212.04089",
        "arXiv:2311.03099",
        &format!("λ = ({lambda}, "),
        &format!("| `models/math` | {} | `{}` |", 1.2 * lambda, digest(1)),
        &digest(0),
        "law = \"beta\"",
    ] {
        assert!(card.contains(part), "no {part} in\n{card}");
    }
}

#[test]
fn flags_say_what_a_file_says() {
    let project = Project::new();
    let base = ["merge", "--base", "models/base", "--model", "models/math", "--model", "models/code"];
    let head = "base = \"models/base\"\nmodels = [\"models/math\", \"models/code\"]\n";
    let cases: [(&[&str], &str); 7] = [
        (
            &[
                "--combine",
                "task_arithmetic",
                "--lambda",
                "0.3",
                "--scale",
                "1.2",
                "--trim",
                "0.2",
                "--dtype",
                "f16",
            ],
            "combine = \"task_arithmetic\"\nscale = 1.2\nproportion = { law = \"lambda\", lambda = 0.3 }\ndtype = \"f16\"\n\
             sparsify = [{ method = \"trim\", density = 0.2 }]",
        ),
        (
            &[
                "--combine",
                "ties",
                "--dare",
                "0.2",
                "--rescale",
                "none",
                "--alpha",
                "0.5",
                "--seed",
                "3",
                "--index",
                "2",
            ],
            "combine = \"ties\"\nproportion = { law = \"beta\", alpha = 0.5, seed = 3, index = 2 }\n\
             sparsify = [{ method = \"dare\", drop = 0.2, rescale = \"none\", seed = 3 }]",
        ),
        (
            &["--combine", "task_arithmetic", "--dirichlet", "2", "--vocabulary", "pad"],
            "combine = \"task_arithmetic\"\nproportion = { law = \"dirichlet\", alpha = 2.0, seed = 0 }\nvocabulary = \"pad\"",
        ),
        (
            &["--combine", "slerp", "--weights", "0.25,0.75"],
            "combine = \"slerp\"\nproportion = { law = \"fixed\", weights = [0.25, 0.75] }",
        ),
        (
            &["--combine", "average", "--p-series", "1.5"],
            "combine = \"average\"\nproportion = { law = \"p_series\", p = 1.5 }",
        ),
        (&["--combine", "nuslerp", "--uniform"], "combine = \"nuslerp\"\nproportion = { law = \"uniform\" }"),
        (
            &["--combine", "ties", "--trim", "0.5", "--scope", "model", "--rescale", "l1"],
            "combine = \"ties\"\nsparsify = [{ method = \"trim\", density = 0.5, scope = \"model\", rescale = \"l1\" }]",
        ),
    ];
    for (k, (flags, file)) in cases.into_iter().enumerate() {
        let flags = [&base[..], flags].concat();
        let printed = project.m3(&[&flags[..], &["--print-recipe"]].concat()).ok();
        project.write("printed.toml", &printed);
        let recipe = |text: &str| -> m3::merge::Recipe { toml::from_str(text).unwrap() };
        assert_eq!(recipe(&printed), recipe(&format!("{head}{file}")), "{flags:?}");
        // The bytes of two that have most in them; the others are equal recipes.
        if k < 2 {
            let (one, two) = (format!("flags{k}"), format!("file{k}"));
            project.m3(&[&flags[..], &["--out", &one]].concat()).ok();
            project.m3(&["merge", "printed.toml", "--out", &two]).ok();
            same_folder(&project, &one, &two, &["README.md"]);
        }
    }
}

#[test]
fn flags_that_contradict_are_one_error() {
    let project = Project::new();
    project.write("r.toml", DRAWN);
    let two = ["--base", "models/base", "--model", "models/math", "--model", "models/code", "--out", "x"];
    let cases: [(&[&str], &[&str]); 12] = [
        (&["r.toml", "--lambda", "0.3", "--out", "x"], &["cannot be used with", "RECIPE"]),
        (&["r.toml", "--print-recipe"], &["cannot be used with", "--print-recipe"]),
        (&["r.toml", "--seed", "3", "--out", "x"], &["--seed"]),
        (&["--out", "x"], &["--model", "--combine"]),
        (&["r.toml"], &["--out"]),
        (&[&two[..], &["--combine", "tie"]].concat(), &["--combine", "task_arithmetic"]),
        (&[&two[..], &["--combine", "ties", "--lambda", "2"]].concat(), &["--lambda", "between 0 and 1"]),
        (
            &[&two[..], &["--combine", "ties", "--lambda", "0.2", "--alpha", "1"]].concat(),
            &["--lambda", "--alpha"],
        ),
        (
            &[&two[..], &["--combine", "ties", "--dare", "0.2", "--trim", "0.2"]].concat(),
            &["--dare", "--trim"],
        ),
        (&[&two[..], &["--combine", "ties", "--rescale", "l1"]].concat(), &["--dare", "--trim"]),
        (&[&two[..], &["--combine", "ties", "--seed", "1"]].concat(), &["nothing to draw"]),
        (&[&two[..], &["--combine", "ties", "--weights", "0.5,0.6"]].concat(), &["sum to one"]),
    ];
    for (args, parts) in cases {
        let said = project.m3(&[&["merge"], args].concat()).fails(1);
        for part in parts {
            assert!(said.contains(part), "{args:?}: no {part} in {said}");
        }
        // Only what was typed is blamed.
        assert!(!said.contains("--vocabulary"), "{said}");
        assert!(!project.path("x").exists());
    }
}

#[test]
fn a_recipe_is_told_before_it_is_done() {
    let project = Project::new();
    project.write("drawn.toml", DRAWN);
    project.write("dare.yml", YAML);
    let inspect = |args: &[&str]| -> Value {
        serde_json::from_str(&project.m3(&[&["inspect", "--json"], args].concat()).ok()).unwrap()
    };
    let said = inspect(&["drawn.toml", "--lineage"]);
    let base = Folder::open(&project.model("base")).unwrap();
    let size: usize = base.manifest().iter().map(|(_, info)| info.bytes()).sum();
    assert_eq!((&said["fits"], said["models"].as_array().unwrap().len()), (&json!(true), 3));
    assert_eq!(said["models"][1]["lineage"]["descent"], "fine_tune");
    let recipe = &said["recipe"];
    assert_eq!(recipe["output"]["parameters"], base.manifest().parameters());
    assert_eq!(recipe["output"]["bytes"], size);
    // One sweep to blend, in which digests are made too; a random mask asks for none.
    assert_eq!(recipe["estimate"]["sweeps"], json!([1.0, 1.0, 1.0]));
    assert_eq!(recipe["estimate"]["read_bytes"], 3 * size);
    let megabytes = recipe["estimate"]["memory_bytes"].as_f64().unwrap() / 1e6;
    assert!(megabytes > 5.0 && megabytes < 1000.0, "{megabytes}");
    assert!(recipe["rate"].as_f64().unwrap() > 0.0 && recipe["seconds"].as_f64().unwrap() > 0.0, "{recipe}");

    project.m3(&["merge", "drawn.toml", "--out", "out"]).ok();
    let again = inspect(&["out/m3_recipe.json"]);
    assert_eq!(again["recipe"]["made_from"], recipe["made_from"]);
    assert_eq!(again["recipe"]["made_from"], parsed(&project, "out/m3_recipe.json")["made_from"]);

    let yaml = inspect(&["dare.yml"]);
    assert_eq!(yaml["recipe"]["output"]["dtypes"], json!({"bf16": base.manifest().parameters()}));
    // The L1 ratios of the deltas take one sweep more.
    assert_eq!(yaml["recipe"]["estimate"]["sweeps"], json!([2.0, 2.0, 2.0]));
    // Bytes are those of the files, whatever type the merge is computed in.
    project.write("wide.yml", &YAML.replace("bfloat16", "float32"));
    assert_eq!(inspect(&["wide.yml"])["recipe"]["estimate"]["sweeps"], json!([2.0, 2.0, 2.0]));

    let told = project.m3(&["inspect", "drawn.toml"]).ok();
    let rows = format!("the same {} rows", base.companions().config.vocab_size);
    for part in ["models/math", "Ilharco", "Beta(0.5, 0.5)", &rows, "MB of memory", "MB/s"] {
        assert!(told.contains(part), "no {part} in {told}");
    }
    let said = project.m3(&["inspect", "models/base", "drawn.toml"]).fails(1);
    assert!(said.contains("drawn.toml") && said.contains("alone"), "{said}");
}

#[test]
fn what_becomes_of_vocabularies_is_told_before_it_is_done() {
    let project = Project::new();
    let rows = Folder::open(&project.model("base")).unwrap().companions().config.vocab_size;
    add_token(&project, "math", "[PAD]");
    project.write("r.toml", DRAWN);
    let said = project.m3(&["inspect", "r.toml", "--json"]);
    let models: Value = serde_json::from_str(&said.stdout()).unwrap();
    assert_eq!((&models["fits"], &models["recipe"]), (&json!(false), &Value::Null));
    assert_eq!(models["models"][1]["vocabulary"], rows + 1);
    assert!(said.fails(1).contains("keep-padding"));
    project.write("r.toml", &format!("vocabulary = \"pad\"\n{DRAWN}"));
    let told = project.m3(&["inspect", "r.toml"]).ok();
    assert!(told.contains(&format!("vocabulary: {} rows; ", rows + 1)), "{told}");
    assert!(told.contains("1 means of its rows"), "{told}");
}

#[test]
fn a_disk_without_room_is_said_before_any_work() {
    let project = Project::new();
    let free = m3::files::free_space(project.root()).unwrap();
    // A model of holes, a little larger than what is free.
    let hidden = 4096;
    let rows = free as usize / (4 * hidden) + (1 << 18);
    let model = TinyModel { hidden, layers: 1, heads: 32, kv_heads: 32, vocab: rows, tied: true, ..SMALL };
    let folder = project.path("huge");
    SMALL.write(&folder, |_, _| true);
    std::fs::write(folder.join("config.json"), model.config()).unwrap();
    let (mut header, mut at) = (serde_json::Map::new(), 0);
    for (name, shape) in model.tensors() {
        let end = at + 4 * shape.iter().product::<usize>();
        header.insert(name, json!({ "dtype": "F32", "shape": shape, "data_offsets": [at, end] }));
        at = end;
    }
    let header = formats::with_header(&Value::Object(header).to_string(), &[]);
    let mut file = std::fs::File::create(folder.join("model.safetensors")).unwrap();
    file.write_all(&header).unwrap();
    file.set_len((header.len() + at) as u64).unwrap();
    let said =
        project.m3(&["merge", "--model", "huge", "--combine", "average", "--out", "deep/out"]).fails(1);
    assert!(said.contains("`deep/out` needs") && said.contains("GB free"), "{said}");
    assert!(!project.path("deep").exists());
}

#[test]
fn memory_is_bounded_by_threads_and_changes_no_byte() {
    let project = Project::new();
    project.write("r.toml", DRAWN);
    let said = project.m3(&["merge", "r.toml", "--out", "none", "--memory", "1MB"]).fails(1);
    assert!(said.contains("one thread") && said.contains("allows 1 MB"), "{said}");
    assert!(!project.path("none").exists());
    project.m3(&["merge", "r.toml", "--out", "all"]).ok();
    project.m3(&["merge", "r.toml", "--out", "bounded", "--memory", "60MB"]).ok();
    let weights = |out: &str| std::fs::read(project.path(out).join("model.safetensors")).unwrap();
    assert_eq!(weights("all"), weights("bounded"));
}
