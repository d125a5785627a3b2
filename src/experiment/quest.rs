//! A search as its file says it: which merge, what is sought, where, how. And its jobs: the choice is made on the
//! validation split, and the report is on the test split.

use super::kept::Kept;
use super::progress::Whole;
use super::tally::Tally;
use super::{ExperimentError, Lab, LabSettings, Model};
use crate::bench::{Benchmark, Item, Split};
use crate::checkpoint::{Checkpoint, ModelRef, OpenOptions, TensorSource};
use crate::digest::{Canonical, Digest};
use crate::event::{Event, Observer};
use crate::files;
use crate::ids::BenchmarkId;
use crate::merge::{Combine, Direction, DirectionLaw, Inputs, Recipe, Sparsify, Surveys, Vocabulary};
use crate::report::{Difference, Entrant, EstimateNote, Figure, Found, Rival};
use crate::search::{
    Aim, Campaign, Candidate, Fitness, Objective, ObjectiveError, Portion, Scores, Skill, Space, Strategy,
    Study,
};
use crate::units::Scale;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Instant;

const ALL: Portion = Portion::Share(1.0);

/// What makes a candidate good, as a file says it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AimName {
    /// The weighted mean of the benchmarks.
    #[default]
    Mean,
    /// How much the skill that suffers most keeps of its best expert.
    WorstDrop,
    /// Every candidate that is not beaten in all skills.
    Pareto,
}

