//! What can go wrong in an experiment.

use crate::attack::AttackError;
use crate::bench::{BenchError, Split};
use crate::checkpoint::CheckpointError;
use crate::evaluate::EvaluateError;
use crate::files::FileError;
use crate::ids::BenchmarkId;
use crate::merge::MergeError;
use crate::runs::RunError;
use crate::sandbox::SandboxUnavailable;
use crate::search::SearchError;
use std::path::PathBuf;
use thiserror::Error;

/// An experiment that could not be finished.
#[derive(Debug, Error)]
pub enum ExperimentError {
    /// A file.
    #[error(transparent)]
    File(#[from] FileError),
    /// A suite that does not parse.
    #[error("`{}` is not a suite: {reason}", path.display())]
    BadManifest {
        /// The file.
        path: PathBuf,
        /// Where and why.
        reason: String,
    },
    /// A suite that lacks something that a table needs.
    #[error("the suite `{suite}` has no {what} `{name}`, which {table} needs")]
    Lacks {
        /// The suite.
        suite: String,
        /// What kind of thing.
        what: &'static str,
        /// Its name.
        name: String,
        /// For what.
        table: &'static str,
    },
    /// A disk that is too full for the merge.
    #[error(
        "`{}` needs {:.3} GB, but its disk has {:.3} GB free; choose another folder, or make room",
        out.display(), *needed as f64 / 1e9, *free as f64 / 1e9
    )]
    NoRoom {
        /// The folder to write.
        out: PathBuf,
        /// Bytes of the merge.
        needed: u64,
        /// Bytes that are free.
        free: u64,
    },
    /// A bound on memory that even one thread cannot keep.
    #[error(
        "the merge needs {:.0} MB of memory with one thread, and `--memory` allows {:.0} MB; allow more",
        *needed as f64 / 1e6, *memory as f64 / 1e6
    )]
    NoMemory {
        /// Bytes allowed.
        memory: u64,
        /// Bytes that one thread needs.
        needed: u64,
    },
    /// Threads that the system did not give.
    #[error("cannot start threads")]
    Threads(#[from] rayon::ThreadPoolBuildError),
    /// A checkpoint.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// A recipe.
    #[error(transparent)]
    Merge(#[from] MergeError),
    /// A benchmark.
    #[error(transparent)]
    Bench(#[from] BenchError),
    /// The store.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The sandbox.
    #[error(transparent)]
    Sandbox(#[from] SandboxUnavailable),
    /// A search space.
    #[error(transparent)]
    Search(#[from] SearchError),
    /// An evaluation.
    #[error(transparent)]
    Evaluate(#[from] EvaluateError),
    /// An attack.
    #[error(transparent)]
    Attack(#[from] AttackError),
    /// A benchmark whose prompt cannot be attacked.
    #[error("the prompt of {benchmark} cannot be attacked: {reason}; m3 bench show {benchmark} shows it")]
    NotAttackable {
        /// The benchmark.
        benchmark: BenchmarkId,
        /// What it lacks.
        reason: &'static str,
    },
    /// A data set without rows.
    #[error("{benchmark} has no items in the {split} split, so that nothing can be attacked")]
    NoItems {
        /// The benchmark.
        benchmark: BenchmarkId,
        /// The split.
        split: Split,
    },
    /// A model that names no label under the prompt as it is.
    #[error(
        "the model names no label of {benchmark} in any of its {n} answers to the prompt as it is, so that an attack could \
         not make it worse; give another prompt with --prompt, or another model"
    )]
    AnswersNothing {
        /// The benchmark.
        benchmark: BenchmarkId,
        /// Answers.
        n: usize,
    },
}
