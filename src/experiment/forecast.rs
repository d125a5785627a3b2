//! What a table will take: which models and data it needs, what is done for each row, and about how long that is. Nothing is
//! loaded, fetched or written.

use super::table1::{Job, benchmarks, judged};
use super::{Cost, ExperimentError, Holdout, Manifest, lab, table1, table7};
use crate::bench::{BenchError, Benchmark, DataFile, Split};
use crate::checkpoint::{HubOptions, OpenOptions, model_folder};
use crate::event::Observer;
use crate::ids::BenchmarkId;
use crate::report::PublishedRow;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Write;

/// A model of the suite.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ModelNeed {
    /// Its name in the suite.
    pub name: String,
    /// Where it is.
    pub reference: String,
    /// Whether it is on this machine; if not, it is fetched when the table is made.
    pub here: bool,
}

/// A benchmark of the table.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DataNeed {
    /// Which one.
    pub benchmark: BenchmarkId,
    /// Its scored items: of its files where they are here, else as its card says.
    pub test: usize,
    /// The items that λ is chosen on; 0 where it is not among the skills.
    pub validation: usize,
    /// Whether its data is on this machine.
    pub here: bool,
    /// What to do about missing data.
    pub missing: Option<String>,
}

/// A row of the table.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RowPlan {
    /// Its name.
    pub row: &'static str,
    /// Points that are measured to choose λ; 0 without M³.
    pub candidates: usize,
    /// Items that are looked at, at most.
    pub items: usize,
}

/// What a table will take.
#[derive(Clone, Debug, Serialize)]
pub struct Forecast {
    /// Which table.
    pub table: &'static str,
    /// Which suite.
    pub suite: String,
    /// The line on top of it.
    pub notice: String,
    /// The models.
    pub models: Vec<ModelNeed>,
    /// The benchmarks.
    pub data: Vec<DataNeed>,
    /// What part of the test splits λ is chosen on, where it is one.
    pub holdout: Option<Holdout>,
    /// The rows.
    pub rows: Vec<RowPlan>,
    /// Items of all rows, at most: what two rows have in common is asked once, and a race may end earlier.
    pub items: usize,
    /// What the suite reckons with.
    pub cost: Option<Cost>,
    /// Bytes to fetch.
    pub download: Option<f64>,
    /// Tokens that are computed, prompts and answers.
    pub tokens: Option<f64>,
    /// Hours of computing: two operations for a token and a parameter.
    pub hours: Option<f64>,
}

/// Says what Table 1 or Table 7 will take.
pub fn forecast(
    table: &'static str,
    manifest: &Manifest,
    hub: &HubOptions,
    watch: &dyn Observer,
) -> Result<Forecast, ExperimentError> {
    let jobs = if table == "table7" { table7::jobs() } else { table1::jobs() };
    let offline = OpenOptions { hub: HubOptions { offline: true, ..hub.clone() }, digests: None, watch };
    let mut models = Vec::new();
    for name in ["base", "lm", "math", "code"] {
        let reference = manifest.model(name, table)?.parse()?;
        let here = model_folder(&reference, &offline).is_ok();
        models.push(ModelNeed { name: name.to_owned(), reference: reference.to_string(), here });
    }
    let mut data = Vec::new();
    let mut counts = BTreeMap::new();
    let judged = jobs.iter().find_map(|(published, _)| judged(manifest, published));
    for id in benchmarks(manifest).into_iter().chain(judged) {
        let chosen_on = manifest.skills.values().flatten().any(|skill| *skill == id);
        let need = data_need(&id, chosen_on, manifest)?;
        counts.insert((id.clone(), Split::Test), need.test);
        counts.insert((id.clone(), Split::Validation), need.validation);
        data.push(need);
    }
    let count = |id: &BenchmarkId, split| counts.get(&(id.clone(), split)).copied().unwrap_or(0);
    let row = |(published, job): &(PublishedRow, Job)| {
        let candidates = match job {
            Job::Search(pairing) => {
                let given = pairing.candidates(manifest, table)?.len();
                manifest.strategy.trials().unwrap_or(given)
            }
            Job::Alone(_) | Job::Baseline(_) => 0,
        };
        Ok::<_, ExperimentError>(RowPlan {
            row: published.id,
            candidates,
            items: job.looks(published, manifest, table, &count)?,
        })
    };
    let rows = jobs.iter().map(row).collect::<Result<Vec<_>, _>>()?;
    let items: usize = rows.iter().map(|row| row.items).sum();
    let fetched = models.iter().filter(|model| !model.here).count() as f64;
    let cost = manifest.cost;
    let tokens = cost.map(|cost| items as f64 * cost.tokens);
    Ok(Forecast {
        table,
        suite: manifest.name.clone(),
        notice: manifest.notice.clone(),
        models,
        data,
        holdout: manifest.holdout,
        rows,
        items,
        cost,
        download: cost.map(|cost| fetched * cost.parameters * cost.bytes),
        tokens,
        hours: cost.zip(tokens).map(|(cost, tokens)| 2.0 * cost.parameters * tokens / cost.flops / 3600.0),
    })
}

