//! **What is asked, and what counts as right?**
//!
//! A benchmark is a folder under `benchmarks/`: a card, a prompt template, and the name of a kind of scorer. This room
//! turns rows into requests and answers into verdicts; it asks no model and keeps nothing.
//!
//! - `benchmark.rs`: a benchmark, opened and checked
//! - `card.rs`: `benchmark.toml`
//! - `dataset.rs`: rows, where they are and what names them
//! - `prompt.rs`: templates
//! - `extract.rs`: finding the answer in the text
//! - `score/`: the kinds of scorers
//! - `verdict.rs`: what scoring says
//! - `registry.rs`: which benchmarks and scorers there are
//! - `error.rs`: what can go wrong before the first question

mod benchmark;
mod card;
mod dataset;
mod error;
mod extract;
mod prompt;
mod registry;
mod score;
mod verdict;

pub use benchmark::Benchmark;
pub use card::{Aggregation, Card, DataFile, Dataset, Generation, Metric, ScorerChoice};
pub use dataset::{DataSource, Item, Split};
pub use error::BenchError;
pub use score::{Tools, is_equiv};
pub use verdict::{Reason, Unscored, Verdict};
