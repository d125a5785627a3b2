//! Is this model a fine-tune of that base? Merging deltas of models with different pre-training gives noise, and nothing in
//! their shapes tells.

use crate::checkpoint::{CheckpointError, Span, TensorSource};
use crate::event::{Event, Observer};
use crate::ids::TensorName;
use rayon::prelude::*;
use serde::Serialize;
use std::time::Instant;

/// Elements that are compared at a time; sums are taken over such blocks in their order, so threads cannot change them.
const BLOCK: usize = 1 << 16;

/// Cosine from which on a model counts as a fine-tune. The fine-tunes of the embedded family have 0.999; models with a
/// pre-training of their own are near 0 in every matrix.
const FINE_TUNE: f64 = 0.9;
/// Cosine below which it is none.
const STRANGER: f64 = 0.5;

/// How the tensors of one kind differ from the base's.
#[derive(Clone, Debug, Serialize)]
pub struct Kinship {
    /// The kind: `embedding`, `attention`, `mlp`, `norm`, `head`, or `other`; `all matrices` for the sum.
    pub group: &'static str,
    /// Number of parameters.
    pub parameters: usize,
    /// ‖θ − θ_pre‖ / ‖θ_pre‖, Frobenius.
    pub relative_delta: f64,
    /// ⟨θ, θ_pre⟩ / (‖θ‖·‖θ_pre‖).
    pub cosine: f64,
}

/// What the numbers say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Descent {
    /// The weights are the base's own.
    Same,
    /// A fine-tune of the base.
    FineTune,
    /// Far from the base: trained for long, or merged with something else.
    Far,
    /// Not made from this base.
    Stranger,
}

/// A model beside a base.
#[derive(Clone, Debug, Serialize)]
pub struct Lineage {
    /// What the numbers say.
    pub descent: Descent,
    /// All matrices together.
    pub all: Kinship,
    /// By kind of tensor.
    pub groups: Vec<Kinship>,
}

const GROUPS: [&str; 6] = ["embedding", "attention", "mlp", "norm", "head", "other"];

fn group(name: &TensorName) -> usize {
    let name = name.as_str();
    let kinds = ["embed", "self_attn", "mlp", "norm", "lm_head"];
    // The norms of a layer stand beside its attention and its MLP, under names of their own.
    kinds.iter().position(|kind| name.contains(kind)).unwrap_or(GROUPS.len() - 1)
}

#[derive(Clone, Copy, Default)]
struct Sums {
    parameters: usize,
    base: f64,
    model: f64,
    product: f64,
    delta: f64,
}

impl Sums {
    fn add(mut self, other: Self) -> Self {
        self.parameters += other.parameters;
        self.base += other.base;
        self.model += other.model;
        self.product += other.product;
        self.delta += other.delta;
        self
    }

    fn kinship(self, group: &'static str) -> Kinship {
        let ratio = |a: f64, b: f64| if b > 0.0 { a / b } else { 0.0 };
        Kinship {
            group,
            parameters: self.parameters,
            relative_delta: ratio(self.delta.sqrt(), self.base.sqrt()),
            cosine: ratio(self.product, (self.base * self.model).sqrt()),
        }
    }
}

/// Compares `model` with `base` in one streaming pass over the tensors that both have in one shape.
pub fn lineage(
    base: &dyn TensorSource,
    model: &dyn TensorSource,
    watch: &dyn Observer,
) -> Result<Lineage, CheckpointError> {
    let shared: Vec<(&TensorName, usize, bool)> = base
        .manifest()
        .iter()
        .filter(|(name, info)| model.manifest().get(name).is_some_and(|there| there.shape == info.shape))
        .map(|(name, info)| (name, info.elements(), info.shape.len() > 1))
        .collect();
    let blocks: Vec<(&TensorName, Span, bool)> = shared
        .iter()
        .flat_map(|&(name, elements, matrix)| {
            (0..elements)
                .step_by(BLOCK)
                .map(move |start| (name, Span { start, len: BLOCK.min(elements - start) }, matrix))
        })
        .collect();
    let total = shared.iter().map(|(_, n, _)| *n as u64).sum();
    let begun = Instant::now();
    watch.observe(&Event::Started { work: "comparing", total: Some(total), unit: "parameters" });
    let sums: Vec<Sums> = blocks
        .par_iter()
        .map(|&(name, span, _)| {
            if watch.stop_requested() {
                return Err(CheckpointError::Stopped);
            }
            let (mut a, mut b) = (vec![0.0f32; span.len], vec![0.0f32; span.len]);
            base.read(name, span, &mut a)?;
            model.read(name, span, &mut b)?;
            let mut sums = Sums { parameters: span.len, ..Sums::default() };
            for (a, b) in a.iter().zip(&b).map(|(a, b)| (f64::from(*a), f64::from(*b))) {
                sums.base += a * a;
                sums.model += b * b;
                sums.product += a * b;
                sums.delta += (b - a) * (b - a);
            }
            watch.observe(&Event::Advanced { by: span.len as u64 });
            Ok(sums)
        })
        .collect::<Result<_, _>>()?;
    watch.observe(&Event::Finished { took: begun.elapsed() });
    let mut by_group = [Sums::default(); GROUPS.len()];
    let mut matrices = Sums::default();
    for (&(name, _, matrix), sums) in blocks.iter().zip(&sums) {
        let sum = &mut by_group[group(name)];
        *sum = sum.add(*sums);
        if matrix {
            matrices = matrices.add(*sums);
        }
    }
    let all = matrices.kinship("all matrices");
    let descent = match all.cosine {
        _ if matrices.delta == 0.0 && matrices.parameters > 0 => Descent::Same,
        c if c >= FINE_TUNE => Descent::FineTune,
        c if c >= STRANGER => Descent::Far,
        _ => Descent::Stranger,
    };
    let groups =
        by_group.into_iter().zip(GROUPS).filter(|(s, _)| s.parameters > 0).map(|(s, g)| s.kinship(g));
    Ok(Lineage { descent, all, groups: groups.collect() })
}
