//! What can be wrong with a store of runs.

use crate::files::FileError;
use std::path::PathBuf;
use thiserror::Error;

/// A store that cannot be used.
#[derive(Debug, Error)]
pub enum RunError {
    /// The operating system said no.
    #[error(transparent)]
    File(#[from] FileError),
    /// Written by a later version.
    #[error("`{}` was written by a newer m3 (format {found}, this one reads up to {readable}); update m3 or use another --out", path.display())]
    Newer {
        /// The run's manifest.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// Ours.
        readable: u32,
    },
    /// A line that is not a record.
    #[error("`{}` line {line} is not a record: {reason}; move the file away to start this run again", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// Why.
        reason: String,
    },
    /// A run of something else.
    #[error(
        "`{}` is a run with {what} `{stored}`, and this one has `{asked}`: they would share a folder; use another --out",
        path.display()
    )]
    Different {
        /// The run's manifest.
        path: PathBuf,
        /// Which setting.
        what: &'static str,
        /// Its value there.
        stored: String,
        /// Its value here.
        asked: String,
    },
    /// No runs.
    #[error("`{}` is no store of runs: it has no folder `runs`; name the --out of an earlier command", path.display())]
    NoStore {
        /// The folder.
        path: PathBuf,
    },
    /// A key that no run has, or several.
    #[error("{}; m3 runs list --out {} has them all",
        match found { 0 => format!("no run's key begins with `{key}`"), n => format!("the keys of {n} runs begin with `{key}`") },
        path.display())]
    Key {
        /// What was looked for.
        key: String,
        /// The store.
        path: PathBuf,
        /// How many runs it could be.
        found: usize,
    },
    /// Someone else is at it.
    #[error("another m3 is writing `{}`; wait for it, or use another --out", path.display())]
    Busy {
        /// The run's folder.
        path: PathBuf,
    },
}