/// A search as its file says it.
#[derive(Clone, Debug, Serialize, Deserialize)]
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
    /// What is made of the benchmarks.
    #[serde(default)]
    pub aim: AimName,
    /// The benchmarks; weights count relative to each other. A file may name the folder of one.
    pub objective: BTreeMap<BenchmarkId, Scale>,
    /// Which of them are one skill; each its own when left out.
    #[serde(default)]
    pub skills: BTreeMap<String, Vec<BenchmarkId>>,
    /// Where.
    pub space: Space,
    /// How.
    #[serde(default)]
    pub strategy: Strategy,
    /// The folders of those benchmarks that have one of their own.
    #[serde(skip)]
    pub folders: BTreeMap<BenchmarkId, PathBuf>,
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
        quest.name_benchmarks(path, folder)?;
        quest
            .check_skills()
            .map_err(|reason| ExperimentError::BadSearch { path: path.to_owned(), reason })?;
        quest.study(quest.space.candidates(quest.models.len())?, &[])?;
        Ok(quest)
    }

    /// Puts the benchmarks' own names where the file has their folders, which are looked for beside it first.
    fn name_benchmarks(&mut self, path: &Path, beside: &Path) -> Result<(), ExperimentError> {
        let mut names: BTreeMap<BenchmarkId, BenchmarkId> = BTreeMap::new();
        for (asked, weight) in std::mem::take(&mut self.objective) {
            let folder = [beside.join(asked.as_str()), PathBuf::from(asked.as_str())]
                .into_iter()
                .find(|folder| !Benchmark::known().contains(&asked.as_str()) && files::is_folder(folder));
            let id = match &folder {
                Some(folder) => Benchmark::from_folder(folder)?.id().clone(),
                None => Benchmark::open(asked.as_str())?.id().clone(),
            };
            if self.objective.insert(id.clone(), weight).is_some() {
                let reason =
                    format!("[objective] has two benchmarks with the name `{id}`; give one another name");
                return Err(ExperimentError::BadSearch { path: path.to_owned(), reason });
            }
            self.folders.extend(folder.map(|folder| (id.clone(), folder)));
            names.insert(asked, id);
        }
        for named in self.skills.values_mut().flatten() {
            if let Some(id) = names.get(named) {
                *named = id.clone();
            }
        }
        Ok(())
    }

    /// The benchmarks, opened.
    fn benchmarks(&self) -> Result<Vec<Benchmark>, ExperimentError> {
        let open = |id: &BenchmarkId| match self.folders.get(id) {
            Some(folder) => Benchmark::from_folder(folder),
            None => Benchmark::load(id),
        };
        Ok(self.objective.keys().map(open).collect::<Result<_, _>>()?)
    }

    /// Makes sure that the skills share the benchmarks out.
    fn check_skills(&self) -> Result<(), String> {
        if self.skills.is_empty() {
            return Ok(());
        }
        if self.aim == AimName::Mean {
            return Err(
                "[skills] goes with aim = \"worst_drop\" or \"pareto\"; a mean has weights instead".into()
            );
        }
        let of = |id: &BenchmarkId| self.skills.values().flatten().filter(|other| *other == id).count();
        if let Some(unknown) = self.skills.values().flatten().find(|id| !self.objective.contains_key(*id)) {
            return Err(format!("`{unknown}` is in [skills], but not in [objective]; name it there too"));
        }
        match self.objective.keys().map(|id| (id, of(id))).find(|(_, count)| *count != 1) {
            Some((id, 0)) => Err(format!("`{id}` of [objective] is in none of [skills]; put it into one")),
            Some((id, count)) => Err(format!("`{id}` is in [skills] {count} times; put it into one")),
            None => Ok(()),
        }
    }

    /// The aim, given the scores of each model alone, which only the worst drop needs. A best of 0 is left for others to refuse.
    fn aim(&self, alone: &[Scores]) -> Aim {
        let place = |id: &BenchmarkId| self.objective.keys().position(|other| other == id);
        let named: Vec<(String, Vec<usize>)> = if self.skills.is_empty() {
            self.objective.keys().enumerate().map(|(i, id)| (id.to_string(), vec![i])).collect()
        } else {
            let parts = |ids: &Vec<BenchmarkId>| ids.iter().filter_map(place).collect();
            self.skills.iter().map(|(name, ids)| (name.clone(), parts(ids))).collect()
        };
        let skill = |(name, parts): (String, Vec<usize>)| {
            let mut skill = Skill { name, parts, best: 0.0 };
            skill.best = alone.iter().map(|scores| skill.mean(scores).value).fold(0.0, f64::max);
            skill
        };
        match self.aim {
            AimName::Mean => Aim::Mean,
            AimName::WorstDrop => Aim::WorstDrop(named.into_iter().map(skill).collect()),
            AimName::Pareto => Aim::Pareto(named.into_iter().map(skill).collect()),
        }
    }

    /// The search at its beginning.
    fn study(&self, candidates: Vec<Candidate>, alone: &[Scores]) -> Result<Study, ExperimentError> {
        Ok(Study::new(candidates, &self.strategy, self.aim(alone))?)
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
    let lab = Lab::with(settings, quest.benchmarks()?, &whole)?;
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
    let mut field =
        Field { quest, lab: &lab, inputs, surveys: Surveys::default(), items, weights, tally: Rc::default() };
    let kept = Kept::new(lab.store(), field.key()?);
    let begun = Instant::now();
    let most = quest.strategy.looks(candidates.len()) * field.count(Split::Validation) as f64;
    let alone = if quest.aim == AimName::WorstDrop { quest.models.len() } else { 0 };
    let total = most.ceil() as u64 + (alone * field.count(Split::Validation)) as u64;
    watch.observe(&Event::Started { work: "searching", total: Some(total), unit: "items" });
    let mut study = match kept.load(watch)? {
        Some(study) => {
            let known = study.trials().iter().map(|trial| trial.scores.count() as u64).sum();
            watch.observe(&Event::Known { by: known });
            study
        }
        None => {
            quest.study(candidates, &if alone > 0 { field.alone(Split::Validation)? } else { Vec::new() })?
        }
    };
    refuse_nothing(study.aim(), Split::Validation)?;
    let tally = Rc::clone(&field.tally);
    let campaign: Campaign = Campaign::go_on::<ExperimentError>(&mut study, &mut field, &mut |study| {
        kept.save(study, tally.unscored.get())
    })?;
    watch.observe(&Event::Finished { took: begun.elapsed() });
    let best = campaign.best().candidate.clone();
    let of = campaign.measured.len();
    let generated = field.tally.generated();
    let text = format!("{best} chosen of {of} candidates; their answers have {generated} generated tokens");
    watch.observe(&Event::Note { text: &text });
    let found = field.report(&campaign)?;
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
    surveys: Surveys,
    items: BTreeMap<(BenchmarkId, Split), Vec<Item>>,
    weights: Vec<(f64, BenchmarkId)>,
    tally: Rc<Tally>,
}

