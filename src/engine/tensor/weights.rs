//! Weights, from a source straight to the device.

use crate::checkpoint::{ModelConfig, Span, TensorSource};
use crate::engine::device::Device;
use crate::engine::error::EngineError;
use crate::ids::TensorName;
use candle_core::{DType, Tensor};
use half::bf16;
use rayon::prelude::*;

/// Numbers that are on their way at once: bounds what loading takes of the host's memory.
const AT_ONCE: usize = 1 << 24;
/// Numbers that one thread reads at once.
const READ_AT_ONCE: usize = 1 << 17;

/// The weights of a Llama.
#[derive(Debug)]
pub(super) struct Weights {
    /// `[vocab, hidden]`, if the head is not tied to it.
    pub(super) embedding: Option<Tensor>,
    pub(super) layers: Vec<Layer>,
    /// `[hidden]` in f32.
    pub(super) norm: Tensor,
    /// `[vocab, hidden]` in f32, so that logits are not rounded.
    pub(super) head: Tensor,
}

/// One decoder layer.
#[derive(Debug)]
pub(super) struct Layer {
    pub(super) attention_norm: Tensor,
    pub(super) queries: Linear,
    pub(super) keys: Linear,
    pub(super) values: Linear,
    pub(super) output: Linear,
    pub(super) mlp_norm: Tensor,
    pub(super) gate: Linear,
    pub(super) up: Linear,
    pub(super) down: Linear,
}

/// y = x · Wᵀ + b.
#[derive(Debug)]
pub(super) struct Linear {
    /// `[outputs, inputs]`
    weight: Tensor,
    /// `[outputs]`
    bias: Option<Tensor>,
}

impl Linear {
    /// `[rows, outputs]` of `x[rows, inputs]`.
    pub(super) fn apply(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        let y = x.matmul(&self.weight.t()?)?;
        match &self.bias {
            Some(bias) => y.broadcast_add(bias),
            None => Ok(y),
        }
    }
}

impl Weights {
    /// Reads the weights that `config` describes. Names and shapes were checked.
    pub(super) fn load(
        device: &Device,
        source: &dyn TensorSource,
        config: &ModelConfig,
    ) -> Result<Self, EngineError> {
        let (vocab, hidden, wide) = (config.vocab_size, config.hidden_size, config.intermediate_size);
        let (queries, keys) = (config.heads * config.head_dim, config.kv_heads * config.head_dim);
        let read = |name: &str, shape: &[usize], dtype| tensor(device, source, &name.into(), shape, dtype);
        let layer = |number: usize| {
            let name = |part: &str| format!("model.layers.{number}.{part}");
            let norm = |part: &str| read(&name(&format!("{part}.weight")), &[hidden], device.dtype);
            let linear = |part: &str, outputs: usize, inputs: usize, bias: bool| {
                let weight = read(&name(&format!("{part}_proj.weight")), &[outputs, inputs], device.dtype)?;
                let bias = bias.then(|| read(&name(&format!("{part}_proj.bias")), &[outputs], device.dtype));
                Ok::<_, EngineError>(Linear { weight, bias: bias.transpose()? })
            };
            let biases = config.biases;
            Ok::<_, EngineError>(Layer {
                attention_norm: norm("input_layernorm")?,
                queries: linear("self_attn.q", queries, hidden, biases.qkv)?,
                keys: linear("self_attn.k", keys, hidden, biases.qkv)?,
                values: linear("self_attn.v", keys, hidden, biases.qkv)?,
                output: linear("self_attn.o", hidden, queries, biases.output)?,
                mlp_norm: norm("post_attention_layernorm")?,
                gate: linear("mlp.gate", wide, hidden, biases.mlp)?,
                up: linear("mlp.up", wide, hidden, biases.mlp)?,
                down: linear("mlp.down", hidden, wide, biases.mlp)?,
            })
        };
        let layers = (0..config.layers).map(layer).collect::<Result<_, _>>()?;
        let embedding = "model.embed_tokens.weight";
        let (embedding, head) = if config.tied_head {
            (None, read(embedding, &[vocab, hidden], DType::F32)?)
        } else {
            let head = read("lm_head.weight", &[vocab, hidden], DType::F32)?;
            (Some(read(embedding, &[vocab, hidden], device.dtype)?), head)
        };
        let norm = read("model.norm.weight", &[hidden], DType::F32)?;
        // What was sent is used on whichever thread asks next.
        device.inner.synchronize()?;
        Ok(Self { embedding, layers, norm, head })
    }
}

/// Reads one tensor; a large one in parts, of which only one is in the host's memory.
fn tensor(
    device: &Device,
    source: &dyn TensorSource,
    name: &TensorName,
    shape: &[usize],
    dtype: DType,
) -> Result<Tensor, EngineError> {
    let row: usize = shape[1..].iter().product();
    let rows_at_once = (AT_ONCE / row.max(1)).max(1);
    if shape[0] <= rows_at_once {
        return part(device, source, name, 0, shape, dtype);
    }
    let whole = Tensor::zeros(shape, dtype, &device.inner)?;
    for first in (0..shape[0]).step_by(rows_at_once) {
        let mut shape = shape.to_vec();
        shape[0] = rows_at_once.min(shape[0] - first);
        whole.slice_set(&part(device, source, name, first, &shape, dtype)?, 0, first)?;
    }
    Ok(whole)
}

/// The rows of a tensor from `first` on that make up `shape`.
fn part(
    device: &Device,
    source: &dyn TensorSource,
    name: &TensorName,
    first: usize,
    shape: &[usize],
    dtype: DType,
) -> Result<Tensor, EngineError> {
    let start = first * shape[1..].iter().product::<usize>();
    let mut numbers = vec![0.0f32; shape.iter().product()];
    numbers.par_chunks_mut(READ_AT_ONCE).enumerate().try_for_each(|(number, out)| {
        let span = Span { start: start + number * READ_AT_ONCE, len: out.len() };
        source.read(name, span, out)
    })?;
    Ok(match dtype {
        DType::BF16 => {
            let halves: Vec<bf16> = numbers.par_iter().map(|&x| bf16::from_f32(x)).collect();
            Tensor::from_vec(halves, shape, &device.inner)?
        }
        _ => Tensor::from_vec(numbers, shape, &device.inner)?,
    })
}

impl Weights {
    /// The embeddings `[tokens, hidden]` of `ids[tokens]`, in `dtype`.
    pub(super) fn embed(&self, ids: &Tensor, dtype: DType) -> candle_core::Result<Tensor> {
        self.embedding.as_ref().unwrap_or(&self.head).index_select(ids, 0)?.to_dtype(dtype)
    }
}
