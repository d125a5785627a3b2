//! The jobs of Table 1: single models and pairs, task arithmetic without and with M³, λ chosen on the validation split
//! and reported on the test split.

use super::progress::Whole;
use super::{ExperimentError, Lab, Manifest, Model};
use crate::bench::{Item, Split};
use crate::checkpoint::{Checkpoint, OpenOptions};
use crate::evaluate::{Evaluation, Subject, mean_of, paired_difference};
use crate::event::{Event, Observer};
use crate::ids::BenchmarkId;
use crate::merge::{Combine, DirectionLaw, Inputs, Recipe};
use crate::report::{Cell, Column, Difference, Measured, PublishedRow, Row, Selection, TABLE1, Table};
use crate::search::{Campaign, Candidate, Fitness, Objective, ObjectiveError};
use std::collections::BTreeMap;
use std::time::Instant;

const TABLE: &str = "table1";

/// In the convention of the tables a sum of two deltas at s is their bisector at 2·s.
pub(super) const BOTH: f64 = 2.0;

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
    let names = ["base", "lm", "math", "code"];
    let mut models = BTreeMap::new();
    for name in names {
        models.insert(name, Checkpoint::open(&manifest.model(name, TABLE)?.parse()?, options)?);
    }
    let ids = benchmarks(manifest);
    let whole = Whole(watch);
    let lab = Lab::open(settings, &ids, &whole)?;
    let mut items = BTreeMap::new();
    for id in &ids {
        items.insert((id.clone(), Split::Test), lab.items(id, Split::Test)?);
    }
    for id in manifest.skills.values().flatten() {
        items.insert((id.clone(), Split::Validation), lab.items(id, Split::Validation)?);
    }
    let bench = Bench { manifest, lab: &lab, models, items };
    let candidates = manifest.search.candidates()?;
    let begun = Instant::now();
    let total = bench.questions(candidates.len())?;
    watch.observe(&Event::Started { work: TABLE, total: Some(total as u64), unit: "items" });

    let mut rows = Vec::new();
    let mut selection = Vec::new();
    let mut baselines = BTreeMap::new();
    for published in &TABLE1 {
        let (members, baseline) = members(published);
        let scores = match (&members[..], baseline) {
            ([name], _) => bench.test(&Model::checkpoint(bench.model(name)), published, None, None)?,
            ([a, b], true) => {
                let scale = manifest.baseline.scale;
                let recipe = bench.recipe([a, b], None, scale.get())?;
                let row = bench.test(
                    &bench.merged(&recipe, [a, b])?,
                    published,
                    Some(0.5),
                    Some(BOTH * scale.get()),
                )?;
                baselines.insert(published.models, row.1.clone());
                row
            }
            ([a, b], false) => {
                let campaign = bench.search([a, b], &candidates)?;
                let best = campaign.best();
                let model = bench.merged(&bench.point([a, b], &best.candidate)?, [a, b])?;
                let lambda = best.candidate.direction.weights()[0];
                let row = bench.test(&model, published, Some(lambda), Some(best.candidate.scale.get()))?;
                let note = format!(
                    "{}: λ = {lambda:.3} of {} candidates, {:.1} % on validation",
                    published.models,
                    candidates.len(),
                    100.0 * best.fitness.value
                );
                watch.observe(&Event::Note { text: &note });
                selection.push(bench.selection(
                    [a, b],
                    published,
                    &campaign,
                    &row.1,
                    baselines.get(published.models),
                )?);
                row
            }
            _ => continue,
        };
        rows.push(scores.0);
    }
    watch.observe(&Event::Finished { took: begun.elapsed() });
    Ok(Table { name: TABLE, suite: manifest.name.clone(), notice: manifest.notice.clone(), rows, selection })
}

/// The models of a row, and whether it is the baseline without M³.
fn members(row: &PublishedRow) -> (Vec<&'static str>, bool) {
    let models = row.id.split('/').next().unwrap_or(row.id);
    (models.split('+').collect(), row.m3 == Some(false))
}

/// Values of each item, by benchmark, on the test split.
type Values = BTreeMap<BenchmarkId, Vec<f64>>;

/// The models of a suite, and what they are asked.
pub(super) struct Bench<'a> {
    pub(super) manifest: &'a Manifest,
    pub(super) lab: &'a Lab<'a>,
    pub(super) models: BTreeMap<&'static str, Checkpoint>,
    pub(super) items: BTreeMap<(BenchmarkId, Split), Vec<Item>>,
}

