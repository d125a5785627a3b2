//! The bench room against the paper's prompts, hand-made cases, the embedded suite and, where they are at hand, the
//! reference programs' own verdicts on real outputs.
#![expect(clippy::print_stdout, reason = "the parity tests report what they compared")]
#![expect(clippy::unwrap_used, reason = "the helpers of tests fail as tests do")]

use m3::bench::{Benchmark, DataSource, Item, Profile, Split, Tools, Verdict};
use m3::files;
use m3::sandbox::Sandbox;
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

pub(crate) fn open(id: &str) -> Benchmark {
    Benchmark::load(&id.into()).unwrap()
}

fn item(fields: Value) -> Item {
    let Value::Object(fields) = fields else { panic!("a row is an object") };
    Item::new("0".into(), fields)
}

fn rooted(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn embedded() -> DataSource {
    DataSource::Embedded(rooted("datasets/tiny"))
}

#[expect(clippy::disallowed_methods, reason = "a test has no settings")]
pub(crate) fn sandbox_with(parallel: usize, prefork: bool) -> Box<dyn Sandbox> {
    let search = std::env::var("PATH").unwrap_or_default().split(':').map(PathBuf::from).collect();
    let mut settings = m3::sandbox::Settings::new(env!("CARGO_BIN_EXE_m3").into(), search);
    (settings.parallel, settings.prefork) = (parallel, prefork);
    m3::sandbox::open(&settings).unwrap()
}

pub(crate) fn sandbox(parallel: usize) -> Box<dyn Sandbox> {
    sandbox_with(parallel, true)
}

/// Every row's result, worked out on `threads` threads.
pub(crate) fn in_parallel<T: Sync, R: Send>(
    threads: usize,
    rows: &[T],
    work: impl Fn(&T) -> R + Sync,
) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let results = Mutex::new(Vec::with_capacity(rows.len()));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(row) = rows.get(at) else { break };
                    let result = work(row);
                    results.lock().unwrap().push((at, result));
                }
            });
        }
    });
    let mut results = results.into_inner().unwrap();
    results.sort_by_key(|(at, _)| *at);
    results.into_iter().map(|(_, result)| result).collect()
}

pub(crate) fn is_right(verdict: &Verdict) -> bool {
    verdict.value() == Some(1.0)
}

#[test]
fn every_adapter_opens_and_is_itself() {
    let opened: Vec<_> = Benchmark::known().iter().map(|id| open(id)).collect();
    let digests: HashSet<_> = opened.iter().map(Benchmark::digest).collect();
    assert_eq!(digests.len(), opened.len());
    let programs: Vec<_> =
        opened.iter().filter(|b| b.needs_programs()).map(|b| b.card.id.to_string()).collect();
    assert_eq!(programs, ["humaneval", "mbpp", "livebench_lcb_generation", "livebench_coding_completion"]);
    let error = Benchmark::load(&"gsm9k".into()).unwrap_err().to_string();
    assert!(
        error.contains("`gsm9k`") && error.contains("gsm8k, math, humaneval, mbpp, instructions, sst2"),
        "{error}"
    );
}

