//! Engine, sandbox, benchmarks and store, plugged together: the one place that knows them all.

use super::{ExperimentError, Holdout, Model};
use crate::bench::{Benchmark, DataSource, Item, Measure, Profile, Split, Tools, Verdict};
use crate::completion::Complete;
use crate::digest::{Canonical, Digest};
use crate::engine::{
    ChatTemplate, Device, Engine, EngineError, EngineSettings, Limits, Precision, ReferenceEngine,
};
use crate::evaluate::{Evaluation, Job, Subject, Summary, ask_together, evaluate};
use crate::event::{Event, Observer};
use crate::ids::BenchmarkId;
use crate::remote::{Remote, RemoteSettings};
use crate::runs::{Replies, Store};
use crate::sandbox::{self, Sandbox};
use rayon::prelude::*;
use serde_json::json;
use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// Who answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EngineChoice {
    /// Our own batched engine.
    #[default]
    Batched,
    /// The same with products in bfloat16.
    Bf16,
    /// Our own on the NVIDIA GPU with this number.
    Gpu(usize),
    /// candle-transformers' Llama, one request at a time: the oracle.
    Reference,
}

impl EngineChoice {
    /// Loads a model, with a batch as large as the machine's memory allows.
    pub fn load(self, model: &Model, watch: &dyn Observer) -> Result<Box<dyn Complete>, EngineError> {
        self.load_within(model, Limits::default(), watch)
    }

    /// Loads a model, with a batch as large as `limits` allow.
    ///
    /// What does not fit is refused before a merge is surveyed.
    pub fn load_within(
        self,
        model: &Model,
        limits: Limits,
        watch: &dyn Observer,
    ) -> Result<Box<dyn Complete>, EngineError> {
        let companions = &model.companions;
        let within = |precision| {
            EngineSettings::within(&companions.config, model.weights.manifest(), precision, limits)
        };
        let open = || model.weights.open(watch);
        Ok(match self {
            Self::Batched => {
                let settings = within(Precision::Source)?;
                Box::new(Engine::load(open()?.as_ref(), companions, &settings)?)
            }
            Self::Bf16 => {
                let settings = within(Precision::Bf16)?;
                Box::new(Engine::load(open()?.as_ref(), companions, &settings)?)
            }
            Self::Gpu(number) => {
                let device = Device::gpu(number)?;
                let settings = EngineSettings::within_device(&device, &companions.config, limits)?;
                Box::new(Engine::load_on(&device, open()?.as_ref(), companions, &settings)?)
            }
            Self::Reference => {
                let settings = within(Precision::Source)?;
                Box::new(ReferenceEngine::load(open()?.as_ref(), companions, &settings)?)
            }
        })
    }

    /// Who answers, whatever the question: the weights, what goes with them, and how numbers are computed.
    pub fn identity(self, model: &Model) -> Result<String, ExperimentError> {
        let (weights, companions) = (model.weights.digest()?, model.companions.digest());
        Ok(format!("{weights} {companions} {}", self.numerics()))
    }

