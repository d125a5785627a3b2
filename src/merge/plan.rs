//! A recipe with its inputs opened and checked against each other, before any work.

use super::arithmetic::Arithmetic;
use super::identity::of_merge;
use super::rule::{Along, Blend, Divisor, Elect, Input, Job, Part, Sources, Sparsify};
use super::survey::{Surveys, survey};
use super::vocabulary;
use super::{Combine, MergeError, MergedView, Recipe};
use crate::checkpoint::{
    Checkpoint, CheckpointError, Companions, Manifest, ModelRef, OpenOptions, TensorInfo, TensorSource,
};
use crate::digest::Digest;
use crate::event::Observer;
use crate::ids::TensorName;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The opened inputs of a merge. A search opens them once for all its candidates.
#[derive(Clone, Debug)]
pub struct Inputs {
    /// The pre-trained model, where there is one.
    pub base: Option<Checkpoint>,
    /// The fine-tuned models, in the recipe's order.
    pub models: Vec<Checkpoint>,
}

impl Inputs {
    /// Opens what the recipe names. A path is looked for in the folder `beside` first, then from the working folder.
    pub fn open(recipe: &Recipe, beside: &Path, options: &OpenOptions<'_>) -> Result<Self, MergeError> {
        let open = |name: &String| Checkpoint::open(&ModelRef::parse_in(name, beside)?, options);
        let base = recipe.base.as_ref().map(open).transpose()?;
        let models = recipe.models.iter().map(open).collect::<Result<_, _>>()?;
        Ok(Self { base, models })
    }

    /// Base first, then the models.
    pub fn all(&self) -> impl Iterator<Item = &Checkpoint> {
        self.base.iter().chain(&self.models)
    }
}

/// An input as the merge reads it.
#[derive(Clone)]
pub(super) struct Opened {
    /// Where it is, for messages.
    pub(super) path: PathBuf,
    pub(super) companions: Companions,
    pub(super) weights: Arc<dyn TensorSource>,
}

impl Opened {
    pub(super) fn checkpoint(checkpoint: &Checkpoint) -> Self {
        let (path, companions) = (checkpoint.path().to_owned(), checkpoint.companions().clone());
        Self { path, companions, weights: Arc::new(checkpoint.clone()) }
    }
}

/// Names, shapes and element types of the result, after checking that every input has these tensors in these shapes. The
/// first input says the element types.
fn tensors(inputs: &[Opened]) -> Result<BTreeMap<TensorName, TensorInfo>, MergeError> {
    let Some(donor) = inputs.first() else { return Ok(BTreeMap::new()) };
    let mut tensors: BTreeMap<_, _> =
        donor.weights.manifest().iter().map(|(name, info)| (name.clone(), info.clone())).collect();
    // A head of its own in one input makes one in the result; in a tied input the embedding stands for it.
    for input in inputs {
        if let Some(info) = input.weights.manifest().get(&head()) {
            tensors.entry(head()).or_insert_with(|| info.clone());
        }
    }
    for input in inputs {
        let manifest = input.weights.manifest();
        for (tensor, info) in &tensors {
            let Some(there) = manifest.get(&stand_in(input, tensor)) else {
                return Err(MergeError::TensorMissing {
                    tensor: tensor.clone(),
                    has: donor.path.clone(),
                    lacks: input.path.clone(),
                });
            };
            if there.shape != info.shape {
                return Err(MergeError::ShapeDiffers {
                    tensor: tensor.clone(),
                    a: donor.path.clone(),
                    a_shape: info.shape.clone(),
                    b: input.path.clone(),
                    b_shape: there.shape.clone(),
                });
            }
        }
        if let Some((tensor, _)) = manifest.iter().find(|(name, _)| !tensors.contains_key(*name)) {
            return Err(MergeError::TensorMissing {
                tensor: tensor.clone(),
                has: input.path.clone(),
                lacks: donor.path.clone(),
            });
        }
    }
    Ok(tensors)
}

/// The output head.
pub(super) fn head() -> TensorName {
    TensorName::from("lm_head.weight")
}

/// The tensor of `input` that is read for `tensor`: in a model with a tied head the embedding is the head.
pub(super) fn stand_in(input: &Opened, tensor: &TensorName) -> TensorName {
    let tied = *tensor == head()
        && input.companions.config.tied_head
        && input.weights.manifest().get(tensor).is_none();
    if tied { TensorName::from("model.embed_tokens.weight") } else { tensor.clone() }
}

/// What is said where a recipe comes with models that it does not name.
pub(super) const OTHER_MODELS: &str = "the opened models are not those of the recipe";

/// A checked merge.
pub struct Plan {
    pub(super) sources: Sources,
    pub(super) jobs: BTreeMap<TensorName, Job>,
    companions: Companions,
}

