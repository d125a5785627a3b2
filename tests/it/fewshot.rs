//! What stands around a question: solved examples and a model's chat template.

use crate::bench::reference;
use crate::cli::{Project, home};
use m3::bench::{Benchmark, Context, DataSource, Split};
use m3::digest::{Digest, sha256};
use serde_json::{Value, json};
use std::path::Path;

const EXAMPLE: &str = "benchmarks/examples/gsm8k_fewshot";

/// The example with `from` in its card replaced.
fn changed(project: &Project, from: &str, to: &str) -> Benchmark {
    let folder = project.path("gsm8k_fewshot");
    std::fs::create_dir_all(&folder).unwrap();
    for file in ["benchmark.toml", "prompt.jinja", "cases.json"] {
        let text = std::fs::read_to_string(home().join(EXAMPLE).join(file)).unwrap();
        let text = if file == "benchmark.toml" { text.replacen(from, to, 1) } else { text };
        std::fs::write(folder.join(file), text).unwrap();
    }
    Benchmark::from_folder(&folder).unwrap()
}

/// The SHA-256 of all prompts of the test split as JSON texts, and the first one.
fn summary(benchmark: &Benchmark, data: &DataSource) -> (String, Value) {
    let mut all = String::new();
    let mut first = None;
    for item in benchmark.items(data, Split::Test).unwrap() {
        let prompt = match benchmark.context(&item).unwrap() {
            Context::Text(text) => json!(text),
            Context::Chat(turns) => json!(turns),
        };
        // Keys in the reference's order, which a map of JSON would not keep.
        let text = match &prompt {
            Value::Array(turns) => {
                let turn =
                    |turn: &Value| format!("{{\"role\":{},\"content\":{}}}", turn["role"], turn["content"]);
                format!("[{}]", turns.iter().map(turn).collect::<Vec<_>>().join(","))
            }
            text => text.to_string(),
        };
        all += &text;
        first.get_or_insert(prompt);
    }
    (sha256(all.as_bytes()), first.unwrap())
}

/// `scripts/golden/fewshot.py` wrote the golden file with lm-evaluation-harness.
#[test]
fn prompts_are_those_of_lm_evaluation_harness() {
    let golden: Value = serde_json::from_str(include_str!("../golden/fewshot.json")).unwrap();
    let embedded = DataSource::Embedded(home().join("datasets/tiny"));
    let project = Project::new();
    let cases = golden["embedded"].as_array().unwrap();
    assert_eq!(cases.len(), 12);
    for case in cases {
        let flag = |key: &str| case[key].as_bool().unwrap();
        let config = format!(
            "apply_chat_template = {}\nfewshot_as_multiturn = {}\nfewshot_config = {{ split = {}, sampler = {}",
            flag("chat"),
            flag("turns"),
            case["split"],
            case["sampler"]
        );
        let benchmark = changed(&project, "fewshot_config = { split = \"train\"", &config);
        let (digest, first) = summary(&benchmark, &embedded);
        assert_eq!(first, case["first"], "{case}");
        assert_eq!(json!(digest), case["sha256"], "{case}");
    }
    if let Some(reference) = reference() {
        let published = Benchmark::from_folder(&home().join(EXAMPLE)).unwrap();
        let (digest, _) = summary(&published, &DataSource::Folder(reference.datasets));
        assert_eq!(json!(digest), golden["published"]);
    }
}

#[test]
fn what_is_wrong_with_examples_is_said() {
    let project = Project::new();
    let refused = |from: &str, to: &str, said: &[&str]| {
        changed(&project, "", "");
        let card = project.path("gsm8k_fewshot/benchmark.toml");
        let text = std::fs::read_to_string(&card).unwrap();
        assert!(text.contains(from), "{from}");
        std::fs::write(&card, text.replacen(from, to, 1)).unwrap();
        let answer = project.m3(&["bench", "check", "gsm8k_fewshot"]);
        assert_eq!(answer.0.status.code(), Some(1), "{to}");
        let e = answer.stderr();
        for part in said {
            assert!(e.contains(part), "{to}: {e}");
        }
    };
    let both = "{ split = \"train\", samples = [{ question = \"q\" }]";
    refused("{ split = \"train\"", both, &["benchmark.toml", "`split` and `samples`"]);
    refused("{ split = \"train\", ", "{ ", &["`fewshot_config`", "`num_fewshot` wants some"]);
    refused(", doc_to_target = \"answer\"", "", &["fewshot_config.doc_to_target", "left out"]);
    refused("= \"answer\" }", "= \"gold\" }", &["`gold`", "doc_to_target"]);
    refused("= \"answer\" }", "= \"{{ gold }}\" }", &["doc_to_target", "undefined", "`answer`"]);
    refused("= \"answer\" }", "= \"{{ answer\" }", &["doc_to_target", "is not a prompt template"]);
}

