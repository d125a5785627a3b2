//! `benchmark.toml`: everything about a benchmark that is data. Field names follow lm-evaluation-harness where it has one.

use crate::bench::dataset::Split;
use crate::bench::error::BenchError;
use crate::ids::BenchmarkId;
use crate::units::TokenCount;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::path::Path;

/// A benchmark's card.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Card {
    /// The folder's name.
    pub id: BenchmarkId,
    /// The name that people read.
    pub title: String,
    /// Grows with every change that could change a score; `changes` says how.
    pub version: u32,
    /// One line for each version.
    pub changes: Vec<String>,
    /// Where the data comes from.
    pub source: String,
    /// The data's licence.
    pub licence: String,
    /// Where to read more.
    #[serde(default)]
    pub homepage: Option<String>,
    /// What to cite.
    #[serde(default)]
    pub citation: Option<String>,
    /// The file with the prompt template (Jinja, as lm-evaluation-harness renders it).
    pub doc_to_text: String,
    /// What is said before everything else.
    #[serde(default)]
    pub description: String,
    /// How many solved examples go before the question.
    #[serde(default)]
    pub num_fewshot: usize,
    /// Which examples these are, and how they are written.
    #[serde(default)]
    pub fewshot_config: Fewshot,
    /// Whether the prompt is what a user says in the model's own chat template, and not a text that the model continues.
    #[serde(default)]
    pub apply_chat_template: bool,
    /// Whether each example is a turn of the user's and one of the assistant's, where there is a chat template.
    #[serde(default)]
    pub fewshot_as_multiturn: bool,
    /// What the system says before the user does, where there is a chat template.
    #[serde(default)]
    pub system_instruction: Option<String>,
    /// How the answer is generated; left out where nothing is, as with `multiple_choice`.
    #[serde(default)]
    pub generation_kwargs: Generation,
    /// What is reported; one metric.
    pub metric_list: Vec<Metric>,
    /// The kind of scorer, and its options: the paper's rules.
    pub scorer: ScorerChoice,
    /// The rules of the benchmark's own reference today, where they differ and are known; all of them are reported.
    #[serde(default)]
    pub standard: Vec<StandardMetric>,
    /// Where the rows are.
    pub dataset: Dataset,
}

/// One of the figures that the benchmark's own reference reports.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StandardMetric {
    /// The reference's name for it.
    pub name: String,
    /// Which reference, and where in it.
    pub source: String,
    /// The kind of scorer, and its options.
    pub scorer: ScorerChoice,
}

/// Solved examples before the question.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Fewshot {
    /// The split that they are taken from.
    pub split: Option<Split>,
    /// Or the rows themselves.
    pub samples: Vec<Map<String, Value>>,
    /// How they are chosen.
    pub sampler: Sampler,
    /// What is answered: a field of the row, or a template.
    pub doc_to_target: Option<String>,
    /// Between question and answer.
    pub target_delimiter: String,
    /// Behind each answer.
    pub fewshot_delimiter: String,
}

impl Default for Fewshot {
    fn default() -> Self {
        Self {
            split: None,
            samples: Vec::new(),
            sampler: Sampler::Default,
            doc_to_target: None,
            target_delimiter: " ".to_owned(),
            fewshot_delimiter: "\n\n".to_owned(),
        }
    }
}

/// How solved examples are chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sampler {
    /// Drawn for every item anew, as lm-evaluation-harness draws them with its usual seed.
    #[default]
    Default,
    /// The first ones.
    FirstN,
}

/// How the answer is generated. Always greedy, as in the paper.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Generation {
    /// Generation ends at the first of these.
    pub until: Vec<String>,
    /// Tokens at most.
    pub max_gen_toks: TokenCount,
}

/// Nothing is generated.
impl Default for Generation {
    fn default() -> Self {
        Self { until: Vec::new(), max_gen_toks: TokenCount(0) }
    }
}

/// What is reported.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Metric {
    /// Its name: `exact_match`, `pass@1`, …
    pub metric: String,
    /// How the items' values become one number.
    pub aggregation: Aggregation,
    /// The direction of better.
    pub higher_is_better: bool,
}

