//! `m3 search`: what it finds, keeps and refuses.

use crate::cli::{Project, home};
use serde_json::Value;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A search over the embedded family with this space and strategy.
fn quest(project: &Project, rest: &str) -> String {
    let model = |name: &str| home().join("models/tiny").join(name).to_str().unwrap().to_owned();
    let text = format!(
        "name = \"mix\"\nbase = {:?}\nmodels = [{:?}, {:?}]\nlimit = 8\n[objective]\ngsm8k = 1.0\nhumaneval = 3.0\n{rest}",
        model("base"),
        model("math"),
        model("code"),
    );
    project.write("mix.toml", &text).to_str().unwrap().to_owned()
}

const SPACE: &str = "[space]\ndirections = [{ law = \"grid\", steps = 4 }]\nscales = [1.0]\n";

fn found(project: &Project, file: &str, out: &str) -> Value {
    serde_json::from_str(&project.m3(&["search", file, "--out", out, "--json"]).ok()).unwrap()
}

#[test]
fn the_choice_is_made_on_one_split_and_reported_on_another() {
    let project = Project::new();
    let file = quest(&project, SPACE);
    let text = project.m3(&["search", &file, "--out", "out"]).ok();
    assert!(text.contains("← chosen") && text.contains("math alone") && text.contains("bisector"), "{text}");
    // Again it answers nothing, and says the same.
    let again = found(&project, &file, "out");
    assert_eq!(again, serde_json::from_str::<Value>(&project.read("out/search.json")).unwrap());
    assert_eq!(text, project.read("out/search.md"));
    let candidates = again["candidates"].as_array().unwrap();
    assert_eq!(candidates.len(), 5, "four quarters, with both ends and the bisector among them");
    let best = candidates[again["winner"].as_u64().unwrap() as usize].clone();
    for c in candidates {
        assert!(c["validation"].as_f64() <= best["validation"].as_f64(), "{c} {best}");
        assert_eq!(c["items"], 16, "every candidate in full: {c}");
    }
    assert_eq!((again["asked"].as_u64(), again["in_full"].as_u64()), (Some(80), Some(80)));
    assert_eq!(again["test_items"], 16);
    assert_eq!(again["unscored"], 0);
    // The recipe of the winner is one that the other commands take, and the test figure is what they get.
    let eval =
        ["eval", "out/winner.toml", "--bench", "gsm8k,humaneval", "--limit", "8", "--out", "out", "--json"];
    let eval: Value = serde_json::from_str(&project.m3(&eval).ok()).unwrap();
    let mean = |i: usize| eval["results"][i]["mean"].as_f64().unwrap();
    let want = 100.0 * (0.25 * mean(0) + 0.75 * mean(1));
    assert!((again["test"].as_f64().unwrap() - want).abs() < 1e-9, "{again} {eval}");
}

#[test]
fn a_race_asks_fewer_items_in_an_order_that_its_seed_gives() {
    let project = Project::new();
    let race = |seed: u64| {
        let text = format!("{SPACE}[strategy]\nkind = \"race\"\nfirst = 0.25\n");
        let file = quest(&project, &text);
        let text = project.read("mix.toml").replace("limit = 8", &format!("limit = 8\nseed = {seed}"));
        project.write("mix.toml", &text);
        found(&project, &file, "out")
    };
    let one = race(1);
    assert!(one["asked"].as_u64() < one["in_full"].as_u64(), "{one}");
    let winner = &one["candidates"][one["winner"].as_u64().unwrap() as usize];
    assert_eq!(winner["items"], 16, "the winner has a full figure");
    assert!(one["candidates"].as_array().unwrap().iter().any(|c| c["items"] == 4), "{one}");
    assert_eq!(one, race(1));
}

