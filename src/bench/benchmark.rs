//! A benchmark, opened and checked: its card, its prompt and its scorer.

use crate::bench::card::{Card, DataFile};
use crate::bench::cases::{self, CaseResult};
use crate::bench::context::{self, Context, Example, Target};
use crate::bench::dataset::{self, DataSource, Item, Split};
use crate::bench::error::BenchError;
use crate::bench::profile::{Measure, Profile};
use crate::bench::prompt::Prompt;
use crate::bench::registry::{self, ADAPTERS, NAMES, PROMPT_FILE};
use crate::bench::score::{BadField, Scorer, Tools};
use crate::bench::verdict::Verdict;
use crate::completion::{Request, Sampling};
use crate::digest::{Canonical, Digest};
use crate::files;
use crate::ids::BenchmarkId;
use serde::Serialize;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A benchmark, opened and checked.
#[derive(Debug)]
pub struct Benchmark {
    /// What its `benchmark.toml` says.
    pub card: Card,
    prompt: Prompt,
    scorer: Box<dyn Scorer>,
    /// In the order of the card's `standard`.
    standard: Vec<Box<dyn Scorer>>,
    /// What a solved example answers; nothing where there are none.
    target: Option<Target>,
    /// Name and contents of its hand-made cases.
    cases: (String, Cow<'static, str>),
    /// The data that lies beside its card.
    own_data: Option<PathBuf>,
}

/// How a benchmark is asked, where it is otherwise than its card says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asking {
    /// In the model's own chat template.
    pub chat: bool,
    /// In it, what the system says.
    pub system: Option<String>,
    /// Behind so many solved examples.
    pub num_fewshot: Option<usize>,
}

/// What a model that always says the same is right about.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Chance {
    /// The most frequent right label.
    pub label: String,
    /// The share of the items that have it, in [0, 1].
    pub share: f64,
}

