//! The oracle: candle's own Llama, one request at a time.
//!
//! It shares the tokenizer, the sampler and the end of answers with the packed engine, and none of the arithmetic.

use super::error::EngineError;
use super::likelihood::{Pair, Tally};
use super::logits::{Logits, NotANumber};
use super::sampler::Sampler;
use super::serve::check_tokens;
use super::settings::EngineSettings;
use super::tokenizer::Tokenizer;
use super::transcript::{Tell, Transcript};
use crate::checkpoint::{Biases, Companions, ModelConfig, RopeScaling, TensorSource};
use crate::completion::{
    Breakdown, Complete, CompleteError, Flow, Likelihood, LikelihoodRequest, Outcome, Refusal, Request,
};
use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::llama::{Cache, Config, Llama, Llama3RopeConfig, Llama3RopeType};
use std::collections::HashMap;

/// `candle_transformers::models::llama` in f32 on the CPU, one request at a time.
#[derive(Debug)]
pub struct ReferenceEngine {
    config: ModelConfig,
    tokenizer: Tokenizer,
    llama: Llama,
    /// Rotary tables and no keys; each request runs on a clone.
    cache: Cache,
}

impl ReferenceEngine {
    /// What [`Complete::numerics`] says: changes whenever an answer could.
    pub const NUMERICS: &'static str = "candle-0.11.1-llama-cpu-f32/1";

    /// Loads the weights of `source`, widened to f32, and the tokenizer of `companions`. The settings do not apply: there
    /// is no batch, and candle chooses its threads itself.
    ///
    /// Fails as [`super::Engine::load`], and if the config has a `head_dim` that candle's Llama does not derive.
    pub fn load(
        source: &dyn TensorSource,
        companions: &Companions,
        _: &EngineSettings,
    ) -> Result<Self, EngineError> {
        let config = companions.config.clone();
        // candle panics on a missing tensor of a layer.
        config.check(source.manifest())?;
        let lacks = match () {
            () if config.biases != Biases::default() => Some("biases"),
            () if config.window.is_some() => Some("sliding windows"),
            () if matches!(config.rope_scaling, RopeScaling::Linear { .. } | RopeScaling::Yarn { .. }) => {
                Some("`linear` and `yarn` ropes")
            }
            () => None,
        };
        if let Some(what) = lacks {
            return Err(EngineError::ReferenceLacks { what });
        }
        let derived = config.hidden_size / config.heads;
        if config.head_dim != derived || derived * config.heads != config.hidden_size {
            return Err(EngineError::ReferenceHeadDim { head_dim: config.head_dim, derived });
        }
        let tokenizer = Tokenizer::load(companions)?;
        let mut tensors = HashMap::new();
        for (name, shape) in config.tensors() {
            let tensor = Tensor::from_vec(source.read_all(&name)?, shape, &Device::Cpu)?;
            tensors.insert(name.as_str().to_owned(), tensor);
        }
        let weights = VarBuilder::from_tensors(tensors, DType::F32, &Device::Cpu);
        let theirs = translate(&config);
        let llama = Llama::load(weights, &theirs)?;
        let cache = Cache::new(true, DType::F32, &theirs, &Device::Cpu)?;
        Ok(Self { config, tokenizer, llama, cache })
    }

    /// The logits `[vocab_size]` after the last of `tokens`.
    pub fn logits(&mut self, tokens: &[u32]) -> Result<Vec<f32>, EngineError> {
        check_tokens(tokens, &self.config)?;
        self.forward(tokens, 0, &mut self.cache.clone())
    }

    /// Runs `tokens` from `position` on; the logits `[vocab_size]` after the last of them.
    fn forward(&self, tokens: &[u32], position: usize, cache: &mut Cache) -> Result<Vec<f32>, EngineError> {
        let input = Tensor::new(tokens, &Device::Cpu)?.unsqueeze(0)?;
        Ok(self.llama.forward(&input, position, cache)?.flatten_all()?.to_vec1()?)
    }

