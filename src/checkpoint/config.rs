//! What a Llama-style `config.json` says, checked.

use super::{CheckpointError, Manifest};
use crate::ids::TensorName;
use serde::Deserialize;
use std::path::Path;

/// The shape and constants of a Llama-style model.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelConfig {
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Width inside the feed-forward block.
    pub intermediate_size: usize,
    /// Rows of the embedding.
    pub vocab_size: usize,
    /// Number of decoder layers.
    pub layers: usize,
    /// Query heads.
    pub heads: usize,
    /// Key and value heads; divides `heads`.
    pub kv_heads: usize,
    /// Width of one head.
    pub head_dim: usize,
    /// ε of the RMS norms.
    pub rms_norm_eps: f64,
    /// Base θ of the rotary frequencies.
    pub rope_theta: f64,
    /// How rotary frequencies are stretched.
    pub rope_scaling: RopeScaling,
    /// Longest sequence, in tokens.
    pub context: usize,
    /// Whether the output head is the embedding itself.
    pub tied_head: bool,
    /// Token ids that end a text.
    pub eos: Vec<u32>,
    /// The token id that begins a text, where the model has one.
    pub bos: Option<u32>,
}

/// How rotary frequencies are stretched beyond the context of training.
#[derive(Clone, Debug, PartialEq)]
pub enum RopeScaling {
    /// Not at all.
    Default,
    /// Llama 3.1's rule by wavelength (transformers `rope_type: llama3`).
    Llama3 {
        /// Divisor of the lowest frequencies.
        factor: f64,
        /// Wavelengths above `original_context / low_freq_factor` are divided.
        low_freq_factor: f64,
        /// Wavelengths below `original_context / high_freq_factor` stay.
        high_freq_factor: f64,
        /// Context of training, in tokens.
        original_context: usize,
    },
}

/// Most layers, and largest size of an axis: far above any model, and small enough for plain arithmetic.
const MAX_LAYERS: usize = 10_000;
const MAX_SIZE: usize = (1 << 31) - 1;

#[derive(Deserialize)]
struct Raw {
    model_type: Option<String>,
    hidden_size: usize,
    intermediate_size: usize,
    vocab_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    num_key_value_heads: Option<usize>,
    head_dim: Option<usize>,
    rms_norm_eps: Option<f64>,
    rope_theta: Option<f64>,
    rope_scaling: Option<RawRope>,
    rope_parameters: Option<RawRope>,
    max_position_embeddings: Option<usize>,
    #[serde(default)]
    tie_word_embeddings: bool,
    #[serde(default)]
    attention_bias: bool,
    #[serde(default)]
    mlp_bias: bool,
    hidden_act: Option<String>,
    eos_token_id: Option<OneOrMany>,
    bos_token_id: Option<u32>,
}

#[derive(Deserialize)]
struct RawRope {
    #[serde(alias = "type")]
    rope_type: Option<String>,
    rope_theta: Option<f64>,
    factor: Option<f64>,
    low_freq_factor: Option<f64>,
    high_freq_factor: Option<f64>,
    original_max_position_embeddings: Option<usize>,
}

/// `eos_token_id` is a number in older configs and a list in newer ones.
struct OneOrMany(Vec<u32>);

