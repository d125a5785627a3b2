//! The items behind the cells of a report: what was asked, answered and found, read back from the store.

use super::ExperimentError;
use crate::bench::{Benchmark, DataSource, Item, Split, Verdict};
use crate::digest::Digest;
use crate::ids::{BenchmarkId, ItemId, RunId};
use crate::report::{ItemDetail, RunDetail};
use crate::runs::{self, Answer};
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

/// A benchmark's items of the test split with their prompts, and how answers are generated.
struct Asked {
    items: Vec<(Item, String)>,
    generation: Value,
}

impl Asked {
    fn of(id: &BenchmarkId, data: &DataSource) -> Result<Self, ExperimentError> {
        let benchmark = Benchmark::load(id)?;
        let with_prompt = |item: Item| {
            let prompt = benchmark.request(&item)?.prompt;
            Ok((item, prompt))
        };
        let items = benchmark.items(data, Split::Test)?.into_iter().map(with_prompt);
        let generation = &benchmark.card.generation_kwargs;
        Ok(Self {
            items: items.collect::<Result<_, ExperimentError>>()?,
            generation: json!({
                "temperature": 0,
                "max_gen_toks": generation.max_gen_toks.0,
                "until": generation.until,
                "template": benchmark.template(),
                "scorer": benchmark.card.scorer.name,
                "scorer_version": benchmark.scorer_version(),
            }),
        })
    }
}

/// The runs' items of the test split, as far as they have verdicts. A run holds every split that was evaluated in it: items are
/// told apart by the digest of their row, answers by that of their prompt. A run whose prompts were changed, as an attack does,
/// goes by the items' names, and its prompts are not known.
pub fn details(store: &Path, wanted: &[RunId], data: &DataSource) -> Result<Vec<RunDetail>, ExperimentError> {
    let mut known: BTreeMap<BenchmarkId, Asked> = BTreeMap::new();
    let mut all = Vec::new();
    for run in wanted {
        let folder = store.join("runs").join(run.as_str());
        let manifest = runs::manifest(&folder)?;
        let benchmark = manifest.benchmark.clone();
        if !known.contains_key(&benchmark) {
            known.insert(benchmark.clone(), Asked::of(&benchmark, data)?);
        }
        let asked = &known[&benchmark];
        let mut settings = json!(manifest);
        settings["generation"] = asked.generation.clone();
        all.push(RunDetail { run: run.clone(), benchmark, items: items(&folder, &asked.items)?, settings });
    }
    Ok(all)
}

fn items(folder: &Path, asked: &[(Item, String)]) -> Result<Vec<ItemDetail>, ExperimentError> {
    let mut by_prompt: HashMap<Digest, Answer> = HashMap::new();
    let mut by_name: HashMap<ItemId, Answer> = HashMap::new();
    for stored in runs::stored_answers(folder)? {
        by_name.insert(stored.item, stored.answer.clone());
        by_prompt.insert(stored.answer.prompt, stored.answer);
    }
    let mut verdicts: HashMap<Digest, Verdict> = HashMap::new();
    for stored in runs::stored_verdicts(folder)? {
        // A verdict of another version's words is left out, as evaluation does.
        if let (Some(content), Ok(verdict)) = (stored.content, serde_json::from_value(stored.verdict)) {
            verdicts.insert(content, verdict);
        }
    }
    let detail = |(item, prompt): &(Item, String)| {
        let verdict = verdicts.get(&item.digest())?.clone();
        let same = by_prompt.get(&Digest::of_bytes(prompt.as_bytes()));
        let answer = same.or_else(|| by_name.get(&item.id))?.text.clone();
        Some(ItemDetail { item: item.id.clone(), prompt: same.map(|_| prompt.clone()), answer, verdict })
    };
    Ok(asked.iter().filter_map(detail).collect())
}
