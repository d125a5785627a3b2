//! Which runs nobody needs any more, and how they are removed without taking one away from somebody who is at it.

use super::ledger::RECORDS;
use super::{Content, RunError, StoredRun};
use crate::files::{self, Append};
use crate::ids::BenchmarkId;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What this program would key a run by today.
#[derive(Clone, Debug, Default)]
pub struct Present {
    /// Versions of each benchmark's card and scorer.
    pub benchmarks: BTreeMap<BenchmarkId, (u32, u32)>,
    /// Every way of computing, such as `m3-cpu-f32/1`.
    pub numerics: Vec<String>,
}

/// Why a run may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// It was begun and not brought to its end, or holds nothing. Removing it loses what it has; the same command begins anew.
    Incomplete,
    /// Its benchmark, its scorer or its way of computing has another version today: this m3 will never read it.
    OtherVersion,
    /// The same, and there is a complete run of today's versions on the same weights and benchmark.
    Superseded,
    /// It cannot be read.
    Damaged,
}

impl Reason {
    /// In words.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Incomplete => "incomplete",
            Self::OtherVersion => "other version",
            Self::Superseded => "superseded",
            Self::Damaged => "damaged",
        }
    }
}

impl Content {
    /// Whether everything that was asked for is known.
    pub fn is_complete(&self) -> bool {
        self.open.is_none() && !self.items.is_empty() && self.items.iter().all(|item| item.verdict.is_some())
    }

    /// Whether this program would read the run. What an older run does not say, or a benchmark that is not known here, is taken
    /// for present.
    fn is_present(&self, present: &Present) -> bool {
        let (run, same) = (&self.manifest, |ours: u32, stored: Option<u32>| stored.is_none_or(|s| s == ours));
        let benchmark = present
            .benchmarks
            .get(&run.benchmark)
            .is_none_or(|(card, scorer)| same(*card, run.card) && same(*scorer, run.scorer));
        let ours = |known: &&String| kind(known) == kind(&run.numerics);
        let mut of_the_kind = present.numerics.iter().filter(ours).peekable();
        benchmark && (of_the_kind.peek().is_none() || of_the_kind.any(|known| *known == run.numerics))
    }
}

/// A way of computing without its version.
fn kind(numerics: &str) -> &str {
    numerics.rsplit_once('/').map_or(numerics, |(name, _)| name)
}

/// Why `run` may go, among all runs of its store; nothing if it should stay. A run of a newer m3 stays.
pub fn reason(run: &StoredRun, all: &[StoredRun], present: &Present) -> Option<Reason> {
    let content = match &run.content {
        Ok(content) => content,
        Err(RunError::Newer { .. }) => return None,
        Err(_) => return Some(Reason::Damaged),
    };
    if !content.is_present(present) {
        let (mine, complete) = (&content.manifest, |c: &&Content| c.is_complete() && c.is_present(present));
        let replaces = |c: &Content| {
            let theirs = &c.manifest;
            theirs.weights == mine.weights
                && theirs.benchmark == mine.benchmark
                && kind(&theirs.numerics) == kind(&mine.numerics)
                && (mine.companions.is_none() || theirs.companions == mine.companions)
        };
        let replaced = all.iter().filter_map(|r| r.content.as_ref().ok()).filter(complete).any(replaces);
        return Some(if replaced { Reason::Superseded } else { Reason::OtherVersion });
    }
    (!content.is_complete()).then_some(Reason::Incomplete)
}

/// A run that is held, so that no other process can open it.
#[derive(Debug)]
pub struct Held {
    folder: PathBuf,
    _log: Append,
}

impl Held {
    /// Takes hold of the run in `folder`; nothing if another process has it.
    pub fn take(folder: &Path) -> Result<Option<Self>, RunError> {
        let log = Append::open(&folder.join(RECORDS))?;
        Ok(log.map(|log| Self { folder: folder.to_owned(), _log: log }))
    }

    /// Removes it with everything in it.
    pub fn remove(self) -> Result<(), RunError> {
        Ok(files::remove_folder(&self.folder)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Digest;
    use crate::runs::{RunManifest, Store};
    use serde_json::json;

    /// A run of `weights`, complete or not, computed in this way.
    fn run(root: &Path, id: &str, card: u32, numerics: &str, complete: bool) {
        let manifest = RunManifest {
            card: Some(card),
            scorer: Some(1),
            ..RunManifest::new(json!({}), Digest::of_bytes(b"w"), "b".into(), numerics.into(), None)
        };
        let mut ledger = Store::open(root).unwrap().ledger(&id.into(), &manifest).unwrap();
        let key = Digest::of_bytes(b"k");
        ledger
            .record_verdict(key, &"x".into(), key, key, json!({ "value": 1 }), std::time::Duration::ZERO)
            .unwrap();
        if !complete {
            ledger.begin(3).unwrap();
        }
    }

    fn reasons(root: &Path) -> Vec<(String, Option<Reason>)> {
        let present = Present {
            benchmarks: [("b".into(), (2, 1))].into(),
            numerics: vec!["cpu/1".into(), "gpu/4".into()],
        };
        let all = super::super::stored_runs(root).unwrap();
        all.iter().map(|run| (run.id.to_string(), reason(run, &all, &present))).collect()
    }

    #[test]
    fn what_may_go_and_what_stays() {
        let dir = tempfile::tempdir().unwrap();
        run(dir.path(), "a-old-card", 1, "cpu/1", true);
        run(dir.path(), "b-unfinished", 2, "cpu/1", false);
        run(dir.path(), "c-old-numerics", 2, "gpu/3", true);
        run(dir.path(), "d-present", 2, "cpu/1", true);
        run(dir.path(), "d-unknown-numerics", 2, "tpu/1", true);
        let damaged = dir.path().join("runs/e-damaged");
        files::create_folder(&damaged).unwrap();
        files::write(&damaged.join("run.json"), b"{}").unwrap();
        let newer = dir.path().join("runs/f-newer");
        files::create_folder(&newer).unwrap();
        files::write(&newer.join("run.json"), b"{\"version\": 99}").unwrap();
        let of = |id: &str, reason| (id.to_owned(), reason);
        assert_eq!(
            reasons(dir.path()),
            [
                of("a-old-card", Some(Reason::Superseded)),
                of("b-unfinished", Some(Reason::Incomplete)),
                of("c-old-numerics", Some(Reason::OtherVersion)),
                of("d-present", None),
                of("d-unknown-numerics", None),
                of("e-damaged", Some(Reason::Damaged)),
                of("f-newer", None),
            ]
        );
        files::remove_folder(&dir.path().join("runs/d-present")).unwrap();
        assert_eq!(reasons(dir.path())[0], of("a-old-card", Some(Reason::OtherVersion)));
    }

    #[test]
    fn a_run_that_somebody_writes_is_not_taken() {
        let dir = tempfile::tempdir().unwrap();
        run(dir.path(), "a", 2, "cpu/1", true);
        let folder = dir.path().join("runs/a");
        let held = Held::take(&folder).unwrap().unwrap();
        assert!(Held::take(&folder).unwrap().is_none());
        held.remove().unwrap();
        assert!(!folder.exists());
    }
}
