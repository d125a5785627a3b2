//! The packed engine behind the contract.

use super::error::EngineError;
use super::kv::{KvPool, KvShape};
use super::llama::{Piece, Rope};
use super::load;
use super::sampler;
use super::scheduler::{Choose, Deliver, Scheduler};
use super::settings::EngineSettings;
use super::step::Machine;
use super::tokenizer::Tokenizer;
use crate::checkpoint::{Companions, ModelConfig, TensorSource};
use crate::completion::{Complete, CompleteError, Flow, Outcome, Refusal, Request};

/// A Llama in f32 on the CPU, answering many requests at once.
///
/// An answer has the same bits alone and in any batch, in any order of arrival, with any [`EngineSettings`] and any
/// number of threads. Weights are packed when they are loaded and not kept otherwise.
#[derive(Debug)]
pub struct Engine {
    config: ModelConfig,
    settings: EngineSettings,
    tokenizer: Tokenizer,
    pool: KvPool,
    machine: Machine,
}

impl Engine {
    /// What [`Complete::numerics`] says: changes whenever an answer could.
    pub const NUMERICS: &'static str = "m3-cpu-f32/1";

    /// Loads the weights of `source`, widened to f32, and the tokenizer of `companions`.
    ///
    /// Fails before reading any weight if a tensor of the config is missing or has another shape
    /// ([`EngineError::Checkpoint`]), or if the tokenizer does not parse or does not fit the embedding.
    pub fn load(
        source: &dyn TensorSource,
        companions: &Companions,
        settings: &EngineSettings,
    ) -> Result<Self, EngineError> {
        let config = companions.config.clone();
        config.check(source.manifest())?;
        let tokenizer = Tokenizer::load(companions)?;
        let machine = Machine::new(load::load(source, &config)?, Rope::new(&config), settings.threads);
        let pool = KvPool::new(KvShape::of(&config), settings.kv_tokens.0);
        Ok(Self { config, settings: *settings, tokenizer, pool, machine })
    }

    /// Exchanges the weights for those of another model with the same config and tokenizer: the next candidate of a
    /// search. On an error the old weights stay.
    pub fn exchange(&mut self, source: &dyn TensorSource) -> Result<(), EngineError> {
        *self.machine.llama_mut() = load::load(source, &self.config)?;
        Ok(())
    }

    /// The token that is put before every prompt that does not begin with it: the config's `bos_token_id`, if the
    /// tokenizer's own post-processor would put it there.
    pub fn beginning(&self) -> Option<u32> {
        self.tokenizer.beginning()
    }

    /// The logits `[vocab_size]` after the last of `tokens`.
    pub fn logits(&mut self, tokens: &[u32]) -> Result<Vec<f32>, EngineError> {
        check_tokens(tokens, &self.config)?;
        let mut kv = KvPool::new(KvShape::of(&self.config), 0).take(tokens.len());
        self.machine.reach(tokens.len());
        let mut logits = Vec::new();
        let pieces = kv.iter_mut().map(|kv| Piece { tokens, kv, wants_logits: true }).collect();
        self.machine.step(pieces, |_, seen| logits.extend_from_slice(seen));
        Ok(logits)
    }

    /// [`Complete::complete`] with another way to choose tokens.
    pub(super) fn answer(
        &mut self,
        requests: &[Request],
        choose: &mut Choose<'_>,
        deliver: &mut Deliver<'_>,
    ) -> Result<(), EngineError> {
        let Self { config, settings, tokenizer, pool, machine } = self;
        Scheduler { tokenizer, context: config.context, settings: *settings, pool, machine }
            .answer(requests, choose, deliver)
    }
}

/// Checks that `tokens` can be run by a model of `config`.
pub(super) fn check_tokens(tokens: &[u32], config: &ModelConfig) -> Result<(), EngineError> {
    if tokens.is_empty() || tokens.len() > config.context {
        return Err(EngineError::TokenCount { tokens: tokens.len(), context: config.context });
    }
    match tokens.iter().position(|&id| id as usize >= config.vocab_size) {
        Some(position) => {
            Err(EngineError::UnknownToken { id: tokens[position], position, rows: config.vocab_size })
        }
        None => Ok(()),
    }
}

impl Complete for Engine {
    fn complete(
        &mut self,
        requests: &[Request],
        deliver: &mut dyn FnMut(usize, Result<Outcome, Refusal>) -> Flow,
    ) -> Result<(), CompleteError> {
        self.answer(
            requests,
            &mut |number, logits| sampler::choose(requests[number].sampling, logits),
            deliver,
        )
        .map_err(|e| CompleteError(Box::new(e)))
    }

    fn numerics(&self) -> String {
        Self::NUMERICS.to_owned()
    }
}
