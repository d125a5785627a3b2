//! **Which direction next?**
//!
//! The paper draws λ from Beta(α, α) and keeps the best. Here the draws are seeded, the end points and the bisector are
//! always among them, and the choice is made on one split and reported on another.
//!
//! - `space`: which candidates there are
//! - `objective`: what is asked about a candidate
//! - `campaign`: measure them all, keep the best (the only loop of the street)

mod campaign;
mod objective;
mod space;

pub use campaign::{Campaign, Measured};
pub use objective::{Fitness, Objective, ObjectiveError};
pub use space::{Candidate, PairSpace, SearchError};
