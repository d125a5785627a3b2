//! Who is in the batch: continuous batching.
//!
//! Jobs enter in their order, as long as there is a place and room for their keys and values. Every step runs one token of
//! each sequence that is generating and, in the rest of the step, the next piece of prompts. A sequence that ends is
//! delivered at once and its place is taken before the next step.
//!
//! Where a step waits for the weights anyway, it also runs guesses of what comes next ([`Guesses`]).
//!
//! What several prompts begin with is computed once: a sequence that begins like another one waits until that one has run so
//! far, and takes over its keys and values.

use super::error::EngineError;
use super::guess::{Coming, Guess, Guesses};
use super::job::{Job, Taken};
use super::kv::common;
use super::llama::Piece;
use super::runner::{Runner, Slot};
use super::settings::EngineSettings;
use crate::completion::{Flow, Refusal};

/// Prompt tokens that a step takes at least, however many sequences are generating.
const PROMPT_SHARE: usize = 16;
/// Tokens of a common beginning that are worth waiting for: one step, in which the others run meanwhile. Prompts of an attack differ
/// from each other by a few tokens at a time.
const WORTH_WAITING: usize = 3;

/// Where results go: the request's number and what became of it.
pub(crate) type Deliver<'d, O> = dyn FnMut(usize, Result<O, Refusal>) -> Flow + 'd;
/// Who sees the logits `[vocab]` that were computed for request `number`.
pub(crate) type Watch<'c> = dyn FnMut(usize, &[f32]) + 'c;

/// What does jobs.
pub(crate) struct Scheduler<'e, R> {
    settings: EngineSettings,
    runner: &'e mut R,
    guesses: Guesses,
}

/// A job in the batch.
struct Sequence<J, S> {
    /// The request's number.
    number: usize,
    job: J,
    /// The token generated last, once the known ones have run, and then what was guessed.
    next: Vec<u32>,
    /// What was guessed.
    guessed: Vec<Guess>,
    /// How many of `next` are right.
    right: usize,
    /// How many of its tokens guesses were learnt from.
    learnt: usize,
    kv: S,
    /// When it came in.
    serial: u64,
    /// Whom it waits for.
    leader: Option<Leader>,
}

/// A sequence that runs what another one begins with too.
#[derive(Clone, Copy)]
struct Leader {
    /// When it came in: earlier than who waits, so that nobody waits for himself.
    serial: u64,
    /// How many tokens the two have in common.
    shared: usize,
}

impl<J: Job, S: Slot> Sequence<J, S> {
    /// The tokens that may be taken over from others: not those whose logits are wanted.
    fn prefix(&self) -> &[u32] {
        prefix(&self.job)
    }
}

impl<J: Job, S: Slot> Sequence<J, S> {
    /// Takes over what `others` have computed of its beginning, and waits for what one of them is about to compute.
    fn follow(&mut self, others: &[Self], runner: &mut impl Runner<Slot = S>) -> Result<(), EngineError> {
        let Some(donor) = others.iter().max_by_key(|o| o.kv.shared(self.prefix())) else { return Ok(()) };
        runner.copy(&mut self.kv, &donor.kv, donor.kv.shared(prefix(&self.job)))?;
        let coming = |o: &Self| Leader { serial: o.serial, shared: common(o.job.tokens(), self.prefix()) };
        let best = others.iter().map(coming).max_by_key(|l| (l.shared, std::cmp::Reverse(l.serial)));
        self.leader = best.filter(|leader| leader.shared >= self.kv.len() + WORTH_WAITING);
        Ok(())
    }
}

/// Gives those who wait what their leaders have computed. Whoever has all of it, or whose leader has ended, waits no longer.
fn share<J: Job, R: Runner, O>(
    active: &mut [Sequence<J, R::Slot>],
    ended: &[(usize, O)],
    runner: &mut R,
) -> Result<(), EngineError> {
    for place in 0..active.len() {
        let Some(Leader { serial, shared }) = active[place].leader else { continue };
        let leads = active.iter().position(|s| s.serial == serial);
        let Some(at) = leads else {
            active[place].leader = None;
            continue;
        };
        let Ok([follower, leader]) = active.get_disjoint_mut([place, at]) else { continue };
        let there = leader.kv.len().min(shared);
        runner.copy(&mut follower.kv, &leader.kv, there)?;
        if there == shared || ended.iter().any(|(ended, _)| *ended == at) {
            follower.leader = None;
        }
    }
    Ok(())
}

