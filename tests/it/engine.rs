//! The packed engine against candle's Llama, and what each says of broken models.

use crate::tiny_model::TinyModel;
use m3::checkpoint::{Folder, TensorSource};
use m3::completion::{
    Breakdown, Complete, Finish, Flow, Likelihood, LikelihoodRequest, Outcome, Refusal, Request, Sampling,
};
use m3::engine::{Engine, EngineError, EngineSettings, Limits, Precision, ReferenceEngine};
use m3::units::TokenCount;
use std::num::NonZeroUsize;

/// Difference allowed between two f32 implementations' logits, whose size is about 1: sums of some hundred terms in
/// another order, through a few layers.
const LOGIT_TOLERANCE: f32 = 2e-5;
/// Difference allowed for each token of a log-likelihood: of its logit and of the sum over the others.
const LIKELIHOOD_TOLERANCE: f64 = 2.0 * LOGIT_TOLERANCE as f64;

fn ask(prompt: &str, max_tokens: usize) -> Request {
    Request {
        prompt: prompt.to_owned(),
        sampling: Sampling::Greedy,
        max_tokens: TokenCount(max_tokens),
        stop: Vec::new(),
        end_with: Vec::new(),
    }
}

fn answers(engine: &mut dyn Complete, requests: &[Request]) -> Vec<Result<Outcome, Refusal>> {
    let mut got = vec![None; requests.len()];
    engine
        .complete(requests, &mut |number, answer| {
            assert!(got[number].replace(answer).is_none(), "one delivery per request");
            Flow::Continue
        })
        .unwrap();
    got.into_iter().map(|answer| answer.expect("every request is answered")).collect()
}

/// Both engines on a model with random weights.
fn both(model: &TinyModel) -> (Engine, ReferenceEngine) {
    let dir = tempfile::tempdir().unwrap();
    model.write(dir.path(), |_, _| true);
    let folder = Folder::open(dir.path()).unwrap();
    let settings = EngineSettings::default();
    (
        Engine::load(&folder, folder.companions(), &settings).unwrap(),
        ReferenceEngine::load(&folder, folder.companions(), &settings).unwrap(),
    )
}

fn models() -> [TinyModel; 4] {
    let plain = TinyModel::default();
    [
        plain,
        TinyModel { tied: true, seed: 2, ..plain },
        TinyModel { hidden: 36, heads: 6, kv_heads: 6, intermediate: 50, vocab: 284, seed: 3, ..plain },
        TinyModel { hidden: 192, heads: 6, kv_heads: 1, intermediate: 512, layers: 3, seed: 4, ..plain },
    ]
}

#[test]
fn logits_agree_with_the_reference() {
    for model in models() {
        let (mut ours, mut theirs) = both(&model);
        for len in [1, 2, 15, 16, 17, 100, 256] {
            let tokens: Vec<u32> = (0..len).map(|i| (i * 37 % model.vocab) as u32).collect();
            let (got, want) = (ours.logits(&tokens).unwrap(), theirs.logits(&tokens).unwrap());
            assert_eq!(got.len(), model.vocab);
            let far = got.iter().zip(&want).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(far <= LOGIT_TOLERANCE, "{model:?} with {len} tokens is {far} away");
            assert!(want.iter().any(|l| l.abs() > 0.5), "the logits are not trivial");
        }
    }
}

#[test]
fn answers_agree_with_the_reference() {
    let mut requests: Vec<Request> = [1, 3, 15, 16, 17, 40, 90]
        .iter()
        .map(|&n| ask(&"hello the world and 10 = 🦙 ".chars().cycle().take(n).collect::<String>(), 30))
        .collect();
    requests.push(Request { stop: vec!["a".into(), "\u{fffd}".into(), "e".into()], ..ask("stop er", 60) });
    requests.push(ask("nothing", 0));
    requests.push(ask(&"a".repeat(250), 60));
    for model in models() {
        let (mut ours, mut theirs) = both(&model);
        let (got, want) = (answers(&mut ours, &requests), answers(&mut theirs, &requests));
        assert_eq!(got, want, "{model:?}");
        let last = got.last().unwrap().as_ref().unwrap();
        assert!(last.prompt_tokens + last.generated_tokens <= model.context);
        assert!(
            got.iter().flatten().any(|o| o.generated_tokens == 30),
            "answers are long enough to mean something"
        );
    }
}

