//! **What did the person ask for?**
//!
//! - `args`: the flags, as typed
//! - `settings`: what they mean here: folders found, environment read, defaults filled in
//! - `output`: the only place that prints; results on stdout, progress and warnings on stderr
//! - `failure`: which exit code an error has, and how it is told
//! - one file for each command: `reproduce`, `eval`, `search`, `attack`, `score`, `judge`, `compare`, `runs`, `bench`, `data`,
//!   `merge`, `inspect`, `generate`, `doctor`
//! - `judging`: who judges, as the flags of `judge` and `eval` say
//! - `flags`: the recipe that the flags of `merge` say
//! - `forecast`: what `inspect` says of a recipe

mod args;
mod attack;
mod bench;
mod compare;
mod data;
mod doctor;
mod eval;
mod failure;
mod flags;
mod forecast;
mod generate;
mod inspect;
mod judge;
mod judging;
mod merge;
mod output;
mod reproduce;
mod runs;
mod score;
mod search;
mod settings;

use args::{Args, Command};
use clap::Parser;
use output::Output;
use settings::Settings;
use std::ffi::OsString;
use std::process::ExitCode;

/// Parses a command line, does what it asks, reports how that went.
pub fn run(command_line: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args = match Args::try_parse_from(command_line) {
        Ok(args) => args,
        Err(e) => return failure::usage(&e),
    };
    let output = Output::new(args.quiet);
    let done = Settings::resolve(&args).and_then(|settings| match &args.command {
        Command::Reproduce(a) => reproduce::run(a, &settings, &output),
        Command::Eval(a) => eval::run(a, &settings, &output),
        Command::Search(a) => search::run(a, &settings, &output),
        Command::Attack(a) => attack::run(a, &settings, &output),
        Command::Score(a) => score::run(a, &settings, &output),
        Command::Judge(a) => judge::run(a, &settings, &output),
        Command::Compare(a) => compare::run(a, &settings, &output),
        Command::Runs(a) => runs::run(a, &output),
        Command::Bench(a) => bench::run(a, &settings, &output),
        Command::Data(a) => data::run(a, &settings, &output),
        Command::Merge(a) => merge::run(a, &settings, &output),
        Command::Inspect(a) => inspect::run(a, &settings, &output),
        Command::Generate(a) => generate::run(a, &settings, &output),
        Command::Doctor(a) => Ok(doctor::run(a, &settings, &output)),
    });
    match done {
        Ok(code) => code,
        Err(failure) => failure.report(&output),
    }
}
