//! Merges that cannot be made, or cannot be finished: one error that says why, and nothing half-written.

use crate::cli::{Project, Said, home};
use crate::tiny_model::TinyModel;
use m3::checkpoint::{Folder, TensorSource};
use serde_json::{Map, Value, json};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const YAML: &str = "
merge_method: linear
models:
  - {model: models/base, parameters: {weight: 0.5}}
  - {model: models/math, parameters: {weight: 0.5}}
";

/// A tensor as it is stored.
struct Stored {
    name: String,
    dtype: String,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

/// Rewrites the weights of a model.
fn edit(folder: &Path, change: impl FnOnce(&mut Vec<Stored>)) {
    let path = folder.join("model.safetensors");
    let file = std::fs::read(&path).unwrap();
    let (length, rest) = file.split_at(8);
    let (header, data) = rest.split_at(u64::from_le_bytes(length.try_into().unwrap()) as usize);
    let header: Map<String, Value> = serde_json::from_slice(header).unwrap();
    let mut tensors: Vec<Stored> = header
        .into_iter()
        .filter(|(name, _)| name != "__metadata__")
        .map(|(name, info)| {
            let at = |i: usize| info["data_offsets"][i].as_u64().unwrap() as usize;
            Stored {
                name,
                dtype: info["dtype"].as_str().unwrap().to_owned(),
                shape: serde_json::from_value(info["shape"].clone()).unwrap(),
                bytes: data[at(0)..at(1)].to_vec(),
            }
        })
        .collect();
    change(&mut tensors);
    let (mut header, mut data) = (Map::new(), Vec::new());
    for Stored { name, dtype, shape, bytes } in tensors {
        let offsets = [data.len(), data.len() + bytes.len()];
        data.extend(bytes);
        header.insert(name, json!({ "dtype": dtype, "shape": shape, "data_offsets": offsets }));
    }
    std::fs::write(&path, crate::formats::with_header(&Value::Object(header).to_string(), &data)).unwrap();
}

fn tensor<'a>(tensors: &'a mut [Stored], name: &str) -> &'a mut Stored {
    tensors.iter_mut().find(|t| t.name == name).unwrap()
}

/// Nothing of an output `out`, not even a hidden folder.
fn nothing_is_left(project: &Project) {
    let names = std::fs::read_dir(project.root()).unwrap().map(|e| e.unwrap().file_name());
    let left: Vec<_> = names.filter(|n| n.to_string_lossy().contains("out")).collect();
    assert!(left.is_empty(), "{left:?}");
}

/// The merge of this recipe, which has `what` wrong with it, is refused with these words.
fn refused(project: &Project, recipe: &str, what: &str, parts: &[&str]) {
    let said = project.m3(&["merge", recipe, "--out", "out"]).fails(1);
    for part in parts {
        assert!(said.contains(part), "{what}: no `{part}` in: {said}");
    }
    nothing_is_left(project);
}

/// A change to the tensors of a model.
type Change<'a> = &'a dyn Fn(&mut Vec<Stored>);

