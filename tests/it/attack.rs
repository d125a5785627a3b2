//! Attacks on prompts: against the reference's own traces where they are at hand, and what must hold for any prompt.
#![expect(clippy::print_stdout, reason = "the parity test reports what it compared")]

use crate::cli::{Project, home};
use m3::attack::{
    Accuracy, Attack, AttackError, AttackName, AttackedText, CONTENT, Found, Resources, Rules, Stage, Victim,
    WordRule, drop_rate,
};
use proptest::prelude::*;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The stand-ins for a model that the traces were made with.
struct Stub<'s>(&'s str);

/// The two prompts of the paper, which two of the stand-ins know.
const PAPER: [&str; 2] = [
    "As a sentiment classifier, determine whether the following text is 'positive' or 'negative'.\nText:{content}\nPlease respond with 'positive' or 'negative'.",
    "As a grammar identification system, examine the provided sentence and respond with 'acceptable' for grammatically correct sentences or 'unacceptable' for incorrect ones.\nSentence:{content}\nPlease respond with 'acceptable' or 'unacceptable'.",
];

impl Stub<'_> {
    fn answer(&self, prompt: &str) -> f64 {
        let digest = Sha256::digest(prompt.as_bytes());
        let hash = u64::from(u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]]));
        let known = PAPER.contains(&prompt);
        let thousand = (hash % 1001) as f64 / 1000.0;
        match self.0 {
            "hash1000" => thousand,
            "hash5" => (hash % 5) as f64 / 4.0,
            "const0.9" => 0.9,
            "zero" => 0.0,
            "length" => {
                let length = prompt.chars().count() as f64;
                format!("{:.6}", (1.0 - length / 600.0).max(0.0)).parse().unwrap()
            }
            "zero_first" => {
                if known {
                    0.0
                } else {
                    thousand
                }
            }
            "sensitive" if known => 1.0,
            "sensitive" => format!("{:.6}", 0.5 + (hash % 500) as f64 / 1000.0).parse().unwrap(),
            other => panic!("an unknown stand-in: {other}"),
        }
    }
}

impl Victim for Stub<'_> {
    fn accuracy(&mut self, prompt: &str, _: Option<f64>) -> Result<Accuracy, AttackError> {
        Ok(Accuracy::Exact(self.answer(prompt)))
    }
}

