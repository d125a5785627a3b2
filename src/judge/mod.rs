//! **Which of two answers is better?**
//!
//! The figures, files and annotators of AlpacaEval. Who is asked (a server, a model at hand, a file of old verdicts) is not
//! known here.
//!
//! - `annotator`: who judges, with which prompt, and what is asked about a pair; those that ship
//! - `verdict`: what the judge's words or probabilities mean
//! - `order`: which answer alpaca_eval shows first
//! - `outputs`: a model's answers, and the reference's beside them
//! - `annotation`: one verdict in alpaca_eval's format; the leaderboard's row; the bias for the first answer shown
//! - `figures`: win rates and their errors
//! - `length_control`: the win rate at equal lengths
//! - `error`: what can be wrong with all that

mod annotation;
mod annotator;
mod error;
mod figures;
mod length_control;
mod order;
mod outputs;
mod verdict;

pub use annotation::{Annotation, PositionBias, write_verdicts};
pub use annotator::{Annotator, Order, Question, TokenPrice};
pub use error::JudgeError;
pub use figures::{Figures, Judged};
pub use length_control::{Gamed, Glm, LengthControlled, length_controlled};
pub use order::is_switched;
pub use outputs::{OutputRow, OutputsFile, Pair};
pub use verdict::Reading;
