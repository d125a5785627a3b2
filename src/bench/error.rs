//! What can go wrong before the first question is asked. Every message names the file, the key or line, and what would
//! be accepted. A wrong *answer* is never an error: see [`super::Verdict`].

use crate::bench::dataset::Split;
use crate::files::FileError;
use crate::ids::{BenchmarkId, ItemId};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// That a row has other fields than one that it needs.
fn lack(key: &str, has: &[String]) -> String {
    if has.is_empty() {
        format!("there is no `{key}`; ")
    } else {
        format!("there is no `{key}` among {}; ", has.join(", "))
    }
}

/// Which splits published data has.
fn published_splits(has: &[Split]) -> String {
    if has.is_empty() {
        "its data comes with the project: leave --data out".to_owned()
    } else {
        format!("it has {}", names(has))
    }
}

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
    /// Options that a scorer does not have, or with values that it does not take.
    #[error("{file}: {table} has options that `{scorer}` does not take")]
    Options {
        /// The card.
        file: String,
        /// Where in it.
        table: String,
        /// The kind of scorer.
        scorer: String,
        /// Key and accepted values.
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
    #[error("{file} is not a prompt template{place}")]
    Template {
        /// The template.
        file: String,
        /// Line and column, if known.
        place: String,
        /// Line and reason.
        source: Box<minijinja::Error>,
    },
    /// A template that this item cannot fill.
    #[error(
        "{benchmark}: the prompt of item {item} cannot be written by {file}{place}; the item has {}",
        fields.join(", ")
    )]
    Prompt {
        /// The benchmark.
        benchmark: BenchmarkId,
        /// The item.
        item: ItemId,
        /// The template.
        file: String,
        /// Line and column in it, if known.
        place: String,
        /// The fields that a template may use.
        fields: Vec<String>,
        /// The reason.
        source: Box<minijinja::Error>,
    },
    /// Fewer rows than are wanted as examples.
    #[error(
        "{benchmark} is to be asked behind {wanted} solved examples, for which {needed} rows are needed, and `fewshot_config` in \
         its card has {found}"
    )]
    FewExamples {
        /// The benchmark.
        benchmark: BenchmarkId,
        /// The examples of an item.
        wanted: usize,
        /// With the item itself, where it could be one of them.
        needed: usize,
        /// The rows that there are.
        found: usize,
    },
    /// An example without an answer.
    #[error(
        "{benchmark}: a solved example has no text, number or list of texts as `{key}`, where `fewshot_config.doc_to_target` looks for its answer"
    )]
    NoTarget {
        /// The benchmark.
        benchmark: BenchmarkId,
        /// The field.
        key: String,
    },
    /// A split for which the card names no file.
    #[error("{benchmark} has no {split} split in a data folder; {}", published_splits(has))]
    NoSplit {
        /// The benchmark.
        benchmark: BenchmarkId,
        /// The split asked for.
        split: Split,
        /// The splits that the card has files for.
        has: Vec<Split>,
    },
    /// No data of this benchmark comes with the project.
    #[error(
        "no data of {benchmark} comes with the project: give the folder that has it with --data DIR; it is {published}"
    )]
    NotEmbedded {
        /// The benchmark.
        benchmark: BenchmarkId,
        /// Where the published data comes from, and its licence.
        published: String,
    },
    /// None of the files that could hold a split is there.
    #[error("the {split} data of {benchmark} is missing: looked for {}. {what_to_do}", copies(tried))]
    MissingData {
        /// The benchmark.
        benchmark: BenchmarkId,
        /// The split asked for.
        split: Split,
        /// What is missing of each copy of the split, in the order in which they were looked for.
        tried: Vec<Vec<PathBuf>>,
        /// Where the data comes from.
        what_to_do: String,
    },
    /// A published file whose bytes are not the published ones.
    #[error(
        "`{}` has the SHA-256 {found}, but the published file ({source_note}) has {expected}; scores on changed data \
         cannot be compared. Delete it and get the published one (`m3 data pull`), or, if it is the card that is wrong, \
         correct `sha256` in its benchmark.toml",
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
    /// A JSON file that is not a list of objects.
    #[error("`{}` is not a JSON list of objects (one object a line is for a name that ends in .jsonl)", path.display())]
    List {
        /// The file.
        path: PathBuf,
        /// JSON's own words, with the line.
        source: serde_json::Error,
    },
    /// A line that is not in a table.
    #[error("`{}`, line {line}, cannot be read: {reason}", path.display())]
    Table {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The reader's own words.
        reason: String,
    },
    /// A Parquet file that cannot be read.
    #[error("`{}` is not a Parquet file that can be read; fetch it again", path.display())]
    Parquet {
        /// The file.
        path: PathBuf,
        /// The reader's own words.
        source: Box<parquet::errors::ParquetError>,
    },
    /// A compressed file that cannot be unpacked.
    #[error("`{}` cannot be unpacked: {reason}", path.display())]
    Packed {
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// A data file without a row.
    #[error("`{}` has no rows: there is nothing to ask", path.display())]
    NoRows {
        /// The file.
        path: PathBuf,
    },
    /// A data file without a row of the benchmark's.
    #[error(
        "`{}` has no row {}: see `where` in the card's entry for it",
        path.display(),
        condition.iter().map(|(key, text)| format!("whose `{key}` is `{text}`")).collect::<Vec<_>>().join(" and ")
    )]
    NoneFits {
        /// The file.
        path: PathBuf,
        /// What a row must have.
        condition: BTreeMap<String, String>,
    },
    /// A line that is not a JSON object.
    #[error("`{}`, line {line}, is not a JSON object: {reason} at column {column}", path.display())]
    Row {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// Where in the line, from 1.
        column: usize,
        /// JSON's own words.
        reason: String,
    },
    /// A row without what its benchmark needs.
    #[error(
        "`{}`, line {line}: {}`{key}` must be {wanted}",
        path.display(),
        has.as_ref().map_or(String::new(), |has| lack(key, has))
    )]
    Field {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The field.
        key: String,
        /// What is needed there.
        wanted: &'static str,
        /// The fields that the row has, if it lacks this one.
        has: Option<Vec<String>>,
    },
    /// A line of tab-separated values with too many or too few of them.
    #[error(
        "`{}`, line {line}, has {found} columns, but the card has {}: {}",
        path.display(), expected.len(), expected.join(", ")
    )]
    Columns {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The values in it.
        found: usize,
        /// The names of the columns.
        expected: Vec<String>,
    },
    /// Two rows with one name.
    #[error("`{}`, line {line}, is item {id}, and so is {}: every item needs a name of its own", path.display(), place(path, first_path, *first))]
    Duplicate {
        /// The file.
        path: PathBuf,
        /// The later line, from 1.
        line: usize,
        /// The earlier line.
        first: usize,
        /// The file with the earlier line.
        first_path: PathBuf,
        /// The name.
        id: ItemId,
    },
    /// A profile for which this benchmark has no rules.
    #[error(
        "{benchmark} has no standard profile here: it is scored by the rules of the paper's program only (--profile \
         paper). Those with one are {}",
        known.join(", ")
    )]
    NoStandard {
        /// The benchmark.
        benchmark: BenchmarkId,
        /// The benchmarks that have one.
        known: Vec<&'static str>,
    },
    /// A folder that should hold a benchmark.
    #[error("`{}` is no folder with a benchmark.toml in it, and no benchmark has that name; known are {}", path.display(), known.join(", "))]
    NoAdapter {
        /// The folder.
        path: PathBuf,
        /// The names that exist.
        known: &'static [&'static str],
    },
    /// A name that no benchmark can have.
    #[error("`{}` cannot be a benchmark's folder: its name must have letters, digits, `_` and `-` only", folder.display())]
    NewName {
        /// The folder.
        folder: PathBuf,
    },
    /// A name that a benchmark of the project has.
    #[error("`{name}` is a benchmark that comes with the project: give yours another name")]
    NewTaken {
        /// The name.
        name: String,
    },
    /// A folder that is there already.
    #[error("`{}` is there already; nothing was changed", folder.display())]
    NewExists {
        /// The folder.
        folder: PathBuf,
    },
    /// A file of hand-made cases that cannot be read as such.
    #[error("{file} is not a list of cases")]
    Cases {
        /// The file.
        file: String,
        /// JSON's own words.
        source: serde_json::Error,
    },
    /// A line that is not UTF-8.
    #[error("`{}`, line {line}, is not UTF-8 (byte {byte} of the line)", path.display())]
    NotUtf8 {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The first byte of the line that is wrong, from 1.
        byte: usize,
    },
    /// A file of outputs with nothing in it.
    #[error("`{}` has no rows; each line must be an object with `id` and `output`", path.display())]
    NoOutputs {
        /// The file.
        path: PathBuf,
    },
    /// A file of outputs of which some rows bring their item along and others do not.
    #[error(
        "`{}`: line {with} has the fields of its item, line {without} has not (`{key}` must be {wanted}); rows must be \
         all `{{id, output}}` or all with their item's fields",
        path.display()
    )]
    Mixed {
        /// The file.
        path: PathBuf,
        /// The first line with fields, from 1.
        with: usize,
        /// The first line without.
        without: usize,
        /// The field that it lacks.
        key: String,
        /// What is needed there.
        wanted: &'static str,
    },
    /// Outputs for items that the data does not have.
    #[error(
        "`{}` answers {} items that the {split} split of {benchmark} does not have: {}; its items are named like {}{}",
        path.display(), ids.len(), some(ids), some(known),
        hint.as_ref().map(|h| format!(". The rows do not bring their items along either: {h}")).unwrap_or_default()
    )]
    UnknownItems {
        /// The file.
        path: PathBuf,
        /// The benchmark.
        benchmark: BenchmarkId,
        /// The split.
        split: Split,
        /// The names that are not known.
        ids: Vec<ItemId>,
        /// The first names that are.
        known: Vec<ItemId>,
        /// Where the rows have more fields than `id` and `output`: why these are not an item.
        hint: Option<String>,
    },
    /// Outputs for a part of the items only.
    #[error(
        "`{}` has no output for {} of the {of} items of {benchmark}: {}; a mean over some items is not the benchmark's. \
         Add --partial to score what is there",
        path.display(), missing.len(), some(missing)
    )]
    MissingOutputs {
        /// The file.
        path: PathBuf,
        /// The benchmark.
        benchmark: BenchmarkId,
        /// The items without output.
        missing: Vec<ItemId>,
        /// All items.
        of: usize,
    },
    /// A file that cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
}

fn names(splits: &[Split]) -> String {
    splits.iter().map(|s| s.name()).collect::<Vec<_>>().join(", ")
}

/// The first few of a list of names.
/// What is missing of each copy of a split.
fn copies(tried: &[Vec<PathBuf>]) -> String {
    let names = |copy: &Vec<PathBuf>| {
        copy.iter().map(|path| format!("`{}`", path.display())).collect::<Vec<_>>().join(" and ")
    };
    tried.iter().map(names).collect::<Vec<_>>().join(", or ")
}

fn some(ids: &[ItemId]) -> String {
    const SHOWN: usize = 5;
    let mut text = ids.iter().take(SHOWN).map(ItemId::as_str).collect::<Vec<_>>().join(", ");
    if ids.len() > SHOWN {
        text.push_str(", …");
    }
    text
}

/// A line, with its file where that is another one.
fn place(path: &Path, first_path: &Path, line: usize) -> String {
    if path == first_path {
        format!("line {line}")
    } else {
        format!("`{}`, line {line}", first_path.display())
    }
}
