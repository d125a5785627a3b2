//! What can go wrong that is not the program's fault.

use super::job::Confinement;
use std::io;
use std::path::PathBuf;
use thiserror::Error;

/// Why no program can be run here, found out before the first one is.
#[derive(Debug, Error)]
pub enum SandboxUnavailable {
    /// Not Linux.
    #[error("untrusted programs are confined with Linux namespaces, and this is not Linux")]
    Platform,
    /// No interpreter.
    #[error("no Python 3 answers (tried {}); install python3, or name one with --python", list(tried))]
    NoPython {
        /// Where it was looked for.
        tried: Vec<PathBuf>,
    },
    /// The interpreter cannot be shown to the program without showing too much.
    #[error("`{}` needs the folder `{}`, which is too wide to be opened to untrusted programs; install python3 under /usr, or name one there with --python", python.display(), folder.display())]
    TooWide {
        /// The interpreter.
        python: PathBuf,
        /// What it would need.
        folder: PathBuf,
    },
    /// The helper process does not come up.
    #[error("the sandbox helper `{}` does not start", helper.display())]
    Helper {
        /// Its executable.
        helper: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// None of several kinds of walls can be built.
    #[error("programs cannot be confined on this machine{}", reasons(tiers))]
    Nothing {
        /// Each kind, and why not.
        tiers: Vec<(Confinement, SandboxUnavailable)>,
    },
    /// Bubblewrap is missing or does not work.
    #[error("bubblewrap does not work here: {reason}")]
    Bubblewrap {
        /// Its own words, or that it is missing.
        reason: String,
    },
    /// The kernel's Landlock is missing or too old to be the only wall.
    #[error(
        "Landlock alone needs version {needed} of its interface (Linux 6.2), and this kernel has {found} (0 is none); `landlock` must be among the kernel's lsm="
    )]
    Landlock {
        /// This kernel's version.
        found: i64,
        /// The oldest that will do.
        needed: i64,
    },
    /// No filter for system calls.
    #[error(
        "without namespaces a system call filter must do it, and there is none for this processor architecture"
    )]
    NoFilter,
    /// The walls cannot be built.
    #[error("programs cannot be confined on this machine: `{step}` failed; {fix}")]
    Walls {
        /// What was being done.
        step: String,
        /// What the person at the machine can do about it.
        fix: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A program with a known ending ended otherwise.
    #[error("the sandbox does not hold: probe `{probe}` ended with {found}")]
    Probe {
        /// Which program.
        probe: &'static str,
        /// What came instead.
        found: String,
    },
    /// The probe could not be run.
    #[error("the sandbox cannot be probed")]
    Run(#[from] SandboxError),
}

/// A line for each kind of walls.
fn reasons(tiers: &[(Confinement, SandboxUnavailable)]) -> String {
    let lines: Vec<String> = tiers.iter().map(|(c, e)| format!("\n  {}: {}", c.name(), whole(e))).collect();
    lines.concat()
}

/// An error with its causes, in one line.
pub(super) fn whole(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

fn list(paths: &[PathBuf]) -> String {
    let shown: Vec<String> = paths.iter().map(|p| format!("`{}`", p.display())).collect();
    if shown.is_empty() { "nothing".to_owned() } else { shown.join(", ") }
}

/// Why a job has no report. The program is not to blame, and its answer is unscored.
#[derive(Debug, Error)]
pub enum SandboxError {
    /// The helper died twice over the same job.
    #[error("the sandbox helper died")]
    Helper(#[source] io::Error),
    /// The walls could not be built this time.
    #[error("the sandbox could not be set up: `{step}` failed")]
    Walls {
        /// What was being done.
        step: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The interpreter never came up.
    #[error("the Python interpreter did not start within {seconds} s, or died before it ran anything")]
    Interpreter {
        /// How long was waited.
        seconds: u64,
    },
}
