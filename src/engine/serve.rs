//! The engine behind the contract.

use super::device::Device;
use super::error::EngineError;
use super::job::{Answering, Job, Weighing};
use super::kv::{KvPool, KvShape};
use super::likelihood::Pair;
use super::llama::{Piece, Rope};
use super::load;
use super::runner::{Runner, Slot};
use super::sampler::Sampler;
use super::scheduler::{Deliver, Scheduler, Watch};
use super::settings::{EngineSettings, Precision};
use super::step::Machine;
use super::tensor;
use super::tokenizer::Tokenizer;
use super::transcript::{Tell, Transcript};
use crate::checkpoint::{Companions, ModelConfig, TensorSource};
use crate::completion::{
    Complete, CompleteError, Flow, Likelihood, LikelihoodRequest, Outcome, Refusal, Request,
};
#[cfg(target_arch = "x86_64")]
use crate::isa::{Halves, Isa};

/// A Llama that answers many requests at once.
///
/// On the CPU it runs in f32, or with products in bfloat16 ([`Precision`]). An answer has the same bits alone and in any batch, in any
/// order of arrival, with any [`EngineSettings`] and any number of threads. Weights are packed when they are loaded and not kept
/// otherwise.
///
/// On a GPU ([`Self::load_on`]) everything is in bfloat16 but norms, softmax and logits, and the library that multiplies there may
/// sum in another order in another batch: a near-tie can then be decided otherwise.
#[derive(Debug)]
pub struct Engine {
    config: ModelConfig,
    settings: EngineSettings,
    tokenizer: Tokenizer,
    place: Place,
}

/// Where the model is.
#[derive(Debug)]
enum Place {
    Cpu(Box<Machine>),
    Device(Box<tensor::Machine>),
}

impl Place {
    /// Does jobs, as [`Scheduler::run`] says.
    fn run<J: Job>(
        &mut self,
        settings: EngineSettings,
        jobs: impl Iterator<Item = (usize, Result<J, Refusal>)>,
        watch: Option<&mut Watch<'_>>,
        deliver: &mut Deliver<'_, J::Output>,
    ) -> Result<(), EngineError> {
        match self {
            Self::Cpu(runner) => Scheduler::new(settings, &mut **runner).run(jobs, watch, deliver),
            Self::Device(runner) => Scheduler::new(settings, &mut **runner).run(jobs, watch, deliver),
        }
    }
}

impl Engine {
    /// What [`Complete::numerics`] says of [`Precision::Source`]: changes whenever an answer could.
    pub const NUMERICS: &'static str = "m3-cpu-f32/1";
    /// The same of [`Precision::Bf16`], but on a CPU with AVX-512 BF16 and without AMX: see [`Engine::cpu_numerics`].
    pub const NUMERICS_BF16: &'static str = "m3-cpu-bf16/1";
    /// The same there, where sums of products have an order of their own.
    pub const NUMERICS_BF16_DOTS: &'static str = "m3-cpu-bf16-dots/1";
    /// The same on a GPU.
    pub const NUMERICS_GPU: &'static str = "m3-gpu-bf16/1";

