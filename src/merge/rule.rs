//! What is done for one tensor: the three choices of a merge with their numbers.

use super::arithmetic::Arithmetic;
use crate::checkpoint::{TensorInfo, TensorSource};
use crate::dtype::DType;
use crate::ids::TensorName;
use crate::random::Draws;
use crate::units::{Density, DropRate};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// How what a sparsifier kept is scaled up again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rescale {
    /// Not at all.
    None,
    /// By one over the share that is kept: the expected delta stays what it was (DARE, Yu et al. 2024, equation 2).
    Inverse,
    /// By Σ|δ| / Σ|kept|, per tensor: the L1 norm stays what it was (mergekit's `rescale`).
    L1,
}

/// Over what a magnitude cut is taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Each tensor has its own cut and keeps exactly ⌊density·n⌋ elements, at least one; among equal magnitudes the
    /// first ones (mergekit's `ties`).
    #[default]
    Tensor,
    /// One cut for all tensors of a model; elements as large as the cut are kept (TIES, Yadav et al. 2023, as the paper's
    /// program has it).
    Model,
}

/// A step that is done to each delta before deltas are combined.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "method", rename_all = "snake_case", deny_unknown_fields)]
pub enum Sparsify {
    /// Drops elements at random (DARE, Yu et al. 2024).
    Dare {
        /// Share that is dropped.
        drop: DropRate,
        /// How the rest is scaled up.
        #[serde(default = "inverse")]
        rescale: Rescale,
        /// Seed of the decisions.
        #[serde(default)]
        seed: u64,
    },
    /// Keeps the largest magnitudes (TIES, Yadav et al. 2023).
    Trim {
        /// Share that is kept.
        density: Density,
        /// Over what the cut is taken.
        #[serde(default)]
        scope: Scope,
        /// How the rest is scaled up.
        #[serde(default = "none")]
        rescale: Rescale,
    },
    /// Drops the largest and the smallest magnitudes of each tensor (Model Breadcrumbs, Davari & Belilovsky 2023).
    Breadcrumbs {
        /// Share that is kept.
        density: Density,
        /// Share of the largest that is dropped.
        gamma: DropRate,
        /// How the rest is scaled up.
        #[serde(default = "none")]
        rescale: Rescale,
    },
    /// Drops at random, small magnitudes rather than large ones (DELLA's MagPrune, Deep et al. 2024): inside each row
    /// the probability to stay rises linearly with the rank of the magnitude from density − epsilon to density + epsilon.
    Della {
        /// Mean share that is kept.
        density: Density,
        /// Half of the spread of the probabilities.
        epsilon: f64,
        /// How the rest is scaled up.
        #[serde(default = "l1")]
        rescale: Rescale,
        /// Seed of the decisions.
        #[serde(default)]
        seed: u64,
    },
}

fn inverse() -> Rescale {
    Rescale::Inverse
}

fn none() -> Rescale {
    Rescale::None
}

fn l1() -> Rescale {
    Rescale::L1
}

impl Sparsify {
    /// How what is kept is scaled up.
    pub(super) fn rescale(&self) -> Rescale {
        match self {
            Self::Dare { rescale, .. }
            | Self::Trim { rescale, .. }
            | Self::Breadcrumbs { rescale, .. }
            | Self::Della { rescale, .. } => *rescale,
        }
    }

    /// Share that is kept on average.
    pub(super) fn density(&self) -> f64 {
        match self {
            Self::Dare { drop, .. } => 1.0 - drop.get(),
            Self::Trim { density, .. } | Self::Breadcrumbs { density, .. } | Self::Della { density, .. } => {
                density.get()
            }
        }
    }

    /// The seed and the purpose of its random stream, where it has one.
    pub(super) fn stream(&self) -> Option<(u64, &'static str)> {
        match self {
            Self::Dare { seed, .. } => Some((*seed, "dare")),
            Self::Della { seed, .. } => Some((*seed, "della")),
            Self::Trim { .. } | Self::Breadcrumbs { .. } => None,
        }
    }
}

/// By what a sum is divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) enum Divisor {
    /// By nothing.
    One,
    /// By the sum of the weights that took part.
    Weights,
}

/// How the sign of a merged element is elected (TIES, Yadav et al. 2023, section 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) enum Elect {
    /// The sign of Σ δ_k; where that is zero, the sign that the sum has in most elements of the model (the paper's program).
    Plain,
    /// The sign of Σ w_k·δ_k; where that is zero, plus (mergekit).
    Weighted,
}

