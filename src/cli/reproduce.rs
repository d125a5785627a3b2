//! `m3 reproduce TABLE|FIGURE|all`

use super::args::{Reproduce, TableName};
use super::attack::masked_lm;
use super::failure::{Failure, UNSCORED};
use super::output::Output;
use super::settings::{self, Settings};
use crate::attack::Resources;
use crate::experiment::{self, FigureName, LabSettings, Manifest};
use crate::files;
use crate::ids::RunId;
use crate::report::{
    Chart, PublishedAttacks, Section, Sheet, TABLE2, TABLE5, TABLE6, Theme, export, page, png,
};
use serde_json::json;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// What `all` makes, in this order.
const ALL: [TableName; 10] = [
    TableName::Table1,
    TableName::Table2,
    TableName::Table5,
    TableName::Table6,
    TableName::Table7,
    TableName::Figure2,
    TableName::Figure3,
    TableName::Figure4,
    TableName::Figure5,
    TableName::Landscape,
];

pub(super) fn run(args: &Reproduce, settings: &Settings, output: &Output) -> Result<ExitCode, Failure> {
    settings::engine(args.running.engine, args.running.device.device)?;
    let manifest = Manifest::read(&suite(&args.suite, settings)?)?;
    if args.dry_run {
        return dry_run(args, &manifest, settings, output);
    }
    let maker = Maker { args, settings, output, manifest };
    let unscored = if args.tables.contains(&TableName::All) {
        maker.all()?
    } else {
        args.tables.iter().map(|name| maker.one(*name)).sum::<Result<usize, Failure>>()?
    };
    Ok(if unscored == 0 { ExitCode::SUCCESS } else { ExitCode::from(UNSCORED) })
}

/// A table, or a figure with its numbers.
enum Made {
    Table(Sheet),
    Figure(Box<Chart>),
}

impl Made {
    fn sheet(&self) -> &Sheet {
        match self {
            Self::Table(sheet) => sheet,
            Self::Figure(figure) => &figure.sheet,
        }
    }

    /// Writes it in every format. Returns the files.
    fn write(&self, folder: &Path) -> Result<Vec<PathBuf>, Failure> {
        let sheet = self.sheet();
        let mut formats: Vec<(&str, Vec<u8>)> = Vec::new();
        if let Self::Figure(figure) = self {
            formats.push(("svg", figure.svg.markup(Theme::Screen).into_bytes()));
            formats.push(("png", png(figure)?));
        }
        formats.extend([
            ("md", export::markdown(sheet).into_bytes()),
            ("csv", export::csv(sheet).into_bytes()),
            ("tex", export::latex(sheet).into_bytes()),
            ("json", export::json(sheet).into_bytes()),
        ]);
        let mut written = Vec::new();
        for (ending, bytes) in formats {
            let path = folder.join(format!("{}.{ending}", sheet.name));
            files::write(&path, &bytes)?;
            written.push(path);
        }
        Ok(written)
    }
}

/// Makes tables and figures, one after the other.
struct Maker<'a> {
    args: &'a Reproduce,
    settings: &'a Settings,
    output: &'a Output,
    manifest: Manifest,
}

