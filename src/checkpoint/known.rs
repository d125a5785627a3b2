//! Digests of weights that were read before: whoever opens the same files again, unchanged, knows what they are without
//! reading them. Gigabytes of a checkpoint are so read for their digest once, and not by every command.
//!
//! A file is the same if device, inode, size and the times of its last change of content and of status are the same. The
//! last of these nobody can set back: writing to a file, or putting another in its place, always moves it.

use crate::digest::{Canonical, Digest};
use crate::files::{self, Identity};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// A file that changed a shorter time ago may change again without its time moving: clocks of file systems are coarse.
const SETTLED: Duration = Duration::from_secs(2);

/// The place where the digest of some files is kept.
#[derive(Debug)]
pub(super) struct Known {
    path: PathBuf,
    files: Vec<Identity>,
}

impl Known {
    /// In `folder`, for these files; `what` is what they are read as.
    pub(super) fn of(folder: &Path, what: &str, files: Vec<Identity>) -> Self {
        let form = files.iter().fold(Canonical::new("known/1").text("what", what), |form, file| {
            form.number("device", file.device)
                .number("inode", file.inode)
                .number("len", file.len)
                .text("modified", &format!("{:?}", file.modified))
                .text("changed", &format!("{:?}", file.changed))
        });
        Self { path: folder.join(form.finish().hex()), files }
    }

    /// The digest, if it is known.
    pub(super) fn get(&self) -> Option<Digest> {
        let text = files::read_text(&self.path).ok()?;
        serde_json::from_str(&text).ok()
    }

    /// Keeps the digest of files that have not changed for a while.
    pub(super) fn put(&self, digest: Digest) {
        let settled = |file: &Identity| {
            SystemTime::now().duration_since(file.changed).is_ok_and(|elapsed| elapsed >= SETTLED)
        };
        if self.files.iter().all(settled) {
            // That it cannot be kept, on a full disk say, costs time later and nothing else.
            let _ = self.path.parent().map(files::create_folder);
            let _ = files::write(&self.path, format!("\"{digest}\"\n").as_bytes());
        }
    }

    /// The number of a file that is not what it was, given what they are now.
    pub(super) fn changed(&self, now: impl Iterator<Item = Option<Identity>>) -> Option<usize> {
        self.files.iter().zip(now).position(|(before, now)| now.as_ref() != Some(before))
    }
}
