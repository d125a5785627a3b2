//! The layers, over all rows of a step at once.

use super::plan::{Heads, Plan};
use super::slots::Slots;
use super::weights::{Layer, Weights};
use crate::checkpoint::ModelConfig;
use crate::completion::Breakdown;
use candle_core::{DType, Result, Tensor};
use candle_nn::ops::{rms_norm, softmax_last_dim};
use candle_nn::rotary_emb::rope_thd;

/// What of a config the layers need.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    pub(super) heads: Heads,
    pub(super) eps: f32,
    pub(super) dtype: DType,
}

impl Shape {
    /// Of a model whose activations have this type.
    pub(super) fn of(config: &ModelConfig, dtype: DType) -> Self {
        let heads = Heads {
            queries: config.heads,
            keys: config.kv_heads,
            dim: config.head_dim,
            window: config.window,
        };
        Self { heads, eps: config.rms_norm_eps as f32, dtype }
    }
}

/// Who looks at the residual stream `[rows, hidden]` on its way.
pub(super) type Look<'l> = dyn FnMut(Breakdown, &Tensor) -> Result<()> + 'l;

/// Runs a step's rows and fills their slots; the residual stream `[rows, hidden]` behind the last layer.
pub(super) fn run(
    shape: Shape,
    weights: &Weights,
    slots: &Slots,
    plan: &Plan,
    look: &mut Look<'_>,
) -> Result<Tensor> {
    let mut residual = weights.embed(&plan.ids, shape.dtype)?;
    look(Breakdown::Embedding, &residual)?;
    for (number, layer) in weights.layers.iter().enumerate() {
        let normed = rms_norm(&residual, &layer.attention_norm, shape.eps)?;
        let answers = attention(shape.heads, layer, number, slots, plan, &normed)?;
        residual = (residual + layer.output.apply(&answers)?)?;
        let normed = rms_norm(&residual, &layer.mlp_norm, shape.eps)?;
        let wide = (layer.gate.apply(&normed)?.silu()? * layer.up.apply(&normed)?)?;
        residual = (residual + layer.down.apply(&wide)?)?;
        look(Breakdown::Layer(number), &residual)?;
    }
    Ok(residual)
}

/// The logits `[wanted, vocab]` in f32 of those rows of the residual stream that want them.
pub(super) fn logits(shape: Shape, weights: &Weights, residual: &Tensor, wanted: &Tensor) -> Result<Tensor> {
    let rows = residual.index_select(wanted, 0)?.to_dtype(DType::F32)?;
    rms_norm(&rows, &weights.norm, shape.eps)?.matmul(&weights.head.t()?)
}

/// `[rows, heads · head_dim]` of `normed[rows, hidden]`; puts keys and values into the slots.
fn attention(
    heads: Heads,
    layer: &Layer,
    number: usize,
    slots: &Slots,
    plan: &Plan,
    normed: &Tensor,
) -> Result<Tensor> {
    let (rows, dim) = (normed.dim(0)?, heads.dim);
    let turned = |x: Tensor, count: usize, (cos, sin): &(Tensor, Tensor)| {
        rope_thd(&x.reshape((1, rows, count, dim))?, cos, sin)?.reshape((rows, count, dim))
    };
    let queries = turned(layer.queries.apply(normed)?, heads.queries, &plan.query_turns)?;
    let keys = turned(layer.keys.apply(normed)?, heads.keys, &plan.turns)?;
    let values = layer.values.apply(normed)?.reshape((rows, heads.keys, dim))?;
    let mut answers = Vec::with_capacity(1 + plan.prompts.len());
    if let Some(singles) = &plan.singles {
        let count = singles.count;
        for (slots, new) in [(slots.keys(number), &keys), (slots.values(number), &values)] {
            let new = new.narrow(0, 0, count)?.reshape((count, heads.keys, 1, dim))?;
            slots.narrow(0, singles.first, count)?.scatter_set(&singles.places, &new, 2)?;
        }
        for part in &singles.parts {
            let shape = (part.count, heads.keys, heads.group(), dim);
            let queries = queries.narrow(0, part.first, part.count)?.reshape(shape)?;
            let known = |slots: &Tensor| {
                slots.narrow(0, singles.first + part.first, part.count)?.narrow(2, 0, part.length)
            };
            let scores = scores(&queries, &known(slots.keys(number))?)?;
            let answer = mix(&(scores + &part.mask)?, &known(slots.values(number))?)?;
            answers.push(answer.reshape((part.count, heads.queries * dim))?);
        }
    }
    for prompt in &plan.prompts {
        for (slots, new) in [(slots.keys(number), &keys), (slots.values(number), &values)] {
            let new = new.narrow(0, prompt.row, prompt.tokens)?.transpose(0, 1)?.contiguous()?;
            slots.narrow(0, prompt.slot, 1)?.slice_set(&new.unsqueeze(0)?, 2, prompt.position)?;
        }
        for block in &prompt.blocks {
            let (tokens, group, length) = (block.tokens, heads.group(), block.length);
            // `[1, kv_heads, tokens · group, head_dim]`
            let queries = queries.narrow(0, prompt.row + block.first, tokens)?;
            let queries = queries.reshape((tokens, heads.keys, group, dim))?.transpose(0, 1)?.contiguous()?;
            let queries = queries.reshape((1, heads.keys, tokens * group, dim))?;
            let known = |slots: &Tensor| slots.narrow(0, prompt.slot, 1)?.narrow(2, 0, length);
            let scores = scores(&queries, &known(slots.keys(number))?)?;
            let scores = scores.reshape((heads.keys, tokens, group, length))?.broadcast_add(&block.mask)?;
            let scores = scores.reshape((1, heads.keys, tokens * group, length))?;
            let answer = mix(&scores, &known(slots.values(number))?)?;
            let answer = answer.reshape((heads.keys, tokens, group, dim))?.transpose(0, 1)?;
            answers.push(answer.reshape((tokens, heads.queries * dim))?);
        }
    }
    match &answers[..] {
        [all] => Ok(all.clone()),
        parts => Tensor::cat(parts, 0),
    }
}

/// Queries `[batch, heads, rows, head_dim]` times keys `[batch, heads, length, head_dim]`: `[batch, heads, rows, length]`, from
/// here on in f32.
fn scores(queries: &Tensor, keys: &Tensor) -> Result<Tensor> {
    queries.matmul(&keys.transpose(2, 3)?)?.to_dtype(DType::F32)
}

/// Softmax over scores `[batch, heads, rows, length]`, times values `[batch, heads, length, head_dim]`.
fn mix(scores: &Tensor, values: &Tensor) -> Result<Tensor> {
    softmax_last_dim(scores)?.to_dtype(values.dtype())?.matmul(values)
}
