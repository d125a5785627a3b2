//! **Which jobs reproduce the paper, and who plugs into whom?**
//!
//! - `manifest`: a suite as its file in `experiments/` says it
//! - `weights`: weights that are known before they are there
//! - `model`: what can be evaluated: a checkpoint, or a merge that nobody has written
//! - `lab`: engine, sandbox, benchmarks and store, plugged together
//! - `judging`: pairs of answers, put to a judge once each
//! - `pairs`: a model's answers beside those that they are compared with
//! - `referee`: who judges for a table
//! - `pairing`: two models and a method of the paper, as recipes
//! - `attack`: a prompt attack on a model, with what it cost the model
//! - `progress`: many evaluations, one line of progress
//! - `table1`: the jobs of Table 1
//! - `table7`: the jobs of Table 7
//! - `attack_table`: the jobs of Tables 2, 5 and 6
//! - `figures`: the jobs of Figures 2 to 5, and of a landscape over λ and s
//! - `details`: the items behind the cells of a report
//! - `forecast`: what a table will take, before anything is loaded
//! - `quest`: a search as its file says it, and its jobs
//! - `tally`: what is counted meanwhile
//! - `kept`: a search under way, written down
//! - `error`: what can go wrong

mod attack;
mod attack_table;
mod details;
mod error;
mod figures;
mod forecast;
mod judging;
mod kept;
mod lab;
mod manifest;
mod model;
mod pairing;
mod pairs;
mod progress;
mod quest;
mod referee;
mod table1;
mod table7;
mod tally;
mod weights;

pub use attack::{Attacked, Figure, LabelsBy, Target, TokensRun, attack};
pub use attack_table::attack_table;
pub use details::details;
pub use error::ExperimentError;
pub use figures::{FigureName, figure};
pub use forecast::{DataNeed, Forecast, ModelNeed, RowPlan, forecast};
pub use judging::{Judging, Said};
pub use lab::{EngineChoice, Lab, LabSettings};
pub use manifest::{Cost, Holdout, Manifest};
pub use model::{Bounds, Model, recipe_file};
pub use pairs::{check_references, pairs};
pub use quest::{AimName, Quest, search};
pub use table1::table1;
pub use table7::table7;
pub use weights::Weights;
