//! **What is asked, and what counts as right?**
//!
//! A benchmark is a folder under `benchmarks/`: a card, a prompt template, and the name of a kind of scorer. This room
//! turns rows into requests and answers into verdicts; it asks no model and keeps nothing.
//!
//! - `benchmark.rs`: a benchmark, opened and checked
//! - `card.rs`: `benchmark.toml`
//! - `dataset.rs`: rows, where they are and what names them
//! - `rows.rs`: JSON Lines, JSON, CSV, TSV and Parquet as rows
//! - `prompt.rs`: templates
//! - `context.rs`: what stands around a question: description, solved examples, a conversation
//! - `profile.rs`: whose rules decide: the paper's, or the benchmark's own today
//! - `outputs.rs`: answers that were generated elsewhere, joined to their items
//! - `pattern.rs`: regular expressions that can match
//! - `filter.rs`: steps that take an answer out of a text, as a card lists them
//! - `scaffold/`, `scaffold.rs`: what a new benchmark begins with
//! - `extract.rs`: finding the answer in the text
//! - `score/`: the kinds of scorers
//! - `verdict.rs`: what scoring says
//! - `cases.rs`: hand-made answers with their verdicts
//! - `registry.rs`: which benchmarks and scorers there are
//! - `error.rs`: what can go wrong before the first question

mod benchmark;
mod card;
mod cases;
mod context;
mod dataset;
mod error;
mod extract;
mod filter;
mod outputs;
mod pattern;
mod profile;
mod prompt;
mod registry;
mod rows;
mod scaffold;
mod score;
mod verdict;

pub use benchmark::{Asking, Benchmark, Chance};
pub use card::{
    Aggregation, Card, DataFile, Dataset, Fewshot, Format, Generation, HubFile, Metric, Sampler,
    ScorerChoice, StandardMetric,
};
pub use cases::CaseResult;
pub use context::Context;
pub use dataset::{DataSource, DataState, Item, Split};
pub use error::BenchError;
pub use outputs::{Answered, OutputRows, Outputs};
pub use profile::{Measure, Profile};
pub use scaffold::scaffold;
pub use score::{Tools, is_equiv, same_value};
pub use verdict::{Reason, Unscored, Verdict};