fn likelihoods(
    engine: &mut dyn Complete,
    requests: &[LikelihoodRequest],
) -> Vec<Result<Vec<Likelihood>, Refusal>> {
    let mut got = vec![None; requests.len()];
    engine
        .likelihoods(requests, &mut |number, answer| {
            assert!(got[number].replace(answer).is_none(), "one delivery per request");
            Flow::Continue
        })
        .unwrap();
    got.into_iter().map(|answer| answer.expect("every request is answered")).collect()
}

fn weigh(prompt: &str, continuations: &[&str]) -> LikelihoodRequest {
    let continuations = continuations.iter().map(|&c| c.to_owned()).collect();
    LikelihoodRequest { prompt: prompt.to_owned(), continuations }
}

#[test]
fn likelihoods_agree_with_the_reference() {
    let long = "hello the world and 10 = 🦙 ".chars().cycle().take(150).collect::<String>();
    let requests = [
        weigh("hello the world", &[" and", " 🦙", "x", " the quick brown fox", " and"]),
        weigh("ends with a blank ", &["one", " two", "three words here"]),
        weigh(&long, &["a", "b", "c", " d"]),
        weigh("", &["whole text", "x"]),
        weigh("nothing is asked", &[]),
        weigh("nothing follows", &["x", ""]),
        weigh(&"a".repeat(200), &[&"b".repeat(100)]),
    ];
    for model in models() {
        let (mut ours, mut theirs) = both(&model);
        let (got, want) = (likelihoods(&mut ours, &requests), likelihoods(&mut theirs, &requests));
        for (number, (got, want)) in got.iter().zip(&want).enumerate() {
            let (Ok(got), Ok(want)) = (got, want) else {
                assert_eq!(got, want);
                continue;
            };
            assert_eq!(want.len(), requests[number].continuations.len());
            for (got, want) in got.iter().zip(want) {
                assert_eq!((got.tokens, got.greedy), (want.tokens, want.greedy), "request {number}");
                let far = (got.log_likelihood - want.log_likelihood).abs();
                assert!(far <= LIKELIHOOD_TOLERANCE * want.tokens as f64, "request {number} is {far} away");
                assert!(want.log_likelihood < -1.0, "the likelihood means something");
            }
        }
        assert_eq!(got[0].as_ref().unwrap()[0], got[0].as_ref().unwrap()[4], "equal continuations are equal");
        assert_eq!(got[5], Err(Refusal::EmptyContinuation { continuation: 1 }));
        assert!(matches!(got[6], Err(Refusal::ContinuationTooLong { tokens: 300, context: 256, .. })));
        // Greedy decoding says what is then found to be said greedily.
        let answer = answers(&mut ours, &[ask("hello the world", 6)]).remove(0).unwrap().text;
        if !answer.contains('\u{fffd}') && !answer.is_empty() {
            let said = likelihoods(&mut ours, &[weigh("hello the world", &[&answer])]).remove(0).unwrap();
            assert!(said[0].greedy || said[0].tokens != 6, "{answer:?} in other tokens");
        }
    }
}

