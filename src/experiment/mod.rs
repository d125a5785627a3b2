//! **Which jobs reproduce the paper, and who plugs into whom?**
//!
//! - `manifest`: a suite as its file in `experiments/` says it
//! - `model`: what can be evaluated: a checkpoint, or a merge that nobody has written
//! - `lab`: engine, sandbox, benchmarks and store, plugged together
//! - `attack`: a prompt attack on a model, with what it cost the model
//! - `progress`: many evaluations, one line of progress
//! - `table1`: the jobs of Table 1
//! - `attack_table`: the jobs of Tables 2, 5 and 6
//! - `error`: what can go wrong

mod attack;
mod attack_table;
mod error;
mod lab;
mod manifest;
mod model;
mod progress;
mod table1;

pub use attack::{Attacked, Figure, Target, attack};
pub use attack_table::attack_table;
pub use error::ExperimentError;
pub use lab::{EngineChoice, Lab, LabSettings};
pub use manifest::Manifest;
pub use model::{Bounds, Model, recipe_file};
pub use table1::table1;
