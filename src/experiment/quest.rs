//! A search as its file says it: which merge, what is sought, where, how. And its jobs: the choice is made on the
//! validation split, and the report is on the test split.

use super::progress::Whole;
use super::{ExperimentError, Lab, LabSettings, Model};
use crate::bench::{Item, Split};
use crate::checkpoint::{Checkpoint, ModelRef, OpenOptions};
use crate::digest::Canonical;
use crate::event::{Event, Observer};
use crate::files;
use crate::ids::BenchmarkId;
use crate::merge::{Combine, Direction, DirectionLaw, Inputs, Recipe, Sparsify, Vocabulary};
use crate::report::{Difference, Entrant, Found, Rival};
use crate::search::{Campaign, Candidate, Objective, ObjectiveError, Scores, Space, Strategy};
use crate::units::Scale;
use serde::Deserialize;
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Instant;

/// A search as its file says it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quest {
    /// Its name.
    pub name: String,
    /// The pre-trained model, named as in a recipe.
    pub base: String,
    /// The fine-tuned models, in the order of λ.
    pub models: Vec<String>,
    /// How deltas are combined.
    #[serde(default = "task_arithmetic")]
    pub combine: Combine,
    /// What is done to each delta first.
    #[serde(default)]
    pub sparsify: Vec<Sparsify>,
    /// What is done when vocabularies differ.
    #[serde(default)]
    pub vocabulary: Vocabulary,
    /// At most so many items of each benchmark's split.
    #[serde(default)]
    pub limit: Option<usize>,
    /// Seed of the order in which a race asks the items.
    #[serde(default)]
    pub seed: u64,
    /// The benchmarks whose weighted mean is sought; weights count relative to each other.
    pub objective: BTreeMap<BenchmarkId, Scale>,
    /// Where.
    pub space: Space,
    /// How.
    #[serde(default)]
    pub strategy: Strategy,
}

fn task_arithmetic() -> Combine {
    Combine::TaskArithmetic
}

impl Quest {
    /// Reads a file and checks what can be checked without a model. A path is looked for beside the file first.
    pub fn read(path: &Path) -> Result<Self, ExperimentError> {
        let text = files::read_text(path)?;
        let mut quest: Self = toml::from_str(&text)
            .map_err(|e| ExperimentError::BadSearch { path: path.to_owned(), reason: e.to_string() })?;
        let folder = path.parent().unwrap_or(Path::new(""));
        for model in quest.models.iter_mut().chain([&mut quest.base]) {
            *model = ModelRef::parse_in(model, folder)?.to_string();
        }
        if quest.objective.is_empty() {
            return Err(ExperimentError::NoObjective { path: path.to_owned() });
        }
        quest.strategy.check()?;
        quest.space.candidates(quest.models.len())?;
        Ok(quest)
    }

    /// The recipe of a candidate, with the drawn numbers in it.
    pub fn recipe(&self, candidate: &Candidate) -> Recipe {
        Recipe {
            sparsify: self.sparsify.clone(),
            combine: self.combine,
            base: Some(self.base.clone()),
            models: self.models.clone(),
            proportion: Some(DirectionLaw::Fixed { weights: candidate.direction.clone() }),
            scale: candidate.scale,
            dtype: None,
            vocabulary: self.vocabulary,
        }
    }

    /// Each benchmark with its share of the mean.
    fn weights(&self) -> Vec<(f64, BenchmarkId)> {
        let sum: f64 = self.objective.values().map(|w| w.get()).sum();
        self.objective.iter().map(|(id, weight)| (weight.get() / sum, id.clone())).collect()
    }
}

/// Searches, and measures the winner, each model alone and the bisector on the test split. Returns what was found and the
/// winner's recipe.
pub fn search(
    quest: &Quest,
    settings: LabSettings,
    options: &OpenOptions<'_>,
    watch: &dyn Observer,
) -> Result<(Found, Recipe), ExperimentError> {
    // Everything that can be wrong is found before the first model runs.
    let weights = quest.weights();
    let whole = Whole::new(watch);
    let lab = Lab::open(settings, quest.objective.keys(), &whole)?;
    let mut items = BTreeMap::new();
    for id in quest.objective.keys() {
        let validation = lab.items(id, Split::Validation)?;
        let test = lab.items(id, Split::Test)?;
        apart(id, &validation, &test)?;
        items.insert((id.clone(), Split::Validation), ordered(quest.seed, id, validation));
        items.insert((id.clone(), Split::Test), test);
    }
    let open = |name: &String| Ok::<_, ExperimentError>(Checkpoint::open(&name.parse()?, options)?);
    let inputs = Inputs {
        base: Some(open(&quest.base)?),
        models: quest.models.iter().map(open).collect::<Result<_, _>>()?,
    };
    let candidates = quest.space.candidates(quest.models.len())?;
    let mut field = Field { quest, lab: &lab, inputs, items, weights, unscored: Cell::new(0) };
    let begun = Instant::now();
    let in_full = candidates.len() * field.count(Split::Validation);
    let most = quest.strategy.looks(candidates.len()) * field.count(Split::Validation) as f64;
    watch.observe(&Event::Started { work: "searching", total: Some(most.ceil() as u64), unit: "items" });
    let campaign = Campaign::run(&candidates, &quest.strategy, &mut field)?;
    watch.observe(&Event::Finished { took: begun.elapsed() });
    let best = campaign.best().candidate.clone();
    watch.observe(&Event::Note { text: &format!("{best} chosen of {} candidates", candidates.len()) });
    let found = field.report(&campaign, in_full)?;
    Ok((found, quest.recipe(&best)))
}

