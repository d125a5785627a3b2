//! What can be evaluated: a checkpoint, or a merge that nobody has written.

use super::{ExperimentError, Weights};
use crate::checkpoint::{
    Checkpoint, Companions, Gguf, ModelRef, OpenOptions, WriteOptions, write_checkpoint,
};
use crate::event::{Event, Observer};
use crate::files;
use crate::merge::{Asked, Inputs, MadeFrom, NamedInput, Plan, Provenance, Recipe, Record, Surveys, card};
use rayon::{ThreadPool, ThreadPoolBuilder};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;

/// Weights with what is needed to use them.
#[derive(Clone)]
pub struct Model {
    /// The weights.
    pub weights: Weights,
    /// Config and tokenizer.
    pub companions: Companions,
    /// What it is, for people.
    pub about: Value,
    /// How a merge came about; none for a checkpoint.
    pub provenance: Option<Provenance>,
    /// The threads that it is written with, where they are not all.
    pub(super) pool: Option<Arc<ThreadPool>>,
}

/// What a merge must keep to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Bounds<'a> {
    /// Where it will be written, if it will: there must be room.
    pub out: Option<&'a Path>,
    /// Bytes of memory; where all threads together need more, fewer of them work.
    pub memory: Option<u64>,
}

/// The file of a recipe, where `reference` names one: a file that is no GGUF file.
pub fn recipe_file(reference: &ModelRef) -> Option<&Path> {
    let place = Path::new(&reference.base.place);
    let plain = reference.adapter.is_none() && reference.base.revision.is_none();
    (plain && files::is_file(place) && !Gguf::is_one(place)).then_some(place)
}

impl Model {
    /// Opens what `reference` names: a file that is no GGUF file is a recipe (the seed of mergekit's random methods is 0),
    /// everything else a checkpoint.
    pub fn open(reference: &ModelRef, options: &OpenOptions<'_>) -> Result<Self, ExperimentError> {
        if let Some(path) = recipe_file(reference) {
            return Self::asked(&Asked::read(path, 0)?, Bounds::default(), options);
        }
        Ok(Self::checkpoint(&Checkpoint::open(reference, options)?))
    }

    /// A checkpoint of any kind as it is.
    pub fn checkpoint(checkpoint: &Checkpoint) -> Self {
        Self {
            weights: Weights::stored(checkpoint),
            companions: checkpoint.companions().clone(),
            about: json!({ "checkpoint": checkpoint.origin(), "path": checkpoint.path() }),
            provenance: None,
            pool: None,
        }
    }

    /// The merge that a recipe asks for. Everything that headers can tell is checked before the first weight is read.
    pub fn asked(
        asked: &Asked,
        bounds: Bounds<'_>,
        options: &OpenOptions<'_>,
    ) -> Result<Self, ExperimentError> {
        let watch = options.watch;
        let inputs = asked.open(options)?;
        let plan = asked.plan(&inputs, watch)?;
        if let Some(out) = bounds.out {
            check_room(out, &plan)?;
        }
        let pool = bounds.memory.map(|memory| pool_within(memory, &plan, &inputs)).transpose()?;
        asked.verify(&inputs)?;
        let provenance = Provenance { made_from: asked.made_from()?, inputs };
        let mut model = Self::planned(plan, provenance, None);
        model.pool = pool.map(Arc::new);
        if let Some(record) = asked.record().filter(|r| model.weights.digest().is_ok_and(|d| d != r.digest)) {
            let text = format!(
                "the record was made by m3 {}, whose rules this version ({}) has under another key: the weights may differ \
                 from those of the record",
                record.m3,
                env!("CARGO_PKG_VERSION")
            );
            watch.observe(&Event::Warning { text: &text });
        }
        Ok(model)
    }

    /// A merge of opened inputs, as a search makes them: what one of them finds out is left in `surveys` for the next.
    pub fn merged(
        recipe: &Recipe,
        inputs: &Inputs,
        surveys: &Surveys,
        watch: &dyn Observer,
    ) -> Result<Self, ExperimentError> {
        let plan = Plan::new(recipe, inputs, watch)?;
        let named = |(named, checkpoint): (&String, &Checkpoint)| NamedInput {
            named: named.clone(),
            checkpoint: checkpoint.clone(),
        };
        let made_from = MadeFrom::Recipe {
            asked: Box::new(recipe.clone()),
            direction: recipe.direction()?,
            coefficients: recipe.coefficients()?,
        };
        let inputs = recipe.names().zip(inputs.all()).map(named).collect();
        Ok(Self::planned(plan, Provenance { made_from, inputs }, Some(surveys)))
    }

    fn planned(plan: Plan, provenance: Provenance, surveys: Option<&Surveys>) -> Self {
        Self {
            companions: plan.companions().clone(),
            weights: Weights::merge(plan, surveys),
            about: json!(provenance.made_from),
            provenance: Some(provenance),
            pool: None,
        }
    }

    /// Writes it as a folder. Beside the weights of a merge stand `m3_recipe.json`, from which the same bytes come again, and
    /// a model card.
    pub fn write(
        &self,
        target: &Path,
        options: &WriteOptions,
        watch: &dyn Observer,
    ) -> Result<(), ExperimentError> {
        let extra = || {
            let Some(provenance) = &self.provenance else { return Ok(Vec::new()) };
            let record = Record::new(provenance, self.weights.digest()?)?;
            let name = target.file_name().map_or_else(|| "merge".into(), |name| name.to_string_lossy());
            Ok(vec![
                (Record::FILE.to_owned(), record.text().into_bytes()),
                ("README.md".to_owned(), card(&name, &record).into_bytes()),
            ])
        };
        within(self.pool.as_deref(), || {
            let weights = self.weights.open(watch)?;
            write_checkpoint(weights.as_ref(), &self.companions, target, options, extra, watch)
        })
    }
}

/// Works on the threads of a pool, or on all.
fn within<R: Send>(pool: Option<&ThreadPool>, work: impl FnOnce() -> R + Send) -> R {
    match pool {
        Some(pool) => pool.install(work),
        None => work(),
    }
}

/// As many threads as keep a merge within so many bytes.
fn pool_within(memory: u64, plan: &Plan, inputs: &[NamedInput]) -> Result<ThreadPool, ExperimentError> {
    let threads = plan
        .threads_within(memory, inputs, rayon::current_num_threads())
        .map_err(|needed| ExperimentError::NoMemory { memory, needed })?;
    Ok(ThreadPoolBuilder::new().num_threads(threads).build()?)
}

/// Makes sure that a merge fits where it will be written.
fn check_room(out: &Path, plan: &Plan) -> Result<(), ExperimentError> {
    let companions = plan.companions();
    let beside = companions.tokenizer.len() + companions.others.iter().map(|(_, b)| b.len()).sum::<usize>();
    let (needed, free) = (plan.bytes() + beside as u64, files::free_space(out)?);
    if needed <= free {
        return Ok(());
    }
    Err(ExperimentError::NoRoom { out: out.to_owned(), needed, free })
}