fn prefix<J: Job>(job: &J) -> &[u32] {
    &job.tokens()[..job.tokens().len() - job.wanted()]
}

/// Whether there is more to do.
enum Next {
    Step,
    Done,
}

impl<'e, R: Runner> Scheduler<'e, R> {
    /// One that knows nothing to guess from.
    pub(crate) fn new(settings: EngineSettings, runner: &'e mut R) -> Self {
        Self { settings, runner, guesses: Guesses::default() }
    }

    /// Does the jobs of `queue`, each with the number of the request that it belongs to, and delivers what comes of each as
    /// soon as it is there, in any order.
    pub(crate) fn run<J: Job>(
        mut self,
        queue: impl Iterator<Item = (usize, Result<J, Refusal>)>,
        watch: Option<&mut Watch<'_>>,
        deliver: &mut Deliver<'_, J::Output>,
    ) -> Result<(), EngineError> {
        let mut active = Vec::new();
        let result = self.serve(queue, &mut active, watch, deliver);
        for sequence in active {
            self.runner.give_back(sequence.kv);
        }
        result
    }

    fn serve<J: Job>(
        &mut self,
        mut queue: impl Iterator<Item = (usize, Result<J, Refusal>)>,
        active: &mut Vec<Sequence<J, R::Slot>>,
        mut watch: Option<&mut Watch<'_>>,
        deliver: &mut Deliver<'_, J::Output>,
    ) -> Result<(), EngineError> {
        let mut waiting = None;
        while let Next::Step = self.admit(&mut queue, &mut waiting, active, deliver)? {
            let mut ended = Vec::new();
            self.guess(active);
            let mut stop = self.step(active, watch.as_deref_mut(), &mut ended)? == Flow::Stop;
            share(active, &ended, self.runner)?;
            // Backwards, so that `swap_remove` moves only places that were looked at already.
            for (place, result) in ended.into_iter().rev() {
                let sequence = active.swap_remove(place);
                self.runner.give_back(sequence.kv);
                stop = stop || deliver(sequence.number, result) == Flow::Stop;
            }
            if stop {
                break;
            }
        }
        Ok(())
    }

    /// Lets jobs in, in their order: one that must wait for room is not overtaken.
    fn admit<J: Job>(
        &mut self,
        queue: &mut impl Iterator<Item = (usize, Result<J, Refusal>)>,
        waiting: &mut Option<(usize, J)>,
        active: &mut Vec<Sequence<J, R::Slot>>,
        deliver: &mut Deliver<'_, J::Output>,
    ) -> Result<Next, EngineError> {
        while active.len() < self.settings.max_sequences.get() {
            if waiting.is_none() {
                let Some((number, job)) = queue.next() else { break };
                let ended = match job {
                    Err(refusal) => Err(refusal),
                    Ok(job) if job.positions() > self.settings.longest.0 => {
                        Err(Refusal::NoMemory { tokens: job.positions(), room: self.settings.longest.0 })
                    }
                    Ok(job) => {
                        let output = job.ended_before_it_began();
                        if output.is_none() {
                            *waiting = Some((number, job));
                        }
                        Ok(output)
                    }
                };
                if let Some(result) = ended.transpose()
                    && deliver(number, result) == Flow::Stop
                {
                    return Ok(Next::Done);
                }
            }
            let Some((number, job)) = waiting.take() else { continue };
            let Some(kv) = self.runner.take(job.positions(), prefix(&job))? else {
                *waiting = Some((number, job));
                break;
            };
            let serial = active.iter().map(|s| s.serial + 1).max().unwrap_or(0);
            let (next, guessed) = (Vec::new(), Vec::new());
            let mut sequence =
                Sequence { number, job, next, guessed, right: 0, learnt: 0, kv, serial, leader: None };
            let followed = sequence.follow(active, self.runner);
            active.push(sequence);
            followed?;
        }
        Ok(if active.is_empty() { Next::Done } else { Next::Step })
    }

