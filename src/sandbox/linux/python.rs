//! Which interpreter, and which folders must it see?
//!
//! What `PATH` calls `python3` may be a script that looks for the real one on every start (50 ms, and a shell). So the
//! real one is found once. It is shown to programs at its own path: bound elsewhere, an interpreter with a shared
//! library finds another version's library by name and is silently another Python.

use super::super::error::SandboxUnavailable;
use super::launch::DRIVER;
use crate::files;
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The interpreter that runs programs.
#[derive(Clone, Debug, PartialEq)]
pub(in super::super) struct Python {
    /// Its executable, without links.
    pub(in super::super) program: PathBuf,
    /// `sys.version`.
    pub(in super::super) version: String,
    /// What it needs to read: folders and files, none inside another.
    pub(super) binds: Vec<PathBuf>,
    /// Links in the root folder, as on merged-/usr systems: name and target.
    pub(super) links: Vec<(PathBuf, PathBuf)>,
    /// The driver as this interpreter has compiled it, marshalled, as a literal of its language: compiling it at every
    /// start would take a tenth of the time of a program.
    pub(super) driver: String,
}

/// What an interpreter says of itself.
#[derive(Deserialize)]
struct Answer {
    base: String,
    version: String,
    needs: Vec<String>,
    driver: String,
}

/// Its argument is the driver's source.
const QUESTION: &str = r#"
import json, marshal, os, sys
base = getattr(sys, "_base_executable", None) or sys.executable
needs = [sys.base_prefix, sys.base_exec_prefix, os.path.dirname(os.__file__), os.path.dirname(os.path.realpath(base))]
with open("/proc/self/maps") as maps:
    for line in maps:
        words = line.split(None, 5)
        if len(words) == 6 and words[5].startswith("/"):
            needs.append(os.path.dirname(words[5].rstrip("\n")))
needs = sorted({os.path.realpath(path) for path in needs})
driver = repr(marshal.dumps(compile(sys.argv[1], "<string>", "exec")))
print(json.dumps({"base": os.path.realpath(base), "version": sys.version, "needs": needs, "driver": driver}))
"#;

/// Folders that are never opened to a program, because everything is in them.
const TOO_WIDE: [&str; 12] =
    ["/", "/home", "/root", "/etc", "/var", "/proc", "/sys", "/dev", "/tmp", "/run", "/mnt", "/srv"];
/// Where programs and libraries of the system live: a folder to show, or a link to make.
const SYSTEM: [&str; 7] = ["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"];
/// Where the loader finds libraries outside its built-in folders.
const LOADER_CACHE: &str = "/etc/ld.so.cache";

/// Finds the interpreter: `named`, or the first `python3` in `search` that answers, `/usr/bin` last.
pub(in super::super) fn find(named: Option<&Path>, search: &[PathBuf]) -> Result<Python, SandboxUnavailable> {
    let usual = PathBuf::from("/usr/bin");
    let tried: Vec<PathBuf> = match named {
        Some(python) => vec![python.to_owned()],
        None => search.iter().chain([&usual]).map(|folder| folder.join("python3")).collect(),
    };
    for candidate in tried.iter().filter(|c| files::is_file(c)) {
        let Some(first) = ask(candidate) else { continue };
        // Asked again by its real name, as it will be started.
        let Some(answer) = ask(Path::new(&first.base)) else { continue };
        return describe(answer);
    }
    Err(SandboxUnavailable::NoPython { tried })
}

fn ask(python: &Path) -> Option<Answer> {
    let output = Command::new(python)
        .args(["-s", "-S", "-B", "-c", QUESTION, DRIVER])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()
        .filter(|output| output.status.success())?;
    serde_json::from_slice(&output.stdout).ok()
}

fn describe(answer: Answer) -> Result<Python, SandboxUnavailable> {
    let program = PathBuf::from(answer.base);
    let mut links = Vec::new();
    let mut wanted = Vec::new();
    for folder in SYSTEM.map(PathBuf::from) {
        match folder.read_link() {
            Ok(target) => links.push((folder, target)),
            Err(_) if files::is_folder(&folder) => wanted.push(folder),
            Err(_) => {}
        }
    }
    for folder in answer.needs.into_iter().map(PathBuf::from) {
        if TOO_WIDE.iter().any(|wide| Path::new(wide) == folder) {
            return Err(SandboxUnavailable::TooWide { python: program, folder });
        }
        wanted.push(folder);
    }
    wanted.push(PathBuf::from(LOADER_CACHE));
    wanted.retain(|path| files::exists(path));
    Ok(Python { program, version: answer.version, binds: outermost(wanted), links, driver: answer.driver })
}

/// Without those that lie inside another.
fn outermost(mut paths: Vec<PathBuf>) -> Vec<PathBuf> {
    paths.sort(); // by components: a folder comes before what is in it
    let mut kept: Vec<PathBuf> = Vec::new();
    for path in paths {
        if !kept.iter().any(|outer| path.starts_with(outer)) {
            kept.push(path);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(names: &[&str]) -> Vec<PathBuf> {
        names.iter().map(PathBuf::from).collect()
    }

    #[test]
    fn folders_inside_others_are_not_bound_twice() {
        let found = outermost(paths(&[
            "/usr/lib/python3",
            "/opt/py",
            "/usr",
            "/usr-local",
            "/opt/py/bin",
            "/opt/py",
        ]));
        assert_eq!(found, paths(&["/opt/py", "/usr", "/usr-local"]));
    }

    #[test]
    fn an_interpreter_that_needs_everything_is_refused() {
        let (base, version, driver) = ("/bin/python3".into(), "3".into(), String::new());
        let answer = Answer { base, version, needs: vec!["/".into()], driver };
        assert!(matches!(describe(answer), Err(SandboxUnavailable::TooWide { .. })));
    }

    #[test]
    fn without_a_python_the_error_says_where_it_looked() {
        let error = find(Some(Path::new("/nonexistent/python3")), &[]).unwrap_err();
        assert!(error.to_string().contains("`/nonexistent/python3`"), "{error}");
        assert!(error.to_string().contains("install python3"), "{error}");
    }
}