#[test]
fn a_list_on_some_items_asks_fewer_and_its_winner_has_a_full_figure() {
    let project = Project::new();
    let on_some = |estimator: &str| {
        let strategy = format!("kind = \"full\"\nitems = 3\nin_full = 4\nestimator = {estimator:?}\n");
        let space = SPACE.replace("steps = 4", "steps = 12");
        found(&project, &quest(&project, &format!("{space}[strategy]\n{strategy}")), "out")
    };
    for estimator in ["anchors", "irt"] {
        let one = on_some(estimator);
        let candidates = one["candidates"].as_array().unwrap();
        assert_eq!(candidates.len(), 13);
        let whole = candidates.iter().filter(|c| c["items"] == 16).count();
        assert!(
            (4..=9).contains(&whole) && candidates.iter().all(|c| c["items"] == 16 || c["items"] == 6),
            "{one}"
        );
        assert_eq!(
            candidates[one["winner"].as_u64().unwrap() as usize]["items"],
            16,
            "the winner has a full figure"
        );
        assert_eq!(one["estimate"]["items"], 6, "{one}");
        assert_eq!(one, on_some(estimator));
        assert!(project.read("out/search.md").contains("Such an estimate is off by"));
    }
}

#[test]
fn a_search_that_cannot_be_made_is_refused_before_a_model_runs() {
    let project = Project::new();
    let refused = |text: &str| {
        let file = quest(&project, text);
        let said = project.m3(&["search", &file, "--out", "out"]).fails(1);
        assert!(!project.path("out/runs").exists(), "{said}");
        said
    };
    let law = |law: &str| refused(&format!("[space]\ndirections = [{{ {law} }}]\nscales = [1.0]\n"));
    assert!(refused("[space]\nscales = []\n").contains("scales"));
    assert!(refused("[space]\nscales = [0.0]\n").contains("scale"));
    assert!(refused("[space]\nscales = [1.0]\nalphas = [1.0]\n").contains("alphas"));
    assert!(law("law = \"p_series\", p = [-1.0]").contains("at least 0"));
    assert!(law("law = \"beta\", alphas = [], draws = 1, seed = 1").contains("alphas"));
    assert!(law("law = \"beta\", alphas = [0.0], draws = 1, seed = 1").contains('α'));
    let strategy = |text: &str| refused(&format!("{SPACE}[strategy]\n{text}"));
    assert!(strategy("kind = \"race\"\ngrowth = 1.0\n").contains("growth"));
    assert!(strategy("kind = \"guess\"\n").contains("guess"));
    assert!(strategy("kind = \"gaussian_process\"\ntrials = 3\n").contains("`trials` of the strategy is 3"));
    assert!(strategy("kind = \"gaussian_process\"\nfirst = 0.1\n").contains("first"));
    assert!(strategy("kind = \"cma_es\"\nsigma = 0.0\n").contains("sigma"));
    assert!(strategy("kind = \"race\"\nitems = 4\n").contains("`race` does not go with `items`"));
    assert!(strategy("kind = \"full\"\nitems = 4\nin_full = 2\n").contains("`in_full`"));
    assert!(strategy("kind = \"full\"\nitems = 4\nestimator = \"guess\"\n").contains("guess"));
    let aim = |aim: &str, rest: &str| {
        quest(&project, rest);
        let text = project.read("mix.toml").replace("limit = 8", &format!("limit = 8\naim = {aim:?}"));
        let file = project.write("aim.toml", &text);
        let said = project.m3(&["search", file.to_str().unwrap(), "--out", "out"]).fails(1);
        assert!(!project.path("out/runs").exists(), "{said}");
        said
    };
    assert!(aim("best", SPACE).contains("best"));
    let race = format!("{SPACE}[strategy]\nkind = \"race\"\n");
    assert!(aim("pareto", &race).contains("a front has none"));
    let skills = |skills: &str| aim("worst_drop", &format!("{SPACE}[skills]\n{skills}\n"));
    assert!(skills("math = [\"gsm8k\"]").contains("`humaneval` of [objective] is in none"));
    assert!(skills("all = [\"gsm8k\", \"humaneval\", \"mbpp\"]").contains("`mbpp` is in [skills]"));
    assert!(skills("a = [\"gsm8k\"]\nb = [\"gsm8k\", \"humaneval\"]").contains("2 times"));
    assert!(aim("mean", &format!("{SPACE}[skills]\na = [\"gsm8k\"]\n")).contains("a mean has weights"));
    quest(&project, &format!("{SPACE}[strategy]\nkind = \"guess\"\n"));
    let file = project.write(
        "none.toml",
        &project.read("mix.toml").replace("gsm8k = 1.0\nhumaneval = 3.0\n", "").replace("guess", "full"),
    );
    let none = project.m3(&["search", file.to_str().unwrap(), "--out", "out"]).fails(1);
    assert!(none.contains("[objective]"), "{none}");
    let file = project
        .write("bench.toml", &project.read("none.toml").replace("[objective]", "[objective]\nno_such = 1.0"));
    let none = project.m3(&["search", file.to_str().unwrap(), "--out", "out"]).fails(1);
    assert!(none.contains("no_such"), "{none}");
}

