//! **What is already known?**
//!
//! Every answer and every verdict is a line in an append-only file, found again by what it is about (its content key).
//! Resuming, not doing a thing twice, and "which run made this cell" are the same mechanism.
//!
//! - `key`: what an answer, a verdict and a run are keyed by
//! - `format`: the lines and the manifest on disk, with their version
//! - `store`: the folder of runs
//! - `ledger`: one run's facts, in memory and on disk
//! - `replies`: what judges said, whatever run it was for
//! - `error`: what can be wrong with a store

mod error;
mod format;
mod key;
mod ledger;
mod replies;
mod store;

pub use error::RunError;
pub use format::{Answer, RunManifest};
pub use key::{answer_key, likelihood_key, run_key, verdict_key};
pub use ledger::{Ledger, StoredAnswer, StoredVerdict, stored_answers, stored_verdicts};
pub use replies::Replies;
pub use store::{Store, manifest};