impl Field<'_> {
    fn count(&self, split: Split) -> usize {
        self.items.iter().filter(|((_, of), _)| *of == split).map(|(_, items)| items.len()).sum()
    }

    /// Values of a model on the first items of a split, benchmark by benchmark.
    fn scores(&self, model: &Model, split: Split, portion: &Portion) -> Result<Scores, ExperimentError> {
        let mut subject = self.lab.subject(model)?;
        let values = self.weights.iter().enumerate().map(|(place, (weight, id))| {
            let some = portion.of(place, &self.items[&(id.clone(), split)]);
            let evaluation = self.lab.evaluate(&mut subject, id, &some)?;
            self.tally.unscored.set(self.tally.unscored.get() + evaluation.summary.unscored);
            if split == Split::Validation {
                self.tally.count(&evaluation, &some);
            }
            Ok((*weight, evaluation.values()))
        });
        Ok(Scores(values.collect::<Result<_, ExperimentError>>()?))
    }

    fn merged(&self, candidate: &Candidate) -> Result<Model, ExperimentError> {
        Model::merged(&self.quest.recipe(candidate), &self.inputs, &self.surveys, self.lab.watch())
    }

    /// Each model alone, in full.
    fn alone(&self, split: Split) -> Result<Vec<Scores>, ExperimentError> {
        self.inputs.models.iter().map(|model| self.scores(&Model::checkpoint(model), split, &ALL)).collect()
    }

    /// All that the course of the search depends on.
    fn key(&self) -> Result<Digest, ExperimentError> {
        let quest = serde_json::to_string(self.quest)
            .unwrap_or_else(|_| unreachable!("a search has string keys and finite numbers"));
        let mut form = Canonical::new("search/1").text("quest", &quest).digest("lab", self.lab.conditions());
        for checkpoint in self.inputs.base.iter().chain(&self.inputs.models) {
            form = form
                .digest("weights", checkpoint.digest()?)
                .digest("companions", checkpoint.companions().digest());
        }
        let items = self.items.iter().filter(|((_, split), _)| *split == Split::Validation);
        Ok(items
            .flat_map(|(_, items)| items)
            .fold(form, |form, item| form.digest("item", item.digest()))
            .finish())
    }

    fn report(&self, campaign: &Campaign) -> Result<Found, ExperimentError> {
        let best = &campaign.best().candidate;
        let winner = self.scores(&self.merged(best)?, Split::Test, &ALL)?;
        let alone = self.alone(Split::Test)?;
        // A drop on the test split is one from the best that a model has there.
        let aim = self.quest.aim(&alone);
        refuse_nothing(&aim, Split::Test)?;
        let uniform = Direction::uniform(self.quest.models.len());
        let bisector = Candidate { law: DirectionLaw::Uniform, direction: uniform, scale: best.scale };
        let bisector_scores = self.scores(&self.merged(&bisector)?, Split::Test, &ALL)?;
        let last = |name: &String| name.rsplit('/').next().unwrap_or(name).to_owned();
        let names = self.quest.models.iter().map(|name| format!("{} alone", last(name)));
        let rivals = names
            .zip(alone)
            .chain([(format!("bisector, s = {}", best.scale), bisector_scores)])
            .map(|(name, scores)| {
                let ahead = aim.ahead(&winner, &scores);
                let ci95 =
                    (100.0 * (ahead.value - ahead.half_width), 100.0 * (ahead.value + ahead.half_width));
                let ahead = Difference { points: 100.0 * ahead.value, ci95 };
                Rival { name, test: 100.0 * aim.fitness(&scores).value, ahead }
            })
            .collect();
        let test = aim.fitness(&winner);
        let entrants = campaign.measured.iter().map(|m| Entrant {
            direction: m.candidate.direction.weights().to_vec(),
            scale: m.candidate.scale.get(),
            validation: 100.0 * m.fitness.value,
            ci95: within(m.fitness),
            items: m.fitness.items,
            skills: m.skills.iter().map(|s| Figure { mean: 100.0 * s.value, ci95: within(*s) }).collect(),
        });
        Ok(Found {
            name: self.quest.name.clone(),
            models: self.quest.models.clone(),
            strategy: self.quest.strategy.name(),
            aim: match self.quest.aim {
                AimName::Mean => "mean",
                AimName::WorstDrop => "worst_drop",
                AimName::Pareto => "pareto",
            },
            skills: aim.skills().iter().map(|skill| skill.name.clone()).collect(),
            candidates: entrants.collect(),
            winner: campaign.winner,
            front: campaign.front.clone(),
            asked: campaign.asked,
            estimate: campaign.estimate.map(|(items, error)| EstimateNote { items, error: 100.0 * error }),
            in_full: campaign.measured.len() * self.count(Split::Validation),
            validation: 100.0 * campaign.best().fitness.value,
            test: 100.0 * test.value,
            test_ci95: within(test),
            test_items: test.items,
            test_skills: aim
                .skills()
                .iter()
                .map(|skill| Figure {
                    mean: 100.0 * skill.mean(&winner).value,
                    ci95: within(skill.mean(&winner).into()),
                })
                .collect(),
            rivals,
            unscored: self.tally.unscored.get(),
        })
    }
}

/// Refuses a skill that no model has, where drops are sought: they are shares of what the best one has.
fn refuse_nothing(aim: &Aim, split: Split) -> Result<(), ExperimentError> {
    let Aim::WorstDrop(skills) = aim else { return Ok(()) };
    match skills.iter().find(|skill| skill.best <= 0.0) {
        Some(skill) => Err(ExperimentError::NothingRight { skill: skill.name.clone(), split }),
        None => Ok(()),
    }
}

/// An interval in per cent. What is kept of an expert may be more than all.
fn within(Fitness { value, half_width, .. }: Fitness) -> (f64, f64) {
    (100.0 * (value - half_width).max(0.0), 100.0 * (value + half_width).min(value.max(1.0)))
}

impl Objective for Field<'_> {
    fn measure(&mut self, candidate: &Candidate, portion: &Portion) -> Result<Scores, ObjectiveError> {
        let measured =
            self.merged(candidate).and_then(|model| self.scores(&model, Split::Validation, portion));
        measured.map_err(|e| ObjectiveError(Box::new(e)))
    }
}
