//! A search under way, written down after each candidate, so that the same command goes on where it was stopped.

use super::ExperimentError;
use crate::digest::Digest;
use crate::event::{Event, Observer};
use crate::files;
use crate::runs::RunError;
use crate::search::Study;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Version of the file that this program writes, and the newest that it reads.
const VERSION: u32 = 1;

/// Where a search is written down.
pub(super) struct Kept {
    path: PathBuf,
    key: Digest,
}

#[derive(Serialize, Deserialize)]
struct Written<S> {
    version: u32,
    key: Digest,
    /// Answers without a verdict so far.
    unscored: usize,
    study: S,
}

impl Kept {
    /// The place of a search in a store. `key` is all that its course depends on.
    pub(super) fn new(store: &Path, key: Digest) -> Self {
        Self { path: store.join("search").join(format!("{}.json", key.short())), key }
    }

    /// The search as it was written down last. One with unscored answers is left: the ledger knows the others, and these get
    /// another chance. So is one that cannot be read, with a warning; that of a newer m3 is an error.
    pub(super) fn load(&self, watch: &dyn Observer) -> Result<Option<Study>, ExperimentError> {
        #[derive(Deserialize)]
        struct Version {
            version: u32,
        }
        if !files::is_file(&self.path) {
            return Ok(None);
        }
        let text = files::read_text(&self.path)?;
        if let Ok(Version { version: found }) = serde_json::from_str(&text)
            && found > VERSION
        {
            return Err(RunError::Newer { path: self.path.clone(), found, readable: VERSION }.into());
        }
        match serde_json::from_str::<Written<Study>>(&text) {
            Ok(written) if written.key == self.key && written.unscored == 0 => Ok(Some(written.study)),
            Ok(_) => Ok(None),
            Err(e) => {
                let text = format!(
                    "`{}` is no search that was written down ({e}); the search begins again, from the answers that are kept",
                    self.path.display()
                );
                watch.observe(&Event::Warning { text: &text });
                Ok(None)
            }
        }
    }

    /// Writes it down, whole or not at all.
    pub(super) fn save(&self, study: &Study, unscored: usize) -> Result<(), ExperimentError> {
        if let Some(folder) = self.path.parent() {
            files::create_folder(folder)?;
        }
        let written = Written { version: VERSION, key: self.key, unscored, study };
        let text = serde_json::to_string(&written)
            .unwrap_or_else(|_| unreachable!("a search has string keys and finite numbers"));
        Ok(files::write(&self.path, text.as_bytes())?)
    }
}