impl Maker<'_> {
    /// Makes, writes and prints one. Returns how many items have no verdict.
    fn one(&self, name: TableName) -> Result<usize, Failure> {
        let made = self.make(name)?;
        let files = made.write(&self.args.running.out)?;
        let sheet = made.sheet();
        self.output.result(&if self.args.running.json {
            export::json(sheet)
        } else {
            export::terminal(sheet)
        });
        let names: Vec<_> = files.iter().filter_map(|f| f.file_name()).map(|f| f.to_string_lossy()).collect();
        self.output.note(&format!("also in {}: {}", self.args.running.out.display(), names.join(", ")));
        Ok(sheet.unscored())
    }

    /// Makes all that the suite has what for, prints each as it is there, and the list of files at the end.
    fn all(&self) -> Result<usize, Failure> {
        let mut all: Vec<Made> = Vec::new();
        let mut written = Vec::new();
        for name in ALL {
            let made = self.make(name)?;
            written.extend(made.write(&self.args.running.out)?);
            if !self.args.running.json {
                self.output.result(&format!("{}\n", export::terminal(made.sheet())));
            }
            all.push(made);
        }
        written.push(self.page(&all)?);
        let unscored = all.iter().map(|made| made.sheet().unscored()).sum();
        let names: Vec<String> = written.iter().map(|path| path.display().to_string()).collect();
        if self.args.running.json {
            let text = json!({ "suite": self.manifest.name, "unscored": unscored, "files": names });
            self.output.result(&format!("{text:#}\n"));
        } else {
            self.output.result(&format!("Files:\n{}\n", names.join("\n")));
        }
        Ok(unscored)
    }

    /// Writes the page with everything that was made. Returns its path.
    fn page(&self, all: &[Made]) -> Result<PathBuf, Failure> {
        let sections: Vec<Section<'_>> = all
            .iter()
            .map(|made| match made {
                Made::Table(sheet) => Section { sheet, svg: None },
                Made::Figure(figure) => Section { sheet: &figure.sheet, svg: Some(&figure.svg) },
            })
            .collect();
        let mut runs: Vec<RunId> = all.iter().flat_map(|made| made.sheet().runs()).collect();
        let mut known = BTreeSet::new();
        runs.retain(|run| known.insert(run.clone()));
        let data = self.manifest.source();
        let details =
            experiment::details(&self.args.running.out, &runs, &data, self.manifest.annotator().as_deref())?;
        let path = self.args.running.out.join("report.html");
        let title = format!("Mixup Model Merge, suite {}", self.manifest.name);
        files::write(&path, page(&title, &sections, &details).as_bytes())?;
        Ok(path)
    }

    fn make(&self, name: TableName) -> Result<Made, Failure> {
        match name {
            TableName::Table1 | TableName::All => {
                let open = self.settings.open(self.output);
                let table = experiment::table1(&self.manifest, self.lab()?, &open, self.output)?;
                Ok(Made::Table(table.sheet()))
            }
            TableName::Table2 => self.attacks(&TABLE2),
            TableName::Table5 => self.attacks(&TABLE5),
            TableName::Table6 => self.attacks(&TABLE6),
            TableName::Table7 => {
                let open = self.settings.open(self.output);
                let table = experiment::table7(&self.manifest, self.lab()?, &open, self.output)?;
                Ok(Made::Table(table.sheet()))
            }
            TableName::Figure2 => self.figure(FigureName::Figure2),
            TableName::Figure3 => self.figure(FigureName::Figure3),
            TableName::Figure4 => self.figure(FigureName::Figure4),
            TableName::Figure5 => self.figure(FigureName::Figure5),
            TableName::Landscape => self.figure(FigureName::Landscape),
        }
    }

    fn figure(&self, name: FigureName) -> Result<Made, Failure> {
        let open = self.settings.open(self.output);
        let figure = experiment::figure(name, &self.manifest, self.lab()?, &open, self.output)?;
        Ok(Made::Figure(Box::new(figure)))
    }

    fn attacks(&self, published: &PublishedAttacks) -> Result<Made, Failure> {
        let open = self.settings.open(self.output);
        let mut resources = Resources::default();
        if *published == TABLE6 {
            resources.masked = Some(masked_lm(self.args.masked_lm.as_ref(), self.settings, self.output)?);
        }
        let (manifest, lab) = (&self.manifest, self.lab()?);
        let table = experiment::attack_table(published, manifest, lab, &open, &resources, self.output)?;
        Ok(Made::Table(table.sheet()))
    }

    fn lab(&self) -> Result<LabSettings, Failure> {
        let manifest = &self.manifest;
        let lab = self.settings.lab(&self.args.running, manifest.source(), manifest.limit)?;
        Ok(LabSettings { holdout: manifest.holdout, ..lab })
    }
}

/// Says what a table will take.
fn dry_run(
    args: &Reproduce,
    manifest: &Manifest,
    settings: &Settings,
    output: &Output,
) -> Result<ExitCode, Failure> {
    let tables = args.tables.iter().map(|table| match table {
        TableName::Table1 => Ok("table1"),
        TableName::Table7 => Ok("table7"),
        _ => Err(Failure::request("--dry-run knows table1 and table7 only")),
    });
    for table in tables.collect::<Result<Vec<_>, _>>()? {
        let forecast = experiment::forecast(table, manifest, settings.hub(), output)?;
        output.result(&if args.running.json {
            format!("{:#}\n", serde_json::json!(forecast))
        } else {
            forecast.text()
        });
    }
    Ok(ExitCode::SUCCESS)
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
