//! **What is asked, and what counts as right?**
//!
//! A benchmark is a folder under `benchmarks/`: a card, a prompt template, and the name of a kind of scorer. This room
//! turns rows into requests and answers into verdicts; it asks no model and keeps nothing.
//!
//! - `benchmark.rs`: a benchmark, opened and checked
//! - `card.rs`: `benchmark.toml`
//! - `dataset.rs`: rows, where they are and what names them
//! - `prompt.rs`: templates
//! - `profile.rs`: whose rules decide: the paper's, or the benchmark's own today
//! - `outputs.rs`: answers that were generated elsewhere, joined to their items
//! - `extract.rs`: finding the answer in the text
//! - `score/`: the kinds of scorers
//! - `verdict.rs`: what scoring says
//! - `cases.rs`: hand-made answers with their verdicts
//! - `registry.rs`: which benchmarks and scorers there are
//! - `error.rs`: what can go wrong before the first question

mod benchmark;
mod card;
mod cases;
mod dataset;
mod error;
mod extract;
mod outputs;
mod profile;
mod prompt;
mod registry;
mod score;
mod verdict;

pub use benchmark::{Benchmark, Chance};
pub use card::{Aggregation, Card, DataFile, Dataset, Generation, Metric, ScorerChoice, StandardMetric};
pub use cases::CaseResult;
pub use dataset::{DataSource, Item, Split};
pub use error::BenchError;
pub use outputs::{Answered, OutputRows, Outputs};
pub use profile::{Measure, Profile};
pub use score::{Tools, is_equiv};
pub use verdict::{Reason, Unscored, Verdict};