    fn numerics(self) -> &'static str {
        match self {
            Self::Batched => Engine::cpu_numerics(Precision::Source),
            Self::Bf16 => Engine::cpu_numerics(Precision::Bf16),
            Self::Gpu(_) => Engine::NUMERICS_GPU,
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
    /// How much of the machine the engine may take.
    pub limits: Limits,
    /// How programs are confined.
    pub sandbox: sandbox::Settings,
    /// At most so many items of each benchmark, from the start of the split.
    pub limit: Option<usize>,
    /// Where published data has no split to choose on.
    pub holdout: Option<Holdout>,
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
            let sandbox = sandbox::open(&settings.sandbox)?;
            if let Some(text) = sandbox.caution() {
                watch.observe(&Event::Warning { text: &text });
            }
            Some(sandbox)
        } else {
            None
        };
        Ok(Self { settings, store, sandbox, benchmarks: loaded, watch })
    }

    /// Where answers and verdicts are kept.
    pub(super) fn store(&self) -> &Path {
        &self.settings.store
    }

    /// What every verdict depends on beside model and item: how numbers are computed, how programs are confined, and the
    /// benchmarks.
    pub(super) fn conditions(&self) -> Digest {
        let confinement = self.sandbox.as_ref().map(|sandbox| sandbox.describe()).unwrap_or_default();
        let form = Canonical::new("lab/1")
            .text("numerics", self.settings.engine.numerics())
            .text("confinement", &confinement);
        self.benchmarks.values().fold(form, |form, b| form.digest("benchmark", b.digest())).finish()
    }

    /// Who watches.
    pub fn watch(&self) -> &'w dyn Observer {
        self.watch
    }

    /// The items of a benchmark's split, within the limit.
    pub fn items(&self, id: &BenchmarkId, split: Split) -> Result<Vec<Item>, ExperimentError> {
        let LabSettings { data, holdout, limit, .. } = &self.settings;
        items(self.benchmark(id)?, data, *holdout, *limit, split)
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
    pub fn subject(&self, model: &Model) -> Result<Subject<'w>, ExperimentError> {
        let (engine, limits, watch) = (self.settings.engine, self.settings.limits, self.watch);
        let loaded = Rc::new(model.clone());
        let (described, template) = (Rc::clone(&loaded), OnceCell::new());
        Ok(Subject::new(
            model.weights.digest()?,
            model.companions.digest(),
            engine.numerics().to_owned(),
            model.about.clone(),
            move || Ok(engine.load_within(&loaded, limits, watch)?),
            move |turns| {
                let template = template.get_or_init(|| ChatTemplate::of(&described.companions));
                Ok(template.as_ref().map_err(ToString::to_string)?.render(turns)?)
            },
        ))
    }

    /// A model that a server serves. What its weights are cannot be known from here: it is known by the server's address and
    /// the model's name, and whoever changes what is served under the same name takes another store.
    pub fn served(&self, server: RemoteSettings) -> Subject<'w> {
        let of = |what: &str| {
            Canonical::new(what).text("address", &server.base_url).text("model", &server.model).finish()
        };
        let about = json!({ "served": server.model, "address": server.base_url });
        let (weights, companions, watch) = (of("served weights/1"), of("served companions/1"), self.watch);
        Subject::new(
            weights,
            companions,
            Remote::NUMERICS.to_owned(),
            about,
            move || Ok(Box::new(Remote::new(server.clone(), watch))),
            |_| Err("the server has it, and is asked for texts; leave the chat template out".into()),
        )
    }

    /// Evaluates a model on one benchmark's items.
    pub fn evaluate(
        &self,
        subject: &mut Subject<'_>,
        id: &BenchmarkId,
        items: &[Item],
    ) -> Result<Evaluation, ExperimentError> {
        self.evaluate_as(subject, self.benchmark(id)?, items)
    }

    /// Evaluates a model on the items of a benchmark that the lab does not have, such as one with another prompt.
    pub(super) fn evaluate_as(
        &self,
        subject: &mut Subject<'_>,
        benchmark: &Benchmark,
        items: &[Item],
    ) -> Result<Evaluation, ExperimentError> {
        let sandbox = self.sandbox.as_deref().filter(|_| benchmark.needs_programs());
        let job =
            Job { benchmark, items, tools: Tools { sandbox }, confinement: sandbox.map(Sandbox::describe) };
        Ok(evaluate(subject, &job, &self.store, self.watch)?)
    }

    /// Asks the items under several prompts, item by item; answers are kept, and nothing is scored. The benchmarks run no programs,
    /// and differ. How many questions were asked.
    pub(super) fn ask_together(
        &self,
        subject: &mut Subject<'_>,
        benchmarks: &[Benchmark],
        items: &[Item],
        watch: &dyn Observer,
    ) -> Result<usize, ExperimentError> {
        let job = |benchmark| Job { benchmark, items, tools: Tools::default(), confinement: None };
        let jobs: Vec<Job<'_>> = benchmarks.iter().map(job).collect();
        Ok(ask_together(subject, &jobs, &self.store, watch)?)
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

    /// The replies of judges that are known.
    pub fn replies(&self) -> Result<Replies, ExperimentError> {
        Ok(self.store.replies()?)
    }

    /// The folder of an evaluation's run.
    pub fn folder(&self, evaluation: &Evaluation) -> PathBuf {
        self.settings.store.join("runs").join(evaluation.run.as_str())
    }
}

/// The items of a benchmark's split, within the limit. Where items are held out, both splits are parts of the test split.
pub(super) fn items(
    benchmark: &Benchmark,
    data: &DataSource,
    holdout: Option<Holdout>,
    limit: Option<usize>,
    split: Split,
) -> Result<Vec<Item>, ExperimentError> {
    let mut items = match holdout {
        None => benchmark.items(data, split)?,
        Some(holdout) => {
            let mut all = benchmark.items(data, Split::Test)?;
            all.retain(|item| holdout.holds(benchmark.id(), &item.id) == (split == Split::Validation));
            all
        }
    };
    items.truncate(limit.unwrap_or(usize::MAX));
    Ok(items)
}
