//! What can be evaluated: a checkpoint, or a merge that nobody has written.

use super::ExperimentError;
use crate::checkpoint::{
    Checkpoint, Companions, Folder, Gguf, HubOptions, ModelRef, OpenOptions, TensorSource, WriteOptions,
    write_checkpoint,
};
use crate::event::Observer;
use crate::files;
use crate::merge::{Inputs, Mergekit, Plan, Recipe};
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
    /// What it is, for people and for replay.
    pub about: Value,
}

impl Model {
    /// Opens what `reference` names: a file that is no GGUF file is a recipe, everything else a checkpoint.
    pub fn open(
        reference: &ModelRef,
        hub: &HubOptions,
        watch: &dyn Observer,
    ) -> Result<Self, ExperimentError> {
        match reference {
            ModelRef { base: location, adapter: None }
                if files::is_file(Path::new(&location.place))
                    && !Gguf::is_one(Path::new(&location.place)) =>
            {
                Self::recipe(Path::new(&location.place), hub, watch)
            }
            _ => {
                let options = OpenOptions { hub: hub.clone(), watch };
                Ok(Self::checkpoint(&Checkpoint::open(reference, &options)?))
            }
        }
    }

    /// The merge of a recipe file, mergekit's where it ends in `.yml` or `.yaml`; the seed of that is 0.
    pub fn recipe(path: &Path, hub: &HubOptions, watch: &dyn Observer) -> Result<Self, ExperimentError> {
        if Mergekit::is_named(path) {
            return Self::mergekit(&Mergekit::read(path)?, 0, hub, watch);
        }
        let recipe = Recipe::read(path)?;
        let inputs = Inputs::open(&recipe)?;
        Self::merged(&recipe, inputs, watch)
    }

    /// A checkpoint of any kind as it is.
    pub fn checkpoint(checkpoint: &Checkpoint) -> Self {
        Self {
            weights: Arc::new(checkpoint.clone()),
            companions: checkpoint.companions().clone(),
            about: json!({ "checkpoint": checkpoint.origin(), "path": checkpoint.path() }),
        }
    }

    /// A checkpoint as it is.
    pub fn folder(folder: &Arc<Folder>) -> Self {
        Self {
            weights: folder.clone(),
            companions: folder.companions().clone(),
            about: json!({ "folder": folder.path() }),
        }
    }

    /// A merge of opened inputs.
    pub fn merged(recipe: &Recipe, inputs: Inputs, watch: &dyn Observer) -> Result<Self, ExperimentError> {
        let plan = Plan::new(recipe, inputs, watch)?;
        let companions = plan.companions().clone();
        let about = json!({ "recipe": recipe, "coefficients": plan.coefficients() });
        Ok(Self { weights: Arc::new(plan.survey(watch)?), companions, about })
    }

    /// The merge of a mergekit configuration; `seed` is that of its random methods.
    pub fn mergekit(
        recipe: &Mergekit,
        seed: u64,
        hub: &HubOptions,
        watch: &dyn Observer,
    ) -> Result<Self, ExperimentError> {
        let plan = recipe.plan(seed, hub, watch)?;
        let companions = plan.companions().clone();
        let about = json!({ "mergekit": recipe.text(), "seed": seed });
        Ok(Self { weights: Arc::new(plan.survey(watch)?), companions, about })
    }

    /// Writes it as a folder, with `m3_recipe.json` beside the weights: what it is, down to the drawn numbers and the
    /// digest of the inputs, so that the same bytes can be made again.
    pub fn write(
        &self,
        target: &Path,
        options: &WriteOptions,
        watch: &dyn Observer,
    ) -> Result<(), ExperimentError> {
        let record = || {
            let record = json!({
                "m3": env!("CARGO_PKG_VERSION"),
                "made_from": self.about,
                "digest": self.weights.digest()?,
            });
            Ok(vec![("m3_recipe.json".to_owned(), format!("{record:#}\n").into_bytes())])
        };
        Ok(write_checkpoint(self.weights.as_ref(), &self.companions, target, options, record, watch)?)
    }
}
