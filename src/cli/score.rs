//! `m3 score BENCH --outputs FILE`

use super::args::Score;
use super::failure::{Failure, UNSCORED};
use super::output::Output;
use super::settings::{Settings, profile, split};
use crate::bench::{Benchmark, Chance, Measure, OutputRows, Outputs, Profile, Tools, Verdict};
use crate::evaluate::{Summary, VerdictRow, score_outputs, write_verdicts};
use crate::event::{Event, Observer};
use crate::files;
use crate::sandbox;
use serde::Serialize;
use std::fmt::Write;
use std::path::Path;
use std::process::ExitCode;

/// What a file of outputs is worth.
#[derive(Serialize)]
struct Scored<'a> {
    benchmark: &'a str,
    profile: Profile,
    /// Items that were scored or should have been.
    items: usize,
    /// Items of the data set without an output.
    missing: usize,
    metrics: Vec<Figure<'a>>,
    /// What a model that always says the same is right about.
    chance: Option<Chance>,
}

/// One figure; mean, standard error and interval in [0, 1].
#[derive(Serialize)]
struct Figure<'a> {
    metric: &'a str,
    #[serde(flatten)]
    summary: Summary,
}

pub(super) fn run(args: &Score, settings: &Settings, output: &Output) -> Result<ExitCode, Failure> {
    let benchmark = Benchmark::open(&args.benchmark)?;
    let profile = profile(args.profile);
    let measures = benchmark.measures(profile)?;
    let Outputs { answered, missing } = outputs(args, settings, &benchmark)?;
    // Fail before the expensive part.
    if let Some(folder) = args.verdicts.as_deref().and_then(Path::parent) {
        files::check_writable(if folder.as_os_str().is_empty() { Path::new(".") } else { folder })?;
    }
    let sandbox = if measures.iter().any(Measure::needs_programs) {
        let sandbox = sandbox::open(&settings.confined(&args.confining)?)?;
        if let Some(text) = sandbox.caution() {
            output.observe(&Event::Warning { text: &text });
        }
        Some(sandbox)
    } else {
        None
    };
    let tools = Tools { sandbox: sandbox.as_deref() };
    let work = format!("{} · {}", benchmark.id(), args.outputs.display());
    let Some(verdicts) = score_outputs(&work, &measures, &answered, &tools, output) else {
        return Err(Failure::Stopped("stopped; nothing was written".into()));
    };
    if let Some(path) = &args.verdicts {
        let row = |measure: &Measure<'_>, id: &crate::ids::ItemId, verdict: &Verdict| VerdictRow {
            benchmark: benchmark.id().clone(),
            profile,
            metric: measure.name.to_owned(),
            id: id.clone(),
            verdict: verdict.clone(),
        };
        let rows: Vec<VerdictRow> = measures
            .iter()
            .zip(&verdicts)
            .flat_map(|(m, all)| answered.iter().zip(all).map(move |(a, v)| row(m, &a.item.id, v)))
            .collect();
        write_verdicts(path, &rows)?;
    }
    let figures = measures.iter().zip(&verdicts);
    let scored = Scored {
        benchmark: benchmark.id().as_str(),
        profile,
        items: answered.len(),
        missing: missing.len(),
        metrics: figures.map(|(m, v)| Figure { metric: m.name, summary: Summary::of(v) }).collect(),
        chance: benchmark.chance(answered.iter().map(|a| &a.item)),
    };
    output.result(&if args.json { json(&scored) } else { table(&scored) });
    let unscored = scored.metrics.iter().any(|f| f.summary.unscored > 0);
    Ok(if unscored { ExitCode::from(UNSCORED) } else { ExitCode::SUCCESS })
}

fn outputs(args: &Score, settings: &Settings, benchmark: &Benchmark) -> Result<Outputs, Failure> {
    let rows = OutputRows::read(&args.outputs, benchmark)?;
    if rows.have_items() {
        return Ok(rows.with_own_items()?);
    }
    let (data, split) = (settings.data(args.data.as_deref())?, split(args.split));
    let items = benchmark.items(&data, split)?;
    Ok(rows.join(benchmark, split, items, args.partial)?)
}

fn json(scored: &Scored<'_>) -> String {
    let text = serde_json::to_string(scored).unwrap_or_else(|_| unreachable!("keys are strings"));
    format!("{text}\n")
}

fn table(scored: &Scored<'_>) -> String {
    let mut text = format!(
        "{} by the {} profile: {} items\n{:<18} {:>6} {:>8} {:>6}  {:<16} {:>6} {:>6} {:>8} {:>9}\n",
        scored.benchmark,
        scored.profile,
        scored.items,
        "metric",
        "n",
        "mean %",
        "s.e.",
        "95 % interval",
        "right",
        "wrong",
        "invalid",
        "unscored"
    );
    for Figure { metric, summary: s } in &scored.metrics {
        let percent = |x: Option<f64>| x.map_or("–".to_owned(), |x| format!("{:.2}", 100.0 * x));
        let ci = s.ci95.map_or("–".to_owned(), |(a, b)| format!("[{:.2}, {:.2}]", 100.0 * a, 100.0 * b));
        let _ = writeln!(
            text,
            "{metric:<18} {:>6} {:>8} {:>6}  {ci:<16} {:>6} {:>6} {:>8} {:>9}",
            s.n,
            percent(s.mean),
            percent(s.standard_error),
            s.right,
            s.wrong,
            s.invalid,
            s.unscored
        );
    }
    if scored.missing > 0 {
        let _ = writeln!(text, "{} items have no output and count for nothing", scored.missing);
    }
    if let Some(chance) = &scored.chance {
        let _ = writeln!(text, "{chance}");
    }
    text
}