#[test]
fn a_benchmark_of_ones_own_is_sought_by_its_folder() {
    let project = Project::new();
    let validation = "[[dataset.files]]\nsplit = \"validation\"\nname = \"choose.jsonl\"\n";
    let row =
        |n: u32| format!("{{\"id\": \"{n}\", \"question\": \"{n} + 1?\", \"answer\": \"{}\"}}\n", n + 1);
    let rows = |from: u32| (from..from + 3).map(row).collect::<String>();
    std::fs::create_dir(project.path("mine")).unwrap();
    project.m3(&["bench", "new", "mine/sums"]).ok();
    let card = project.read("mine/sums/benchmark.toml");
    project.write("mine/sums/benchmark.toml", &format!("{card}\n{validation}"));
    project.write("mine/sums/data/test.jsonl", &rows(1));
    project.write("mine/sums/data/choose.jsonl", &rows(11));
    // Looked for beside the file, wherever the command stands.
    quest(&project, &format!("{SPACE}[skills]\nsums = [\"sums\"]\nmath = [\"gsm8k\"]\n"));
    let text = project.read("mix.toml").replace("humaneval = 3.0", "sums = 3.0");
    let file = project.write("mine/mix.toml", &text.replace("limit = 8", "limit = 8\naim = \"pareto\""));
    let found = found(&project, file.to_str().unwrap(), "out");
    assert_eq!(found["in_full"], 5 * (8 + 3), "{found}");
    assert_eq!(found["skills"], serde_json::json!(["math", "sums"]), "{found}");
    let (plain, _) = text.split_once("[skills]").unwrap();
    let twice = plain.replace("sums = 3.0", "sums = 3.0\n\"../mine/sums\" = 1.0");
    let file = project.write("mine/twice.toml", &twice);
    let said = project.m3(&["search", file.to_str().unwrap(), "--out", "out"]).fails(1);
    assert!(said.contains("two benchmarks with the name `sums`"), "{said}");
}

