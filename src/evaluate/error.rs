//! What can go wrong while a benchmark is run.

use crate::bench::BenchError;
use crate::completion::CompleteError;
use crate::runs::RunError;
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
    /// The user asked to stop; everything so far is on disk.
    #[error("stopped; everything so far is kept, and the same command goes on from here")]
    Stopped,
}