/// How the deltas of one tensor become one.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) enum Blend {
    /// Σ w_k·θ_k over the divisor. Reads no base. Products may be fused into the sum (mergekit's `linear`).
    Models { divisor: Divisor, fused: bool },
    /// θ_pre + scale · (Σ w_k·δ_k over the divisor).
    Deltas { divisor: Divisor, scale: f64 },
    /// θ_pre + scale · (Σ w_k·δ_k over those with the elected sign, over the divisor). One survivor alone keeps its value
    /// when the divisor is the weights (paper, Figure 6 and Appendix H).
    Consensus { elect: Elect, divisor: Divisor, scale: f64 },
    /// From the first of two models (t = 0) to the second on the arc between them; nearly parallel tensors are
    /// interpolated linearly (Shoemake 1985; mergekit's `slerp`).
    Slerp { t: f64 },
    /// As `Slerp` on the deltas where there is a base, else on the models; the arc is that of the whole tensor, of each row,
    /// or of each column (mergekit's `nuslerp`).
    NuSlerp { t: f64, along: Along },
    /// Model Stock (Jang et al. 2024): between the base and the mean of the models, by the angle between the deltas of the
    /// whole tensor or, with `rows`, of each row (the paper's filters).
    ModelStock { rows: bool },
    /// The base where a model is far from it, the model where it is near: θ_pre + w·δ with w = min(1, t / |δ|) (mergekit's
    /// `nearswap`). An element moves by at most t.
    NearSwap { t: f64 },
}

/// What counts as one vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) enum Along {
    /// The whole tensor.
    Whole,
    /// Each row; a vector is one row.
    Rows,
    /// Each column; a vector is one.
    Columns,
}

/// Where the numbers of one model for one tensor come from.
#[derive(Clone)]
pub(super) struct Input {
    /// Which of the merge's sources: its place in [`super::plan::Plan`]'s list.
    pub(super) source: usize,
    /// The tensor there.
    pub(super) tensor: TensorName,
}

/// One model's part in a tensor.
#[derive(Clone)]
pub(super) struct Part {
    pub(super) input: Input,
    /// Which of the recipe's models this is: part of the key of its random numbers.
    pub(super) model: usize,
    /// w_k.
    pub(super) weight: f64,
    /// What is done to its delta, in this order.
    pub(super) steps: Vec<Sparsify>,
    /// The random numbers of each step that draws some, by step.
    pub(super) draws: Vec<Option<Arc<dyn Draws>>>,
}

impl Part {
    /// A part whose random numbers follow from the seeds of its steps: the stream of (seed, method, place of the step,
    /// model number, tensor). Two steps of one seed draw apart, or the second would drop what the first has dropped.
    pub(super) fn new(input: Input, weight: f64, steps: Vec<Sparsify>, model: usize) -> Self {
        let draws = steps
            .iter()
            .enumerate()
            .map(|(place, step)| {
                step.stream().map(|(seed, purpose)| {
                    let purpose = format!("{purpose}/{place}/{}", input.tensor.as_str());
                    Arc::new(crate::random::Field::new(seed, &purpose, model as u64)) as Arc<dyn Draws>
                })
            })
            .collect();
        Self { input, model, weight, steps, draws }
    }
}

/// Everything that makes one tensor of the result.
#[derive(Clone)]
pub(super) struct Job {
    /// Shape and element type of the result.
    pub(super) info: TensorInfo,
    /// θ_pre.
    pub(super) base: Option<Input>,
    /// The models that take part.
    pub(super) parts: Vec<Part>,
    /// How they are combined.
    pub(super) blend: Blend,
    /// What is computed in.
    pub(super) arithmetic: Arithmetic,
    /// A type that the result is rounded to before its own.
    pub(super) through: Option<DType>,
}

impl Job {
    /// Length of a row: the product of all axes but the first; a vector is one row.
    pub(super) fn row(&self) -> usize {
        match self.info.shape.as_slice() {
            [] => 1,
            [n] => *n,
            [_, rest @ ..] => rest.iter().product(),
        }
        .max(1)
    }

    /// Elements that must be read together: a row where a step or the blend looks at whole rows.
    pub(super) fn granularity(&self) -> usize {
        let ranked = self.parts.iter().flat_map(|p| &p.steps).any(|s| matches!(s, Sparsify::Della { .. }));
        let by_rows = matches!(
            self.blend,
            Blend::NuSlerp { along: Along::Rows, .. } | Blend::ModelStock { rows: true }
        );
        if ranked || by_rows { self.row() } else { 1 }
    }

    /// Whether the signs of its elements are elected by votes that are counted over the model. One delta alone is zero where
    /// its sum is, and then its sign means nothing.
    pub(super) fn counts_votes(&self) -> bool {
        matches!(self.blend, Blend::Consensus { elect: Elect::Plain, .. }) && self.parts.len() > 1
    }

    /// The models' tensors are themselves the result: one model with weight one and nothing done to it.
    pub(super) fn copies(&self) -> Option<&Input> {
        match (self.blend, self.parts.as_slice()) {
            (Blend::Models { .. }, [one]) if one.weight == 1.0 => Some(&one.input),
            _ => None,
        }
    }
}

/// The opened sources of a merge.
pub(super) type Sources = Vec<Arc<dyn TensorSource>>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_steps_of_one_seed_draw_apart() {
        let dare = Sparsify::Dare { drop: DropRate::new(0.5).unwrap(), rescale: Rescale::None, seed: 7 };
        let part = Part::new(Input { source: 0, tensor: TensorName::from("x") }, 1.0, vec![dare, dare], 0);
        let drawn: Vec<[u32; 8]> = part
            .draws
            .iter()
            .flatten()
            .map(|draws| {
                let mut out = [0; 8];
                draws.fill(0, &mut out);
                out
            })
            .collect();
        assert_eq!(drawn.len(), 2);
        assert_ne!(drawn[0], drawn[1]);
    }
}
