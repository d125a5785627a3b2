//! **Run a benchmark against a model, exactly once per item.**
//!
//! - `subject`: the model under test, opened only if something is still unknown about it
//! - `pipeline`: items → answers → verdicts, each on disk as it comes
//! - `summary`: mean, interval, invalid and unscored counts; paired differences
//! - `error`: what can go wrong on the way

mod error;
mod pipeline;
mod subject;
mod summary;

pub use error::EvaluateError;
pub use pipeline::{Evaluation, Job, evaluate};
pub use subject::Subject;
pub use summary::{Estimate, Summary, mean_of, paired_difference};
