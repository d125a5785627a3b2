//! What can be evaluated: a checkpoint, or a merge that nobody has written.

use super::ExperimentError;
use crate::checkpoint::{
    Checkpoint, Companions, Gguf, HubOptions, ModelRef, OpenOptions, TensorSource, WriteOptions,
    write_checkpoint,
};
use crate::event::{Event, Observer};
use crate::files;
use crate::merge::{Asked, Inputs, MadeFrom, NamedInput, Plan, Provenance, Recipe, Record, card};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;

/// Weights with what is needed to use them.
#[derive(Clone)]
pub struct Model {
    /// The weights.
    pub weights: Arc<dyn TensorSource>,
    /// Config and tokenizer.
    pub companions: Companions,
    /// What it is, for people.
    pub about: Value,
    /// How a merge came about; none for a checkpoint.
    pub provenance: Option<Provenance>,
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
    pub fn open(
        reference: &ModelRef,
        hub: &HubOptions,
        watch: &dyn Observer,
    ) -> Result<Self, ExperimentError> {
        if let Some(path) = recipe_file(reference) {
            return Self::asked(&Asked::read(path, 0)?, None, hub, watch);
        }
        let options = OpenOptions { hub: hub.clone(), watch };
        Ok(Self::checkpoint(&Checkpoint::open(reference, &options)?))
    }

    /// A checkpoint of any kind as it is.
    pub fn checkpoint(checkpoint: &Checkpoint) -> Self {
        Self {
            weights: Arc::new(checkpoint.clone()),
            companions: checkpoint.companions().clone(),
            about: json!({ "checkpoint": checkpoint.origin(), "path": checkpoint.path() }),
            provenance: None,
        }
    }

    /// The merge that a recipe asks for. `out` is where it will be written, if it will: there must be room. Everything that
    /// headers can tell is checked before the first weight is read.
    pub fn asked(
        asked: &Asked,
        out: Option<&Path>,
        hub: &HubOptions,
        watch: &dyn Observer,
    ) -> Result<Self, ExperimentError> {
        let inputs = asked.open(&OpenOptions { hub: hub.clone(), watch })?;
        let plan = asked.plan(&inputs, watch)?;
        if let Some(out) = out {
            check_room(out, &plan)?;
        }
        asked.verify(&inputs)?;
        let model = Self::planned(plan, Provenance { made_from: asked.made_from()?, inputs }, watch)?;
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

    /// A merge of opened inputs, as a search makes them.
    pub fn merged(recipe: &Recipe, inputs: &Inputs, watch: &dyn Observer) -> Result<Self, ExperimentError> {
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
        Self::planned(plan, Provenance { made_from, inputs }, watch)
    }

    fn planned(plan: Plan, provenance: Provenance, watch: &dyn Observer) -> Result<Self, ExperimentError> {
        Ok(Self {
            companions: plan.companions().clone(),
            weights: Arc::new(plan.survey(watch)?),
            about: json!(provenance.made_from),
            provenance: Some(provenance),
        })
    }

    /// Writes it as a folder. Beside the weights of a merge stand `m3_recipe.json`, from which the same bytes come again, and
    /// a model card.
    pub fn write(
        &self,
        target: &Path,
        mut options: WriteOptions,
        watch: &dyn Observer,
    ) -> Result<(), ExperimentError> {
        if let Some(provenance) = &self.provenance {
            let record = Record::new(provenance, self.weights.digest()?)?;
            let name = target.file_name().map_or_else(|| "merge".into(), |name| name.to_string_lossy());
            options.extra.push((Record::FILE.to_owned(), record.text().into_bytes()));
            options.extra.push(("README.md".to_owned(), card(&name, &record).into_bytes()));
        }
        Ok(write_checkpoint(self.weights.as_ref(), &self.companions, target, &options, watch)?)
    }
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
