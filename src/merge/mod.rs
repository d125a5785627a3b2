//! **What weights does this recipe mean?**
//!
//! A merge is three independent choices: what is done to each delta ([`Sparsify`]), how deltas are combined
//! ([`Combine`]), and in what proportion ([`DirectionLaw`]). M³ is a law for the third, so it goes with all of the first
//! two: θ = θ_pre + s·Σ λ_k·δ_k with the direction λ drawn and the magnitude s chosen apart from it.
//!
//! - `recipe`: what was asked, as a file says it
//! - `direction`: proportions that sum to one, and the laws that draw them
//! - `rule`: the three choices with their numbers, for one tensor
//! - `identity`: what a merge is, known without computing it
//! - `plan`: the recipe with its inputs opened and checked against each other, tensor by tensor
//! - `mergekit`: mergekit's YAML as a recipe
//! - `asked`: a recipe from wherever it comes, opened and planned
//! - `record`: what a written merge says of itself, so that it can be made again
//! - `card`: the same for people
//! - `estimate`: what a merge will cost, from headers
//! - `vocabulary`: one vocabulary where the inputs have several
//! - `rounded`: inputs loaded in another element type
//! - `survey`: facts of whole tensors and of the whole model that must be known first
//! - `view`: the merged weights, computed as they are read
//! - `arithmetic`: the number types that a merge is computed in
//! - `totals`: sums in the order of the program that a merge is compared with
//! - `sparsify`, `kernel`: the arithmetic on one aligned slice of every model
//! - `agreement`: what two sets of tensors have in common, by their headers
//! - `lineage`: whether a model is a fine-tune of a base
//! - `error`: what can be wrong with a recipe
//! - `probe`: recipes up to where models would be read, for fuzzing

mod agreement;
mod arithmetic;
mod asked;
mod card;
mod direction;
mod error;
mod estimate;
#[cfg(test)]
mod fixture;
mod identity;
mod kernel;
mod lineage;
mod mergekit;
#[cfg(test)]
mod parity;
mod plan;
#[doc(hidden)]
pub mod probe;
mod recipe;
mod record;
mod rounded;
mod rule;
mod sparsify;
mod survey;
mod totals;
mod view;
mod vocabulary;

pub use agreement::Agreement;
pub use asked::Asked;
pub use card::{card, method};
pub use direction::{Direction, DirectionLaw};
pub use error::MergeError;
pub use estimate::{Estimate, read_rate};
pub use lineage::{Descent, Kinship, Lineage, lineage};
pub use mergekit::Mergekit;
pub use plan::{Inputs, Plan};
pub use recipe::{Combine, Recipe};
pub use record::{MadeFrom, NamedInput, Provenance, Record, RecordedInput};
pub use rule::{Rescale, Scope, Sparsify};
pub use survey::Surveys;
pub use view::MergedView;
pub use vocabulary::Vocabulary;
