//! `m3 reproduce TABLE`

use super::args::{Reproduce, TableName};
use super::attack::masked_lm;
use super::failure::{Failure, UNSCORED};
use super::output::Output;
use super::settings::{self, Settings};
use crate::attack::Resources;
use crate::bench::DataSource;
use crate::experiment::{self, Manifest};
use crate::files;
use crate::report::{TABLE2, TABLE5, TABLE6, Table, export};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

pub(super) fn run(args: &Reproduce, settings: &Settings, output: &Output) -> Result<ExitCode, Failure> {
    let manifest = Manifest::read(&suite(&args.suite, settings)?)?;
    let data = DataSource::Embedded(manifest.data.clone());
    settings::engine(args.running.engine)?;
    let lab = settings.lab(&args.running, data, manifest.limit)?;
    let attacked = match args.table {
        TableName::Table1 => None,
        TableName::Table2 => Some(TABLE2),
        TableName::Table5 => Some(TABLE5),
        TableName::Table6 => Some(TABLE6),
    };
    if let Some(published) = attacked {
        let mut resources = Resources::default();
        if args.table == TableName::Table6 {
            resources.masked = Some(masked_lm(args.masked_lm.as_ref(), settings, output)?);
        }
        let open = settings.open(output);
        let table = experiment::attack_table(&published, &manifest, lab, &open, &resources, output)?;
        let (markdown, json) = (table.markdown(), table.json());
        for (ending, text) in [("md", &markdown), ("json", &json)] {
            files::write(&args.running.out.join(format!("{}.{ending}", table.table)), text.as_bytes())?;
        }
        output.result(if args.running.json { &json } else { &markdown });
        return Ok(ExitCode::SUCCESS);
    }
    let table = experiment::table1(&manifest, lab, &settings.open(output), output)?;
    let formats =
        [("md", export::markdown(&table)), ("csv", export::csv(&table)), ("json", export::json(&table))];
    for (ending, text) in &formats {
        files::write(&args.running.out.join(format!("{}.{ending}", table.name)), text.as_bytes())?;
    }
    let [(_, markdown), _, (_, json)] = &formats;
    output.result(if args.running.json { json } else { markdown });
    let out = args.running.out.display();
    output.note(&format!("also in {out}: {name}.md, {name}.csv, {name}.json", name = table.name));
    Ok(if unscored(&table) == 0 { ExitCode::SUCCESS } else { ExitCode::from(UNSCORED) })
}

fn unscored(table: &Table) -> usize {
    table.rows.iter().flat_map(|r| &r.cells).filter_map(|c| c.ours.as_ref()).map(|m| m.unscored).sum()
}

/// A suite's file: a path if it is one, else a name in experiments/.
fn suite(name: &str, settings: &Settings) -> Result<PathBuf, Failure> {
    if files::is_file(Path::new(name)) {
        return Ok(name.into());
    }
    let folder = settings.home()?.join("experiments");
    let path = folder.join(format!("{name}.toml"));
    if files::is_file(&path) {
        return Ok(path);
    }
    let known: Vec<String> = files::list(&folder)?
        .iter()
        .filter(|p| p.extension().is_some_and(|e| e == "toml"))
        .filter_map(|p| p.file_stem().map(|s| s.to_string_lossy().into_owned()))
        .collect();
    Err(Failure::request(format!("there is no suite `{name}`; known: {}", known.join(", "))))
}