    /// What [`Complete::numerics`] says of `precision` on this CPU.
    pub fn cpu_numerics(precision: Precision) -> &'static str {
        match precision {
            Precision::Source => Self::NUMERICS,
            #[cfg(target_arch = "x86_64")]
            Precision::Bf16 if Isa::detect().halves() == Halves::Dots => Self::NUMERICS_BF16_DOTS,
            Precision::Bf16 => Self::NUMERICS_BF16,
        }
    }

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
            KvPool::new(KvShape::of(&config, settings.precision), settings.kv_tokens.0),
        );
        Ok(Self { config, settings: *settings, tokenizer, place: Place::Cpu(Box::new(machine)) })
    }

    /// The same on a device that was opened, to which weights go tensor by tensor. Of the settings, `threads` and `precision`
    /// do not apply.
    pub fn load_on(
        device: &Device,
        source: &dyn TensorSource,
        companions: &Companions,
        settings: &EngineSettings,
    ) -> Result<Self, EngineError> {
        let config = companions.config.clone();
        config.check(source.manifest())?;
        let tokenizer = Tokenizer::load(companions)?;
        let machine = tensor::Machine::load(device, source, &config, settings)?;
        Ok(Self { config, settings: *settings, tokenizer, place: Place::Device(Box::new(machine)) })
    }

    /// Exchanges the weights for those of another model with the same config and tokenizer: the next candidate of a
    /// search. On an error the old weights stay; on a device, where there is no room for both, there are none then, and whoever
    /// asks is told so.
    pub fn exchange(&mut self, source: &dyn TensorSource) -> Result<(), EngineError> {
        self.config.check(source.manifest())?;
        match &mut self.place {
            Place::Cpu(machine) => {
                machine.exchange(load::load(source, &self.config, self.settings.precision)?);
                Ok(())
            }
            Place::Device(machine) => machine.exchange(source, &self.config),
        }
    }

    /// The token that is put before every prompt that does not begin with it: the config's `bos_token_id`, if the
    /// tokenizer's own post-processor would put it there.
    pub fn beginning(&self) -> Option<u32> {
        self.tokenizer.beginning()
    }

    /// Tokens that were run through the model so far. Less than prompts and answers have together, where prompts begin alike:
    /// a common beginning is run once.
    pub fn tokens_run(&self) -> u64 {
        match &self.place {
            Place::Cpu(machine) => machine.tokens_run(),
            Place::Device(machine) => machine.tokens_run(),
        }
    }

    /// The logits `[vocab_size]` after the last of `tokens`. What they begin with is taken over from an earlier call.
    pub fn logits(&mut self, tokens: &[u32]) -> Result<Vec<f32>, EngineError> {
        check_tokens(tokens, &self.config)?;
        match &mut self.place {
            Place::Cpu(machine) => logits(&mut **machine, tokens),
            Place::Device(machine) => logits(&mut **machine, tokens),
        }
    }

    /// [`Complete::complete`], with somebody who sees the logits.
    pub(super) fn answer(
        &mut self,
        requests: &[Request],
        watch: Option<&mut Watch<'_>>,
        deliver: &mut Deliver<'_, Outcome>,
    ) -> Result<(), EngineError> {
        let Self { config, settings, tokenizer, place } = self;
        let begin = |request| {
            let sampler = Sampler::new(request)?;
            Ok(Answering::new(Transcript::begin(tokenizer, request, config.context)?, sampler))
        };
        let jobs = requests.iter().enumerate().map(|(number, request)| (number, begin(request)));
        place.run(*settings, jobs, watch, deliver)
    }

    /// [`Complete::complete_aloud`].
    fn answer_aloud(
        &mut self,
        request: &Request,
        tell: &mut Tell<'_>,
    ) -> Result<Option<Result<Outcome, Refusal>>, EngineError> {
        let Self { config, settings, tokenizer, place } = self;
        let begun = Sampler::new(request)
            .and_then(|sampler| Ok((sampler, Transcript::begin(tokenizer, request, config.context)?)));
        let job = begun
            .map(|(sampler, (prompt, transcript))| Answering::new((prompt, transcript.aloud(tell)), sampler));
        let mut answer = None;
        place.run(*settings, std::iter::once((0, job)), None, &mut |_, outcome| {
            answer = Some(outcome);
            Flow::Continue
        })?;
        Ok(answer)
    }

    /// [`Complete::likelihoods`], with somebody who sees the logits.
    pub(super) fn weigh(
        &mut self,
        requests: &[LikelihoodRequest],
        watch: Option<&mut Watch<'_>>,
        deliver: &mut Deliver<'_, Vec<Likelihood>>,
    ) -> Result<(), EngineError> {
        let Self { config, settings, tokenizer, place } = self;
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
        place.run(*settings, jobs, watch, &mut |number, result| {
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

/// The logits `[vocab]` after the last of `tokens`, of which there is at least one.
fn logits<R: Runner>(runner: &mut R, tokens: &[u32]) -> Result<Vec<f32>, EngineError> {
    // Nothing is given out between two calls, so that a slot of any size is granted.
    let Some(mut kv) = runner.take(tokens.len(), &tokens[..tokens.len() - 1])? else {
        return Ok(Vec::new());
    };
    let piece = Piece { tokens: &tokens[kv.len()..], kv: &mut kv, wanted: 1, looks_at_all: true };
    let done = runner.step(vec![piece]);
    let logits = runner.logits().flat_map(|(_, (logits, _))| logits.all()).copied().collect();
    runner.give_back(kv);
    done.map(|()| logits)
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
        self.answer(requests, None, deliver).map_err(|e| CompleteError(Box::new(e)))
    }

    fn complete_aloud(
        &mut self,
        request: &Request,
        tell: &mut dyn FnMut(&str) -> Flow,
    ) -> Result<Option<Result<Outcome, Refusal>>, CompleteError> {
        self.answer_aloud(request, tell).map_err(|e| CompleteError(Box::new(e)))
    }

    fn likelihoods(
        &mut self,
        requests: &[LikelihoodRequest],
        deliver: &mut dyn FnMut(usize, Result<Vec<Likelihood>, Refusal>) -> Flow,
    ) -> Result<(), CompleteError> {
        self.weigh(requests, None, deliver).map_err(|e| CompleteError(Box::new(e)))
    }

    fn prompt_ids(&self, prompt: &str) -> Option<Vec<u32>> {
        self.tokenizer.encode(prompt).ok()
    }

    fn tokens_run(&self) -> Option<u64> {
        Some(Self::tokens_run(self))
    }

    fn numerics(&self) -> String {
        let name = match &self.place {
            Place::Device(machine) => machine.numerics(),
            Place::Cpu(_) => Self::cpu_numerics(self.settings.precision),
        };
        name.to_owned()
    }
}
