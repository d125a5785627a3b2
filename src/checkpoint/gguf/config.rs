//! The metadata as a `config.json`. Keys: ggml-org/ggml, `docs/gguf.md`, section "LLaMA".

use super::super::{CheckpointError, Manifest};
use super::header::{Header, Value};
use super::names::head_dim;
use serde_json::{Map, Value as Json, json};
use std::f64::consts::TAU;

/// θ where a file does not say.
const DEFAULT_THETA: f64 = 10_000.0;
/// Llama 3.1's constants (its `config.json`), which every model that is stretched by its rule has. A GGUF file keeps
/// only the factors that come out.
const LOW_FREQ_FACTOR: f64 = 1.0;
const HIGH_FREQ_FACTOR: f64 = 4.0;
const ORIGINAL_CONTEXT: f64 = 8192.0;
/// The factors were computed in f32.
const FACTOR_TOLERANCE: f64 = 1e-3;

/// The config in Hugging Face's keys. `frequencies` divide the rotary frequencies, where the file has any.
pub(super) fn json(
    header: &Header,
    manifest: &Manifest,
    frequencies: Option<&[f32]>,
) -> Result<Map<String, Json>, CheckpointError> {
    let embedding = manifest.get(&"model.embed_tokens.weight".into());
    let vocabulary = embedding.and_then(|e| e.shape.first().copied());
    let vocabulary =
        vocabulary.ok_or_else(|| CheckpointError::NoTensor { tensor: "model.embed_tokens.weight".into() })?;
    let heads = header.size("llama.attention.head_count")?;
    let head_dim = head_dim(header)?;
    let theta = header.float("llama.rope.freq_base").unwrap_or(DEFAULT_THETA);
    let eps = header.float("llama.attention.layer_norm_rms_epsilon").ok_or(CheckpointError::MissingKey {
        path: header.path().to_owned(),
        key: "llama.attention.layer_norm_rms_epsilon",
    })?;
    if header.count("llama.expert_count").is_some_and(|n| n > 0) {
        return Err(unsupported(
            header,
            "llama.expert_count",
            "above 0".into(),
            "mixtures of experts are not",
        ));
    }
    if let Some(Value::Text(kind)) =
        header.get("llama.rope.scaling.type").filter(|k| **k != Value::Text("none".into()))
    {
        return Err(unsupported(header, "llama.rope.scaling.type", kind.clone(), "`none` can be run"));
    }
    let dtype = embedding.map_or("float32", |e| e.dtype.torch_name());
    let mut config = json!({
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_act": "silu",
        "hidden_size": header.size("llama.embedding_length")?,
        "intermediate_size": header.size("llama.feed_forward_length")?,
        "num_hidden_layers": header.size("llama.block_count")?,
        "num_attention_heads": heads,
        "num_key_value_heads": header.count("llama.attention.head_count_kv").unwrap_or(heads),
        "head_dim": head_dim,
        "max_position_embeddings": header.size("llama.context_length")?,
        "rms_norm_eps": eps,
        "rope_theta": theta,
        "vocab_size": vocabulary,
        "tie_word_embeddings": manifest.get(&"lm_head.weight".into()).is_none(),
        "torch_dtype": dtype,
    });
    if let Some(bos) = header.count("tokenizer.ggml.bos_token_id") {
        config["bos_token_id"] = bos.into();
    }
    if let Some(eos) = ends(header) {
        config["eos_token_id"] = eos;
    }
    if let Some(factor) = stretch(header, frequencies, theta, head_dim)? {
        config["rope_scaling"] = json!({
            "rope_type": "llama3",
            "factor": factor,
            "low_freq_factor": LOW_FREQ_FACTOR,
            "high_freq_factor": HIGH_FREQ_FACTOR,
            "original_max_position_embeddings": ORIGINAL_CONTEXT as u64,
        });
    }
    match config {
        Json::Object(config) => Ok(config),
        _ => Ok(Map::new()),
    }
}

/// The token that ends a text, with the one that ends a turn where the file has it.
fn ends(header: &Header) -> Option<Json> {
    let end = header.count("tokenizer.ggml.eos_token_id")?;
    match header.count("tokenizer.ggml.eot_token_id").filter(|turn| *turn != end) {
        Some(turn) => Some(json!([end, turn])),
        None => Some(end.into()),
    }
}