impl fmt::Display for Chance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "always `{}` would be right on {:.2} %", self.label, 100.0 * self.share)
    }
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
        let folder = format!("benchmarks/{id}");
        let file = format!("{folder}/benchmark.toml");
        let card = Card::parse(&file, adapter.id, adapter.card)?;
        if card.doc_to_text != PROMPT_FILE {
            return Err(BenchError::CardValue {
                file,
                key: "doc_to_text",
                got: format!("`{}`", card.doc_to_text),
                accepted: format!("`{PROMPT_FILE}`, the template that is embedded"),
            });
        }
        Self::assemble(&folder, card, adapter.prompt.into(), adapter.cases.into())
    }

    /// Opens a benchmark in a folder of its own: a card, the template that it names, and `cases.json`. Where no data is named,
    /// the folder `data` in it is read.
    pub fn from_folder(folder: &Path) -> Result<Self, BenchError> {
        let file = folder.join("benchmark.toml");
        if !files::is_file(&file) {
            return Err(BenchError::NoAdapter { path: folder.to_owned(), known: NAMES });
        }
        // The name that the card must have, even where the folder is given as `.`.
        let whole = files::canonical(folder)?;
        let name = whole.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        let card = Card::parse(&file.display().to_string(), &name, &files::read_text(&file)?)?;
        let plain =
            Path::new(&card.doc_to_text).file_name().is_some_and(|name| name == card.doc_to_text.as_str());
        if !plain {
            return Err(BenchError::CardValue {
                file: file.display().to_string(),
                key: "doc_to_text",
                got: format!("`{}`", card.doc_to_text),
                accepted: "the name of a template in the same folder".to_owned(),
            });
        }
        let prompt = files::read_text(&folder.join(&card.doc_to_text))?;
        let cases = files::read_text(&folder.join("cases.json"))?;
        let mut opened = Self::assemble(&folder.display().to_string(), card, prompt.into(), cases.into())?;
        opened.own_data = Some(folder.join("data")).filter(|data| files::is_folder(data));
        Ok(opened)
    }

    /// Opens a benchmark by its name, or else by its folder. LiveBench's tasks go by its own names too: `livebench/if`,
    /// `livebench/LCB_generation`.
    pub fn open(name_or_folder: &str) -> Result<Self, BenchError> {
        let name_or_folder = name_or_folder.trim();
        if NAMES.contains(&name_or_folder) {
            return Self::load(&name_or_folder.into());
        }
        if let Some(task) = name_or_folder.strip_prefix("livebench/") {
            let task = task.to_lowercase().replace("instruction_following", "if");
            let name = format!("livebench_{task}");
            if NAMES.contains(&name.as_str()) && !files::is_folder(Path::new(name_or_folder)) {
                return Self::load(&name.as_str().into());
            }
        }
        Self::from_folder(Path::new(name_or_folder))
    }

    fn assemble(
        folder: &str,
        card: Card,
        prompt: Cow<'static, str>,
        cases: Cow<'static, str>,
    ) -> Result<Self, BenchError> {
        let file = format!("{folder}/benchmark.toml");
        let prompt = Prompt::parse(&format!("{folder}/{}", card.doc_to_text), prompt)?;
        let target = Target::of(&file, &card.fewshot_config)?;
        let mut choice = card.scorer.clone();
        if card.apply_chat_template && choice.name == "multiple_choice" {
            // An assistant's turn does not begin with a blank (the reference: `construct_requests`).
            choice.options.entry("target_delimiter").or_insert_with(|| "".into());
        }
        let scorer = registry::scorer(&file, "[scorer]", &choice)?;
        let standard = card.standard.iter().map(|m| {
            registry::scorer(&file, &format!("the scorer of `{}` in [[standard]]", m.name), &m.scorer)
        });
        let standard = standard.collect::<Result<_, _>>()?;
        let cases = (format!("{folder}/cases.json"), cases);
        Ok(Self { card, prompt, scorer, standard, target, cases, own_data: None })
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
        let form = generation.until.iter().fold(form, |form, stop| form.text("until", stop));
        self.asked_otherwise().iter().fold(form, |form, (key, text)| form.text(key, text)).finish()
    }

    /// What the card says about how it is asked, beside the template, as far as it is not the usual.
    fn asked_otherwise(&self) -> Vec<(&'static str, String)> {
        let Card { description, num_fewshot, fewshot_config, system_instruction, .. } = &self.card;
        let mut all = Vec::new();
        if !description.is_empty() {
            all.push(("description", description.clone()));
        }
        if *num_fewshot > 0 {
            all.push(("num_fewshot", num_fewshot.to_string()));
            all.push(("fewshot_config", format!("{fewshot_config:?}")));
        }
        if self.card.apply_chat_template {
            all.push(("fewshot_as_multiturn", self.card.fewshot_as_multiturn.to_string()));
            all.push(("system_instruction", system_instruction.clone().unwrap_or_default()));
        }
        all
    }

    /// Grows whenever the scorer could come to another verdict.
    pub fn scorer_version(&self) -> u32 {
        self.scorer.version()
    }

    /// Whether scoring needs [`Tools::sandbox`]: it must be opened before the first question is asked.
    pub fn needs_programs(&self) -> bool {
        self.scorer.programs().is_some()
    }

    /// The figures of a profile, in the order in which they are reported.
    pub fn measures(&self, profile: Profile) -> Result<Vec<Measure<'_>>, BenchError> {
        match profile {
            Profile::Paper => {
                Ok(vec![Measure { name: &self.card.metric().metric, scorer: self.scorer.as_ref() }])
            }
            Profile::Standard if self.standard.is_empty() => {
                let has = |id: &&&str| Self::load(&(**id).into()).is_ok_and(|b| !b.standard.is_empty());
                let known = NAMES.iter().filter(has).copied().collect();
                Err(BenchError::NoStandard { benchmark: self.card.id.clone(), known })
            }
            Profile::Standard => {
                let named = self.card.standard.iter().zip(&self.standard);
                Ok(named.map(|(m, scorer)| Measure { name: &m.name, scorer: scorer.as_ref() }).collect())
            }
        }
    }

    /// What a model that always says the same is right about, where every item has one of a few labels.
    pub fn chance<'i>(&self, items: impl IntoIterator<Item = &'i Item>) -> Option<Chance> {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for item in items {
            *counts.entry(self.scorer.gold_label(item)?).or_default() += 1;
        }
        let all: usize = counts.values().sum();
        let (label, most) = counts.into_iter().max_by_key(|(_, count)| *count)?;
        Some(Chance { label: label.to_owned(), share: most as f64 / all as f64 })
    }

    /// Scores the hand-made cases.
    pub fn run_cases(&self, tools: &Tools<'_>) -> Result<Vec<CaseResult>, BenchError> {
        cases::run(self, &self.cases.0, &self.cases.1, tools)
    }

    /// Where its data is: a benchmark in a folder of its own may bring it along.
    fn data<'d>(&self, named: &'d DataSource) -> Cow<'d, DataSource> {
        match (&self.own_data, named) {
            (Some(own), DataSource::Embedded(_)) => Cow::Owned(DataSource::Folder(own.clone())),
            // A named folder may be meant for other benchmarks only.
            (Some(own), DataSource::Folder(folder)) if !self.has_file_in(folder) => {
                Cow::Owned(DataSource::Folder(own.clone()))
            }
            _ => Cow::Borrowed(named),
        }
    }

    /// Whether a folder has any of its files.
    fn has_file_in(&self, folder: &Path) -> bool {
        self.card.dataset.files.iter().any(|file| files::is_file(&folder.join(&file.name)))
    }

    /// Whether there is data where none is named.
    pub fn has_data(&self) -> bool {
        self.card.dataset.embedded.is_some() || self.own_data.is_some()
    }

    /// The files from which [`Benchmark::items`] reads.
    pub fn data_files(&self, data: &DataSource, split: Split) -> Result<Vec<PathBuf>, BenchError> {
        Ok(dataset::locate(&self.card, &self.data(data), split)?.into_iter().map(|held| held.path).collect())
    }

    /// Whether bytes are those that are published for `file`: fails with [`BenchError::Checksum`] if not. What has no
    /// published checksum is taken.
    pub fn accept(&self, file: &DataFile, bytes: &[u8]) -> Result<(), BenchError> {
        dataset::accept(&self.card, file, Path::new(&file.name), bytes)
    }

    /// The items of a split, in the files' order, with the examples that go before them. Every one has been checked: its
    /// prompt can be written and its answer can be scored.
    pub fn items(&self, data: &DataSource, split: Split) -> Result<Vec<Item>, BenchError> {
        let data = self.data(data);
        let mut rows = dataset::read(&self.card, &data, split)?;
        if self.card.num_fewshot > 0 {
            let (pool, same) = self.pool(&data, split, &rows)?;
            let examples = context::choose(&self.card, &pool, rows.iter().map(|row| &row.item.fields), same)?;
            rows.iter_mut().zip(examples).for_each(|(row, examples)| row.item.examples = examples);
        }
        rows.into_iter()
            .map(|row| {
                self.check(&row.item).map_err(|BadField { key, wanted }| row.lacks(&key, wanted))?;
                self.context(&row.item)?;
                Ok(row.item)
            })
            .collect()
    }

    /// The rows that examples are chosen from, and whether these are the rows of `split` themselves.
    fn pool(
        &self,
        data: &DataSource,
        split: Split,
        rows: &[dataset::Row],
    ) -> Result<(Vec<Example>, bool), BenchError> {
        let fields =
            |rows: &[dataset::Row]| rows.iter().map(|row| Arc::new(row.item.fields.clone())).collect();
        Ok(match self.card.fewshot_config.split {
            None => {
                let samples = self.card.fewshot_config.samples.iter().cloned();
                (samples.map(|sample| Arc::new(dataset::renamed(&self.card, sample))).collect(), false)
            }
            Some(other) if other == split => (fields(rows), true),
            Some(other) => (fields(&dataset::read(&self.card, data, other)?), false),
        })
    }

    /// Whether a row has what the scorers of all profiles need.
    pub(super) fn check(&self, item: &Item) -> Result<(), BadField> {
        self.scorer.check(item)?;
        self.standard.iter().try_for_each(|scorer| scorer.check(item))
    }

    /// The prompt template, as it is written.
    pub fn template(&self) -> &str {
        self.prompt.source()
    }

    /// The same benchmark with another prompt template.
    pub fn with_template(&self, template: String) -> Result<Self, BenchError> {
        Self::assemble(self.id().as_str(), self.card.clone(), template.into(), self.cases.1.clone())
    }

    /// The same benchmark with the likeliest label as the answer, where the card's labels are numbered 0, 1 and so on: nothing is
    /// generated, and no answer is invalid. `None` where answers are no such labels.
    pub fn by_likelihood(&self) -> Result<Option<Self>, BenchError> {
        let options = &self.card.scorer.options;
        let (Some(labels), Some(field)) =
            (options.get("labels").and_then(toml::Value::as_table), options.get("field"))
        else {
            return Ok(None);
        };
        let mut numbered: Vec<_> =
            labels.iter().filter_map(|(label, number)| Some((number.as_integer()?, label.clone()))).collect();
        numbered.sort();
        if numbered.is_empty() || !numbered.iter().map(|(number, _)| *number).eq(0..labels.len() as i64) {
            return Ok(None);
        }
        let choices = numbered.into_iter().map(|(_, label)| toml::Value::from(label)).collect();
        let mut card = self.card.clone();
        "multiple_choice".clone_into(&mut card.scorer.name);
        card.scorer.options = toml::Table::from_iter([
            ("doc_to_choice".to_owned(), toml::Value::Array(choices)),
            ("doc_to_target".to_owned(), field.clone()),
        ]);
        let template = self.prompt.source().to_owned();
        Self::assemble(self.id().as_str(), card, template.into(), self.cases.1.clone()).map(Some)
    }

    /// The same benchmark with the first label that the model says as its answer, behind which generation ends. `None` where answers
    /// are no labels.
    pub fn by_first_label(&self) -> Result<Option<Self>, BenchError> {
        if self.card.scorer.name != "label_word" {
            return Ok(None);
        }
        let mut card = self.card.clone();
        card.scorer.options.insert("take".to_owned(), "first".into());
        let template = self.prompt.source().to_owned();
        Self::assemble(self.id().as_str(), card, template.into(), self.cases.1.clone()).map(Some)
    }

    /// The labels that answers are, where the card has some.
    pub fn labels(&self) -> Vec<String> {
        let labels = self.card.scorer.options.get("labels").and_then(toml::Value::as_table);
        labels.map(|labels| labels.keys().cloned().collect()).unwrap_or_default()
    }

    /// What the model is told about an item.
    pub fn context(&self, item: &Item) -> Result<Context, BenchError> {
        let id = &self.card.id;
        let solved = |example: &Example| {
            let answer =
                self.target.as_ref().map(|target| target.answer(id, &item.id, example)).transpose()?;
            Ok((self.prompt.render(id, &item.id, example)?, answer.unwrap_or_default()))
        };
        let examples = item.examples.iter().map(solved);
        let examples = examples.collect::<Result<Vec<_>, BenchError>>()?;
        Ok(context::lay_out(&self.card, &examples, &self.prompt.render(id, &item.id, &item.fields)?))
    }

    /// What the model is asked, behind `prompt`: the text of an item's [`Benchmark::context`], in the model's template if it is
    /// a conversation.
    pub fn request(&self, prompt: String) -> Request {
        let generation = &self.card.generation_kwargs;
        Request {
            prompt,
            sampling: Sampling::Greedy,
            max_tokens: generation.max_gen_toks,
            stop: generation.until.clone(),
            end_with: self.scorer.end_with(),
        }
    }

    /// What could follow the prompt, where the model is not to generate but to say how likely that is.
    pub fn continuations(&self, item: &Item) -> Option<Vec<String>> {
        self.scorer.continuations(item)
    }

    /// The same benchmark, asked otherwise.
    pub fn asked(self, asking: &Asking) -> Result<Self, BenchError> {
        if *asking == Asking::default() {
            return Ok(self);
        }
        let Self { mut card, prompt, cases, own_data, .. } = self;
        card.apply_chat_template |= asking.chat;
        if let Some(system) = &asking.system {
            card.system_instruction = Some(system.clone());
        }
        if let Some(number) = asking.num_fewshot {
            card.num_fewshot = number;
        }
        let folder = cases.0.trim_end_matches("/cases.json");
        card.check_context(&format!("{folder}/benchmark.toml"))?;
        let opened = Self::assemble(folder, card, prompt.source().to_owned().into(), cases.1)?;
        Ok(Self { own_data, ..opened })
    }

    /// What an answer must be to be looked at, where it is no text that a model generates.
    pub fn form_of_answers(&self) -> Option<&'static str> {
        self.scorer.form()
    }

    /// The field with the instruction, if answers are not scored here but judged elsewhere.
    pub fn judged(&self) -> Option<&str> {
        self.scorer.judged()
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