fn traces() -> Option<Vec<Value>> {
    let folder = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let folder = folder("M3_PARITY").or_else(|| Some(folder("M3_SHARED")?.join("parity/visible")));
    let Some(folder) = folder else {
        println!("not asked for: neither M3_SHARED nor M3_PARITY is set");
        return None;
    };
    let text = std::fs::read_to_string(folder.join("promptbench_traces.jsonl")).unwrap();
    Some(text.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
}

/// What a trace says happened.
#[derive(Debug, PartialEq)]
struct Trace {
    words: Vec<String>,
    queries: Vec<(String, f64)>,
    /// The last two numbers and the prompt that won; none where the reference stops with an exception.
    won: Option<(String, f64, String)>,
}

fn theirs(row: &Value) -> Trace {
    let query = |q: &Value| (q[0].as_str().unwrap().to_owned(), q[1].as_f64().unwrap());
    let result = &row["result"];
    let won = result.get("raises").is_none().then(|| {
        let rate = result["PDR"].as_f64().map_or_else(|| "inf".to_owned(), |rate| format!("{rate:.12}"));
        let prompt = result["attacked prompt"].as_str().unwrap().to_owned();
        (prompt, result["attacked score"].as_f64().unwrap(), rate)
    });
    Trace {
        words: row["words"].as_array().unwrap().iter().map(|w| w.as_str().unwrap().to_owned()).collect(),
        queries: row["queries"].as_array().unwrap().iter().map(query).collect(),
        won,
    }
}

fn ours(row: &Value) -> Trace {
    let text = |key: &str| row[key].as_str().unwrap();
    let base = match text("vendored") {
        "paper" => Rules::PAPER,
        "pip" => Rules { positions: None, ..Rules::PAPER },
        other => panic!("{other}"),
    };
    let words = match text("textattack") {
        "0.3.7" => WordRule::TextAttack037,
        "0.3.11" => WordRule::TextAttack0311,
        other => panic!("{other}"),
    };
    let rules = Rules { words, ..base };
    let protected: Vec<String> = row["unmodifiable_words"]
        .as_array()
        .unwrap()
        .iter()
        .map(|w| w.as_str().unwrap().to_owned())
        .collect();
    let attack =
        Attack::new(text("attack").parse().unwrap(), rules, &protected, &Resources::default()).unwrap();
    let seed = u32::try_from(row["seed"].as_u64().unwrap()).unwrap();
    let found = attack.run(text("prompt"), &mut Stub(text("stub_model")), seed, None).unwrap();
    let (clean, worst) = (found.clean().accuracy.value(), found.winner().accuracy.value());
    let rate = drop_rate(clean, worst);
    // The paper's copy says `inf` where the published one divides by zero.
    let raises = rate.is_none() && text("vendored") == "pip";
    let rate = rate.map_or_else(|| "inf".to_owned(), |rate| format!("{rate:.12}"));
    Trace {
        words: AttackedText::new(text("prompt"), words).words().to_vec(),
        queries: found.queries.iter().map(|q| (q.prompt.clone(), q.accuracy.value())).collect(),
        won: (!raises).then(|| (found.winner().prompt.clone(), worst, rate)),
    }
}

#[test]
fn parity_with_the_references_traces() {
    let Some(rows) = traces() else { return };
    let mut sets: BTreeMap<String, (usize, Vec<Value>, Vec<String>)> = BTreeMap::new();
    for row in &rows {
        let name = format!("attacks, {}", row["attack"].as_str().unwrap());
        let (count, apart, details) = sets.entry(name).or_default();
        *count += 1;
        let (ours, theirs) = (ours(row), theirs(row));
        if ours != theirs {
            let first = ours.queries.iter().zip(&theirs.queries).position(|(a, b)| a != b);
            let shown =
                first.map(|at| format!("ours {:?}, theirs {:?}", ours.queries[at], theirs.queries[at]));
            details.push(format!(
                "{}: {} and {} queries, the first that differs is {first:?}: {}; won {:?} and {:?}",
                row["id"],
                ours.queries.len(),
                theirs.queries.len(),
                shown.unwrap_or_default(),
                ours.won,
                theirs.won,
            ));
            apart.push(row["id"].clone());
        }
    }
    let mut failed = Vec::new();
    for (name, (rows, apart, details)) in sets {
        let agree = rows - apart.len();
        println!("{name}: {rows} rows, {agree} agree");
        for line in &details {
            println!("  {line}");
        }
        let counts = json!({
            "set": name, "rows": rows, "agree": agree, "left_out": 0, "disagree": apart, "details": details
        });
        // For `scripts/parity`. Libtest may have begun this line.
        println!("\nparity-json {counts}");
        failed.extend(apart);
    }
    assert!(!rows.is_empty() && failed.is_empty(), "{} traces disagree: {failed:?}", failed.len());
}

/// Every prompt that an attack asks before a model has been asked anything.
fn preview(name: AttackName, rules: Rules, prompt: &str, seed: u32) -> Vec<String> {
    let labels = ["positive".to_owned(), "negative".to_owned()];
    let attack = Attack::new(name, rules, &rules.protected(&labels), &Resources::default()).unwrap();
    attack.askable().preview(prompt, seed).unwrap().into_iter().map(|(_, prompt)| prompt).collect()
}

const RANDOM: [AttackName; 3] = [AttackName::StressTest, AttackName::CheckList, AttackName::DeepWordBug];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn protected_words_and_the_place_of_the_text_are_never_touched(
        before in "[a-zA-Zé🦙'\"(.,;\\-\n ]{0,40}",
        after in "[a-zA-Z中ß'\"?!:\n ]{0,40}",
        seed in 0..1000_u32,
    ) {
        let prompt = format!("{before} 'positive', ({{content}}) or 'negative' {after}.");
        for name in RANDOM {
            for rules in [Rules::PAPER, Rules::STANDARD] {
                for asked in preview(name, rules, &prompt, seed) {
                    prop_assert_eq!(asked.matches(CONTENT).count(), 1, "{}: {:?}", name, asked);
                    prop_assert_eq!(asked.matches(['{', '}']).count(), 2);
                    for label in ["'positive'", "'negative"] {
                        prop_assert!(asked.contains(label), "{}: {:?}", name, asked);
                    }
                }
            }
        }
    }

    #[test]
    fn what_is_not_replaced_stays_byte_for_byte(text in "\\PC{0,60}", index in 0..10_usize) {
        for rule in [WordRule::TextAttack037, WordRule::TextAttack0311] {
            let read = AttackedText::new(&text, rule);
            if let Some(word) = read.words().get(index).cloned() {
                let same = read.replace(index, &word);
                prop_assert_eq!(same.text(), text.as_str());
                let new = read.replace(index, "zzz");
                prop_assert_eq!(new.words().len(), read.words().len());
                prop_assert_eq!(&new.words()[index], "zzz");
            }
        }
    }
}

