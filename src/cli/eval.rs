//! `m3 eval MODEL|RECIPE --bench …`

use super::args::{EngineName, Eval};
use super::failure::{Failure, UNSCORED};
use super::judging::{self, Asked, Judge};
use super::output::Output;
use super::settings::{Settings, profiles, split};
use crate::bench::{Asking, Benchmark, Chance, Item, Profile};
use crate::evaluate::{Evaluation, Summary};
use crate::experiment::{Lab, Model, check_references, pairs};
use crate::files;
use crate::ids::BenchmarkId;
use crate::judge::{Annotation, Figures, OutputsFile, PositionBias, write_verdicts};
use serde::Serialize;
use serde_json::{Map, Value};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// The file in a run's folder with answers that are judged elsewhere, as alpaca_eval reads it.
const MODEL_OUTPUTS: &str = "model_outputs.json";

/// One figure of a benchmark; mean and interval in [0, 1].
#[derive(Serialize)]
struct ResultRow {
    benchmark: BenchmarkId,
    profile: Profile,
    metric: String,
    #[serde(flatten)]
    summary: Summary,
    /// What a model that always says the same is right about.
    chance: Option<Chance>,
    run: String,
    /// The answers, where they are judged.
    outputs: Option<PathBuf>,
    /// The judgement, where there was one. Then the mean is the win rate, and the interval normal.
    judged: Option<Judged>,
}

/// What a judge said of a model's answers beside another one's.
#[derive(Clone, Serialize)]
struct Judged {
    annotator: String,
    /// What kind of judge that is, where its figures need it said.
    notice: Option<String>,
    reference: String,
    #[serde(flatten)]
    figures: Figures,
    /// Questions that a server would not answer.
    refused: usize,
    /// None where one order was asked.
    position_bias: Option<PositionBias>,
    /// US dollars that this command spent, where prices are known.
    cost: Option<f64>,
    /// Where `annotations.json` and `leaderboard.csv` are.
    results: PathBuf,
}

