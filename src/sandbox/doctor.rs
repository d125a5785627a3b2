//! Is this machine able to run programs safely? Every check runs the real thing.

use super::attacks::{ATTACKS, Attack, TESTS};
use super::error::whole;
use super::job::{Confinement, Job, Limits, Policy, Sandbox, Settings};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// How the detail begins of a kind of walls that cannot be built.
const NOT_HERE: &str = "not here";

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What.
    pub name: String,
    /// Whether it is as it should be.
    pub ok: bool,
    /// Whether it is not there, and need not be.
    pub spare: bool,
    /// What was found.
    pub detail: String,
    /// What to do about it, if it is not as it should be.
    pub fix: Option<String>,
}

impl Check {
    fn new(name: &str, ok: bool, detail: String, fix: &str) -> Self {
        Self { name: name.to_owned(), ok, spare: false, detail, fix: (!ok).then(|| fix.to_owned()) }
    }
}

/// Looks for Python, opens the sandbox with every kind of walls, and lets every hostile program try the strongest that
/// works. Takes some seconds. A weaker kind that does not work is no failure where a stronger one does.
pub fn doctor(settings: &Settings) -> Vec<Check> {
    let mut checks = machine(settings);
    let mut best: Option<Box<dyn Sandbox>> = None;
    for confinement in Confinement::HOLDING {
        let name = format!("sandbox: {}", confinement.name());
        let policy = match confinement {
            Confinement::Namespaces => Policy::Namespaces,
            Confinement::Bubblewrap => Policy::Bubblewrap,
            Confinement::Landlock => Policy::Landlock,
            Confinement::None => continue,
        };
        match super::open(&Settings { policy, ..settings.clone() }) {
            Ok(sandbox) => {
                let used = if best.is_none() { "; this is what programs get" } else { "" };
                checks.push(Check::new(&name, true, sandbox.describe() + used, ""));
                best.get_or_insert(sandbox);
            }
            Err(error) => {
                let detail = format!("{NOT_HERE}: {}", whole(&error));
                let fix = "as the message says; without any kind of walls no program is scored";
                checks.push(Check::new(&name, best.is_some(), detail, fix));
            }
        }
    }
    let Some(best) = best else { return checks };
    // One kind is enough.
    let kinds = checks.iter_mut().filter(|check| check.name.starts_with("sandbox: "));
    for check in kinds.filter(|check| check.detail.starts_with(NOT_HERE)) {
        (check.ok, check.spare, check.fix) = (true, true, None);
    }
    checks.extend(attacks(&*best, settings.parallel));
    checks
}

/// How every hostile program fares, in the list's order.
fn attacks(sandbox: &dyn Sandbox, parallel: usize) -> Vec<Check> {
    let limits =
        Limits { wall: Duration::from_millis(500), cpu: Duration::from_secs(1), ..Limits::default() };
    let check = |attack: &Attack| {
        let job = Job { candidate: attack.candidate.to_owned(), tests: TESTS.to_owned(), limits };
        let (ok, detail) = match sandbox.run(&job) {
            Ok(report) => {
                let held = attack.expected.is_met_by(&report.ending);
                (held, format!("{}: {}", if held { "held" } else { "NOT held" }, report.ending))
            }
            Err(error) => (false, whole(&error)),
        };
        let fix = "a hostile program was not held as it should be; do not run untrusted programs here, and report this";
        Check::new(&format!("attack: {}", attack.name), ok, detail, fix)
    };
    let (next, done) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..parallel.max(1) {
            scope.spawn(|| {
                while let Some((at, attack)) =
                    Some(next.fetch_add(1, Ordering::Relaxed)).and_then(|at| Some((at, ATTACKS.get(at)?)))
                {
                    let check = check(attack);
                    done.lock().unwrap_or_else(PoisonError::into_inner).push((at, check));
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, check)| check).collect()
}

#[cfg(target_os = "linux")]
fn machine(settings: &Settings) -> Vec<Check> {
    let fix = "install python3 (3.8 or later)";
    vec![match super::linux::find_python(settings.python.as_deref(), &settings.search) {
        Ok(python) => {
            let version = python.version.split_whitespace().next().unwrap_or("?");
            Check::new("python", true, format!("{} ({version})", python.program.display()), fix)
        }
        Err(error) => Check::new("python", false, whole(&error), fix),
    }]
}

#[cfg(not(target_os = "linux"))]
fn machine(_: &Settings) -> Vec<Check> {
    Vec::new()
}
