//! Is this machine able to run programs safely? Every check runs the real thing.

use super::attacks::{ATTACKS, TESTS};
use super::job::{Confinement, Job, Limits, Settings};
use std::time::Duration;

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What.
    pub name: String,
    /// Whether it is as it should be.
    pub ok: bool,
    /// What was found.
    pub detail: String,
    /// What to do about it, if it is not as it should be.
    pub fix: Option<String>,
}

/// The causes of an error, in one line.
fn whole(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// Looks for Python, opens the sandbox, and lets every hostile program try. Takes some ten seconds.
pub fn doctor(settings: &Settings) -> Vec<Check> {
    let mut checks = Vec::new();
    let mut note = |name: &str, ok: bool, detail: String, fix: Option<&str>| {
        let fix = fix.filter(|_| !ok).map(str::to_owned);
        checks.push(Check { name: name.to_owned(), ok, detail, fix });
    };
    machine(settings, &mut note);
    let sandbox = match super::open(settings) {
        Ok(sandbox) => sandbox,
        Err(error) => {
            note(
                "sandbox",
                false,
                whole(&error),
                Some("as the message says; without it no program is scored"),
            );
            return checks;
        }
    };
    let confined = sandbox.confinement() == Confinement::Namespaces;
    note("sandbox", confined, sandbox.describe(), Some("programs run unconfined, as the settings demand"));
    if !confined {
        return checks; // the hostile programs are not for an open house
    }
    let limits = Limits { wall: Duration::from_secs(1), cpu: Duration::from_secs(2), ..Limits::default() };
    for attack in ATTACKS {
        let job = Job { candidate: attack.candidate.to_owned(), tests: TESTS.to_owned(), limits };
        let (ok, detail) = match sandbox.run(&job) {
            Ok(report) => {
                let held = attack.expected.is_met_by(&report.ending);
                (held, format!("{} ({:?})", if held { "held" } else { "NOT held" }, report.ending))
            }
            Err(error) => (false, whole(&error)),
        };
        let fix = "a hostile program was not held as it should be; do not run untrusted programs here, and report this";
        note(&format!("attack: {}", attack.name), ok, detail, Some(fix));
    }
    checks
}

#[cfg(target_os = "linux")]
fn machine(settings: &Settings, note: &mut impl FnMut(&str, bool, String, Option<&str>)) {
    match super::linux::find_python(settings.python.as_deref(), &settings.search) {
        Ok(python) => {
            let version = python.version.split_whitespace().next().unwrap_or("?");
            note("python", true, format!("{} ({version})", python.program.display()), None);
        }
        Err(error) => note("python", false, whole(&error), Some("install python3 (3.8 or later)")),
    }
    let abi = super::linux::landlock_abi();
    let detail = if abi == 0 { "none".to_owned() } else { format!("ABI {abi}") };
    note(
        "landlock",
        abi > 0,
        detail,
        Some("optional: a second wall; Linux 5.13 with `landlock` among its lsm="),
    );
}

#[cfg(not(target_os = "linux"))]
fn machine(_: &Settings, _: &mut impl FnMut(&str, bool, String, Option<&str>)) {}