impl<'de> Deserialize<'de> for OneOrMany {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = OneOrMany;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a token id or a list of token ids")
            }
            fn visit_u64<E: serde::de::Error>(self, id: u64) -> Result<OneOrMany, E> {
                u32::try_from(id).map(|id| OneOrMany(vec![id])).map_err(E::custom)
            }
            fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut seq: A) -> Result<OneOrMany, A::Error> {
                let mut ids = Vec::new();
                while let Some(id) = seq.next_element()? {
                    ids.push(id);
                }
                Ok(OneOrMany(ids))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

impl ModelConfig {
    /// Parses the text of a `config.json`; `path` is for messages.
    pub fn parse(text: &str, path: &Path) -> Result<Self, CheckpointError> {
        let raw: Raw = serde_json::from_str(text)
            .map_err(|e| CheckpointError::BadJson { path: path.to_owned(), reason: e.to_string() })?;
        let unsupported = |field, got: String, want| CheckpointError::Unsupported {
            path: path.to_owned(),
            field,
            got,
            want,
        };
        if let Some(kind) = raw.model_type.filter(|k| k != "llama") {
            return Err(unsupported("model_type", kind, "only `llama` can be run"));
        }
        if let Some(act) = raw.hidden_act.filter(|a| a != "silu") {
            return Err(unsupported("hidden_act", act, "Llama's is `silu`"));
        }
        for (field, on) in [("attention_bias", raw.attention_bias), ("mlp_bias", raw.mlp_bias)] {
            if on {
                return Err(unsupported(field, "true".into(), "biases are not implemented"));
            }
        }
        for (field, size) in [
            ("hidden_size", raw.hidden_size),
            ("intermediate_size", raw.intermediate_size),
            ("vocab_size", raw.vocab_size),
            ("num_hidden_layers", raw.num_hidden_layers),
            ("num_attention_heads", raw.num_attention_heads),
            ("num_key_value_heads", raw.num_key_value_heads.unwrap_or(1)),
            ("head_dim", raw.head_dim.unwrap_or(2)),
            ("max_position_embeddings", raw.max_position_embeddings.unwrap_or(1)),
        ] {
            if size == 0 {
                return Err(unsupported(field, "0".into(), "it must be at least 1"));
            }
        }
        // Products of two sizes stay below 2^62, and a list of all tensors stays small.
        for (field, size, most, want) in [
            ("num_hidden_layers", raw.num_hidden_layers, MAX_LAYERS, "at most 10000 can be read"),
            ("hidden_size", raw.hidden_size, MAX_SIZE, "sizes are below 2^31"),
            ("intermediate_size", raw.intermediate_size, MAX_SIZE, "sizes are below 2^31"),
            ("vocab_size", raw.vocab_size, MAX_SIZE, "sizes are below 2^31"),
            ("num_attention_heads", raw.num_attention_heads, MAX_SIZE, "sizes are below 2^31"),
            ("num_key_value_heads", raw.num_key_value_heads.unwrap_or(1), MAX_SIZE, "sizes are below 2^31"),
            ("head_dim", raw.head_dim.unwrap_or(2), MAX_SIZE, "sizes are below 2^31"),
        ] {
            if size > most {
                return Err(unsupported(field, size.to_string(), want));
            }
        }
        let kv_heads = raw.num_key_value_heads.unwrap_or(raw.num_attention_heads);
        if !raw.num_attention_heads.is_multiple_of(kv_heads) {
            return Err(unsupported(
                "num_key_value_heads",
                kv_heads.to_string(),
                "it must divide num_attention_heads",
            ));
        }
        let head_dim = raw.head_dim.unwrap_or(raw.hidden_size / raw.num_attention_heads);
        if !head_dim.is_multiple_of(2) || head_dim == 0 {
            return Err(unsupported("head_dim", head_dim.to_string(), "rotary positions need an even width"));
        }
        // Newer transformers write `rope_parameters`, which holds θ too; older ones `rope_theta` and `rope_scaling`.
        let rope = raw.rope_parameters.or(raw.rope_scaling);
        let rope_theta = raw.rope_theta.or(rope.as_ref().and_then(|r| r.rope_theta)).unwrap_or(10_000.0);
        let rope_scaling = match rope.as_ref().and_then(|r| r.rope_type.as_deref()) {
            None | Some("default") => RopeScaling::Default,
            Some("llama3") => {
                let parts = rope.as_ref().and_then(|r| {
                    Some(RopeScaling::Llama3 {
                        factor: r.factor?,
                        low_freq_factor: r.low_freq_factor?,
                        high_freq_factor: r.high_freq_factor?,
                        original_context: r.original_max_position_embeddings?,
                    })
                });
                parts.ok_or_else(|| {
                    unsupported("rope_scaling", "incomplete".into(), "`llama3` needs factor, low_freq_factor, high_freq_factor and original_max_position_embeddings")
                })?
            }
            Some(other) => {
                return Err(unsupported("rope_type", other.to_owned(), "`default` and `llama3` can be run"));
            }
        };
        Ok(Self {
            hidden_size: raw.hidden_size,
            intermediate_size: raw.intermediate_size,
            vocab_size: raw.vocab_size,
            layers: raw.num_hidden_layers,
            heads: raw.num_attention_heads,
            kv_heads,
            head_dim,
            rms_norm_eps: raw.rms_norm_eps.unwrap_or(1e-6),
            rope_theta,
            rope_scaling,
            context: raw.max_position_embeddings.unwrap_or(2048),
            tied_head: raw.tie_word_embeddings,
            eos: raw.eos_token_id.map(|o| o.0).unwrap_or_default(),
            bos: raw.bos_token_id,
        })
    }

    /// Every tensor that a model of this config has, with its shape.
    pub fn tensors(&self) -> Vec<(TensorName, Vec<usize>)> {
        let (d, ff) = (self.hidden_size, self.intermediate_size);
        let (q, kv) = (self.heads * self.head_dim, self.kv_heads * self.head_dim);
        let mut all = vec![
            ("model.embed_tokens.weight".into(), vec![self.vocab_size, d]),
            ("model.norm.weight".into(), vec![d]),
        ];
        if !self.tied_head {
            all.push(("lm_head.weight".into(), vec![self.vocab_size, d]));
        }
        for layer in 0..self.layers {
            let parts: [(&str, Vec<usize>); 9] = [
                ("input_layernorm", vec![d]),
                ("post_attention_layernorm", vec![d]),
                ("self_attn.q_proj", vec![q, d]),
                ("self_attn.k_proj", vec![kv, d]),
                ("self_attn.v_proj", vec![kv, d]),
                ("self_attn.o_proj", vec![d, q]),
                ("mlp.gate_proj", vec![ff, d]),
                ("mlp.up_proj", vec![ff, d]),
                ("mlp.down_proj", vec![d, ff]),
            ];
            all.extend(
                parts.map(|(part, shape)| (format!("model.layers.{layer}.{part}.weight").into(), shape)),
            );
        }
        all
    }

    /// The same as [`Self::check`], naming the file or folder at fault.
    pub(super) fn check_file(&self, manifest: &Manifest, path: &Path) -> Result<(), CheckpointError> {
        let name = |cause| CheckpointError::OtherWeights { path: path.to_owned(), cause: Box::new(cause) };
        self.check(manifest).map_err(name)
    }

    /// Checks that `manifest` has every tensor of this config in its shape.
    pub fn check(&self, manifest: &Manifest) -> Result<(), CheckpointError> {
        for (tensor, want) in self.tensors() {
            match manifest.get(&tensor) {
                None => return Err(CheckpointError::NoTensor { tensor }),
                Some(info) if info.shape != want => {
                    return Err(CheckpointError::Shape { tensor, got: info.shape.clone(), want });
                }
                Some(_) => {}
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<ModelConfig, CheckpointError> {
        ModelConfig::parse(text, Path::new("config.json"))
    }

    const TINY: &str = r#"{"model_type":"llama","hidden_size":8,"intermediate_size":16,"vocab_size":10,
        "num_hidden_layers":1,"num_attention_heads":4,"num_key_value_heads":2,"eos_token_id":[1,2]}"#;

    #[test]
    fn reads_both_spellings_of_rope_and_eos() {
        let plain = parse(TINY).unwrap();
        assert_eq!((plain.head_dim, plain.eos.as_slice(), plain.rope_theta), (2, &[1, 2][..], 10_000.0));
        let newer = TINY.replace("[1,2]", r#"7,"rope_parameters":{"rope_type":"default","rope_theta":5e5}"#);
        let newer = parse(&newer).unwrap();
        assert_eq!((newer.eos.as_slice(), newer.rope_theta), (&[7][..], 5e5));
    }

    #[test]
    fn refuses_what_it_cannot_run() {
        for (from, to, names) in [
            ("\"llama\"", "\"gpt2\"", "model_type"),
            ("\"num_key_value_heads\":2", "\"num_key_value_heads\":3", "num_key_value_heads"),
            ("\"vocab_size\":10", "\"vocab_size\":0", "vocab_size"),
            ("[1,2]", "1,\"rope_scaling\":{\"type\":\"yarn\"}", "rope_type"),
            ("[1,2]", "1,\"rope_scaling\":{\"rope_type\":\"llama3\"}", "incomplete"),
            ("[1,2]", "\"x\"", "token id"),
        ] {
            let message = parse(&TINY.replace(from, to)).unwrap_err().to_string();
            assert!(message.contains(names), "{message}");
        }
    }

    #[test]
    fn names_every_tensor() {
        assert_eq!(parse(TINY).unwrap().tensors().len(), 3 + 9);
    }
}
