//! The jobs of Table 1: single models, and pairs by task arithmetic, TIES and DARE without and with M³, λ chosen on the
//! validation split and reported on the test split.

use super::pairing::{Family, Pairing};
use super::progress::Whole;
use super::{ExperimentError, Lab, Manifest, Model};
use crate::bench::{Item, Split};
use crate::checkpoint::OpenOptions;
use crate::evaluate::{Evaluation, Subject};
use crate::event::{Event, Observer};
use crate::ids::BenchmarkId;
use crate::report::{
    Cell, Column, Difference, Measured, Method, PublishedRow, Row, Selection, TABLE1, TABLE1_NOTES, Table,
};
use crate::search::{Campaign, Candidate, Objective, ObjectiveError, Scores};
use crate::statistics::{mean_of, paired_difference};
use std::collections::BTreeMap;
use std::time::Instant;

const TABLE: &str = "table1";

/// Benchmarks of the table's columns that can be measured.
fn columns() -> impl Iterator<Item = (Column, BenchmarkId)> {
    Column::ALL.into_iter().filter(|c| *c != Column::AlpacaEval).map(|c| (c, c.id().into()))
}

/// Every benchmark that the table needs: its columns, and the skills that choose λ.
pub(super) fn benchmarks(manifest: &Manifest) -> Vec<BenchmarkId> {
    let mut all: Vec<BenchmarkId> = columns().map(|(_, id)| id).collect();
    all.extend(manifest.skills.values().flatten().cloned());
    all.sort();
    all.dedup();
    all
}

/// Reproduces Table 1. `settings` say where runs are kept, who answers and how programs are confined; `options` how models
/// are looked for.
pub fn table1(
    manifest: &Manifest,
    settings: super::LabSettings,
    options: &OpenOptions<'_>,
    watch: &dyn Observer,
) -> Result<Table, ExperimentError> {
    // Everything that can be wrong is found before the first model runs.
    let family = Family::open(manifest, &["base", "lm", "math", "code"], TABLE, options)?;
    let ids = benchmarks(manifest);
    let whole = Whole::new(watch);
    let lab = Lab::open(settings, &ids, &whole)?;
    let mut items = BTreeMap::new();
    for id in &ids {
        items.insert((id.clone(), Split::Test), lab.items(id, Split::Test)?);
    }
    for id in manifest.skills.values().flatten() {
        items.insert((id.clone(), Split::Validation), lab.items(id, Split::Validation)?);
    }
    let bench = Bench { family, lab: &lab, items };
    let begun = Instant::now();
    let total = bench.looks()?;
    watch.observe(&Event::Started { work: TABLE, total: Some(total as u64), unit: "items" });

    let mut rows = Vec::new();
    let mut selection = Vec::new();
    let mut baselines = BTreeMap::new();
    for published in &TABLE1 {
        let (row, _) = match Bench::job(published) {
            Job::Alone(name) => {
                bench.test(&Model::checkpoint(bench.family.model(name)), published, None, None)?
            }
            Job::Baseline(pairing) => {
                let (recipe, s) = pairing.baseline(&bench.family)?;
                let tested = bench.test(
                    &pairing.model(&bench.family, &recipe, &whole)?,
                    published,
                    Some(0.5),
                    Some(s),
                )?;
                baselines.insert((pairing.method, pairing.pair), tested.1.clone());
                tested
            }
            Job::Search(pairing) => {
                let campaign = bench.search(pairing)?;
                let best = campaign.best();
                let model = bench.merged(pairing, &best.candidate)?;
                let lambda = best.candidate.direction.weights()[0];
                let tested = bench.test(&model, published, Some(lambda), Some(best.candidate.scale.get()))?;
                let note = format!(
                    "{}, {}: λ = {lambda:.3} of {} candidates, {:.1} % on validation",
                    pairing.method.title(),
                    published.models,
                    campaign.measured.len(),
                    100.0 * best.fitness.value
                );
                watch.observe(&Event::Note { text: &note });
                let baseline = baselines.get(&(pairing.method, pairing.pair));
                selection.push(bench.selection(pairing, published, &campaign, &tested.1, baseline)?);
                tested
            }
        };
        rows.push(row);
    }
    watch.observe(&Event::Finished { took: begun.elapsed() });
    Ok(Table {
        name: TABLE,
        suite: manifest.name.clone(),
        notice: manifest.notice.clone(),
        rows,
        selection,
        footnotes: TABLE1_NOTES.to_vec(),
    })
}

