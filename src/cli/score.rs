//! `m3 score BENCH --outputs FILE`

use super::args::Score;
use super::failure::{Failure, UNSCORED};
use super::output::Output;
use super::settings::{Settings, profiles, split};
use crate::bench::{
    Answered, Benchmark, Chance, Item, Measure, OutputRows, Outputs, Profile, Tools, Verdict,
};
use crate::evaluate::{PASS_AT, Summary, VerdictRow, pass_at, score_outputs, write_verdicts};
use crate::event::{Event, Observer};
use crate::files;
use crate::ids::ItemId;
use crate::sandbox;
use serde::Serialize;
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Write;
use std::path::Path;
use std::process::ExitCode;

/// What a file of outputs is worth.
#[derive(Serialize)]
struct Scored<'a> {
    benchmark: &'a str,
    /// Whose rules; of several profiles, each figure says it.
    profile: String,
    /// Items that were scored or should have been.
    items: usize,
    /// Their answers: more than items where these have several samples.
    answers: usize,
    /// Items of the data set without an output.
    missing: usize,
    metrics: Vec<Figure<'a>>,
    /// What a model that always says the same is right about.
    chance: Option<Chance>,
}

/// One figure; mean, standard error and interval in [0, 1].
#[derive(Serialize)]
struct Figure<'a> {
    profile: Profile,
    metric: Cow<'a, str>,
    #[serde(flatten)]
    summary: Summary,
}

/// A measure's figures: one, or pass@k for every k of which each item has so many samples.
fn figures<'m>(
    profile: Profile,
    metric: &'m str,
    answered: &[Answered],
    verdicts: &[Verdict],
) -> Vec<Figure<'m>> {
    let mut of_item: HashMap<&ItemId, usize> = HashMap::new();
    let mut samples: Vec<Vec<&Verdict>> = Vec::new();
    for (answer, verdict) in answered.iter().zip(verdicts) {
        let at = *of_item.entry(&answer.item.id).or_insert(samples.len());
        if at == samples.len() {
            samples.push(Vec::new());
        }
        samples[at].push(verdict);
    }
    if samples.len() == answered.len() {
        return vec![Figure { profile, metric: metric.into(), summary: Summary::of(verdicts) }];
    }
    let figure = |k| {
        let summary = pass_at(k, &samples)?;
        Some(Figure { profile, metric: format!("pass@{k}").into(), summary })
    };
    PASS_AT.into_iter().filter_map(figure).collect()
}

pub(super) fn run(args: &Score, settings: &Settings, output: &Output) -> Result<ExitCode, Failure> {
    let benchmark = Benchmark::open(&args.benchmark)?;
    let profiles = profiles(args.profile, &benchmark, output);
    let mut of_profile = Vec::new();
    let mut measures = Vec::new();
    for profile in &profiles {
        let these = benchmark.measures(*profile)?;
        of_profile.extend(these.iter().map(|_| *profile));
        measures.extend(these);
    }
    let (Outputs { answered, missing }, joined) = outputs(args, settings, &benchmark)?;
    // Fail before the expensive part.
    if args.verdicts.as_deref().is_some_and(|to| files::same(to, &args.outputs)) {
        return Err(Failure::request(format!(
            "`{}` holds the answers: give --verdicts another name, or they would be overwritten",
            args.outputs.display()
        )));
    }
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
        let row = |profile: Profile, measure: &Measure<'_>, item: &Item, verdict: &Verdict| VerdictRow {
            benchmark: benchmark.id().clone(),
            profile,
            metric: measure.name.to_owned(),
            id: item.id.clone(),
            item: joined.then(|| item.digest()),
            verdict: verdict.clone(),
        };
        let rows: Vec<VerdictRow> = of_profile
            .iter()
            .zip(measures.iter().zip(&verdicts))
            .flat_map(|(p, (m, all))| answered.iter().zip(all).map(move |(a, v)| row(*p, m, &a.item, v)))
            .collect();
        write_verdicts(path, &rows)?;
    }
    let with_verdicts = of_profile.iter().zip(measures.iter().zip(&verdicts));
    let ids: HashSet<&ItemId> = answered.iter().map(|answer| &answer.item.id).collect();
    if let Some(form) = benchmark.form_of_answers()
        && verdicts.iter().flatten().all(|verdict| *verdict == Verdict::no_answer())
    {
        output.note(&format!("no answer could be looked at: for {} an answer is {form}", benchmark.id()));
    }
    let named: Vec<String> = profiles.iter().map(ToString::to_string).collect();
    let scored = Scored {
        benchmark: benchmark.id().as_str(),
        profile: named.join(", "),
        items: ids.len(),
        answers: answered.len(),
        missing: missing.len(),
        metrics: with_verdicts.flat_map(|(p, (m, v))| figures(*p, m.name, &answered, v)).collect(),
        chance: benchmark.chance(answered.iter().map(|a| &a.item)),
    };
    output.result(&if args.json { json(&scored) } else { table(&scored) });
    let unscored = scored.metrics.iter().any(|f| f.summary.unscored > 0);
    let mut why: BTreeMap<String, usize> = BTreeMap::new();
    for verdict in verdicts.iter().flatten() {
        if let Verdict::Unscored { why: reason } = verdict {
            *why.entry(reason.to_string()).or_default() += 1;
        }
    }
    for (reason, count) in why {
        output.note(&format!("{count} verdicts are missing: {reason}"));
    }
    Ok(if unscored { ExitCode::from(UNSCORED) } else { ExitCode::SUCCESS })
}

/// The answers, and whether their items are those of a data set.
fn outputs(args: &Score, settings: &Settings, benchmark: &Benchmark) -> Result<(Outputs, bool), Failure> {
    let rows = OutputRows::read(&args.outputs, benchmark)?;
    if rows.have_items() {
        return Ok((rows.with_own_items()?, false));
    }
    let (data, split) = (settings.data(args.data.as_deref())?, split(args.split));
    let items = benchmark.items(&data, split)?;
    Ok((rows.join(benchmark, split, items, args.partial)?, true))
}

fn json(scored: &Scored<'_>) -> String {
    let text = serde_json::to_string(scored).unwrap_or_else(|_| unreachable!("keys are strings"));
    format!("{text}\n")
}

fn table(scored: &Scored<'_>) -> String {
    let mut text = format!(
        "{} by the {} profile: {} items\n{:<9} {:<24} {:>6} {:>8} {:>6}  {:<16} {:>6} {:>6} {:>8} {:>9}\n",
        scored.benchmark,
        scored.profile,
        scored.items,
        "profile",
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
    for Figure { profile, metric, summary: s } in &scored.metrics {
        let percent = |x: Option<f64>| x.map_or("–".to_owned(), |x| format!("{:.2}", 100.0 * x));
        let ci = s.ci95.map_or("–".to_owned(), |(a, b)| format!("[{:.2}, {:.2}]", 100.0 * a, 100.0 * b));
        let _ = writeln!(
            text,
            "{:<9} {metric:<24} {:>6} {:>8} {:>6}  {ci:<16} {:>6} {:>6} {:>8} {:>9}",
            profile.to_string(),
            s.n,
            percent(s.mean),
            percent(s.standard_error),
            s.right,
            s.wrong,
            s.invalid,
            s.unscored
        );
    }
    if scored.answers > scored.items {
        let _ = writeln!(
            text,
            "{} samples: the mean is over items; right, wrong, invalid and unscored are samples",
            scored.answers
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
