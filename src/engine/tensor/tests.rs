//! The path of GPUs, on the CPU: against the CPU's own engine, which has the same scheduler and none of the arithmetic.

use crate::checkpoint::Companions;
use crate::completion::{
    Breakdown, Complete, Flow, Likelihood, LikelihoodRequest, Outcome, Refusal, Request, Sampling,
};
use crate::engine::device::Device;
use crate::engine::fixture::{self, Memory};
use crate::engine::{Engine, EngineError, EngineSettings};
use crate::units::TokenCount;
use candle_core::DType;
use std::num::NonZeroUsize;

/// Difference allowed between logits of about 1 that two f32 implementations sum in another order.
const TOLERANCE: f32 = 2e-5;
/// The same where every product is rounded to bfloat16, relative to the size of logits: 2⁻⁸ for each of some ten roundings in
/// a row.
const BF16_TOLERANCE: f32 = 0.06;

fn settings(sequences: usize, kv_tokens: usize, step_tokens: usize) -> EngineSettings {
    EngineSettings {
        max_sequences: NonZeroUsize::new(sequences).unwrap(),
        kv_tokens: TokenCount(kv_tokens),
        step_tokens: NonZeroUsize::new(step_tokens).unwrap(),
        ..EngineSettings::default()
    }
}

fn requests() -> Vec<Request> {
    let story = "hello the world and 10 = ten, Größe 🦙 über alles; ".repeat(3);
    (0..14)
        .map(|i| Request {
            prompt: story.chars().skip(i).take(1 + i * i % 83).collect(),
            sampling: if i % 4 == 3 {
                Sampling::Sample { temperature: 1.2, top_k: Some(40), top_p: Some(0.95), seed: 3 }
            } else {
                Sampling::Greedy
            },
            max_tokens: TokenCount([12, 0, 3, 40, 1][i % 5]),
            stop: if i % 3 == 0 { vec!["e".into(), "\u{fffd}".into()] } else { Vec::new() },
            end_with: Vec::new(),
        })
        .chain((0..4).map(|i| Request {
            prompt: format!("{}{}", &story[..50], "one's own end".repeat(i)),
            sampling: Sampling::Greedy,
            max_tokens: TokenCount(9),
            stop: Vec::new(),
            end_with: Vec::new(),
        }))
        .collect()
}

/// The logits of every step of a request, and its answer.
type Seen = (Vec<f32>, Option<Result<Outcome, Refusal>>);

fn answers(engine: &mut Engine, requests: &[Request]) -> Vec<Seen> {
    let mut logits = vec![Vec::new(); requests.len()];
    let mut outcomes = vec![None; requests.len()];
    engine
        .answer(
            requests,
            Some(&mut |number, new| logits[number].extend_from_slice(new)),
            &mut |number, answer| {
                assert!(outcomes[number].replace(answer).is_none(), "request {number} was answered twice");
                Flow::Continue
            },
        )
        .unwrap();
    logits.into_iter().zip(outcomes).collect()
}

