//! `docs/adding-a-benchmark.md`, done word for word; and benchmarks of every kind that need no Rust.

use crate::cli::{Project, home};
use serde_json::{Value, json};

/// The fenced blocks of a page: what stands behind the three backticks, and what is between.
fn blocks(page: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        if let Some(info) = line.strip_prefix("```") {
            let inner: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
            found.push((info.to_owned(), inner.join("\n") + "\n"));
        }
    }
    found
}

#[test]
fn the_page_about_adding_a_benchmark_does_what_it_says() {
    let page = std::fs::read_to_string(home().join("docs/adding-a-benchmark.md")).unwrap();
    let project = Project::new();
    // The page is read in a clone, where the models are here.
    std::os::unix::fs::symlink(home().join("models/tiny"), project.path("models/tiny")).unwrap();
    let (mut commands, mut compared) = (0, 0);
    for (info, text) in blocks(&page) {
        let Some((kind, path)) = info.split_once(' ').or((info == "console").then_some(("console", "")))
        else {
            panic!("a block of {info}")
        };
        if kind != "console" {
            assert!(path == "answers.jsonl" || project.path(path).exists(), "bench new makes {path}");
            project.write(path, &text);
            continue;
        }
        let (command, expected) = text.split_once('\n').unwrap();
        let words: Vec<&str> = command.strip_prefix("$ m3 ").unwrap().split(' ').collect();
        let said = project.m3(&words).ok();
        commands += 1;
        if !expected.is_empty() {
            assert_eq!(said, expected, "{command}");
            compared += 1;
        }
    }
    assert_eq!((commands, compared), (4, 3));
    // A folder that is there is left alone, and a name that cannot be one is refused.
    let card = std::fs::read(project.path("capitals/benchmark.toml")).unwrap();
    let said = project.m3(&["bench", "new", "capitals"]).fails(1);
    assert!(said.contains("`capitals` is there already"), "{said}");
    assert_eq!(std::fs::read(project.path("capitals/benchmark.toml")).unwrap(), card);
    let said = project.m3(&["bench", "new", "gsm8k"]).fails(1);
    assert!(said.contains("`gsm8k` is a benchmark that comes with the project"), "{said}");
    let said = project.m3(&["bench", "new", "no good"]).fails(1);
    assert!(said.contains("letters, digits"), "{said}");
}

#[test]
fn what_a_new_benchmark_begins_with_and_the_examples_are_right() {
    let project = Project::new();
    project.m3(&["bench", "new", "fresh"]).ok();
    let said = project.m3(&["bench", "check", "fresh"]).ok();
    assert!(said.contains("cases    5 of 5"), "{said}");
    let examples = home().join("benchmarks/examples");
    for name in ["arithmetic", "choices", "patterns", "gsm8k_fewshot"] {
        let folder = examples.join(name);
        let said = project.m3(&["bench", "check", folder.to_str().unwrap()]).ok();
        assert!(said.contains("ok   items") && said.contains("ok   cases"), "{said}");
        let cases = std::fs::read_to_string(folder.join("cases.json")).unwrap();
        for kind in ["right", "wrong", "empty", "hostile", "huge"] {
            assert!(cases.contains(&format!("{{\"name\": \"{kind}")), "{name}: {kind}");
        }
    }
}

