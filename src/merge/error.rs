//! What can be wrong with a recipe.

use crate::checkpoint::CheckpointError;
use crate::files::FileError;
use crate::ids::TensorName;
use crate::units::OutOfRange;
use std::path::PathBuf;
use thiserror::Error;

/// A merge that cannot be made.
#[derive(Debug, Error)]
pub enum MergeError {
    /// One of the inputs.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The recipe file.
    #[error(transparent)]
    File(#[from] FileError),
    /// A recipe that does not parse.
    #[error("`{}` is not a recipe: {reason}", path.display())]
    BadRecipe {
        /// The file.
        path: PathBuf,
        /// Where and why, and what is accepted.
        reason: String,
    },
    /// A number outside its range.
    #[error(transparent)]
    Range(#[from] OutOfRange),
    /// Proportions that are no direction.
    #[error("the direction {weights:?} is not one: {reason}")]
    Direction {
        /// The proportions.
        weights: Vec<f64>,
        /// What is wrong with them.
        reason: &'static str,
    },
    /// A law that is made for another number of models.
    #[error("the {law} law draws for {wants}, but the recipe has {got} models")]
    Models {
        /// The law.
        law: &'static str,
        /// How many it draws for.
        wants: &'static str,
        /// How many there are.
        got: usize,
    },
    /// Combinations that contradict each other.
    #[error("{what}")]
    Contradiction {
        /// What contradicts what, and the way out.
        what: &'static str,
    },
    /// A tensor that one input has and another has not.
    #[error("`{tensor}` is in `{}` but not in `{}`; the models are not fine-tunes of one base", has.display(), lacks.display())]
    TensorMissing {
        /// The tensor.
        tensor: TensorName,
        /// Who has it.
        has: PathBuf,
        /// Who has not.
        lacks: PathBuf,
    },
    /// A tensor with different shapes.
    #[error("`{tensor}` has shape {a_shape:?} in `{}` and {b_shape:?} in `{}`; models of one shape can be merged", a.display(), b.display())]
    ShapeDiffers {
        /// The tensor.
        tensor: TensorName,
        /// One input.
        a: PathBuf,
        /// Its shape there.
        a_shape: Vec<usize>,
        /// The other input.
        b: PathBuf,
        /// Its shape there.
        b_shape: Vec<usize>,
    },
}
