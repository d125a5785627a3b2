//! The judge against alpaca_eval's own figures on stored annotations, where they are at hand.
#![expect(clippy::print_stdout, reason = "the parity tests report what they compared")]

use crate::cli::{Project, Said, home};
use crate::remote::{Asked, Does, Stub, fails, holds_no_key, says};
use m3::files;
use m3::judge::{Figures, Gamed, Glm, Judged, is_switched, length_controlled};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::path::PathBuf;

/// The folder with alpaca_eval's annotations and figures, if the person who runs the tests has it.
fn reference() -> Option<PathBuf> {
    #[expect(clippy::disallowed_methods, reason = "a test has no settings")]
    let folder = |name: &str| std::env::var(name).ok().map(PathBuf::from);
    let found =
        folder("M3_PARITY").or_else(|| folder("M3_SHARED").map(|shared| shared.join("parity/visible")));
    if found.is_none() {
        println!("not asked for: neither M3_SHARED nor M3_PARITY is set");
    }
    found
}

fn rows(folder: &std::path::Path, name: &str) -> Vec<Value> {
    let text = files::read_text(&folder.join(name)).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn numbers(row: &Value, key: &str) -> Vec<Option<f64>> {
    row[key].as_array().unwrap().iter().map(Value::as_f64).collect()
}

fn judged(row: &Value) -> Vec<Judged> {
    let count = |x: Option<f64>| x.unwrap() as usize;
    let lengths = numbers(row, "len_1").into_iter().zip(numbers(row, "len_2"));
    numbers(row, "preference")
        .into_iter()
        .zip(lengths)
        .map(|(preference, (len_1, len_2))| Judged { preference, len_1: count(len_1), len_2: count(len_2) })
        .collect()
}

/// Differences of ours from theirs, per figure the largest.
#[derive(Default)]
struct Apart {
    rows: usize,
    worst: f64,
    wrong: Vec<(String, String)>,
}

impl Apart {
    fn compare(&mut self, model: &str, figure: &str, ours: f64, theirs: f64, tolerance: f64) {
        self.worst = self.worst.max((ours - theirs).abs());
        if (ours - theirs).abs() > tolerance || !ours.is_finite() {
            self.wrong.push((model.to_owned(), format!("{model}: {figure}: ours {ours}, theirs {theirs}")));
        }
    }

    /// For `scripts/parity`: one row for each model.
    fn demand(&self, set: &str) {
        let mut ids: Vec<&str> = self.wrong.iter().map(|(model, _)| model.as_str()).collect();
        ids.dedup();
        let details: Vec<&str> = self.wrong.iter().map(|(_, line)| line.as_str()).collect();
        let report = json!({
            "set": set, "rows": self.rows, "agree": self.rows - ids.len(), "left_out": 0, "disagree": ids,
            "details": details, "largest_difference": self.worst
        });
        println!("\nparity-json {report}");
        assert!(self.rows > 0 && self.wrong.is_empty(), "{set}: {details:#?}");
    }
}

/// Counts and rates must be the same; rounding of the last bits is all that may differ.
const SAME: f64 = 1e-9;

fn compare_figures(apart: &mut Apart, model: &str, figures: &Figures, theirs: &Value) {
    let ours = [
        ("win_rate", figures.win_rate.unwrap()),
        ("standard_error", figures.standard_error.unwrap()),
        ("discrete_win_rate", figures.discrete_win_rate.unwrap()),
        ("n_wins", figures.n_wins as f64),
        ("n_wins_base", figures.n_wins_base as f64),
        ("n_draws", figures.n_draws as f64),
        ("n_total", figures.n_total as f64),
    ];
    for (figure, ours) in ours {
        // The older leaderboard has no discrete win rate.
        if let Some(theirs) = theirs[figure].as_f64() {
            apart.compare(model, figure, ours, theirs, SAME);
        }
    }
}

#[test]
fn parity_of_win_rates() {
    let Some(folder) = reference() else { return };
    let expected: Value =
        serde_json::from_str(&files::read_text(&folder.join("alpaca_expected.json")).unwrap()).unwrap();
    let mut apart = Apart::default();
    for row in rows(&folder, "alpaca_annotations.jsonl") {
        let model = row["model"].as_str().unwrap();
        let theirs = &expected[model];
        let figures = Figures::of(&judged(&row));
        apart.rows += 1;
        compare_figures(&mut apart, model, &figures, &theirs["alpaca_eval_0_6_6_winrate"]);
        compare_figures(&mut apart, model, &figures, &theirs["published"]);
        let length = theirs["mean_len_2"].as_f64().unwrap().floor();
        apart.compare(model, "avg_length", figures.avg_length as f64, length, 0.0);
    }
    apart.demand("AlpacaEval 2, win rates");
    let mut apart = Apart::default();
    for row in rows(&folder, "alpaca1_gpt4_annotations.jsonl") {
        apart.rows += 1;
        let model = row["model"].as_str().unwrap();
        let figures = Figures::of(&judged(&row));
        compare_figures(&mut apart, model, &figures, &row["expected_alpaca_eval_0_6_6"]);
        compare_figures(&mut apart, model, &figures, &row["published"]);
    }
    apart.demand("AlpacaEval 1, win rates");
}

/// Golden values of alpaca_eval's own regression, for a made-up `df_gamed.csv`: the published one cannot be had. The minimal
/// model needs no such file, so that its values are real. scikit-learn's solver stops before its minimum, hence the tolerance.
#[test]
fn parity_of_length_controlled_win_rates() {
    let Some(folder) = reference() else { return };
    let expected: Value =
        serde_json::from_str(&files::read_text(&folder.join("alpaca_expected.json")).unwrap()).unwrap();
    let gamed = Gamed::read(&folder.join("alpaca_df_gamed_made.csv")).unwrap();
    let all = rows(&folder, "alpaca_annotations.jsonl");
    for (glm, key) in [
        (Glm::LengthControlledV1, "made_length_controlled_v1"),
        (Glm::LengthControlledNoreg, "made_length_controlled_noreg"),
        (Glm::LengthControlledMinimal, "made_length_controlled_minimal"),
    ] {
        let mut apart = Apart::default();
        for row in &all {
            let model = row["model"].as_str().unwrap();
            let theirs = &expected[model][key];
            let ours = length_controlled(&judged(row), glm, Some(&gamed)).unwrap().unwrap();
            apart.rows += 1;
            for (figure, ours) in [
                ("length_controlled_winrate", ours.length_controlled_winrate),
                ("lc_standard_error", ours.lc_standard_error.unwrap()),
            ] {
                apart.compare(model, figure, ours, theirs[figure].as_f64().unwrap(), 0.15);
            }
        }
        apart.demand(&format!("AlpacaEval 2, {}", glm.name()));
    }
}

// ── Through the binary, with a server on a local socket ───────────────────────────────────────────────────────────

const COUNT: usize = 6;

/// A model's answers; `good` says which of them the judges below like.
fn outputs(project: &Project, name: &str, good: impl Fn(usize) -> bool) -> String {
    let row = |i: usize| {
        let output =
            if good(i) { format!("a good answer to {i} by {name}") } else { format!("{name} on {i}") };
        json!({"dataset": "made", "instruction": format!("What is {i}?"), "output": output, "generator": name})
    };
    let file = format!("{name}.json");
    project.write(&file, &Value::Array((0..COUNT).map(row).collect()).to_string());
    file
}

/// The user's turn of a request.
fn user(asked: &Asked) -> &str {
    asked.body["messages"].as_array().unwrap().last().unwrap()["content"].as_str().unwrap()
}

/// A judge that likes good answers: the verdict in words.
fn honest(_: usize, asked: &Asked) -> Does {
    let first = user(asked).split("[Answer B]").next().unwrap().contains("a good answer");
    says(if first { "Verdict: A" } else { "Verdict: B" })
}

fn judge(project: &Project, stub: &Stub, more: &[&str]) -> Said {
    let args = ["judge", "alpaca_eval", "--outputs", "model.json", "--reference", "reference.json", "--json"];
    let server = ["--base-url", &stub.url, "--attempts", "2"];
    project.m3_with(&[&args[..], &server, more].concat(), &[("OPENAI_API_KEY", "sk-sesame")])
}

const CHAT: [&str; 4] = ["--annotator", "m3_chat", "--model", "some-model"];

fn parsed(said: &Said) -> Value {
    serde_json::from_str(&said.stdout()).unwrap_or_else(|_| panic!("{}", said.stderr()))
}

/// The model is better on 4 of 6.
fn made() -> Project {
    let project = Project::new();
    outputs(&project, "model", |i| i < 4);
    outputs(&project, "reference", |i| i >= 4);
    project
}

#[test]
fn both_orders_are_asked_once_and_the_files_are_alpaca_evals() {
    let project = made();
    let stub = Stub::new(honest);
    let said = judge(&project, &stub, &CHAT);
    said.ok();
    let result = parsed(&said);
    assert!((result["win_rate"].as_f64().unwrap() - 400.0 / 6.0).abs() < 1e-9, "{result}");
    assert_eq!((result["n_wins"].as_u64(), result["n_wins_base"].as_u64()), (Some(4), Some(2)));
    assert_eq!(result["position_bias"], json!({"n": 6, "points": 0.0, "consistent": 100.0}));
    assert_eq!(result["length_controlled"]["glm"], "length_controlled_minimal");
    assert_eq!(stub.asked().len(), 2 * COUNT);
    assert!(stub.asked().iter().all(|a| a.path == "/v1/chat/completions" && a.body["model"] == "some-model"));
    holds_no_key(&project, &said);

    let folder = project.path("m3-runs/judge/model-m3_chat");
    let text = |name: &str| files::read_text(&folder.join(name)).unwrap();
    let rows: Value = serde_json::from_str(&text("annotations.json")).unwrap();
    let first = &rows[0];
    assert_eq!(first["instruction"], "What is 0?");
    assert_eq!(
        (first["generator_1"].as_str(), first["generator_2"].as_str()),
        (Some("reference"), Some("model"))
    );
    assert_eq!((first["preference"].as_f64(), first["annotator"].as_str()), (Some(2.0), Some("m3_chat")));
    assert_eq!(first["raw_completion"], json!(["Verdict: B", "Verdict: A"]));
    let row = text("leaderboard.csv").lines().nth(1).unwrap().to_owned();
    assert!(row.starts_with("model,66.66666666666666,") && row.ends_with(",community,21,,"), "{row}");
    let own: Value = serde_json::from_str(&text("model_outputs.json")).unwrap();
    assert_eq!(own[0]["output"], "a good answer to 0 by model");

    // A second run pays for nothing, and the stored verdicts alone say the same.
    let again = parsed(&judge(&project, &stub, &CHAT));
    assert_eq!(again, result);
    assert_eq!(stub.asked().len(), 2 * COUNT);
    let stored = folder.join("annotations.json");
    let replayed =
        parsed(&project.m3(&["judge", "alpaca_eval", "--annotations", stored.to_str().unwrap(), "--json"]));
    for key in ["win_rate", "standard_error", "n_total", "position_bias", "length_controlled", "avg_length"] {
        assert_eq!(replayed[key], result[key], "{key}");
    }
    // Another model is another judge.
    judge(&project, &stub, &["--annotator", "m3_chat", "--model", "another"]).ok();
    assert_eq!(stub.asked().len(), 4 * COUNT);
}

#[test]
fn alpaca_evals_coin_decides_what_is_shown_first() {
    let project = made();
    let stub = Stub::new(honest);
    let result = parsed(&judge(&project, &stub, &[&CHAT[..], &["--order", "seeded"]].concat()));
    assert_eq!((result["n_wins"].as_u64(), result["position_bias"].is_null()), (Some(4), true));
    let asked = stub.asked();
    assert_eq!(asked.len(), COUNT);
    for i in 0..COUNT {
        let instruction = format!("What is {i}?");
        let one = asked.iter().find(|a| user(a).contains(&instruction)).unwrap();
        let reference_first = user(one).find("reference").unwrap() < user(one).find("model").unwrap();
        assert_eq!(reference_first, !is_switched(&instruction), "{instruction}");
    }
}

#[test]
fn what_the_judge_says_beside_the_point_is_unscored_and_counted() {
    let project = made();
    let stub = Stub::new(|number, asked| match number {
        0 => says("I like both."),
        1 => says(""),
        2 => fails(400, None, "flagged by the content filter", "content_filter"),
        _ => honest(number, asked),
    });
    let said = judge(&project, &stub, &[&CHAT[..], &["--order", "seeded", "--concurrency", "1"]].concat());
    assert_eq!(said.0.status.code(), Some(3), "{}", said.stderr());
    let result = parsed(&said);
    assert_eq!((result["n_total"].as_u64(), result["unscored"].as_u64()), (Some(3), Some(3)));
    assert_eq!(result["refused"], 1);
    assert_eq!(result["unscored_instructions"].as_array().unwrap().len(), 3);
    // A refusal is asked again, a verdict that was beside the point is not: it was paid for.
    let before = stub.asked().len();
    let again = parsed(&judge(&project, &stub, &[&CHAT[..], &["--order", "seeded"]].concat()));
    assert_eq!((stub.asked().len() - before, again["unscored"].as_u64()), (1, Some(2)));
}

#[test]
fn a_judge_that_always_says_the_first_wins_nothing_and_is_named() {
    let project = made();
    let said = judge(&project, &Stub::new(|_, _| says("Verdict: A")), &CHAT);
    let result = parsed(&said);
    assert_eq!((result["win_rate"].as_f64(), result["n_draws"].as_u64()), (Some(50.0), Some(6)));
    assert_eq!(result["position_bias"], json!({"n": 6, "points": 50.0, "consistent": 0.0}));
    assert!(said.stderr().contains("about the order, not the answers"), "{}", said.stderr());
}

#[test]
fn a_tool_is_forced_and_probabilities_are_weighed() {
    let project = made();
    let tool = Stub::new(|_, asked| {
        let first = user(asked).split("# Task:").nth(1).unwrap().split("## Output (b)").next().unwrap();
        let which = if first.contains("a good answer") { "Output (a)" } else { "Output (b)" };
        let call = json!({"choices": [{"message": {"content": null, "tool_calls": [{"id": "1", "type": "function",
            "function": {"name": "print_best_model", "arguments": json!({"best_output": which}).to_string()}}]}}]});
        Does::Answers(200, None, call.to_string())
    });
    let result = parsed(&judge(&project, &tool, &["--annotator", "chatgpt_fn"]));
    assert_eq!((result["n_wins"].as_u64(), result["unscored"].as_u64()), (Some(4), Some(0)));
    let body = &tool.asked()[0].body;
    assert_eq!(body["tool_choice"], json!({"type": "function", "function": {"name": "print_best_model"}}));
    assert_eq!(body["tools"][0]["function"]["parameters"]["required"], json!(["best_output"]));
    assert_eq!(
        (body["model"].as_str(), body["max_tokens"].as_u64()),
        (Some("gpt-3.5-turbo-16k-0613"), Some(50))
    );

    let weighed = Stub::new(|_, asked| {
        let first = user(asked).split("\"M\"").next().unwrap().contains("a good answer");
        let (m, other) = if first { (0.75_f64, 0.25_f64) } else { (0.25, 0.75) };
        let top = json!([{"token": "m", "logprob": m.ln()}, {"token": "M", "logprob": other.ln()}]);
        let reply = json!({"choices": [{"message": {"content": "m"}, "logprobs": {"content": [{"token": "m",
            "logprob": m.ln(), "top_logprobs": top}]}}], "usage": {"prompt_tokens": 1000, "completion_tokens": 1}});
        Does::Answers(200, None, reply.to_string())
    });
    let said =
        judge(&project, &weighed, &["--annotator", "weighted_alpaca_eval_gpt4_turbo", "--max-cost", "5"]);
    let result = parsed(&said);
    // 4 at 0.75 and 2 at 0.25.
    assert!((result["win_rate"].as_f64().unwrap() - 350.0 / 6.0).abs() < 1e-9, "{result}");
    // 12 questions of 1000 tokens at 10 US$ a million, and of one token at 30.
    assert!((result["cost"].as_f64().unwrap() - 0.12036).abs() < 1e-9, "{result}");
    assert!(said.stderr().contains("12 questions are open"), "{}", said.stderr());
    assert_eq!(weighed.asked()[0].body["top_logprobs"], 5);
}

#[test]
fn no_more_is_spent_than_was_allowed() {
    let project = made();
    let stub = Stub::new(honest);
    let priced =
        |limit| [&CHAT[..], &["--price", "10,30", "--concurrency", "1", "--max-cost", limit]].concat();
    let error = judge(&project, &stub, &priced("0.001")).fails(1);
    assert!(error.contains("12 questions") && error.contains("0.00") && error.contains("--limit"), "{error}");
    assert!(stub.asked().is_empty());
    // The server counts more tokens than were expected: the limit holds all the same, and what was paid for is kept.
    let greedy = Stub::new(|number, asked| match honest(number, asked) {
        Does::Answers(status, retry, body) => {
            Does::Answers(status, retry, body.replace("\"prompt_tokens\":100", "\"prompt_tokens\":5000"))
        }
        other => other,
    });
    let error = judge(&project, &greedy, &priced("0.12")).fails(1);
    assert!(error.contains("--max-cost 0.12"), "{error}");
    let asked = greedy.asked().len();
    assert!((1..=3).contains(&asked), "{asked}");
    judge(&project, &greedy, &priced("1")).ok();
    assert_eq!(greedy.asked().len(), 2 * COUNT);
}

#[test]
fn outputs_that_do_not_belong_together_are_refused_and_listed() {
    let project = made();
    let stub = Stub::new(honest);
    let edit = |name: &str, change: &dyn Fn(&mut Vec<Value>)| {
        let mut rows: Vec<Value> =
            serde_json::from_str(&files::read_text(&project.path("model.json")).unwrap()).unwrap();
        change(&mut rows);
        project.write(name, &Value::Array(rows).to_string());
    };
    let args = |file: &'static str| {
        let mut args = vec!["--annotator", "m3_chat", "--model", "m"];
        args.extend(["--base-url", &stub.url]);
        [&["judge", "alpaca_eval", "--outputs", file, "--reference", "reference.json"], &args[..]].concat()
    };
    edit("missing.json", &|rows| drop(rows.drain(1..3)));
    let error = project.m3(&args("missing.json")).fails(1);
    assert!(error.contains("2 of the second") && error.contains("\"What is 1?\""), "{error}");
    edit("twice.json", &|rows| {
        let mut copy = rows[3].clone();
        rows.push(copy.clone());
        copy["output"] = json!("something else");
        rows.push(copy);
    });
    let error = project.m3(&args("twice.json")).fails(1);
    assert!(error.contains("more than one output for 1 of") && error.contains("\"What is 3?\""), "{error}");
    edit("mixed.json", &|rows| rows[0]["generator"] = json!("another"));
    assert!(project.m3(&args("mixed.json")).fails(1).contains("another, model"));
    edit("typed.json", &|rows| rows[2]["output"] = json!(5));
    assert!(project.m3(&args("typed.json")).fails(1).contains("typed.json"));
    project.write("broken.json", "[{\"instruction\": ");
    assert!(project.m3(&args("broken.json")).fails(1).contains("broken.json"));
    let error = judge(&project, &stub, &["--annotator", "gpt9"]).fails(1);
    assert!(error.contains("chatgpt_fn"), "{error}");
    assert!(judge(&project, &stub, &["--annotator", "m3_chat"]).fails(1).contains("--model"));
    assert!(stub.asked().is_empty());
    // What both have can be judged on demand.
    let partial = [&args("missing.json")[..], &["--partial", "--json"]].concat();
    assert_eq!(parsed(&project.m3(&partial))["n_total"], 4);
}