/// How the items' values become one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Aggregation {
    /// The arithmetic mean.
    Mean,
}

/// The kind of scorer, and its options.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(from = "toml::Table")]
pub struct ScorerChoice {
    /// A name from the registry; empty where the card has none.
    pub name: String,
    /// Everything beside the name.
    pub options: toml::Table,
}

impl From<toml::Table> for ScorerChoice {
    fn from(mut options: toml::Table) -> Self {
        let name = match options.remove("name") {
            Some(toml::Value::String(name)) => name,
            Some(other) => other.to_string(),
            None => String::new(),
        };
        Self { name, options }
    }
}

/// Where the rows are.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dataset {
    /// The set's folder in the suite that comes with the project, if it is there: `<embedded>/<split>.jsonl`.
    #[serde(default)]
    pub embedded: Option<String>,
    /// The field that names an item; without it the row number does, from 0.
    #[serde(default)]
    pub id_field: Option<String>,
    /// Fields that some copies of the data call otherwise: `{ other = "ours" }`.
    #[serde(default)]
    pub aliases: BTreeMap<String, String>,
    /// Published files in a data folder. Of several copies of one split, the first that is there is read
    /// ([`Dataset::copies`]).
    #[serde(default)]
    pub files: Vec<DataFile>,
}

impl Dataset {
    /// The ways to have a split, in the order in which they are looked for. Each is the files that hold it together: a
    /// file that holds it whole, or all of those that hold a part of it.
    pub fn copies(&self, split: Split) -> Vec<Vec<&DataFile>> {
        let mut copies: Vec<Vec<&DataFile>> = Vec::new();
        for file in self.files.iter().filter(|file| file.split == split) {
            match copies.iter_mut().find(|copy| file.part && copy[0].part) {
                Some(copy) => copy.push(file),
                None => copies.push(vec![file]),
            }
        }
        copies
    }
}

/// A published file.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataFile {
    /// The split that it holds.
    pub split: Split,
    /// Its name in the data folder; its ending says what it is ([`Format`]).
    pub name: String,
    /// Whether it holds a part of its split, which is all of its parts, one after the other.
    #[serde(default)]
    pub part: bool,
    /// What a row must have to be one of this benchmark's, where a file has others too: text fields and their values.
    #[serde(default, rename = "where")]
    pub condition: BTreeMap<String, String>,
    /// Where `m3 data pull` fetches it.
    #[serde(default)]
    pub hub: Option<HubFile>,
    /// Of `.csv` and `.tsv`, the names of the columns from left to right; left out where the first line has them.
    #[serde(default)]
    pub columns: Vec<String>,
    /// Whether the first line has names of its own beside those of `columns`, and is no row.
    #[serde(default)]
    pub header: bool,
    /// Its number of rows, of those that `where` takes; left out where it is not known.
    #[serde(default)]
    pub rows: Option<usize>,
    /// Its SHA-256, 64 lower-case hex digits, where the bytes are fixed.
    #[serde(default)]
    pub sha256: Option<String>,
}

/// A file of a data set on a Hugging Face hub.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HubFile {
    /// `ORGANISATION/NAME`.
    pub dataset: String,
    /// A commit, a tag or a branch.
    pub revision: String,
    /// The file's path in the data set.
    pub file: String,
}

/// What a data file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One JSON object a line; also what has no other ending.
    JsonLines,
    /// A JSON list of objects.
    Json,
    /// Comma-separated values with quotation marks (RFC 4180).
    Csv,
    /// Tab-separated values without quotation marks.
    Tsv,
    /// Apache Parquet.
    Parquet,
}

impl DataFile {
    /// What it is, by the ending of its name; a text may be compressed (`.gz`).
    pub fn format(&self) -> Format {
        let plain = self.name.strip_suffix(".gz").unwrap_or(&self.name);
        match Path::new(plain).extension().and_then(|ending| ending.to_str()) {
            Some("json") => Format::Json,
            Some("csv") => Format::Csv,
            Some("tsv") => Format::Tsv,
            Some("parquet") if plain == self.name => Format::Parquet,
            _ => Format::JsonLines,
        }
    }
}

