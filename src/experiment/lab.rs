//! Engine, sandbox, benchmarks and store, plugged together: the one place that knows them all.

use super::{ExperimentError, Model};
use crate::bench::{Benchmark, DataSource, Item, Measure, Profile, Split, Tools, Verdict};
use crate::completion::Complete;
use crate::engine::{Engine, EngineSettings, ReferenceEngine};
use crate::evaluate::{Evaluation, Job, Subject, Summary, evaluate};
use crate::event::Observer;
use crate::ids::BenchmarkId;
use crate::runs::Store;
use crate::sandbox::{self, Sandbox};
use rayon::prelude::*;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

/// Who answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EngineChoice {
    /// Our own batched engine.
    #[default]
    Batched,
    /// candle-transformers' Llama, one request at a time: the oracle.
    Reference,
}

impl EngineChoice {
    /// Loads a model.
    pub fn load(self, model: &Model) -> Result<Box<dyn Complete>, crate::engine::EngineError> {
        let settings = EngineSettings::default();
        Ok(match self {
            Self::Batched => Box::new(Engine::load(model.weights.as_ref(), &model.companions, &settings)?),
            Self::Reference => {
                Box::new(ReferenceEngine::load(model.weights.as_ref(), &model.companions, &settings)?)
            }
        })
    }

    fn numerics(self) -> &'static str {
        match self {
            Self::Batched => Engine::NUMERICS,
            Self::Reference => ReferenceEngine::NUMERICS,
        }
    }
}

/// What a lab is made of.
pub struct LabSettings {
    /// Where answers and verdicts are kept.
    pub store: PathBuf,
    /// Where data comes from.
    pub data: DataSource,
    /// Who answers.
    pub engine: EngineChoice,
    /// How programs are confined.
    pub sandbox: sandbox::Settings,
    /// At most so many items of each benchmark, from the start of the split.
    pub limit: Option<usize>,
}

/// A place where models are evaluated.
pub struct Lab<'w> {
    settings: LabSettings,
    store: Store,
    sandbox: Option<Box<dyn Sandbox>>,
    benchmarks: BTreeMap<BenchmarkId, Benchmark>,
    watch: &'w dyn Observer,
}

impl<'w> Lab<'w> {
    /// Opens the store and loads `benchmarks`; opens the sandbox if one of them runs programs. Everything that can be
    /// wrong with these is said here, before any model is loaded.
    pub fn open<'b>(
        settings: LabSettings,
        benchmarks: impl IntoIterator<Item = &'b BenchmarkId>,
        watch: &'w dyn Observer,
    ) -> Result<Self, ExperimentError> {
        let benchmarks: Vec<Benchmark> =
            benchmarks.into_iter().map(Benchmark::load).collect::<Result<_, _>>()?;
        Self::with(settings, benchmarks, watch)
    }

    /// The same with benchmarks that are open already.
    pub fn with(
        settings: LabSettings,
        benchmarks: Vec<Benchmark>,
        watch: &'w dyn Observer,
    ) -> Result<Self, ExperimentError> {
        let loaded: BTreeMap<BenchmarkId, Benchmark> =
            benchmarks.into_iter().map(|benchmark| (benchmark.id().clone(), benchmark)).collect();
        let store = Store::open(&settings.store)?;
        let sandbox = if loaded.values().any(Benchmark::needs_programs) {
            Some(sandbox::open(&settings.sandbox)?)
        } else {
            None
        };
        Ok(Self { settings, store, sandbox, benchmarks: loaded, watch })
    }

    /// Who watches.
    pub fn watch(&self) -> &'w dyn Observer {
        self.watch
    }

    /// The items of a benchmark's split, within the limit.
    pub fn items(&self, id: &BenchmarkId, split: Split) -> Result<Vec<Item>, ExperimentError> {
        let mut items = self.benchmark(id)?.items(&self.settings.data, split)?;
        items.truncate(self.settings.limit.unwrap_or(usize::MAX));
        Ok(items)
    }

    /// One of its benchmarks.
    pub fn benchmark(&self, id: &BenchmarkId) -> Result<&Benchmark, ExperimentError> {
        match self.benchmarks.get(id) {
            Some(benchmark) => Ok(benchmark),
            // Not among those it was opened with; loading says what is wrong with an unknown name.
            None => Err(Benchmark::load(id).err().map_or_else(
                || ExperimentError::Lacks {
                    suite: "lab".into(),
                    what: "benchmark",
                    name: id.to_string(),
                    table: "the evaluation",
                },
                ExperimentError::Bench,
            )),
        }
    }

    /// A model under test, loaded when it is first needed.
    pub fn subject(&self, model: &Model) -> Result<Subject<'static>, ExperimentError> {
        let engine = self.settings.engine;
        let loaded = Model { weights: Arc::clone(&model.weights), ..model.clone() };
        Ok(Subject::new(
            model.weights.digest()?,
            model.companions.digest(),
            engine.numerics().to_owned(),
            model.about.clone(),
            move || Ok(engine.load(&loaded)?),
        ))
    }

    /// Evaluates a model on one benchmark's items.
    pub fn evaluate(
        &self,
        subject: &mut Subject<'_>,
        id: &BenchmarkId,
        items: &[Item],
    ) -> Result<Evaluation, ExperimentError> {
        let benchmark = self.benchmark(id)?;
        let sandbox = self.sandbox.as_deref().filter(|_| benchmark.needs_programs());
        let job =
            Job { benchmark, items, tools: Tools { sandbox }, confinement: sandbox.map(Sandbox::describe) };
        Ok(evaluate(subject, &job, &self.store, self.watch)?)
    }

    /// The verdicts of each of a profile's measures on answers that are there.
    pub fn score(
        &self,
        evaluation: &Evaluation,
        items: &[Item],
        profile: Profile,
    ) -> Result<Vec<(String, Summary)>, ExperimentError> {
        let benchmark = self.benchmark(&evaluation.benchmark)?;
        let tools = Tools { sandbox: self.sandbox.as_deref().filter(|_| benchmark.needs_programs()) };
        let one = |measure: &Measure<'_>| {
            let verdicts: Vec<Verdict> = items
                .par_iter()
                .zip(&evaluation.answers)
                .map(|(item, answer)| match &answer.text {
                    Ok(text) => measure.score(item, text, &tools),
                    Err(refusal) => Verdict::refused(refusal),
                })
                .collect();
            (measure.name.to_owned(), Summary::of(&verdicts))
        };
        Ok(benchmark.measures(profile)?.iter().map(one).collect())
    }

    /// The folder of an evaluation's run.
    pub fn folder(&self, evaluation: &Evaluation) -> PathBuf {
        self.settings.store.join("runs").join(evaluation.run.as_str())
    }
}
