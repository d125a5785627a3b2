//! `m3 runs`: what it says of earlier runs, removes and exports; and what a store withstands.

use crate::cli::Project;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs::File;
use std::path::PathBuf;

const EVAL: [&str; 8] = ["eval", "models/math", "--bench", "gsm8k", "--limit", "4", "--out", "out"];

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(json).collect()
}

/// The only run under `out`.
fn only_run(project: &Project) -> PathBuf {
    let mut runs = std::fs::read_dir(project.path("out/runs")).unwrap();
    let run = runs.next().unwrap().unwrap().path();
    assert!(runs.next().is_none());
    run
}

#[test]
fn runs_are_listed_shown_and_exported() {
    let project = Project::new();
    let said = project.m3(&["runs", "list", "--out", "out"]).fails(1);
    assert!(said.contains("no store of runs"), "{said}");
    let figures = json(&project.m3(&[&EVAL[..], &["--json"]].concat()).ok());
    project.write("mix.toml", &Project::recipe_text("uniform", ""));
    project.m3(&["eval", "mix.toml", "--bench", "gsm8k", "--limit", "3", "--out", "out"]).ok();
    let text = project.m3(&["runs", "list", "--out", "out"]).ok();
    assert!(text.contains("math & code by task_arithmetic, λ = (0.500, 0.500), s = 1"), "{text}");
    assert!(text.contains("whatever split, limit or data"), "{text}");
    assert_eq!(text.lines().count(), 5, "{text}");
    let list = json(&project.m3(&["runs", "list", "--out", "out", "--json"]).ok());
    let alone = list["runs"].as_array().unwrap().iter().find(|r| r["figures"]["n"] == 4).unwrap().clone();
    assert_eq!((&alone["complete"], &alone["state"]), (&true.into(), &"complete".into()));
    assert_eq!(alone["figures"]["mean"], figures["results"][0]["mean"]);
    assert_eq!(alone["settings"]["benchmark"], "gsm8k");
    let run = alone["run"].as_str().unwrap();
    assert_eq!(alone["run"], figures["results"][0]["run"]);

    let shown = project.m3(&["runs", "show", &run[..6], "--out", "out"]).ok();
    assert!(shown.contains("m3-cpu-f32") && shown.contains("4 items scored"), "{shown}");
    let items = lines(&project.m3(&["runs", "show", run, "--items", "--out", "out"]).ok());
    assert_eq!(items.len(), 4);
    for item in &items {
        assert!(item["answer"]["text"]["Ok"].is_string() && item["verdict"]["verdict"] == "scored", "{item}");
    }
    let unknown = project.m3(&["runs", "show", "zz", "--out", "out"]).fails(1);
    assert!(unknown.contains("begins with `zz`"), "{unknown}");
    let both = project.m3(&["runs", "show", "", "--out", "out"]).fails(1);
    assert!(both.contains("2 runs"), "{both}");

    let all = lines(&project.m3(&["runs", "export", "--out", "out"]).ok());
    assert_eq!(all.len(), 7);
    assert_eq!(all.iter().filter(|line| line["run"] == run).cloned().collect::<Vec<_>>(), items);
    let said = project.m3(&["runs", "export", run, "--to", "facts", "--out", "out", "--json"]).ok();
    assert_eq!((&json(&said)["runs"], &json(&said)["items"]), (&1.into(), &4.into()));
    assert_eq!(lines(&project.read(&format!("facts/{run}.jsonl"))), items);
    assert_eq!(json(&project.read("facts/runs.json"))["runs"][0], alone);
    let again = project.m3(&["runs", "export", "--to", "facts", "--out", "out"]).fails(1);
    assert!(again.contains("facts"), "{again}");
}