/// Says `AtLeast` as soon as it may, as a model on a data set does.
struct Hasty<'s>(Stub<'s>, usize);

impl Victim for Hasty<'_> {
    fn accuracy(&mut self, prompt: &str, hopeless: Option<f64>) -> Result<Accuracy, AttackError> {
        let whole = self.0.answer(prompt);
        match hopeless.filter(|hopeless| whole >= *hopeless) {
            Some(hopeless) => {
                self.1 += 1;
                Ok(Accuracy::AtLeast(f64::midpoint(hopeless, whole)))
            }
            None => Ok(Accuracy::Exact(whole)),
        }
    }
}

#[test]
fn giving_up_hopeless_candidates_does_not_change_the_winner() {
    let labels = ["positive".to_owned(), "negative".to_owned()];
    let mut given_up = 0;
    for stub in ["hash1000", "hash5", "length", "sensitive", "const0.9", "zero_first"] {
        for name in RANDOM {
            for seed in 0..8 {
                let rules = |bounded| Rules { bounded, ..Rules::STANDARD };
                let attack = |rules: Rules| {
                    Attack::new(name, rules, &rules.protected(&labels), &Resources::default()).unwrap()
                };
                let whole = attack(rules(false)).run(PAPER[0], &mut Stub(stub), seed, None).unwrap();
                let mut hasty = Hasty(Stub(stub), 0);
                let quick = attack(rules(true)).run(PAPER[0], &mut hasty, seed, None).unwrap();
                given_up += hasty.1;
                let prompts =
                    |found: &Found| found.queries.iter().map(|q| q.prompt.clone()).collect::<Vec<_>>();
                assert_eq!(
                    (prompts(&quick), quick.winner),
                    (prompts(&whole), whole.winner),
                    "{stub} {name} {seed}"
                );
                assert!(matches!(quick.winner().accuracy, Accuracy::Exact(_)));
            }
        }
    }
    assert!(given_up > 1000, "{given_up}");
}

#[test]
fn a_budget_ends_the_search_with_what_was_found() {
    let attack =
        Attack::new(AttackName::DeepWordBug, Rules::PAPER, &["content".to_owned()], &Resources::default())
            .unwrap();
    let whole = attack.run(PAPER[0], &mut Stub("hash1000"), 1, None).unwrap();
    for budget in 1..whole.queries.len() {
        let found = attack.run(PAPER[0], &mut Stub("hash1000"), 1, Some(budget)).unwrap();
        assert_eq!(found.queries, whole.queries[..budget]);
        assert!(found.out_of_budget && found.winner < budget);
    }
    assert!(whole.queries.iter().any(|q| q.stage == Stage::Ranking));
}

fn lm() -> String {
    home().join("models/tiny/lm").to_str().unwrap().to_owned()
}

#[test]
fn a_preview_needs_no_model_and_says_every_candidate() {
    let project = Project::new();
    let args = [
        "attack",
        "preview",
        "--attack",
        "stresstest,checklist",
        "--prompt",
        "Good or bad? {content}\nAnswer:",
    ];
    let said = project.m3(&args).ok();
    assert_eq!(said.lines().count(), 53, "{said}");
    assert!(said.contains("Answer  and false is not true :"), "{said}");
    let json = project.m3(&[&args[..], &["--json"]].concat()).ok();
    assert!(
        json.lines().all(|line| serde_json::from_str::<Value>(line).is_ok_and(|v| v["stage"] == "candidate"))
    );
}

