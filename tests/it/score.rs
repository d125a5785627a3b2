//! `m3 score`: answers that were generated elsewhere, through the binary.

use crate::cli::{Project, home};
use serde_json::{Value, json};
use std::path::Path;

/// The rows of an embedded split.
pub(crate) fn rows(set: &str) -> Vec<Value> {
    let path = home().join("datasets/tiny").join(set).join("test.jsonl");
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// A file with one object a line.
pub(crate) fn jsonl(project: &Project, name: &str, rows: impl IntoIterator<Item = Value>) -> String {
    let lines: Vec<String> = rows.into_iter().map(|row| row.to_string()).collect();
    project.write(name, &lines.join("\n"));
    name.to_owned()
}

/// The right answer of a GSM8K row.
fn gold(row: &Value) -> &str {
    row["answer"].as_str().unwrap().split("#### ").nth(1).unwrap()
}

/// An answer to each GSM8K question: wrong where `wrong` says so, else right.
pub(crate) fn gsm8k(wrong: impl Fn(usize) -> bool) -> Vec<Value> {
    let answer = |(at, row): (usize, &Value)| {
        let number = if wrong(at) { "-1" } else { gold(row) };
        json!({"id": at, "output": format!("The answer is: {number}\n#### {number}")})
    };
    rows("gsm8k").iter().enumerate().map(answer).collect()
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn answers_are_joined_to_the_data_by_id() {
    let project = Project::new();
    let mut answers = gsm8k(|at| at < 60);
    answers[239]["output"] = json!("I do not know.");
    // The order of the file does not matter, and a field more is no item.
    answers.reverse();
    answers[0]["model"] = json!("x");
    let file = jsonl(&project, "answers.jsonl", answers);
    let args = ["score", "gsm8k", "--outputs", &file, "--verdicts", "sub/verdicts.jsonl"];
    let said = parsed(&project.m3(&[&args[..], &["--json"]].concat()).ok());
    let metric = &said["metrics"][0];
    assert_eq!((said["items"].as_u64(), said["missing"].as_u64()), (Some(240), Some(0)));
    assert_eq!(metric["metric"], "exact_match");
    let counts = ["n", "right", "wrong", "invalid", "unscored"].map(|key| metric[key].as_u64().unwrap());
    assert_eq!(counts, [240, 179, 60, 1, 0]);
    let (mean, n) = (179.0 / 240.0, 240.0_f64);
    assert!((metric["mean"].as_f64().unwrap() - mean).abs() < 1e-12);
    let standard_error = (mean * (1.0 - mean) / (n - 1.0)).sqrt();
    assert!((metric["standard_error"].as_f64().unwrap() - standard_error).abs() < 1e-12);

    let text = std::fs::read_to_string(project.path("sub/verdicts.jsonl")).unwrap();
    let verdicts: Vec<Value> = text.lines().map(parsed).collect();
    assert_eq!(verdicts.len(), 240);
    // In the data's order.
    assert_eq!((&verdicts[0]["id"], &verdicts[0]["reason"]["is"]), (&json!("0"), &json!("wrong")));
    assert_eq!(verdicts[0]["extracted"], "-1");
    assert_eq!(verdicts[239]["reason"]["is"], "no_answer");

    let table = project.m3(&args).ok();
    assert!(table.contains("74.58") && table.contains("exact_match"), "{table}");
}

#[test]
fn the_standard_profile_reports_both_figures_of_lm_evaluation_harness() {
    let project = Project::new();
    let answers = gsm8k(|at| at % 2 == 0).into_iter().enumerate().map(|(at, mut row)| {
        if at % 4 == 1 {
            let number = row["output"].as_str().unwrap().split("#### ").nth(1).unwrap().to_owned();
            row["output"] = json!(format!("It is {number}."));
        }
        row
    });
    let file = jsonl(&project, "answers.jsonl", answers.collect::<Vec<_>>());
    let args =
        ["score", "gsm8k", "--outputs", &file, "--profile", "standard", "--json", "--verdicts", "v.jsonl"];
    let said = parsed(&project.m3(&args).ok());
    let figure = |at: usize| (said["metrics"][at]["metric"].clone(), said["metrics"][at]["mean"].clone());
    assert_eq!(figure(0), (json!("strict-match"), json!(0.25)));
    assert_eq!(figure(1), (json!("flexible-extract"), json!(0.5)));
    assert_eq!(std::fs::read_to_string(project.path("v.jsonl")).unwrap().lines().count(), 480);

    let file = jsonl(&project, "math.jsonl", [json!({"id": 0, "output": ""})]);
    let said = project.m3(&["score", "instructions", "--outputs", &file, "--profile", "standard"]).fails(1);
    assert!(said.contains("no standard profile") && said.contains("gsm8k"), "{said}");
}

/// Several samples of an item, and answers as the benchmarks' own harnesses take them.
#[test]
fn programs_may_have_samples_and_are_scored_as_they_are_by_the_standard() {
    let project = Project::new();
    let task = json!({"task_id": "t", "prompt": "def f(x):\n    \"\"\"One more.\"\"\"\n", "entry_point": "f",
        "test": "def check(f):\n    assert f(1) == 2\n"});
    let row = |id: &str, output: &str| {
        let mut row = task.clone();
        (row["task_id"], row["output"]) = (json!(id), json!(output));
        row
    };
    let (body, whole, wrong) = ("    return x + 1", "def f(x):\n    return x + 1", "def f(x):\n    return x");
    let file = jsonl(&project, "one.jsonl", [row("a", body), row("b", whole)]);
    let said =
        parsed(&project.m3(&["score", "humaneval", "--outputs", &file, "--profile", "both", "--json"]).ok());
    let mean = |said: &Value, at: usize| {
        (said["metrics"][at]["metric"].clone(), said["metrics"][at]["mean"].clone())
    };
    // The paper's chain takes the blanks off that a body begins with.
    assert_eq!(
        (mean(&said, 0), mean(&said, 1)),
        ((json!("pass@1"), json!(0.5)), (json!("pass@1"), json!(1.0)))
    );
    assert_eq!((&said["items"], &said["answers"]), (&json!(2), &json!(2)));

    let samples = [row("a", whole), row("b", wrong), row("a", wrong), row("b", wrong)];
    let file = jsonl(&project, "samples.jsonl", samples);
    let said = parsed(&project.m3(&["score", "humaneval", "--outputs", &file, "--json"]).ok());
    assert_eq!(mean(&said, 0), (json!("pass@1"), json!(0.25)));
    assert_eq!(said["metrics"].as_array().unwrap().len(), 1, "ten samples there are not");
    assert_eq!((&said["items"], &said["answers"]), (&json!(2), &json!(4)));
    let figure = &said["metrics"][0];
    assert_eq!((&figure["n"], &figure["right"], &figure["wrong"]), (&json!(2), &json!(1), &json!(3)));
    let many: Vec<Value> = (0..10).map(|at| row("a", if at == 0 { whole } else { wrong })).collect();
    let file = jsonl(&project, "many.jsonl", many);
    let text = project.m3(&["score", "humaneval", "--outputs", &file]).ok();
    assert!(text.contains("pass@10") && text.contains("10 samples: the mean is over items"), "{text}");

    // Two tasks with one name are no samples.
    let mut other = row("a", whole);
    other["prompt"] = json!("def f(y):\n");
    let file = jsonl(&project, "two.jsonl", [row("a", whole), row("b", whole), other]);
    let refused = project.m3(&["score", "humaneval", "--outputs", &file]).fails(1);
    assert!(refused.contains("line 3, is item a, and so is line 1"), "{refused}");
}

#[test]
fn what_is_wrong_with_a_file_of_answers_is_said() {
    let project = Project::new();
    let refused = |file: &str, flags: &[&str]| {
        let said = project.m3(&[&["score", "gsm8k", "--outputs", file], flags].concat()).fails(1);
        assert!(said.contains(file), "{said}");
        said
    };
    assert!(refused("none.jsonl", &[]).contains("cannot read"));

    std::fs::write(
        project.path("latin.jsonl"),
        b"{\"id\": 0, \"output\": \"\"}\n{\"id\": 1, \"output\": \"caf\xe9\"}\n",
    )
    .unwrap();
    assert!(refused("latin.jsonl", &[]).contains("line 2, is not UTF-8 (byte 25"));
    project.write("list.jsonl", "{\"id\": 0, \"output\": \"\"}\n\n[1]\n");
    assert!(refused("list.jsonl", &[]).contains("line 3, is not a JSON object"));
    project.write("empty.jsonl", "\n");
    assert!(refused("empty.jsonl", &[]).contains("has no rows"));

    let one = |row: Value| jsonl(&project, "one.jsonl", [json!({"id": 0, "output": "x"}), row]);
    for (row, names) in [
        (json!({"id": 1}), "line 2: there is no `output` among `id`; `output` must be a text"),
        (json!({"id": 1, "output": null}), "line 2: `output` must be a text"),
        (json!({"id": [1], "output": ""}), "line 2: `id` must be a text or a number"),
        (json!({"output": ""}), "line 2: there is no `id`; `id` must be a text or a number"),
        (json!({"id": "0", "output": ""}), "line 2, is item 0, and so is line 1"),
        (json!({"id": 1, "output": "", "question": "?", "answer": "#### 1"}), "line 2 has the fields"),
        (json!({"id": "gsm/1", "output": ""}), "1 items that the test split of gsm8k does not have: gsm/1"),
        (json!({"id": 1, "output": ""}), "no output for 238 of the 240 items of gsm8k: 2, 3, 4, 5, 6, …"),
    ] {
        let said = refused(&one(row), &[]);
        assert!(said.contains(names), "{said}");
    }
    // Rows that seem to bring their items along, and do not.
    let row = json!({"id": "a", "output": "", "question": "?", "answer": "1"});
    let said = refused(&jsonl(&project, "one.jsonl", [row]), &[]);
    assert!(said.contains("does not have: a") && said.contains("#### "), "{said}");

    let partial = one(json!({"id": 7, "output": "The answer is: 1"}));
    let said = parsed(&project.m3(&["score", "gsm8k", "--outputs", &partial, "--partial", "--json"]).ok());
    assert_eq!((said["items"].as_u64(), said["missing"].as_u64()), (Some(2), Some(238)));

    project.write("file", "");
    let flags = ["--verdicts", "file/v.jsonl", "--partial"];
    let said = project.m3(&[&["score", "gsm8k", "--outputs", &partial], &flags[..]].concat()).fails(1);
    assert!(said.contains("`file`"), "{said}");
    let said = project.m3(&["score", "gsm9k", "--outputs", &partial]).fails(1);
    assert!(said.contains("gsm9k") && said.contains("humaneval"), "{said}");
}

/// Programs run in the sandbox; rows that have everything need no data set.
#[test]
fn programs_with_their_tests_beside_them_are_run() {
    let project = Project::new();
    let row = |id: &str, code: &str| json!({"task_id": id, "output": code, "text": "Add.", "test_list": ["assert add(1, 2) == 3"]});
    let answers = [
        row("a", "def add(a, b):\n    return a + b"),
        row("b", "```python\ndef add(a, b):\n    return a - b\n```"),
        row("c", ""),
    ];
    let file = jsonl(&project, "answers.jsonl", answers);
    let args = ["score", "mbpp", "--outputs", &file, "--json", "--verdicts", "v.jsonl", "--data", "nowhere"];
    let said = parsed(&project.m3(&args).ok());
    let metric = &said["metrics"][0];
    let counts = ["n", "right", "wrong", "invalid", "unscored"].map(|key| metric[key].as_u64().unwrap());
    assert_eq!((counts, &metric["metric"]), ([3, 1, 1, 1, 0], &json!("pass@1")));
    let text = std::fs::read_to_string(project.path("v.jsonl")).unwrap();
    assert!(text.contains("AssertionError"), "{text}");

    // A data set whose items have names of their own.
    let answers = rows("mbpp")
        .iter()
        .map(|row| json!({"task_id": row["task_id"], "output": row["code"]}))
        .collect::<Vec<_>>();
    let file = jsonl(&project, "all.jsonl", answers);
    let said = parsed(&project.m3(&["score", "mbpp", "--outputs", &file, "--json"]).ok());
    assert_eq!(said["metrics"][0]["mean"], 1.0);
}

#[test]
fn labels_come_with_the_rate_of_chance() {
    let project = Project::new();
    let all = rows("cola");
    let answers = (0..all.len()).map(|id| json!({"id": id, "output": "acceptable"}));
    let file = jsonl(&project, "answers.jsonl", answers);
    let said = parsed(&project.m3(&["score", "cola", "--outputs", &file, "--json"]).ok());
    let acceptable = all.iter().filter(|row| row["label"] == 1).count() as f64 / all.len() as f64;
    assert_eq!(said["metrics"][0]["mean"].as_f64(), Some(acceptable));
    let share = said["chance"]["share"].as_f64().unwrap();
    assert_eq!(share, acceptable.max(1.0 - acceptable));
    let table = project.m3(&["score", "cola", "--outputs", &file]).ok();
    assert!(table.contains("would be right on"), "{table}");
}

#[test]
fn benchmarks_are_listed_shown_and_checked() {
    let project = Project::new();
    let list = project.m3(&["bench", "list"]).ok();
    assert!(["gsm8k", "paper, standard", "cola", "pass@1"].iter().all(|part| list.contains(part)), "{list}");
    let json = parsed(&project.m3(&["bench", "list", "--json"]).ok());
    assert_eq!(json["benchmarks"][0]["benchmark"], "gsm8k");
    let show = project.m3(&["bench", "show", "sst2"]).ok();
    assert!(show.contains("Text:{{ sentence }}") && show.contains("5492981b"), "{show}");

    let check = project.m3(&["bench", "check", "sst2", "--prompts", "1"]).ok();
    let first = rows("sst2")[0]["sentence"].as_str().unwrap().to_owned();
    assert!(check.contains(&format!("\nText:{first}\nPlease")) && !check.contains("FAIL"), "{check}");

    // An adapter of one's own: sound, then with a case that is not as written, then with a template that is none.
    let folder = project.path("films");
    std::fs::create_dir(&folder).unwrap();
    for name in ["benchmark.toml", "prompt.jinja", "cases.json"] {
        let text = std::fs::read_to_string(home().join("benchmarks/sst2").join(name)).unwrap();
        std::fs::write(folder.join(name), text.replace("id = \"sst2\"", "id = \"films\"")).unwrap();
    }
    let check = project.m3(&["bench", "check", "films"]).ok();
    assert!(check.contains("films version 1"), "{check}");
    let file = jsonl(&project, "answers.jsonl", [json!({"sentence": "x", "label": 1, "output": "positive"})]);
    assert!(project.m3(&["score", "films", "--outputs", &file]).ok().contains("100.00"));

    let cases = std::fs::read_to_string(folder.join("cases.json")).unwrap();
    let wrong = cases.replacen("\"is\": \"correct\"", "\"is\": \"wrong\"", 1);
    std::fs::write(folder.join("cases.json"), wrong).unwrap();
    let said = project.m3(&["bench", "check", "films"]);
    assert_eq!(said.0.status.code(), Some(1));
    assert!(
        said.stdout().contains("FAIL cases") && said.stdout().contains("should be `wrong`"),
        "{}",
        said.stdout()
    );
    std::fs::write(folder.join("cases.json"), "{}").unwrap();
    assert!(project.m3(&["bench", "check", "films"]).fails(1).contains("cases.json is not a list of cases"));
    std::fs::write(folder.join("prompt.jinja"), "{{ sentence").unwrap();
    // Jinja says "error:" itself.
    let said = project.m3(&["bench", "check", "films"]);
    assert_eq!(said.0.status.code(), Some(1));
    assert!(said.stderr().contains("films/prompt.jinja is not a prompt template"), "{}", said.stderr());
    std::fs::rename(&folder, project.path("reviews")).unwrap();
    assert!(project.m3(&["bench", "check", "reviews"]).fails(1).contains("`reviews`, the folder's name"));
    assert!(project.m3(&["bench", "check", "models"]).fails(1).contains("no folder with a benchmark.toml"));
    assert!(Path::new(&project.path("reviews")).is_dir());
}