/// The texts of MixupModelMerge, `utils/evaluate_llms_utils.py` and `inference_llms_instruct_math_code.py`.
#[test]
fn prompts_are_the_papers() {
    const TASK: &str = "Below is an instruction that describes a task. \
                        Write a response that appropriately completes the request.\n\n";
    let math = |question: &str| {
        format!("{TASK}### Instruction:\n{question}\n\n### Response: Let's think step by step.")
    };
    let code = |problem: &str| {
        format!(
            "{TASK}\n### Instruction:\nCreate a Python script for this problem:\n{problem}\n\n### Response:"
        )
    };
    let stops = ["Instruction:", "Instruction", "Response:", "Response"];
    let asks = |id: &str, row: Value, prompt: String, stop: &[&str], max_tokens: usize| {
        let benchmark = open(id);
        let request = benchmark.request(benchmark.context(&item(row)).unwrap().to_string());
        assert_eq!(request.prompt, prompt, "{id}");
        assert_eq!(request.stop, stop, "{id}");
        assert_eq!(request.max_tokens.0, max_tokens, "{id}");
    };
    let odd = "What's <5> & {{ 6 }}? é\n\n";
    asks("gsm8k", json!({"question": odd, "answer": "#### 1"}), math(odd), &stops, 1024);
    asks("math", json!({"problem": odd, "solution": ""}), math(odd), &stops, 2048);
    asks("humaneval", json!({"prompt": "def f():\n      x\n"}), code("def f():\n\t  x\n"), &[], 2048);
    let row = json!({"task_id": 11, "text": "Do    it.", "test_list": ["assert f(1)", "assert    f(2)"]});
    asks("mbpp", row, code("\nDo\tit.\nTest examples:\nassert f(1)\nassert\tf(2)"), &[], 2048);
    let row = json!({"task_id": 493, "text": "Hexagons.", "test_list": ["assert calculate_polygons()"]});
    let short = "\nHexagons.\nTest examples:\ncalculate_polygons(startx, starty, endx, endy, radius)";
    asks("mbpp", row, code(short), &[], 2048);
    let chat = "A chat between a curious user and an artificial intelligence assistant. The assistant gives \
                helpful, detailed, and polite answers to the user's questions. USER: Hi! ASSISTANT:";
    asks("instructions", json!({"instruction": "Hi!", "output": "x"}), chat.to_owned(), &[], 64);
    // `promptbench/sst2.py` and `cola.py`; the sentence stays as it is, with the space at its end.
    let sst2 = "As a sentiment classifier, determine whether the following text is 'positive' or 'negative'.\n\
                Text:it 's {odd} . \nPlease respond with 'positive' or 'negative'.";
    asks("sst2", json!({"sentence": "it 's {odd} . ", "label": 1}), sst2.to_owned(), &stops, 1024);
    let cola = "As a grammar identification system, examine the provided sentence and respond with 'acceptable' for \
                grammatically correct sentences or 'unacceptable' for incorrect ones.\nSentence:He go.\nPlease \
                respond with 'acceptable' or 'unacceptable'.";
    asks("cola", json!({"sentence": "He go.", "label": 0}), cola.to_owned(), &stops, 1024);
    let row = json!({"turns": [format!("Correct.\n\nTeh {odd}x\n\ny")], "ground_truth": "x"});
    let typos = format!(
        "{TASK}### Instruction:\nCorrect.\n\n### Text with errors:\nTeh {odd}x\n\ny\n\n\
         ### Response: the corrected paragraph is:"
    );
    asks("livebench_typos", row, typos, &["The answer is:"], 2048);
    asks("livebench_if", json!({"turns": [odd]}), odd.to_owned(), &[], 2048);
}

#[test]
fn data_that_is_not_the_published_data_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let folder = DataSource::Folder(dir.path().to_owned());
    let refused = |id: &str, data: &DataSource, split| open(id).items(data, split).unwrap_err().to_string();

    let missing = refused("gsm8k", &folder, Split::Test);
    assert!(
        missing.contains("gsm8k_test.jsonl") && missing.contains("openai/grade-school-math"),
        "{missing}"
    );
    let no_split = refused("gsm8k", &folder, Split::Validation);
    assert!(no_split.contains("validation") && no_split.contains("train, test"), "{no_split}");
    files::write(&dir.path().join("gsm8k_test.jsonl"), b"{}").unwrap();
    let changed = refused("gsm8k", &folder, Split::Test);
    assert!(changed.contains("3730d312") && changed.contains("SHA-256"), "{changed}");
    // The paper's own name and field names for MATH; no checksum is known for it.
    files::write(&dir.path().join("MATH_test.jsonl"), b"{\"instruction\": \"q\", \"output\": \"a\"}\n")
        .unwrap();
    let items = open("math").items(&folder, Split::Test).unwrap();
    assert_eq!((items[0].text("problem"), items[0].text("solution")), (Some("q"), Some("a")));

    // Tab-separated values: every line has the card's columns.
    let adapter = dir.path().join("films");
    files::create_folder(&adapter).unwrap();
    let card = files::read_text(&rooted("benchmarks/sst2/benchmark.toml")).unwrap();
    let card = card.replace("\"sst2\"", "\"films\"").replace("rows = 872", "");
    let card = card.lines().filter(|l| !l.starts_with("sha256")).collect::<Vec<_>>().join("\n");
    files::write(&adapter.join("benchmark.toml"), card.as_bytes()).unwrap();
    for name in ["prompt.jinja", "cases.json"] {
        let text = files::read(&rooted("benchmarks/sst2").join(name)).unwrap();
        files::write(&adapter.join(name), &text).unwrap();
    }
    let films = Benchmark::from_folder(&adapter).unwrap();
    let tsv = |text: &str| {
        files::write(&dir.path().join("sst2_dev.tsv"), text.as_bytes()).unwrap();
        films.items(&folder, Split::Test)
    };
    let items = tsv("label\ttext_a\n1\tfine \n0\t\"bad\"\n").unwrap();
    assert_eq!((items[0].text("sentence"), items[1].text("sentence")), (Some("fine "), Some("\"bad\"")));
    let chance = films.chance(&items[1..]).unwrap();
    assert_eq!((chance.label.as_str(), chance.share), ("negative", 1.0));
    let columns = tsv("label\ttext_a\n1\tfine\tvery\n").unwrap_err().to_string();
    assert!(columns.contains("line 2, has 3 columns, but the card has 2: label, sentence"), "{columns}");
    let label = tsv("label\ttext_a\n1\tfine\n2\tfine\n").unwrap_err().to_string();
    assert!(label.contains("line 3: `label` must be the number of one of the card's labels"), "{label}");
    let nothing = Benchmark::open("films").unwrap_err().to_string();
    assert!(nothing.contains("no benchmark has that name"), "{nothing}");

    let suite = DataSource::Embedded(dir.path().to_owned());
    let rows = |set: &str, text: &str| {
        files::create_folder(&dir.path().join(set)).unwrap();
        files::write(&dir.path().join(set).join("test.jsonl"), text.as_bytes()).unwrap();
    };
    rows(
        "gsm8k",
        "{\"question\": \"q\", \"answer\": \"#### 5\"}\n\n{\"question\": \"q\", \"answer\": \"5\"}\n",
    );
    let gold = refused("gsm8k", &suite, Split::Test);
    assert!(gold.contains("line 3: `answer` must be") && gold.contains("#### "), "{gold}");
    rows("gsm8k", "{\"question\": \"q\", \"answer\": \"#### 5\"}\n[1]\n");
    assert!(refused("gsm8k", &suite, Split::Test).contains("line 2, is not a JSON object"));
    let row = r#"{"task_id": 1, "text": "t", "test_list": ["assert f()"]}"#;
    rows("mbpp", &format!("{row}\n{row}\n"));
    assert!(refused("mbpp", &suite, Split::Test).contains("line 2, is item 1, and so is line 1"));
    rows("mbpp", r#"{"task_id": 1, "text": "t", "test_list": []}"#);
    assert!(refused("mbpp", &suite, Split::Test).contains("`test_list` must be"));
    assert!(refused("math", &suite, Split::Train).contains("math/train.jsonl"));
}