/// Generation config and tokenizer config, as far as the metadata has them.
pub(super) fn others(header: &Header) -> Vec<(String, Vec<u8>)> {
    let token = |key: &str| {
        let tokens = header.texts("tokenizer.ggml.tokens").ok()?;
        tokens.get(header.count(key)?).cloned()
    };
    let mut generation = Map::new();
    if let Some(bos) = header.count("tokenizer.ggml.bos_token_id") {
        generation.insert("bos_token_id".into(), bos.into());
    }
    if let Some(eos) = ends(header) {
        generation.insert("eos_token_id".into(), eos);
    }
    let mut tokenizer = json!({
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": token("tokenizer.ggml.bos_token_id"),
        "eos_token": token("tokenizer.ggml.eos_token_id"),
        "model_max_length": header.count("llama.context_length"),
    });
    if let Ok(template) = header.text("tokenizer.chat_template") {
        tokenizer["chat_template"] = template.into();
    }
    let pretty = |value: &Json| format!("{value:#}\n").into_bytes();
    vec![
        ("generation_config.json".into(), pretty(&Json::Object(generation))),
        ("tokenizer_config.json".into(), pretty(&tokenizer)),
    ]
}

fn unsupported(header: &Header, field: &'static str, got: String, want: &'static str) -> CheckpointError {
    CheckpointError::Unsupported { path: header.path().to_owned(), field, got, want }
}

/// The factor of Llama 3.1's rule that explains the stored divisors of the frequencies; `None` if nothing is stretched.
///
/// With wavelength w = 2π θ^(2i/d) and context c = 8192 the divisor is 1 for w < c/4, the factor f for w > c/1, and
/// 1 / ((1 − t)/f + t) with t = (c/w − 1)/(4 − 1) between (transformers, `modeling_rope_utils.py`).
fn stretch(
    header: &Header,
    frequencies: Option<&[f32]>,
    theta: f64,
    head_dim: usize,
) -> Result<Option<f64>, CheckpointError> {
    let Some(stored) = frequencies else { return Ok(None) };
    match explained(stored, theta, head_dim) {
        Some(factor) => Ok((factor > 1.0).then_some(factor)),
        None => Err(unsupported(
            header,
            "rope_freqs.weight",
            "another rule than Llama 3.1's".into(),
            "only that can be run",
        )),
    }
}

/// The factor with which Llama 3.1's rule gives these divisors, if there is one.
fn explained(stored: &[f32], theta: f64, head_dim: usize) -> Option<f64> {
    let factor = f64::from(stored.iter().copied().fold(1.0f32, f32::max));
    let divisor = |i: usize| {
        let wavelength = TAU * theta.powf(2.0 * i as f64 / head_dim as f64);
        if wavelength < ORIGINAL_CONTEXT / HIGH_FREQ_FACTOR {
            1.0
        } else if wavelength > ORIGINAL_CONTEXT / LOW_FREQ_FACTOR {
            factor
        } else {
            let t = (ORIGINAL_CONTEXT / wavelength - LOW_FREQ_FACTOR) / (HIGH_FREQ_FACTOR - LOW_FREQ_FACTOR);
            1.0 / ((1.0 - t) / factor + t)
        }
    };
    let fits = |(i, x): (usize, &f32)| (f64::from(*x) / divisor(i) - 1.0).abs() < FACTOR_TOLERANCE;
    (stored.len() == head_dim / 2 && stored.iter().enumerate().all(fits)).then_some(factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_factor_of_llama_3_is_found_in_its_divisors() {
        // Llama 3.2 1B: θ = 500 000, heads of 64, factor 32. Pairs 0 to 14 turn fast, 18 to 31 slowly; those between
        // were worked out from the rule by hand.
        let mut stored = [1.0f32; 32];
        stored[18..].fill(32.0);
        for (pair, divisor) in BETWEEN {
            stored[pair] = divisor;
        }
        assert_eq!(explained(&stored, 500_000.0, 64), Some(32.0));
        assert_eq!(explained(&[1.0; 32], 500_000.0, 64), Some(1.0), "nothing is stretched");
        stored[17] *= 1.1;
        assert_eq!(explained(&stored, 500_000.0, 64), None);
        assert_eq!(explained(&[1.0; 16], 500_000.0, 64), None);
        assert_eq!(explained(&[f32::NAN; 32], 500_000.0, 64), None);
    }

    const BETWEEN: [(usize, f32); 3] = [(15, 1.65133), (16, 3.29226), (17, 9.66673)];
}
