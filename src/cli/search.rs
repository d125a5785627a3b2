//! `m3 search FILE`

use super::args::Search;
use super::failure::{Failure, UNSCORED};
use super::output::Output;
use super::settings::{self, Settings};
use crate::experiment::{self, Quest};
use crate::files;
use std::process::ExitCode;

pub(super) fn run(args: &Search, settings: &Settings, output: &Output) -> Result<ExitCode, Failure> {
    settings::engine(args.running.engine, args.running.device.device)?;
    let quest = Quest::read(&args.file)?;
    let lab = settings.lab(&args.running, settings.data(args.data.as_deref())?, quest.limit)?;
    let (found, recipe) = experiment::search(&quest, lab, &settings.open(output), output)?;
    let (text, json) = (found.text(), found.json());
    for (name, text) in [("search.md", &text), ("search.json", &json), ("winner.toml", &recipe.to_toml())] {
        files::write(&args.running.out.join(name), text.as_bytes())?;
    }
    output.result(if args.running.json { &json } else { &text });
    output.note(&format!(
        "also in {out}: search.md, search.json, and winner.toml, which m3 merge and m3 eval take",
        out = args.running.out.display()
    ));
    Ok(if found.unscored == 0 { ExitCode::SUCCESS } else { ExitCode::from(UNSCORED) })
}
