//! **What weights does this recipe mean?**
//!
//! A merge is three independent choices: what is done to each delta (nothing so far), how deltas are combined
//! ([`Combine`]), and in what proportion ([`Proportion`]). M³ is a law for the third: θ = θ_pre + s·Σ λ_k·δ_k with the
//! direction λ drawn and the magnitude s chosen apart from it.
//!
//! - `recipe`: what was asked, as a file says it
//! - `direction`: proportions that sum to one, and the laws that draw them
//! - `plan`: the recipe with its inputs opened and checked against each other
//! - `view`: the merged weights, computed as they are read
//! - `kernel`: the arithmetic on one aligned slice of every model
//! - `error`: what can be wrong with a recipe

mod direction;
mod error;
mod kernel;
mod plan;
mod recipe;
mod view;

pub use direction::{Direction, DirectionLaw};
pub use error::MergeError;
pub use plan::{Inputs, Plan};
pub use recipe::{Combine, Proportion, Recipe};
pub use view::MergedView;
