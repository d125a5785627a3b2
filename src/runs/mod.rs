//! **What is already known?**
//!
//! Every answer and every verdict is a line in an append-only file, found again by what it is about (its content key).
//! Resuming, not doing a thing twice, and "which run made this cell" are the same mechanism.
//!
//! - `key`: what an answer, a verdict and a run are keyed by
//! - `format`: the lines and the manifest on disk, with their version
//! - `store`: the folder of runs
//! - `ledger`: one run's facts, in memory and on disk
//! - `stored`: runs that are only read, while somebody may be at them
//! - `litter`: which runs nobody needs any more, and how they are removed
//! - `replies`: what judges said, whatever run it was for
//! - `error`: what can be wrong with a store

mod error;
mod format;
mod key;
mod ledger;
mod litter;
mod replies;
mod store;
mod stored;

pub use error::RunError;
pub use format::{Answer, RunManifest};
pub use key::{answer_key, likelihood_key, run_key, verdict_key};
pub use ledger::Ledger;
pub use litter::{Held, Present, Reason, reason};
pub use replies::Replies;
pub use store::Store;
pub use stored::{
    Content, StoredAnswer, StoredItem, StoredRun, StoredVerdict, find, manifest, stored_answers, stored_runs,
    stored_verdicts,
};
