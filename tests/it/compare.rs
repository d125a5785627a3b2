//! `m3 compare`: two models on the same items, through the binary.

use crate::cli::Project;
use crate::score::{gsm8k, jsonl};
use serde_json::{Value, json};

fn verdicts(project: &Project, name: &str, wrong: impl Fn(usize) -> bool, flags: &[&str]) -> String {
    let file = jsonl(project, &format!("{name}.answers"), gsm8k(wrong));
    let verdicts = format!("{name}.jsonl");
    let args = ["score", "gsm8k", "--outputs", &file, "--verdicts", &verdicts];
    project.m3(&[&args[..], flags].concat()).ok();
    verdicts
}

#[test]
fn verdict_files_are_compared_item_by_item() {
    let project = Project::new();
    let a = verdicts(&project, "a", |at| (0..10).contains(&at), &[]);
    let b = verdicts(&project, "b", |at| (9..11).contains(&at), &[]);
    let said: Value = serde_json::from_str(&project.m3(&["compare", &a, &b, "--json"]).ok()).unwrap();
    let one = &said["comparisons"][0];
    assert_eq!((said["benchmark"].as_str(), one["n"].as_u64()), (Some("gsm8k"), Some(240)));
    assert_eq!(one["right_in_a_only"], json!(["10"]));
    assert_eq!(one["right_in_b_only"], json!(["0", "1", "2", "3", "4", "5", "6", "7", "8"]));
    // (C(10,0) + C(10,1)) · 2 / 2^10
    assert!((one["mcnemar_p"].as_f64().unwrap() - 22.0 / 1024.0).abs() < 1e-12);
    let (difference, low, high) = (
        one["difference"].as_f64().unwrap(),
        one["ci95"][0].as_f64().unwrap(),
        one["ci95"][1].as_f64().unwrap(),
    );
    assert!((difference - 8.0 / 240.0).abs() < 1e-12);
    assert!(0.0 < low && low < difference && difference < high && high < 0.1, "{low} {high}");
    let text = project.m3(&["compare", &a, &b]).ok();
    assert!(text.contains("+3.33 points") && text.contains("p = 0.0215"), "{text}");
    assert!(text.contains("right in A only: 10\n"), "{text}");
    // The same seed gives the same interval.
    assert_eq!(
        project.m3(&["compare", &a, &b, "--seed", "5"]).ok(),
        project.m3(&["compare", &a, &b, "--seed", "5"]).ok()
    );

    let standard = verdicts(&project, "c", |_| false, &["--profile", "standard"]);
    let said = project.m3(&["compare", &a, &standard]).fails(1);
    assert!(said.contains("the profile paper") && said.contains("the profile standard"), "{said}");
    let both: Value =
        serde_json::from_str(&project.m3(&["compare", &standard, &standard, "--json"]).ok()).unwrap();
    assert_eq!(both["comparisons"].as_array().unwrap().len(), 2);
    assert_eq!(both["comparisons"][0]["mcnemar_p"], 1.0);
}

#[test]
fn runs_are_compared_on_one_split() {
    let project = Project::new();
    let eval = |model: &str, flags: &[&str]| -> String {
        let args = ["eval", model, "--bench", "gsm8k", "--limit", "12", "--json"];
        let said: Value = serde_json::from_str(&project.m3(&[&args[..], flags].concat()).ok()).unwrap();
        format!("m3-runs/runs/{}", said["results"][0]["run"].as_str().unwrap())
    };
    let (math, base) = (eval("models/math", &[]), eval("models/base", &[]));
    // Both splits name their items by number, and share a run.
    assert_eq!(eval("models/math", &["--split", "validation"]), math);
    let compare = |flags: &[&str]| project.m3(&[&["compare", &base, &math][..], flags].concat());
    let said: Value = serde_json::from_str(&compare(&["--json"]).ok()).unwrap();
    let one = &said["comparisons"][0];
    assert_eq!((one["n"].as_u64(), one["only_in_b"].as_u64()), (Some(12), Some(0)));
    assert!(one["mean_b"].as_f64().unwrap() > one["mean_a"].as_f64().unwrap(), "{one}");
    let said = compare(&["--split", "validation"]).fails(1);
    assert!(said.contains(&base) && said.contains("no verdict on the validation split"), "{said}");

    let said = project.m3(&["compare", "models/math", &math]).fails(1);
    assert!(said.contains("run.json"), "{said}");
    let said = project.m3(&["compare", "none.jsonl", &math]).fails(1);
    assert!(said.contains("none.jsonl"), "{said}");
    project.write("odd.jsonl", "{\"id\": 1}\n");
    let said = project.m3(&["compare", "odd.jsonl", &math]).fails(1);
    assert!(said.contains("line 1") && said.contains("m3 score --verdicts"), "{said}");
}
