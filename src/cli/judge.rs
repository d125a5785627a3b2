//! `m3 judge alpaca_eval --outputs FILE --reference FILE --annotator NAME`

use super::args::{Judge, OrderName};
use super::failure::{Failure, UNSCORED};
use super::output::Output;
use super::settings::Settings;
use crate::chat::Chat;
use crate::event::{Event, Observer};
use crate::experiment::{EngineChoice, ExperimentError, Judging, Model};
use crate::files;
use crate::judge::{
    Annotation, Annotator, Figures, Gamed, Glm, LengthControlled, Order, OutputsFile, Pair, PositionBias,
    leaderboard, length_controlled,
};
use crate::remote::Remote;
use crate::runs::Store;
use serde::Serialize;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Points of bias from which a judge's verdicts say more about the order than about the answers.
const BIASED: f64 = 25.0;

/// What the verdicts on one model sum up to.
#[derive(Serialize)]
struct Judged<'a> {
    model: &'a str,
    reference: &'a str,
    annotator: &'a str,
    #[serde(flatten)]
    figures: Figures,
    /// Questions that a server would not answer.
    refused: usize,
    /// None where one order was asked.
    position_bias: Option<PositionBias>,
    /// None where there is too little to fit.
    length_controlled: Option<LengthControlled>,
    /// US dollars that this command spent, where prices are known.
    cost: Option<f64>,
    /// Where the files are.
    results: Option<&'a Path>,
    /// Instructions without a verdict.
    unscored_instructions: Vec<&'a str>,
}

/// Verdicts, and where they came from.
struct Verdicts {
    rows: Vec<Annotation>,
    cost: Option<f64>,
    results: Option<PathBuf>,
}

pub(super) fn run(args: &Judge, settings: &Settings, output: &Output) -> Result<ExitCode, Failure> {
    // Fail before the expensive part.
    let gamed = args.gamed.as_deref().map(Gamed::read).transpose()?;
    let verdicts = match &args.annotations {
        Some(path) => replay(args, path)?,
        None => ask(args, settings, output)?,
    };
    let Verdicts { rows, cost, results } = verdicts;
    let judged: Vec<_> = rows.iter().map(Annotation::judged).collect();
    let figures = Figures::of(&judged);
    let glm = if gamed.is_some() { Glm::LengthControlledV1 } else { Glm::LengthControlledMinimal };
    let controlled = length_controlled(&judged, glm, gamed.as_ref())?;
    let model = rows.first().map_or("", |row| &row.generator_2);
    if let Some(folder) = &results {
        // Only the full model's figure may stand in a leaderboard's column.
        let full = controlled.as_ref().filter(|c| c.glm == Glm::LengthControlledV1);
        let full = full.map(|c| (c.length_controlled_winrate, c.lc_standard_error.unwrap_or(f64::NAN)));
        files::write(&folder.join("annotations.json"), Annotation::file(&rows).as_bytes())?;
        files::write(&folder.join("leaderboard.csv"), leaderboard(model, &figures, full).as_bytes())?;
    }
    let bias = PositionBias::of(&rows);
    if let Some(bias) = bias.filter(|b| b.points.abs() >= BIASED) {
        let text = format!(
            "the judge prefers the answer shown {} by {:.1} points: its verdicts are about the order, not the answers",
            if bias.points > 0.0 { "first" } else { "second" },
            bias.points.abs()
        );
        output.observe(&Event::Warning { text: &text });
    }
    let summed = Judged {
        model,
        reference: rows.first().map_or("", |row| &row.generator_1),
        annotator: rows.first().map_or("", |row| &row.annotator),
        refused: rows.iter().filter(|row| row.rest.contains_key("refused")).count(),
        position_bias: bias,
        length_controlled: controlled,
        cost,
        results: results.as_deref(),
        unscored_instructions: rows
            .iter()
            .zip(&judged)
            .filter(|(_, j)| Figures::of(&[**j]).unscored == 1)
            .map(|(row, _)| row.instruction.as_str())
            .collect(),
        figures,
    };
    output.result(&if args.json { json(&summed) } else { table(&summed) });
    Ok(if summed.figures.unscored == 0 { ExitCode::SUCCESS } else { ExitCode::from(UNSCORED) })
}

/// Old verdicts.
fn replay(args: &Judge, path: &Path) -> Result<Verdicts, Failure> {
    let mut rows = Annotation::read(path)?;
    rows.truncate(limit(args));
    if let Some(folder) = &args.results {
        files::check_writable(folder)?;
    }
    Ok(Verdicts { rows, cost: None, results: args.results.clone() })
}

fn limit(args: &Judge) -> usize {
    args.limit.map_or(usize::MAX, |n| usize::try_from(n).unwrap_or(usize::MAX))
}

/// New ones.
fn ask(args: &Judge, settings: &Settings, output: &Output) -> Result<Verdicts, Failure> {
    let (Some(outputs), Some(reference), Some(name)) = (&args.outputs, &args.reference, &args.annotator)
    else {
        return Err(Failure::request("--outputs, --reference and --annotator are needed, or --annotations"));
    };
    let annotator = Annotator::open(name)?;
    let (outputs, reference) = (OutputsFile::read(outputs)?, OutputsFile::read(reference)?);
    let mut pairs = outputs.against(&reference, args.partial)?;
    pairs.truncate(limit(args));
    let folder = args.results.clone().unwrap_or_else(|| {
        args.out.join("judge").join(file_name(&format!("{}-{}", outputs.generator(), annotator.name)))
    });
    files::check_writable(&folder)?;
    let store = Store::open(&args.out).map_err(ExperimentError::Run)?;
    let (rows, cost) = put(args, settings, output, &annotator, &pairs, &store)?;
    for (name, file) in [("model_outputs.json", &outputs), ("reference_outputs.json", &reference)] {
        files::write(&folder.join(name), file.text().as_bytes())?;
    }
    Ok(Verdicts { rows, cost, results: Some(folder) })
}

