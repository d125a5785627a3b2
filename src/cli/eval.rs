//! `m3 eval MODEL|RECIPE --bench …`

use super::args::{EngineName, Eval};
use super::failure::{Failure, UNSCORED};
use super::output::Output;
use super::settings::{Settings, split};
use crate::bench::{Benchmark, Chance};
use crate::evaluate::{Evaluation, Summary};
use crate::experiment::{Lab, Model};
use crate::ids::BenchmarkId;
use serde::Serialize;
use std::fmt::Write;
use std::process::ExitCode;

/// One benchmark's figures; mean and interval in [0, 1].
#[derive(Serialize)]
struct ResultRow<'a> {
    benchmark: &'a BenchmarkId,
    n: usize,
    mean: Option<f64>,
    ci95: Option<(f64, f64)>,
    invalid: usize,
    unscored: usize,
    /// What a model that always says the same is right about.
    chance: Option<Chance>,
    run: &'a str,
}

pub(super) fn run(args: &Eval, settings: &Settings, output: &Output) -> Result<ExitCode, Failure> {
    let ids: Vec<BenchmarkId> = args.bench.iter().map(|b| b.as_str().into()).collect();
    let data = settings.data(args.data.as_deref())?;
    let split = split(args.split);
    let limit = args.limit.map(|n| usize::try_from(n).unwrap_or(usize::MAX));
    let served = args.running.engine == EngineName::Openai;
    if !served && args.server.base_url.is_some() {
        return Err(Failure::request("--base-url goes with --engine openai"));
    }
    let server = served.then(|| Settings::server(&args.server, &args.model.to_string(), None)).transpose()?;
    let lab = Lab::open(settings.lab(&args.running, data, limit)?, &ids, output)?;
    let items = ids.iter().map(|id| lab.items(id, split)).collect::<Result<Vec<_>, _>>()?;
    let mut subject = match server {
        Some(server) => lab.served(server),
        None => lab.subject(&Model::open(&args.model, settings.hub(), output)?)?,
    };
    let mut done = Vec::new();
    for (id, items) in ids.iter().zip(&items) {
        let chance = Benchmark::load(id)?.chance(items);
        done.push((lab.evaluate(&mut subject, id, items)?, chance));
    }
    output.result(&if args.running.json { json(&done) } else { table(&done) });
    let unscored: usize = done.iter().map(|(e, _)| e.summary.unscored).sum();
    Ok(if unscored == 0 { ExitCode::SUCCESS } else { ExitCode::from(UNSCORED) })
}

fn json(done: &[(Evaluation, Option<Chance>)]) -> String {
    let results: Vec<ResultRow<'_>> = done
        .iter()
        .map(|(e, chance)| {
            let Summary { n, mean, ci95, invalid, unscored, .. } = e.summary;
            let (chance, run) = (chance.clone(), e.run.as_str());
            ResultRow { benchmark: &e.benchmark, n, mean, ci95, invalid, unscored, chance, run }
        })
        .collect();
    format!("{}\n", serde_json::json!({ "results": results }))
}

fn table(done: &[(Evaluation, Option<Chance>)]) -> String {
    let mut text = format!(
        "{:<14} {:>6} {:>8}  {:<16} {:>8} {:>9}  run\n",
        "benchmark", "n", "mean %", "95 % interval", "invalid", "unscored"
    );
    for (e, _) in done {
        let s = &e.summary;
        let mean = s.mean.map_or("–".to_owned(), |m| format!("{:.2}", 100.0 * m));
        let ci = s.ci95.map_or("–".to_owned(), |(a, b)| format!("[{:.2}, {:.2}]", 100.0 * a, 100.0 * b));
        let _ = writeln!(
            text,
            "{:<14} {:>6} {mean:>8}  {ci:<16} {:>8} {:>9}  {}",
            e.benchmark.as_str(),
            s.n,
            s.invalid,
            s.unscored,
            e.run
        );
    }
    for (e, chance) in done {
        if let Some(chance) = chance {
            let _ = writeln!(text, "{}: {chance}", e.benchmark);
        }
    }
    text
}
