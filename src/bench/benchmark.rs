//! A benchmark, opened and checked: its card, its prompt and its scorer.

use crate::bench::card::Card;
use crate::bench::dataset::{self, DataSource, Item, Split};
use crate::bench::error::BenchError;
use crate::bench::prompt::Prompt;
use crate::bench::registry::{self, ADAPTERS, NAMES};
use crate::bench::score::{BadField, Scorer, Tools};
use crate::bench::verdict::Verdict;
use crate::completion::{Request, Sampling};
use crate::digest::{Canonical, Digest};
use crate::ids::BenchmarkId;
use std::path::PathBuf;

/// A benchmark, opened and checked.
#[derive(Debug)]
pub struct Benchmark {
    /// What its `benchmark.toml` says.
    pub card: Card,
    prompt: Prompt,
    scorer: Box<dyn Scorer>,
}

impl Benchmark {
    /// Every benchmark's name.
    pub fn known() -> &'static [&'static str] {
        NAMES
    }

    /// Opens a benchmark.
    pub fn load(id: &BenchmarkId) -> Result<Self, BenchError> {
        let adapter = ADAPTERS
            .iter()
            .find(|a| a.id == id.as_str())
            .ok_or_else(|| BenchError::UnknownBenchmark { id: id.clone(), known: NAMES })?;
        let file = format!("benchmarks/{id}/benchmark.toml");
        let card = Card::parse(&file, adapter.id, adapter.card)?;
        let (prompt_file, template) = adapter.prompt;
        if card.doc_to_text != prompt_file {
            return Err(BenchError::CardValue {
                file,
                key: "doc_to_text",
                got: format!("`{}`", card.doc_to_text),
                accepted: format!("`{prompt_file}`, the template that is embedded"),
            });
        }
        let prompt = Prompt::parse(&format!("benchmarks/{id}/{prompt_file}"), template)?;
        let scorer = registry::scorer(&file, &card.scorer)?;
        Ok(Self { card, prompt, scorer })
    }

    /// Its name.
    pub fn id(&self) -> &BenchmarkId {
        &self.card.id
    }

    /// What decides about an answer's value beside item and answer: id and version, template, how the answer is
    /// generated, the scorer with its options and version. Titles and sources may change without it.
    pub fn digest(&self) -> Digest {
        let generation = &self.card.generation_kwargs;
        let form = Canonical::new("m3/bench/benchmark/1")
            .text("id", self.card.id.as_str())
            .number("version", self.card.version.into())
            .text("template", self.prompt.source())
            .number("max_gen_toks", generation.max_gen_toks.0 as u64)
            .text("scorer", &self.card.scorer.name)
            .number("scorer_version", self.scorer_version().into())
            // TOML tables are sorted by key.
            .text("options", &self.card.scorer.options.to_string());
        generation.until.iter().fold(form, |form, stop| form.text("until", stop)).finish()
    }

    /// Grows whenever the scorer could come to another verdict.
    pub fn scorer_version(&self) -> u32 {
        self.scorer.version()
    }

    /// Whether scoring needs [`Tools::sandbox`]: it must be opened before the first question is asked.
    pub fn needs_programs(&self) -> bool {
        self.scorer.programs().is_some()
    }

    /// The file from which [`Benchmark::items`] reads.
    pub fn data_file(&self, data: &DataSource, split: Split) -> Result<PathBuf, BenchError> {
        dataset::locate(&self.card, data, split).map(|(path, _)| path)
    }

    /// The items of a split, in the file's order. Every one has been checked: its prompt can be written and its answer
    /// can be scored.
    pub fn items(&self, data: &DataSource, split: Split) -> Result<Vec<Item>, BenchError> {
        let (path, rows) = dataset::read(&self.card, data, split)?;
        rows.into_iter()
            .map(|row| {
                self.scorer.check(&row.item).map_err(|BadField { key, wanted }| BenchError::Field {
                    path: path.clone(),
                    line: row.line,
                    key,
                    wanted,
                })?;
                self.request(&row.item)?;
                Ok(row.item)
            })
            .collect()
    }

    /// What the model is asked.
    pub fn request(&self, item: &Item) -> Result<Request, BenchError> {
        let generation = &self.card.generation_kwargs;
        Ok(Request {
            prompt: self.prompt.render(&self.card.id, item)?,
            sampling: Sampling::Greedy,
            max_tokens: generation.max_gen_toks,
            stop: generation.until.clone(),
        })
    }

    /// What the raw generated text is worth. May be called from any thread, with any text.
    pub fn score(&self, item: &Item, answer: &str, tools: &Tools<'_>) -> Verdict {
        self.scorer.score(item, answer, tools)
    }

    /// The program in a raw answer, as [`Benchmark::score`] takes it out; `None` where answers are not programs.
    pub fn extract_program(&self, answer: &str) -> Option<String> {
        self.scorer.programs().map(|programs| programs.extract(answer))
    }

    /// What a program is worth that has been taken out of its answer, such as a published sample; `None` where answers
    /// are not programs.
    pub fn score_program(&self, item: &Item, code: &str, tools: &Tools<'_>) -> Option<Verdict> {
        self.scorer.programs().map(|programs| programs.score(item, code, tools))
    }
}
