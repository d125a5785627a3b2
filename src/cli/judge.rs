//! `m3 judge alpaca_eval --outputs FILE --reference FILE --annotator NAME`

use super::args::Judge;
use super::failure::{Failure, UNSCORED};
use super::judging::{self, Asked};
use super::output::Output;
use super::settings::Settings;
use crate::checkpoint;
use crate::experiment::ExperimentError;
use crate::files;
use crate::judge::{
    Annotation, Annotator, Figures, Gamed, Glm, LengthControlled, OutputsFile, PositionBias,
    length_controlled, write_verdicts,
};
use crate::runs::Store;
use serde::Serialize;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// What stands for the file on a hub.
const HUB: &str = "hub";
/// Characters of what a judge said beside the point that are shown.
const MOST_WORDS: usize = 120;

/// What the verdicts on one model sum up to.
#[derive(Serialize)]
struct Judged<'a> {
    model: &'a str,
    reference: &'a str,
    annotator: &'a str,
    /// What kind of judge that is, where its figures need it said.
    notice: Option<String>,
    #[serde(flatten)]
    figures: Figures,
    /// Questions that a server would not answer.
    refused: usize,
    /// None where one order was asked.
    position_bias: Option<PositionBias>,
    /// None where there is too little to fit.
    length_controlled: Option<LengthControlled>,
    /// SHA-256 of `df_gamed.csv`, where that was given.
    gamed_sha256: Option<String>,
    /// US dollars that this command spent, where prices are known.
    cost: Option<f64>,
    /// Where the files are.
    results: Option<&'a Path>,
    /// Instructions without a verdict.
    unscored_instructions: Vec<&'a str>,
    /// What the judge said to the first of them.
    unscored_words: Option<&'a serde_json::Value>,
}

/// Verdicts, and where they came from.
struct Verdicts {
    rows: Vec<Annotation>,
    cost: Option<f64>,
    results: Option<PathBuf>,
    /// What the annotator's card says must stand beside its figures.
    notice: Option<String>,
}

pub(super) fn run(args: &Judge, settings: &Settings, output: &Output) -> Result<ExitCode, Failure> {
    // Fail before the expensive part.
    let gamed = args.gamed.as_deref().map(|path| difficulties(path, settings, output)).transpose()?;
    let verdicts = match &args.annotations {
        Some(path) => replay(args, path)?,
        None => ask(args, settings, output)?,
    };
    let Verdicts { rows, cost, results, notice } = verdicts;
    let judged: Vec<_> = rows.iter().map(Annotation::judged).collect();
    let figures = Figures::of(&judged);
    let glm = if gamed.is_some() { Glm::LengthControlledV1 } else { Glm::LengthControlledMinimal };
    let controlled = length_controlled(&judged, glm, gamed.as_ref())?;
    let model = rows.first().map_or("", |row| &row.generator_2);
    if let Some(folder) = &results {
        // Only the full model's figure may stand in a leaderboard's column.
        let full = controlled.as_ref().filter(|c| c.glm == Glm::LengthControlledV1);
        let full = full.map(|c| (c.length_controlled_winrate, c.lc_standard_error.unwrap_or(f64::NAN)));
        write_verdicts(folder, &rows, &figures, full)?;
    }
    let bias = judging::position_bias(&rows, output);
    let unscored =
        || rows.iter().zip(&judged).filter(|(_, judged)| judged.share().is_none()).map(|(row, _)| row);
    let summed = Judged {
        model,
        reference: rows.first().map_or("", |row| &row.generator_1),
        annotator: rows.first().map_or("", |row| &row.annotator),
        notice,
        refused: rows.iter().filter(|row| row.rest.contains_key("refused")).count(),
        position_bias: bias,
        length_controlled: controlled,
        gamed_sha256: gamed.map(|gamed| gamed.sha256),
        cost,
        results: results.as_deref(),
        unscored_instructions: unscored().map(|row| row.instruction.as_str()).collect(),
        unscored_words: unscored().map(|row| &row.raw_completion).find(|words| !words.is_null()),
        figures,
    };
    output.result(&if args.json { json(&summed) } else { table(&summed) });
    Ok(if summed.figures.unscored == 0 { ExitCode::SUCCESS } else { ExitCode::from(UNSCORED) })
}