#[test]
fn a_judge_that_breaks_down_is_one_error_and_the_rest_is_asked_later() {
    let project = made();
    let well = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let healed = std::sync::Arc::clone(&well);
    let stub = Stub::new(move |number, asked| {
        if number < 5 || healed.load(std::sync::atomic::Ordering::SeqCst) {
            honest(number, asked)
        } else {
            fails(429, Some("0"), "over your quota", "x")
        }
    });
    let said = judge(&project, &stub, &[&CHAT[..], &["--concurrency", "1"]].concat());
    let error = said.fails(1);
    assert!(error.contains("over your quota") && error.contains("goes on from there"), "{error}");
    assert!(!project.path("m3-runs/judge/model-m3_chat/annotations.json").exists());
    well.store(true, std::sync::atomic::Ordering::SeqCst);
    let before = stub.asked().len();
    judge(&project, &stub, &CHAT).ok();
    assert_eq!(stub.asked().len() - before, 2 * COUNT - 5);
}

/// An annotator in a folder of one's own.
#[test]
fn a_checkpoint_at_hand_compares_likelihoods() {
    let project = made();
    let folder = project.path("own");
    std::fs::create_dir(&folder).unwrap();
    let card = "version = 1\nabout = \"x\"\nsource = \"x\"\norder = \"both\"\n\
                [verdict]\nby = \"log_likelihood\"\nfirst = \" 1\"\nsecond = \" 2\"\nweighted = true\n";
    project.write("own/annotator.toml", card);
    project.write("own/prompt.txt", "{instruction} {output_1} {output_2} better:\n");
    let args = ["judge", "alpaca_eval", "--outputs", "model.json", "--reference", "reference.json"];
    let own = ["--annotator", "own", "--judge", "models/math", "--json"];
    let said = project.m3(&[&args[..], &own].concat());
    said.ok();
    let result = parsed(&said);
    assert_eq!((result["n_total"].as_u64(), result["unscored"].as_u64()), (Some(6), Some(0)));
    assert_eq!(result["annotator"], "own");
    let stored = files::read_text(&project.path("m3-runs/judge/model-own/annotations.json")).unwrap();
    let rows: Value = serde_json::from_str(&stored).unwrap();
    // 2 − p of the two log-likelihoods, shown in order; swapped 3 less it; their mean.
    for row in rows.as_array().unwrap() {
        let pair = |i: usize| {
            let two = &row["raw_completion"][i];
            two[1].as_f64().unwrap() - two[0].as_f64().unwrap()
        };
        let prefers = |apart: f64| 2.0 - 1.0 / (1.0 + apart.exp());
        let mean = f64::midpoint(prefers(pair(0)), 3.0 - prefers(pair(1)));
        assert!((row["preference"].as_f64().unwrap() - mean).abs() < 1e-12, "{row}");
        assert!(row["raw_completion"][0][0].as_f64().unwrap() < 0.0);
    }
    // Again: everything is known.
    assert_eq!(parsed(&project.m3(&[&args[..], &own].concat())), result);
    // A chat annotator has no use for a checkpoint, nor one by likelihood for nothing.
    let chat = ["--annotator", "m3_chat", "--judge", "models/math"];
    assert!(project.m3(&[&args[..], &chat].concat()).fails(1).contains("--base-url"));
    let nobody = project.m3(&[&args[..], &["--annotator", "m3_likelihood"]].concat()).fails(1);
    assert!(nobody.contains("--judge") && nobody.contains("--base-url"), "{nobody}");
}

