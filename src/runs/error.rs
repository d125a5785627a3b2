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
    /// Someone else is at it.
    #[error("another m3 is writing `{}`; wait for it, or use another --out", path.display())]
    Busy {
        /// The run's folder.
        path: PathBuf,
    },
}
