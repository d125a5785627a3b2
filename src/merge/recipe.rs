//! What was asked: combine × proportion × magnitude, as a file says it.

use super::rule::Sparsify;
use super::{Direction, DirectionLaw, MergeError, Vocabulary};
use crate::dtype::DType;
use crate::files;
use crate::units::Scale;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// How deltas are combined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Combine {
    /// Σ λ_k·θ_k (Model Soups). With a base it is task arithmetic at s = 1, for the proportions sum to one; it needs none.
    Average,
    /// θ_pre + s·Σ w_k·δ_k (Ilharco et al. 2023).
    TaskArithmetic,
    /// θ_pre + s·(weighted mean of the deltas that have the elected sign) (TIES, Yadav et al. 2023). The trimming that goes
    /// before it is a step of `sparsify`. Under a direction this is the paper's TIES with M³ (Figure 6, Appendix H): where
    /// several deltas survive they are interpolated, one alone keeps its value.
    Ties,
    /// On the arc between two models (Shoemake 1985).
    Slerp,
    /// As `slerp` on the deltas to the base (mergekit's `nuslerp`); without a base on the models.
    Nuslerp,
    /// Between the base and the mean of the models, by the angle between their deltas (Model Stock, Jang et al. 2024).
    ModelStock,
}

/// A merge as it was asked for. Its models are named as everywhere, `place[@revision][+adapter[@revision]]`, where a place
/// is a path or a hub's `organisation/name`; a path is looked for beside the recipe's file first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// What is done to each delta first, step by step.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sparsify: Vec<Sparsify>,
    /// How deltas are combined.
    pub combine: Combine,
    /// The pre-trained model θ_pre; an average can do without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<String>,
    /// The fine-tuned models, in the order of the proportions.
    pub models: Vec<String>,
    /// In what proportion: a direction, or without one the plain sum, where every delta has weight one and the magnitude
    /// grows with the number of models (an average is then the bisector).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proportion: Option<DirectionLaw>,
    /// The magnitude s.
    #[serde(default = "one")]
    pub scale: Scale,
    /// Element type of the result; that of the base (or the first model) when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dtype: Option<DType>,
    /// What is done when the models do not have the same tokens in the same rows.
    #[serde(default, skip_serializing_if = "is_equal")]
    pub vocabulary: Vocabulary,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
fn is_equal(vocabulary: &Vocabulary) -> bool {
    *vocabulary == Vocabulary::Equal
}

fn one() -> Scale {
    Scale::new(1.0).unwrap_or_else(|_| unreachable!("1 is a scale"))
}

impl Recipe {
    /// Reads a recipe from a TOML file. Opens no model.
    pub fn read(path: &Path) -> Result<Self, MergeError> {
        let text = files::read_text(path)?;
        toml::from_str(&text)
            .map_err(|e| MergeError::BadRecipe { path: path.to_owned(), reason: e.to_string() })
    }

    /// The recipe as a TOML file says it.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).unwrap_or_else(|_| unreachable!("a recipe has string keys and finite numbers"))
    }

    /// Its models as it names them, the base first.
    pub fn names(&self) -> impl Iterator<Item = &String> {
        self.base.iter().chain(&self.models)
    }

    /// The direction, drawn where its law draws; none for the plain sum.
    pub fn direction(&self) -> Result<Option<Direction>, MergeError> {
        self.proportion.as_ref().map(|law| law.draw(self.models.len())).transpose()
    }

    /// Each model's weight w_k, in the order of the models: its direction, or one each in a plain sum.
    pub fn weights(&self) -> Result<Vec<f64>, MergeError> {
        let n = self.models.len();
        if n == 0 {
            return Err(MergeError::Contradiction {
                what: "the recipe lists no models; name at least one in `models`",
            });
        }
        Ok(match (self.direction()?, self.combine) {
            (Some(direction), _) => direction.weights().to_vec(),
            (None, Combine::Average) => Direction::uniform(n).weights().to_vec(),
            (None, _) => vec![1.0; n],
        })
    }

    /// Each delta's coefficient s·w_k, in the order of the models.
    ///
    /// Two recipes with the same inputs and coefficients are the same merge, whatever they are called: an average is
    /// task arithmetic at s = 1 under a direction, and the sum of N models at s is the bisector at N·s.
    pub fn coefficients(&self) -> Result<Vec<f64>, MergeError> {
        let s = self.scale.get();
        Ok(self.weights()?.iter().map(|w| s * w).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_as_toml_reads_as_the_same() {
        let text = "base = \"b\"\nmodels = [\"x+l\", \"o/y@v1\"]\ncombine = \"ties\"\nscale = 0.1\ndtype = \"f16\"\n\
                    vocabulary = \"keep-padding\"\nproportion = { law = \"beta\", alpha = 0.5, seed = 3 }\n\
                    sparsify = [{ method = \"dare\", drop = 0.2 }, { method = \"trim\", density = 0.3 }]";
        let recipe: Recipe = toml::from_str(text).unwrap();
        assert_eq!(toml::from_str::<Recipe>(&recipe.to_toml()).unwrap(), recipe, "{}", recipe.to_toml());
    }

    fn recipe(text: &str) -> Result<Vec<f64>, String> {
        let full = format!("base = \"b\"\nmodels = [\"x\", \"y\"]\n{text}");
        toml::from_str::<Recipe>(&full)
            .map_err(|e| e.to_string())
            .and_then(|r| r.coefficients().map_err(|e| e.to_string()))
    }

    #[test]
    fn equal_merges_have_equal_coefficients() {
        let average =
            recipe("combine = \"average\"\nproportion = { law = \"lambda\", lambda = 0.25 }").unwrap();
        let arithmetic =
            recipe("combine = \"task_arithmetic\"\nproportion = { law = \"fixed\", weights = [0.25, 0.75] }")
                .unwrap();
        assert_eq!(average, arithmetic);
        let sum = recipe("combine = \"task_arithmetic\"\nscale = 0.5\n").unwrap();
        let bisector = recipe("combine = \"average\"\nproportion = { law = \"uniform\" }").unwrap();
        assert_eq!(sum, bisector);
    }
}