fn data_need(id: &BenchmarkId, chosen_on: bool, manifest: &Manifest) -> Result<DataNeed, ExperimentError> {
    let (benchmark, source) = (Benchmark::load(id)?, manifest.source());
    let items = |split| lab::items(&benchmark, &source, manifest.holdout, manifest.limit, split);
    let (test, here, missing) = match items(Split::Test) {
        Ok(found) => (found.len(), true, None),
        Err(ExperimentError::Bench(e @ BenchError::MissingData { .. })) => {
            let copies = benchmark.card.dataset.copies(Split::Test);
            let rows = |copy: &Vec<&DataFile>| copy.iter().filter_map(|file| file.rows).sum::<usize>();
            let all = copies.iter().map(rows).max().unwrap_or(0);
            let held = manifest.holdout.map_or(0.0, |holdout| holdout.share.get());
            let test = (all as f64 * (1.0 - held)).round() as usize;
            (test.min(manifest.limit.unwrap_or(usize::MAX)), false, Some(e.to_string()))
        }
        Err(e) => return Err(e),
    };
    let validation = match (chosen_on, here, manifest.holdout) {
        (false, ..) => 0,
        (true, true, _) => items(Split::Validation)?.len(),
        (true, false, holdout) => {
            let held = holdout.map_or(0.0, |holdout| holdout.share.get());
            (test as f64 * held / (1.0 - held)).round() as usize
        }
    };
    Ok(DataNeed { benchmark: id.clone(), test, validation, here, missing })
}

impl Forecast {
    /// The forecast for people.
    pub fn text(&self) -> String {
        let mut text = format!("{} of the suite {}\n> {}\n\nModels\n", self.table, self.suite, self.notice);
        for model in &self.models {
            let here = if model.here { "here" } else { "to be fetched" };
            let _ = writeln!(text, "  {:<6} {:<56} {here}", model.name, model.reference);
        }
        let _ = writeln!(text, "\nData\n  {:<14} {:>6} {:>11}", "benchmark", "test", "validation");
        for need in &self.data {
            let here = if need.here { "here" } else { "missing" };
            let (test, validation) = (need.test, need.validation);
            let _ = writeln!(text, "  {:<14} {test:>6} {validation:>11}  {here}", need.benchmark.as_str());
        }
        for missing in self.data.iter().filter_map(|need| need.missing.as_ref()) {
            let _ = writeln!(text, "  {missing}");
        }
        if let Some(holdout) = &self.holdout {
            let share = 100.0 * holdout.share.get();
            let _ = writeln!(
                text,
                "  {share} % of each test split are held out to choose λ on (seed {}); the table is on the rest",
                holdout.seed
            );
        }
        let _ = writeln!(text, "\nRows\n  {:<34} {:>10} {:>14}", "row", "candidates", "items at most");
        for row in &self.rows {
            let _ = writeln!(text, "  {:<34} {:>10} {:>14}", row.row, row.candidates, row.items);
        }
        let _ = writeln!(text, "  {:<34} {:>10} {:>14}", "all", "", self.items);
        let _ = writeln!(
            text,
            "  What two rows have in common is asked once, and a race may end earlier. No merge is written to disk."
        );
        if let (Some(cost), Some(download), Some(tokens), Some(hours)) =
            (self.cost, self.download, self.tokens, self.hours)
        {
            let _ = writeln!(
                text,
                "\nCost, as the suite reckons\n  to fetch    {:.1} GB: {:.1} billion parameters in each missing model, {} bytes a parameter\n  \
                 to compute  {:.2} billion tokens at most, {} for a prompt with its answer\n  time        {hours:.0} hours at {:.0} \
                 Tflop/s, two operations for a token and a parameter",
                download / 1e9,
                cost.parameters / 1e9,
                cost.bytes,
                tokens / 1e9,
                cost.tokens,
                cost.flops / 1e12
            );
        }
        text.push_str("\nNothing was loaded, fetched or written: this was a dry run.\n");
        text
    }
}
