//! The jobs of Table 1: single models, and pairs by task arithmetic, TIES and DARE without and with M³, λ chosen on the
//! validation split and reported on the test split.

use super::pairing::{Family, Pairing};
use super::progress::Whole;
use super::referee::Referee;
use super::{ExperimentError, Lab, Manifest, Model};
use crate::bench::{Item, Split};
use crate::checkpoint::OpenOptions;
use crate::evaluate::{Evaluation, Subject};
use crate::event::{Event, Observer};
use crate::ids::BenchmarkId;
use crate::report::{
    Cell, Column, Difference, Measured, PublishedRow, Row, Selection, TABLE1, TABLE1_NOTES, Table,
};
use crate::search::{Campaign, Candidate, Objective, ObjectiveError, Portion, Scores};
use crate::statistics::{mean_of, paired_difference};
use std::collections::BTreeMap;
use std::time::Instant;

const TABLE: &str = "table1";

/// Benchmarks of the table's columns that rules can score.
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

/// The benchmark of a row's judged column: where the suite has a judge, and the paper a figure.
pub(super) fn judged(manifest: &Manifest, row: &PublishedRow) -> Option<BenchmarkId> {
    let column = Column::ALL.iter().position(|c| *c == Column::AlpacaEval)?;
    (manifest.judge.is_some() && row.cells[column].is_some()).then(|| Column::AlpacaEval.id().into())
}

/// Reproduces Table 1. `settings` say where runs are kept, who answers and how programs are confined; `options` how models
/// are looked for.
pub fn table1(
    manifest: &Manifest,
    settings: super::LabSettings,
    options: &OpenOptions<'_>,
    watch: &dyn Observer,
) -> Result<Table, ExperimentError> {
    measure(TABLE, &jobs(), &TABLE1_NOTES, manifest, settings, options, watch)
}

