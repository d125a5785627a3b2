//! What a written merge says of itself, so that the same bytes come again: `m3_recipe.json`.

use super::{Direction, MergeError, Recipe};
use crate::checkpoint::{Checkpoint, TensorSource};
use crate::digest::Digest;
use crate::files;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Version of the record that is written, and the only one that can be read.
const FORMAT: u32 = 1;

/// What was asked for, and what was drawn.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum MadeFrom {
    /// A recipe of ours, from a file or from flags.
    Recipe {
        /// As it was asked for.
        asked: Box<Recipe>,
        /// Its direction, drawn where its law draws; none for the plain sum.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        direction: Option<Direction>,
        /// Each delta's coefficient s·λ_k.
        coefficients: Vec<f64>,
    },
    /// A configuration of mergekit.
    Mergekit {
        /// The file as it was.
        text: String,
        /// Seed of its random methods.
        seed: u64,
    },
}

/// An opened input with the name that the recipe has for it.
#[derive(Clone, Debug)]
pub struct NamedInput {
    /// As the recipe names it.
    pub named: String,
    /// What that is.
    pub checkpoint: Checkpoint,
}

/// How a merge came about.
#[derive(Clone, Debug)]
pub struct Provenance {
    /// What was asked for, and what was drawn.
    pub made_from: MadeFrom,
    /// The inputs, the base first.
    pub inputs: Vec<NamedInput>,
}

/// An input as a record has it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordedInput {
    /// As the recipe named it.
    pub named: String,
    /// Where it was: an absolute path, or a hub's model at its commit, with its adapter.
    pub place: String,
    /// Digest of its weights.
    pub weights: Digest,
    /// Digest of its config and tokenizer.
    pub companions: Digest,
}

impl RecordedInput {
    /// Reads the weights, unless their digest is known already.
    pub(super) fn of(input: &NamedInput) -> Result<Self, MergeError> {
        Ok(Self {
            named: input.named.clone(),
            place: input.checkpoint.pinned().to_string(),
            weights: input.checkpoint.digest()?,
            companions: input.checkpoint.companions().digest(),
        })
    }
}

/// A merge that was written: what was asked for, what was drawn, which inputs it had.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    format: u32,
    /// Version of the program that made it.
    pub m3: String,
    /// What was asked for, and what was drawn.
    pub made_from: MadeFrom,
    /// The inputs, the base first.
    pub inputs: Vec<RecordedInput>,
    /// Digest of the merged weights: of inputs and rules.
    pub digest: Digest,
}

impl Record {
    /// Its name in the folder of a merge.
    pub const FILE: &str = "m3_recipe.json";

    /// The record of a merge whose weights have this digest. Reads the weights of those inputs whose digest is not known yet.
    pub fn new(provenance: &Provenance, digest: Digest) -> Result<Self, MergeError> {
        Ok(Self {
            format: FORMAT,
            m3: env!("CARGO_PKG_VERSION").to_owned(),
            made_from: provenance.made_from.clone(),
            inputs: provenance.inputs.iter().map(RecordedInput::of).collect::<Result<_, _>>()?,
            digest,
        })
    }

    /// Whether a file of this name is read as a record.
    pub fn is_named(path: &Path) -> bool {
        path.extension().is_some_and(|e| e == "json")
    }

    /// Reads a record. Opens no model.
    pub fn read(path: &Path) -> Result<Self, MergeError> {
        #[derive(Deserialize)]
        struct Version {
            format: u32,
        }
        let text = files::read_text(path)?;
        let bad = |reason: String| MergeError::BadRecipe { path: path.to_owned(), reason };
        let Version { format } = serde_json::from_str(&text)
            .map_err(|e| bad(format!("{e}; a recipe in JSON is the {} of a merge", Self::FILE)))?;
        if format != FORMAT {
            return Err(bad(format!("its format is {format}; this version of m3 reads format {FORMAT}")));
        }
        serde_json::from_str(&text).map_err(|e| bad(e.to_string()))
    }

    /// The text of the file.
    pub fn text(&self) -> String {
        let value = serde_json::to_value(self)
            .unwrap_or_else(|_| unreachable!("a record has string keys and finite numbers"));
        format!("{value:#}\n")
    }
}
