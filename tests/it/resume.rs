//! Killed at any time, the same command goes on: nothing lost, nothing twice.

use crate::cli::{Project, Said, home};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const EVAL: [&str; 8] = ["eval", "models/code", "--bench", "gsm8k,mbpp", "--limit", "24", "--json", "--out"];

fn start(project: &Project, args: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_m3"))
        .args(args)
        .arg("--home")
        .arg(home())
        .current_dir(project.root())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn finish(project: &Project, out: &str) -> String {
    Said(start(project, &[&EVAL[..], &[out]].concat()).wait_with_output().unwrap()).ok()
}

/// All lines of all runs under `out`, by file.
fn records(out: &Path) -> BTreeMap<PathBuf, String> {
    let runs = std::fs::read_dir(out.join("runs")).unwrap();
    runs.map(|run| {
        let run = run.unwrap();
        // A run that has only just begun has no records yet.
        let text = std::fs::read_to_string(run.path().join("records.jsonl")).unwrap_or_default();
        (run.file_name().into(), text)
    })
    .collect()
}

fn keys(text: &str) -> Vec<String> {
    text.lines()
        .map(|l| serde_json::from_str::<serde_json::Value>(l).unwrap()["key"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn killed_again_and_again_it_ends_in_the_same_figures() {
    let project = Project::new();
    let whole = finish(&project, "whole");
    for pause in [5, 20, 40, 60, 80, 120, 160, 240] {
        let mut child = start(&project, &[&EVAL[..], &["killed"]].concat());
        std::thread::sleep(Duration::from_millis(pause));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    assert_eq!(finish(&project, "killed"), whole);
    let (a, b) = (records(&project.path("whole")), records(&project.path("killed")));
    assert_eq!(a.keys().collect::<Vec<_>>(), b.keys().collect::<Vec<_>>());
    for (run, text) in &b {
        let mut once = keys(text);
        let lines = once.len();
        once.sort();
        once.dedup();
        assert_eq!(once.len(), lines, "{run:?} holds a fact twice");
        let mut all = keys(&a[run]);
        all.sort();
        assert_eq!(once, all);
    }
    // A finished evaluation asks nothing again.
    assert_eq!(finish(&project, "killed"), whole);
    assert_eq!(records(&project.path("killed")), b);
}

#[test]
fn a_limited_run_is_the_beginning_of_the_whole() {
    let project = Project::new();
    let run = |limit: &str| {
        project
            .m3(&["eval", "models/math", "--bench", "gsm8k", "--limit", limit, "--json", "--out", "out"])
            .ok()
    };
    run("5");
    let first = records(&project.path("out"));
    run("9");
    let second = records(&project.path("out"));
    assert_eq!(first.len(), 1);
    for (name, text) in &first {
        assert!(second[name].starts_with(text.as_str()), "the first answers were asked again");
        assert_eq!(keys(&second[name]).len(), 18, "nine answers, nine verdicts");
    }
}

#[test]
fn ctrl_c_stops_cleanly_and_the_same_command_goes_on() {
    let project = Project::new();
    let slow =
        ["eval", "models/math", "--bench", "gsm8k,math", "--engine", "reference", "--json", "--out", "out"];
    let mut child = start(&project, &slow);
    // Wait until it has begun to answer, however slow this machine is.
    let begun = || {
        project.path("out/runs").is_dir()
            && records(&project.path("out")).values().any(|t| t.lines().count() > 2)
    };
    while !begun() {
        assert!(child.try_wait().unwrap().is_none(), "it ended before it had begun to answer");
        std::thread::sleep(Duration::from_millis(10));
    }
    let interrupted = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(interrupted.success());
    let said = Said(child.wait_with_output().unwrap());
    let stderr = said.fails(4);
    assert!(stderr.contains("same command"), "{stderr}");
    let kept: usize = records(&project.path("out")).values().map(|t| t.lines().count()).sum();
    assert!(kept > 2);
}

#[test]
fn a_store_of_a_newer_version_is_left_alone() {
    let project = Project::new();
    let eval = ["eval", "models/math", "--bench", "gsm8k", "--limit", "2", "--out", "out"];
    project.m3(&eval).ok();
    let run =
        std::fs::read_dir(project.path("out/runs")).unwrap().next().unwrap().unwrap().path().join("run.json");
    let text = std::fs::read_to_string(&run).unwrap().replace("\"version\": 1", "\"version\": 2");
    std::fs::write(&run, text).unwrap();
    let said = project.m3(&eval).fails(1);
    assert!(said.contains("newer m3") && said.contains("run.json"), "{said}");
}
