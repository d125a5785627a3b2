//! **Which direction next?**
//!
//! The paper draws λ from Beta(α, α) and keeps the best. Here the draws are seeded, every model alone and the bisector are
//! always among them, and the choice is made on one split and reported on another.
//!
//! - `space`: which candidates there are
//! - `objective`: what is asked about a candidate
//! - `strategy`: all in full, or a race
//! - `campaign`: measure them, keep the best (the only loop of the street)

mod campaign;
mod objective;
mod space;
mod strategy;

pub use campaign::{Campaign, Measured};
pub use objective::{Fitness, Objective, ObjectiveError, Scores};
pub use space::{Candidate, Directions, SearchError, Space};
pub use strategy::{Race, Strategy};
