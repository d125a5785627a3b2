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
    /// Which linear layers have a bias.
    pub biases: Biases,
    /// A token sees itself and the tokens before it, this many together; all where there is none.
    pub window: Option<usize>,
    /// Token ids that end a text.
    pub eos: Vec<u32>,
    /// The token id that begins a text, where the model has one.
    pub bos: Option<u32>,
}

/// Which linear layers have a bias.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Biases {
    /// Queries, keys and values.
    pub qkv: bool,
    /// The output of attention.
    pub output: bool,
    /// Gate, up and down projections.
    pub mlp: bool,
}

/// How rotary frequencies are stretched beyond the context of training.
///
/// transformers' `dynamic` changes nothing within `max_position_embeddings`, which is the longest sequence here: it is read as
/// [`RopeScaling::Default`].
#[derive(Clone, Debug, PartialEq)]
pub enum RopeScaling {
    /// Not at all.
    Default,
    /// All frequencies are divided (transformers `rope_type: linear`; Chen et al. 2023).
    Linear {
        /// By this.
        factor: f64,
    },
    /// High frequencies stay, low ones are divided, and cosines and sines are scaled (transformers `rope_type: yarn`; Peng et
    /// al. 2023).
    Yarn {
        /// Divisor of the lowest frequencies.
        factor: f64,
        /// By what cosines and sines are multiplied.
        attention_factor: f64,
        /// Frequencies that turn more often than this within the context of training stay.
        beta_fast: f64,
        /// Those that turn less often than this are divided.
        beta_slow: f64,
        /// Whether the borders between them are rounded outwards to whole pairs.
        truncate: bool,
        /// Context of training, in tokens.
        original_context: usize,
    },
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
#[expect(clippy::struct_excessive_bools, reason = "the keys of the file")]
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
    #[serde(default = "mistral_window")]
    sliding_window: Option<usize>,
    #[serde(default)]
    use_sliding_window: bool,
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
    attention_factor: Option<f64>,
    beta_fast: Option<f64>,
    beta_slow: Option<f64>,
    mscale: Option<f64>,
    mscale_all_dim: Option<f64>,
    truncate: Option<bool>,
    partial_rotary_factor: Option<f64>,
}

