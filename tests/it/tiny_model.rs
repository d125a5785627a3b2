//! Makes small Llama folders with random weights, for tests that need a model on disk.

use std::fmt::Write as _;
use std::path::Path;

/// The shape of a model to make.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TinyModel {
    pub(crate) hidden: usize,
    pub(crate) layers: usize,
    pub(crate) heads: usize,
    pub(crate) kv_heads: usize,
    pub(crate) intermediate: usize,
    /// At least 284, which is what the tokenizer needs.
    pub(crate) vocab: usize,
    pub(crate) context: usize,
    pub(crate) tied: bool,
    pub(crate) seed: u64,
}

impl Default for TinyModel {
    /// Three query heads to each of two key heads.
    fn default() -> Self {
        Self {
            hidden: 48,
            layers: 2,
            heads: 6,
            kv_heads: 2,
            intermediate: 80,
            vocab: 300,
            context: 256,
            tied: false,
            seed: 1,
        }
    }
}

impl TinyModel {
    /// `config.json`.
    pub(crate) fn config(&self) -> String {
        let Self { hidden, layers, heads, kv_heads, intermediate, vocab, context, tied, .. } = self;
        format!(
            r#"{{"architectures":["LlamaForCausalLM"],"model_type":"llama","hidden_size":{hidden},
"intermediate_size":{intermediate},"vocab_size":{vocab},"num_hidden_layers":{layers},"num_attention_heads":{heads},
"num_key_value_heads":{kv_heads},"rms_norm_eps":1e-5,"rope_theta":10000.0,"max_position_embeddings":{context},
"tie_word_embeddings":{tied},"eos_token_id":1,"bos_token_id":0,"hidden_act":"silu","torch_dtype":"float32"}}"#
        )
    }

    /// Names and shapes of its tensors.
    pub(crate) fn tensors(&self) -> Vec<(String, Vec<usize>)> {
        let (d, ff, v) = (self.hidden, self.intermediate, self.vocab);
        let kv = d / self.heads * self.kv_heads;
        let mut all = vec![
            ("model.embed_tokens.weight".to_owned(), vec![v, d]),
            ("model.norm.weight".to_owned(), vec![d]),
        ];
        if !self.tied {
            all.push(("lm_head.weight".to_owned(), vec![v, d]));
        }
        for layer in 0..self.layers {
            for (part, shape) in [
                ("input_layernorm", vec![d]),
                ("post_attention_layernorm", vec![d]),
                ("self_attn.q_proj", vec![d, d]),
                ("self_attn.k_proj", vec![kv, d]),
                ("self_attn.v_proj", vec![kv, d]),
                ("self_attn.o_proj", vec![d, d]),
                ("mlp.gate_proj", vec![ff, d]),
                ("mlp.up_proj", vec![ff, d]),
                ("mlp.down_proj", vec![d, ff]),
            ] {
                all.push((format!("model.layers.{layer}.{part}.weight"), shape));
            }
        }
        all
    }

    /// Writes `config.json`, `tokenizer.json` and `model.safetensors` in f32. `edit` sees each tensor before it is
    /// written; `false` leaves it out.
    pub(crate) fn write(&self, folder: &Path, mut edit: impl FnMut(&str, &mut Vec<f32>) -> bool) {
        let tensors = self.tensors().into_iter().enumerate().filter_map(|(number, (name, shape))| {
            let mut weights = random_weights(&name, self.seed * 1000 + number as u64, &shape);
            edit(&name, &mut weights).then_some((name, shape, weights))
        });
        write_folder(folder, &self.config(), tensors);
    }
}

/// Writes `config.json`, `tokenizer.json` and `model.safetensors` in f32.
pub(crate) fn write_folder(
    folder: &Path,
    config: &str,
    tensors: impl Iterator<Item = (String, Vec<usize>, Vec<f32>)>,
) {
    std::fs::create_dir_all(folder).unwrap();
    std::fs::write(folder.join("config.json"), config).unwrap();
    std::fs::write(folder.join("tokenizer.json"), include_str!("../golden/engine_tokenizer.json")).unwrap();
    let (mut header, mut data) = (String::new(), Vec::new());
    for (name, shape, weights) in tensors {
        let start = data.len();
        data.extend(weights.iter().flat_map(|w| w.to_le_bytes()));
        let comma = if header.is_empty() { '{' } else { ',' };
        let end = data.len();
        write!(
            header,
            r#"{comma}"{name}":{{"dtype":"F32","shape":{shape:?},"data_offsets":[{start},{end}]}}"#
        )
        .unwrap();
    }
    header.push('}');
    while header.len() % 8 != 0 {
        header.push(' ');
    }
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header.bytes());
    file.extend(data);
    std::fs::write(folder.join("model.safetensors"), file).unwrap();
}

/// Weights of a size that keeps activations near 1: norms around 1, matrices with variance 1 / inputs, biases below 1/4.
pub(crate) fn random_weights(name: &str, seed: u64, shape: &[usize]) -> Vec<f32> {
    // splitmix64 (Steele, Lea & Flood 2014).
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    };
    let count = shape.iter().product();
    match shape {
        _ if name.rsplit('.').next() == Some("bias") => (0..count).map(|_| next() * 0.25).collect(),
        [_, inputs] => (0..count).map(|_| next() * (3.0 / *inputs as f32).sqrt()).collect(),
        _ => (0..count).map(|_| 1.0 + 0.2 * next()).collect(),
    }
}
