//! Attacks on prompts: against the reference's own traces where they are at hand, and what must hold for any prompt.
#![expect(clippy::print_stdout, reason = "the parity test reports what it compared")]

use m3::attack::{
    Accuracy, Attack, AttackError, AttackName, AttackedText, CONTENT, Draws, Found, Resources, Rules, Stage,
    Victim, WordRule, drop_rate,
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
    #[expect(clippy::disallowed_methods, reason = "a test has no settings")]
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
        details.iter().for_each(|line| println!("  {line}"));
        let counts = json!({
            "set": name, "rows": rows, "agree": agree, "left_out": 0, "disagree": apart, "details": details
        });
        // For `scripts/parity`. Libtest may have begun this line.
        println!("\nparity-json {counts}");
        failed.extend(apart);
    }
    assert!(!rows.is_empty() && failed.is_empty(), "{} traces disagree: {failed:?}", failed.len());
}