impl Bench<'_> {
    fn model(&self, name: &str) -> &Checkpoint {
        &self.models[name]
    }

    /// Items that the whole table evaluates: each row on the test split, each candidate of each pair on the validation
    /// split, and each pair's two models once more on its skills, to compare with.
    fn questions(&self, candidates: usize) -> Result<usize, ExperimentError> {
        let count = |id: &BenchmarkId, split| self.items.get(&(id.clone(), split)).map_or(0, Vec::len);
        let row: usize = benchmarks(self.manifest).iter().map(|id| count(id, Split::Test)).sum();
        let mut total = row * TABLE1.len();
        for published in TABLE1.iter().filter(|row| row.m3 == Some(true)) {
            for name in members(published).0 {
                for id in self.manifest.skill(name, TABLE)? {
                    total += candidates * count(id, Split::Validation) + 2 * count(id, Split::Test);
                }
            }
        }
        Ok(total)
    }

    pub(super) fn recipe(
        &self,
        pair: [&str; 2],
        proportion: Option<DirectionLaw>,
        scale: f64,
    ) -> Result<Recipe, ExperimentError> {
        let named = |name: &str| self.model(name).origin().to_string();
        Ok(Recipe {
            sparsify: Vec::new(),
            combine: Combine::TaskArithmetic,
            base: Some(named("base")),
            models: pair.map(named).to_vec(),
            proportion,
            scale: crate::units::Scale::new(scale).map_err(crate::merge::MergeError::from)?,
            dtype: None,
            vocabulary: crate::merge::Vocabulary::Equal,
        })
    }

    /// The recipe of a point of the search, with the drawn numbers in it.
    pub(super) fn point(&self, pair: [&str; 2], candidate: &Candidate) -> Result<Recipe, ExperimentError> {
        let proportion = Some(DirectionLaw::Fixed { weights: candidate.direction.clone() });
        self.recipe(pair, proportion, candidate.scale.get())
    }

    pub(super) fn merged(&self, recipe: &Recipe, pair: [&str; 2]) -> Result<Model, ExperimentError> {
        let inputs = Inputs {
            base: Some(self.model("base").clone()),
            models: pair.map(|name| self.model(name).clone()).to_vec(),
        };
        Model::merged(recipe, &inputs, self.lab.watch())
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
        for id in benchmarks(self.manifest) {
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
            method: published.method,
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
            let skill = self.manifest.skill(name, TABLE)?;
            all.extend(skill.iter().map(|id| (0.5 / skill.len() as f64, id.clone())));
        }
        Ok(all)
    }

    pub(super) fn search(
        &self,
        pair: [&str; 2],
        candidates: &[Candidate],
    ) -> Result<Campaign, ExperimentError> {
        let weights = self.weights(pair)?;
        let mut objective = MeanOfSkills { bench: self, pair, weights };
        Campaign::run(candidates, &mut objective).map_err(|ObjectiveError(source)| {
            match source.downcast::<ExperimentError>() {
                Ok(known) => *known,
                Err(other) => crate::evaluate::EvaluateError::Model(other).into(),
            }
        })
    }

    fn selection(
        &self,
        pair: [&str; 2],
        published: &PublishedRow,
        campaign: &Campaign,
        winner: &Values,
        baseline: Option<&Values>,
    ) -> Result<Selection, ExperimentError> {
        let weights = self.weights(pair)?;
        let alone = |name: &str| -> Result<Values, ExperimentError> {
            let mut subject = self.lab.subject(&Model::checkpoint(self.model(name)))?;
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
            models: published.models,
            candidates: campaign.measured.len(),
            lambda: best.candidate.direction.weights()[0],
            s: best.candidate.scale.get(),
            validation: 100.0 * best.fitness.value,
            test: 100.0 * test.value,
            n: test.n,
            ahead_of_first: ahead(&alone(pair[0])?),
            ahead_of_second: ahead(&alone(pair[1])?),
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
    pair: [&'a str; 2],
    weights: Vec<(f64, BenchmarkId)>,
}

impl MeanOfSkills<'_> {
    fn fitness(&self, candidate: &Candidate) -> Result<Fitness, ExperimentError> {
        let model = self.bench.merged(&self.bench.point(self.pair, candidate)?, self.pair)?;
        let mut subject = self.bench.lab.subject(&model)?;
        let mut values = Vec::new();
        for (weight, id) in &self.weights {
            values.push((*weight, self.bench.run(&mut subject, id, Split::Validation)?.values()));
        }
        let parts: Vec<(f64, &[f64])> = values.iter().map(|(w, v)| (*w, v.as_slice())).collect();
        let mean = mean_of(&parts);
        Ok(Fitness { value: mean.value, half_width: mean.half_width })
    }
}

impl Objective for MeanOfSkills<'_> {
    fn measure(&mut self, candidate: &Candidate) -> Result<Fitness, ObjectiveError> {
        self.fitness(candidate).map_err(|e| ObjectiveError(Box::new(e)))
    }
}