#[test]
fn what_cannot_be_attacked_is_refused_before_the_model_is_opened() {
    let project = Project::new();
    let attack =
        |more: &[&str]| project.m3(&[&["attack", "no/model", "--bench", "sst2"], more].concat()).fails(1);
    let prompt = |prompt: &str| attack(&["--attack", "stresstest", "--prompt", prompt]);
    assert!(prompt("'positive' or 'negative'?").contains("0 times `{content}`"));
    assert!(prompt("positive or negative: {content").contains("balanced"));
    assert!(prompt("Is it positive? {content}").contains("`negative`"));
    assert!(attack(&["--attack", "sonnet"]).contains("deepwordbug"));
    assert!(attack(&["--attack", "stresstest", "--labels", "neutral"]).contains("`neutral`"));
    assert!(attack(&["--attack", "textfooler"]).contains("--synonyms"));
    assert!(attack(&["--attack", "semantic"]).contains("--prompts"));
    project.write("words.txt", "good 1 0\nbad 1\n");
    assert!(attack(&["--attack", "textbugger", "--synonyms", "words.txt"]).contains("line 2"));
    project.write("prompts.json", "[1]");
    assert!(attack(&["--attack", "semantic", "--prompts", "prompts.json"]).contains("prompts.json"));
    // A Llama is no masked language model.
    assert!(attack(&["--attack", "bertattack", "--masked-lm", "models/math"]).contains("`model_type`"));
    let said = project.m3(&["attack", "no/model", "--bench", "gsm8k", "--attack", "stresstest"]).fails(1);
    assert!(said.contains("gsm8k") && said.contains("labels"), "{said}");
    std::fs::create_dir(project.path("empty")).unwrap();
    std::fs::write(project.path("empty/sst2_dev.tsv"), "label\tsentence\n").unwrap();
    assert!(attack(&["--attack", "stresstest", "--data", "empty"]).contains("has no rows"));
    assert!(attack(&["--attack", "stresstest"]).contains("no/model"));
}

#[test]
fn a_model_that_names_no_label_is_named() {
    let project = Project::new();
    let args = [
        "attack",
        "models/code",
        "--bench",
        "sst2",
        "--attack",
        "stresstest",
        "--limit",
        "4",
        "--out",
        "out",
    ];
    let said = project
        .m3(&[&args[..], &["--prompt", "def positive(negative): # {content}\nimport"]].concat())
        .fails(1);
    assert!(said.contains("no label of sst2") && said.contains("4 answers"), "{said}");
}

#[test]
fn an_attack_says_what_it_costs_and_is_not_made_twice() {
    let project = Project::new();
    let lm = lm();
    let args = [
        "attack",
        &lm,
        "--bench",
        "sst2",
        "--attack",
        "stresstest,deepwordbug",
        "--limit",
        "12",
        "--out",
        "out",
    ];
    let said = project.m3(&args).ok();
    for wanted in ["clean", "attacked", "invalid", "worst prompt", "prompts asked", "stresstest on sst2"] {
        assert!(said.contains(wanted), "{wanted}: {said}");
    }
    let runs = || std::fs::read_dir(project.path("out/runs")).unwrap().count();
    let before = runs();
    let json = project.m3(&[&args[..], &["--json"]].concat()).ok();
    let value: Value = serde_json::from_str(&json).unwrap();
    let stress = &value["attacks"][0];
    assert_eq!(stress["queries"].as_array().unwrap().len(), 4);
    assert_eq!(stress["clean"]["n"], 12);
    assert_eq!(value["attacks"][1]["queries"].as_array().unwrap().len(), 16, "the paper's profile");
    // The clean prompt is shared; everything is known from the first time.
    assert_eq!((before, runs()), (19, 19));
    assert_eq!((&stress["tokens"]["run"], &stress["labels_by"]), (&json!(0), &json!("generation")));
    let standard =
        project.m3(&[&args[..], &["--json", "--profile", "standard", "--budget", "3"]].concat()).ok();
    let value: Value = serde_json::from_str(&standard).unwrap();
    assert_eq!(value["attacks"][0]["queries"].as_array().unwrap().len(), 3);
    assert_eq!(value["attacks"][0]["out_of_budget"], true);
}

