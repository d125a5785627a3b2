//! A recipe with its inputs opened and checked against each other, before any work.

use super::kernel::{Average, Kernel, TaskArithmetic};
use super::{MergeError, MergedView, Recipe};
use crate::checkpoint::{Companions, Folder, Manifest, TensorInfo, TensorSource};
use crate::event::{Event, Observer};
use std::sync::Arc;

/// The opened inputs of a merge. A search opens them once for all its candidates.
#[derive(Clone, Debug)]
pub struct Inputs {
    /// The pre-trained model, where there is one.
    pub base: Option<Arc<Folder>>,
    /// The fine-tuned models, in the recipe's order.
    pub models: Vec<Arc<Folder>>,
}

impl Inputs {
    /// Opens what the recipe names.
    pub fn open(recipe: &Recipe) -> Result<Self, MergeError> {
        let base = recipe.base.as_deref().map(Folder::open).transpose()?.map(Arc::new);
        let models =
            recipe.models.iter().map(|p| Folder::open(p).map(Arc::new)).collect::<Result<Vec<_>, _>>()?;
        Ok(Self { base, models })
    }

    /// Base first, then the models.
    fn all(&self) -> impl Iterator<Item = &Arc<Folder>> {
        self.base.iter().chain(&self.models)
    }

    /// Every input must have the same tensors in the same shapes.
    fn check(&self) -> Result<(), MergeError> {
        let mut all = self.all();
        let Some(first) = all.next() else { return Ok(()) };
        for other in all {
            for (has, lacks) in [(first, other), (other, first)] {
                for (tensor, info) in has.manifest().iter() {
                    match lacks.manifest().get(tensor) {
                        None => {
                            return Err(MergeError::TensorMissing {
                                tensor: tensor.clone(),
                                has: has.path().to_owned(),
                                lacks: lacks.path().to_owned(),
                            });
                        }
                        Some(there) if there.shape != info.shape => {
                            return Err(MergeError::ShapeDiffers {
                                tensor: tensor.clone(),
                                a: has.path().to_owned(),
                                a_shape: info.shape.clone(),
                                b: lacks.path().to_owned(),
                                b_shape: there.shape.clone(),
                            });
                        }
                        Some(_) => {}
                    }
                }
            }
        }
        Ok(())
    }
}

/// A checked merge.
pub struct Plan {
    inputs: Inputs,
    coefficients: Vec<f64>,
    manifest: Manifest,
}

impl Plan {
    /// Checks the recipe and its inputs. Reads nothing but what is already open.
    pub fn new(recipe: &Recipe, inputs: Inputs, watch: &dyn Observer) -> Result<Self, MergeError> {
        let coefficients = recipe.coefficients()?;
        if recipe.combine == super::Combine::TaskArithmetic && inputs.base.is_none() {
            return Err(MergeError::Contradiction {
                what: "task arithmetic needs the pre-trained model: name it in `base`",
            });
        }
        inputs.check()?;
        let donor = Self::donor(&inputs)?;
        for other in inputs.all() {
            if other.companions().tokenizer != donor.companions().tokenizer {
                let text = format!(
                    "the tokenizer of `{}` differs from that of `{}`, which the merge will have",
                    other.path().display(),
                    donor.path().display()
                );
                watch.observe(&Event::Warning { text: &text });
            }
        }
        let manifest = donor
            .manifest()
            .iter()
            .map(|(name, info)| {
                let dtype = recipe.dtype.unwrap_or(info.dtype);
                (name.clone(), TensorInfo { shape: info.shape.clone(), dtype })
            })
            .collect();
        Ok(Self { inputs, coefficients, manifest })
    }

    /// The input whose config, tokenizer and element types the merge has: the base, or without one the first model.
    fn donor(inputs: &Inputs) -> Result<&Arc<Folder>, MergeError> {
        inputs.all().next().ok_or(MergeError::Contradiction {
            what: "the recipe lists no models; name at least one in `models`",
        })
    }

    /// Each delta's coefficient s·λ_k.
    pub fn coefficients(&self) -> &[f64] {
        &self.coefficients
    }

    /// Config and tokenizer of the result.
    pub fn companions(&self) -> Result<&Companions, MergeError> {
        Self::donor(&self.inputs).map(|d| d.companions())
    }

    /// The merged weights, computed as they are read.
    pub fn view(self) -> MergedView {
        // A model with coefficient 0 is not read. One alone with coefficient 1 is the result itself, bit for bit.
        let (models, coefficients): (Vec<_>, Vec<_>) =
            self.inputs.models.into_iter().zip(self.coefficients).filter(|(_, c)| *c != 0.0).unzip();
        let alone = coefficients == [1.0];
        let (base, kernel): (_, Box<dyn Kernel>) = match self.inputs.base {
            Some(base) if !alone => (Some(base), Box::new(TaskArithmetic(coefficients.clone()))),
            _ => (None, Box::new(Average(coefficients.clone()))),
        };
        MergedView::new(base, models, coefficients, kernel, self.manifest)
    }
}
