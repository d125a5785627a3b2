//! An answer has the same bits alone and in any batch: tests of the scheduler with the model under it.

use crate::checkpoint::Companions;
use crate::completion::{Breakdown, Complete, Finish, Flow, Outcome, Refusal, Request, Sampling};
use crate::digest::Canonical;
use crate::engine::fixture::{self, Memory};
use crate::engine::{Engine, EngineSettings, Precision, Threads};
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
            end_with: Vec::new(),
        })
        .chain((0..6).map(|i| Request {
            // Prompts that begin alike, one of them with nothing of its own.
            prompt: format!("{}{}", &story[..60], "one's own end".repeat(i)),
            sampling: match i % 2 {
                0 => Sampling::Greedy,
                _ => Sampling::Sample { temperature: 1.5, top_k: Some(40), top_p: Some(0.95), seed: 3 },
            },
            max_tokens: TokenCount(9),
            stop: Vec::new(),
            end_with: Vec::new(),
        }))
        .chain([Request {
            prompt: story.repeat(2),
            sampling: Sampling::Greedy,
            max_tokens: TokenCount(5),
            stop: Vec::new(),
            end_with: Vec::new(),
        }])
        .collect()
}

const REQUESTS: usize = 21;

fn settings(sequences: usize, kv_tokens: usize, step_tokens: usize, threads: Threads) -> EngineSettings {
    EngineSettings {
        max_sequences: NonZeroUsize::new(sequences).unwrap(),
        kv_tokens: TokenCount(kv_tokens),
        step_tokens: NonZeroUsize::new(step_tokens).unwrap(),
        threads,
        ..EngineSettings::default()
    }
}

fn answers(settings: &EngineSettings, requests: &[Request]) -> Vec<Seen> {
    let unseen = unseen_answers(settings, requests);
    let (weights, companions) = model();
    let mut engine = Engine::load(&weights, &companions, settings).unwrap();
    let mut seen: Vec<Seen> = vec![(String::new(), None); requests.len()];
    let mut bits: Vec<Vec<u8>> = vec![Vec::new(); requests.len()];
    let mut delivered = Vec::new();
    engine
        .answer(
            requests,
            Some(&mut |number, logits| {
                bits[number].extend(logits.iter().flat_map(|l| l.to_bits().to_le_bytes()));
            }),
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
    let outcomes = seen.iter().map(|(_, outcome)| outcome.clone());
    assert_eq!(outcomes.collect::<Vec<_>>(), unseen, "whether somebody sees the logits changes nothing");
    seen
}

/// What becomes of the requests where nobody sees the logits, so that greedy ones are told the largest only.
fn unseen_answers(settings: &EngineSettings, requests: &[Request]) -> Vec<Option<Result<Outcome, Refusal>>> {
    let (weights, companions) = model();
    let mut engine = Engine::load(&weights, &companions, settings).unwrap();
    let mut outcomes = vec![None; requests.len()];
    engine
        .complete(requests, &mut |number, outcome| {
            outcomes[number] = Some(outcome);
            Flow::Continue
        })
        .unwrap();
    outcomes
}

fn alone(precision: Precision) -> Vec<Seen> {
    let settings =
        EngineSettings { precision, guess_tokens: Some(0), ..settings(1, 1 << 20, 1000, Threads::Caller) };
    requests().into_iter().flat_map(|request| answers(&settings, &[request])).collect()
}

static ALONE: LazyLock<Vec<Seen>> = LazyLock::new(|| alone(Precision::Source));
static ALONE_BF16: LazyLock<Vec<Seen>> = LazyLock::new(|| alone(Precision::Bf16));

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn an_answer_has_the_same_bits_alone_and_in_any_batch(
        order in Just((0..REQUESTS).collect::<Vec<_>>()).prop_shuffle(),
        count in 1..=REQUESTS,
        sequences in 1..=16usize,
        kv_tokens in 1..600usize,
        step_tokens in 1..200usize,
        pool_threads in 0..4usize,
        half in any::<bool>(),
        guess_tokens in 0..60usize,
    ) {
        let all = requests();
        let order = &order[..count];
        let asked: Vec<Request> = order.iter().map(|&i| all[i].clone()).collect();
        let threads = if pool_threads == 0 { Threads::Caller } else { Threads::Pool };
        let (precision, alone) =
            if half { (Precision::Bf16, &ALONE_BF16) } else { (Precision::Source, &ALONE) };
        let guess_tokens = Some(guess_tokens);
        let settings = EngineSettings {
            guess_tokens,
            precision,
            ..settings(sequences, kv_tokens, step_tokens, threads)
        };
        let pool = rayon::ThreadPoolBuilder::new().num_threads(pool_threads.max(1)).build().unwrap();
        let got = pool.install(|| answers(&settings, &asked));
        for (got, &i) in got.iter().zip(order) {
            prop_assert_eq!(got, &alone[i], "request {}", i);
        }
    }
}

#[test]
fn the_requests_of_the_property_test_end_in_different_ways() {
    let ends = |finish| ALONE.iter().filter(|s| matches!(&s.1, Some(Ok(o)) if o.finish == finish)).count();
    assert!(ends(Finish::Length) > 2 && ends(Finish::StopString) > 0, "{:?}", *ALONE);
    assert!(matches!(ALONE[REQUESTS - 1].1, Some(Err(Refusal::PromptTooLong { context: 128, .. }))));
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
        end_with: Vec::new(),
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
    assert_eq!(got[0], Some(Err(Refusal::NotANumber { place: Breakdown::Embedding, generated: 0 })));
    assert!(matches!(before, Some(Ok(_))));
    assert_eq!(got[1], before);
}

#[test]
fn what_prompts_begin_with_is_run_once() {
    let (weights, companions) = model();
    let shared = "a beginning of sixty-four bytes that all the prompts do share: ..";
    let ask = |end: &str| Request {
        prompt: format!("{shared}{end}"),
        sampling: Sampling::Greedy,
        max_tokens: TokenCount(2),
        stop: Vec::new(),
        end_with: Vec::new(),
    };
    let requests: Vec<Request> = ["one", "another", "", "the last"].map(ask).into();
    let mut engine = Engine::load(&weights, &companions, &EngineSettings::default()).unwrap();
    let count = |engine: &mut Engine| {
        let (before, mut tokens) = (engine.tokens_run(), 0);
        engine
            .complete(&requests, &mut |_, answer| {
                let outcome = answer.unwrap();
                tokens += outcome.prompt_tokens + outcome.generated_tokens.saturating_sub(1);
                Flow::Continue
            })
            .unwrap();
        (engine.tokens_run() - before, tokens as u64)
    };
    let (run, asked) = count(&mut engine);
    assert!(run + 2 * 60 < asked, "{run} of {asked} tokens were run in one batch");
    let (again, _) = count(&mut engine);
    assert!(again + 40 < run, "{again} tokens were run, with slots that begin alike, after {run}");
    engine.exchange(&weights).unwrap();
    let (fresh, _) = count(&mut engine);
    assert_eq!(fresh, run, "another model shares nothing with the last");
}