/// `benchmarks/<id>/cases.json`: answers with the reasons of their verdicts.
#[test]
fn hand_made_cases_are_scored_as_written() {
    let sandbox = sandbox(2);
    let tools = Tools { sandbox: Some(&*sandbox) };
    for id in Benchmark::known() {
        let cases = open(id).run_cases(&tools).unwrap();
        assert!(cases.len() >= 8, "{id} has {} cases", cases.len());
        let failed: Vec<_> = cases.iter().filter(|case| case.problem.is_some()).collect();
        assert!(failed.is_empty(), "{id}: {failed:?}");
    }
}

/// What NLTK and langdetect say of texts that tell implementations apart (`scripts/golden/ifeval_text.py`), asked
/// through the instructions that count: at least n, and less than n + 1.
#[test]
fn texts_are_counted_as_the_reference_counts_them() {
    let benchmark = open("ifeval");
    let rows: Vec<Value> =
        serde_json::from_str(&files::read_text(&rooted("tests/golden/ifeval_text.json")).unwrap()).unwrap();
    assert!(rows.len() > 700);
    let follows = |text: &str, id: &str, kwargs: Value| {
        let item = item(json!({"prompt": "", "instruction_id_list": [id], "kwargs": [kwargs]}));
        is_right(&benchmark.score(&item, text, &Tools::default()))
    };
    let wrong = in_parallel(2, &rows, |row| {
        let text = row["text"].as_str().unwrap();
        let exactly = |id: &str, key: &str, relation: &str, n: u64| {
            let bound = |n: u64, side: &str| follows(text, id, json!({key: n, relation: side}));
            (n == 0 || bound(n, "at least")) && bound(n + 1, "less than")
        };
        let count = |key: &str| row[key].as_u64().unwrap();
        let sentences = ("length_constraints:number_sentences", "num_sentences", "relation");
        let capitals = ("change_case:capital_word_frequency", "capital_frequency", "capital_relation");
        let words = ("length_constraints:number_words", "num_words", "relation");
        let mut wrong = Vec::new();
        for (name, (id, key, relation)) in
            [("sentences", sentences), ("capitals", capitals), ("words", words)]
        {
            if !exactly(id, key, relation, count(name)) {
                wrong.push(format!("{name} of {text:?} should be {}", row[name]));
            }
        }
        let is = |code: &str| follows(text, "language:response_language", json!({"language": code}));
        let language = match row["language"].as_str() {
            Some(code) => is(code) && !is("xx"),
            // Then the reference says yes to any.
            None => is("xx"),
        };
        if !language {
            wrong.push(format!("{text:?} should be {}", row["language"]));
        }
        wrong
    });
    let wrong: Vec<String> = wrong.into_iter().flatten().collect();
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
}