    /// Adds guesses to what comes next in the sequences that are generating.
    fn guess<J: Job>(&mut self, active: &mut [Sequence<J, R::Slot>]) {
        let Some(cost) = self.runner.cost_of_token() else { return };
        // A guess that comes true saves its sequence a step, the others nothing.
        let floor = self.settings.guess_tokens.map_or(cost * active.len() as f64, |_| 0.0);
        let room = self.settings.step_tokens.get().saturating_sub(active.len());
        let most = self.settings.guess_tokens.unwrap_or(room).min(room);
        if most == 0 || floor >= 1.0 {
            return;
        }
        let mut generating: Vec<_> = active.iter_mut().filter(|s| !s.next.is_empty()).collect();
        for Sequence { next, learnt, kv, .. } in &mut generating {
            let known = kv.tokens();
            (*learnt..known.len()).for_each(|place| self.guesses.learn(&known[..place], known[place]));
            self.guesses.learn(known, next[0]);
            *learnt = known.len();
        }
        let coming = generating.iter_mut().map(|Sequence { job, next, guessed, kv, .. }| {
            guessed.clear();
            Coming {
                past: kv.tokens(),
                last: next[0],
                room: job.positions() - kv.len() - 1,
                guesses: guessed,
            }
        });
        self.guesses.add(&mut coming.collect::<Vec<_>>(), most, floor);
        for Sequence { next, guessed, .. } in generating {
            next.extend(guessed.iter().map(|guess| guess.token));
        }
    }

    /// Runs one step; `ended` gets the places of the sequences that ended, in ascending order. Whether to go on.
    fn step<J: Job>(
        &mut self,
        active: &mut [Sequence<J, R::Slot>],
        mut watch: Option<&mut Watch<'_>>,
        ended: &mut Vec<(usize, Result<J::Output, Refusal>)>,
    ) -> Result<Flow, EngineError> {
        let generating: usize = active.iter().map(|s| s.next.len()).sum();
        let mut prompt_share = self.settings.step_tokens.get().saturating_sub(generating).max(PROMPT_SHARE);
        let (mut pieces, mut owners) = (Vec::with_capacity(active.len()), Vec::with_capacity(active.len()));
        let running = active.iter_mut().enumerate().filter(|(_, s)| s.leader.is_none());
        for (place, Sequence { job, next, right, kv, .. }) in running {
            // The first of them is no guess.
            *right = next.len().min(1);
            let looks_at_all = watch.is_some() || job.looks_at_all();
            let piece = if next.is_empty() {
                let (known, start) = (job.tokens(), kv.len());
                let end = (start + prompt_share).min(known.len());
                if start == end {
                    continue;
                }
                prompt_share -= end - start;
                let first_wanted = known.len() - job.wanted();
                let wanted = end.saturating_sub(first_wanted.max(start));
                Piece { tokens: &known[start..end], kv, wanted, looks_at_all }
            } else {
                Piece { tokens: next, kv, wanted: next.len(), looks_at_all }
            };
            pieces.push(piece);
            owners.push(place);
        }
        self.runner.step(pieces)?;
        let mut flow = Flow::Continue;
        // The logits of a piece follow each other; those behind a wrong guess, or behind the end, mean nothing.
        let mut settled = None;
        for (piece, (logits, broken)) in self.runner.logits() {
            let place = owners[piece];
            if settled == Some(place) {
                continue;
            }
            let sequence = &mut active[place];
            if let Some(watch) = &mut watch {
                watch(sequence.number, logits.all());
            }
            match sequence.job.take(logits)? {
                Taken::Run(token) => {
                    let Sequence { next, guessed, right, kv, .. } = sequence;
                    let guess = next.get(*right).map(|next| *next == token);
                    if let Some(came_true) = guess {
                        self.guesses.tell(guessed[*right - 1], came_true);
                    }
                    if guess == Some(true) {
                        *right += 1;
                    } else {
                        kv.keep(kv.len() - (next.len() - *right));
                        next.clear();
                        next.push(token);
                        settled = Some(place);
                    }
                }
                Taken::Wait => {}
                Taken::Stop => flow = Flow::Stop,
                Taken::Done(mut result) => {
                    if let (Err(Refusal::NotANumber { place, .. }), Some(broken)) = (&mut result, broken) {
                        *place = broken;
                    }
                    ended.push((place, result));
                    settled = Some(place);
                }
            }
        }
        ended.sort_by_key(|&(place, _)| place);
        Ok(flow)
    }
}