/// What candidates have in common is computed once, whether labels are generated or weighed, and the accuracies are those of prompts
/// that are asked one after the other.
#[test]
fn prompts_are_asked_together_and_say_what_they_say_alone() {
    let project = Project::new();
    let lm = lm();
    let attack = |by: &str, attack: &str, out: &str| -> Value {
        let args = ["attack", &lm, "--bench", "cola", "--attack", attack, "--labels-by", by, "--limit", "24"];
        let said = project.m3(&[&args[..], &["--out", out, "--json"]].concat()).ok();
        serde_json::from_str::<Value>(&said).unwrap()["attacks"][0].take()
    };
    for by in ["generation", "likelihood"] {
        let found = attack(by, "checklist", by);
        assert_eq!(found["labels_by"], by);
        let of = |key: &str| found["tokens"][key].as_u64().unwrap();
        let (run, alone) = (of("run"), of("one_example_a_call"));
        println!("{by}: {run} tokens run, {alone} one example a call");
        assert!(5 * run <= alone, "{by}: {run} of {alone}");
        // One prompt after the other, as a budget of two makes them be asked.
        let prompts = found["queries"].as_array().unwrap();
        let answered = |query: &&Value| query["accuracy"]["exact"].as_f64().is_some_and(|share| share > 0.0);
        for query in prompts.iter().filter(answered).take(3) {
            let prompt = query["prompt"].as_str().unwrap();
            let args = [
                "attack",
                &lm,
                "--bench",
                "cola",
                "--attack",
                "stresstest",
                "--labels-by",
                by,
                "--limit",
                "24",
            ];
            let more = ["--prompt", prompt, "--budget", "2", "--out", "apart", "--json"];
            let said = project.m3(&[&args[..], &more].concat()).ok();
            let alone: Value = serde_json::from_str(&said).unwrap();
            assert_eq!(
                alone["attacks"][0]["clean"]["accuracy"], query["accuracy"]["exact"],
                "{by}: {prompt}"
            );
        }
        if by == "likelihood" {
            assert_eq!((&found["clean"]["invalid"], &found["attacked"]["invalid"]), (&json!(0), &json!(0)));
        }
    }
    // The two are different questions, and share no run.
    let runs = |out: &str| -> std::collections::BTreeSet<std::ffi::OsString> {
        std::fs::read_dir(project.path(out).join("runs")).unwrap().map(|e| e.unwrap().file_name()).collect()
    };
    assert!(runs("generation").is_disjoint(&runs("likelihood")));
}

/// Generation stops behind the first label, which is another rule, and said so.
#[test]
fn a_model_is_stopped_behind_its_first_label() {
    let project = Project::new();
    let lm = lm();
    let attack = |by: &str| -> Value {
        let args =
            ["attack", &lm, "--bench", "cola", "--attack", "stresstest", "--labels-by", by, "--limit", "8"];
        let said = project.m3(&[&args[..], &["--out", by, "--json"]].concat()).ok();
        serde_json::from_str::<Value>(&said).unwrap()["attacks"][0].take()
    };
    let (whole, first) = (attack("generation"), attack("first-label"));
    assert_eq!((&whole["labels_by"], &first["labels_by"]), (&json!("generation"), &json!("first_label")));
    let answers = |out: &str, found: &Value| -> BTreeMap<String, (String, u64)> {
        let run = project.path(out).join("runs").join(found["clean"]["run"].as_str().unwrap());
        let records = std::fs::read_to_string(run.join("records.jsonl")).unwrap();
        let rows = records.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        rows.filter(|row| row["kind"] == "answer")
            .map(|row| {
                let answer = &row["answer"];
                let text = answer["text"]["Ok"].as_str().unwrap().to_owned();
                (
                    row["item"].as_str().unwrap().to_owned(),
                    (text, answer["generated_tokens"].as_u64().unwrap()),
                )
            })
            .collect()
    };
    let (whole, first) = (answers("generation", &whole), answers("first-label", &first));
    assert_eq!(whole.len(), 8);
    for (item, (text, tokens)) in &first {
        let (longer, more) = &whole[item];
        assert!(longer.starts_with(text.as_str()) && tokens <= more, "{item}: {text:?} of {longer:?}");
        if longer.to_lowercase().contains("acceptable") {
            assert!(text.to_lowercase().ends_with("acceptable"), "{item}: {text:?}");
        }
    }
    let args = ["attack", &lm, "--bench", "gsm8k", "--attack", "stresstest", "--labels-by", "first-label"];
    assert!(project.m3(&args).fails(1).contains("labels"));
}

