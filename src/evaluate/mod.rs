//! **Run a benchmark against a model, exactly once per item.**
//!
//! - `subject`: the model under test, opened only if something is still unknown about it
//! - `pipeline`: items → answers → verdicts, each on disk as it comes
//! - `together`: several prompts about the same items, asked item by item
//! - `outputs`: answers that were generated elsewhere → verdicts in a file of their own
//! - `stored`: the verdicts of a run that is on disk
//! - `summary`: mean, interval, invalid and unscored counts
//! - `compare`: two models on the same items
//! - `error`: what can go wrong on the way

mod compare;
mod error;
mod outputs;
mod pipeline;
mod stored;
mod subject;
mod summary;
mod together;

pub use compare::{Comparison, Side, compare};
pub use error::{CompareError, EvaluateError, VerdictFileError};
pub use outputs::{VerdictRow, read_verdicts, score_outputs, write_verdicts};
pub use pipeline::{Evaluation, Job, evaluate};
pub use stored::run_verdicts;
pub use subject::Subject;
pub use summary::{PASS_AT, Summary, pass_at};
pub use together::ask_together;