/// Measures the rows of a table whose columns are those of Table 1.
pub(super) fn measure(
    table: &'static str,
    jobs: &[(PublishedRow, Job)],
    footnotes: &[&'static str],
    manifest: &Manifest,
    settings: super::LabSettings,
    options: &OpenOptions<'_>,
    watch: &dyn Observer,
) -> Result<Table, ExperimentError> {
    // Everything that can be wrong is found before the first model runs.
    let family = Family::open(manifest, &["base", "lm", "math", "code"], table, options)?;
    let referee = Referee::open(manifest, options)?;
    let ids = benchmarks(manifest);
    let judged_id = jobs.iter().find_map(|(published, _)| judged(manifest, published));
    let whole = Whole::new(watch);
    let lab = Lab::open(settings, ids.iter().chain(&judged_id), &whole)?;
    let mut items = BTreeMap::new();
    for id in &ids {
        items.insert((id.clone(), Split::Test), lab.items(id, Split::Test)?);
    }
    for id in manifest.skills.values().flatten() {
        items.insert((id.clone(), Split::Validation), lab.items(id, Split::Validation)?);
    }
    if let (Some(referee), Some(id)) = (&referee, &judged_id) {
        let asked = lab.items(id, Split::Test)?;
        referee.check(lab.benchmark(id)?.judged().unwrap_or_default(), &asked)?;
        items.insert((id.clone(), Split::Test), asked);
    }
    let note = referee.as_ref().filter(|_| judged_id.is_some()).map(Referee::note);
    let bench = Bench { family, lab: &lab, items, referee: referee.as_ref() };
    let begun = Instant::now();
    let count = |id: &BenchmarkId, split| bench.items.get(&(id.clone(), split)).map_or(0, Vec::len);
    let looks = |(published, job): &(PublishedRow, Job)| job.looks(published, manifest, table, &count);
    let total = jobs.iter().map(looks).sum::<Result<usize, _>>()?;
    watch.observe(&Event::Started { work: table, total: Some(total as u64), unit: "items" });

    let mut rows = Vec::new();
    let mut selection = Vec::new();
    let mut baselines: Vec<(Pairing, Values)> = Vec::new();
    for (published, job) in jobs {
        let row = match job {
            Job::Alone(name) => {
                let model = Model::checkpoint(bench.family.model(name));
                bench.test(&model, "–", published, None, None)?.0
            }
            Job::Baseline(pairing) => {
                let (recipe, s) = pairing.baseline(&bench.family)?;
                let model = pairing.model(&bench.family, &recipe, &whole)?;
                let (row, values) = bench.test(&model, pairing.title(), published, Some(0.5), Some(s))?;
                baselines.push((*pairing, values));
                row
            }
            Job::Search(pairing) => {
                let campaign = bench.search(*pairing)?;
                let best = campaign.best();
                let model = bench.merged(*pairing, &best.candidate)?;
                let lambda = best.candidate.direction.weights()[0];
                let s = best.candidate.scale.get();
                let (row, values) = bench.test(&model, pairing.title(), published, Some(lambda), Some(s))?;
                let note = format!(
                    "{}, {}: λ = {lambda:.3} of {} candidates, {:.1} % on validation",
                    pairing.title(),
                    published.models,
                    campaign.measured.len(),
                    100.0 * best.fitness.value
                );
                watch.observe(&Event::Note { text: &note });
                let known = baselines.iter().find(|(of, _)| of == pairing).map(|(_, values)| values);
                selection.push(bench.selection(*pairing, published, &campaign, &values, known)?);
                row
            }
        };
        rows.push(row);
    }
    watch.observe(&Event::Finished { took: begun.elapsed() });
    Ok(Table {
        name: table,
        suite: manifest.name.clone(),
        notice: manifest.notice.clone(),
        rows,
        selection,
        judge: note,
        footnotes: footnotes.to_vec(),
    })
}

/// What is done for a row.
pub(super) enum Job {
    /// A model as it is.
    Alone(&'static str),
    /// A method without M³.
    Baseline(Pairing),
    /// A method with M³.
    Search(Pairing),
}

impl Job {
    /// What is to be done for a row of Table 1. `lm+math/ties/m3` is TIES on lm and math with M³.
    fn of(row: &PublishedRow) -> Self {
        let models = row.id.split('/').next().unwrap_or(row.id);
        match (models.split_once('+'), row.method) {
            (Some((a, b)), Some(method)) => {
                let pairing = Pairing { method, dare: false, pair: [a, b] };
                if row.m3 == Some(true) { Self::Search(pairing) } else { Self::Baseline(pairing) }
            }
            _ => Self::Alone(models),
        }
    }

    /// How many items a row looks at, at most: those of the test split, the candidates of its pair on the validation split, and
    /// the pair's two models and its baseline once more on its skills, to compare with. `count` is how many items a split has.
    pub(super) fn looks(
        &self,
        published: &PublishedRow,
        manifest: &Manifest,
        table: &'static str,
        count: &dyn Fn(&BenchmarkId, Split) -> usize,
    ) -> Result<usize, ExperimentError> {
        let asked = benchmarks(manifest).into_iter().chain(judged(manifest, published));
        let mut total: usize = asked.map(|id| count(&id, Split::Test)).sum();
        if let Self::Search(pairing) = self {
            let looks = manifest.strategy.looks(pairing.candidates(manifest, table)?.len());
            for name in pairing.pair {
                for id in manifest.skill(name, table)? {
                    total +=
                        (looks * count(id, Split::Validation) as f64) as usize + 3 * count(id, Split::Test);
                }
            }
        }
        Ok(total)
    }
}

/// The rows of Table 1, and what is done for each.
pub(super) fn jobs() -> Vec<(PublishedRow, Job)> {
    TABLE1.iter().map(|row| (*row, Job::of(row))).collect()
}

/// Values of each item, by benchmark, on the test split.
type Values = BTreeMap<BenchmarkId, Vec<f64>>;

/// The models of a suite, and what they are asked.
pub(super) struct Bench<'a> {
    pub(super) family: Family<'a>,
    pub(super) lab: &'a Lab<'a>,
    pub(super) items: BTreeMap<(BenchmarkId, Split), Vec<Item>>,
    /// Who judges what no rule can score, if anybody does.
    pub(super) referee: Option<&'a Referee>,
}

impl Bench<'_> {
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
        title: &'static str,
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
            measured.extend(in_per_cent(&evaluation).map(|found| (id, found)));
        }
        if let (Some(referee), Some(id)) = (self.referee, judged(self.family.manifest, published)) {
            let evaluation = self.run(&mut subject, &id, Split::Test)?;
            let field = self.lab.benchmark(&id)?.judged().unwrap_or_default();
            let items = &self.items[&(id.clone(), Split::Test)];
            let found = referee.judge(self.lab, field, items, &evaluation)?;
            measured.extend(found.map(|found| (id, found)));
        }
        let cells = Column::ALL
            .into_iter()
            .zip(published.cells)
            .map(|(column, published)| {
                let ours = measured.remove(&BenchmarkId::from(column.id()));
                Cell { column, ours, published }
            })
            .collect();
        let row = Row {
            id: published.id,
            method: title,
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
            let skill = self.family.manifest.skill(name, self.family.table)?;
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
        let candidates = pairing.candidates(self.family.manifest, self.family.table)?;
        Campaign::run(&candidates, &self.family.manifest.strategy, &mut objective)
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
        let values = |model: &Model| -> Result<Values, ExperimentError> {
            let mut subject = self.lab.subject(model)?;
            weights
                .iter()
                .map(|(_, id)| Ok((id.clone(), self.run(&mut subject, id, Split::Test)?.values())))
                .collect()
        };
        let alone = |name: &str| values(&Model::checkpoint(self.family.model(name)));
        // A table may have no row for it.
        let baseline = if let Some(known) = baseline {
            known.clone()
        } else {
            let (recipe, _) = pairing.baseline(&self.family)?;
            values(&pairing.model(&self.family, &recipe, self.lab.watch())?)?
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
            method: pairing.title(),
            models: published.models,
            candidates: campaign.measured.len(),
            lambda: best.candidate.direction.weights()[0],
            s: best.candidate.scale.get(),
            validation: 100.0 * best.fitness.value,
            test: 100.0 * test.value,
            n: test.n,
            ahead_of_first: ahead(&alone(pairing.pair[0])?),
            ahead_of_second: ahead(&alone(pairing.pair[1])?),
            ahead_of_baseline: ahead(&baseline),
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
    fn scores(&self, candidate: &Candidate, portion: &Portion) -> Result<Scores, ExperimentError> {
        let model = self.bench.merged(self.pairing, candidate)?;
        let mut subject = self.bench.lab.subject(&model)?;
        let values = self.weights.iter().enumerate().map(|(place, (weight, id))| {
            let some = portion.of(place, &self.bench.items[&(id.clone(), Split::Validation)]);
            Ok((*weight, self.bench.lab.evaluate(&mut subject, id, &some)?.values()))
        });
        Ok(Scores(values.collect::<Result<_, ExperimentError>>()?))
    }
}

impl Objective for MeanOfSkills<'_> {
    fn measure(&mut self, candidate: &Candidate, portion: &Portion) -> Result<Scores, ObjectiveError> {
        self.scores(candidate, portion).map_err(|e| ObjectiveError(Box::new(e)))
    }
}
