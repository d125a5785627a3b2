//! `m3 eval MODEL|RECIPE --bench …`

use super::args::{EngineName, Eval};
use super::failure::{Failure, UNSCORED};
use super::output::Output;
use super::settings::{Settings, profiles, split};
use crate::bench::{Benchmark, Chance, Item, Profile};
use crate::evaluate::{Evaluation, Summary};
use crate::experiment::{Lab, Model};
use crate::files;
use crate::ids::BenchmarkId;
use serde::Serialize;
use serde_json::{Map, Value};
use std::fmt::Write;
use std::path::PathBuf;
use std::process::ExitCode;

/// The file in a run's folder with answers that are judged elsewhere, as alpaca_eval reads it.
const MODEL_OUTPUTS: &str = "model_outputs.json";

/// One figure of a benchmark; mean and interval in [0, 1].
#[derive(Serialize)]
struct ResultRow {
    benchmark: BenchmarkId,
    profile: Profile,
    metric: String,
    n: usize,
    mean: Option<f64>,
    ci95: Option<(f64, f64)>,
    invalid: usize,
    unscored: usize,
    /// What a model that always says the same is right about.
    chance: Option<Chance>,
    run: String,
    /// The answers, where they are judged elsewhere.
    outputs: Option<PathBuf>,
}

pub(super) fn run(args: &Eval, settings: &Settings, output: &Output) -> Result<ExitCode, Failure> {
    let benchmarks = args.bench.iter().map(|name| Benchmark::open(name)).collect::<Result<Vec<_>, _>>()?;
    let ids: Vec<BenchmarkId> = benchmarks.iter().map(|b| b.id().clone()).collect();
    for benchmark in &benchmarks {
        for profile in profiles(args.profile, benchmark) {
            // Fail before the expensive part.
            benchmark.measures(profile)?;
        }
    }
    let data = settings.data(args.data.as_deref())?;
    let split = split(args.split);
    let limit = args.limit.map(|n| usize::try_from(n).unwrap_or(usize::MAX));
    let served = args.running.engine == EngineName::Openai;
    if !served && args.server.base_url.is_some() {
        return Err(Failure::request("--base-url goes with --engine openai"));
    }
    let server = served.then(|| Settings::server(&args.server, &args.model.to_string(), None)).transpose()?;
    let lab = Lab::with(settings.lab(&args.running, data, limit)?, benchmarks, output)?;
    let items = ids.iter().map(|id| lab.items(id, split)).collect::<Result<Vec<_>, _>>()?;
    let mut subject = match server {
        Some(server) => lab.served(server),
        None => lab.subject(&Model::open(&args.model, settings.hub(), output)?)?,
    };
    let mut rows = Vec::new();
    for (id, items) in ids.iter().zip(&items) {
        let benchmark = lab.benchmark(id)?;
        let evaluation = lab.evaluate(&mut subject, id, items)?;
        let outputs = match benchmark.judged() {
            Some(field) => {
                let path = lab.folder(&evaluation).join(MODEL_OUTPUTS);
                let text = model_outputs(&args.model.to_string(), field, items, &evaluation);
                files::write(&path, text.as_bytes())?;
                Some(path)
            }
            None => None,
        };
        for profile in profiles(args.profile, benchmark) {
            let figures = match profile {
                Profile::Paper => vec![(benchmark.card.metric().metric.clone(), evaluation.summary)],
                Profile::Standard => lab.score(&evaluation, items, profile)?,
            };
            rows.extend(figures.into_iter().map(|(metric, summary)| {
                let Summary { n, mean, ci95, invalid, unscored, .. } = summary;
                let (benchmark, run) = (id.clone(), evaluation.run.to_string());
                let (chance, outputs) = (benchmark_chance(&lab, id, items), outputs.clone());
                ResultRow {
                    benchmark,
                    profile,
                    metric,
                    n,
                    mean,
                    ci95,
                    invalid,
                    unscored,
                    chance,
                    run,
                    outputs,
                }
            }));
        }
    }
    output.result(&if args.running.json {
        format!("{}\n", serde_json::json!({ "results": rows }))
    } else {
        table(&rows)
    });
    let unscored: usize = rows.iter().map(|row| row.unscored).sum();
    Ok(if unscored == 0 { ExitCode::SUCCESS } else { ExitCode::from(UNSCORED) })
}

fn benchmark_chance(lab: &Lab<'_>, id: &BenchmarkId, items: &[Item]) -> Option<Chance> {
    lab.benchmark(id).ok()?.chance(items)
}

/// The answers as alpaca_eval reads them: a list of objects with the instruction, the answer and who gave it, and what the
/// row says of its part of the data. A question that the model refuses has an empty answer, as alpaca_eval needs one.
fn model_outputs(generator: &str, field: &str, items: &[Item], evaluation: &Evaluation) -> String {
    let row = |(item, answer): (&Item, &crate::runs::Answer)| {
        let mut row = Map::new();
        for key in ["dataset", "datasplit"] {
            if let Some(value) = item.fields.get(key) {
                row.insert(key.to_owned(), value.clone());
            }
        }
        row.insert("instruction".to_owned(), item.text(field).unwrap_or_default().into());
        row.insert("output".to_owned(), answer.text.as_deref().unwrap_or_default().into());
        row.insert("generator".to_owned(), generator.into());
        Value::Object(row)
    };
    let rows: Vec<Value> = items.iter().zip(&evaluation.answers).map(row).collect();
    let text = serde_json::to_string_pretty(&rows).unwrap_or_else(|_| unreachable!("keys are strings"));
    text + "\n"
}

fn table(rows: &[ResultRow]) -> String {
    let mut text = format!(
        "{:<14} {:<9} {:<24} {:>6} {:>8}  {:<16} {:>8} {:>9}  run\n",
        "benchmark", "profile", "metric", "n", "mean %", "95 % interval", "invalid", "unscored"
    );
    for row in rows {
        let mean = row.mean.map_or("–".to_owned(), |m| format!("{:.2}", 100.0 * m));
        let ci = row.ci95.map_or("–".to_owned(), |(a, b)| format!("[{:.2}, {:.2}]", 100.0 * a, 100.0 * b));
        let _ = writeln!(
            text,
            "{:<14} {:<9} {:<24} {:>6} {mean:>8}  {ci:<16} {:>8} {:>9}  {}",
            row.benchmark.as_str(),
            row.profile.to_string(),
            row.metric,
            row.n,
            row.invalid,
            row.unscored,
            row.run
        );
    }
    let mut told: Vec<&BenchmarkId> = Vec::new();
    for row in rows {
        if told.contains(&&row.benchmark) {
            continue;
        }
        told.push(&row.benchmark);
        if let Some(chance) = &row.chance {
            let _ = writeln!(text, "{}: {chance}", row.benchmark);
        }
        if let Some(path) = &row.outputs {
            let _ = writeln!(
                text,
                "{}: the answers need a judge; they are in `{}`",
                row.benchmark,
                path.display()
            );
        }
    }
    text
}