/// Refuses a validation split that shares items with the test split.
fn apart(id: &BenchmarkId, validation: &[Item], test: &[Item]) -> Result<(), ExperimentError> {
    let known: BTreeSet<_> = test.iter().map(|item| item.digest().hex()).collect();
    let both: Vec<&Item> = validation.iter().filter(|item| known.contains(&item.digest().hex())).collect();
    match both.first() {
        None => Ok(()),
        Some(first) => Err(ExperimentError::Overlap {
            benchmark: id.clone(),
            count: both.len(),
            first: first.id.clone(),
        }),
    }
}

/// The items in an order that depends on the seed and on each item alone.
fn ordered(seed: u64, id: &BenchmarkId, mut items: Vec<Item>) -> Vec<Item> {
    items.sort_by_cached_key(|item| {
        let form = Canonical::new("search order/1").number("seed", seed).text("benchmark", id.as_str());
        form.text("item", item.id.as_str()).finish().hex()
    });
    items
}

/// Where candidates are measured.
struct Field<'a> {
    quest: &'a Quest,
    lab: &'a Lab<'a>,
    inputs: Inputs,
    items: BTreeMap<(BenchmarkId, Split), Vec<Item>>,
    weights: Vec<(f64, BenchmarkId)>,
    /// Answers without a verdict so far; they counted as nothing gained.
    unscored: Cell<usize>,
}

impl Field<'_> {
    fn count(&self, split: Split) -> usize {
        self.items.iter().filter(|((_, of), _)| *of == split).map(|(_, items)| items.len()).sum()
    }

    /// Values of a model on the first items of a split, benchmark by benchmark.
    fn scores(&self, model: &Model, split: Split, share: f64) -> Result<Scores, ExperimentError> {
        let mut subject = self.lab.subject(model)?;
        let values = self.weights.iter().map(|(weight, id)| {
            let items = &self.items[&(id.clone(), split)];
            let first = &items[..(share * items.len() as f64).ceil() as usize];
            let evaluation = self.lab.evaluate(&mut subject, id, first)?;
            self.unscored.set(self.unscored.get() + evaluation.summary.unscored);
            Ok((*weight, evaluation.values()))
        });
        Ok(Scores(values.collect::<Result<_, ExperimentError>>()?))
    }

    fn merged(&self, candidate: &Candidate) -> Result<Model, ExperimentError> {
        Model::merged(&self.quest.recipe(candidate), &self.inputs, self.lab.watch())
    }

    fn report(&self, campaign: &Campaign, in_full: usize) -> Result<Found, ExperimentError> {
        let best = &campaign.best().candidate;
        let winner = self.scores(&self.merged(best)?, Split::Test, 1.0)?;
        let mut rivals = Vec::new();
        let mut rival = |name: String, model: &Model| {
            let scores = self.scores(model, Split::Test, 1.0)?;
            let ahead = winner.ahead_of(&scores);
            let ci95 = (100.0 * (ahead.value - ahead.half_width), 100.0 * (ahead.value + ahead.half_width));
            let ahead = Difference { points: 100.0 * ahead.value, ci95 };
            rivals.push(Rival { name, test: 100.0 * scores.fitness().value, ahead });
            Ok::<_, ExperimentError>(())
        };
        for (name, checkpoint) in self.quest.models.iter().zip(&self.inputs.models) {
            let name = name.rsplit('/').next().unwrap_or(name);
            rival(format!("{name} alone"), &Model::checkpoint(checkpoint))?;
        }
        let uniform = Direction::uniform(self.quest.models.len());
        let bisector = Candidate { law: DirectionLaw::Uniform, direction: uniform, scale: best.scale };
        rival(format!("bisector, s = {}", best.scale), &self.merged(&bisector)?)?;
        let test = winner.fitness();
        let entrant = |(candidate, fitness): (&Candidate, crate::search::Fitness)| Entrant {
            direction: candidate.direction.weights().to_vec(),
            scale: candidate.scale.get(),
            validation: 100.0 * fitness.value,
            ci95: within(fitness.value, fitness.half_width),
            items: fitness.items,
        };
        Ok(Found {
            name: self.quest.name.clone(),
            models: self.quest.models.clone(),
            candidates: campaign.measured.iter().map(|m| entrant((&m.candidate, m.fitness))).collect(),
            winner: campaign.winner,
            asked: campaign.asked,
            in_full,
            validation: 100.0 * campaign.best().fitness.value,
            test: 100.0 * test.value,
            test_ci95: within(test.value, test.half_width),
            test_items: test.items,
            rivals,
            unscored: self.unscored.get(),
        })
    }
}

/// An interval in per cent.
fn within(value: f64, half_width: f64) -> (f64, f64) {
    (100.0 * (value - half_width).max(0.0), 100.0 * (value + half_width).min(1.0))
}

impl Objective for Field<'_> {
    fn measure(&mut self, candidate: &Candidate, share: f64) -> Result<Scores, ObjectiveError> {
        let measured = self.merged(candidate).and_then(|model| self.scores(&model, Split::Validation, share));
        measured.map_err(|e| ObjectiveError(Box::new(e)))
    }
}