/// What is done for a row.
enum Job {
    /// A model as it is.
    Alone(&'static str),
    /// A method without M³.
    Baseline(Pairing),
    /// A method with M³.
    Search(Pairing),
}

/// Values of each item, by benchmark, on the test split.
type Values = BTreeMap<BenchmarkId, Vec<f64>>;

/// The models of a suite, and what they are asked.
pub(super) struct Bench<'a> {
    pub(super) family: Family<'a>,
    pub(super) lab: &'a Lab<'a>,
    pub(super) items: BTreeMap<(BenchmarkId, Split), Vec<Item>>,
}

impl Bench<'_> {
    /// What is to be done for a row. `lm+math/ties/m3` is TIES on lm and math with M³.
    fn job(row: &PublishedRow) -> Job {
        let models = row.id.split('/').next().unwrap_or(row.id);
        match (models.split_once('+'), row.method) {
            (Some((a, b)), Some(method)) => {
                let pairing = Pairing { method, pair: [a, b] };
                if row.m3 == Some(true) { Job::Search(pairing) } else { Job::Baseline(pairing) }
            }
            _ => Job::Alone(models),
        }
    }

    /// How many items the whole table looks at, at most: each row on the test split, the candidates of each pair on the
    /// validation split, and each pair's two models once more on its skills, to compare with.
    fn looks(&self) -> Result<usize, ExperimentError> {
        let count = |id: &BenchmarkId, split| self.items.get(&(id.clone(), split)).map_or(0, Vec::len);
        let row: usize = benchmarks(self.family.manifest).iter().map(|id| count(id, Split::Test)).sum();
        let mut total = row * TABLE1.len();
        for published in &TABLE1 {
            let Job::Search(pairing) = Self::job(published) else { continue };
            let looks = self.family.manifest.strategy.looks(pairing.candidates(&self.family)?.len());
            for name in pairing.pair {
                for id in self.family.manifest.skill(name, TABLE)? {
                    total +=
                        (looks * count(id, Split::Validation) as f64) as usize + 2 * count(id, Split::Test);
                }
            }
        }
        Ok(total)
    }

    fn run(
        &self,
        subject: &mut Subject<'_>,
        id: &BenchmarkId,
        split: Split,
    ) -> Result<Evaluation, ExperimentError> {
        self.lab.evaluate(subject, id, &self.items[&(id.clone(), split)])
    }

    /// One row on the test split.
    fn test(
        &self,
        model: &Model,
        published: &PublishedRow,
        lambda: Option<f64>,
        scale: Option<f64>,
    ) -> Result<(Row, Values), ExperimentError> {
        let mut subject = self.lab.subject(model)?;
        let mut values = Values::new();
        let mut measured = BTreeMap::new();
        for id in benchmarks(self.family.manifest) {
            let evaluation = self.run(&mut subject, &id, Split::Test)?;
            values.insert(id.clone(), evaluation.values());
            measured.insert(id, evaluation);
        }
        let cells = Column::ALL
            .into_iter()
            .zip(published.cells)
            .map(|(column, published)| {
                let ours = measured.get(&BenchmarkId::from(column.id())).and_then(in_per_cent);
                Cell { column, ours, published }
            })
            .collect();
        let row = Row {
            id: published.id,
            method: published.method.map_or("–", Method::title),
            models: published.models,
            m3: published.m3,
            lambda,
            published_lambda: published.lambda,
            scale,
            cells,
        };
        Ok((row, values))
    }

    /// The benchmarks of a pair's two skills with their weights: each skill counts half.
    fn weights(&self, pair: [&str; 2]) -> Result<Vec<(f64, BenchmarkId)>, ExperimentError> {
        let mut all = Vec::new();
        for name in pair {
            let skill = self.family.manifest.skill(name, TABLE)?;
            all.extend(skill.iter().map(|id| (0.5 / skill.len() as f64, id.clone())));
        }
        Ok(all)
    }

    pub(super) fn merged(&self, pairing: Pairing, candidate: &Candidate) -> Result<Model, ExperimentError> {
        pairing.model(&self.family, &pairing.point(&self.family, candidate)?, self.lab.watch())
    }

    pub(super) fn search(&self, pairing: Pairing) -> Result<Campaign, ExperimentError> {
        let weights = self.weights(pairing.pair)?;
        let mut objective = MeanOfSkills { bench: self, pairing, weights };
        let candidates = pairing.candidates(&self.family)?;
        Ok(Campaign::run(&candidates, &self.family.manifest.strategy, &mut objective)?)
    }

    fn selection(
        &self,
        pairing: Pairing,
        published: &PublishedRow,
        campaign: &Campaign,
        winner: &Values,
        baseline: Option<&Values>,
    ) -> Result<Selection, ExperimentError> {
        let weights = self.weights(pairing.pair)?;
        let alone = |name: &str| -> Result<Values, ExperimentError> {
            let mut subject = self.lab.subject(&Model::checkpoint(self.family.model(name)))?;
            weights
                .iter()
                .map(|(_, id)| Ok((id.clone(), self.run(&mut subject, id, Split::Test)?.values())))
                .collect()
        };
        let ahead = |of: &Values| {
            let parts: Vec<(f64, &[f64], &[f64])> =
                weights.iter().map(|(w, id)| (*w, winner[id].as_slice(), of[id].as_slice())).collect();
            let d = paired_difference(&parts);
            Difference {
                points: 100.0 * d.value,
                ci95: (100.0 * (d.value - d.half_width), 100.0 * (d.value + d.half_width)),
            }
        };
        let parts: Vec<(f64, &[f64])> = weights.iter().map(|(w, id)| (*w, winner[id].as_slice())).collect();
        let test = mean_of(&parts);
        let best = campaign.best();
        Ok(Selection {
            method: pairing.method.title(),
            models: published.models,
            candidates: campaign.measured.len(),
            lambda: best.candidate.direction.weights()[0],
            s: best.candidate.scale.get(),
            validation: 100.0 * best.fitness.value,
            test: 100.0 * test.value,
            n: test.n,
            ahead_of_first: ahead(&alone(pairing.pair[0])?),
            ahead_of_second: ahead(&alone(pairing.pair[1])?),
            ahead_of_baseline: ahead(baseline.unwrap_or(winner)),
        })
    }
}