/// Every label has a number, from 0 on, or their likelihoods cannot be told apart by it.
#[test]
fn the_likeliest_label_is_the_one_with_the_largest_log_likelihood() {
    let sst2 = m3::bench::Benchmark::load(&"sst2".into()).unwrap().by_likelihood().unwrap().unwrap();
    let row = json!({"sentence": "fine .", "label": 1});
    let item = m3::bench::Item::new("0".into(), row.as_object().unwrap().clone());
    assert_eq!(sst2.continuations(&item).unwrap(), [" negative", " positive"]);
    let value = |negative: f64, positive: f64| {
        let of = |sum: f64| json!({"log_likelihood": sum, "tokens": 1, "greedy": false});
        let answer = json!([of(negative), of(positive)]).to_string();
        sst2.score(&item, &answer, &m3::bench::Tools::default()).value()
    };
    assert_eq!((value(-2.0, -1.0), value(-1.0, -2.0)), (Some(1.0), Some(0.0)));
    assert!(m3::bench::Benchmark::load(&"gsm8k".into()).unwrap().by_likelihood().unwrap().is_none());
}

/// The words that the small BERT knows, behind its five special tokens.
const KNOWN: [&str; 17] = [
    "as",
    "a",
    "sentiment",
    "classifier",
    "determine",
    "whether",
    "the",
    "following",
    "text",
    "is",
    "positive",
    "or",
    "negative",
    "content",
    "please",
    "respond",
    "with",
];

/// Writes a BertForMaskedLM of one layer with made-up weights.
fn small_bert(folder: &std::path::Path) {
    use safetensors::tensor::{Dtype, TensorView, serialize};
    let special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];
    let vocabulary: serde_json::Map<String, Value> =
        special.iter().chain(&KNOWN).enumerate().map(|(id, word)| ((*word).to_owned(), json!(id))).collect();
    let added: Vec<Value> = special
        .iter()
        .enumerate()
        .map(|(id, content)| {
            json!({"id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false,
                   "normalized": false, "special": true})
        })
        .collect();
    let tokenizer = json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": added,
        "normalizer": {"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true,
                       "strip_accents": null, "lowercase": true},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]},
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": true},
        "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
                  "max_input_chars_per_word": 100, "vocab": vocabulary},
    });
    let (words, hidden, inner) = (special.len() + KNOWN.len(), 8, 16);
    let config = json!({
        "model_type": "bert", "vocab_size": words, "hidden_size": hidden, "num_hidden_layers": 1,
        "num_attention_heads": 2, "intermediate_size": inner, "hidden_act": "gelu", "hidden_dropout_prob": 0.1,
        "max_position_embeddings": 64, "type_vocab_size": 2, "initializer_range": 0.02, "layer_norm_eps": 1e-12,
        "pad_token_id": 0,
    });
    let mut shapes: Vec<(String, Vec<usize>)> = vec![
        ("bert.embeddings.word_embeddings.weight".into(), vec![words, hidden]),
        ("bert.embeddings.position_embeddings.weight".into(), vec![64, hidden]),
        ("bert.embeddings.token_type_embeddings.weight".into(), vec![2, hidden]),
        ("cls.predictions.bias".into(), vec![words]),
    ];
    let layer = "bert.encoder.layer.0";
    for (name, rows, columns) in [
        (format!("{layer}.attention.self.query"), hidden, hidden),
        (format!("{layer}.attention.self.key"), hidden, hidden),
        (format!("{layer}.attention.self.value"), hidden, hidden),
        (format!("{layer}.attention.output.dense"), hidden, hidden),
        (format!("{layer}.intermediate.dense"), inner, hidden),
        (format!("{layer}.output.dense"), hidden, inner),
        ("cls.predictions.transform.dense".to_owned(), hidden, hidden),
    ] {
        shapes.push((format!("{name}.weight"), vec![rows, columns]));
        shapes.push((format!("{name}.bias"), vec![rows]));
    }
    for name in [
        "bert.embeddings.LayerNorm",
        "bert.encoder.layer.0.attention.output.LayerNorm",
        "bert.encoder.layer.0.output.LayerNorm",
        "cls.predictions.transform.LayerNorm",
    ] {
        shapes.push((format!("{name}.weight"), vec![hidden]));
        shapes.push((format!("{name}.bias"), vec![hidden]));
    }
    let bytes: Vec<(String, Vec<usize>, Vec<u8>)> = shapes
        .into_iter()
        .enumerate()
        .map(|(number, (name, shape))| {
            let count = shape.iter().product::<usize>();
            let value = |i: usize| ((7 * number + 1) as f32 * 0.37 + i as f32 * 1.7).sin();
            let values = (0..count).flat_map(|i| value(i).to_le_bytes()).collect();
            (name, shape, values)
        })
        .collect();
    let views = bytes.iter().map(|(name, shape, bytes)| {
        (name.as_str(), TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap())
    });
    std::fs::create_dir_all(folder).unwrap();
    std::fs::write(folder.join("model.safetensors"), serialize(views, None).unwrap()).unwrap();
    std::fs::write(folder.join("tokenizer.json"), tokenizer.to_string()).unwrap();
    std::fs::write(folder.join("config.json"), config.to_string()).unwrap();
}

