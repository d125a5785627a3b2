//! What a user types, and what comes back: exit codes and messages, through the binary.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// A scratch folder with small models, and the binary to run there.
pub(crate) struct Project {
    dir: tempfile::TempDir,
}

/// What a run of the binary said.
pub(crate) struct Said(pub(crate) Output);

impl Said {
    pub(crate) fn stdout(&self) -> String {
        String::from_utf8_lossy(&self.0.stdout).into_owned()
    }

    pub(crate) fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.0.stderr).into_owned()
    }

    /// It worked; its stdout.
    pub(crate) fn ok(&self) -> String {
        assert_eq!(self.0.status.code(), Some(0), "{}\n{}", self.stdout(), self.stderr());
        self.stdout()
    }

    /// It failed with `code` and one error; its stderr.
    pub(crate) fn fails(&self, code: i32) -> String {
        let stderr = self.stderr();
        assert_eq!(self.0.status.code(), Some(code), "{}\n{stderr}", self.stdout());
        assert_eq!(stderr.matches("error:").count(), 1, "{stderr}");
        assert!(!stderr.contains("panicked"), "{stderr}");
        stderr
    }
}

/// The clone that is tested.
pub(crate) fn home() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn tiny(name: &str) -> PathBuf {
    home().join("models/tiny").join(name)
}

impl Project {
    /// Copies the embedded family, so that a test can damage it.
    pub(crate) fn new() -> Self {
        let project = Self { dir: tempfile::tempdir().unwrap() };
        for name in ["base", "math", "code"] {
            let to = project.model(name);
            std::fs::create_dir_all(&to).unwrap();
            for file in std::fs::read_dir(tiny(name)).unwrap() {
                let file = file.unwrap();
                std::fs::copy(file.path(), to.join(file.file_name())).unwrap();
            }
        }
        project
    }