fn farthest(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

fn on_host(companions: &Companions, weights: &Memory, settings: &EngineSettings) -> Engine {
    Engine::load_on(&Device::host(), weights, companions, settings).unwrap()
}

#[test]
fn answers_are_those_of_the_cpu_in_any_batch() {
    for (name, change) in [("plain", None), ("window", Some(7))] {
        let mut companions = fixture::companions();
        companions.config.window = change;
        let weights = Memory::model(&companions.config, 7);
        let requests = requests();
        let mut cpu = Engine::load(&weights, &companions, &EngineSettings::default()).unwrap();
        let want = answers(&mut cpu, &requests);
        // One after the other; all at once; few slots, which are made anew for longer sequences; prompts in small pieces.
        for (sequences, kv_tokens, step_tokens) in
            [(1, 1000, 500), (64, 32_768, 2048), (5, 200, 300), (9, 600, 20)]
        {
            let mut engine = on_host(&companions, &weights, &settings(sequences, kv_tokens, step_tokens));
            for round in 0..2 {
                for (number, (got, want)) in answers(&mut engine, &requests).iter().zip(&want).enumerate() {
                    assert_eq!(got.1, want.1, "{name}: request {number} of {sequences}, round {round}");
                    let far = farthest(&got.0, &want.0);
                    assert!(far <= TOLERANCE, "{name}: request {number} of {sequences} is {far} away");
                }
            }
        }
    }
}

#[test]
fn likelihoods_are_those_of_the_cpu() {
    let companions = fixture::companions();
    let weights = Memory::model(&companions.config, 7);
    let request = |prompt: &str, continuations: &[&str]| LikelihoodRequest {
        prompt: prompt.to_owned(),
        continuations: continuations.iter().map(|&c| c.to_owned()).collect(),
    };
    let requests = [
        request("hello the world", &[" and", " or", " and so on", "!"]),
        request("", &["x", "yz"]),
        request("hello the world and more", &[" of it"]),
        request("nothing", &[]),
    ];
    let ask = |engine: &mut Engine| {
        let mut all: Vec<Vec<Likelihood>> = vec![Vec::new(); requests.len()];
        engine
            .likelihoods(&requests, &mut |number, likelihoods| {
                all[number] = likelihoods.unwrap();
                Flow::Continue
            })
            .unwrap();
        all
    };
    let want = ask(&mut Engine::load(&weights, &companions, &EngineSettings::default()).unwrap());
    let got = ask(&mut on_host(&companions, &weights, &settings(3, 300, 64)));
    assert_eq!(got.iter().map(Vec::len).collect::<Vec<_>>(), [4, 2, 1, 0]);
    for (got, want) in got.iter().flatten().zip(want.iter().flatten()) {
        assert_eq!((got.tokens, got.greedy), (want.tokens, want.greedy));
        let far = (got.log_likelihood - want.log_likelihood).abs();
        assert!(far <= f64::from(TOLERANCE) * got.tokens as f64, "{far} away");
    }
}

#[test]
fn what_prompts_begin_with_is_run_once_and_numerics_are_named() {
    let companions = fixture::companions();
    let weights = Memory::model(&companions.config, 7);
    let shared = "a beginning of sixty-four bytes that all the prompts do share: ..";
    let ask = |end: &str| Request {
        prompt: format!("{shared}{end}"),
        sampling: Sampling::Greedy,
        max_tokens: TokenCount(2),
        stop: Vec::new(),
        end_with: Vec::new(),
    };
    let requests: Vec<Request> = ["one", "another", "", "the last"].map(ask).into();
    let mut engine = on_host(&companions, &weights, &EngineSettings::default());
    let asked: u64 = requests.iter().map(|r| engine.prompt_ids(&r.prompt).unwrap().len() as u64 + 1).sum();
    let count = |engine: &mut Engine| {
        let before = engine.tokens_run();
        answers(engine, &requests);
        engine.tokens_run() - before
    };
    let run = count(&mut engine);
    assert!(run + 2 * 60 < asked, "{run} of {asked} tokens were run in one batch");
    let again = count(&mut engine);
    assert!(again + 40 < run, "{again} tokens were run, with slots that begin alike, after {run}");
    engine.exchange(&weights).unwrap();
    assert_eq!(count(&mut engine), run, "another model shares nothing with the last");
    assert_ne!(engine.numerics(), Engine::NUMERICS);
}

#[test]
fn exchanged_weights_are_those_of_the_other_model() {
    let companions = fixture::companions();
    let (first, second) = (Memory::model(&companions.config, 1), Memory::model(&companions.config, 2));
    let mut engine = on_host(&companions, &first, &EngineSettings::default());
    let tokens = [5, 9, 200, 17];
    let before = engine.logits(&tokens).unwrap();
    engine.exchange(&second).unwrap();
    let after = engine.logits(&tokens).unwrap();
    assert!(farthest(&before, &after) > 0.1);
    let mut fresh = on_host(&companions, &second, &EngineSettings::default());
    assert_eq!(fresh.logits(&tokens).unwrap(), after);
    // Checked before anything is given up.
    let mut other = fixture::companions();
    other.config.layers = 1;
    assert!(engine.exchange(&Memory::model(&other.config, 3)).is_err());
    assert_eq!(engine.logits(&tokens).unwrap(), after);
}

#[test]
fn what_breaks_down_is_named_and_leaves_nothing_behind() {
    let mut companions = fixture::companions();
    companions.config.tied_head = false;
    let clean = Memory::model(&companions.config, 7);
    let ask = |prompt: &str| Request {
        prompt: prompt.into(),
        sampling: Sampling::Greedy,
        max_tokens: TokenCount(4),
        stop: Vec::new(),
        end_with: Vec::new(),
    };
    let one_slot = settings(1, 64, 4);
    let want = answers(&mut on_host(&companions, &clean, &one_slot), &[ask("hello world")]);
    let mut weights = Memory::model(&companions.config, 7);
    weights.set("model.embed_tokens.weight", (2 + usize::from(b'Q')) * 36 + 5, f32::NAN);
    // In one slot, one after the other, in pieces: the broken one is broken in its first piece, and asked again from what is
    // known of it; the one after it has its place.
    for settings in [&one_slot, &EngineSettings::default()] {
        let mut engine = on_host(&companions, &weights, settings);
        let got = answers(
            &mut engine,
            &[ask("aQa long enough for some pieces"), ask("aQa long enough too"), ask("hello world")],
        );
        let refused = Some(Err(Refusal::NotANumber { place: Breakdown::Embedding, generated: 0 }));
        assert_eq!((&got[0].1, &got[1].1), (&refused, &refused));
        assert_eq!(got[2].1, want[0].1);
        assert!(farthest(&got[2].0, &want[0].0) <= TOLERANCE);
    }
    let mut weights = Memory::model(&companions.config, 7);
    weights.set("model.layers.1.mlp.down_proj.weight", 40, f32::INFINITY);
    let got = answers(&mut on_host(&companions, &weights, &EngineSettings::default()), &[ask("hello")]);
    let refused = Some(Err(Refusal::NotANumber { place: Breakdown::Layer(1), generated: 0 }));
    assert_eq!(got[0].1, refused);
    let mut weights = Memory::model(&companions.config, 7);
    weights.set("lm_head.weight", 40, f32::NAN);
    let got = answers(&mut on_host(&companions, &weights, &EngineSettings::default()), &[ask("hello")]);
    let refused = Some(Err(Refusal::NotANumber { place: Breakdown::Logits, generated: 0 }));
    assert_eq!(got[0].1, refused);
}

#[test]
fn in_bfloat16_logits_are_near() {
    let companions = fixture::companions();
    let weights = Memory::model(&companions.config, 7);
    let device = Device { inner: candle_core::Device::Cpu, dtype: DType::BF16 };
    let mut half = Engine::load_on(&device, &weights, &companions, &EngineSettings::default()).unwrap();
    let mut full = on_host(&companions, &weights, &EngineSettings::default());
    let tokens: Vec<u32> = (0..40).map(|i| i * 37 % 300).collect();
    for last in [0, 1, 9, 39] {
        let (half, full) = (half.logits(&tokens[..=last]).unwrap(), full.logits(&tokens[..=last]).unwrap());
        let size = full.iter().fold(0.0f32, |size, logit| size.max(logit.abs()));
        let far = farthest(&half, &full);
        assert!(far > 0.0 && far <= BF16_TOLERANCE * size, "{far} of {size} at {last}");
        assert!(half.iter().any(|logit| logit.to_bits() & 0xffff != 0), "logits are not rounded");
    }
}

#[test]
fn bad_tokens_are_refused() {
    let companions = fixture::companions();
    let weights = Memory::model(&companions.config, 7);
    let mut engine = on_host(&companions, &weights, &EngineSettings::default());
    assert!(matches!(engine.logits(&[]), Err(EngineError::TokenCount { tokens: 0, .. })));
    assert!(matches!(engine.logits(&[300]), Err(EngineError::UnknownToken { id: 300, .. })));
}
