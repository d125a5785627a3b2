//! Rows of models with different tokens.

use super::*;
use crate::checkpoint::{CheckpointError, Companions, Manifest, ModelConfig, Span, TensorInfo, TensorSource};
use crate::digest::Digest;
use crate::dtype::DType;
use crate::event::Silent;
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Mutex;

/// A model whose embedding row i holds `mark + i` in both columns; its head the negatives.
struct Marked {
    manifest: Manifest,
    mark: f32,
}

impl TensorSource for Marked {
    fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    fn read(&self, name: &TensorName, span: Span, out: &mut [f32]) -> Result<(), CheckpointError> {
        let sign = if *name == head() { -1.0 } else { 1.0 };
        for (i, x) in (span.start..).zip(out) {
            *x = sign * (self.mark + (i / 2) as f32);
        }
        Ok(())
    }

    fn digest(&self) -> Result<Digest, CheckpointError> {
        Ok(Digest::of_bytes(&self.mark.to_le_bytes()))
    }
}

/// A model with these tokens (those in brackets are added ones) and at least as many rows.
fn model(name: &str, tokens: &[&str], rows: usize, mark: f32) -> Opened {
    let plain = tokens.iter().enumerate().filter(|(_, t)| !t.starts_with('['));
    let vocab: serde_json::Map<String, Value> = plain.map(|(i, t)| ((*t).to_owned(), json!(i))).collect();
    let added: Vec<Value> = tokens
        .iter()
        .enumerate()
        .filter(|(_, t)| t.starts_with('['))
        .map(|(i, t)| json!({
            "id": i, "content": t, "special": true, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false
        }))
        .collect();
    let merges: Vec<Value> = tokens
        .iter()
        .filter(|t| t.len() == 2)
        .map(|t| json!([t[..1].to_owned(), t[1..].to_owned()]))
        .collect();
    let tokenizer = json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": added, "normalizer": null,
        "pre_tokenizer": null, "post_processor": null, "decoder": null,
        "model": {
            "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "vocab": vocab, "merges": merges
        },
    });
    let config = json!({
        "model_type": "llama", "hidden_size": 2, "intermediate_size": 2, "vocab_size": rows,
        "num_hidden_layers": 1, "num_attention_heads": 1,
    });
    let config = ModelConfig::parse(&config.to_string(), Path::new("config.json")).unwrap();
    let info = |shape: Vec<usize>| TensorInfo { dtype: DType::F32, shape };
    let manifest = config.tensors().into_iter().map(|(n, shape)| (n, info(shape))).collect();
    Opened {
        path: name.into(),
        companions: Companions {
            config,
            config_json: serde_json::Map::new(),
            tokenizer: tokenizer.to_string().into_bytes(),
            others: vec![("tokenizer.model".into(), name.into()), ("generation_config.json".into(), vec![])],
        },
        weights: Arc::new(Marked { manifest, mark }),
    }
}

/// The first column of embedding and head.
fn rows(input: &Opened) -> Vec<f32> {
    let values = input.weights.read_all(&embedding()).unwrap();
    let heads = input.weights.read_all(&head()).unwrap();
    assert!(values.iter().zip(&heads).all(|(a, b)| *a == -*b), "the head has other rows than the embedding");
    assert!(values.as_chunks::<2>().0.iter().all(|[a, b]| a == b));
    values.iter().step_by(2).copied().collect()
}

fn said(error: &MergeError) -> String {
    error.to_string()
}

#[derive(Default)]
struct Notes(Mutex<Vec<String>>);

impl Observer for Notes {
    fn observe(&self, event: &Event<'_>) {
        if let Event::Note { text } | Event::Warning { text } = event {
            self.0.lock().unwrap().push((*text).to_owned());
        }
    }
}

fn pair() -> Vec<Opened> {
    vec![model("base", &["a", "b", "ab"], 3, 0.0), model("fine", &["a", "b", "ab", "[PAD]"], 4, 100.0)]
}