/// What a `MistralConfig` of transformers has where config.json says nothing; with null there is no window.
#[expect(clippy::unnecessary_wraps, reason = "the default of an optional field")]
fn mistral_window() -> Option<usize> {
    Some(4096)
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

/// A rope that cannot be run.
struct RopeFault {
    field: &'static str,
    got: String,
    want: &'static str,
}

impl RawRope {
    /// The rule, and how many tokens it reaches for a model whose config says `trained`.
    fn scaling(&self, trained: usize) -> Result<(RopeScaling, usize), RopeFault> {
        if let Some(part) = self.partial_rotary_factor.filter(|part| *part != 1.0) {
            let want = "only whole heads can be turned";
            return Err(RopeFault { field: "partial_rotary_factor", got: part.to_string(), want });
        }
        let incomplete = |want| RopeFault { field: "rope_scaling", got: "incomplete".into(), want };
        let factor = || match self.factor {
            Some(factor) if factor >= 1.0 && factor.is_finite() => Ok(factor),
            Some(factor) => Err(RopeFault {
                field: "rope_scaling.factor",
                got: factor.to_string(),
                want: "it is at least 1",
            }),
            None => Err(incomplete("this rope_type needs a factor")),
        };
        // Beyond the context of training, as far as the factor reaches, or as far as the config says.
        let reach = |original: usize, factor: f64| ((original as f64 * factor) as usize).max(trained);
        match self.rope_type.as_deref() {
            None | Some("default" | "dynamic") => Ok((RopeScaling::Default, trained)),
            Some("linear") => {
                let factor = factor()?;
                Ok((RopeScaling::Linear { factor }, reach(trained, factor)))
            }
            Some("yarn") => {
                let original_context = self
                    .original_max_position_embeddings
                    .ok_or_else(|| incomplete("`yarn` needs factor and original_max_position_embeddings"))?;
                let factor = factor()?;
                // Peng et al. 2023, equation 22; with two coefficients as DeepSeek's models have it.
                let scale = |mscale: f64| if factor <= 1.0 { 1.0 } else { 0.1 * mscale * factor.ln() + 1.0 };
                let stated = |number: Option<f64>| number.filter(|number| *number != 0.0);
                let attention_factor = match (stated(self.mscale), stated(self.mscale_all_dim)) {
                    _ if self.attention_factor.is_some() => self.attention_factor.unwrap_or(1.0),
                    (Some(mscale), Some(all)) => scale(mscale) / scale(all),
                    _ => scale(1.0),
                };
                let yarn = RopeScaling::Yarn {
                    factor,
                    attention_factor,
                    beta_fast: stated(self.beta_fast).unwrap_or(32.0),
                    beta_slow: stated(self.beta_slow).unwrap_or(1.0),
                    truncate: self.truncate.unwrap_or(true),
                    original_context,
                };
                Ok((yarn, reach(original_context, factor)))
            }
            Some("llama3") => {
                let parts = (|| {
                    Some(RopeScaling::Llama3 {
                        factor: self.factor?,
                        low_freq_factor: self.low_freq_factor?,
                        high_freq_factor: self.high_freq_factor?,
                        original_context: self.original_max_position_embeddings?,
                    })
                })();
                let want = "`llama3` needs factor, low_freq_factor, high_freq_factor and original_max_position_embeddings";
                Ok((parts.ok_or_else(|| incomplete(want))?, trained))
            }
            Some(other) => Err(RopeFault {
                field: "rope_type",
                got: other.to_owned(),
                want: "`default`, `linear`, `dynamic`, `llama3` and `yarn` can be run",
            }),
        }
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
        let (biases, window) = match raw.model_type.as_deref() {
            None | Some("llama") => {
                let attention = raw.attention_bias;
                (Biases { qkv: attention, output: attention, mlp: raw.mlp_bias }, None)
            }
            Some("mistral") => (Biases::default(), raw.sliding_window),
            Some("qwen2") if raw.use_sliding_window => {
                return Err(unsupported(
                    "use_sliding_window",
                    "true".into(),
                    "Qwen2's windows, which only some layers have, are not implemented",
                ));
            }
            Some("qwen2") => (Biases { qkv: true, ..Biases::default() }, None),
            Some(kind) => {
                let want = "`llama`, `mistral` and `qwen2` can be run";
                return Err(unsupported("model_type", kind.to_owned(), want));
            }
        };
        if let Some(act) = raw.hidden_act.filter(|a| a != "silu") {
            return Err(unsupported("hidden_act", act, "Llama's is `silu`"));
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
            ("sliding_window", window.unwrap_or(1)),
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
        let trained = raw.max_position_embeddings.unwrap_or(2048);
        let bad_rope = |why: RopeFault| unsupported(why.field, why.got, why.want);
        let (rope_scaling, context) = match &rope {
            Some(rope) => rope.scaling(trained).map_err(bad_rope)?,
            None => (RopeScaling::Default, trained),
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
            context,
            tied_head: raw.tie_word_embeddings,
            biases,
            window: window.filter(|&window| window < context),
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
            let biases = [
                ("self_attn.q_proj", q, self.biases.qkv),
                ("self_attn.k_proj", kv, self.biases.qkv),
                ("self_attn.v_proj", kv, self.biases.qkv),
                ("self_attn.o_proj", d, self.biases.output),
                ("mlp.gate_proj", ff, self.biases.mlp),
                ("mlp.up_proj", ff, self.biases.mlp),
                ("mlp.down_proj", d, self.biases.mlp),
            ];
            let biases = biases.into_iter().filter(|&(.., there)| there);
            all.extend(
                biases
                    .map(|(part, size, _)| (format!("model.layers.{layer}.{part}.bias").into(), vec![size])),
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
            ("[1,2]", "1,\"rope_scaling\":{\"type\":\"longrope\"}", "rope_type"),
            (
                "[1,2]",
                "1,\"rope_scaling\":{\"type\":\"yarn\",\"factor\":4}",
                "original_max_position_embeddings",
            ),
            ("[1,2]", "1,\"rope_scaling\":{\"type\":\"linear\"}", "factor"),
            ("[1,2]", "1,\"rope_scaling\":{\"type\":\"linear\",\"factor\":0}", "at least 1"),
            ("[1,2]", "1,\"rope_parameters\":{\"partial_rotary_factor\":0.5}", "partial_rotary_factor"),
            ("\"llama\"", "\"qwen2\",\"use_sliding_window\":true", "use_sliding_window"),
            ("\"llama\"", "\"mistral\",\"sliding_window\":0", "sliding_window"),
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
        let with = |to: &str| parse(&TINY.replace("\"llama\"", to)).unwrap();
        assert_eq!(with("\"qwen2\"").tensors().len(), 3 + 9 + 3);
        let all = with("\"llama\",\"attention_bias\":true,\"mlp_bias\":true");
        assert_eq!(all.tensors().len(), 3 + 9 + 7);
        let last = all.tensors().pop().unwrap();
        assert_eq!((last.0.as_str(), last.1), ("model.layers.0.mlp.down_proj.bias", vec![8]));
    }

    #[test]
    fn a_stretched_rope_reaches_further_and_a_window_less_far() {
        let with = |to: &str| parse(&TINY.replace("\"llama\"", to)).unwrap();
        assert_eq!(with("\"llama\",\"max_position_embeddings\":100").context, 100);
        let linear =
            "\"llama\",\"max_position_embeddings\":100,\"rope_scaling\":{\"type\":\"linear\",\"factor\":4}";
        assert_eq!(with(linear).context, 400);
        let yarn = "\"llama\",\"max_position_embeddings\":100,\"rope_scaling\":{\"type\":\"yarn\",\"factor\":4,\"original_max_position_embeddings\":50}";
        assert_eq!(with(yarn).context, 200);
        let window = |size| with(&format!("\"mistral\",\"sliding_window\":{size}")).window;
        assert_eq!((window(30), window(3000)), (Some(30), None));
    }
}
