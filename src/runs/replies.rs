//! What judges said, whatever run it was for: asked once, paid for once.

use super::RunError;
use crate::digest::Digest;
use crate::files::{self, Append};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// Version of the lines that this program writes, and the newest that it reads.
const VERSION: u32 = 1;

/// One line of `replies.jsonl`.
#[derive(Serialize, Deserialize)]
struct Line {
    version: u32,
    key: Digest,
    reply: Value,
}

/// Every reply, in memory and on disk. The key is that of the whole question and of who was asked; no line holds a secret.
#[derive(Debug)]
pub struct Replies {
    log: Append,
    path: PathBuf,
    known: HashMap<Digest, Value>,
}

impl Replies {
    pub(super) fn open(folder: &Path) -> Result<Self, RunError> {
        let path = folder.join("replies.jsonl");
        let log = Append::open(&path)?.ok_or_else(|| RunError::Busy { path: path.clone() })?;
        let mut known = HashMap::new();
        for (text, number) in files::read_text(&path)?.lines().zip(1..) {
            let damaged = |reason: String| RunError::Damaged { path: path.clone(), line: number, reason };
            let line: Line = serde_json::from_str(text).map_err(|e| damaged(e.to_string()))?;
            if line.version > VERSION {
                return Err(RunError::Newer { path, found: line.version, readable: VERSION });
            }
            known.insert(line.key, line.reply);
        }
        Ok(Self { log, path, known })
    }

    /// Where they are kept.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The reply with this key, if it is known.
    pub fn get(&self, key: &Digest) -> Option<&Value> {
        self.known.get(key)
    }

    /// Writes a reply down.
    pub fn record(&mut self, key: Digest, reply: Value) -> Result<(), RunError> {
        let line = Line { version: VERSION, key, reply };
        let text = serde_json::to_string(&line).unwrap_or_else(|_| unreachable!("keys are strings"));
        self.log.line(&text)?;
        self.known.insert(key, line.reply);
        Ok(())
    }

    /// Makes sure that everything is on disk even if the machine fails.
    pub fn sync(&self) -> Result<(), RunError> {
        Ok(self.log.sync()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runs::Store;
    use serde_json::json;

    #[test]
    fn a_reply_that_was_torn_by_a_crash_is_asked_again_and_the_others_stay() {
        let dir = tempfile::tempdir().unwrap();
        let key = |i: u8| Digest::of_bytes(&[i]);
        {
            let mut replies = Store::open(dir.path()).unwrap().replies().unwrap();
            for i in 0..3 {
                replies.record(key(i), json!({ "said": i })).unwrap();
            }
        }
        let path = dir.path().join("replies.jsonl");
        let whole = files::read(&path).unwrap();
        files::write(&path, &whole[..whole.len() - 5]).unwrap();
        let store = Store::open(dir.path()).unwrap();
        let replies = store.replies().unwrap();
        assert_eq!(replies.get(&key(1)), Some(&json!({ "said": 1 })));
        assert_eq!(replies.get(&key(2)), None);
        assert!(store.replies().unwrap_err().to_string().contains("another m3"));
        drop(replies);
        files::write(&path, b"{}\n").unwrap();
        assert!(store.replies().unwrap_err().to_string().contains("line 1"));
    }
}