#[test]
fn likelihoods_have_the_same_bits_alone_and_in_any_batch() {
    let dir = tempfile::tempdir().unwrap();
    TinyModel::default().write(dir.path(), |_, _| true);
    let folder = Folder::open(dir.path()).unwrap();
    let text = "hello the world and 10 = ten, Größe 🦙 über alles; ";
    let requests: Vec<LikelihoodRequest> = (0..20)
        .map(|i| {
            weigh(&text.chars().skip(i % 7).take(i * 2).collect::<String>(), &["a", " yes", &text[i..30]])
        })
        .collect();
    let load = |max_sequences, step_tokens| {
        let settings = EngineSettings {
            max_sequences: NonZeroUsize::new(max_sequences).unwrap(),
            step_tokens: NonZeroUsize::new(step_tokens).unwrap(),
            ..EngineSettings::default()
        };
        Engine::load(&folder, folder.companions(), &settings).unwrap()
    };
    let mut alone = load(1, 1000);
    let want: Vec<_> =
        requests.iter().map(|r| likelihoods(&mut alone, std::slice::from_ref(r)).remove(0)).collect();
    assert!(want.iter().all(|w| w.as_ref().is_ok_and(|l| l.len() == 3)));
    for (max_sequences, step_tokens) in [(1, 3), (4, 17), (32, 256)] {
        assert_eq!(likelihoods(&mut load(max_sequences, step_tokens), &requests), want);
    }
    let mut delivered = 0;
    alone
        .likelihoods(&requests, &mut |_, _| {
            delivered += 1;
            if delivered == 3 { Flow::Stop } else { Flow::Continue }
        })
        .unwrap();
    assert_eq!(delivered, 3);
}

#[test]
fn the_context_is_a_limit() {
    let (mut ours, mut theirs) = both(&TinyModel { context: 32, ..TinyModel::default() });
    let prompts = ["a".repeat(31), "a".repeat(32), "a".repeat(33), String::new()];
    let requests: Vec<Request> = prompts.iter().map(|p| ask(p, 10)).collect();
    for engine in [&mut ours as &mut dyn Complete, &mut theirs] {
        let got = answers(engine, &requests);
        let fits = got[0].as_ref().unwrap();
        assert!(fits.generated_tokens <= 1 && fits.prompt_tokens == 31);
        assert!(matches!(fits.finish, Finish::Length | Finish::EndOfText));
        assert_eq!(got[1], Err(Refusal::PromptTooLong { tokens: 32, context: 32 }));
        assert_eq!(got[2], Err(Refusal::PromptTooLong { tokens: 33, context: 32 }));
        assert_eq!(got[3], Err(Refusal::EmptyPrompt));
        let empty_stop = Request { stop: vec![String::new()], ..ask("a", 3) };
        assert_eq!(answers(engine, &[empty_stop]), [Err(Refusal::EmptyStop)]);
    }
    assert_ne!(ours.numerics(), theirs.numerics());
}

#[test]
fn logits_of_impossible_tokens_are_refused() {
    let (mut ours, _) = both(&TinyModel::default());
    assert!(matches!(ours.logits(&[]), Err(EngineError::TokenCount { tokens: 0, context: 256 })));
    assert!(matches!(ours.logits(&[0; 257]), Err(EngineError::TokenCount { .. })));
    assert!(matches!(ours.logits(&[5, 300]), Err(EngineError::UnknownToken { id: 300, position: 1, .. })));
}

#[test]
fn damaged_weights_refuse_the_requests() {
    let dir = tempfile::tempdir().unwrap();
    TinyModel::default().write(dir.path(), |name, weights| {
        if name == "model.layers.1.mlp.down_proj.weight" {
            weights[100] = f32::NAN;
        }
        true
    });
    let folder = Folder::open(dir.path()).unwrap();
    let settings = EngineSettings::default();
    let mut engine = Engine::load(&folder, folder.companions(), &settings).unwrap();
    let got = answers(&mut engine, &[ask("hello", 5), ask("", 5)]);
    assert_eq!(
        got,
        [Err(Refusal::NotANumber { place: Breakdown::Layer(1), generated: 0 }), Err(Refusal::EmptyPrompt)]
    );
    let got = likelihoods(&mut engine, &[weigh("hello", &["a", "b c"]), weigh("", &["x"])]);
    assert!(
        got.iter().all(|g| *g == Err(Refusal::NotANumber { place: Breakdown::Layer(1), generated: 0 })),
        "{got:?}"
    );
}