    /// The answer; none if `tell` wants no more of it.
    fn answer(
        &self,
        request: &Request,
        tell: Option<&mut Tell<'_>>,
    ) -> Result<Option<Result<Outcome, Refusal>>, EngineError> {
        let begun = Sampler::new(request).and_then(|sampler| {
            Ok((sampler, Transcript::begin(&self.tokenizer, request, self.config.context)?))
        });
        let (mut sampler, (prompt, mut transcript)) = match begun {
            Ok(begun) => begun,
            Err(refusal) => return Ok(Some(Err(refusal))),
        };
        if let Some(outcome) = transcript.ended_before_it_began() {
            return Ok(Some(Ok(outcome)));
        }
        if let Some(tell) = tell {
            transcript = transcript.aloud(tell);
        }
        let mut cache = self.cache.clone();
        let mut logits = self.forward(&prompt, 0, &mut cache)?;
        loop {
            let generated = transcript.generated();
            let token = match sampler.choose(Logits::All(&logits)) {
                Ok(token) => token,
                Err(NotANumber) => {
                    return Ok(Some(Err(Refusal::NotANumber { place: Breakdown::Logits, generated })));
                }
            };
            if let Some(outcome) = transcript.push(token)? {
                return Ok(Some(Ok(outcome)));
            }
            if transcript.stopped() {
                return Ok(None);
            }
            logits = self.forward(&[token], prompt.len() + generated, &mut cache)?;
        }
    }

    fn weigh(&self, request: &LikelihoodRequest) -> Result<Result<Vec<Likelihood>, Refusal>, EngineError> {
        let pairs = match Pair::all(&self.tokenizer, request, self.config.context) {
            Ok(pairs) => pairs,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let mut all = Vec::with_capacity(pairs.len());
        for pair in pairs {
            let mut cache = self.cache.clone();
            let mut tally = Tally::new(pair.continuation().to_vec());
            let mut logits = self.forward(&pair.tokens[..pair.prompt], 0, &mut cache)?;
            for position in pair.prompt.. {
                match tally.take(&logits) {
                    Err(NotANumber) => {
                        return Ok(Err(Refusal::NotANumber {
                            place: Breakdown::Logits,
                            generated: tally.seen(),
                        }));
                    }
                    Ok(Some(likelihood)) => {
                        all.push(likelihood);
                        break;
                    }
                    Ok(None) => logits = self.forward(&[pair.tokens[position]], position, &mut cache)?,
                }
            }
        }
        Ok(Ok(all))
    }
}

/// The config in candle's words.
fn translate(config: &ModelConfig) -> Config {
    let rope_scaling = match config.rope_scaling {
        // `load` refuses the two in the middle.
        RopeScaling::Default | RopeScaling::Linear { .. } | RopeScaling::Yarn { .. } => None,
        RopeScaling::Llama3 { factor, low_freq_factor, high_freq_factor, original_context } => {
            Some(Llama3RopeConfig {
                factor: factor as f32,
                low_freq_factor: low_freq_factor as f32,
                high_freq_factor: high_freq_factor as f32,
                original_max_position_embeddings: original_context,
                rope_type: Llama3RopeType::Llama3,
            })
        }
    };
    Config {
        hidden_size: config.hidden_size,
        intermediate_size: config.intermediate_size,
        vocab_size: config.vocab_size,
        num_hidden_layers: config.layers,
        num_attention_heads: config.heads,
        num_key_value_heads: config.kv_heads,
        use_flash_attn: false,
        rms_norm_eps: config.rms_norm_eps,
        rope_theta: config.rope_theta as f32,
        bos_token_id: None,
        eos_token_id: None,
        rope_scaling,
        max_position_embeddings: config.context,
        tie_word_embeddings: config.tied_head,
    }
}

impl Complete for ReferenceEngine {
    fn complete(
        &mut self,
        requests: &[Request],
        deliver: &mut dyn FnMut(usize, Result<Outcome, Refusal>) -> Flow,
    ) -> Result<(), CompleteError> {
        for (number, request) in requests.iter().enumerate() {
            let answer = self.answer(request, None).map_err(|e| CompleteError(Box::new(e)))?;
            if answer.is_some_and(|answer| deliver(number, answer) == Flow::Stop) {
                break;
            }
        }
        Ok(())
    }

    fn complete_aloud(
        &mut self,
        request: &Request,
        tell: &mut dyn FnMut(&str) -> Flow,
    ) -> Result<Option<Result<Outcome, Refusal>>, CompleteError> {
        self.answer(request, Some(tell)).map_err(|e| CompleteError(Box::new(e)))
    }

    fn likelihoods(
        &mut self,
        requests: &[LikelihoodRequest],
        deliver: &mut dyn FnMut(usize, Result<Vec<Likelihood>, Refusal>) -> Flow,
    ) -> Result<(), CompleteError> {
        for (number, request) in requests.iter().enumerate() {
            let likelihoods = self.weigh(request).map_err(|e| CompleteError(Box::new(e)))?;
            if deliver(number, likelihoods) == Flow::Stop {
                break;
            }
        }
        Ok(())
    }

    fn prompt_ids(&self, prompt: &str) -> Option<Vec<u32>> {
        self.tokenizer.encode(prompt).ok()
    }

    fn numerics(&self) -> String {
        Self::NUMERICS.to_owned()
    }
}