/// A row with each of IFEval's instructions.
fn every_instruction() -> Value {
    let at_least =
        json!({"relation": "at least", "let_relation": "at least", "capital_relation": "at least"});
    let kinds = [
        ("keywords:existence", json!({"keywords": ["5"]})),
        ("keywords:frequency", json!({"keyword": "5", "frequency": 1})),
        ("keywords:forbidden_words", json!({"forbidden_words": ["the", "5"]})),
        ("keywords:letter_frequency", json!({"letter": "e", "let_frequency": 1})),
        ("language:response_language", json!({"language": "en"})),
        ("length_constraints:number_sentences", json!({"num_sentences": 1})),
        ("length_constraints:number_paragraphs", json!({"num_paragraphs": 1})),
        ("length_constraints:number_words", json!({"num_words": 1})),
        (
            "length_constraints:nth_paragraph_first_word",
            json!({"num_paragraphs": 1, "nth_paragraph": 1, "first_word": "the"}),
        ),
        ("detectable_content:number_placeholders", json!({"num_placeholders": 1})),
        ("detectable_content:postscript", json!({"postscript_marker": "P.S."})),
        ("detectable_format:number_bullet_lists", json!({"num_bullets": 1})),
        ("detectable_format:constrained_response", json!({})),
        ("detectable_format:number_highlighted_sections", json!({"num_highlights": 1})),
        ("detectable_format:multiple_sections", json!({"section_spliter": "Section", "num_sections": 1})),
        ("detectable_format:json_format", json!({})),
        ("detectable_format:title", json!({})),
        ("combination:two_responses", json!({})),
        ("combination:repeat_prompt", json!({"prompt_to_repeat": "The"})),
        ("startend:end_checker", json!({"end_phrase": "5"})),
        ("change_case:capital_word_frequency", json!({"capital_frequency": 1})),
        ("change_case:english_capital", json!({})),
        ("change_case:english_lowercase", json!({})),
        ("punctuation:no_comma", json!({})),
        ("startend:quotation", json!({})),
    ];
    let with_relation = |kwargs: &Value| {
        let mut kwargs = kwargs.clone();
        kwargs.as_object_mut().unwrap().extend(at_least.as_object().unwrap().clone());
        kwargs
    };
    json!({
        "prompt": "",
        "instruction_id_list": kinds.iter().map(|(id, _)| *id).collect::<Vec<_>>(),
        "kwargs": kinds.iter().map(|(_, kwargs)| with_relation(kwargs)).collect::<Vec<_>>(),
    })
}

/// A row of LiveBench's coding tasks with one public test, and these private ones.
fn coding_row(private: &str) -> Value {
    json!({
        "question_id": "q", "turns": ["?"], "partial_solution": "x = 1",
        "public_test_cases": r#"[{"input": "", "output": "", "testtype": "stdin"}]"#, "private_test_cases": private,
        "original_json": {"metadata": "{}"},
    })
}

