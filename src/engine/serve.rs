//! The packed engine behind the contract.

use super::error::EngineError;
use super::job::{Answering, Weighing};
use super::kv::{KvPool, KvShape};
use super::likelihood::Pair;
use super::llama::{Piece, Rope};
use super::load;
use super::sampler::Sampler;
use super::scheduler::{Deliver, Scheduler, Watch};
use super::settings::{EngineSettings, Precision};
use super::step::Machine;
use super::tokenizer::Tokenizer;
use super::transcript::Transcript;
use crate::checkpoint::{Companions, ModelConfig, TensorSource};
use crate::completion::{
    Complete, CompleteError, Flow, Likelihood, LikelihoodRequest, Outcome, Refusal, Request,
};
#[cfg(target_arch = "x86_64")]
use crate::isa::{Halves, Isa};

/// A Llama on the CPU, answering many requests at once, in f32 or with products in bfloat16 ([`Precision`]).
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
    /// What [`Complete::numerics`] says of [`Precision::Source`]: changes whenever an answer could.
    pub const NUMERICS: &'static str = "m3-cpu-f32/1";
    /// The same of [`Precision::Bf16`].
    pub const NUMERICS_BF16: &'static str = "m3-cpu-bf16/1";
    /// The same on a CPU with AVX-512 BF16 and without AMX, whose sums of products have an order of their own.
    pub const NUMERICS_BF16_DOTS: &'static str = "m3-cpu-bf16-dots/1";

    /// Loads the weights of `source` and the tokenizer of `companions`.
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
        let machine = Machine::new(
            load::load(source, &config, settings.precision)?,
            Rope::new(&config),
            settings.threads,
        );
        let pool = KvPool::new(KvShape::of(&config, settings.precision), settings.kv_tokens.0);
        Ok(Self { config, settings: *settings, tokenizer, pool, machine })
    }

    /// Exchanges the weights for those of another model with the same config and tokenizer: the next candidate of a
    /// search. On an error the old weights stay.
    pub fn exchange(&mut self, source: &dyn TensorSource) -> Result<(), EngineError> {
        *self.machine.llama_mut() = load::load(source, &self.config, self.settings.precision)?;
        self.pool.forget();
        Ok(())
    }

    /// The token that is put before every prompt that does not begin with it: the config's `bos_token_id`, if the
    /// tokenizer's own post-processor would put it there.
    pub fn beginning(&self) -> Option<u32> {
        self.tokenizer.beginning()
    }

    /// Tokens that were run through the model so far. Less than prompts and answers have together, where prompts begin alike:
    /// a common beginning is run once.
    pub fn tokens_run(&self) -> u64 {
        self.machine.tokens_run()
    }

    /// The logits `[vocab_size]` after the last of `tokens`. What they begin with is taken over from an earlier call.
    pub fn logits(&mut self, tokens: &[u32]) -> Result<Vec<f32>, EngineError> {
        check_tokens(tokens, &self.config)?;
        self.machine.reach(tokens.len());
        // Nothing is given out between two calls, so that the pool grants a slot of any size.
        let Some(mut kv) = self.pool.take(tokens.len(), &tokens[..tokens.len() - 1]) else {
            return Ok(Vec::new());
        };
        let known = kv.len();
        let piece = Piece { tokens: &tokens[known..], kv: &mut kv, wanted: 1 };
        let logits = self.machine.step(vec![piece]).flat_map(|(_, (logits, _))| logits).copied().collect();
        self.pool.give_back(kv);
        Ok(logits)
    }

    /// [`Complete::complete`], with somebody who sees the logits.
    pub(super) fn answer(
        &mut self,
        requests: &[Request],
        watch: &mut Watch<'_>,
        deliver: &mut Deliver<'_, Outcome>,
    ) -> Result<(), EngineError> {
        let Self { config, settings, tokenizer, pool, machine } = self;
        let begin = |request| {
            let sampler = Sampler::new(request)?;
            Ok(Answering::new(Transcript::begin(tokenizer, request, config.context)?, sampler))
        };
        let jobs = requests.iter().enumerate().map(|(number, request)| (number, begin(request)));
        Scheduler { settings: *settings, pool, machine }.run(jobs, watch, deliver)
    }

    /// [`Complete::likelihoods`], with somebody who sees the logits.
    pub(super) fn weigh(
        &mut self,
        requests: &[LikelihoodRequest],
        watch: &mut Watch<'_>,
        deliver: &mut Deliver<'_, Vec<Likelihood>>,
    ) -> Result<(), EngineError> {
        let Self { config, settings, tokenizer, pool, machine } = self;
        let jobs = requests.iter().enumerate().flat_map(|(number, request)| {
            let jobs = match Pair::all(tokenizer, request, config.context) {
                Ok(pairs) => Weighing::all(&pairs).into_iter().map(Ok).collect(),
                Err(refusal) => vec![Err(refusal)],
            };
            jobs.into_iter().map(move |job| (number, job))
        });
        // A request is delivered with the last of its jobs, or with the first that breaks down.
        let mut open: Vec<Option<Vec<Option<Likelihood>>>> =
            requests.iter().map(|request| Some(vec![None; request.continuations.len()])).collect();
        let empty = (0..requests.len()).filter(|&number| requests[number].continuations.is_empty());
        for number in empty {
            if deliver(number, Ok(Vec::new())) == Flow::Stop {
                return Ok(());
            }
        }
        Scheduler { settings: *settings, pool, machine }.run(jobs, watch, &mut |number, result| {
            let Some(known) = &mut open[number] else { return Flow::Continue };
            let whole = match result {
                Err(refusal) => Err(refusal),
                Ok(likelihoods) => {
                    for (place, likelihood) in likelihoods {
                        known[place] = Some(likelihood);
                    }
                    let Some(all) = known.iter().copied().collect() else { return Flow::Continue };
                    Ok(all)
                }
            };
            open[number] = None;
            deliver(number, whole)
        })
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
        self.answer(requests, &mut |_, _| (), deliver).map_err(|e| CompleteError(Box::new(e)))
    }

    fn likelihoods(
        &mut self,
        requests: &[LikelihoodRequest],
        deliver: &mut dyn FnMut(usize, Result<Vec<Likelihood>, Refusal>) -> Flow,
    ) -> Result<(), CompleteError> {
        self.weigh(requests, &mut |_, _| (), deliver).map_err(|e| CompleteError(Box::new(e)))
    }

    fn prompt_ids(&self, prompt: &str) -> Option<Vec<u32>> {
        self.tokenizer.encode(prompt).ok()
    }

    fn tokens_run(&self) -> Option<u64> {
        Some(Self::tokens_run(self))
    }

    fn numerics(&self) -> String {
        match self.settings.precision {
            Precision::Source => Self::NUMERICS.to_owned(),
            #[cfg(target_arch = "x86_64")]
            Precision::Bf16 if Isa::detect().halves() == Halves::Dots => Self::NUMERICS_BF16_DOTS.to_owned(),
            Precision::Bf16 => Self::NUMERICS_BF16.to_owned(),
        }
    }
}
