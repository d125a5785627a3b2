//! What can go wrong while a benchmark is run.

use crate::bench::BenchError;
use crate::completion::CompleteError;
use crate::files::FileError;
use crate::runs::RunError;
use std::path::PathBuf;
use thiserror::Error;

/// An evaluation that could not be finished.
#[derive(Debug, Error)]
pub enum EvaluateError {
    /// The benchmark or its data.
    #[error(transparent)]
    Bench(#[from] BenchError),
    /// The store of runs.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The engine.
    #[error(transparent)]
    Complete(#[from] CompleteError),
    /// The model could not be loaded.
    #[error("the model could not be loaded")]
    Model(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The model's chat template.
    #[error("a benchmark is asked in the model's chat template, which cannot be done")]
    Template(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A file.
    #[error(transparent)]
    File(#[from] FileError),
    /// A file of verdicts.
    #[error(transparent)]
    Verdicts(#[from] VerdictFileError),
    /// Two sets of verdicts that cannot be compared.
    #[error(transparent)]
    Compare(#[from] CompareError),
    /// The user asked to stop; everything so far is on disk.
    #[error("stopped; everything so far is kept, and the same command goes on from here")]
    Stopped,
}

/// A file that should hold verdicts.
#[derive(Debug, Error)]
#[error(
    "`{}`{} as m3 score --verdicts writes them",
    path.display(),
    source.as_ref().map_or(" is empty: it has no verdicts".to_owned(), |_| format!(", line {line}, is not a verdict"))
)]
pub struct VerdictFileError {
    /// The file.
    pub path: PathBuf,
    /// The line, from 1.
    pub line: usize,
    /// JSON's own words; none where the file has no lines.
    pub source: Option<serde_json::Error>,
}

/// Two sets of verdicts that cannot be compared.
#[derive(Debug, Error)]
pub enum CompareError {
    /// They are about different things.
    #[error(
        "A has {what} {a}, B has {what} {b}: only verdicts of the same benchmark and the same rules can be compared"
    )]
    Different {
        /// What is different.
        what: &'static str,
        /// In the first set.
        a: String,
        /// In the second.
        b: String,
    },
    /// They have no item in common.
    #[error("no item is scored in both: A has {a} verdicts, B has {b}")]
    NothingInCommon {
        /// Verdicts in the first set.
        a: usize,
        /// Verdicts in the second.
        b: usize,
    },
    /// They are about items that have only their names in common.
    #[error("item {id} is another question in A than in B: score both on the same data")]
    OtherItem {
        /// The item.
        id: crate::ids::ItemId,
    },
    /// One of them has two verdicts for an item.
    #[error("`{}` has two verdicts for item {id} ({metric})", path.display())]
    Twice {
        /// The file or folder.
        path: PathBuf,
        /// The item.
        id: crate::ids::ItemId,
        /// The figure.
        metric: String,
    },
}
