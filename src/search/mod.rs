//! **Which direction next?**
//!
//! The paper draws λ from Beta(α, α) and keeps the best. Here the draws are seeded, every model alone and the bisector are
//! always among them, and the choice is made on one split and reported on another.
//!
//! - `space`: which candidates there are
//! - `objective`: what is asked about a candidate
//! - `aim`: what makes a candidate good: a mean, the worst drop, or a front
//! - `strategy`: all in full, a race, a Gaussian process or CMA-ES, as a file says it
//! - `study`: what has been measured and what is asked next, as a value that can be written down
//! - `rounds`: a list of candidates, round by round
//! - `reduction`: what the values of a few items tell of all of them
//! - `anchors`: items that stand for others
//! - `irt`: item response theory: abilities of candidates, and what they let expect of an item
//! - `region`: the points that a strategy may propose
//! - `process`: a Gaussian process over them, and what may be expected of a point
//! - `evolution`: CMA-ES
//! - `campaign`: measure them, keep the best (the only loop of the street)

mod aim;
mod anchors;
mod campaign;
mod evolution;
mod irt;
mod objective;
mod process;
mod reduction;
mod region;
mod rounds;
mod space;
mod strategy;
mod study;

pub use aim::{Aim, Skill};
pub use campaign::{Campaign, Measured};
pub use objective::{Fitness, Objective, ObjectiveError, Portion, Scores};
pub use reduction::Reduction;
pub use space::{Candidate, Directions, SearchError, Space};
pub use strategy::{CmaEs, Estimator, Full, GaussianProcess, Race, Strategy};
pub use study::{Ask, Study, Trial};