impl Plan {
    /// Checks the recipe and its inputs. Reads nothing but what is already open.
    ///
    /// Config, tokenizer and element types of the merge are those of the base, or without one of the first model.
    pub fn new(recipe: &Recipe, inputs: &Inputs, watch: &dyn Observer) -> Result<Self, MergeError> {
        let rule = Rule::new(recipe)?;
        let first_model = usize::from(inputs.base.is_some());
        if inputs.base.is_some() != recipe.base.is_some() || inputs.models.len() != recipe.models.len() {
            return Err(MergeError::Contradiction { what: OTHER_MODELS });
        }
        let mut opened: Vec<Opened> = inputs.all().map(Opened::checkpoint).collect();
        vocabulary::align(&mut opened, &recipe.vocabulary.policy(recipe.base.is_some()), watch)?;
        let tensors = tensors(&opened)?;
        let mut companions = opened[0].companions.clone();
        if tensors.contains_key(&head()) && companions.config.tied_head {
            companions.config.tied_head = false;
            companions.config_json.insert("tie_word_embeddings".into(), false.into());
        }
        let input =
            |source: usize, tensor: &TensorName| Input { source, tensor: stand_in(&opened[source], tensor) };
        let jobs = tensors
            .into_iter()
            .map(|(name, info)| {
                let parts =
                    rule.weights.iter().enumerate().filter(|(_, w)| !rule.skips(**w)).map(|(k, w)| {
                        Part::new(input(first_model + k, &name), *w, recipe.sparsify.clone(), k)
                    });
                let job = Job {
                    info: TensorInfo { dtype: recipe.dtype.unwrap_or(info.dtype), shape: info.shape },
                    base: rule.base.then(|| input(0, &name)),
                    parts: parts.collect(),
                    blend: rule.blend,
                    arithmetic: Arithmetic::Exact,
                    through: None,
                };
                (name, job)
            })
            .collect();
        let sources = opened.iter().map(|o| o.weights.clone()).collect();
        Ok(Self { sources, jobs, companions })
    }

    /// A plan whose jobs were made and checked elsewhere. They read `sources` by number.
    pub(super) fn of_jobs(sources: Sources, jobs: BTreeMap<TensorName, Job>, companions: Companions) -> Self {
        Self { sources, jobs, companions }
    }

    /// Replaces the random numbers of every part: by the model's name and the tensor.
    #[cfg(test)]
    pub(super) fn replace_draws(
        &mut self,
        stored: &dyn Fn(&str, &TensorName) -> Arc<dyn crate::random::Draws>,
        names: &[String],
    ) {
        for part in self.jobs.values_mut().flat_map(|job| &mut job.parts) {
            let (model, tensor) = (&names[part.input.source], &part.input.tensor);
            part.draws.iter_mut().flatten().for_each(|draws| *draws = stored(model, tensor));
        }
    }

    /// Shape and element type of a tensor of the result.
    #[cfg(test)]
    pub(super) fn info(&self, name: &str) -> Option<TensorInfo> {
        self.jobs.get(&TensorName::from(name)).map(|job| job.info.clone())
    }

    /// Names, shapes and element types of the result.
    pub fn manifest(&self) -> Manifest {
        self.jobs.iter().map(|(name, job)| (name.clone(), job.info.clone())).collect()
    }

    /// Config and tokenizer of the result.
    pub fn companions(&self) -> &Companions {
        &self.companions
    }

    /// What the merge is, by inputs and rules, not by the bytes of the result ([`MergedView`] has the same digest). Reads
    /// the weights of those inputs whose digest is not known yet.
    pub fn digest(&self) -> Result<Digest, CheckpointError> {
        of_merge(&self.sources, &self.jobs.iter().collect::<Vec<_>>())
    }

    /// Finds what must be known of whole tensors and of the whole model (a TIES cut, say) and makes the merged weights,
    /// computed as they are read. Recipes that need no such facts read nothing here, and what is among `surveys` is not
    /// sought again.
    pub fn survey(
        &self,
        surveys: Option<&Surveys>,
        watch: &dyn Observer,
    ) -> Result<MergedView, CheckpointError> {
        let facts = survey(&self.sources, &self.jobs.values().collect::<Vec<_>>(), surveys, watch)?;
        let jobs = self.jobs.iter().map(|(name, job)| (name.clone(), job.clone()));
        let tensors = jobs.zip(facts).map(|((name, job), facts)| (name, (job, facts)));
        Ok(MergedView::new(self.sources.clone(), tensors.collect()))
    }
}

/// A recipe in the terms of one tensor, the same for all.
struct Rule {
    blend: Blend,
    weights: Vec<f64>,
    /// Whether the base takes part.
    base: bool,
}

