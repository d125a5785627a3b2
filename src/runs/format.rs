//! The store on disk.
//!
//! ```text
//! <store>/runs/<run id>/run.json        what the run is: one RunManifest
//! <store>/runs/<run id>/records.jsonl   one record a line, appended as facts come in
//! <store>/runs/<run id>/open.json       how many items are asked for; there while that is not done
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
    /// Digest of config and tokenizer. Runs that an older m3 began do not say it, nor what follows.
    #[serde(default)]
    pub companions: Option<Digest>,
    /// Version of the benchmark's card.
    #[serde(default)]
    pub card: Option<u32>,
    /// Version of its scorer.
    #[serde(default)]
    pub scorer: Option<u32>,
}

impl RunManifest {
    /// A manifest in the current format, without what older ones do not say.
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
            companions: None,
            card: None,
            scorer: None,
        }
    }

    /// The first setting in which another run differs: its name, its value here and there. What one of them does not say
    /// is no difference.
    pub(super) fn differs(&self, other: &Self) -> Option<(&'static str, String, String)> {
        let of = |run: &Self| {
            [
                ("weights", Some(run.weights.hex())),
                ("companions", run.companions.map(Digest::hex)),
                ("benchmark", Some(run.benchmark.to_string())),
                ("card", run.card.map(|version| version.to_string())),
                ("scorer", run.scorer.map(|version| version.to_string())),
                ("numerics", Some(run.numerics.clone())),
                ("confinement", Some(run.confinement.clone().unwrap_or_default())),
            ]
        };
        of(self).into_iter().zip(of(other)).find_map(|((what, here), (_, there))| {
            let (here, there) = (here?, there?);
            (here != there).then_some((what, here, there))
        })
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
    /// Wall time from when the model was asked until the answer was there; the other questions that it was asked with share that time.
    /// Older records do not have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
}

/// What `open.json` holds.
#[derive(Serialize, Deserialize)]
pub(super) struct Open {
    /// How many items are asked for.
    pub(super) items: usize,
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
        /// Key of the answer that was judged; older records do not have it.
        #[serde(default)]
        answer: Option<Digest>,
        /// The verdict, in the words of the benchmark room.
        verdict: Value,
        /// Wall time of scoring; older records do not have it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        seconds: Option<f64>,
    },
}