/// From Python 3.11: `random.Random("is_switched_outputs" + instruction + "0").choices([False, True])` for all instructions of
/// the evaluation set, as a text of 0 and 1; its SHA-256.
#[test]
fn parity_of_the_order_of_all_instructions() {
    #[expect(clippy::disallowed_methods, reason = "a test has no settings")]
    let Ok(shared) = std::env::var("M3_SHARED") else { return };
    let file = PathBuf::from(shared).join("datasets/alpaca_eval2_gpt4_1106_preview_outputs.json");
    let rows: Value = serde_json::from_str(&files::read_text(&file).unwrap()).unwrap();
    let bit = |row: &Value| if is_switched(row["instruction"].as_str().unwrap()) { '1' } else { '0' };
    let bits: String = rows.as_array().unwrap().iter().map(bit).collect();
    assert_eq!((bits.len(), bits.matches('1').count()), (805, 406));
    let hash = Sha256::digest(bits.as_bytes()).iter().fold(String::new(), |hash, b| format!("{hash}{b:02x}"));
    assert_eq!(hash, "8b3d93b6cd014bfa8a673db0a9d5d46cfff8efbafa44b8e7e4ba82878468030e");
}

#[test]
fn killed_at_any_time_a_judgement_goes_on_and_pays_for_nothing_twice() {
    let project = made();
    let stub = Stub::new(|number, asked| {
        std::thread::sleep(std::time::Duration::from_millis(60));
        honest(number, asked)
    });
    let args =
        ["judge", "alpaca_eval", "--outputs", "model.json", "--reference", "reference.json", "--base-url"];
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_m3"))
        .args(args)
        .arg(&stub.url)
        .args(CHAT)
        .args(["--concurrency", "1"])
        .current_dir(project.root())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    while stub.asked().len() < 5 {
        assert!(child.try_wait().unwrap().is_none(), "it ended by itself");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let text = files::read_text(&project.path("m3-runs/replies.jsonl")).unwrap();
    let (asked, kept) = (stub.asked().len(), text.lines().count());
    assert!(kept >= 4 && asked - kept <= 1, "{asked} asked, {kept} kept");
    let result = parsed(&judge(&project, &stub, &CHAT));
    assert_eq!((result["n_wins"].as_u64(), stub.asked().len() - asked), (Some(4), 2 * COUNT - kept));
}

/// A server that repeats a prompt with its log-probabilities, one token for each word; it likes good answers.
#[test]
fn likelihoods_are_taken_from_a_server_that_tells_them() {
    let project = made();
    let echo = |with_echo: bool| {
        Stub::new(move |_, asked| {
            let prompt = asked.body["prompt"].as_str().unwrap();
            let words: Vec<&str> = prompt.split_whitespace().collect();
            let first = prompt.split("### Answer B").next().unwrap().contains("a good answer");
            let likes = if prompt.ends_with(" A") { first } else { !first };
            let mut of_words: Vec<Value> = vec![json!(-1.0); words.len()];
            of_words[0] = Value::Null;
            *of_words.last_mut().unwrap() = json!(if likes { -0.5 } else { -2.5 });
            let mut tokens: Vec<Value> = words.iter().map(|w| json!(w)).collect();
            tokens.push(json!("."));
            of_words.push(json!(-0.1));
            let logprobs = if with_echo && asked.body["echo"] == true {
                json!({"tokens": tokens, "token_logprobs": of_words, "top_logprobs": null})
            } else {
                json!({"tokens": ["."], "token_logprobs": [-0.1]})
            };
            let reply = json!({"choices": [{"text": ".", "finish_reason": "length", "logprobs": logprobs}],
                "usage": {"prompt_tokens": words.len(), "completion_tokens": 1}});
            Does::Answers(200, None, reply.to_string())
        })
    };
    let likelihood = ["--annotator", "m3_likelihood", "--model", "m"];
    let deaf = judge(&project, &echo(false), &likelihood).fails(1);
    assert!(deaf.contains("log-probabilities of a prompt") && deaf.contains("vLLM"), "{deaf}");
    let stub = echo(true);
    let result = parsed(&judge(&project, &stub, &likelihood));
    // The verdicts differ by two nats: p = 1/(1 + e^-2) for the 4 that the model wins, 1 - p for the others.
    let p = 1.0 / (1.0 + (-2.0_f64).exp());
    let rate = 100.0 * (4.0 * p + 2.0 * (1.0 - p)) / 6.0;
    assert!((result["win_rate"].as_f64().unwrap() - rate).abs() < 1e-9, "{result}");
    assert!(result["position_bias"]["points"].as_f64().unwrap().abs() < 1e-9);
    // For each of 12 questions: the prompt alone, and each verdict.
    assert_eq!(stub.asked().len(), 36);
}

// ── Answers and verdicts in one command ─────────────────────────────────────────────────────────────────────────────

/// Answers are made, put to a judge, and summed up by one command.
#[test]
fn eval_judges_what_it_has_asked() {
    let project = Project::new();
    std::fs::create_dir(project.path("own")).unwrap();
    let card = "version = 1\nabout = \"x\"\nsource = \"x\"\norder = \"both\"\n\
                [verdict]\nby = \"log_likelihood\"\nfirst = \" 1\"\nsecond = \" 2\"\nweighted = true\n";
    project.write("own/annotator.toml", card);
    project.write("own/prompt.txt", "{instruction} {output_1} {output_2} better:\n");
    let eval = |more: &[&str]| {
        let args = ["eval", "models/math", "--bench", "alpaca_eval", "--limit", "8", "--json"];
        project.m3_with(&[&args[..], more].concat(), &[("OPENAI_API_KEY", "sk-sesame")])
    };
    let said = eval(&["--annotator", "own", "--judge", "models/base"]);
    said.ok();
    let result = parsed(&said)["results"][0].take();
    let judged = &result["judged"];
    assert_eq!(
        (&result["metric"], &result["n"], &result["unscored"]),
        (&json!("win_rate"), &json!(8), &json!(0))
    );
    assert_eq!((&judged["annotator"], &judged["reference"]), (&json!("own"), &json!("reference")));
    let rate = judged["win_rate"].as_f64().unwrap();
    assert!((rate - 100.0 * result["mean"].as_f64().unwrap()).abs() < 1e-9, "{result}");
    let bound = |at: usize| result["ci95"][at].as_f64().unwrap();
    assert!(
        bound(0) <= rate / 100.0 && rate / 100.0 <= bound(1) && judged["position_bias"]["n"].is_u64(),
        "{result}"
    );
    // The verdicts alone say the same, and the second time nobody is asked.
    let stored = format!("{}/annotations.json", judged["results"].as_str().unwrap());
    let replayed = parsed(&project.m3(&["judge", "alpaca_eval", "--annotations", &stored, "--json"]));
    assert_eq!(replayed["win_rate"], judged["win_rate"]);
    let replies = || files::read_text(&project.path("m3-runs/replies.jsonl")).unwrap().lines().count();
    let before = replies();
    assert_eq!(
        parsed(&eval(&["--annotator", "own", "--judge", "models/base"]))["results"][0]["judged"],
        *judged
    );
    assert_eq!(replies(), before);
    let table = project
        .m3(&[
            "eval",
            "models/math",
            "--bench",
            "alpaca_eval",
            "--limit",
            "8",
            "--annotator",
            "own",
            "--judge",
            "models/base",
        ])
        .ok();
    assert!(table.contains("judged by own against reference") && table.contains("position bias"), "{table}");

    // A chat judge on a server, which says nothing that counts about two of the answers.
    let stub = Stub::new(|number, _| says(if number < 2 { "neither" } else { "Verdict: B" }));
    let chat = ["--annotator", "m3_chat", "--judge-model", "j", "--order", "seeded", "--concurrency", "1"];
    let said = eval(&[&chat[..], &["--judge-url", &stub.url]].concat());
    assert_eq!(said.0.status.code(), Some(3), "{}", said.stderr());
    let result = parsed(&said)["results"][0].take();
    assert_eq!((&result["n"], &result["unscored"]), (&json!(6), &json!(2)));
    assert!(stub.asked().iter().all(|a| a.body["model"] == "j"));
    holds_no_key(&project, &said);

    // What is wrong is said before the model is asked.
    project.write("other.json", &json!([{"instruction": "x", "output": "y", "generator": "z"}]).to_string());
    let other = eval(&["--annotator", "own", "--judge", "models/base", "--reference", "other.json"]).fails(1);
    assert!(other.contains("8 of 8 instructions") && other.contains("other.json"), "{other}");
    assert!(eval(&["--annotator", "gpt9"]).fails(1).contains("chatgpt_fn"));
    assert!(eval(&["--annotator", "m3_chat"]).fails(1).contains("--judge-model"));
    assert!(eval(&["--annotator", "m3_chat", "--judge", "models/math"]).fails(1).contains("--base-url"));
    let none = ["eval", "models/math", "--bench", "gsm8k", "--annotator", "own", "--judge", "models/base"];
    assert!(project.m3(&none).fails(1).contains("--bench names none"));
}

// ── The embedded judge ──────────────────────────────────────────────────────────────────────────────────────────────

/// A row of the table about the judge in `scripts/family/FIGURES.md`: agreement and position bias of all pairs.
fn stated() -> (f64, f64) {
    let text = files::read_text(&home().join("scripts/family/FIGURES.md")).unwrap();
    let part = text.split("## The judge").nth(1).expect("FIGURES.md has a part about the judge");
    let row = part.lines().find(|line| line.starts_with("| all |")).unwrap();
    let cells: Vec<&str> = row.split('|').map(str::trim).collect();
    (cells[3].parse().unwrap(), cells[7].parse().unwrap())
}

/// On pairs whose better answer is known it is right as often as is said of it, and prefers no place.
#[test]
fn the_embedded_judge_is_as_good_as_is_said() {
    let project = Project::new();
    let side = |name: &str| home().join("datasets/tiny/judge").join(name).to_str().unwrap().to_owned();
    let (better, worse) = (side("better.jsonl"), side("worse.jsonl"));
    let args =
        ["judge", "alpaca_eval", "--outputs", &better, "--reference", &worse, "--annotator", "m3_tiny"];
    let result = parsed(&project.m3(&[&args[..], &["--json"]].concat()));
    let (agreement, bias) = stated();
    assert!(agreement >= 85.0 && bias.abs() < 5.0, "{agreement} {bias}");
    let [found, points] = [&result["discrete_win_rate"], &result["position_bias"]["points"]]
        .map(|figure| figure.as_f64().unwrap());
    // The figures were made by another program, whose sums are rounded otherwise.
    assert!(
        (found - agreement).abs() < 0.5 && (points - bias).abs() < 0.3,
        "{found} {points}: {agreement} {bias}"
    );
    assert!(result["n_total"].as_u64() >= Some(600) && result["unscored"] == 0, "{result}");
    // What it is stands beside its figures, wherever they stand; there is no network, and no other flag is needed.
    let nature = result["notice"].as_str().unwrap();
    assert!(nature.contains("embedded"), "{nature}");
    assert!(project.m3(&args).ok().contains(nature));
    let stored = result["results"].as_str().unwrap().to_owned() + "/annotations.json";
    assert!(project.m3(&["judge", "alpaca_eval", "--annotations", &stored]).ok().contains(nature));
    let eval = ["eval", "models/math", "--bench", "alpaca_eval", "--annotator", "m3_tiny", "--limit", "8"];
    let said = project.m3(&eval).ok();
    assert!(said.contains("judged by m3_tiny") && said.contains(nature), "{said}");
}

/// The length-controlled model's file is fetched by name, and what the hub announces is held against it.
#[cfg(feature = "hub")]
#[test]
fn difficulties_are_fetched_by_name() {
    let project = made();
    let stub = Stub::new(honest);
    judge(&project, &stub, &CHAT).ok();
    let stored = "m3-runs/judge/model-m3_chat/annotations.json";
    let args = ["judge", "alpaca_eval", "--annotations", stored, "--gamed", "hub"];
    let cache = project.path("cache");
    let offline = project.m3_with(&args, &[("HF_HOME", cache.to_str().unwrap())]).fails(1);
    assert!(offline.contains("tatsu-lab/alpaca_eval") && offline.contains("HF_HUB_OFFLINE"), "{offline}");
    // As the cache of the hub's tools has it.
    let place = cache.join("hub/datasets--tatsu-lab--alpaca_eval");
    let commit = "0123456789abcdef0123456789abcdef01234567";
    let row = |i: usize, own: bool| {
        let not_gamed = if own { "True" } else { "False" };
        format!("0.{},{i},{}.5,{}.25,{not_gamed}\n", 3 + i % 5, i % 3, i % 2)
    };
    let rows: String = (0..2 * COUNT).map(|i| row(i % COUNT, i < COUNT)).collect();
    let text = format!("preference,index,std_delta_len,instruction_difficulty,not_gamed_baseline\n{rows}");
    let hash = Sha256::digest(text.as_bytes()).iter().fold(String::new(), |hash, b| format!("{hash}{b:02x}"));
    let put = |name: &str| {
        for folder in ["blobs", "refs", &format!("snapshots/{commit}")] {
            std::fs::create_dir_all(place.join(folder)).unwrap();
        }
        std::fs::write(place.join("refs/main"), commit).unwrap();
        std::fs::write(place.join("blobs").join(name), &text).unwrap();
        let link = place.join(format!("snapshots/{commit}/df_gamed.csv"));
        let _ = std::fs::remove_file(&link);
        std::os::unix::fs::symlink(format!("../../blobs/{name}"), link).unwrap();
    };
    put(&hash);
    let said = project.m3_with(&[&args[..], &["--json"]].concat(), &[("HF_HOME", cache.to_str().unwrap())]);
    let result = parsed(&said);
    assert_eq!(
        (&result["length_controlled"]["glm"], &result["gamed_sha256"]),
        (&json!("length_controlled_v1"), &json!(hash))
    );
    assert!(said.stderr().contains(&hash), "{}", said.stderr());
    put(&"0".repeat(64));
    let wrong = project.m3_with(&args, &[("HF_HOME", cache.to_str().unwrap())]).fails(1);
    assert!(wrong.contains("not those that the hub announced"), "{wrong}");
}