impl Rule {
    fn new(recipe: &Recipe) -> Result<Self, MergeError> {
        let fail = |what| Err(MergeError::Contradiction { what });
        let mut weights = recipe.weights()?;
        let models = weights.len();
        let (base, scale) = (recipe.base.is_some(), recipe.scale.get());
        for step in &recipe.sparsify {
            if let Sparsify::Della { density, epsilon, .. } = step
                && density.get() < 1.0
                && !(*epsilon >= 0.0 && density.get() - epsilon > 0.0 && density.get() + epsilon < 1.0)
            {
                return fail("della: density - epsilon and density + epsilon must lie between 0 and 1");
            }
        }
        if !recipe.sparsify.is_empty() && !base {
            return fail("`sparsify` works on deltas, which need the pre-trained model: name it in `base`");
        }
        let arc = matches!(recipe.combine, Combine::Slerp | Combine::Nuslerp | Combine::ModelStock);
        if arc && !recipe.sparsify.is_empty() {
            return fail("slerp, nuslerp and model_stock take whole models: leave `sparsify` out");
        }
        if (arc || recipe.combine == Combine::Average) && scale != 1.0 {
            return fail(
                "this way to combine has no magnitude: leave `scale` at 1, or combine by task_arithmetic",
            );
        }
        if arc && recipe.combine != Combine::ModelStock && (models != 2 || recipe.proportion.is_none()) {
            return fail("slerp and nuslerp go between two models: name two, and their `proportion`");
        }
        // One model alone with weight one is the result itself, bit for bit.
        let alone = recipe.sparsify.is_empty()
            && scale == 1.0
            && !arc
            && weights.iter().filter(|w| **w != 0.0).count() == 1
            && weights.contains(&1.0);
        if alone {
            return Ok(Self {
                blend: Blend::Models { divisor: Divisor::One, fused: false },
                weights,
                base: false,
            });
        }
        let blend = match recipe.combine {
            Combine::Average if !base => Blend::Models { divisor: Divisor::One, fused: false },
            Combine::Average => Blend::Deltas { divisor: Divisor::One, scale: 1.0 },
            Combine::TaskArithmetic | Combine::Ties if !base => {
                return fail("this way to combine needs the pre-trained model: name it in `base`");
            }
            // Nothing is rounded in between, so s·λ_k is one number, and equal coefficients are equal merges.
            Combine::TaskArithmetic => {
                weights = recipe.coefficients()?;
                Blend::Deltas { divisor: Divisor::One, scale: 1.0 }
            }
            Combine::Ties => Blend::Consensus { elect: Elect::Plain, divisor: Divisor::Weights, scale },
            Combine::Slerp => Blend::Slerp { t: weights[1] },
            Combine::Nuslerp => Blend::NuSlerp { t: weights[1], along: Along::Whole },
            Combine::ModelStock if !base || models < 2 => {
                return fail("model_stock needs the pre-trained model in `base` and at least two models");
            }
            Combine::ModelStock if recipe.proportion.is_some() => {
                return fail("model_stock weighs all models the same: leave `proportion` out");
            }
            Combine::ModelStock => Blend::ModelStock { rows: false },
        };
        Ok(Self { blend, weights, base: base && recipe.combine != Combine::Slerp })
    }

    /// Whether a model with this weight need not be read. An election counts its vote.
    fn skips(&self, weight: f64) -> bool {
        weight == 0.0 && matches!(self.blend, Blend::Models { .. } | Blend::Deltas { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(text: &str) -> Result<(), String> {
        let full = format!("base = \"b\"\nmodels = [\"x\", \"y\"]\n{text}");
        let recipe: Recipe = toml::from_str(&full).map_err(|e| e.to_string())?;
        Rule::new(&recipe).map(|_| ()).map_err(|e| e.to_string())
    }

    #[test]
    fn mistakes_are_named() {
        let della = "{ method = \"della\", density = 0.5, epsilon = 0.6 }";
        for (text, names) in [
            ("combine = \"tie\"", "task_arithmetic"),
            ("combine = \"average\"\nscale = 0.5", "magnitude"),
            ("combine = \"average\"\nproportion = { law = \"lambda\", lambda = 1.5 }", "between 0 and 1"),
            ("combine = \"average\"\nproportion = { law = \"beta\", alpha = 0.0, seed = 1 }", "above 0"),
            (
                "combine = \"average\"\nproportion = { law = \"beta\", alpha = 0.5, seed = 1, beta = 2 }",
                "beta",
            ),
            ("combine = \"average\"\nlambda = 0.5", "lambda"),
            ("combine = \"average\"\nproportion = { law = \"fixed\", weights = [0.5, 0.6] }", "sum to one"),
            ("combine = \"average\"\nproportion = { law = \"fixed\", weights = [1.0] }", "each model"),
            ("combine = \"task_arithmetic\"\nscale = -1.0", "above 0"),
            ("combine = \"slerp\"", "proportion"),
            ("combine = \"model_stock\"\nproportion = { law = \"uniform\" }", "proportion"),
            (&format!("combine = \"slerp\"\nsparsify = [{della}]"), "density + epsilon"),
            ("combine = \"ties\"\nsparsify = [{ method = \"dare\", drop = 1.0 }]", "below 1"),
            ("combine = \"ties\"\nsparsify = [{ method = \"trim\", density = 0.0 }]", "above 0"),
            ("combine = \"ties\"\nsparsify = [{ method = \"trim\", density = 0.2, drop = 1 }]", "drop"),
        ] {
            let message = rule(text).unwrap_err();
            assert!(message.contains(names), "{text}: {message}");
        }
    }
}
