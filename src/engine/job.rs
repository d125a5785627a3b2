//! What one sequence of the batch is for: the logits that it waits for, and what becomes of them.

use super::error::EngineError;
use super::likelihood::{Pair, Tally};
use super::logits::{Logits, NotANumber};
use super::sampler::Sampler;
use super::transcript::Transcript;
use crate::completion::{Breakdown, Likelihood, Outcome, Refusal};

/// What one sequence of the batch is for.
pub(crate) trait Job {
    /// What comes of it.
    type Output;

    /// The tokens that are known from the start: at least one.
    fn tokens(&self) -> &[u32];

    /// How many of these, counted from the last, are to be run for the logits after them: at least one.
    fn wanted(&self) -> usize;

    /// Positions of keys and values that it can fill.
    fn positions(&self) -> usize;

    /// What comes of it, where nothing has to be run for that.
    fn ended_before_it_began(&self) -> Option<Self::Output>;

    /// Whether it looks at all of the wanted logits, and not just at the largest.
    fn looks_at_all(&self) -> bool;

    /// Takes the next of the wanted logits.
    fn take(&mut self, logits: Logits<'_>) -> Result<Taken<Self::Output>, EngineError>;
}

/// What becomes of logits.
#[derive(Debug)]
pub(crate) enum Taken<O> {
    /// This token is run next, for the logits after it.
    Run(u32),
    /// The next of the wanted logits are waited for.
    Wait,
    /// Nobody wants to know any more.
    Stop,
    /// The job is done.
    Done(Result<O, Refusal>),
}

/// Continues a prompt.
pub(crate) struct Answering<'r> {
    prompt: Vec<u32>,
    transcript: Transcript<'r>,
    sampler: Sampler,
}

impl<'r> Answering<'r> {
    /// An answer that has not begun.
    pub(crate) fn new((prompt, transcript): (Vec<u32>, Transcript<'r>), sampler: Sampler) -> Self {
        Self { prompt, transcript, sampler }
    }
}

impl Job for Answering<'_> {
    type Output = Outcome;

    fn tokens(&self) -> &[u32] {
        &self.prompt
    }

    fn wanted(&self) -> usize {
        1
    }

    fn positions(&self) -> usize {
        self.transcript.positions()
    }

    fn ended_before_it_began(&self) -> Option<Outcome> {
        self.transcript.ended_before_it_began()
    }

    fn looks_at_all(&self) -> bool {
        self.sampler.looks_at_all()
    }

    fn take(&mut self, logits: Logits<'_>) -> Result<Taken<Outcome>, EngineError> {
        let Ok(token) = self.sampler.choose(logits) else {
            return Ok(Taken::Done(Err(Refusal::NotANumber {
                place: Breakdown::Logits,
                generated: self.transcript.generated(),
            })));
        };
        Ok(match self.transcript.push(token)? {
            Some(outcome) => Taken::Done(Ok(outcome)),
            None if self.transcript.stopped() => Taken::Stop,
            None => Taken::Run(token),
        })
    }
}

/// Tells the likelihood of continuations of one prompt that differ in their last token only: one run serves them all.
pub(crate) struct Weighing {
    /// The prompt and all but the last token of the continuations.
    tokens: Vec<u32>,
    wanted: usize,
    /// Each with its number in the request.
    open: Vec<(usize, Tally)>,
    done: Vec<(usize, Likelihood)>,
}

impl Weighing {
    /// The fewest jobs that tell the likelihoods of a request's continuations.
    pub(crate) fn all(pairs: &[Pair]) -> Vec<Self> {
        let mut jobs: Vec<Self> = Vec::new();
        for (number, pair) in pairs.iter().enumerate() {
            let run = &pair.tokens[..pair.tokens.len() - 1];
            let open = (number, Tally::new(pair.continuation().to_vec()));
            match jobs.iter_mut().find(|job| job.tokens == run) {
                Some(job) => job.open.push(open),
                None => jobs.push(Self {
                    tokens: run.to_vec(),
                    wanted: pair.continuation().len(),
                    open: vec![open],
                    done: Vec::new(),
                }),
            }
        }
        jobs
    }
}

impl Job for Weighing {
    type Output = Vec<(usize, Likelihood)>;

    fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    fn wanted(&self) -> usize {
        self.wanted
    }

    fn positions(&self) -> usize {
        self.tokens.len()
    }

    fn ended_before_it_began(&self) -> Option<Self::Output> {
        None
    }

    fn looks_at_all(&self) -> bool {
        true
    }

    fn take(&mut self, logits: Logits<'_>) -> Result<Taken<Self::Output>, EngineError> {
        let logits = logits.all();
        for (number, tally) in &mut self.open {
            match tally.take(logits) {
                Ok(None) => {}
                Ok(Some(likelihood)) => self.done.push((*number, likelihood)),
                Err(NotANumber) => {
                    return Ok(Taken::Done(Err(Refusal::NotANumber {
                        place: Breakdown::Logits,
                        generated: tally.seen(),
                    })));
                }
            }
        }
        Ok(if self.done.is_empty() { Taken::Wait } else { Taken::Done(Ok(std::mem::take(&mut self.done))) })
    }
}
