//! What can be wrong with an attack.

use crate::files::FileError;
use std::path::PathBuf;
use thiserror::Error;

/// An attack that cannot be made, or that could not be finished.
#[derive(Debug, Error)]
pub enum AttackError {
    /// No attack of that name.
    #[error("there is no attack `{name}`; known are {known}")]
    UnknownAttack {
        /// The name asked for.
        name: String,
        /// The names that exist.
        known: String,
    },
    /// A prompt without the place for the item's text, or with several.
    #[error("the prompt has {found} times `{{content}}`, where the item's text goes; it must have it once")]
    Content {
        /// How often it is there.
        found: usize,
    },
    /// Braces that are not those of `{content}`.
    #[error(
        "the prompt has `{brace}` at character {at}, beside `{{content}}`; braces must be balanced and hold `content` alone"
    )]
    Brace {
        /// Which brace.
        brace: char,
        /// Its character, from 1.
        at: usize,
    },
    /// A prompt that does not say what may be answered.
    #[error("the prompt does not name the label `{label}`; it must name each of {}", labels.join(", "))]
    NoLabel {
        /// The first label that is missing.
        label: String,
        /// All labels.
        labels: Vec<String>,
    },
    /// A label that the benchmark does not have.
    #[error("there is no label `{label}`; the benchmark's are {}", labels.join(", "))]
    UnknownLabel {
        /// The name asked for.
        label: String,
        /// The labels that exist.
        labels: Vec<String>,
    },
    /// Nothing that the attack could ask.
    #[error("{attack} finds nothing to change in this prompt; every word is protected, or there is none")]
    NoCandidate {
        /// The attack.
        attack: &'static str,
    },
    /// An attack whose words come from somewhere that was not named.
    #[error("{attack} needs {what}; name it with {flag}")]
    Needs {
        /// The attack.
        attack: &'static str,
        /// What it needs.
        what: &'static str,
        /// How to name it.
        flag: &'static str,
    },
    /// A source of synonyms that is neither kind.
    #[error(
        "`{}` is neither a file of word vectors (a word and its numbers a line) nor a WordNet folder (index.noun, data.noun, …)",
        path.display()
    )]
    NoSynonyms {
        /// The file or folder.
        path: PathBuf,
    },
    /// A line that is not as its format says.
    #[error("`{}`, line {line}: {reason}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What is wrong.
        reason: String,
    },
    /// A set of prompts that is none.
    #[error("`{}` is not a set of prompts (a JSON object that has a list of prompts for each language): {reason}", path.display())]
    PromptSet {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A file.
    #[error(transparent)]
    File(#[from] FileError),
    /// A language model that an attack uses, or the model under attack.
    #[error(transparent)]
    Model(Box<dyn std::error::Error + Send + Sync>),
}