#[test]
fn tensors_that_do_not_fit_are_named_before_any_work() {
    const UP: &str = "model.layers.0.mlp.up_proj.weight";
    const BIAS: &str = "model.layers.0.self_attn.q_proj.bias";
    let as_type = |tensors: &mut Vec<Stored>, dtype: &str, size: usize| {
        let up = tensor(tensors, UP);
        up.dtype = dtype.to_owned();
        up.shape = vec![up.bytes.len() / size];
    };
    let cases: [(&str, Change<'_>, &[&str]); 7] = [
        ("missing", &|all| all.retain(|t| t.name != UP), &["models/math", UP, "config"]),
        (
            "extra",
            &|all| {
                let bias =
                    Stored { name: BIAS.into(), dtype: "BF16".into(), shape: vec![2], bytes: vec![0; 4] };
                all.push(bias);
            },
            &["models/math", BIAS],
        ),
        ("shape", &|all| tensor(all, UP).shape.reverse(), &["models/math", UP, "shape", "config"]),
        (
            "fewer axes",
            &|all| {
                let up = tensor(all, UP);
                up.shape = vec![up.shape.iter().product()];
            },
            &["models/math", UP, "shape"],
        ),
        ("more axes", &|all| tensor(all, UP).shape.push(1), &["models/math", UP, ", 1]"]),
        ("integers", &|all| as_type(all, "I64", 8), &["models/math/model.safetensors", UP, "I64", "bf16"]),
        ("f8", &|all| as_type(all, "F8_E4M3", 1), &["models/math/model.safetensors", UP, "F8_E4M3"]),
    ];
    for (what, change, parts) in cases {
        let project = Project::new();
        project.write("r.toml", &Project::recipe_text("uniform", ""));
        project.write("r.yml", YAML);
        edit(&project.model("math"), |tensors| change(tensors));
        for recipe in ["r.toml", "r.yml"] {
            refused(&project, recipe, what, parts);
        }
    }
}

#[test]
fn models_of_two_sizes_are_told_apart_by_name() {
    let project = Project::new();
    TinyModel::default().write(&project.model("base"), |_, _| true);
    for (what, other, parts) in [
        ("wider", TinyModel { intermediate: 82, ..TinyModel::default() }, ["mlp.", "[48, 80]", "[48, 82]"]),
        ("deeper", TinyModel { layers: 3, ..TinyModel::default() }, ["layers", "models/base", "models/math"]),
    ] {
        for model in ["math", "code"] {
            other.write(&project.model(model), |_, _| true);
        }
        project.write("r.toml", &Project::recipe_text("uniform", ""));
        project.write("r.yml", YAML);
        refused(&project, "r.toml", what, &parts);
        refused(&project, "r.yml", what, &parts[..1]);
    }
}

#[test]
fn weights_that_are_no_numbers_are_named_and_written_only_when_allowed() {
    for (value, word) in [(f32::NAN, "NaN"), (f32::INFINITY, "inf"), (f32::NEG_INFINITY, "-inf")] {
        let project = Project::new();
        project.write("r.toml", &Project::recipe_text("uniform", ""));
        project.write("r.yml", YAML);
        project.damage_weight("math", value);
        let math = Folder::open(&project.model("math")).unwrap();
        let all = math.manifest().iter().map(|(name, _)| name);
        let damaged = all.into_iter().find(|n| !math.read_all(n).unwrap()[0].is_finite()).unwrap();
        let said = format!("`{damaged}` holds {word} at element 0");
        for (recipe, out) in [("r.toml", "kept-t"), ("r.yml", "kept-y")] {
            refused(&project, recipe, word, &[&said, "--allow-nan"]);
            project.m3(&["merge", recipe, "--out", out, "--allow-nan"]).ok();
            let written = Folder::open(&project.path(out)).unwrap();
            let first = written.read_all(damaged).unwrap()[0];
            assert_eq!(first.to_string(), value.to_string(), "{recipe}");
        }
    }
}

#[test]
fn numbers_out_of_range_are_named() {
    let project = Project::new();
    let step = |step: &str| format!("{}sparsify = [{{ {step} }}]\n", Project::recipe_text("uniform", ""));
    let models = "models:\n  - {model: models/math, parameters: ";
    let yaml = |method: &str, parameters: &str| {
        format!("merge_method: {method}\nbase_model: models/base\n{models}{{weight: 1, {parameters}}}}}\n")
    };
    for (name, text, parts) in [
        ("r.toml", step(r#"method = "dare", drop = 1.0"#), ["drop rate", "below 1"]),
        ("r.toml", step(r#"method = "dare", drop = -0.1"#), ["drop rate", "-0.1"]),
        ("r.toml", step(r#"method = "dare", drop = nan"#), ["drop rate", "NaN"]),
        ("r.toml", step(r#"method = "trim", density = 0.0"#), ["density", "above 0"]),
        ("r.toml", step(r#"method = "trim", density = 1.5"#), ["density", "at most 1"]),
        ("r.toml", step(r#"method = "breadcrumbs", density = 0.5, gamma = 1.0"#), ["drop rate", "below 1"]),
        ("r.toml", step(r#"method = "della", density = 0.5, epsilon = 0.6"#), ["epsilon", "between 0 and 1"]),
        ("r.toml", Project::recipe_text("fixed", "weights = [0.7, 0.2]"), ["r.toml", "sum to one"]),
        ("r.toml", Project::recipe_text("fixed", "weights = [1.7, -0.7]"), ["r.toml", "negative"]),
        ("r.yml", yaml("ties", "density: 1.5"), ["line 4", "`density`"]),
        ("r.yml", yaml("dare_ties", "density: -0.1"), ["line 4", "`density`"]),
        ("r.yml", yaml("della", "density: 0.5, epsilon: 0.7"), ["line 4", "`epsilon`"]),
        ("r.yml", yaml("breadcrumbs", "density: 0.5, gamma: 1"), ["line 4", "`gamma`"]),
    ] {
        project.write(name, &text);
        refused(&project, name, &text, &parts);
    }
}

#[test]
fn an_output_that_is_there_stays_as_it_was() {
    let project = Project::new();
    project.write("r.toml", &Project::recipe_text("uniform", ""));
    project.write("r.yml", YAML);
    std::fs::create_dir(project.path("out")).unwrap();
    std::fs::write(project.path("out/precious"), "yes").unwrap();
    for recipe in ["r.toml", "r.yml"] {
        let said = project.m3(&["merge", recipe, "--out", "out"]).fails(1);
        assert!(said.contains("`out` exists already"), "{said}");
    }
    let inside: Vec<_> = std::fs::read_dir(project.path("out")).unwrap().map(|e| e.unwrap().path()).collect();
    assert_eq!(inside, [project.path("out/precious")]);
    assert_eq!(std::fs::read_to_string(&inside[0]).unwrap(), "yes");
}

#[test]
fn a_full_disk_is_said_and_leaves_nothing() {
    // A limit on the size of files fails like a full disk does, for every user. The first number is too small for the weights,
    // the second for the tokenizer, which is written after them.
    let project = Project::new();
    TinyModel { hidden: 6, heads: 3, kv_heads: 1, intermediate: 8, ..TinyModel::default() }
        .write(&project.model("tiny"), |_, _| true);
    let tokenizer = project.model("tiny").join("tokenizer.json");
    let long = std::fs::read_to_string(&tokenizer).unwrap() + &" ".repeat(1 << 16);
    std::fs::write(&tokenizer, long).unwrap();
    project.write("r.toml", "combine = \"average\"\nmodels = [\"models/tiny\", \"models/tiny\"]\n");
    project.m3(&["merge", "r.toml", "--out", "old"]).ok();
    let old = std::fs::read(project.path("old/model.safetensors")).unwrap();
    let limited = |blocks: u64, shard: &str| {
        let output = Command::new("sh")
            .args(["-c", "trap '' XFSZ; ulimit -f \"$1\"; shift; exec \"$@\"", "sh", &blocks.to_string()])
            .args([env!("CARGO_BIN_EXE_m3"), "merge", "r.toml", "--out", "out", "--shard-size", shard])
            .arg("--home")
            .arg(home())
            .current_dir(project.root())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let said = Said(output).fails(1);
        assert!(said.contains("out.staging-") && said.contains("because"), "{said}");
        nothing_is_left(&project);
        said
    };
    // Blocks have 512 or 1024 bytes. The largest shard of one tensor has 300 rows of 6 numbers: 7200 bytes and its header.
    assert!(limited(1, "5000000000").contains("model.safetensors"));
    assert!(limited(16, "100").contains("tokenizer.json"));
    assert_eq!(std::fs::read(project.path("old/model.safetensors")).unwrap(), old);
    assert_eq!(std::fs::read_dir(project.path("old")).unwrap().count(), 5);
}

/// A merge that takes a while: ranks in every row, twice.
fn slow(project: &Project) {
    let step = r#"{ method = "della", density = 0.5, epsilon = 0.2 }"#;
    let recipe = Project::recipe_text("uniform", "");
    project.write("r.toml", &format!("{recipe}sparsify = [{step}, {step}]\n"));
}

fn start(project: &Project) -> Child {
    Command::new(env!("CARGO_BIN_EXE_m3"))
        .args(["merge", "r.toml", "--out", "out", "--home"])
        .arg(home())
        .current_dir(project.root())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// The folder that a merge writes into before it has its name.
fn staging(project: &Project, child: &Child) -> std::path::PathBuf {
    project.path(&format!(".out.staging-{}", child.id()))
}

fn wait_until(child: &mut Child, holds: impl Fn() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(child.try_wait().unwrap().is_none(), "it ended too early");
        assert!(begun.elapsed() < Duration::from_mins(2), "it does not begin");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn killed_half_way_the_next_run_sweeps_up() {
    let project = Project::new();
    slow(&project);
    std::fs::create_dir(project.path("other")).unwrap();
    std::fs::write(project.path("other/precious"), "yes").unwrap();
    let mut child = start(&project);
    let half = staging(&project, &child);
    wait_until(&mut child, || half.join("model.safetensors").exists());
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(half.exists(), "it was killed while it wrote");
    assert!(!project.path("out").exists());
    let quick = project.write("quick.toml", &Project::recipe_text("uniform", ""));
    project.m3(&["merge", quick.to_str().unwrap(), "--out", "out"]).ok();
    assert!(!half.exists(), "the leftovers are swept");
    Folder::open(&project.path("out")).unwrap();
    assert_eq!(std::fs::read_to_string(project.path("other/precious")).unwrap(), "yes");
}

#[test]
fn ctrl_c_half_way_leaves_nothing() {
    let project = Project::new();
    slow(&project);
    let interrupt = |child: Child| {
        let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
        assert!(sent.success());
        let said = Said(child.wait_with_output().unwrap()).fails(4);
        assert!(said.contains("nothing was written"), "{said}");
        nothing_is_left(&project);
    };
    // While it writes.
    let mut child = start(&project);
    let half = staging(&project, &child);
    wait_until(&mut child, || half.join("model.safetensors").exists());
    interrupt(child);
    // While it surveys: it has opened all models, and catches the signal.
    let mut child = start(&project);
    let process = Path::new("/proc").join(child.id().to_string());
    let catches = || {
        let status = std::fs::read_to_string(process.join("status")).unwrap_or_default();
        let caught = status.lines().find_map(|l| l.strip_prefix("SigCgt:")).map(str::trim);
        caught.is_some_and(|mask| u64::from_str_radix(mask, 16).unwrap() & 2 != 0)
    };
    let reads = || {
        let files = std::fs::read_dir(process.join("fd")).into_iter().flatten().flatten();
        files.filter(|f| std::fs::read_link(f.path()).is_ok_and(|f| f.ends_with("model.safetensors"))).count()
    };
    wait_until(&mut child, || catches() && reads() == 3);
    assert!(!staging(&project, &child).exists(), "it writes already");
    interrupt(child);
}