#[test]
fn examples_may_stand_in_the_card() {
    let project = Project::new();
    let samples = "samples = [{ question = \"1 + 1?\", answer = \"2\" }, { question = \"1 + 2?\", answer = \"3\" }], \
                   sampler = \"first_n\"";
    let benchmark = changed(&project, "num_fewshot = 5", "num_fewshot = 2\ndescription = \"Sums.\\n\"");
    drop(benchmark);
    let card = project.path("gsm8k_fewshot/benchmark.toml");
    let text = std::fs::read_to_string(&card).unwrap().replacen("split = \"train\"", samples, 1);
    std::fs::write(&card, text.replacen("\"answer\" }", "\"It is {{ answer }}.\" }", 1)).unwrap();
    let shown = project.m3(&["bench", "check", "gsm8k_fewshot", "--prompts", "1"]).ok();
    let prompt =
        "Sums.\nQuestion: 1 + 1?\nAnswer: It is 2.\n\nQuestion: 1 + 2?\nAnswer: It is 3.\n\nQuestion: ";
    assert!(shown.contains(prompt), "{shown}");
    let shown = project.m3(&["bench", "show", "gsm8k_fewshot"]).ok();
    assert!(shown.contains("2 from the card"), "{shown}");
    let few = project.m3(&["eval", "models/base", "--bench", "gsm8k_fewshot", "--num-fewshot", "3"]).fails(1);
    assert!(few.contains("behind 3 solved examples") && few.contains("has 2"), "{few}");
}

/// The digests of a run's prompts.
fn prompts(runs: &Path) -> Vec<String> {
    let run = std::fs::read_dir(runs.join("runs")).unwrap().next().unwrap().unwrap().path();
    let text = std::fs::read_to_string(run.join("records.jsonl")).unwrap();
    let rows = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    rows.filter_map(|row| Some(row["answer"]["prompt"].as_str()?.to_owned())).collect()
}

#[test]
fn a_question_may_be_asked_in_the_models_own_chat_template() {
    let project = Project::new();
    let eval = |more: &[&str]| {
        let line = ["eval", "models/math", "--bench", "gsm8k", "--limit", "1", "--out", "runs"];
        project.m3(&[&line[..], more].concat())
    };
    let none = eval(&["--chat"]).fails(1);
    assert!(none.contains("chat template") && none.contains("tokenizer_config.json"), "{none}");
    let alone = eval(&["--system", "Be brief."]).fails(1);
    assert!(alone.contains("system_instruction") && alone.contains("apply_chat_template"), "{alone}");

    let config = project.path("models/math/tokenizer_config.json");
    let mut tokenizer: Value = serde_json::from_str(&std::fs::read_to_string(&config).unwrap()).unwrap();
    tokenizer["chat_template"] =
        json!("{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}<assistant>");
    std::fs::write(&config, tokenizer.to_string()).unwrap();
    eval(&["--chat", "--system", "Be brief."]).ok();
    let gsm8k = Benchmark::load(&"gsm8k".into()).unwrap();
    let embedded = DataSource::Embedded(home().join("datasets/tiny"));
    let item = gsm8k.items(&embedded, Split::Test).unwrap().swap_remove(0);
    let question = gsm8k.context(&item).unwrap();
    let text = format!("<system>Be brief.<user>{question}<assistant>");
    assert_eq!(prompts(&project.path("runs")), [Digest::of_bytes(text.as_bytes()).to_string()]);
}
