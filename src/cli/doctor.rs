//! `m3 doctor`: what works on this machine, what is missing, and how to get it.

use super::args::Doctor;
use super::output::Output;
use super::settings::Settings;
use crate::checkpoint::Folder;
use crate::sandbox;
use serde::Serialize;
use std::fmt::Write;
use std::path::Path;
use std::process::ExitCode;

#[derive(Serialize)]
struct Check {
    name: String,
    ok: bool,
    /// Whether it is not there, and need not be.
    spare: bool,
    detail: String,
    /// What to do.
    fix: Option<String>,
}

pub(super) fn run(args: &Doctor, settings: &Settings, output: &Output) -> ExitCode {
    let mut checks = vec![processor()];
    checks.extend(project(settings));
    let confinement = settings.sandbox(sandbox::Policy::Auto, args.python.as_deref());
    checks.extend(sandbox::doctor(&confinement).into_iter().map(|c| Check {
        name: c.name,
        ok: c.ok,
        spare: c.spare,
        detail: c.detail,
        fix: c.fix,
    }));
    let well = checks.iter().all(|c| c.ok);
    if args.json {
        output.result(&format!("{}\n", serde_json::json!({ "ok": well, "checks": checks })));
    } else {
        let mut text = String::new();
        for c in &checks {
            let state = match (c.ok, c.spare) {
                (false, _) => "FAIL",
                (true, true) => "–   ",
                (true, false) => "ok  ",
            };
            let _ = writeln!(text, "{state} {:<24} {}", c.name, c.detail);
            if let (false, Some(fix)) = (c.ok, &c.fix) {
                let _ = writeln!(text, "     {:<24} → {fix}", "");
            }
        }
        let _ = writeln!(
            text,
            "{}",
            if well {
                "everything that is needed works"
            } else {
                "something is missing; see the lines with →"
            }
        );
        output.result(&text);
    }
    if well { ExitCode::SUCCESS } else { ExitCode::from(1) }
}

fn processor() -> Check {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    Check {
        name: "processor".into(),
        ok: true,
        spare: false,
        detail: format!("{cores} cores, matrix kernel {}", crate::engine::kernel_name()),
        fix: None,
    }
}

fn project(settings: &Settings) -> Vec<Check> {
    let Ok(home) = settings.home() else {
        return vec![Check {
            name: "project files".into(),
            ok: false,
            spare: false,
            detail: "experiments/, models/ and datasets/ were not found".into(),
            fix: Some("run inside a clone of the project, or give --home DIR".into()),
        }];
    };
    ["base", "lm", "math", "code"].map(|name| model(&home.join("models/tiny").join(name), name)).into()
}

fn model(path: &Path, name: &str) -> Check {
    let opened = Folder::open(path);
    let (ok, detail) = match &opened {
        Ok(folder) => {
            use crate::checkpoint::TensorSource;
            (true, format!("{:.1} M parameters", folder.manifest().parameters() as f64 / 1e6))
        }
        Err(e) => (false, e.to_string()),
    };
    let fix = (!ok).then(|| "check the clone out again, or regenerate it with scripts/family".to_owned());
    Check { name: format!("model tiny/{name}"), ok, spare: false, detail, fix }
}