#[test]
fn bertattack_asks_words_of_a_masked_language_model_and_refuses_another_vocabulary() {
    let project = Project::new();
    small_bert(&project.path("bert"));
    let args = [
        "attack",
        "preview",
        "--attack",
        "bertattack",
        "--labels",
        "positive,negative",
        "--prompt",
        PAPER[0],
    ];
    let preview = |more: &[&str]| project.m3(&[&args[..], &["--masked-lm", "bert", "--json"], more].concat());
    let prompts = |text: String, stage: &str| -> Vec<String> {
        let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines.filter(|v| v["stage"] == stage).map(|v| v["prompt"].as_str().unwrap().to_owned()).collect()
    };
    let paper = preview(&[]).ok();
    assert_eq!(prompts(paper.clone(), "ranking").len(), 3);
    let candidates = prompts(paper, "candidate");
    assert!(!candidates.is_empty() && candidates.len() <= 6, "{candidates:?}");
    for candidate in &candidates {
        assert!(candidate.contains("'positive' or 'negative'.\nText:{content}"), "{candidate}");
        let words = WordRule::TextAttack037.words(candidate);
        assert!(
            words.iter().zip(WordRule::TextAttack037.words(PAPER[0])).filter(|(a, b)| *a != b).count() == 1
        );
    }
    let said = preview(&[]);
    assert!(said.stderr().contains("no sentence encoder"), "{}", said.stderr());
    // Every prompt is like itself, and hardly any is as much like another: the encoder takes some away.
    let fewer = prompts(preview(&["--encoder", "bert"]).ok(), "candidate").len();
    assert!(fewer <= candidates.len());
    let standard = prompts(preview(&["--profile", "standard"]).ok(), "candidate");
    assert!(standard.len() > candidates.len());
    let config = std::fs::read_to_string(project.path("bert/config.json")).unwrap();
    std::fs::write(
        project.path("bert/config.json"),
        config.replace("\"vocab_size\":22", "\"vocab_size\":21"),
    )
    .unwrap();
    let said = preview(&[]).fails(1);
    assert!(said.contains("vocabulary of 21") && said.contains("tokenizer.json"), "{said}");
}

/// The masked language model that comes with the project offers words that fit, without a network or a flag.
#[test]
fn bertattack_works_offline_with_the_embedded_masked_language_model() {
    let project = Project::new();
    let args = [
        "attack",
        "preview",
        "--attack",
        "bertattack",
        "--labels",
        "positive,negative",
        "--json",
        "--prompt",
        PAPER[0],
    ];
    let said = project.m3(&args).ok();
    let rows: Vec<Value> = said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let candidates: Vec<&str> = rows
        .iter()
        .filter(|row| row["stage"] == "candidate")
        .map(|row| row["prompt"].as_str().unwrap())
        .collect();
    assert!(candidates.len() >= 3, "{said}");
    let known = [
        "decide",
        "predict",
        "tell",
        "say",
        "identify",
        "given",
        "next",
        "provided",
        "quoted",
        "supplied",
        "judge",
        "critic",
        "system",
        "expert",
        "reader",
        "assistant",
        "analyst",
        "tool",
        "text",
        "review",
        "opinion",
        "mood",
        "feeling",
        "emotion",
        "state",
        "find",
        "comment",
        "passage",
        "statement",
        "remark",
    ];
    let original = WordRule::TextAttack0311.words(PAPER[0]);
    let fits = |candidate: &&&str| {
        let words = WordRule::TextAttack0311.words(candidate);
        words.iter().zip(&original).any(|(new, old)| new != old && known.contains(&&**new))
    };
    let fitting = candidates.iter().filter(fits).count();
    assert!(2 * fitting > candidates.len(), "{fitting} of {candidates:?}");
}
