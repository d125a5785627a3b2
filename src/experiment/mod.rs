//! **Which jobs reproduce the paper, and who plugs into whom?**
//!
//! - `manifest`: a suite as its file in `experiments/` says it
//! - `model`: what can be evaluated: a checkpoint, or a merge that nobody has written
//! - `lab`: engine, sandbox, benchmarks and store, plugged together
//! - `judging`: pairs of answers, put to a judge once each
//! - `pairs`: a model's answers beside those that they are compared with
//! - `pairing`: two models and a method of the paper, as recipes
//! - `attack`: a prompt attack on a model, with what it cost the model
//! - `progress`: many evaluations, one line of progress
//! - `table1`: the jobs of Table 1
//! - `attack_table`: the jobs of Tables 2, 5 and 6
//! - `quest`: a search as its file says it, and its jobs
//! - `error`: what can go wrong

mod attack;
mod attack_table;
mod error;
mod judging;
mod lab;
mod manifest;
mod model;
mod pairing;
mod pairs;
mod progress;
mod quest;
mod table1;

pub use attack::{Attacked, Figure, LabelsBy, Target, TokensRun, attack};
pub use attack_table::attack_table;
pub use error::ExperimentError;
pub use judging::{Judging, Said};
pub use lab::{EngineChoice, Lab, LabSettings};
pub use manifest::Manifest;
pub use model::{Bounds, Model, recipe_file};
pub use pairs::{check_references, pairs};
pub use quest::{Quest, search};
pub use table1::table1;
