//! The folder of runs.

use super::format::RunManifest;
use super::{Ledger, Replies, RunError};
use crate::files;
use crate::ids::RunId;
use std::path::{Path, PathBuf};

/// A folder in which each run has a folder of its own.
#[derive(Clone, Debug)]
pub struct Store {
    root: PathBuf,
    folder: PathBuf,
}

impl Store {
    /// Opens the store at `folder`, made if missing; fails at once if nothing can be written there.
    pub fn open(folder: &Path) -> Result<Self, RunError> {
        let runs = folder.join("runs");
        files::check_writable(&runs)?;
        Ok(Self { root: folder.to_owned(), folder: runs })
    }

    /// Opens what judges said, for this process alone.
    pub fn replies(&self) -> Result<Replies, RunError> {
        Replies::open(&self.root)
    }

    /// Opens a run, begun or not, for this process alone.
    pub fn ledger(&self, run: &RunId, manifest: &RunManifest) -> Result<Ledger, RunError> {
        let folder = self.folder.join(run.as_str());
        files::create_folder(&folder)?;
        let path = folder.join("run.json");
        if files::is_file(&path) {
            let stored = super::manifest(&folder)?;
            if let Some((what, stored, asked)) = stored.differs(manifest) {
                return Err(RunError::Different { path, what, stored, asked });
            }
        } else {
            let text = serde_json::to_string_pretty(manifest)
                .unwrap_or_else(|_| unreachable!("a manifest has string keys only"));
            files::write(&path, text.as_bytes())?;
        }
        Ledger::open(&folder)
    }
}
