//! Which exit code an error has, and how it is told: what failed, why, down to the cause.

use super::output::Output;
use crate::attack::AttackError;
use crate::bench::BenchError;
use crate::completion::CompleteError;
use crate::engine::EngineError;
use crate::evaluate::EvaluateError;
use crate::experiment::ExperimentError;
use crate::judge::JudgeError;
use crate::merge::MergeError;
use crate::remote::RemoteError;
use crate::report::ReportError;
use crate::sandbox::SandboxUnavailable;
use std::error::Error;
use std::process::ExitCode;

/// Done, but some items could not be scored.
pub(super) const UNSCORED: u8 = 3;

/// Why a command did not do what was asked.
#[derive(Debug)]
pub(super) enum Failure {
    /// The request is wrong, or this machine cannot serve it: exit code 1.
    Request(Box<dyn Error>),
    /// Something broke that should not: exit code 2.
    Fault(Box<dyn Error>),
    /// The user asked to stop: exit code 4.
    Stopped(Box<dyn Error>),
}

impl Failure {
    /// A wrong request, in a sentence of the command's own.
    pub(super) fn request(message: impl Into<String>) -> Self {
        Self::Request(message.into().into())
    }

    pub(super) fn report(&self, output: &Output) -> ExitCode {
        let (code, error) = match self {
            Self::Request(e) => (1, e),
            Self::Fault(e) => (2, e),
            Self::Stopped(e) => (4, e),
        };
        let mut text = error.to_string();
        let mut cause = error.source();
        while let Some(e) = cause {
            let line = e.to_string().trim_end().to_owned();
            // A transparent wrapper says the same again.
            if !text.ends_with(&line) {
                text.push_str("\n  because ");
                text.push_str(&line);
            }
            cause = e.source();
        }
        output.error(&text);
        ExitCode::from(code)
    }
}

/// Whether the user asked to stop: between items, or while a merge was made or surveyed.
fn is_stop(e: &ExperimentError) -> bool {
    match e {
        ExperimentError::Evaluate(EvaluateError::Stopped) => true,
        ExperimentError::Evaluate(EvaluateError::Model(e)) => match e.downcast_ref() {
            Some(EngineError::Checkpoint(e)) => e.is_stop(),
            _ => false,
        },
        ExperimentError::Engine(EngineError::Checkpoint(e))
        | ExperimentError::Checkpoint(e)
        | ExperimentError::Merge(MergeError::Checkpoint(e)) => e.is_stop(),
        _ => false,
    }
}

/// What clap has to say: help and version are no errors; a wrong flag is a wrong request.
pub(super) fn usage(error: &clap::Error) -> ExitCode {
    // If even this cannot be printed, nobody is there to read it.
    let _ = error.print();
    if error.use_stderr() { ExitCode::from(1) } else { ExitCode::SUCCESS }
}

impl From<ExperimentError> for Failure {
    fn from(e: ExperimentError) -> Self {
        match e {
            _ if is_stop(&e) => Self::Stopped(Box::new(e)),
            ExperimentError::Evaluate(EvaluateError::Complete(ref c)) if !c.0.is::<RemoteError>() => {
                Self::Fault(Box::new(e))
            }
            _ => Self::Request(Box::new(e)),
        }
    }
}

impl From<AttackError> for Failure {
    fn from(e: AttackError) -> Self {
        Self::Request(Box::new(e))
    }
}

impl From<BenchError> for Failure {
    fn from(e: BenchError) -> Self {
        Self::Request(Box::new(e))
    }
}

impl From<JudgeError> for Failure {
    fn from(e: JudgeError) -> Self {
        Self::Request(Box::new(e))
    }
}

impl From<ReportError> for Failure {
    fn from(e: ReportError) -> Self {
        Self::Fault(Box::new(e))
    }
}

impl From<RemoteError> for Failure {
    fn from(e: RemoteError) -> Self {
        Self::Request(Box::new(e))
    }
}

impl From<EvaluateError> for Failure {
    fn from(e: EvaluateError) -> Self {
        ExperimentError::from(e).into()
    }
}

impl From<SandboxUnavailable> for Failure {
    fn from(e: SandboxUnavailable) -> Self {
        Self::Request(Box::new(e))
    }
}

impl From<EngineError> for Failure {
    fn from(e: EngineError) -> Self {
        ExperimentError::from(e).into()
    }
}

impl From<CompleteError> for Failure {
    fn from(e: CompleteError) -> Self {
        Self::Fault(Box::new(e))
    }
}

impl From<crate::runs::RunError> for Failure {
    fn from(e: crate::runs::RunError) -> Self {
        Self::Request(Box::new(e))
    }
}

impl From<crate::files::FileError> for Failure {
    fn from(e: crate::files::FileError) -> Self {
        Self::Request(Box::new(e))
    }
}