fn in_per_cent(evaluation: &Evaluation) -> Option<Measured> {
    let s = &evaluation.summary;
    let (mean, ci95) = (s.mean?, s.ci95?);
    Some(Measured {
        mean: 100.0 * mean,
        n: s.n,
        ci95: (100.0 * ci95.0, 100.0 * ci95.1),
        invalid: s.invalid,
        unscored: s.unscored,
        run: evaluation.run.clone(),
    })
}

/// The mean of a pair's two skills on the validation split.
struct MeanOfSkills<'a> {
    bench: &'a Bench<'a>,
    pairing: Pairing,
    weights: Vec<(f64, BenchmarkId)>,
}

impl MeanOfSkills<'_> {
    fn scores(&self, candidate: &Candidate, share: f64) -> Result<Scores, ExperimentError> {
        let model = self.bench.merged(self.pairing, candidate)?;
        let mut subject = self.bench.lab.subject(&model)?;
        let values = self.weights.iter().map(|(weight, id)| {
            let items = &self.bench.items[&(id.clone(), Split::Validation)];
            let first = &items[..(share * items.len() as f64).ceil() as usize];
            Ok((*weight, self.bench.lab.evaluate(&mut subject, id, first)?.values()))
        });
        Ok(Scores(values.collect::<Result<_, ExperimentError>>()?))
    }
}

impl Objective for MeanOfSkills<'_> {
    fn measure(&mut self, candidate: &Candidate, share: f64) -> Result<Scores, ObjectiveError> {
        self.scores(candidate, share).map_err(|e| ObjectiveError(Box::new(e)))
    }
}
