//! `m3 data list [BENCH…]`, `m3 data pull [BENCH…] --data DIR`

use super::args::{Data, DataCommand};
use super::failure::Failure;
use super::output::Output;
use super::settings::Settings;
use crate::bench::{Benchmark, DataFile, DataState, HubFile, Split};
use crate::checkpoint;
use crate::files;
use serde::Serialize;
use std::fmt::Write;
use std::path::Path;
use std::process::ExitCode;

/// One file, and what is known of it.
#[derive(Serialize)]
struct Row<'a> {
    benchmark: &'a str,
    split: Split,
    file: &'a str,
    /// `missing`, `right`, `unknown` or `wrong`; none where no folder was named.
    state: Option<&'static str>,
    sha256: Option<&'a str>,
    /// The file's SHA-256 where it is not the published one.
    found: Option<String>,
    /// Where it can be fetched.
    hub: Option<String>,
    source: &'a str,
    licence: &'a str,
}

pub(super) fn run(args: &Data, settings: &Settings, output: &Output) -> Result<ExitCode, Failure> {
    match &args.command {
        DataCommand::List { benchmarks, data, json } => {
            let benchmarks = opened(benchmarks)?;
            let rows = rows(&benchmarks, data.as_deref())?;
            output.result(&if *json { as_json(&rows) } else { list(&benchmarks, &rows, data.as_deref()) });
            Ok(ExitCode::SUCCESS)
        }
        DataCommand::Pull { benchmarks, data, json } => {
            pull(benchmarks, data, settings, output)?;
            let benchmarks = opened(benchmarks)?;
            let rows = rows(&benchmarks, Some(data))?;
            output.result(&if *json { as_json(&rows) } else { list(&benchmarks, &rows, Some(data)) });
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn opened(names: &[String]) -> Result<Vec<Benchmark>, Failure> {
    let known: Vec<String> = Benchmark::known().iter().map(|id| (*id).to_owned()).collect();
    let names = if names.is_empty() { &known } else { names };
    Ok(names.iter().map(|name| Benchmark::open(name)).collect::<Result<_, _>>()?)
}

fn rows<'a>(benchmarks: &'a [Benchmark], data: Option<&Path>) -> Result<Vec<Row<'a>>, Failure> {
    let mut rows = Vec::new();
    for (benchmark, file) in benchmarks.iter().flat_map(|b| b.card.dataset.files.iter().map(move |f| (b, f)))
    {
        let state = data.map(|folder| file.state(folder)).transpose()?;
        let (state, found) = match state {
            None => (None, None),
            Some(DataState::Missing) => (Some("missing"), None),
            Some(DataState::Right) => (Some("right"), None),
            Some(DataState::Unknown) => (Some("unknown"), None),
            Some(DataState::Wrong { found }) => (Some("wrong"), Some(found)),
        };
        rows.push(Row {
            benchmark: benchmark.id().as_str(),
            split: file.split,
            file: &file.name,
            state,
            sha256: file.sha256.as_deref(),
            found,
            hub: file.hub.as_ref().map(on_hub),
            source: &benchmark.card.source,
            licence: &benchmark.card.licence,
        });
    }
    Ok(rows)
}

fn on_hub(hub: &HubFile) -> String {
    format!("{}@{}/{}", hub.dataset, hub.revision, hub.file)
}

fn as_json(rows: &[Row<'_>]) -> String {
    format!("{}\n", serde_json::json!({ "files": rows }))
}

fn list(benchmarks: &[Benchmark], rows: &[Row<'_>], data: Option<&Path>) -> String {
    let mut text = String::new();
    for benchmark in benchmarks {
        let card = &benchmark.card;
        let _ = writeln!(text, "{}: {} ({})", card.id, card.source, card.licence);
        if let Some(set) = &card.dataset.embedded {
            let _ = writeln!(text, "  a small set of our own comes with the project: datasets/tiny/{set}");
        }
        for row in rows.iter().filter(|row| row.benchmark == card.id.as_str()) {
            let state = match row.state {
                None => String::new(),
                Some("right") => "there, with the published checksum".to_owned(),
                Some("unknown") => "there; no checksum to hold it against".to_owned(),
                Some("wrong") => {
                    let found = row.found.as_deref().unwrap_or_default();
                    format!("WRONG: its SHA-256 is {found}, not {}", row.sha256.unwrap_or_default())
                }
                Some(_) => "not there".to_owned(),
            };
            let hub = row.hub.as_deref().map(|hub| format!("on a hub: {hub}")).unwrap_or_default();
            let about: Vec<&str> =
                [state.as_str(), &hub].into_iter().filter(|part| !part.is_empty()).collect();
            let line = format!("  {:<10} {:<34} {}", row.split.name(), row.file, about.join("; "));
            let _ = writeln!(text, "{}", line.trim_end());
        }
        if Split::ALL.iter().any(|split| card.dataset.copies(*split).len() > 1) {
            let _ = writeln!(text, "  one copy of each split is enough: the first that is there is read");
        }
    }
    if data.is_none() {
        let _ = writeln!(text, "\nwith --data DIR: what is there");
    }
    text
}

/// Fetches what is missing. Each file is checked before it is put in place.
fn pull(names: &[String], data: &Path, settings: &Settings, output: &Output) -> Result<(), Failure> {
    let benchmarks = opened(names)?;
    for benchmark in &benchmarks {
        let card = &benchmark.card;
        let can_be_fetched = card.dataset.files.iter().any(|file| file.hub.is_some());
        if !can_be_fetched && !names.is_empty() {
            return Err(Failure::request(format!(
                "{}: no file of its data is known to be on a hub; it is {} ({}). Put it into a folder by other means, and \
                 name that with --data",
                card.id, card.source, card.licence
            )));
        }
    }
    files::check_writable(data)?;
    for benchmark in &benchmarks {
        for file in wanted(benchmark, data)? {
            let Some(hub) = &file.hub else { continue };
            output.note(&format!("{}: fetching {}", benchmark.id(), on_hub(hub)));
            let found = checkpoint::data_file(&hub.dataset, &hub.revision, &hub.file, &settings.open(output));
            let found = found.map_err(|e| {
                output.note(&format!(
                    "what cannot be fetched can be put into `{}` by other means, here as {}",
                    data.display(),
                    file.name
                ));
                Failure::from(crate::experiment::ExperimentError::from(e))
            })?;
            let bytes = files::read(&found)?;
            benchmark.accept(file, &bytes)?;
            files::write(&data.join(&file.name), &bytes)?;
        }
    }
    Ok(())
}

/// The files on a hub that `data` lacks: for each split of which no copy is there, those of the first that can be fetched.
fn wanted<'b>(benchmark: &'b Benchmark, data: &Path) -> Result<Vec<&'b DataFile>, Failure> {
    let mut wanted = Vec::new();
    for split in Split::ALL {
        let mut lacks: Vec<Vec<&DataFile>> = Vec::new();
        for copy in benchmark.card.dataset.copies(split) {
            let mut missing = Vec::new();
            for file in copy {
                match file.state(data)? {
                    DataState::Missing => missing.push(file),
                    DataState::Right | DataState::Unknown => {}
                    // Never overwritten: somebody may want it.
                    DataState::Wrong { .. } => {
                        benchmark.accept(file, &files::read(&data.join(&file.name))?)?;
                    }
                }
            }
            lacks.push(missing);
        }
        if lacks.iter().all(|missing| !missing.is_empty()) {
            let fetched = lacks.into_iter().find(|missing| missing.iter().all(|file| file.hub.is_some()));
            wanted.extend(fetched.into_iter().flatten());
        }
    }
    Ok(wanted)
}
