//! `m3 compare A B`

use super::args::Compare;
use super::failure::Failure;
use super::output::Output;
use super::settings::{Settings, split};
use crate::bench::Benchmark;
use crate::evaluate::{Comparison, EvaluateError, Side, compare, read_verdicts, run_verdicts};
use crate::files;
use crate::ids::ItemId;
use crate::runs;
use crate::statistics::RESAMPLES;
use std::fmt::Write;
use std::path::Path;
use std::process::ExitCode;

/// Flipped items that the text names; JSON has all.
const SHOWN: usize = 20;

pub(super) fn run(args: &Compare, settings: &Settings, output: &Output) -> Result<ExitCode, Failure> {
    let (a, b) = (side(&args.a, args, settings)?, side(&args.b, args, settings)?);
    let compared = compare(&a, &b, args.seed).map_err(EvaluateError::Compare)?;
    let (benchmark, profile) = (a.rows[0].benchmark.clone(), a.rows[0].profile);
    output.result(&if args.json {
        let value = serde_json::json!({
            "benchmark": benchmark, "profile": profile, "resamples": RESAMPLES, "seed": args.seed,
            "a": args.a, "b": args.b, "comparisons": compared,
        });
        format!("{value}\n")
    } else {
        // With several profiles, each figure's name begins with its own.
        let profile = if a.rows.iter().all(|row| row.profile == profile) {
            format!(" by the {profile} profile")
        } else {
            String::new()
        };
        let mut text = format!("{benchmark}{profile}\nA = {}\nB = {}\n", args.a.display(), args.b.display());
        for c in &compared {
            describe(c, &mut text);
        }
        text
    });
    Ok(ExitCode::SUCCESS)
}

/// A run's folder, or a file of verdicts.
fn side(path: &Path, args: &Compare, settings: &Settings) -> Result<Side, Failure> {
    if !files::is_folder(path) {
        return Ok(Side { path: path.to_owned(), rows: read_verdicts(path)? });
    }
    let manifest = runs::manifest(path).map_err(EvaluateError::Run)?;
    let benchmark = match &args.benchmark {
        Some(folder) => Benchmark::open(folder)?,
        None if !Benchmark::known().contains(&manifest.benchmark.as_str()) => {
            return Err(Failure::request(format!(
                "`{}` is a run of `{}`, which does not come with the project: name its folder with --benchmark FOLDER",
                path.display(),
                manifest.benchmark
            )));
        }
        None => Benchmark::load(&manifest.benchmark)?,
    };
    if *benchmark.id() != manifest.benchmark {
        return Err(Failure::request(format!(
            "`{}` is a run of `{}`, not of `{}`",
            path.display(),
            manifest.benchmark,
            benchmark.id()
        )));
    }
    let split = split(args.split);
    let items = benchmark.items(&settings.data(args.data.as_deref())?, split)?;
    let rows = run_verdicts(path, &benchmark, &items)?;
    if rows.is_empty() {
        return Err(Failure::request(format!(
            "`{}` has no verdict on the {split} split of {}; if it was evaluated on other data, name it with --data \
             and --split",
            path.display(),
            benchmark.id()
        )));
    }
    Ok(Side { path: path.to_owned(), rows })
}

fn describe(c: &Comparison, text: &mut String) {
    let percent = |x: f64| 100.0 * x;
    let _ = writeln!(text, "\n{}: {} items scored in both", c.metric, c.n);
    let apart = [
        (c.unscored, "items are unscored in one of them and left out"),
        (c.only_in_a, "items are in A only and left out"),
        (c.only_in_b, "items are in B only and left out"),
    ];
    for (count, what) in apart.iter().filter(|(count, _)| *count > 0) {
        let _ = writeln!(text, "  {count} {what}");
    }
    let _ = writeln!(text, "  A {:.2} %, B {:.2} %", percent(c.mean_a), percent(c.mean_b));
    let _ = writeln!(
        text,
        "  B - A: {:+.2} points, 95 % interval [{:+.2}, {:+.2}] (paired bootstrap, {RESAMPLES} resamples)",
        percent(c.difference),
        percent(c.ci95.0),
        percent(c.ci95.1)
    );
    let (a, b) = (&c.right_in_a_only, &c.right_in_b_only);
    let _ = writeln!(
        text,
        "  {} items are right in A only, {} in B only: p = {} (McNemar's exact test)",
        a.len(),
        b.len(),
        p_value(c.mcnemar_p)
    );
    for (name, ids) in [("A", a), ("B", b)].iter().filter(|(_, ids)| !ids.is_empty()) {
        let shown: Vec<_> = ids.iter().take(SHOWN).map(ItemId::as_str).collect();
        let more = if ids.len() > SHOWN { ", …" } else { "" };
        let _ = writeln!(text, "  right in {name} only: {}{more}", shown.join(", "));
    }
}

fn p_value(p: f64) -> String {
    if p < 1e-4 { format!("{p:.1e}") } else { format!("{p:.4}") }
}