impl Card {
    /// Reads a card; `folder` is the name that the card must have.
    pub fn parse(file: &str, folder: &str, text: &str) -> Result<Self, BenchError> {
        let card: Self = toml::from_str(text)
            .map_err(|source| BenchError::Card { file: file.to_owned(), source: Box::new(source) })?;
        let wrong = |key, got: String, accepted: String| {
            Err(BenchError::CardValue { file: file.to_owned(), key, got, accepted })
        };
        if card.id.as_str() != folder {
            return wrong("id", format!("`{}`", card.id), format!("`{folder}`, the folder's name"));
        }
        if card.version == 0 || card.changes.len() != card.version as usize {
            let got = format!("{} with {} lines of `changes`", card.version, card.changes.len());
            return wrong(
                "version",
                got,
                "1 or more, with one line of `changes` for each version".to_owned(),
            );
        }
        if card.metric_list.len() != 1 {
            let got = format!("a list of {}", card.metric_list.len());
            return wrong("metric_list", got, "a list of one metric".to_owned());
        }
        if card.generation_kwargs.max_gen_toks.0 == 0 && card.scorer.name != "multiple_choice" {
            return wrong(
                "generation_kwargs.max_gen_toks",
                "0 or left out".to_owned(),
                "1 or more".to_owned(),
            );
        }
        if card.generation_kwargs.until.iter().any(String::is_empty) {
            let accepted = "a list of texts that are not empty (an empty one would end every answer at once)";
            return wrong(
                "generation_kwargs.until",
                "a list with an empty text".to_owned(),
                accepted.to_owned(),
            );
        }
        card.check_context(file)?;
        for file in &card.dataset.files {
            let plain = !file.name.is_empty() && !file.name.contains(['/', '\\']) && file.name != "..";
            if !plain {
                return wrong(
                    "dataset.files.name",
                    format!("`{}`", file.name),
                    "a plain file name".to_owned(),
                );
            }
            let unpacked = file.name.strip_suffix(".gz").unwrap_or(&file.name);
            let ending = Path::new(unpacked).extension().and_then(|ending| ending.to_str());
            if !matches!(ending, Some("jsonl" | "json" | "csv" | "tsv" | "parquet")) {
                let accepted =
                    "a name that ends in .jsonl, .json, .csv or .tsv, each also with .gz, or in .parquet"
                        .to_owned();
                return wrong("dataset.files.name", format!("`{}`", file.name), accepted);
            }
            let table = matches!(file.format(), Format::Csv | Format::Tsv);
            if !table && !file.columns.is_empty() || file.header && file.columns.is_empty() {
                let got = format!("{} names for `{}`", file.columns.len(), file.name);
                let accepted = "the names of the columns of a .csv or .tsv file, with `header` where its first line has \
                                others, and left out for other files"
                    .to_owned();
                return wrong("dataset.files.columns", got, accepted);
            }
            if let Some(hub) = &file.hub {
                let of_two = |text: &str| text.split('/').filter(|part| !part.is_empty()).count() == 2;
                let inside = |text: &str| !text.split('/').any(|part| matches!(part, "" | "." | ".."));
                if !of_two(&hub.dataset)
                    || !inside(&hub.dataset)
                    || !inside(&hub.revision)
                    || !inside(&hub.file)
                {
                    let got = format!("{hub:?}");
                    let accepted =
                        "{ dataset = \"ORGANISATION/NAME\", revision = \"…\", file = \"path/in/it\" }"
                            .to_owned();
                    return wrong("dataset.files.hub", got, accepted);
                }
            }
            if let Some(sum) = &file.sha256 {
                let hex = sum.len() == 64 && sum.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
                if !hex {
                    let accepted = "64 lower-case hex digits".to_owned();
                    return wrong("dataset.files.sha256", format!("`{sum}`"), accepted);
                }
            }
        }
        Ok(card)
    }

