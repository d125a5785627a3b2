//! Small models in memory, for this room's tests.

use crate::checkpoint::{CheckpointError, Companions, Manifest, ModelConfig, Span, TensorInfo, TensorSource};
use crate::digest::Digest;
use crate::dtype::DType;
use crate::ids::TensorName;
use std::collections::HashMap;
use std::path::Path;

/// `len` numbers in [-1, 1) that depend on `seed` only.
pub(crate) fn numbers(seed: u64, len: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0xD1B5_4A32_D192_ED03;
    let mut next = || {
        // xorshift64*: Vigna 2016.
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        let bits = (state.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 40) as f32;
        bits / (1u64 << 23) as f32 - 1.0
    };
    (0..len).map(|_| next()).collect()
}

/// Tensors in memory.
#[derive(Debug)]
pub(crate) struct Memory {
    manifest: Manifest,
    tensors: HashMap<TensorName, Vec<f32>>,
}

impl Memory {
    pub(crate) fn new<N: Into<TensorName>>(
        tensors: impl IntoIterator<Item = (N, Vec<usize>, Vec<f32>)>,
    ) -> Self {
        let (infos, tensors): (Vec<_>, HashMap<_, _>) = tensors
            .into_iter()
            .map(|(name, shape, data)| {
                let name: TensorName = name.into();
                assert_eq!(shape.iter().product::<usize>(), data.len());
                ((name.clone(), TensorInfo { shape, dtype: DType::F32 }), (name, data))
            })
            .unzip();
        Self { manifest: infos.into_iter().collect(), tensors }
    }

    /// Random weights for `config`, of a size that keeps activations near 1.
    pub(crate) fn model(config: &ModelConfig, seed: u64) -> Self {
        Self::new(config.tensors().into_iter().enumerate().map(|(i, (name, shape))| {
            let mut data = numbers(seed * 1000 + i as u64, shape.iter().product());
            let scale = if shape.len() == 1 { 0.2 } else { (3.0 / shape[1] as f32).sqrt() };
            let middle = if shape.len() == 1 { 1.0 } else { 0.0 };
            for x in &mut data {
                *x = *x * scale + middle;
            }
            (name, shape, data)
        }))
    }

    /// Replaces one number.
    pub(crate) fn set(&mut self, name: &str, element: usize, value: f32) {
        self.tensors.get_mut(&name.into()).unwrap()[element] = value;
    }
}

impl TensorSource for Memory {
    fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    fn read(&self, name: &TensorName, span: Span, out: &mut [f32]) -> Result<(), CheckpointError> {
        let tensor =
            self.tensors.get(name).ok_or_else(|| CheckpointError::NoTensor { tensor: name.clone() })?;
        out.copy_from_slice(&tensor[span.start..span.start + span.len]);
        Ok(())
    }

    fn digest(&self) -> Result<Digest, CheckpointError> {
        unreachable!("nobody asks")
    }
}

/// A Llama with grouped heads whose widths are no multiples of 16.
pub(crate) fn config() -> ModelConfig {
    companions().config
}

/// The config and tokenizer of the small model.
pub(crate) fn companions() -> Companions {
    let text = r#"{"model_type":"llama","hidden_size":36,"intermediate_size":56,"vocab_size":300,
        "num_hidden_layers":2,"num_attention_heads":6,"num_key_value_heads":2,"head_dim":6,"rms_norm_eps":1e-5,
        "rope_theta":10000.0,"max_position_embeddings":128,"eos_token_id":1,"tie_word_embeddings":true}"#;
    Companions {
        config: ModelConfig::parse(text, Path::new("config.json")).unwrap(),
        config_json: serde_json::from_str(text).unwrap(),
        tokenizer: include_bytes!("../../tests/golden/engine_tokenizer.json").to_vec(),
        others: Vec::new(),
    }
}