/// alpaca_eval's difficulties and gamed baselines: a file, or `hub` for the published one.
fn difficulties(path: &Path, settings: &Settings, output: &Output) -> Result<Gamed, Failure> {
    if path != Path::new(HUB) {
        return Ok(Gamed::read(path)?);
    }
    let (dataset, revision, file) = Gamed::PUBLISHED;
    let found = checkpoint::data_file(dataset, revision, file, &settings.open(output));
    let found = found.map_err(|e| Failure::from(ExperimentError::from(e)))?;
    let gamed = Gamed::read(&found)?;
    output.note(&format!("{file} of {dataset}@{revision}: SHA-256 {}", gamed.sha256));
    Ok(gamed)
}

/// Old verdicts.
fn replay(args: &Judge, path: &Path) -> Result<Verdicts, Failure> {
    let mut rows = Annotation::read(path)?;
    rows.truncate(limit(args));
    if let Some(folder) = &args.results {
        files::check_writable(folder)?;
    }
    let notice = rows.first().and_then(|row| Annotator::notice_of(&row.annotator));
    Ok(Verdicts { rows, cost: None, results: args.results.clone(), notice })
}

fn limit(args: &Judge) -> usize {
    args.limit.map_or(usize::MAX, |n| usize::try_from(n).unwrap_or(usize::MAX))
}

/// New ones.
fn ask(args: &Judge, settings: &Settings, output: &Output) -> Result<Verdicts, Failure> {
    let (Some(outputs), Some(reference), Some(annotator)) = (&args.outputs, &args.reference, &args.annotator)
    else {
        return Err(Failure::request("--outputs, --reference and --annotator are needed, or --annotations"));
    };
    let (outputs, reference) = (OutputsFile::read(outputs)?, OutputsFile::read(reference)?);
    let mut pairs = outputs.against(&reference, args.partial)?;
    pairs.truncate(limit(args));
    let asked = Asked {
        annotator,
        checkpoint: args.checkpoint.as_ref(),
        model: args.model.as_deref(),
        model_flag: "--model",
        server: &args.server,
        order: args.order,
    };
    let judge = judging::Judge::open(&asked, settings, output)?;
    let folder = args
        .results
        .clone()
        .unwrap_or_else(|| judging::folder(&args.out, outputs.generator(), &judge.annotator));
    files::check_writable(&folder)?;
    let store = Store::open(&args.out).map_err(ExperimentError::Run)?;
    let replies = store.replies().map_err(ExperimentError::Run)?;
    let (rows, cost) = judge.judge(&pairs, replies, output)?;
    for (name, file) in [("model_outputs.json", &outputs), ("reference_outputs.json", &reference)] {
        files::write(&folder.join(name), file.text().as_bytes())?;
    }
    let notice = judge.annotator.notice().map(str::to_owned);
    Ok(Verdicts { rows, cost, results: Some(folder), notice })
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
                      needs --gamed hub, or --gamed FILE with its df_gamed.csv"
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
        if let Some(words) = judged.unscored_words {
            let said: String = words.to_string().chars().take(MOST_WORDS).collect();
            let _ = writeln!(text, "                    the judge said, for example: {said}");
        }
    }
    if let Some(cost) = judged.cost {
        let _ = writeln!(text, "spent               {cost:.4} US$");
    }
    if let Some(notice) = &judged.notice {
        let _ = writeln!(text, "about this judge    {notice}");
    }
    if let Some(folder) = judged.results {
        let _ = writeln!(text, "files               {}", folder.display());
    }
    text
}