#[test]
fn equal_vocabularies_are_left_alone() {
    let mut inputs = vec![model("x", &["a", "b"], 4, 0.0), model("y", &["a", "b"], 4, 10.0)];
    let before = inputs[1].weights.clone();
    for policy in [Policy::Equal, Vocabulary::Union.policy(true), Vocabulary::Pad.policy(true)] {
        align(&mut inputs, &policy, &Silent).unwrap();
        assert!(Arc::ptr_eq(&before, &inputs[1].weights));
    }
}

#[test]
fn a_difference_without_a_policy_names_the_choices() {
    let said = said(&align(&mut pair(), &Policy::Equal, &Silent).unwrap_err());
    for part in ["`fine`", "`base`", "[PAD]", "4 rows against 3", "keep-padding", "tokenizer_source"] {
        assert!(said.contains(part), "{part}: {said}");
    }
}

#[test]
fn pad_gives_the_mean_of_the_existing_rows() {
    let (mut inputs, notes) = (pair(), Notes::default());
    align(&mut inputs, &Policy::Pad, &notes).unwrap();
    assert_eq!(rows(&inputs[0]), [0.0, 1.0, 2.0, 1.0]);
    assert_eq!(rows(&inputs[1]), [100.0, 101.0, 102.0, 103.0]);
    let companions = &inputs[0].companions;
    assert_eq!(companions.config.vocab_size, 4);
    assert_eq!(companions.config_json["vocab_size"], 4);
    assert!(String::from_utf8_lossy(&companions.tokenizer).contains("[PAD]"));
    let names: Vec<&str> = companions.others.iter().map(|(n, _)| n.as_str()).collect();
    assert_eq!(names, ["generation_config.json", "tokenizer.model"]);
    assert_eq!(companions.others[1].1, b"fine");
    let notes = notes.0.lock().unwrap().join("\n");
    assert!(notes.contains("4 rows") && notes.contains("1 means of its rows"), "{notes}");
}

#[test]
fn keep_padding_takes_the_rows_that_all_have_and_never_a_token_away() {
    let mut inputs = vec![model("x", &["a", "b"], 3, 0.0), model("y", &["a", "b"], 5, 10.0)];
    align(&mut inputs, &Policy::KeepPadding, &Silent).unwrap();
    assert_eq!((rows(&inputs[0]), rows(&inputs[1])), (vec![0.0, 1.0, 2.0], vec![10.0, 11.0, 12.0]));
    let said = said(&align(&mut pair(), &Policy::KeepPadding, &Silent).unwrap_err());
    assert!(said.contains("no padding") && said.contains("[PAD]"), "{said}");
}

fn three() -> Vec<Opened> {
    vec![
        model("base", &["a", "b", "ab"], 3, 0.0),
        model("x", &["b", "a", "c", "[X]"], 4, 100.0),
        model("y", &["a", "c", "ca", "[X]"], 4, 200.0),
    ]
}

#[test]
fn union_follows_tokens_not_numbers() {
    let mut inputs = three();
    align(&mut inputs, &Vocabulary::Union.policy(true), &Silent).unwrap();
    // a b ab | c [X] ca: own rows by token, the base's where it has one, the mean or the only one where it has none.
    assert_eq!(rows(&inputs[0]), [0.0, 1.0, 2.0, 151.5, 153.0, 202.0]);
    assert_eq!(rows(&inputs[1]), [101.0, 100.0, 2.0, 102.0, 103.0, 202.0]);
    assert_eq!(rows(&inputs[2]), [200.0, 1.0, 2.0, 201.0, 203.0, 202.0]);
    let json: Value = serde_json::from_slice(&inputs[0].companions.tokenizer).unwrap();
    assert_eq!(json["model"]["vocab"], json!({"a": 0, "b": 1, "ab": 2, "c": 3, "[X]": 4, "ca": 5}));
    assert_eq!(json["model"]["merges"], json!([["a", "b"], ["c", "a"]]));
    assert_eq!(json["added_tokens"][0]["id"], 4);
    assert_eq!(json["added_tokens"][0]["content"], "[X]");
    let names: Vec<&str> = inputs[0].companions.others.iter().map(|(n, _)| n.as_str()).collect();
    assert_eq!(names, ["generation_config.json"], "tokenizer.model would contradict the union");
}