pub(super) fn run(args: &Eval, settings: &Settings, output: &Output) -> Result<ExitCode, Failure> {
    let asking = Asking { chat: args.chat, system: args.system.clone(), num_fewshot: args.num_fewshot };
    let benchmarks = args.bench.iter().map(|name| Benchmark::open(name)?.asked(&asking));
    let benchmarks = benchmarks.collect::<Result<Vec<_>, _>>()?;
    let ids: Vec<BenchmarkId> = benchmarks.iter().map(|b| b.id().clone()).collect();
    let profiles: Vec<Vec<Profile>> =
        benchmarks.iter().map(|benchmark| profiles(args.profile, benchmark, output)).collect();
    for (benchmark, profiles) in benchmarks.iter().zip(&profiles) {
        // Fail before the expensive part.
        profiles.iter().try_for_each(|profile| benchmark.measures(*profile).map(drop))?;
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
    let reference = args.judging.reference.as_deref().map(OutputsFile::read).transpose()?;
    let judge = judge(args, &lab, &ids, settings, output)?;
    for (id, items) in ids.iter().zip(&items).filter(|_| judge.is_some()) {
        if let Some(field) = lab.benchmark(id)?.judged() {
            check_references(field, items, reference.as_ref())?;
        }
    }
    let mut subject = match server {
        Some(server) => lab.served(server),
        None => lab.subject(&Model::open(&args.model, &settings.open(output))?)?,
    };
    let mut rows = Vec::new();
    for ((id, items), profiles) in ids.iter().zip(&items).zip(&profiles) {
        let benchmark = lab.benchmark(id)?;
        let evaluation = lab.evaluate(&mut subject, id, items)?;
        let (mut outputs, mut judged) = (None, None);
        if let Some(field) = benchmark.judged() {
            let (path, generator) = (lab.folder(&evaluation).join(MODEL_OUTPUTS), args.model.to_string());
            files::write(&path, model_outputs(&generator, field, items, &evaluation).as_bytes())?;
            outputs = Some(path);
            if let Some(judge) = &judge {
                let pairs = pairs(field, items, &evaluation.answers, reference.as_ref(), &generator)?;
                let (rows, cost) = judge.judge(&pairs, lab.replies()?, output)?;
                judged = Some(sum_up(judge, &rows, cost, &lab.folder(&evaluation), output)?);
            }
        }
        for &profile in profiles {
            let figures = match profile {
                Profile::Paper => {
                    let metric = benchmark.card.metric().metric.clone();
                    let summary = judged.as_ref().map_or(evaluation.summary, |j| summary(&j.figures));
                    vec![(metric, summary)]
                }
                Profile::Standard => lab.score(&evaluation, items, profile)?,
            };
            rows.extend(figures.into_iter().map(|(metric, summary)| {
                let (benchmark, run) = (id.clone(), evaluation.run.to_string());
                let (chance, outputs) = (benchmark_chance(&lab, id, items), outputs.clone());
                let judged = judged.clone();
                ResultRow { benchmark, profile, metric, summary, chance, run, outputs, judged }
            }));
        }
    }
    output.result(&if args.running.json {
        format!("{}\n", serde_json::json!({ "results": rows }))
    } else {
        table(&rows)
    });
    let unscored: usize = rows.iter().map(|row| row.summary.unscored).sum();
    Ok(if unscored == 0 { ExitCode::SUCCESS } else { ExitCode::from(UNSCORED) })
}

/// A judgement as a benchmark's figures.
fn summary(figures: &Figures) -> Summary {
    let share = |percent: f64| percent / 100.0;
    Summary {
        n: figures.n_total,
        mean: figures.win_rate.map(share),
        standard_error: figures.standard_error.map(share),
        ci95: figures.ci95.map(|(low, high)| (share(low), share(high))),
        right: figures.n_wins,
        wrong: figures.n_wins_base,
        invalid: 0,
        unscored: figures.unscored,
    }
}

/// Who judges, if anybody does.
fn judge(
    args: &Eval,
    lab: &Lab<'_>,
    ids: &[BenchmarkId],
    settings: &Settings,
    output: &Output,
) -> Result<Option<Judge>, Failure> {
    let flags = &args.judging;
    let Some(annotator) = flags.annotator.as_deref() else { return Ok(None) };
    if !ids.iter().any(|id| lab.benchmark(id).is_ok_and(|b| b.judged().is_some())) {
        return Err(Failure::request(
            "--annotator is for benchmarks whose answers are judged, such as alpaca_eval; --bench names none",
        ));
    }
    let mut server = args.server.clone();
    if flags.judge_url.is_some() || args.running.engine == EngineName::Openai {
        server.base_url.clone_from(&flags.judge_url);
    }
    let asked = Asked {
        annotator,
        checkpoint: flags.checkpoint.as_ref(),
        model: flags.judge_model.as_deref(),
        model_flag: "--judge-model",
        server: &server,
        order: flags.order,
    };
    Ok(Some(Judge::open(&asked, settings, output)?))
}

/// The figures of some verdicts, which are written into a folder of the run.
fn sum_up(
    judge: &Judge,
    rows: &[Annotation],
    cost: Option<f64>,
    run: &Path,
    output: &Output,
) -> Result<Judged, Failure> {
    let judged: Vec<_> = rows.iter().map(Annotation::judged).collect();
    let figures = Figures::of(&judged);
    let reference = rows.first().map_or("", |row| &row.generator_1);
    let results = run.join("judge").join(&judge.annotator.name);
    write_verdicts(&results, rows, &figures, None)?;
    Ok(Judged {
        annotator: judge.annotator.name.clone(),
        notice: judge.annotator.notice().map(str::to_owned),
        reference: reference.to_owned(),
        refused: rows.iter().filter(|row| row.rest.contains_key("refused")).count(),
        position_bias: judging::position_bias(rows, output),
        cost,
        results,
        figures,
    })
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
        "{:<14} {:<9} {:<24} {:>6} {:>8} {:>6}  {:<16} {:>6} {:>6} {:>8} {:>9}  run\n",
        "benchmark",
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
    for row in rows {
        let s = &row.summary;
        let percent = |x: Option<f64>| x.map_or("–".to_owned(), |x| format!("{:.2}", 100.0 * x));
        let ci = s.ci95.map_or("–".to_owned(), |(a, b)| format!("[{:.2}, {:.2}]", 100.0 * a, 100.0 * b));
        let _ = writeln!(
            text,
            "{:<14} {:<9} {:<24} {:>6} {:>8} {:>6}  {ci:<16} {:>6} {:>6} {:>8} {:>9}  {}",
            row.benchmark.as_str(),
            row.profile.to_string(),
            row.metric,
            s.n,
            percent(s.mean),
            percent(s.standard_error),
            s.right,
            s.wrong,
            s.invalid,
            s.unscored,
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
        if let Some(judged) = &row.judged {
            text.push_str(&judgement(row, judged));
        } else if let Some(path) = &row.outputs {
            let _ = writeln!(
                text,
                "{}: the answers need a judge (--annotator NAME); they are in `{}`",
                row.benchmark,
                path.display()
            );
        }
    }
    text
}

fn judgement(row: &ResultRow, judged: &Judged) -> String {
    let f = &judged.figures;
    let mut text = format!(
        "{}: judged by {} against {}; {} wins, {} losses, {} draws, {} unscored ({} of them refused)\n",
        row.benchmark,
        judged.annotator,
        judged.reference,
        f.n_wins,
        f.n_wins_base,
        f.n_draws,
        f.unscored,
        judged.refused
    );
    if let Some(b) = &judged.position_bias {
        let _ = writeln!(
            text,
            "{}: position bias {:+.1} points for the answer shown first; {:.1} % of {} pairs have the same verdict in both \
             orders",
            row.benchmark, b.points, b.consistent, b.n
        );
    }
    if let Some(cost) = judged.cost {
        let _ = writeln!(text, "{}: spent {cost:.4} US$", row.benchmark);
    }
    if let Some(notice) = &judged.notice {
        let _ = writeln!(text, "{}: about this judge: {notice}", row.benchmark);
    }
    let _ = writeln!(text, "{}: verdicts in `{}`", row.benchmark, judged.results.display());
    text
}
