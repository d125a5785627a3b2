//! Who is in the batch: continuous batching.
//!
//! Requests enter in their order, as long as there is a place and room for their keys and values. Every step runs one
//! token of each sequence that is generating and, in the rest of the step, the next piece of prompts. A sequence that
//! ends is delivered at once and its place is taken before the next step.

use super::error::EngineError;
use super::kv::{Kv, KvPool};
use super::llama::Piece;
use super::sampler::NotANumber;
use super::settings::EngineSettings;
use super::step::Machine;
use super::tokenizer::Tokenizer;
use super::transcript::Transcript;
use crate::completion::{Flow, Outcome, Refusal, Request};

/// Prompt tokens that a step takes at least, however many sequences are generating.
const PROMPT_SHARE: usize = 16;

/// Where answers go: the request's number and what became of it.
pub(crate) type Deliver<'d> = dyn FnMut(usize, Result<Outcome, Refusal>) -> Flow + 'd;
/// How logits `[vocab]` of request `number` become its next token.
pub(crate) type Choose<'c> = dyn FnMut(usize, &[f32]) -> Result<u32, NotANumber> + 'c;

/// What answers requests.
pub(crate) struct Scheduler<'e> {
    pub(crate) tokenizer: &'e Tokenizer,
    pub(crate) context: usize,
    pub(crate) settings: EngineSettings,
    pub(crate) pool: &'e mut KvPool,
    pub(crate) machine: &'e mut Machine,
}

/// A request in the batch.
struct Sequence<'r> {
    /// The request's number.
    number: usize,
    prompt: Vec<u32>,
    /// The token generated last, once the prompt has run.
    last: Option<u32>,
    kv: Kv,
    transcript: Transcript<'r>,
}

/// A request that waits for room.
struct Waiting<'r> {
    number: usize,
    prompt: Vec<u32>,
    transcript: Transcript<'r>,
}

/// Whether there is more to do.
enum Next {
    Step,
    Done,
}

impl<'e> Scheduler<'e> {
    /// Answers `requests`, as [`crate::completion::Complete::complete`] says.
    pub(crate) fn answer(
        mut self,
        requests: &[Request],
        choose: &mut Choose<'_>,
        deliver: &mut Deliver<'_>,
    ) -> Result<(), EngineError> {
        let mut active = Vec::new();
        let result = self.serve(requests, &mut active, choose, deliver);
        for sequence in active {
            self.pool.give_back(sequence.kv);
        }
        result
    }