#[test]
fn any_piece_of_a_remapped_tensor_is_the_same() {
    let mut inputs = three();
    align(&mut inputs, &Vocabulary::Union.policy(true), &Silent).unwrap();
    let whole = inputs[1].weights.read_all(&embedding()).unwrap();
    for start in 0..whole.len() {
        for len in 1..=whole.len() - start {
            let mut part = vec![0.0; len];
            inputs[1].weights.read(&embedding(), Span { start, len }, &mut part).unwrap();
            assert_eq!(part, whole[start..start + len], "{start} {len}");
        }
    }
}

#[test]
fn the_base_keeps_its_padding_and_mergekit_drops_it() {
    let inputs = || vec![model("base", &["a", "b"], 4, 0.0), model("x", &["b", "a"], 2, 100.0)];
    let (mut ours, mut theirs) = (inputs(), inputs());
    align(&mut ours, &Vocabulary::Base.policy(true), &Silent).unwrap();
    assert_eq!(rows(&ours[1]), [101.0, 100.0, 2.0, 3.0]);
    let tokens = Tokens { vocabulary: Some(0), base: true, ..Tokens::default() };
    let notes = Notes::default();
    align(&mut theirs, &Policy::Tokens(tokens), &notes).unwrap();
    assert_eq!((rows(&theirs[0]), rows(&theirs[1])), (vec![0.0, 1.0], vec![101.0, 100.0]));
    assert!(notes.0.lock().unwrap()[0].contains("2 of its own unused"));
}

#[test]
fn tokens_have_rules_of_their_own() {
    let rule = |from, force| Token { text: "[X]".into(), from, force };
    let policy = |token| {
        Policy::Tokens(Tokens { base: true, rules: vec![token], pad_to: Some(4), ..Tokens::default() })
    };
    let mut inputs = three();
    align(&mut inputs, &policy(rule(From::Token(2, "ca".into()), true)), &Silent).unwrap();
    // Six tokens are padded to eight rows with the mean of the six.
    assert_eq!(rows(&inputs[1])[3..6], [102.0, 202.0, 202.0]);
    let mean = (101.0 + 100.0 + 2.0 + 102.0 + 202.0 + 202.0) / 6.0;
    assert_eq!(rows(&inputs[1])[6..], [mean as f32, mean as f32]);
    let mut inputs = three();
    align(&mut inputs, &policy(rule(From::Zero, false)), &Silent).unwrap();
    assert_eq!((rows(&inputs[0])[4], rows(&inputs[1])[4]), (0.0, 103.0));
    let said = said(&align(&mut three(), &policy(rule(From::Model(0), false)), &Silent).unwrap_err());
    assert!(said.contains("[X]") && said.contains("does not have it"), "{said}");
}

#[test]
fn an_id_that_no_table_can_hold_is_refused() {
    let mut inputs = vec![model("base", &["a", "b"], 2, 0.0), model("fine", &["a", "b", "[X]"], 3, 100.0)];
    let text = String::from_utf8(inputs[1].companions.tokenizer.clone()).unwrap();
    inputs[1].companions.tokenizer = text.replace("\"id\":2", "\"id\":4294967295").into_bytes();
    let said = said(&align(&mut inputs, &Vocabulary::Union.policy(true), &Silent).unwrap_err());
    assert!(
        said.contains("fine/tokenizer.json") && said.contains("`[X]`") && said.contains("4294967295"),
        "{said}"
    );
}
