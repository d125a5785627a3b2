//! A run with its items, and the data that the page's program reads.

use crate::bench::Verdict;
use crate::ids::{BenchmarkId, ItemId, RunId};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// One model on one benchmark.
#[derive(Clone, Debug, PartialEq)]
pub struct RunDetail {
    /// Its key.
    pub run: RunId,
    /// The benchmark.
    pub benchmark: BenchmarkId,
    /// Everything that makes the run what it is.
    pub settings: Value,
    /// What was asked, in the benchmark's order.
    pub items: Vec<ItemDetail>,
}

/// One item of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct ItemDetail {
    /// Its name.
    pub item: ItemId,
    /// The whole prompt, where it can be made again.
    pub prompt: Option<String>,
    /// The answer, or why there is none.
    pub answer: Result<String, String>,
    /// What it is worth.
    pub verdict: Verdict,
    /// What a judge said of it, where rules cannot tell and somebody was asked.
    pub judged: Option<Preference>,
}

/// How an answer compares with another one, as a judge sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct Preference {
    /// From 0, the other one is better, to 1, this one is.
    pub share: f64,
    /// In words: who said it, and what the other answer was.
    pub words: String,
}

/// `{"prompts": [...], "runs": [{"run", "benchmark", "settings", "items": [...]}]}` as text that stands in a `script` element:
/// no `<` is in it. A prompt stands once, whatever the number of runs that have it.
pub(super) fn data(runs: &[RunDetail]) -> String {
    let mut places: BTreeMap<&str, usize> = BTreeMap::new();
    let mut prompts: Vec<&str> = Vec::new();
    let mut all = Vec::new();
    for run in runs {
        let mut items = Vec::new();
        for item in &run.items {
            let prompt = item.prompt.as_deref().map(|text| {
                *places.entry(text).or_insert_with(|| {
                    prompts.push(text);
                    prompts.len() - 1
                })
            });
            let (extracted, reason) = match &item.judged {
                Some(judged) => (None, judged.words.clone()),
                None => told(&item.verdict),
            };
            let (answer, refused) = match &item.answer {
                Ok(text) => (text, false),
                Err(why) => (why, true),
            };
            items.push(json!({
                "id": item.item,
                "prompt": prompt,
                "answer": answer,
                "refused": refused,
                "kind": kind(item),
                "value": item.judged.as_ref().map(|j| j.share).or(item.verdict.value()),
                "extracted": extracted,
                "reason": reason,
            }));
        }
        all.push(json!({
            "run": run.run,
            "benchmark": run.benchmark,
            "settings": run.settings,
            "items": items,
        }));
    }
    json!({ "prompts": prompts, "runs": all }).to_string().replace('<', "\\u003c")
}

/// What the page's filter calls it. An answer that is right in part counts as wrong there, and so does one that a judge does not
/// prefer.
fn kind(item: &ItemDetail) -> &'static str {
    let verdict = &item.verdict;
    if let Some(judged) = &item.judged {
        if judged.share > 0.5 { "right" } else { "wrong" }
    } else if verdict.is_unscored() {
        "unscored"
    } else if verdict.is_invalid() {
        "invalid"
    } else if verdict.value() == Some(1.0) {
        "right"
    } else {
        "wrong"
    }
}

/// What was taken for the answer, and why the verdict is what it is, in words.
fn told(verdict: &Verdict) -> (Option<&str>, String) {
    match verdict {
        Verdict::Scored { extracted, reason, .. } => (extracted.as_deref(), words(json!(reason))),
        Verdict::Unscored { why } => (None, words(json!(why))),
    }
}

/// `{"is": "program_failed", "exception": "…"}` as `program failed: …`.
fn words(tagged: Value) -> String {
    let Value::Object(fields) = tagged else { return String::new() };
    let mut text = String::new();
    for (name, value) in fields {
        let value = match value {
            Value::String(text) => text,
            Value::Array(all) => all.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", "),
            other => other.to_string(),
        };
        if name == "is" {
            text.insert_str(0, &value.replace('_', " "));
        } else {
            text.push_str(": ");
            text.push_str(&value);
        }
    }
    text
}
