//! What can go wrong in an experiment.

use crate::attack::AttackError;
use crate::bench::{BenchError, Split};
use crate::checkpoint::CheckpointError;
use crate::engine::EngineError;
use crate::evaluate::EvaluateError;
use crate::files::FileError;
use crate::ids::{BenchmarkId, ItemId};
use crate::judge::JudgeError;
use crate::merge::MergeError;
use crate::remote::RemoteError;
use crate::runs::RunError;
use crate::sandbox::SandboxUnavailable;
use crate::search::{ObjectiveError, SearchError};
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
    /// A judgement.
    #[error(transparent)]
    Judge(#[from] JudgeError),
    /// An engine of this process.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// A server.
    #[error(transparent)]
    Remote(#[from] RemoteError),
    /// A second kind of question for an annotator that has one.
    #[error("the annotator `{annotator}` {needs}")]
    WrongJudge {
        /// The annotator.
        annotator: String,
        /// What it needs to be asked with.
        needs: &'static str,
    },
    /// An evaluation.
    #[error(transparent)]
    Evaluate(#[from] EvaluateError),
    /// A split to choose on that shares items with the one to report on.
    #[error(
        "{count} items of `{benchmark}` are both in the validation and in the test split, the first is `{first}`; a choice must \
             be made on items that have no part in the report"
    )]
    Overlap {
        /// The benchmark.
        benchmark: BenchmarkId,
        /// How many.
        count: usize,
        /// One of them.
        first: ItemId,
    },
    /// A search that does not parse.
    #[error("`{}` is not a search: {reason}", path.display())]
    BadSearch {
        /// The file.
        path: PathBuf,
        /// Where and why.
        reason: String,
    },
    /// A search that has nothing to look for.
    #[error("`{}` names no benchmark under [objective]: name at least one, with a weight above 0", path.display())]
    NoObjective {
        /// The file.
        path: PathBuf,
    },
    /// A skill that no model has.
    #[error(
        "no model alone has anything right on `{skill}` on the {split} split, so that a drop on it cannot be told; leave it out of \
         [objective], or take another `aim`"
    )]
    NothingRight {
        /// The skill.
        skill: String,
        /// Where.
        split: Split,
    },
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

impl From<ObjectiveError> for ExperimentError {
    fn from(ObjectiveError(source): ObjectiveError) -> Self {
        match source.downcast::<Self>() {
            Ok(known) => *known,
            Err(other) => EvaluateError::Model(other).into(),
        }
    }
}
