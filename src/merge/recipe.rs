//! What was asked: combine × proportion × magnitude, as a file says it.

use super::{Direction, DirectionLaw, MergeError};
use crate::dtype::DType;
use crate::files;
use crate::units::Scale;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// How deltas are combined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Combine {
    /// Σ λ_k·θ_k (Model Soups). With a base it is task arithmetic at s = 1, for the proportions sum to one; it needs none.
    Average,
    /// θ_pre + s·Σ w_k·δ_k (Ilharco et al. 2023).
    TaskArithmetic,
}

/// In what proportion deltas are combined.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "law", rename_all = "snake_case", deny_unknown_fields)]
pub enum Proportion {
    /// Every delta with weight one, as task arithmetic has it: the magnitude grows with the number of models.
    Sum,
    /// The bisector: 1/N each.
    Uniform,
    /// These proportions, one for each model, together one.
    Fixed {
        /// The proportions.
        weights: Direction,
    },
    /// λ of the first of two models, 1 − λ of the second.
    Lambda {
        /// Proportion of the first model.
        lambda: crate::units::Lambda,
    },
    /// M³: λ drawn from Beta(α, α), for two models.
    Beta {
        /// Shape of the law.
        alpha: crate::units::Alpha,
        /// Seed of the draws.
        seed: u64,
        /// Which draw of that seed.
        #[serde(default)]
        index: u64,
    },
    /// M³: λ_k ∝ 1/k^p in the order of the models.
    PSeries {
        /// Steepness, at least 0.
        p: f64,
    },
}

impl Proportion {
    /// The law of M³ behind it; none for the plain sum, which has no direction.
    pub fn direction_law(&self) -> Option<DirectionLaw> {
        Some(match self.clone() {
            Self::Sum => return None,
            Self::Uniform => DirectionLaw::Uniform,
            Self::Fixed { weights } => DirectionLaw::Fixed { weights },
            Self::Lambda { lambda } => DirectionLaw::Lambda { lambda },
            Self::Beta { alpha, seed, index } => DirectionLaw::Beta { alpha, seed, index },
            Self::PSeries { p } => DirectionLaw::PSeries { p },
        })
    }
}

/// A merge as it was asked for. Paths in a recipe file are relative to the file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// How deltas are combined.
    pub combine: Combine,
    /// The pre-trained model θ_pre; an average can do without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<PathBuf>,
    /// The fine-tuned models, in the order of the proportions.
    pub models: Vec<PathBuf>,
    /// In what proportion.
    pub proportion: Proportion,
    /// The magnitude s.
    #[serde(default = "one")]
    pub scale: Scale,
    /// Element type of the result; that of the base (or the first model) when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dtype: Option<DType>,
}

fn one() -> Scale {
    Scale::new(1.0).unwrap_or_else(|_| unreachable!("1 is a scale"))
}

impl Recipe {
    /// Reads a recipe from a TOML file.
    pub fn read(path: &Path) -> Result<Self, MergeError> {
        let text = files::read_text(path)?;
        let mut recipe: Self = toml::from_str(&text)
            .map_err(|e| MergeError::BadRecipe { path: path.to_owned(), reason: e.to_string() })?;
        let folder = path.parent().unwrap_or(Path::new(""));
        for model in recipe.base.iter_mut().chain(&mut recipe.models) {
            *model = folder.join(&*model);
        }
        Ok(recipe)
    }

    /// Each delta's coefficient s·w_k, in the order of the models.
    ///
    /// Two recipes with the same inputs and coefficients are the same merge, whatever they are called: an average is
    /// task arithmetic at s = 1 under a direction, and the sum of N models at s is the bisector at N·s.
    pub fn coefficients(&self) -> Result<Vec<f64>, MergeError> {
        let n = self.models.len();
        if n == 0 {
            return Err(MergeError::Contradiction {
                what: "the recipe lists no models; name at least one in `models`",
            });
        }
        let s = self.scale.get();
        match (self.combine, self.proportion.direction_law()) {
            (Combine::Average, None) => Err(MergeError::Contradiction {
                what: "an average needs proportions that sum to one: use another `proportion` law than `sum`",
            }),
            (Combine::Average, _) if s != 1.0 => Err(MergeError::Contradiction {
                what: "an average has no magnitude: leave `scale` at 1, or combine by task_arithmetic",
            }),
            (Combine::TaskArithmetic, None) => Ok(vec![s; n]),
            (_, Some(law)) => Ok(law.draw(n)?.weights().iter().map(|w| s * w).collect()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let sum =
            recipe("combine = \"task_arithmetic\"\nscale = 0.5\nproportion = { law = \"sum\" }").unwrap();
        let bisector = recipe("combine = \"average\"\nproportion = { law = \"uniform\" }").unwrap();
        assert_eq!(sum, bisector);
    }

    #[test]
    fn mistakes_are_named() {
        for (text, names) in [
            ("combine = \"ties\"\nproportion = { law = \"sum\" }", "task_arithmetic"),
            ("combine = \"average\"\nproportion = { law = \"sum\" }", "sum to one"),
            ("combine = \"average\"\nscale = 0.5\nproportion = { law = \"uniform\" }", "magnitude"),
            ("combine = \"average\"\nproportion = { law = \"lambda\", lambda = 1.5 }", "between 0 and 1"),
            ("combine = \"average\"\nproportion = { law = \"beta\", alpha = 0.0, seed = 1 }", "above 0"),
            (
                "combine = \"average\"\nproportion = { law = \"beta\", alpha = 0.5, seed = 1, beta = 2 }",
                "beta",
            ),
            ("combine = \"average\"\nlambda = 0.5\nproportion = { law = \"uniform\" }", "lambda"),
            ("combine = \"average\"\nproportion = { law = \"fixed\", weights = [0.5, 0.6] }", "sum to one"),
            ("combine = \"average\"\nproportion = { law = \"fixed\", weights = [1.0] }", "each model"),
            ("combine = \"task_arithmetic\"\nscale = -1.0\nproportion = { law = \"sum\" }", "above 0"),
        ] {
            let message = recipe(text).unwrap_err();
            assert!(message.contains(names), "{text}: {message}");
        }
    }
}