/// Rows of LiveBench's coding tasks whose tests cannot be read, or not without running what they bring along.
#[test]
fn tests_that_are_not_tests_are_refused_with_file_line_and_field() {
    let dir = tempfile::tempdir().unwrap();
    let benchmark = open("livebench_lcb_generation");
    let check = |row: &Value| {
        let mut first = coding_row("[]");
        first["question_id"] = json!("first");
        let rows = format!("{first}\n{row}\n");
        files::write(&dir.path().join("livebench_lcb_generation.jsonl"), rows.as_bytes()).unwrap();
        benchmark.items(&DataSource::Folder(dir.path().to_owned()), Split::Test).map(|items| items.len())
    };
    // base64 of zlib of pickles: "[]"; the call os.system("true").
    let text = "eJxrYJnKxgABPUzRsVP0ABkLAyg=";
    let call = "eJxrYJkqzwABPawF+cWZFVN62Iori0tSc6dMntLDUlJUmjqldUrQFD0AA2gOlA==";
    for (row, wanted) in [
        (coding_row("[]"), None),
        (coding_row(text), None),
        (coding_row(call), Some("pickle")),
        (coding_row("{}"), Some("`private_test_cases` must be the JSON text of a list of tests")),
        (coding_row("!"), Some("base64")),
        (coding_row(r#"[{"input": 1, "output": "", "testtype": "stdin"}]"#), Some("`private_test_cases`")),
        (coding_row(r#"[{"input": "", "output": "", "testtype": "socket"}]"#), Some("`testtype`")),
    ] {
        match (check(&row), wanted) {
            (Ok(2), None) => {}
            (Err(error), Some(wanted)) => {
                let error = error.to_string();
                let named =
                    error.contains("livebench_lcb_generation.jsonl`, line 2") && error.contains(wanted);
                assert!(named, "{error}");
            }
            other => panic!("{row}: {other:?}"),
        }
    }
    for (key, value) in
        [("original_json", json!({})), ("public_test_cases", json!([])), ("partial_solution", json!(1))]
    {
        let mut row = coding_row("[]");
        row[key] = value;
        let error = check(&row).unwrap_err().to_string();
        assert!(error.contains(&format!("line 2: `{key}` must be")), "{error}");
    }
}

/// Answers of 10 MB made to be slow: nested, unclosed, and full of what extraction looks for.
#[test]
fn hostile_answers_are_scored_in_linear_time() {
    let rows = [
        ("gsm8k", json!({"question": "", "answer": "#### 5"})),
        ("math", json!({"problem": "", "solution": "\\boxed{5}"})),
        ("humaneval", json!({"prompt": "", "test": "", "entry_point": "f"})),
        ("mbpp", json!({"text": "", "task_id": 1, "test_list": [""]})),
        ("instructions", json!({"instruction": "", "output": "5"})),
        ("sst2", json!({"sentence": "", "label": 1})),
        ("livebench_typos", json!({"turns": [""], "ground_truth": "5"})),
        ("livebench_coding_completion", coding_row("[]")),
        ("ifeval", every_instruction()),
    ];
    let parts = [
        "'",
        "positive ",
        "<pad></s>",
        "#### 5",
        "$5.,",
        "a. ",
        ". ",
        ".)",
        "*x",
        "<<",
        "- ",
        " --- ",
        "NASA'S ",
        "\u{915}",
        "9",
        "The answer is: ",
        "{",
        "\\boxed{",
        "```python\n",
        "\\frac",
        "\\frac1",
        "\\sqrt{",
        "\\text{ ",
        "/",
        "1/",
        "=",
        "\0",
        "\t",
        "\u{661}",
        " .",
        "The solution is:",
        "\n\nThe answer is:",
        "### Response:",
        "\u{10ffff}",
        ".\n",
    ];
    for (id, row) in rows {
        let (benchmark, item) = (open(id), item(row));
        for part in parts {
            let start = Instant::now();
            // The checks of a whole IFEval row read a text some five hundred times.
            let size = if id == "ifeval" { 1_000_000 } else { 10_000_000 };
            let answer = "The answer is: ".to_owned() + &part.repeat(size / part.len());
            let standard = benchmark.measures(Profile::Standard).unwrap_or_default();
            for measure in standard.iter().chain(&benchmark.measures(Profile::Paper).unwrap()) {
                let verdict = measure.score(&item, &answer, &Tools::default());
                let kept = serde_json::to_string(&verdict).unwrap().len();
                assert!(kept < 200_000, "{id}, {part:?}: a verdict of {kept} bytes");
            }
            let took = start.elapsed();
            assert!(took < Duration::from_secs(20), "{id}, {part:?} took {took:?}");
        }
    }
}

const EMBEDDED: [&str; 7] = ["gsm8k", "math", "humaneval", "mbpp", "instructions", "sst2", "cola"];

#[test]
fn embedded_splits_share_no_question() {
    for id in EMBEDDED {
        let benchmark = open(id);
        let mut keys: HashMap<String, Split> = HashMap::new();
        let mut prompts: HashMap<String, Split> = HashMap::new();
        for split in Split::ALL {
            let items = benchmark.items(&embedded(), split).unwrap();
            assert!(items.len() >= 100, "{id} has {} {split} rows", items.len());
            for item in items {
                let key = item.text("key").unwrap().to_owned();
                let prompt = benchmark.context(&item).unwrap().to_string();
                for (seen, text) in [(&mut keys, key), (&mut prompts, prompt)] {
                    let first = *seen.entry(text).or_insert(split);
                    assert_eq!(first, split, "{id}, item {}: in {first} and in {split}", item.id);
                }
            }
        }
    }
}

/// What a model would answer that knows the right answer.
fn right_answer(id: &str, item: &Item) -> String {
    let text = |key: &str| item.text(key).unwrap();
    match id {
        "gsm8k" => format!("The answer is: {}", text("answer").split("#### ").nth(1).unwrap()),
        "math" => {
            let solution = text("solution");
            let boxed = &solution[solution.rfind("\\boxed{").unwrap() + "\\boxed{".len()..];
            format!("The answer is: {}", &boxed[..boxed.rfind('}').unwrap()])
        }
        "instructions" => text("output").to_owned(),
        "humaneval" => format!("```python\n{}{}\n```", text("prompt"), text("canonical_solution")),
        "mbpp" => format!("```python\n{}\n```", text("code")),
        "sst2" | "cola" => {
            let labels = if id == "sst2" { ["negative", "positive"] } else { ["unacceptable", "acceptable"] };
            format!("It is '{}'.", labels[item.fields["label"].as_u64().unwrap() as usize])
        }
        _ => panic!("{id}"),
    }
}

#[test]
fn embedded_right_answers_are_right() {
    let sandbox = sandbox(4);
    let tools = Tools { sandbox: Some(&*sandbox) };
    for id in EMBEDDED {
        let benchmark = open(id);
        for split in Split::ALL {
            let mut items = benchmark.items(&embedded(), split).unwrap();
            if benchmark.needs_programs() && split == Split::Train {
                // A sample is enough where each costs a process.
                items = items.into_iter().step_by(20).collect();
            }
            let verdicts =
                in_parallel(4, &items, |item| benchmark.score(item, &right_answer(id, item), &tools));
            for (item, verdict) in items.iter().zip(verdicts) {
                assert!(is_right(&verdict), "{id}, {split}, item {}: {verdict:?}", item.id);
            }
        }
    }
}

// ── Parity: the reference programs' verdicts on real outputs ───────────────────────────────────────────────────────

/// Reference data, if the person who runs the tests has it.
pub(crate) struct Reference {
    /// `M3_PARITY`, or `parity/visible` under `M3_SHARED`: outputs with the reference programs' verdicts.
    outputs: PathBuf,
    /// `M3_DATASETS`, or `datasets` under `M3_SHARED`: the published data.
    pub(crate) datasets: PathBuf,
}

pub(crate) fn reference() -> Option<Reference> {
    #[expect(clippy::disallowed_methods, reason = "a test has no settings")]
    let folder = |name: &str| std::env::var(name).ok().map(PathBuf::from);
    let shared = folder("M3_SHARED");
    let under = |path: &str| shared.as_ref().map(|shared| shared.join(path));
    let outputs = folder("M3_PARITY").or_else(|| under("parity/visible"));
    let datasets = folder("M3_DATASETS").or_else(|| under("datasets"));
    if outputs.is_none() || datasets.is_none() {
        println!("not asked for: neither M3_SHARED nor both of M3_PARITY and M3_DATASETS are set");
    }
    Some(Reference { outputs: outputs?, datasets: datasets? })
}

impl Reference {
    pub(crate) fn rows(&self, name: &str) -> Vec<Value> {
        let text = files::read_text(&self.outputs.join(name)).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// Counts agreements and keeps disagreements.
#[derive(Default)]
pub(crate) struct Tally {
    pub(crate) rows: usize,
    pub(crate) skipped: usize,
    pub(crate) apart: Vec<String>,
    pub(crate) ids: Vec<Value>,
    /// Where ours is stricter than the reference on purpose: by kind, the rows that the reference lets pass and ours does not.
    pub(crate) stricter: BTreeMap<&'static str, Vec<Value>>,
}

impl Tally {
    pub(crate) fn compare<T: PartialEq + std::fmt::Debug>(&mut self, row: &Value, ours: &T, theirs: &T) {
        self.rows += 1;
        if ours != theirs {
            self.apart.push(format!("{}: ours {ours:?}, theirs {theirs:?}", row["id"]));
            self.ids.push(row["id"].clone());
        }
    }

    pub(crate) fn report(&self, what: &str) {
        let stricter: usize = self.stricter.values().map(Vec::len).sum();
        let agree = self.rows - self.apart.len() - stricter;
        println!("{what}: {} rows, {agree} agree, {} left out", self.rows, self.skipped);
        for line in &self.apart {
            println!("  {line}");
        }
        let mut counts = json!({
            "set": what, "rows": self.rows, "agree": agree, "left_out": self.skipped, "disagree": self.ids,
            "details": self.apart
        });
        if !self.stricter.is_empty() {
            counts["stricter"] = json!(self.stricter);
        }
        // For `scripts/parity`. Libtest may have begun this line.
        println!("\nparity-json {counts}");
    }

    /// Reports classes of disagreement in place of single rows.
    pub(crate) fn explain(&mut self, what: &str, classes: &BTreeMap<&str, usize>) {
        let lines = classes.iter().map(|(class, rows)| format!("{rows} rows: {class}")).collect();
        let rows = std::mem::replace(&mut self.apart, lines);
        let (kept, apart) = (rows.len(), rows);
        let agree = self.rows - kept;
        println!("{what}: {} rows, {agree} agree", self.rows);
        let counts = json!({
            "set": what, "rows": self.rows, "agree": agree, "left_out": self.skipped, "disagree": self.ids,
            "details": self.apart
        });
        println!("\nparity-json {counts}");
        self.apart = apart;
    }

    pub(crate) fn demand(self, what: &str) {
        self.report(what);
        assert!(self.rows > 0 && self.apart.is_empty(), "{what}: {} disagree", self.apart.len());
    }
}

#[test]
fn parity_with_published_data() {
    let Some(reference) = reference() else { return };
    let data = DataSource::Folder(reference.datasets);
    let counts = [
        ("gsm8k", 1319),
        ("math", 5000),
        ("humaneval", 164),
        ("mbpp", 500),
        ("sst2", 872),
        ("cola", 1043),
        ("livebench_if", 400),
        ("ifeval", 541),
    ];
    // The share of the more frequent label in GLUE's validation splits.
    for (id, label, count) in [("sst2", "positive", 444.0 / 872.0), ("cola", "acceptable", 721.0 / 1043.0)] {
        let chance = open(id).chance(&open(id).items(&data, Split::Test).unwrap()).unwrap();
        assert_eq!((chance.label.as_str(), chance.share), (label, count));
    }
    for (id, rows) in counts {
        assert_eq!(open(id).items(&data, Split::Test).unwrap().len(), rows, "{id}");
    }
    let math = open("math");
    let verdicts: Vec<_> = math
        .items(&data, Split::Test)
        .unwrap()
        .iter()
        .map(|item| is_right(&math.score(item, &right_answer_of_math(item), &Tools::default())))
        .collect();
    println!("math: {} of 5000 gold answers are right", verdicts.iter().filter(|right| **right).count());
}

/// As [`right_answer`], for boxes that are not last in their line.
fn right_answer_of_math(item: &Item) -> String {
    let solution = item.text("solution").unwrap();
    let at = solution.rfind("\\boxed").unwrap() + "\\boxed".len();
    let mut open = 0;
    let end = solution[at..]
        .bytes()
        .position(|b| {
            open += i32::from(b == b'{') - i32::from(b == b'}');
            b == b'}' && open == 0
        })
        .unwrap_or(0);
    format!("The answer is: {}", solution[at..at + end].trim_start_matches('{'))
}

#[test]
fn parity_gsm8k() {
    let Some(reference) = reference() else { return };
    let benchmark = open("gsm8k");
    let mut tally = Tally::default();
    for row in reference.rows("gsm8k.jsonl") {
        let paper = &row["paper"];
        if paper.get("raises").is_some() {
            tally.skipped += 1;
            continue;
        }
        let item = item(json!({"question": "", "answer": format!("#### {}", row["gold"])}));
        let verdict = benchmark.score(&item, row["output"].as_str().unwrap(), &Tools::default());
        let Verdict::Scored { extracted, .. } = &verdict else { panic!("{verdict:?}") };
        let ours = (is_right(&verdict), verdict.is_invalid(), extracted.clone());
        let number = (!paper["extracted"].is_null()).then(|| paper["extracted"].to_string());
        let theirs = (paper["correct"] == true, paper["invalid"] == true, number);
        tally.compare(&row, &ours, &theirs);
    }
    tally.demand("gsm8k");
}

#[test]
fn parity_gsm8k_of_lm_evaluation_harness() {
    let Some(reference) = reference() else { return };
    let benchmark = open("gsm8k");
    let rows = reference.rows("gsm8k.jsonl");
    let theirs = [("strict-match", "lm_eval_strict"), ("flexible-extract", "lm_eval_flexible")];
    for (measure, (name, field)) in benchmark.measures(Profile::Standard).unwrap().iter().zip(theirs) {
        assert_eq!(measure.name, name);
        let mut tally = Tally::default();
        for row in &rows {
            let gold = row["gold_answer_line"].as_str().unwrap();
            let item = item(json!({"question": "", "answer": format!("#### {gold}")}));
            let verdict = measure.score(&item, row["output"].as_str().unwrap(), &Tools::default());
            let Verdict::Scored { extracted, .. } = &verdict else { panic!("{verdict:?}") };
            let filtered = extracted.clone().unwrap_or_else(|| "[invalid]".to_owned());
            let ours = (is_right(&verdict), filtered);
            let filtered = row[field]["filtered"].as_str().unwrap().to_owned();
            tally.compare(row, &ours, &(row[field]["correct"] == true, filtered));
        }
        tally.demand(&format!("gsm8k, {field}"));
    }
}

#[test]
fn parity_livebench_typos() {
    let Some(reference) = reference() else { return };
    let benchmark = open("livebench_typos");
    let rows = reference.rows("livebench_typos.jsonl");
    for (profile, field) in [(Profile::Paper, "paper"), (Profile::Standard, "livebench")] {
        let measure = benchmark.measures(profile).unwrap()[0];
        let mut tally = Tally::default();
        for row in &rows {
            let item = item(json!({"ground_truth": row["ground_truth"]}));
            let verdict = measure.score(&item, row["output"].as_str().unwrap(), &Tools::default());
            tally.compare(row, &verdict.value(), &row[field].as_f64());
        }
        tally.demand(&format!("livebench typos, {field}"));
    }
}

/// Whether each instruction was followed, one by one: as a row of its own.
fn followed(benchmark: &Benchmark, measure: usize, row: &Value) -> Vec<Option<bool>> {
    let measure = benchmark.measures(Profile::Standard).unwrap()[measure];
    let ids = row["instruction_id_list"].as_array().unwrap();
    let one = |at: usize| {
        let item = item(json!({"instruction_id_list": [ids[at]], "kwargs": [row["kwargs"][at]]}));
        measure.score(&item, row["output"].as_str().unwrap(), &Tools::default()).value().map(|v| v == 1.0)
    };
    (0..ids.len()).map(one).collect()
}

#[test]
fn parity_ifeval() {
    let Some(reference) = reference() else { return };
    let benchmark = open("ifeval");
    for (at, field) in ["strict", "loose"].into_iter().enumerate() {
        let rows = reference.rows("ifeval.jsonl");
        let (mut instructions, mut prompts) = (Tally::default(), Tally::default());
        let ours = in_parallel(4, &rows, |row| followed(&benchmark, at, row));
        for (row, ours) in rows.iter().zip(ours) {
            // The reference draws the letter at random.
            if ours.contains(&None) {
                instructions.skipped += 1;
                prompts.skipped += 1;
                continue;
            }
            let theirs = row[field]["follow_list"].as_array().unwrap();
            let theirs: Vec<_> = theirs.iter().map(Value::as_bool).collect();
            instructions.compare(row, &ours, &theirs);
            let mut fields = row.clone();
            fields["prompt"] = json!("");
            let measure = benchmark.measures(Profile::Standard).unwrap()[at];
            let verdict = measure.score(&item(fields), row["output"].as_str().unwrap(), &Tools::default());
            prompts.compare(row, &is_right(&verdict), &(row[field]["follow_all"] == true));
        }
        instructions.demand(&format!("ifeval, instructions, {field}"));
        prompts.demand(&format!("ifeval, prompts, {field}"));
    }
}

#[test]
fn parity_livebench_if() {
    let Some(reference) = reference() else { return };
    let (benchmark, ifeval) = (open("livebench_if"), open("ifeval"));
    let rows = reference.rows("livebench_if.jsonl");
    let (mut scores, mut strict, mut loose) = (Tally::default(), Tally::default(), Tally::default());
    for row in &rows {
        let measure = benchmark.measures(Profile::Standard).unwrap()[0];
        let text = row["answer_file_text"].as_str().unwrap_or(row["output"].as_str().unwrap());
        let verdict = measure.score(&item(row.clone()), text, &Tools::default());
        scores.compare(row, &verdict.value(), &row["published_score"].as_f64());
        for (at, tally, field) in [(0, &mut strict, "strict"), (1, &mut loose, "loose")] {
            let theirs = row["recomputed"][field]["follow_list"].as_array().unwrap();
            let theirs: Vec<_> = theirs.iter().map(Value::as_bool).collect();
            tally.compare(row, &followed(&ifeval, at, row), &theirs);
        }
    }
    scores.demand("livebench if, published scores");
    strict.demand("livebench if, instructions, strict");
    loose.demand("livebench if, instructions, loose");
}

#[test]
fn parity_math() {
    let Some(reference) = reference() else { return };
    let benchmark = open("math");
    let (mut results, mut equiv) = (Tally::default(), Tally::default());
    let score = |gold: &Value, output: &str| {
        let item = item(json!({"problem": "", "solution": format!("\\boxed{{{}}}", gold.as_str().unwrap())}));
        let verdict = benchmark.score(&item, output, &Tools::default());
        (is_right(&verdict), verdict.is_invalid())
    };
    let raises = |value: &Value| value.is_string() || value.get("raises").is_some();
    for row in reference.rows("math.jsonl") {
        let paper = &row["paper"];
        if raises(paper) || raises(&paper["correct"]) {
            results.skipped += 1;
        } else {
            let ours = score(&row["gold"], row["output"].as_str().unwrap());
            results.compare(&row, &ours, &(paper["correct"] == true, paper["invalid"] == true));
        }
        if let Some(pred) = row["pred"].as_str() {
            let ours = m3::bench::is_equiv(pred, row["gold"].as_str().unwrap());
            equiv.compare(&row, &ours, &(row["paper_is_equiv"] == true));
        }
    }
    results.demand("math, process_results");
    equiv.demand("math, is_equiv");

    let (mut results, mut equiv) = (Tally::default(), Tally::default());
    for row in reference.rows("math_pairs.jsonl") {
        let (gold, pred) = (row["gold"].as_str().unwrap(), row["pred"].as_str().unwrap());
        equiv.compare(&row, &m3::bench::is_equiv(pred, gold), &(row["paper_is_equiv"] == true));
        let ours = score(&row["gold"], &format!("The answer is: {pred}")).0;
        results.compare(&row, &ours, &(row["paper_process_results"] == true));
    }
    results.demand("math pairs, process_results");
    equiv.demand("math pairs, is_equiv");
}