    /// That what stands around a question goes together.
    pub(super) fn check_context(&self, file: &str) -> Result<(), BenchError> {
        let wrong = |key, got: &str, accepted: &str| {
            let (file, got, accepted) = (file.to_owned(), got.to_owned(), accepted.to_owned());
            Err(BenchError::CardValue { file, key, got, accepted })
        };
        let examples = &self.fewshot_config;
        if examples.split.is_some() && !examples.samples.is_empty() {
            return wrong("fewshot_config", "both `split` and `samples`", "one of them");
        }
        if self.num_fewshot > 0 && examples.split.is_none() && examples.samples.is_empty() {
            let accepted = "the `split` that examples are taken from, or the examples as `samples`";
            return wrong("fewshot_config", "without examples, of which `num_fewshot` wants some", accepted);
        }
        if self.num_fewshot > 0 && examples.doc_to_target.is_none() {
            let accepted = "the field with an example's answer, or a template that writes it";
            return wrong("fewshot_config.doc_to_target", "left out", accepted);
        }
        if !self.apply_chat_template && (self.fewshot_as_multiturn || self.system_instruction.is_some()) {
            let key = if self.fewshot_as_multiturn { "fewshot_as_multiturn" } else { "system_instruction" };
            return wrong(key, "given", "left out, unless `apply_chat_template = true`");
        }
        Ok(())
    }

    /// The one metric.
    pub fn metric(&self) -> &Metric {
        &self.metric_list[0]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::error::Error as _;

    const GOOD: &str = include_str!("../../benchmarks/gsm8k/benchmark.toml");

    fn refused(text: &str) -> String {
        let e = Card::parse("x.toml", "gsm8k", text).unwrap_err();
        e.source().map_or(String::new(), ToString::to_string) + &e.to_string()
    }

    #[test]
    fn a_card_says_which_key_is_wrong_and_what_is_accepted() {
        assert!(Card::parse("x.toml", "gsm8k", GOOD).is_ok());
        let unknown = refused(&GOOD.replace("licence", "license"));
        assert!(unknown.contains("`license`") && unknown.contains("`licence`"), "{unknown}");
        let aggregation = refused(&GOOD.replace("\"mean\"", "\"median\""));
        assert!(aggregation.contains("`median`") && aggregation.contains("`mean`"), "{aggregation}");
        assert!(refused(&GOOD.replace("version = 1", "version = 2")).contains("`changes`"));
        assert!(refused(&GOOD.replace("\"Response\"", "\"\"")).contains("until"));
        assert!(refused(&GOOD.replace("3730d3", "XY")).contains("64 lower-case hex digits"));
        assert!(refused(&GOOD.replace("\"gsm8k_test", "\"../gsm8k_test")).contains("a plain file name"));
        let columns = GOOD.replace("rows = 1319", "rows = 1319\ncolumns = [\"a\"]");
        assert!(refused(&columns).contains("a .csv or .tsv file"), "{}", refused(&columns));
        assert!(refused(&GOOD.replace("id = \"gsm8k\"", "id = \"gsm\"")).contains("the folder's name"));
    }

    #[test]
    fn a_split_is_a_whole_file_or_all_of_its_parts() {
        let file = |name: &str, more: &str| {
            format!("\n[[dataset.files]]\nsplit = \"validation\"\nname = \"{name}.jsonl\"\n{more}\n")
        };
        let files = [("a", "part = true"), ("whole", ""), ("b", "part = true"), ("other", "")];
        let text = files.map(|(name, more)| file(name, more)).concat();
        let card = Card::parse("x.toml", "gsm8k", &(GOOD.to_owned() + &text)).unwrap();
        let names = |copy: &Vec<&DataFile>| copy.iter().map(|f| f.name.clone()).collect::<Vec<_>>().join(" ");
        let copies: Vec<String> = card.dataset.copies(Split::Validation).iter().map(names).collect();
        assert_eq!(copies, ["a.jsonl b.jsonl", "whole.jsonl", "other.jsonl"]);
        assert_eq!(card.dataset.copies(Split::Train).len(), 2);
    }
}