/// Puts the pairs to whom the flags name.
fn put(
    args: &Judge,
    settings: &Settings,
    output: &Output,
    annotator: &Annotator,
    pairs: &[Pair],
    store: &Store,
) -> Result<(Vec<Annotation>, Option<f64>), Failure> {
    let order = match args.order {
        Some(OrderName::Both) => Order::Both,
        Some(OrderName::Seeded) => Order::Seeded,
        None => annotator.order(),
    };
    let replies = store.replies().map_err(ExperimentError::Run)?;
    let judging = |identity: &str| Judging::new(annotator, order, pairs, identity, replies, output);
    if let Some(checkpoint) = &args.checkpoint {
        let model = Model::open(checkpoint, settings.hub(), output)?;
        let mut judging = judging(&EngineChoice::default().identity(&model)?);
        judging.ask_likelihoods(&mut || Ok(EngineChoice::default().load(&model)?))?;
        return Ok((judging.annotations(), None));
    }
    let model = args.model.as_deref().or(annotator.model()).ok_or_else(|| {
        let how = if annotator.by_likelihood() {
            "name a checkpoint at hand with --judge, or a server with --base-url and --model"
        } else {
            "name the one to ask with --model"
        };
        Failure::request(format!("the annotator `{}` is for any model: {how}", annotator.name))
    })?;
    let price = annotator.price().filter(|_| args.model.is_none()).map(|p| (p.input, p.output));
    let server = Settings::server(&args.server, model, price)?;
    let priced = args.server.price.is_some() || price.is_some();
    let limit = server.budget.limit;
    let mut remote = Remote::new(server, output);
    let mut judging = judging(&remote.identity());
    if annotator.by_likelihood() {
        judging.ask_likelihoods(&mut || Ok(Box::new(remote.clone())))?;
    } else {
        let open = judging.open_chats();
        let most = remote.most_cost(&open);
        if priced && !open.is_empty() {
            output.note(&format!("{} questions are open; they cost at most about {most:.2} US$", open.len()));
        }
        if let Some(limit) = limit.filter(|limit| most > *limit) {
            return Err(Failure::request(format!(
                "{} questions are open, which could cost about {most:.2} US$, and --max-cost allows {limit:.2}; allow more, \
                 or ask about fewer instructions with --limit",
                open.len()
            )));
        }
        judging.ask_chat(&mut remote)?;
    }
    Ok((judging.annotations(), priced.then(|| remote.spent())))
}

/// A name that is one part of a path.
fn file_name(text: &str) -> String {
    let fine = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    text.chars().map(|c| if fine(c) { c } else { '_' }).collect::<String>().trim_start_matches('.').to_owned()
}

fn json(judged: &Judged<'_>) -> String {
    let text = serde_json::to_string(judged).unwrap_or_else(|_| unreachable!("keys are strings"));
    format!("{text}\n")
}

fn table(judged: &Judged<'_>) -> String {
    let f = &judged.figures;
    let percent = |x: Option<f64>| x.map_or("–".to_owned(), |x| format!("{x:.2}"));
    let interval = f.ci95.map_or("–".to_owned(), |(a, b)| format!("[{a:.2}, {b:.2}]"));
    let mut text = format!(
        "{} against {}, by {}\nwin rate            {} %  95 % interval {interval}, s.e. {}, n {}\n\
         discrete win rate   {} %  {} wins, {} losses, {} draws\n",
        judged.model,
        judged.reference,
        judged.annotator,
        percent(f.win_rate),
        percent(f.standard_error),
        f.n_total,
        percent(f.discrete_win_rate),
        f.n_wins,
        f.n_wins_base,
        f.n_draws
    );
    if let Some(c) = &judged.length_controlled {
        let _ = writeln!(
            text,
            "length-controlled   {:.2} %  {}",
            c.length_controlled_winrate,
            match c.glm {
                Glm::LengthControlledV1 => format!("s.e. {}, as leaderboards have it", percent(c.lc_standard_error)),
                _ => "the reduced model (length_controlled_minimal), not comparable with leaderboards: the full one \
                      needs --gamed df_gamed.csv"
                    .to_owned(),
            }
        );
        if c.extreme {
            let _ = writeln!(text, "  it is so far from the win rate that the fit may have failed");
        }
    }
    let _ = writeln!(text, "average length      {} characters", f.avg_length);
    if let Some(b) = &judged.position_bias {
        let _ = writeln!(
            text,
            "position bias       {:+.1} points for the answer shown first; {:.1} % of {} pairs have the same verdict in both \
             orders",
            b.points, b.consistent, b.n
        );
    }
    if f.unscored > 0 {
        let _ = writeln!(
            text,
            "unscored            {} of {} ({} of them refused by the server); they count for nothing",
            f.unscored,
            f.unscored + f.n_total,
            judged.refused
        );
    }
    if let Some(cost) = judged.cost {
        let _ = writeln!(text, "spent               {cost:.4} US$");
    }
    if let Some(folder) = judged.results {
        let _ = writeln!(text, "files               {}", folder.display());
    }
    text
}