#[test]
fn only_what_may_go_is_deleted_and_only_when_told_to() {
    let project = Project::new();
    project.m3(&EVAL).ok();
    let complete = only_run(&project);
    // A copy of it that says that it was not brought to its end, one of another scorer, and one that somebody writes.
    let copy = |name: &str, old: &str, new: &str| {
        let folder = project.path("out/runs").join(name);
        std::fs::create_dir(&folder).unwrap();
        let text = std::fs::read_to_string(complete.join("run.json")).unwrap();
        assert!(text.contains(old), "{text}");
        std::fs::write(folder.join("run.json"), text.replace(old, new)).unwrap();
        std::fs::copy(complete.join("records.jsonl"), folder.join("records.jsonl")).unwrap();
        folder
    };
    let unfinished = copy("aaaaaaaaaaaaaaaa", "", "");
    std::fs::write(unfinished.join("open.json"), "{\"items\":9}").unwrap();
    let scorer = json(&std::fs::read_to_string(complete.join("run.json")).unwrap())["scorer"].clone();
    let old = copy("bbbbbbbbbbbbbbbb", &format!("\"scorer\": {scorer}"), "\"scorer\": 0");
    let held = copy("cccccccccccccccc", "m3-cpu-f32/", "m3-cpu-f32/0");
    let lock = File::options().append(true).open(held.join("records.jsonl")).unwrap();
    lock.lock().unwrap();
    let gc =
        |more: &[&str]| json(&project.m3(&[&["runs", "gc", "--out", "out", "--json"], more].concat()).ok());
    let said = |gc: &Value| -> Vec<(String, String, String)> {
        let text = |row: &Value, key: &str| row[key].as_str().unwrap().to_owned();
        let rows = gc["runs"].as_array().unwrap();
        rows.iter().map(|r| (text(r, "run")[..1].to_owned(), text(r, "reason"), text(r, "removal"))).collect()
    };
    let row =
        |run: &str, reason: &str, removal: &str| (run.to_owned(), reason.to_owned(), removal.to_owned());
    let dry = gc(&[]);
    assert_eq!(dry["dry_run"], true);
    assert_eq!(
        said(&dry),
        [
            row("a", "incomplete", "would go"),
            row("b", "superseded", "would go"),
            row("c", "superseded", "would go")
        ]
    );
    let text = project.m3(&["runs", "gc", "--out", "out"]).ok();
    assert!(text.contains("--yes") && unfinished.exists() && old.exists(), "{text}");
    assert_eq!(
        said(&gc(&["--yes", "--only", "superseded"])),
        [row("b", "superseded", "deleted"), row("c", "superseded", "in use, stays")]
    );
    assert!(unfinished.exists() && !old.exists() && held.exists() && complete.exists());
    drop(lock);
    gc(&["--yes"]);
    assert_eq!(only_run(&project), complete);
    // The run that stayed is still what the command goes on from.
    let before = std::fs::read(complete.join("records.jsonl")).unwrap();
    project.m3(&EVAL).ok();
    assert_eq!(std::fs::read(complete.join("records.jsonl")).unwrap(), before);
}

#[test]
fn torn_within_its_last_records_a_run_goes_on_without_losing_or_repeating_an_item() {
    let project = Project::new();
    let whole = project.m3(&[&EVAL[..], &["--json"]].concat()).ok();
    let run = only_run(&project);
    let path = run.join("records.jsonl");
    let bytes = std::fs::read(&path).unwrap();
    let last = bytes[..bytes.len() - 1].iter().rposition(|b| *b == b'\n').unwrap();
    let before = bytes[..last].iter().rposition(|b| *b == b'\n').unwrap();
    let facts = |text: &str| lines(text).iter().map(|l| l["key"].to_string()).collect::<Vec<_>>();
    let want: BTreeSet<String> = facts(std::str::from_utf8(&bytes).unwrap()).into_iter().collect();
    // Every byte is what the ledger's own test tries; here are the ends of the records, and steps between them.
    let cuts = [before, before + 1, last, last + 1, bytes.len() - 1];
    for cut in cuts.into_iter().chain((before..bytes.len()).step_by(97)) {
        std::fs::write(&path, &bytes[..cut]).unwrap();
        assert!(project.m3(&["runs", "list", "--out", "out"]).ok().contains("gsm8k"), "cut at {cut}");
        assert_eq!(project.m3(&[&EVAL[..], &["--json"]].concat()).ok(), whole, "cut at {cut}");
        let found = facts(&std::fs::read_to_string(&path).unwrap());
        assert_eq!(found.len(), want.len(), "cut at {cut}");
        assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), want, "cut at {cut}");
        assert!(!run.join("open.json").exists());
    }
}

#[test]
fn a_run_of_something_else_is_refused() {
    let project = Project::new();
    project.m3(&EVAL).ok();
    let path = only_run(&project).join("run.json");
    let text = std::fs::read_to_string(&path).unwrap();
    let weights = json(&text)["weights"].as_str().unwrap().to_owned();
    for (old, new, what) in
        [(weights.as_str(), "0".repeat(64), "weights"), ("m3-cpu-f32/", "m3-cpu-f64/".to_owned(), "numerics")]
    {
        std::fs::write(&path, text.replace(old, &new)).unwrap();
        let said = project.m3(&EVAL).fails(1);
        assert!(said.contains("run.json") && said.contains(what), "{said}");
    }
    std::fs::write(&path, &text).unwrap();
    project.m3(&EVAL).ok();
}

#[test]
fn a_store_that_the_first_version_wrote_is_read() {
    let project = Project::new();
    let golden = crate::cli::home().join("tests/golden/store_v1");
    let store = golden.to_str().unwrap();
    let list = json(&project.m3(&["runs", "list", "--out", store, "--json"]).ok());
    let run = &list["runs"][0];
    assert_eq!((&run["complete"], &run["figures"]["n"]), (&true.into(), &3.into()));
    assert!(run["settings"]["companions"].is_null(), "it does not say it: {run}");
    let items = lines(&project.m3(&["runs", "export", "--out", store]).ok());
    assert_eq!(items.len(), 3);
    // Its verdicts do not say which answer they judged: the item's name does.
    assert!(items.iter().all(|item| item["answer"]["text"]["Ok"].is_string()), "{items:?}");
    project.m3(&["runs", "gc", "--out", store]).ok();
}