/// Starts a search and does not wait for it.
fn start(project: &Project, file: &str, out: &str) -> Child {
    Command::new(env!("CARGO_BIN_EXE_m3"))
        .args(["search", file, "--out", out, "--json", "--home"])
        .arg(home())
        .current_dir(project.root())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// The only search that is written down under `out`.
fn written(project: &Project, out: &str) -> Option<(PathBuf, Value)> {
    // A file that was being replaced when the process was killed lies beside it.
    let mut files =
        std::fs::read_dir(project.path(out).join("search")).ok()?.map(|file| file.unwrap().path());
    let file = files.find(|file| file.extension().is_some_and(|ending| ending == "json"))?;
    let value = serde_json::from_str(&std::fs::read_to_string(&file).ok()?).ok()?;
    Some((file, value))
}

#[test]
fn a_search_that_proposes_is_killed_and_goes_on_with_the_same_candidates() {
    let project = Project::new();
    let space = "[space]\nscales = [0.75, 1.25]\n";
    for kind in ["gaussian_process", "cma_es"] {
        let file = quest(&project, &format!("{space}[strategy]\nkind = {kind:?}\ntrials = 10\nseed = 5\n"));
        // No programs, which take a busy machine long.
        project.write("mix.toml", &project.read("mix.toml").replace("humaneval", "math"));
        let whole = found(&project, &file, &format!("whole-{kind}"));
        assert_eq!(whole["candidates"].as_array().unwrap().len(), 10, "six of the space, four proposed");
        assert_eq!(whole["strategy"], kind);
        let out = format!("killed-{kind}");
        let trials = || {
            let known = written(&project, &out).map(|(_, w)| w["study"]["trials"].clone());
            let measured = |t: &&Value| t["scores"].as_array().is_some_and(|s| !s.is_empty());
            known.map_or(0, |trials| trials.as_array().unwrap().iter().filter(measured).count())
        };
        // Killed once it has proposed one.
        let mut child = start(&project, &file, &out);
        while trials() < 7 && child.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_millis(5));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let (path, kept) = written(&project, &out).unwrap();
        let before = kept["study"]["trials"].as_array().unwrap().clone();
        let again = found(&project, &file, &out);
        assert_eq!(again, whole, "{kind}");
        let (_, after) = written(&project, &out).unwrap();
        assert_eq!(after["study"]["trials"].as_array().unwrap()[..before.len()], before[..]);
        // Without what was written down it comes to the same from the answers alone.
        std::fs::remove_file(&path).unwrap();
        assert_eq!(found(&project, &file, &out), whole, "{kind}");
        std::fs::write(&path, "{\"version\": 1, \"ke").unwrap();
        let said = project.m3(&["search", &file, "--out", &out]);
        assert!(said.stderr().contains("begins again"), "{}", said.stderr());
        std::fs::write(&path, "{\"version\": 2}").unwrap();
        let newer = project.m3(&["search", &file, "--out", &out]).fails(1);
        assert!(newer.contains("newer m3"), "{newer}");
    }
}

#[test]
fn the_worst_drop_and_the_front_are_told_skill_by_skill() {
    let project = Project::new();
    let file = quest(&project, SPACE);
    let text = project.read("mix.toml");
    let with = |aim: &str| {
        project.write("mix.toml", &text.replace("limit = 8", &format!("limit = 8\naim = {aim:?}")))
    };
    with("worst_drop");
    let drop = found(&project, &file, "out");
    assert_eq!(drop["skills"], serde_json::json!(["gsm8k", "humaneval"]));
    let candidates = drop["candidates"].as_array().unwrap();
    let mean = |c: &Value, skill: usize| c["skills"][skill]["mean"].as_f64().unwrap();
    // Each model alone is a candidate at s = 1, so that the best at a skill is among them.
    let alone: Vec<&Value> =
        candidates.iter().filter(|c| c["direction"].as_array().unwrap().contains(&1.0.into())).collect();
    assert_eq!(alone.len(), 2);
    let best: Vec<f64> = (0..2).map(|k| alone.iter().map(|c| mean(c, k)).fold(0.0, f64::max)).collect();
    for c in candidates {
        let kept = (0..2).map(|k| 100.0 * mean(c, k) / best[k]).fold(f64::INFINITY, f64::min);
        assert!((c["validation"].as_f64().unwrap() - kept).abs() < 1e-9, "{c} {best:?}");
    }
    assert!(project.read("out/search.md").contains("validation kept %"));

    with("pareto");
    let front = found(&project, &file, "out");
    let candidates = front["candidates"].as_array().unwrap();
    let on: Vec<usize> =
        front["front"].as_array().unwrap().iter().map(|i| i.as_u64().unwrap() as usize).collect();
    for i in 0..candidates.len() {
        let beats = |j: &usize| {
            let better = |k: usize| mean(&candidates[*j], k) - mean(&candidates[i], k);
            (0..2).all(|k| better(k) >= 0.0) && (0..2).any(|k| better(k) > 0.0)
        };
        assert_eq!(on.contains(&i), !(0..candidates.len()).any(|j| beats(&j)), "{i} of {front}");
    }
    assert!(on.contains(&(front["winner"].as_u64().unwrap() as usize)), "{front}");
    assert!(project.read("out/search.md").contains("on the front"));
}
