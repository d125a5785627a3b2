//! Who may import whom: the table of `docs/architecture.md`, checked against every `crate::` path in `src/`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

const GROUND: [&str; 13] = [
    "chat",
    "completion",
    "digest",
    "dtype",
    "event",
    "files",
    "ids",
    "isa",
    "masked",
    "random",
    "statistics",
    "twister",
    "units",
];

/// What a room may import beside itself and the ground floor. `room::item` allows that item alone.
const MAY_IMPORT: [(&str, &[&str]); 14] = [
    ("checkpoint", &[]),
    ("merge", &["checkpoint"]),
    ("engine", &["checkpoint"]),
    ("remote", &[]),
    ("sandbox", &[]),
    ("judge", &[]),
    ("runs", &[]),
    ("attack", &[]),
    ("bench", &["sandbox"]),
    ("evaluate", &["bench", "runs"]),
    ("search", &["merge::Direction", "merge::DirectionLaw", "merge::MergeError"]),
    ("report", &["bench::Verdict", "runs"]),
    (
        "experiment",
        &[
            "checkpoint",
            "merge",
            "engine",
            "remote",
            "sandbox",
            "judge",
            "runs",
            "bench",
            "evaluate",
            "search",
            "report",
            "attack",
        ],
    ),
    (
        "cli",
        &[
            "checkpoint",
            "merge",
            "engine",
            "remote",
            "sandbox",
            "judge",
            "runs",
            "bench",
            "evaluate",
            "search",
            "report",
            "experiment",
            "attack",
        ],
    ),
];

/// Crates that only some rooms, or files of a room, may name: (crate, who).
const CRATES: [(&str, &[&str]); 8] = [
    ("candle_core", &["engine", "checkpoint/gguf/blocks.rs"]),
    ("candle_nn", &["engine"]),
    ("candle_transformers", &["engine"]),
    ("clap", &["cli"]),
    ("hf_hub", &["checkpoint/hub.rs"]),
    ("indicatif", &["cli"]),
    ("resvg", &["report/png.rs"]),
    ("ureq", &["remote"]),
];

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

/// The room of a file: its folder under `src/`, or its own name on the ground floor.
fn room(path: &Path, src: &Path) -> String {
    let first = path.strip_prefix(src).unwrap().components().next().unwrap();
    first.as_os_str().to_string_lossy().trim_end_matches(".rs").to_owned()
}

/// The text without comments and without its unit tests, which may look further.
fn code(text: &str) -> String {
    let body = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
    body.lines().filter(|l| !l.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// Every path that follows `crate::`, with the braces of a `use` written out.
fn imports(code: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        let end = rest.find(|c: char| !(c.is_alphanumeric() || "_:".contains(c))).unwrap_or(rest.len());
        let path = rest[..end].trim_end_matches(':');
        if rest[end..].starts_with('{') {
            let inner = &rest[end + 1..rest[end..].find('}').unwrap() + end];
            let prefix = if path.is_empty() { String::new() } else { format!("{path}::") };
            for part in inner.split(',').map(str::trim).filter(|p| !p.is_empty()) {
                found.insert(format!("{prefix}{part}"));
            }
        } else {
            found.insert(path.to_owned());
        }
    }
    found
}

#[test]
fn rooms_import_only_what_the_table_allows() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&src, &mut files);
    assert!(files.len() > 40, "only {} files were found", files.len());
    let mut wrong = Vec::new();
    for file in &files {
        let own = room(file, &src);
        if own == "lib" || own == "main" {
            continue;
        }
        let code = code(&std::fs::read_to_string(file).unwrap());
        for (name, who) in CRATES {
            let file_itself = file.strip_prefix(&src).unwrap().to_string_lossy();
            let may = who.contains(&own.as_str()) || who.contains(&file_itself.as_ref());
            if code.contains(&format!("{name}::")) && !may {
                wrong.push(format!("{}: names the crate {name}", file.display()));
            }
        }
        let allowed = MAY_IMPORT.iter().find(|(r, _)| *r == own).map(|(_, a)| *a);
        assert!(
            allowed.is_some() || GROUND.contains(&own.as_str()),
            "the room `{own}` is not in the table: add it here and to docs/architecture.md"
        );
        for import in imports(&code) {
            let target = import.split("::").next().unwrap();
            let fine = target == own
                || GROUND.contains(&target)
                || allowed.is_some_and(|a| {
                    a.iter().any(|x| *x == target || import == *x || import.starts_with(&format!("{x}::")))
                });
            if !fine {
                wrong.push(format!("{}: imports {import}", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_check_sees_each_way_of_importing() {
    let found = imports(
        "use crate::merge::{Plan, Recipe};\nuse crate::{runs, ids::RunId};\nlet x = crate::cli::run();",
    );
    for want in ["merge::Plan", "merge::Recipe", "runs", "ids::RunId", "cli::run"] {
        assert!(found.contains(want), "{want} not in {found:?}");
    }
}

#[test]
fn only_the_wrapper_touches_the_file_system() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&src, &mut files);
    // The sandbox's child runs before it is this program again, and talks to the kernel itself.
    let excused = ["files", "sandbox"];
    for file in files {
        let text = code(&std::fs::read_to_string(&file).unwrap());
        if !excused.contains(&room(&file, &src).as_str()) {
            assert!(!text.contains("std::fs"), "{} uses std::fs", file.display());
        }
    }
}
