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
    /// A tensor that the model's own config does not ask for.
    #[error("`{}` holds `{tensor}`, which a Llama of its config has not; a merge would leave it out", path.display())]
    TensorUnknown {
        /// The input.
        path: PathBuf,
        /// The tensor.
        tensor: TensorName,
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
    /// A mergekit configuration that asks for what cannot be.
    #[error("`{}`{}: `{key}` {reason}", path.display(), Line(*line))]
    Mergekit {
        /// The file.
        path: PathBuf,
        /// The line, from 1; 0 where it is about the file as a whole.
        line: u64,
        /// The key.
        key: String,
        /// What is wrong with it, and what is accepted.
        reason: String,
    },
    /// A model that a mergekit configuration names.
    #[error("`{}`{}: the model `{model}` cannot be opened", path.display(), Line(*line))]
    MergekitModel {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// The model as it is named.
        model: String,
        /// Why.
        source: Box<CheckpointError>,
    },
    /// An input that is not what it was when the merge was first made.
    #[error(
        "the input `{named}` (`{place}`) has changed since the merge was made: the digest of its {what} was {recorded} and is \
         {found}; bring the old version back, or merge from a recipe instead of a record"
    )]
    InputChanged {
        /// As the recipe names it.
        named: String,
        /// Where it is.
        place: String,
        /// What has changed.
        what: &'static str,
        /// Its digest when the merge was made, in hex.
        recorded: Box<str>,
        /// Its digest now.
        found: Box<str>,
    },
    /// Models with different tokens or rows, and no word on what to do.
    #[error(
        "the vocabulary of `{}` differs from that of `{}`: {difference}. Say what is meant: `vocabulary = \"base\"`, \
         \"union\", \"pad\" or \"keep-padding\" in a TOML recipe, `tokenizer_source: base`, `union` or a model in mergekit's YAML",
        a.display(), b.display()
    )]
    Vocabulary {
        /// One input.
        a: PathBuf,
        /// The other input.
        b: PathBuf,
        /// What differs.
        difference: String,
    },
    /// A tokenizer file that cannot be used.
    #[error("`{}` is not usable: {reason}", path.display())]
    BadTokenizer {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A rule for a token that cannot be followed.
    #[error("the token `{token}` {reason}")]
    Token {
        /// The token.
        token: String,
        /// Why not.
        reason: &'static str,
    },
}

/// A line number in a message; nothing for 0.
struct Line(u64);

impl std::fmt::Display for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0 == 0 { Ok(()) } else { write!(f, ", line {}", self.0) }
    }
}
