//! Weights from any source: read once, packed once.

use super::error::EngineError;
use super::llama::{Attention, Layer, Linear, Llama, Matrices, Mlp, Norm};
use super::settings::Precision;
use crate::checkpoint::{CheckpointError, ModelConfig, TensorSource};
use rayon::prelude::*;

/// Reads the weights that `config` describes. Names and shapes are checked before anything is read.
pub(crate) fn load(
    source: &dyn TensorSource,
    config: &ModelConfig,
    precision: Precision,
) -> Result<Llama, EngineError> {
    config.check(source.manifest())?;
    let (vocab, hidden, eps) = (config.vocab_size, config.hidden_size, config.rms_norm_eps);
    let layers = (0..config.layers)
        .into_par_iter()
        .map(|number| {
            let prefix = format!("model.layers.{number}");
            let norm = |part: &str| Norm::load(source, &format!("{prefix}.{part}.weight").into(), eps);
            Ok(Layer {
                attention_norm: norm("input_layernorm")?,
                attention: Attention::load(source, config, &prefix, precision)?,
                mlp_norm: norm("post_attention_layernorm")?,
                mlp: Mlp::load(source, config, &prefix, precision)?,
            })
        })
        .collect::<Result<Vec<_>, CheckpointError>>()?;
    let norm = Norm::load(source, &"model.norm.weight".into(), eps)?;
    let matrix =
        |name: &str| Linear::load(source, &Matrices::behind(&[(name.into(), vocab)]), hidden, precision);
    let tokens = matrix("model.embed_tokens.weight")?;
    let (embedding, head) =
        if config.tied_head { (None, tokens) } else { (Some(tokens), matrix("lm_head.weight")?) };
    Ok(Llama::new((vocab, hidden), embedding, layers, norm, head))
}