#[test]
fn a_source_without_a_tensor_is_refused_by_name() {
    // The config of one model over the weights of another that has one layer less.
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    TinyModel::default().write(dir.path(), |_, _| true);
    TinyModel { layers: 3, ..TinyModel::default() }.write(other.path(), |_, _| true);
    let (weights, companions) = (Folder::open(dir.path()).unwrap(), Folder::open(other.path()).unwrap());
    let settings = EngineSettings::default();
    let message = Engine::load(&weights, companions.companions(), &settings).unwrap_err().to_string();
    assert!(message.contains("model.layers.2.") && message.contains("no tensor"), "{message}");
    assert!(ReferenceEngine::load(&weights, companions.companions(), &settings).is_err());
}

#[test]
fn a_tokenizer_that_is_too_large_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    TinyModel { vocab: 283, ..TinyModel::default() }.write(dir.path(), |_, _| true);
    let folder = Folder::open(dir.path()).unwrap();
    let message =
        Engine::load(&folder, folder.companions(), &EngineSettings::default()).unwrap_err().to_string();
    assert!(message.contains("id 283") && message.contains("283 rows"), "{message}");
}

#[test]
fn the_next_candidate_takes_the_place_of_the_last() {
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    TinyModel::default().write(first.path(), |_, _| true);
    TinyModel { seed: 9, ..TinyModel::default() }.write(second.path(), |_, _| true);
    let (first, second) = (Folder::open(first.path()).unwrap(), Folder::open(second.path()).unwrap());
    let settings = EngineSettings::default();
    let mut engine = Engine::load(&first, first.companions(), &settings).unwrap();
    let mut fresh = Engine::load(&second, second.companions(), &settings).unwrap();
    let before = engine.logits(&[5, 6, 7]).unwrap();
    engine.exchange(&second).unwrap();
    let after = engine.logits(&[5, 6, 7]).unwrap();
    assert_eq!(after, fresh.logits(&[5, 6, 7]).unwrap());
    assert_ne!(before, after);
}

#[test]
fn what_does_not_fit_into_the_memory_is_refused_before_it_is_loaded_or_run() {
    let dir = tempfile::tempdir().unwrap();
    TinyModel::default().write(dir.path(), |_, _| true);
    let folder = Folder::open(dir.path()).unwrap();
    let config = &folder.companions().config;
    let within = |memory| {
        let limits = Limits { memory: Some(memory), sequences: None };
        EngineSettings::within(config, folder.manifest(), Precision::Source, limits)
    };
    let message = within(1_000_000).unwrap_err().to_string();
    assert!(message.contains("1 MB may be used") && message.contains("--memory"), "{message}");
    let settings = EngineSettings { longest: TokenCount(40), ..within(1 << 30).unwrap() };
    let mut engine = Engine::load(&folder, folder.companions(), &settings).unwrap();
    let got = answers(&mut engine, &[ask("hello", 5), ask("hello", 50), ask(&"a".repeat(41), 1)]);
    assert!(got[0].is_ok());
    assert_eq!(got[1], Err(Refusal::NoMemory { tokens: 50, room: 40 }));
    assert_eq!(got[2], Err(Refusal::NoMemory { tokens: 41, room: 40 }));
}

#[test]
fn samples_are_the_same_alone_and_together_and_differ_with_the_seed() {
    let (mut ours, mut theirs) = both(&TinyModel::default());
    let sample = |prompt: &str, seed| Request {
        sampling: Sampling::Sample { temperature: 1.0, top_k: None, top_p: Some(0.9), seed },
        ..ask(prompt, 20)
    };
    let requests = [sample("hello", 1), sample("hello", 2), sample("world", 1), sample("hello", 1)];
    let together = answers(&mut ours, &requests);
    assert_eq!(together, answers(&mut theirs, &requests), "both draw the same");
    let alone: Vec<_> =
        requests.iter().map(|r| answers(&mut ours, std::slice::from_ref(r)).remove(0)).collect();
    assert_eq!(together, alone);
    assert_eq!(together[0], together[3]);
    assert_ne!(together[0], together[1]);
    let bad = Request {
        sampling: Sampling::Sample { temperature: -1.0, top_k: None, top_p: None, seed: 0 },
        ..ask("x", 3)
    };
    assert!(matches!(answers(&mut ours, &[bad])[0], Err(Refusal::Sampling { setting: "temperature", .. })));
}