    fn serve<'r>(
        &mut self,
        requests: &'r [Request],
        active: &mut Vec<Sequence<'r>>,
        choose: &mut Choose<'_>,
        deliver: &mut Deliver<'_>,
    ) -> Result<(), EngineError>
    where
        'e: 'r,
    {
        let mut queue = requests.iter().enumerate();
        let mut waiting = None;
        while let Next::Step = self.admit(&mut queue, &mut waiting, active, deliver) {
            let mut ended = Vec::new();
            self.step(active, choose, &mut ended)?;
            // Backwards, so that `swap_remove` moves only places that were looked at already.
            let mut stop = false;
            for (place, answer) in ended.into_iter().rev() {
                let sequence = active.swap_remove(place);
                self.pool.give_back(sequence.kv);
                stop = stop || deliver(sequence.number, answer) == Flow::Stop;
            }
            if stop {
                break;
            }
        }
        Ok(())
    }

    /// Lets requests in, in their order: one that must wait for room is not overtaken.
    fn admit<'r>(
        &mut self,
        queue: &mut impl Iterator<Item = (usize, &'r Request)>,
        waiting: &mut Option<Waiting<'r>>,
        active: &mut Vec<Sequence<'r>>,
        deliver: &mut Deliver<'_>,
    ) -> Next
    where
        'e: 'r,
    {
        while active.len() < self.settings.max_sequences.get() {
            if waiting.is_none() {
                let Some((number, request)) = queue.next() else { break };
                let answer = match Transcript::begin(self.tokenizer, request, self.context) {
                    Err(refusal) => Some(Err(refusal)),
                    Ok((prompt, transcript)) => {
                        let ended = transcript.ended_before_it_began();
                        *waiting = Some(Waiting { number, prompt, transcript });
                        ended.map(Ok)
                    }
                };
                if let Some(answer) = answer {
                    *waiting = None;
                    if deliver(number, answer) == Flow::Stop {
                        return Next::Done;
                    }
                }
            }
            let Some(next) = waiting.take() else { continue };
            let Some(kv) = self.pool.take(next.transcript.positions()) else {
                *waiting = Some(next);
                break;
            };
            self.machine.reach(next.transcript.positions());
            let Waiting { number, prompt, transcript } = next;
            active.push(Sequence { number, prompt, last: None, kv, transcript });
        }
        if active.is_empty() { Next::Done } else { Next::Step }
    }

    /// Runs one step; `ended` gets the places of the sequences that ended, in ascending order.
    fn step(
        &mut self,
        active: &mut [Sequence<'_>],
        choose: &mut Choose<'_>,
        ended: &mut Vec<(usize, Result<Outcome, Refusal>)>,
    ) -> Result<(), EngineError> {
        let generating = active.iter().filter(|s| s.last.is_some()).count();
        let mut prompt_share = self.settings.step_tokens.get().saturating_sub(generating).max(PROMPT_SHARE);
        let (mut pieces, mut owners) = (Vec::with_capacity(active.len()), Vec::with_capacity(active.len()));
        for (place, Sequence { number, prompt, last, kv, .. }) in active.iter_mut().enumerate() {
            let piece = if let Some(last) = last {
                Piece { tokens: std::slice::from_ref(last), kv, wants_logits: true }
            } else {
                let start = kv.len();
                let tokens = &prompt[start..(start + prompt_share).min(prompt.len())];
                if tokens.is_empty() {
                    continue;
                }
                prompt_share -= tokens.len();
                let wants_logits = start + tokens.len() == prompt.len();
                Piece { tokens, kv, wants_logits }
            };
            pieces.push(piece);
            owners.push((place, *number));
        }
        let mut chosen = Vec::with_capacity(pieces.len());
        self.machine.step(pieces, |piece, logits| {
            let (place, number) = owners[piece];
            chosen.push((place, choose(number, logits)));
        });
        chosen.sort_by_key(|&(place, _)| place);
        for (place, token) in chosen {
            let sequence = &mut active[place];
            let answer = match token {
                Err(NotANumber) => {
                    Some(Err(Refusal::NotANumber { generated: sequence.transcript.generated() }))
                }
                Ok(token) => {
                    sequence.last = Some(token);
                    sequence.transcript.push(token)?.map(Ok)
                }
            };
            if let Some(answer) = answer {
                ended.push((place, answer));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::checkpoint::Companions;
    use crate::completion::{Complete, Finish, Flow, Outcome, Refusal, Request, Sampling};
    use crate::digest::Canonical;
    use crate::engine::fixture::{self, Memory};
    use crate::engine::sampler;
    use crate::engine::{Engine, EngineSettings, Threads};
    use crate::units::TokenCount;
    use proptest::prelude::*;
    use std::num::NonZeroUsize;
    use std::sync::LazyLock;

    /// What became of a request: its logits of every step, as bits, and its answer.
    type Seen = (String, Option<Result<Outcome, Refusal>>);

    /// Large enough that steps are shared between threads in both ways.
    fn model() -> (Memory, Companions) {
        let mut companions = fixture::companions();
        companions.config.hidden_size = 96;
        companions.config.intermediate_size = 200;
        companions.config.head_dim = 16;
        (Memory::model(&companions.config, 7), companions)
    }

    fn requests() -> Vec<Request> {
        let story = "hello the world and 10 = ten, Größe 🦙 über alles; ".repeat(3);
        (0..14)
            .map(|i| Request {
                prompt: story.chars().skip(i).take(1 + i * i % 83).collect(),
                sampling: Sampling::Greedy,
                max_tokens: TokenCount([12, 0, 3, 40, 1][i % 5]),
                stop: if i % 3 == 0 { vec!["e".into(), "\u{fffd}".into()] } else { Vec::new() },
            })
            .chain([Request {
                prompt: story.repeat(2),
                sampling: Sampling::Greedy,
                max_tokens: TokenCount(5),
                stop: Vec::new(),
            }])
            .collect()
    }

    fn settings(sequences: usize, kv_tokens: usize, step_tokens: usize, threads: Threads) -> EngineSettings {
        EngineSettings {
            max_sequences: NonZeroUsize::new(sequences).unwrap(),
            kv_tokens: TokenCount(kv_tokens),
            step_tokens: NonZeroUsize::new(step_tokens).unwrap(),
            threads,
        }
    }

    fn answers(settings: &EngineSettings, requests: &[Request]) -> Vec<Seen> {
        let (weights, companions) = model();
        let mut engine = Engine::load(&weights, &companions, settings).unwrap();
        let mut seen: Vec<Seen> = vec![(String::new(), None); requests.len()];
        let mut bits: Vec<Vec<u8>> = vec![Vec::new(); requests.len()];
        let mut delivered = Vec::new();
        engine
            .answer(
                requests,
                &mut |number, logits| {
                    bits[number].extend(logits.iter().flat_map(|l| l.to_bits().to_le_bytes()));
                    sampler::choose(Sampling::Greedy, logits)
                },
                &mut |number, answer| {
                    delivered.push((number, answer));
                    Flow::Continue
                },
            )
            .unwrap();
        for (number, answer) in delivered {
            assert!(seen[number].1.replace(answer).is_none(), "request {number} was answered twice");
        }
        for (seen, bits) in seen.iter_mut().zip(bits) {
            assert!(seen.1.is_some(), "every request is answered");
            seen.0 = Canonical::new("logits").bytes("bits", &bits).finish().to_string();
        }
        seen
    }

    static ALONE: LazyLock<Vec<Seen>> = LazyLock::new(|| {
        let settings = settings(1, 1 << 20, 1000, Threads::Caller);
        requests().into_iter().flat_map(|request| answers(&settings, &[request])).collect()
    });

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn an_answer_has_the_same_bits_alone_and_in_any_batch(
            order in Just((0..15usize).collect::<Vec<_>>()).prop_shuffle(),
            count in 1..=15usize,
            sequences in 1..=16usize,
            kv_tokens in 1..600usize,
            step_tokens in 1..200usize,
            pool_threads in 0..4usize,
        ) {
            let all = requests();
            let order = &order[..count];
            let asked: Vec<Request> = order.iter().map(|&i| all[i].clone()).collect();
            let threads = if pool_threads == 0 { Threads::Caller } else { Threads::Pool };
            let settings = settings(sequences, kv_tokens, step_tokens, threads);
            let pool = rayon::ThreadPoolBuilder::new().num_threads(pool_threads.max(1)).build().unwrap();
            let got = pool.install(|| answers(&settings, &asked));
            for (got, &i) in got.iter().zip(order) {
                prop_assert_eq!(got, &ALONE[i], "request {}", i);
            }
        }
    }

    #[test]
    fn the_requests_of_the_property_test_end_in_different_ways() {
        let ends =
            |finish| ALONE.iter().filter(|s| matches!(&s.1, Some(Ok(o)) if o.finish == finish)).count();
        assert!(ends(Finish::Length) > 2 && ends(Finish::StopString) > 0, "{:?}", *ALONE);
        assert!(matches!(ALONE[14].1, Some(Err(Refusal::PromptTooLong { context: 128, .. }))));
        assert!(ALONE[3].1.as_ref().is_some_and(|a| a.as_ref().is_ok_and(|o| o.generated_tokens > 5)));
    }

    #[test]
    fn stopping_stops_and_the_engine_can_be_used_again() {
        let (weights, companions) = model();
        let mut engine = Engine::load(&weights, &companions, &settings(4, 500, 64, Threads::Pool)).unwrap();
        let requests = requests();
        let mut delivered = 0;
        engine
            .complete(&requests, &mut |_, _| {
                delivered += 1;
                if delivered == 3 { Flow::Stop } else { Flow::Continue }
            })
            .unwrap();
        assert_eq!(delivered, 3);
        let mut again = 0;
        engine
            .complete(&requests, &mut |number, answer| {
                assert_eq!(Some(&answer), ALONE[number].1.as_ref());
                again += 1;
                Flow::Continue
            })
            .unwrap();
        assert_eq!(again, requests.len());
    }

    #[test]
    fn a_request_that_breaks_down_leaves_its_batch_mates_alone() {
        // The embedding of `q` is not used by the other prompt; as a tied head it would be in everybody's logits.
        let (_, mut companions) = model();
        companions.config.tied_head = false;
        let clean = Memory::model(&companions.config, 7);
        let mut engine = Engine::load(&clean, &companions, &EngineSettings::default()).unwrap();
        let ask = |prompt: &str| Request {
            prompt: prompt.into(),
            sampling: Sampling::Greedy,
            max_tokens: TokenCount(4),
            stop: Vec::new(),
        };
        let mut before = None;
        engine
            .complete(&[ask("hello")], &mut |_, answer| {
                before = Some(answer);
                Flow::Continue
            })
            .unwrap();
        let mut weights = Memory::model(&companions.config, 7);
        weights.set("model.embed_tokens.weight", (2 + usize::from(b'q')) * 96 + 5, f32::NAN);
        engine.exchange(&weights).unwrap();
        let mut got = [None, None];
        engine
            .complete(&[ask("aqa"), ask("hello")], &mut |number, answer| {
                got[number] = Some(answer);
                Flow::Continue
            })
            .unwrap();
        assert_eq!(got[0], Some(Err(Refusal::NotANumber { generated: 0 })));
        assert!(matches!(before, Some(Ok(_))));
        assert_eq!(got[1], before);
    }
}
