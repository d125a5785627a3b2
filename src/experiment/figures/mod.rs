//! The jobs of the paper's figures 2 to 5, and of a landscape over λ and s.
//!
//! - `three`: merges of all three models by the p-series (Figures 2, 3 and 4)
//! - `ood`: pairs on what they were not fine-tuned for (Figure 5)
//! - `landscape`: a pair over λ × s

mod landscape;
mod ood;
mod three;

use super::pairing::Family;
use super::progress::Whole;
use super::table1::Bench;
use super::{ExperimentError, Lab, LabSettings, Manifest};
use crate::bench::Split;
use crate::checkpoint::OpenOptions;
use crate::evaluate::Evaluation;
use crate::event::{Event, Observer};
use crate::ids::BenchmarkId;
use crate::report::{Amount, Chart, Column, Entry, Heading};
use crate::statistics::{Estimate, paired_difference};
use std::collections::BTreeMap;
use std::time::Instant;

/// A figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FigureName {
    /// Three models: the fixed direction and M³.
    Figure2,
    /// Three models: the order of dominance.
    Figure3,
    /// Three models: shares over p, and (p, s) against plain averaging.
    Figure4,
    /// Pairs outside what they were fine-tuned for.
    Figure5,
    /// A pair over λ × s, with the candidates of the search on it. No figure of the paper.
    Landscape,
}

impl FigureName {
    /// Its name and that of its files.
    pub const fn id(self) -> &'static str {
        match self {
            Self::Figure2 => "figure2",
            Self::Figure3 => "figure3",
            Self::Figure4 => "figure4",
            Self::Figure5 => "figure5",
            Self::Landscape => "landscape",
        }
    }
}

/// Reproduces a figure. `settings` say where runs are kept, who answers and how programs are confined; `options` how models are
/// looked for.
pub fn figure(
    name: FigureName,
    manifest: &Manifest,
    settings: LabSettings,
    options: &OpenOptions<'_>,
    watch: &dyn Observer,
) -> Result<Chart, ExperimentError> {
    // Everything that can be wrong is found before the first model runs.
    let family = Family::open(manifest, &["base", "lm", "math", "code"], name.id(), options)?;
    let skills = || manifest.skills.values().flatten();
    let outside = || manifest.ood.values().flatten().filter(|_| name == FigureName::Figure5);
    let mut ids: Vec<BenchmarkId> = skills().chain(outside()).cloned().collect();
    ids.sort();
    ids.dedup();
    let whole = Whole::new(watch);
    let lab = Lab::open(settings, &ids, &whole)?;
    let mut items = BTreeMap::new();
    for id in &ids {
        items.insert((id.clone(), Split::Test), lab.items(id, Split::Test)?);
    }
    for id in skills() {
        items.insert((id.clone(), Split::Validation), lab.items(id, Split::Validation)?);
    }
    let bench = Bench { family, lab: &lab, items, referee: None };
    let begun = Instant::now();
    let work = |total: f64| {
        let total = Some(total.ceil() as u64);
        watch.observe(&Event::Started { work: name.id(), total, unit: "items" });
    };
    let figure = match name {
        FigureName::Figure2 | FigureName::Figure3 | FigureName::Figure4 => {
            three::Three::new(&bench, name)?.figure(&work)?
        }
        FigureName::Figure5 => ood::figure(&bench, &work)?,
        FigureName::Landscape => landscape::figure(&bench, &work)?,
    };
    watch.observe(&Event::Finished { took: begun.elapsed() });
    Ok(figure)
}

/// How many items a split of a benchmark has.
fn count(bench: &Bench<'_>, id: &BenchmarkId, split: Split) -> usize {
    bench.items.get(&(id.clone(), split)).map_or(0, Vec::len)
}

/// A benchmark's column: the paper's heading where it has one.
fn heading(id: &BenchmarkId) -> Heading {
    let column = Column::ALL.into_iter().find(|c| c.id() == id.as_str());
    Heading::new(id.as_str(), column.map_or(id.as_str(), |c| c.title()))
}

/// What an evaluation found, in per cent.
fn entry(evaluation: &Evaluation, published: Option<f64>) -> Entry {
    let s = &evaluation.summary;
    let percent = |(low, high): (f64, f64)| (100.0 * low, 100.0 * high);
    let ours = s.mean.map(|mean| Amount {
        invalid: s.invalid,
        unscored: s.unscored,
        run: Some(evaluation.run.clone()),
        ..Amount::score(100.0 * mean, s.ci95.map(percent), s.n)
    });
    Entry { ours, published, mark: None }
}

/// What the first is ahead of the second on the same items, in points.
fn gain(first: &Evaluation, second: &Evaluation, published: Option<f64>) -> Entry {
    let (a, b) = (first.values(), second.values());
    let Estimate { value, half_width, n } = paired_difference(&[(1.0, &a, &b)]);
    let ci95 = (100.0 * (value - half_width), 100.0 * (value + half_width));
    Entry { ours: Some(Amount::difference(100.0 * value, ci95, n)), published, mark: None }
}