    pub(crate) fn root(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn model(&self, name: &str) -> PathBuf {
        self.path("models").join(name)
    }

    /// The text of a file.
    pub(crate) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// A recipe for math & code, as a file in the project would say it.
    pub(crate) fn recipe_text(law: &str, parameters: &str) -> String {
        let comma = if parameters.is_empty() { "" } else { ", " };
        format!(
            "combine = \"task_arithmetic\"\nbase = \"models/base\"\nmodels = [\"models/math\", \"models/code\"]\n\
             proportion = {{ law = \"{law}\"{comma}{parameters} }}\n"
        )
    }

    /// Puts `value` into the first weight of a bf16 model.
    pub(crate) fn damage_weight(&self, model: &str, value: f32) {
        let path = self.model(model).join("model.safetensors");
        let mut bytes = std::fs::read(&path).unwrap();
        let header = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        let upper = (value.to_bits() >> 16) as u16;
        bytes[8 + header..10 + header].copy_from_slice(&upper.to_le_bytes());
        std::fs::write(&path, bytes).unwrap();
    }

    /// Runs the binary in the scratch folder.
    pub(crate) fn m3(&self, args: &[&str]) -> Said {
        self.m3_with(args, &[])
    }

    /// The same with more variables in its environment.
    pub(crate) fn m3_with(&self, args: &[&str], environment: &[(&str, &str)]) -> Said {
        let output = Command::new(env!("CARGO_BIN_EXE_m3"))
            .args(args)
            .arg("--home")
            .arg(home())
            .current_dir(self.dir.path())
            .env("M3_CACHE", "") // nothing is left outside the project's folder
            .env("HF_HUB_OFFLINE", "1") // a folder that is missing is not looked for elsewhere
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        Said(output)
    }
}

#[test]
fn help_and_version_are_no_errors() {
    let project = Project::new();
    assert!(project.m3(&["--help"]).ok().contains("reproduce"));
    assert!(project.m3(&["--version"]).ok().starts_with("m3 "));
    project.m3(&["dance"]).fails(1);
    project.m3(&["eval", "models/math"]).fails(1);
}

#[test]
fn a_model_folder_that_is_not_one_is_named() {
    let project = Project::new();
    let bench = ["--bench", "gsm8k", "--limit", "1"];
    let eval = |model: &str| {
        let mut args = vec!["eval", model];
        args.extend(bench);
        project.m3(&args).fails(1)
    };
    assert!(eval("models/none").contains("models/none"));

    let math = project.model("math");
    std::fs::rename(math.join("config.json"), project.path("config.json")).unwrap();
    let said = eval("models/math");
    assert!(said.contains("config.json") && said.contains("models/math"), "{said}");
    std::fs::rename(project.path("config.json"), math.join("config.json")).unwrap();

    std::fs::rename(math.join("tokenizer.json"), project.path("tokenizer.json")).unwrap();
    assert!(eval("models/math").contains("tokenizer.json"));
    std::fs::write(math.join("tokenizer.json"), "{}").unwrap();
    assert!(eval("models/math").contains("tokenizer"));
    std::fs::rename(project.path("tokenizer.json"), math.join("tokenizer.json")).unwrap();

    let weights = math.join("model.safetensors");
    let whole = std::fs::read(&weights).unwrap();
    for cut in [0, 4, 100, whole.len() - 2] {
        std::fs::write(&weights, &whole[..cut]).unwrap();
        let said = eval("models/math");
        assert!(said.contains("model.safetensors") && said.contains("damaged"), "cut at {cut}: {said}");
    }
    std::fs::write(&weights, [whole.as_slice(), b"more"].concat()).unwrap();
    assert!(eval("models/math").contains("damaged"));
    std::fs::remove_file(&weights).unwrap();
    assert!(eval("models/math").contains("model.safetensors"));
}

#[test]
fn models_of_another_shape_are_refused_before_work() {
    let project = Project::new();
    let path = project.model("code").join("config.json");
    let config = std::fs::read_to_string(&path).unwrap();
    let parsed: serde_json::Value = serde_json::from_str(&config).unwrap();
    let size = parsed["intermediate_size"].as_u64().unwrap();
    let other = config.replace(&size.to_string(), &(size + 2).to_string());
    std::fs::write(&path, other).unwrap();
    let recipe = project.write("r.toml", &Project::recipe_text("uniform", ""));
    let said = project.m3(&["merge", recipe.to_str().unwrap(), "--out", "out"]).fails(1);
    assert!(said.contains("shape") && said.contains("mlp"), "{said}");
}

#[test]
fn a_wrong_recipe_is_named() {
    let project = Project::new();
    for (law, parameters, names) in [
        ("lambda", "lambda = 1.5", "between 0 and 1"),
        ("lambda", "lambda = -0.1", "between 0 and 1"),
        ("beta", "alpha = 0.0, seed = 1", "above 0"),
        ("beta", "alpha = -2.0, seed = 1", "above 0"),
        ("zeta", "", "unknown variant `zeta`"),
        ("fixed", "weights = [0.9, 0.2]", "sum to one"),
    ] {
        let recipe = project.write("r.toml", &Project::recipe_text(law, parameters));
        let said = project.m3(&["merge", recipe.to_str().unwrap(), "--out", "out"]).fails(1);
        assert!(said.contains("r.toml") || said.contains("direction"), "{said}");
        assert!(said.contains(names), "{said}");
        assert!(!project.path("out").exists());
    }
}

#[test]
fn an_output_that_exists_is_not_touched() {
    let project = Project::new();
    let recipe = project.write("r.toml", &Project::recipe_text("uniform", ""));
    project.write("out", "precious");
    let said = project.m3(&["merge", recipe.to_str().unwrap(), "--out", "out"]).fails(1);
    assert!(said.contains("exists already"), "{said}");
    assert_eq!(std::fs::read_to_string(project.path("out")).unwrap(), "precious");
}

#[test]
fn an_unknown_benchmark_lists_the_known_ones() {
    let project = Project::new();
    let said = project.m3(&["eval", "models/math", "--bench", "gsm9k"]).fails(1);
    assert!(said.contains("gsm9k") && said.contains("humaneval"), "{said}");
}

#[test]
fn a_run_folder_that_cannot_be_written_is_said_at_once() {
    let project = Project::new();
    project.write("file", "");
    let said = project.m3(&["eval", "models/math", "--bench", "gsm8k", "--out", "file/runs"]).fails(1);
    assert!(said.contains("file/runs"), "{said}");
}

#[test]
fn an_unsafe_sandbox_needs_explicit_consent() {
    let project = Project::new();
    let said = project.m3(&["eval", "models/code", "--bench", "humaneval", "--sandbox", "none"]).fails(1);
    assert!(said.contains("--i-accept-arbitrary-code-execution"), "{said}");
}

#[test]
fn without_python_programs_are_refused_with_the_fix() {
    let project = Project::new();
    let output = Command::new(env!("CARGO_BIN_EXE_m3"))
        .args([
            "eval",
            "models/code",
            "--bench",
            "humaneval",
            "--limit",
            "1",
            "--python",
            "/nonexistent/python3",
        ])
        .arg("--home")
        .arg(home())
        .current_dir(project.root())
        .output()
        .unwrap();
    let said = Said(output).fails(1);
    assert!(said.contains("python3") || said.contains("Python"), "{said}");
}

#[test]
fn eval_reports_its_figures_as_json() {
    let project = Project::new();
    let said = project.m3(&["eval", "models/math", "--bench", "gsm8k,math", "--limit", "6", "--json"]).ok();
    let json: serde_json::Value = serde_json::from_str(&said).unwrap();
    let results = json["results"].as_array().unwrap();
    assert_eq!(results.len(), 2);
    for r in results {
        assert_eq!(r["n"], 6);
        let (mean, low, high) =
            (r["mean"].as_f64().unwrap(), r["ci95"][0].as_f64().unwrap(), r["ci95"][1].as_f64().unwrap());
        assert!(0.0 <= low && low <= mean && mean <= high && high <= 1.0, "{r}");
        assert!(r["invalid"].is_u64() && r["unscored"] == 0, "{r}");
    }
}

#[test]
fn generate_takes_prompts_from_everywhere() {
    let project = Project::new();
    let plain = project.m3(&["generate", "models/math", "1 + 1 =", "--max-tokens", "4"]).ok();
    assert!(!plain.trim().is_empty());
    let file = project
        .write("p.jsonl", "{\"id\": \"a\", \"prompt\": \"1 + 1 =\"}\n{\"id\": 7, \"prompt\": \"def f\"}\n");
    let args =
        ["generate", "models/math", "--prompts", file.to_str().unwrap(), "--max-tokens", "4", "--json"];
    let rows: Vec<serde_json::Value> =
        project.m3(&args).ok().lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(rows.len(), 2);
    let a = rows.iter().find(|r| r["id"] == "a").unwrap();
    assert_eq!(a["text"].as_str().unwrap(), plain.strip_suffix('\n').unwrap());
    let echoed =
        project.m3(&["generate", "models/math", "1 + 1 =", "--max-tokens", "1", "--json", "--echo"]).ok();
    let echoed: serde_json::Value = serde_json::from_str(&echoed).unwrap();
    assert!(echoed["prompt_ids"].as_array().is_some_and(|ids| ids.len() > 2), "{echoed}");
    let bad = project.write("bad.jsonl", "{\"id\": 1}\n");
    let said = project.m3(&["generate", "models/math", "--prompts", bad.to_str().unwrap()]).fails(1);
    assert!(said.contains("line 1") && said.contains("prompt"), "{said}");
}

#[test]
fn generate_draws_with_a_seed() {
    let project = Project::new();
    let draw = |more: &[&str]| {
        let args = [&["generate", "models/math", "1 + 1 =", "--max-tokens", "12"], more].concat();
        project.m3(&args).ok()
    };
    let hot = draw(&["--temperature", "3", "--seed", "1"]);
    assert_eq!(hot, draw(&["--temperature", "3", "--seed", "1", "--batch", "1", "--memory", "500MB"]));
    assert_ne!(hot, draw(&["--temperature", "3", "--seed", "2"]));
    assert_eq!(draw(&[]), draw(&["--temperature", "0"]));
    assert_eq!(draw(&[]), draw(&["--top-k", "1"]));
    for (flags, says) in [
        (&["--top-p", "1.5"][..], "top_p is 1.5"),
        (&["--temperature=-1"], "temperature is -1"),
        (&["--temperature", "0", "--top-k", "3"], "--top-k"),
        (&["--batch", "none"], "auto"),
        (&["--memory", "20MB"], "--memory"),
    ] {
        let args = [&["generate", "models/math", "x"], flags].concat();
        let said = project.m3(&args).fails(1);
        assert!(said.contains(says), "{said}");
    }
}
