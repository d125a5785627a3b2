//! The items behind the cells of a report: what was asked, answered and found, read back from the store.

use super::ExperimentError;
use crate::bench::{Benchmark, DataSource, Item, Split, Verdict};
use crate::digest::Digest;
use crate::files;
use crate::ids::{BenchmarkId, ItemId, RunId};
use crate::judge::Annotation;
use crate::report::{ItemDetail, Preference, RunDetail};
use crate::runs::{self, Answer};
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

/// A benchmark's items of the test split with their prompts, and how answers are generated.
struct Asked {
    items: Vec<(Item, String)>,
    generation: Value,
    /// The field with the instruction, where answers are judged.
    field: Option<String>,
}

impl Asked {
    fn of(id: &BenchmarkId, data: &DataSource) -> Result<Self, ExperimentError> {
        let benchmark = Benchmark::load(id)?;
        let with_prompt = |item: Item| {
            let prompt = benchmark.context(&item)?.to_string();
            Ok((item, prompt))
        };
        let items = benchmark.items(data, Split::Test)?.into_iter().map(with_prompt);
        let generation = &benchmark.card.generation_kwargs;
        Ok(Self {
            field: benchmark.judged().map(str::to_owned),
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
/// goes by the items' names, and its prompts are not known. Where answers were judged, `annotator` is whose verdicts are shown.
pub fn details(
    store: &Path,
    wanted: &[RunId],
    data: &DataSource,
    annotator: Option<&str>,
) -> Result<Vec<RunDetail>, ExperimentError> {
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
        let items = items(&folder, asked, annotator)?;
        all.push(RunDetail { run: run.clone(), benchmark, items, settings });
    }
    Ok(all)
}

/// What a judge said of the answers of a run, by instruction.
fn judged(folder: &Path, annotator: &str) -> Result<HashMap<String, Preference>, ExperimentError> {
    let file = folder.join("judge").join(annotator).join("annotations.json");
    if !files::is_file(&file) {
        return Ok(HashMap::new());
    }
    let preference = |row: Annotation| {
        let share = row.judged().share()?;
        let words = if row.output_1 == row.output_2 {
            format!("equal to the answer of {}", row.generator_1)
        } else {
            let chance = 100.0 * share;
            format!(
                "better than the answer of {} with a probability of {chance:.1} %, says {}; that answer: {}",
                row.generator_1, row.annotator, row.output_1
            )
        };
        Some((row.instruction, Preference { share, words }))
    };
    Ok(Annotation::read(&file)?.into_iter().filter_map(preference).collect())
}

fn items(folder: &Path, asked: &Asked, annotator: Option<&str>) -> Result<Vec<ItemDetail>, ExperimentError> {
    let judged = match (annotator, &asked.field) {
        (Some(annotator), Some(_)) => judged(folder, annotator)?,
        _ => HashMap::new(),
    };
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
        let instruction = asked.field.as_deref().and_then(|field| item.text(field));
        let judged = instruction.and_then(|instruction| judged.get(instruction)).cloned();
        let prompt = same.map(|_| prompt.clone());
        Some(ItemDetail { item: item.id.clone(), prompt, answer, verdict, judged })
    };
    Ok(asked.items.iter().filter_map(detail).collect())
}