/// A benchmark with one scorer and its rows.
fn benchmark(project: &Project, scorer: &str, rows: &[Value]) {
    let folder = project.path("quiz");
    std::fs::create_dir_all(folder.join("data")).unwrap();
    let card = format!(
        "id = \"quiz\"\ntitle = \"t\"\nversion = 1\nchanges = [\"1: first\"]\nsource = \"made\"\nlicence = \"none\"\n\
         doc_to_text = \"prompt.jinja\"\ngeneration_kwargs = {{ until = [\"\\n\"], max_gen_toks = 8 }}\n\
         metric_list = [{{ metric = \"acc\", aggregation = \"mean\", higher_is_better = true }}]\n{scorer}\n[dataset]\n\
         [[dataset.files]]\nsplit = \"test\"\nname = \"test.jsonl\"\n"
    );
    std::fs::write(folder.join("benchmark.toml"), card).unwrap();
    std::fs::write(folder.join("prompt.jinja"), "Q: {{ q }}\nA:").unwrap();
    std::fs::write(folder.join("cases.json"), "{\"item\": {}, \"cases\": []}").unwrap();
    let lines: Vec<String> = rows.iter().map(ToString::to_string).collect();
    std::fs::write(folder.join("data/test.jsonl"), lines.join("\n")).unwrap();
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// What each output is worth: right, wrong or invalid.
fn verdicts(project: &Project, scorer: &str, rows: &[Value], outputs: &[&str]) -> Vec<String> {
    benchmark(project, scorer, rows);
    let answers =
        outputs.iter().enumerate().map(|(at, output)| json!({"id": at, "output": output}).to_string());
    project.write("answers.jsonl", &answers.collect::<Vec<_>>().join("\n"));
    project.m3(&["score", "quiz", "--outputs", "answers.jsonl", "--verdicts", "v.jsonl"]).ok();
    let text = std::fs::read_to_string(project.path("v.jsonl")).unwrap();
    text.lines().map(|line| parsed(line)["reason"]["is"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn numbers_patterns_and_texts_are_scored_without_rust() {
    let project = Project::new();
    let rows: Vec<Value> = ["0.5", "1200", "7"].iter().map(|a| json!({"q": "?", "a": a})).collect();
    let numeric = "[scorer]\nname = \"numeric\"\ndoc_to_target = \"a\"\nfilter = [{ function = \"after\", text = \"=\" }]";
    let said = verdicts(&project, numeric, &rows, &["x = 1/2", "= $1,200", "7"]);
    assert_eq!(said, ["correct", "correct", "no_answer"]);
    let near = "[scorer]\nname = \"numeric\"\ndoc_to_target = \"a\"\ntolerance = 0.01";
    assert_eq!(
        verdicts(&project, near, &rows, &["0.507", "1200.02", "seven"]),
        ["correct", "wrong", "no_answer"]
    );
    let pattern = "[scorer]\nname = \"regex\"\npattern = { regex = '^\\s*[0-7]+\\s*$' }";
    assert_eq!(verdicts(&project, pattern, &rows, &[" 12 ", "8", " "]), ["correct", "wrong", "no_answer"]);
    let rows = [json!({"q": "?", "a": "(?i)^paris"})];
    let field = "[scorer]\nname = \"regex\"\npattern = { field = \"a\" }";
    assert_eq!(verdicts(&project, field, &rows, &["PARIS, of course"]), ["correct"]);

    // What cannot be a pattern, a number or a step is named, with its place.
    let check = |scorer: &str, rows: &[Value], said: &[&str]| {
        benchmark(&project, scorer, rows);
        let e = project.m3(&["bench", "check", "quiz"]).fails(1);
        assert!(said.iter().all(|part| e.contains(part)), "{e}");
    };
    check(
        field,
        &[json!({"q": "?", "a": "("})],
        &["test.jsonl", "line 1", "`a` must be a regular expression"],
    );
    check(numeric, &[json!({"q": "?", "a": "seven"})], &["test.jsonl", "line 1", "`a` must be a number"]);
    check(
        "[scorer]\nname = \"regex\"\npattern = { regex = '(' }",
        &rows,
        &["quiz/benchmark.toml", "unclosed group"],
    );
    // A pattern that no text matches would make every answer wrong: in a scorer, in a filter, in what is ignored, in a row.
    let never = |name: &str, rest: &str| format!("[scorer]\nname = \"{name}\"\n{rest}");
    for scorer in [
        never("regex", "pattern = { regex = 'a^b' }"),
        never(
            "regex",
            "pattern = { regex = '.' }\nfilter = [{ function = \"regex\", regex_pattern = 'a^b' }]",
        ),
        never("exact_match", "doc_to_target = \"a\"\nregexes_to_ignore = [\",\", 'a^b']"),
    ] {
        check(&scorer, &rows, &["quiz/benchmark.toml", "`a^b` can never match"]);
    }
    let row = [json!({"q": "?", "a": "$a"})];
    check(
        field,
        &row,
        &["test.jsonl", "line 1", "`a` must be a regular expression", "that some text can match"],
    );
    let step = "[scorer]\nname = \"exact_match\"\ndoc_to_target = \"a\"\nfilter = [{ function = \"last\" }]";
    check(step, &rows, &["quiz/benchmark.toml", "`last`", "`fenced_code`"]);
    check("[scorer]\nname = \"exact_mach\"", &rows, &["`exact_mach`", "`exact_match`", "`multiple_choice`"]);
    // A template that does not compile, with its line and column.
    benchmark(&project, field, &rows);
    project.write("quiz/prompt.jinja", "Q\n{{ q + }}");
    let said = project.m3(&["bench", "check", "quiz"]);
    let e = said.stderr();
    assert_eq!(said.0.status.code(), Some(1), "{e}");
    assert!(e.contains("quiz/prompt.jinja is not a prompt template: line 2, column 8"), "{e}");
}

/// The last word, as the paper has it, or the first label, behind which a model is stopped.
#[test]
fn a_label_is_the_last_word_or_the_first_label() {
    let project = Project::new();
    let rows: Vec<Value> = (0..4).map(|_| json!({"q": "?", "a": 1})).collect();
    let outputs = ["not bad, good", "Good. But bad", "goodness me", "neither"];
    let scorer = |take: &str| {
        format!("[scorer]\nname = \"label_word\"\nfield = \"a\"\nlabels = {{ bad = 0, good = 1 }}\n{take}")
    };
    let last = verdicts(&project, &scorer(""), &rows, &outputs);
    assert_eq!(last, ["correct", "wrong", "no_answer", "no_answer"]);
    let first = verdicts(&project, &scorer("take = \"first\""), &rows, &outputs);
    assert_eq!(first, ["wrong", "correct", "correct", "no_answer"]);
    let error = project.m3(&["bench", "check", "quiz"]);
    assert_eq!(error.0.status.code(), Some(0), "{}", error.stderr());
    benchmark(&project, &scorer("take = \"middle\""), &rows);
    let error = project.m3(&["bench", "check", "quiz"]).fails(1);
    assert!(error.contains("quiz/benchmark.toml") && error.contains("`middle`"), "{error}");
}

/// Choices are weighed by the model, kept by content, and not asked for twice; both ways of weighing come side by side.
#[test]
fn multiple_choice_is_weighed_by_the_model_and_resumed() {
    let project = Project::new();
    let scorer = "[scorer]\nname = \"multiple_choice\"\ndoc_to_choice = \"c\"\ndoc_to_target = \"a\"\n\
                  [[standard]]\nname = \"acc_norm\"\nsource = \"lm-evaluation-harness\"\n[standard.scorer]\n\
                  name = \"multiple_choice\"\ndoc_to_choice = \"c\"\ndoc_to_target = \"a\"\nnormalised = true";
    let rows = [
        json!({"q": "2 + 2", "c": ["4", "a very long and most unlikely answer to this question"], "a": 0}),
        json!({"q": "2 + 2", "c": ["4", "a very long and most unlikely answer to this question"], "a": 1}),
        json!({"q": "Is it?", "c": ["yes", "no", "zqxv"], "a": "no"}),
    ];
    benchmark(&project, scorer, &rows);
    let eval = || {
        let args = ["eval", "models/math", "--bench", "quiz", "--out", "runs", "--profile", "both", "--json"];
        parsed(&project.m3(&args).ok())
    };
    let said = eval();
    let results = said["results"].as_array().unwrap();
    assert_eq!(results.len(), 2, "{said}");
    assert_eq!((&results[0]["metric"], &results[1]["metric"]), (&json!("acc"), &json!("acc_norm")));
    assert_eq!((&results[0]["n"], &results[0]["invalid"]), (&json!(3), &json!(0)));
    let run = project.path("runs/runs").join(results[0]["run"].as_str().unwrap());
    let records = std::fs::read_to_string(run.join("records.jsonl")).unwrap();
    let answers: Vec<Value> =
        records.lines().map(parsed).filter(|record| record["kind"] == "answer").collect();
    // The first two rows ask the same.
    assert_eq!(answers.len(), 2, "{records}");
    // Answers come in any order.
    let first = answers.iter().find(|answer| answer["item"] == "0").unwrap();
    let text = first["answer"]["text"]["Ok"].as_str().unwrap();
    let likelihoods = parsed(text);
    let of = |at: usize| likelihoods[at]["log_likelihood"].as_f64().unwrap();
    assert!(of(0) > of(1) && of(0) < 0.0, "{text}");
    let verdicts: Vec<Value> =
        records.lines().map(parsed).filter(|record| record["kind"] == "verdict").collect();
    let is = |at: &str| verdicts.iter().find(|v| v["item"] == at).unwrap()["verdict"]["reason"]["is"].clone();
    assert_eq!((is("0"), is("1")), (json!("correct"), json!("wrong")));
    assert_eq!(eval(), said);
    assert_eq!(
        std::fs::read_to_string(run.join("records.jsonl")).unwrap(),
        records,
        "nothing was asked again"
    );
    // A row whose right choice is none.
    benchmark(&project, scorer, &[json!({"q": "?", "c": ["a", "b"], "a": 2})]);
    let e = project.m3(&["bench", "check", "quiz"]).fails(1);
    assert!(e.contains("line 1") && e.contains("the number of one of the choices"), "{e}");
}

#[test]
fn answers_for_a_judge_are_written_as_alpaca_eval_reads_them() {
    let project = Project::new();
    let rows: Vec<Value> = (0..805)
        .map(|at| json!({"dataset": "made", "instruction": format!("Say {at}."), "output": "no", "generator": "other"}))
        .collect();
    // The project's own card, but for the checksums of the published rows.
    std::fs::create_dir_all(project.path("alpaca_eval/data")).unwrap();
    for file in ["benchmark.toml", "prompt.jinja", "cases.json"] {
        let text = std::fs::read_to_string(home().join("benchmarks/alpaca_eval").join(file)).unwrap();
        let lines = text.lines().filter(|line| !line.starts_with("sha256 = "));
        let text: String = lines.map(|line| line.to_owned() + "\n").collect();
        project.write(&format!("alpaca_eval/{file}"), &text);
    }
    project.write("alpaca_eval/data/alpaca_eval.json", &Value::from(rows).to_string());
    let args = ["eval", "models/math", "--bench", "./alpaca_eval", "--limit", "3", "--out", "runs", "--json"];
    // Three: done, but nothing is scored.
    let done = project.m3(&args).0;
    assert_eq!(done.status.code(), Some(3), "{}", String::from_utf8_lossy(&done.stderr));
    let said = parsed(&String::from_utf8(done.stdout).unwrap());
    let result = &said["results"][0];
    assert_eq!((&result["n"], &result["unscored"]), (&json!(0), &json!(3)));
    let outputs =
        parsed(&std::fs::read_to_string(project.path(result["outputs"].as_str().unwrap())).unwrap());
    assert_eq!(outputs.as_array().unwrap().len(), 3);
    let keys: Vec<&String> = outputs[1].as_object().unwrap().keys().collect();
    assert_eq!(keys, ["dataset", "instruction", "output", "generator"]);
    assert_eq!(
        (&outputs[1]["instruction"], &outputs[1]["generator"]),
        (&json!("Say 1."), &json!("models/math"))
    );
    assert!(outputs[1]["output"].is_string() && outputs[1]["output"] != "no");
}

#[test]
fn both_profiles_come_side_by_side() {
    let project = Project::new();
    let rows =
        [json!({"id": 0, "question": "?", "answer": "#### 6", "output": "#### 6.\nThe answer is: 6.4"})];
    let file = crate::score::jsonl(&project, "answers.jsonl", rows);
    let said =
        parsed(&project.m3(&["score", "gsm8k", "--outputs", &file, "--profile", "both", "--json"]).ok());
    let metrics: Vec<_> = said["metrics"]
        .as_array()
        .unwrap()
        .iter()
        .map(|m| (&m["profile"], &m["metric"], &m["mean"]))
        .collect();
    let expected = [
        ("paper", "exact_match", 1.0),
        ("standard", "strict-match", 1.0),
        ("standard", "flexible-extract", 0.0),
    ];
    assert_eq!(metrics.len(), 3);
    for (found, expected) in metrics.iter().zip(expected) {
        assert_eq!(*found, (&json!(expected.0), &json!(expected.1), &json!(expected.2)));
    }
    let args =
        ["eval", "models/math", "--bench", "gsm8k", "--limit", "2", "--out", "runs", "--profile", "both"];
    let table = project.m3(&args).ok();
    assert!(
        ["exact_match", "strict-match", "flexible-extract"].iter().all(|metric| table.contains(metric)),
        "{table}"
    );
}
