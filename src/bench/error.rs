//! What can go wrong before the first question is asked. Every message names the file, the key or line, and what would
//! be accepted. A wrong *answer* is never an error: see [`super::Verdict`].

use crate::bench::dataset::Split;
use crate::files::FileError;
use crate::ids::{BenchmarkId, ItemId};
use std::path::PathBuf;
use thiserror::Error;

/// A benchmark that cannot be asked.
#[derive(Debug, Error)]
pub enum BenchError {
    /// No adapter of that name.
    #[error("there is no benchmark `{id}`; known are {}", known.join(", "))]
    UnknownBenchmark {
        /// The name asked for.
        id: BenchmarkId,
        /// The names that exist.
        known: &'static [&'static str],
    },
    /// No split of that name.
    #[error("there is no split `{name}`; known are {}", Split::names().join(", "))]
    UnknownSplit {
        /// The name asked for.
        name: String,
    },
    /// A card that is not TOML, or has unknown, missing or mistyped keys.
    #[error("{file} is not a benchmark card")]
    Card {
        /// The card.
        file: String,
        /// Line, key and accepted values, in TOML's own words.
        source: Box<toml::de::Error>,
    },
    /// A card whose key has a value outside what is accepted.
    #[error("{file}: `{key}` is {got}, but must be {accepted}")]
    CardValue {
        /// The card.
        file: String,
        /// The key, dotted.
        key: &'static str,
        /// The value found.
        got: String,
        /// What would be accepted.
        accepted: String,
    },
    /// A template that does not parse.
    #[error("{file} is not a prompt template")]
    Template {
        /// The template.
        file: String,
        /// Line and reason.
        source: Box<minijinja::Error>,
    },
    /// A template that this item cannot fill.
    #[error("{benchmark}: the prompt of item {item} cannot be written")]
    Prompt {
        /// The benchmark.
        benchmark: BenchmarkId,
        /// The item.
        item: ItemId,
        /// Line and reason.
        source: Box<minijinja::Error>,
    },
    /// A split for which the card names no file.
    #[error("{benchmark} has no {split} split in a data folder; it has {}", names(has))]
    NoSplit {
        /// The benchmark.
        benchmark: BenchmarkId,
        /// The split asked for.
        split: Split,
        /// The splits that the card has files for.
        has: Vec<Split>,
    },
    /// None of the files that could hold a split is there.
    #[error(
        "the {split} data of {benchmark} is missing: looked for {}. {what_to_do}",
        tried.iter().map(|p| format!("`{}`", p.display())).collect::<Vec<_>>().join(", ")
    )]
    MissingData {
        /// The benchmark.
        benchmark: BenchmarkId,
        /// The split asked for.
        split: Split,
        /// The paths tried, in order.
        tried: Vec<PathBuf>,
        /// Where the data comes from.
        what_to_do: String,
    },
    /// A published file whose bytes are not the published ones.
    #[error(
        "`{}` has the SHA-256 {found}, but the published file ({source_note}) has {expected}; scores on changed data \
         cannot be compared. Fetch the file again, or give the changed one another name and adapter",
        path.display()
    )]
    Checksum {
        /// The file.
        path: PathBuf,
        /// The card's checksum.
        expected: String,
        /// The file's checksum.
        found: String,
        /// Where the published file comes from.
        source_note: String,
    },
    /// A file with another number of rows than its card says.
    #[error("`{}` has {found} rows, but the card of {benchmark} says {expected}", path.display())]
    Rows {
        /// The benchmark.
        benchmark: BenchmarkId,
        /// The file.
        path: PathBuf,
        /// The card's number.
        expected: usize,
        /// The file's number.
        found: usize,
    },
    /// A line that is not a JSON object.
    #[error("`{}`, line {line}, is not a JSON object", path.display())]
    Row {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// JSON's own words.
        source: serde_json::Error,
    },
    /// A row without what its benchmark needs.
    #[error("`{}`, line {line}: `{key}` must be {wanted}", path.display())]
    Field {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The field.
        key: String,
        /// What is needed there.
        wanted: &'static str,
    },
    /// Two rows with one name.
    #[error("`{}`: lines {first} and {line} are both item {id}", path.display())]
    Duplicate {
        /// The file.
        path: PathBuf,
        /// The later line, from 1.
        line: usize,
        /// The earlier line.
        first: usize,
        /// The name.
        id: ItemId,
    },
    /// A file that cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
}

fn names(splits: &[Split]) -> String {
    splits.iter().map(|s| s.name()).collect::<Vec<_>>().join(", ")
}
