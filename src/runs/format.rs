//! The store on disk.
//!
//! ```text
//! <store>/runs/<run id>/run.json        what the run is: one RunManifest
//! <store>/runs/<run id>/records.jsonl   one record a line, appended as facts come in
//! ```
//!
//! The version counts up when an old reader could misread a new file; fields may be added without.

use crate::completion::Finish;
use crate::digest::Digest;
use crate::ids::{BenchmarkId, ItemId};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Version that this program writes, and the newest that it reads.
pub(super) const VERSION: u32 = 1;

/// What a run is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunManifest {
    /// Version of the format.
    pub version: u32,
    /// Version of m3 that began the run.
    pub m3: String,
    /// What is evaluated, for people: a folder, or a recipe with its drawn direction.
    pub model: Value,
    /// Digest of its weights.
    pub weights: Digest,
    /// Which benchmark.
    pub benchmark: BenchmarkId,
    /// How numbers were computed.
    pub numerics: String,
    /// How programs were confined, where the benchmark runs any.
    #[serde(default)]
    pub confinement: Option<String>,
}

impl RunManifest {
    /// A manifest in the current format.
    pub fn new(
        model: Value,
        weights: Digest,
        benchmark: BenchmarkId,
        numerics: String,
        confinement: Option<String>,
    ) -> Self {
        Self {
            version: VERSION,
            m3: env!("CARGO_PKG_VERSION").to_owned(),
            model,
            weights,
            benchmark,
            numerics,
            confinement,
        }
    }
}

/// A generated answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// Digest of the exact prompt text.
    pub prompt: Digest,
    /// The text, or why there is none.
    pub text: Result<String, String>,
    /// Tokens of the prompt.
    pub prompt_tokens: usize,
    /// Tokens that were generated.
    pub generated_tokens: usize,
    /// Why generation ended; none for a refused request.
    pub finish: Option<Finish>,
}

/// One line of `records.jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(super) enum Record {
    /// What the model said.
    Answer {
        /// Content key.
        key: Digest,
        /// For people.
        item: ItemId,
        /// The answer.
        answer: Answer,
    },
    /// What it was worth.
    Verdict {
        /// Content key.
        key: Digest,
        /// For people.
        item: ItemId,
        /// Digest of the item's row: a run holds every split, and splits may name their items alike.
        #[serde(default)]
        content: Option<Digest>,
        /// The verdict, in the words of the benchmark room.
        verdict: Value,
    },
}
