//! The jobs of Table 1: single models, and pairs by task arithmetic, TIES and DARE without and with M³, λ chosen on the
//! validation split and reported on the test split.

use super::manifest::Dare;
use super::progress::Whole;
use super::{ExperimentError, Lab, Manifest, Model};
use crate::bench::{Item, Split};
use crate::checkpoint::{Checkpoint, OpenOptions};
use crate::evaluate::{Evaluation, Subject};
use crate::event::{Event, Observer};
use crate::ids::BenchmarkId;
use crate::merge::{Combine, DirectionLaw, Inputs, Recipe, Rescale, Scope, Sparsify};
use crate::report::{
    Cell, Column, Difference, Measured, Method, PublishedRow, Row, Selection, TABLE1, TABLE1_NOTES, Table,
};
use crate::search::{Campaign, Candidate, Objective, ObjectiveError, Scores};
use crate::statistics::{mean_of, paired_difference};
use crate::units::Scale;
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
    let begun = Instant::now();
    let total = bench.looks()?;
    watch.observe(&Event::Started { work: TABLE, total: Some(total as u64), unit: "items" });

    let mut rows = Vec::new();
    let mut selection = Vec::new();
    let mut baselines = BTreeMap::new();
    for published in &TABLE1 {
        let (row, _) = match bench.job(published)? {
            Job::Alone(name) => bench.test(&Model::checkpoint(bench.model(name)), published, None, None)?,
            Job::Baseline(merge) => {
                let (recipe, s) = merge.baseline(&bench)?;
                let tested = bench.test(&merge.model(&bench, &recipe)?, published, Some(0.5), Some(s))?;
                baselines.insert((merge.method, merge.pair), tested.1.clone());
                tested
            }
            Job::Search(merge) => {
                let campaign = merge.search(&bench)?;
                let best = campaign.best();
                let model = merge.model(&bench, &merge.point(&bench, &best.candidate)?)?;
                let lambda = best.candidate.direction.weights()[0];
                let tested = bench.test(&model, published, Some(lambda), Some(best.candidate.scale.get()))?;
                let note = format!(
                    "{}, {}: λ = {lambda:.3} of {} candidates, {:.1} % on validation",
                    merge.method.title(),
                    published.models,
                    campaign.measured.len(),
                    100.0 * best.fitness.value
                );
                watch.observe(&Event::Note { text: &note });
                let baseline = baselines.get(&(merge.method, merge.pair));
                selection.push(bench.selection(merge, published, &campaign, &tested.1, baseline)?);
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
    Baseline(Merge),
    /// A method with M³.
    Search(Merge),
}

/// A method on a pair.
#[derive(Clone, Copy)]
struct Merge {
    method: Method,
    pair: [&'static str; 2],
}

impl Merge {
    /// The pair as a suite names it: `lm+math`.
    fn name(self) -> String {
        self.pair.join("+")
    }

    fn recipe(
        self,
        bench: &Bench<'_>,
        proportion: Option<DirectionLaw>,
        scale: Scale,
    ) -> Result<Recipe, ExperimentError> {
        let named = |name: &str| bench.model(name).origin().to_string();
        let manifest = bench.manifest;
        let (combine, sparsify) = match self.method {
            Method::TaskArithmetic => (Combine::TaskArithmetic, Vec::new()),
            Method::Ties => {
                let density = manifest.ties(&self.name(), TABLE)?.density;
                (Combine::Ties, vec![Sparsify::Trim { density, scope: Scope::Model, rescale: Rescale::None }])
            }
            Method::Dare => {
                let Dare { drop, seed } = manifest.dare;
                let dare = Sparsify::Dare { drop, rescale: Rescale::Inverse, seed };
                (Combine::TaskArithmetic, vec![dare])
            }
        };
        Ok(Recipe {
            sparsify,
            combine,
            base: Some(named("base")),
            models: self.pair.map(named).to_vec(),
            proportion,
            scale,
            dtype: None,
            vocabulary: crate::merge::Vocabulary::Equal,
        })
    }

    /// The method without M³, and its s in the convention of the table.
    fn baseline(self, bench: &Bench<'_>) -> Result<(Recipe, f64), ExperimentError> {
        if self.method == Method::Ties {
            let scale = bench.manifest.ties(&self.name(), TABLE)?.scale;
            return Ok((self.recipe(bench, Some(DirectionLaw::Uniform), scale)?, scale.get()));
        }
        // A sum of N deltas at s is their bisector at N·s.
        let scale = bench.manifest.baseline.scale;
        Ok((self.recipe(bench, None, scale)?, 2.0 * scale.get()))
    }

    /// Where M³ looks: for TIES at the magnitude that the suite gives it (the paper's Table 4).
    fn candidates(self, manifest: &Manifest) -> Result<Vec<Candidate>, ExperimentError> {
        let mut space = manifest.search.clone();
        if self.method == Method::Ties {
            space.scales = vec![manifest.ties(&self.name(), TABLE)?.scale];
        }
        Ok(space.candidates(2)?)
    }

    /// The recipe of a point of the search, with the drawn numbers in it.
    fn point(self, bench: &Bench<'_>, candidate: &Candidate) -> Result<Recipe, ExperimentError> {
        let proportion = Some(DirectionLaw::Fixed { weights: candidate.direction.clone() });
        self.recipe(bench, proportion, candidate.scale)
    }

    fn model(self, bench: &Bench<'_>, recipe: &Recipe) -> Result<Model, ExperimentError> {
        let inputs = Inputs {
            base: Some(bench.model("base").clone()),
            models: self.pair.map(|name| bench.model(name).clone()).to_vec(),
        };
        Model::merged(recipe, &inputs, bench.lab.watch())
    }

    fn search(self, bench: &Bench<'_>) -> Result<Campaign, ExperimentError> {
        let weights = bench.weights(self.pair)?;
        let mut objective = MeanOfSkills { bench, merge: self, weights };
        let candidates = self.candidates(bench.manifest)?;
        Ok(Campaign::run(&candidates, &bench.manifest.strategy, &mut objective)?)
    }
}

/// Values of each item, by benchmark, on the test split.
type Values = BTreeMap<BenchmarkId, Vec<f64>>;

struct Bench<'a> {
    manifest: &'a Manifest,
    lab: &'a Lab<'a>,
    models: BTreeMap<&'static str, Checkpoint>,
    items: BTreeMap<(BenchmarkId, Split), Vec<Item>>,
}

impl Bench<'_> {
    fn model(&self, name: &str) -> &Checkpoint {
        &self.models[name]
    }

    /// What is to be done for a row. `lm+math/ties/m3` is TIES on lm and math with M³.
    fn job(&self, row: &PublishedRow) -> Result<Job, ExperimentError> {
        let models = row.id.split('/').next().unwrap_or(row.id);
        Ok(match (models.split_once('+'), row.method) {
            (Some((a, b)), Some(method)) => {
                let merge = Merge { method, pair: [a, b] };
                merge.candidates(self.manifest)?;
                if row.m3 == Some(true) { Job::Search(merge) } else { Job::Baseline(merge) }
            }
            _ => Job::Alone(models),
        })
    }

    /// How many items the whole table looks at, at most: each row on the test split, the candidates of each pair on the
    /// validation split, and each pair's two models once more on its skills, to compare with.
    fn looks(&self) -> Result<usize, ExperimentError> {
        let count = |id: &BenchmarkId, split| self.items.get(&(id.clone(), split)).map_or(0, Vec::len);
        let row: usize = benchmarks(self.manifest).iter().map(|id| count(id, Split::Test)).sum();
        let mut total = row * TABLE1.len();
        for published in &TABLE1 {
            let Job::Search(merge) = self.job(published)? else { continue };
            let looks = self.manifest.strategy.looks(merge.candidates(self.manifest)?.len());
            for name in merge.pair {
                for id in self.manifest.skill(name, TABLE)? {
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
            let skill = self.manifest.skill(name, TABLE)?;
            all.extend(skill.iter().map(|id| (0.5 / skill.len() as f64, id.clone())));
        }
        Ok(all)
    }

    fn selection(
        &self,
        merge: Merge,
        published: &PublishedRow,
        campaign: &Campaign,
        winner: &Values,
        baseline: Option<&Values>,
    ) -> Result<Selection, ExperimentError> {
        let weights = self.weights(merge.pair)?;
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
            method: merge.method.title(),
            models: published.models,
            candidates: campaign.measured.len(),
            lambda: best.candidate.direction.weights()[0],
            s: best.candidate.scale.get(),
            validation: 100.0 * best.fitness.value,
            test: 100.0 * test.value,
            n: test.n,
            ahead_of_first: ahead(&alone(merge.pair[0])?),
            ahead_of_second: ahead(&alone(merge.pair[1])?),
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
    merge: Merge,
    weights: Vec<(f64, BenchmarkId)>,
}

impl MeanOfSkills<'_> {
    fn scores(&self, candidate: &Candidate, share: f64) -> Result<Scores, ExperimentError> {
        let model = self.merge.model(self.bench, &self.merge.point(self.bench, candidate)?)?;
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
