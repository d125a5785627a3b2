//! The metadata as a `tokenizer.json` (huggingface/tokenizers).
//!
//! Two kinds occur in Llama-style files: `gpt2`, byte-level BPE with merges, and `llama`, SentencePiece's BPE with scores.

use super::super::CheckpointError;
use super::header::Header;
use serde_json::{Map, Value, json};
use std::collections::HashMap;

/// Kinds of tokens (`tokenizer.ggml.token_type`).
const UNKNOWN: i64 = 2;
const CONTROL: i64 = 3;
const USER_DEFINED: i64 = 4;

/// Longest token that is made by merges, in bytes. SentencePiece's own limit is 16 characters unless it is told
/// otherwise; the work of cutting grows with the square.
const MAX_PIECE: usize = 512;

/// The pattern by which Llama 3 cuts text into words (its `tokenizer.json`).
const LLAMA3_WORDS: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// Qwen 2's: the same, with digits one by one.
const QWEN2_WORDS: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// The tokenizer in Hugging Face's form.
pub(super) fn json(header: &Header) -> Result<Value, CheckpointError> {
    let tokens = header.texts("tokenizer.ggml.tokens")?;
    let kinds: Vec<i64> = match header.get("tokenizer.ggml.token_type") {
        Some(_) => header.numbers("tokenizer.ggml.token_type")?.iter().map(|&k| k as i64).collect(),
        None => Vec::new(),
    };
    match header.text("tokenizer.ggml.model")? {
        "gpt2" => byte_level(header, tokens, &kinds),
        "llama" => sentence_piece(header, tokens, &kinds),
        other => Err(CheckpointError::Unsupported {
            path: header.path().to_owned(),
            field: "tokenizer.ggml.model",
            got: other.to_owned(),
            want: "`gpt2` (byte-level BPE) and `llama` (SentencePiece) can be read",
        }),
    }
}

fn byte_level(header: &Header, tokens: &[String], kinds: &[i64]) -> Result<Value, CheckpointError> {
    let level = |regex: bool| json!({ "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": regex });
    let split = |pattern: &str| {
        json!({ "type": "Sequence", "pretokenizers": [
            { "type": "Split", "pattern": { "Regex": pattern }, "behavior": "Isolated", "invert": false },
            level(false),
        ]})
    };
    let pre = header.text("tokenizer.ggml.pre").unwrap_or("default");
    // Whether a word that is a token is taken whole, and whether a text begins with the beginning token.
    let (words, whole_words, begins) = match pre {
        "default" | "gpt-2" => (level(true), false, false),
        "smollm" => {
            let digits = json!({ "type": "Digits", "individual_digits": true });
            (json!({ "type": "Sequence", "pretokenizers": [digits, level(true)] }), false, false)
        }
        "llama-bpe" | "llama3" | "llama-v3" => (split(LLAMA3_WORDS), true, true),
        "qwen2" => (split(QWEN2_WORDS), false, false),
        other => {
            return Err(CheckpointError::Unsupported {
                path: header.path().to_owned(),
                field: "tokenizer.ggml.pre",
                got: other.to_owned(),
                want: "`default`, `gpt-2`, `smollm`, `llama-bpe` and `qwen2` can be read",
            });
        }
    };
    let merges: Vec<Value> = header
        .texts("tokenizer.ggml.merges")?
        .iter()
        .map(|merge| match merge.split_once(' ') {
            Some((left, right)) => Ok(json!([left, right])),
            None => Err(CheckpointError::Damaged {
                path: header.path().to_owned(),
                reason: format!("its merge {merge:?} is no pair"),
            }),
        })
        .collect::<Result<_, _>>()?;
    let mut model = model(tokens, &merges);
    if whole_words {
        model["ignore_merges"] = true.into();
    }
    Ok(json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": added(tokens, kinds),
        "normalizer": null,
        "pre_tokenizer": words,
        "post_processor": beginning(header, tokens, begins),
        "decoder": { "type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true },
        "model": model,
    }))
}

/// SentencePiece's BPE joins the neighbours whose union has the highest score. As a list of merges: every way to cut a
/// token into two, in the order of the token's score.
fn sentence_piece(header: &Header, tokens: &[String], kinds: &[i64]) -> Result<Value, CheckpointError> {
    let scores = header.numbers("tokenizer.ggml.scores")?;
    if scores.len() != tokens.len() {
        return Err(CheckpointError::Damaged {
            path: header.path().to_owned(),
            reason: format!("it has {} tokens and {} scores", tokens.len(), scores.len()),
        });
    }
    let ids: HashMap<&str, usize> = tokens.iter().enumerate().map(|(id, t)| (t.as_str(), id)).collect();
    let mut merges = Vec::new();
    for (token, score) in tokens.iter().zip(scores).filter(|(token, _)| token.len() <= MAX_PIECE) {
        let mut cuts: Vec<_> = token
            .char_indices()
            .skip(1)
            .map(|(at, _)| token.split_at(at))
            .filter_map(|(left, right)| Some((*ids.get(left)?, *ids.get(right)?, left, right)))
            .collect();
        cuts.sort_by_key(|&(left, right, ..)| (left, right));
        merges.extend(cuts.into_iter().map(|(.., left, right)| (*score, left, right)));
    }
    merges.sort_by(|a, b| b.0.total_cmp(&a.0));
    let merges: Vec<Value> = merges.into_iter().map(|(_, left, right)| json!([left, right])).collect();
    let mut model = model(tokens, &merges);
    let unknown = kinds.iter().position(|&k| k == UNKNOWN).and_then(|id| tokens.get(id));
    model["unk_token"] = unknown.map_or(Value::Null, |t| t.as_str().into());
    model["fuse_unk"] = true.into();
    model["byte_fallback"] = true.into();
    let space = json!({ "type": "Replace", "pattern": { "String": " " }, "content": "▁" });
    let mut normalizers = vec![space];
    let mut decoders = vec![
        json!({ "type": "Replace", "pattern": { "String": "▁" }, "content": " " }),
        json!({ "type": "ByteFallback" }),
        json!({ "type": "Fuse" }),
    ];
    if header.flag("tokenizer.ggml.add_space_prefix").unwrap_or(true) {
        normalizers.insert(0, json!({ "type": "Prepend", "prepend": "▁" }));
        decoders.push(json!({ "type": "Strip", "content": " ", "start": 1, "stop": 0 }));
    }
    Ok(json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": added(tokens, kinds),
        "normalizer": { "type": "Sequence", "normalizers": normalizers },
        "pre_tokenizer": null,
        "post_processor": beginning(header, tokens, true),
        "decoder": { "type": "Sequence", "decoders": decoders },
        "model": model,
    }))
}

fn model(tokens: &[String], merges: &[Value]) -> Value {
    let vocabulary: Map<String, Value> =
        tokens.iter().enumerate().map(|(id, token)| (token.clone(), id.into())).collect();
    json!({
        "type": "BPE",
        "dropout": null,
        "unk_token": null,
        "continuing_subword_prefix": null,
        "end_of_word_suffix": null,
        "fuse_unk": false,
        "byte_fallback": false,
        "vocab": vocabulary,
        "merges": merges,
    })
}

/// Tokens that are recognised before anything else; the special ones are left out of decoded text.
fn added(tokens: &[String], kinds: &[i64]) -> Vec<Value> {
    tokens
        .iter()
        .zip(kinds)
        .enumerate()
        .filter(|(_, (_, kind))| matches!(**kind, UNKNOWN | CONTROL | USER_DEFINED))
        .map(|(id, (content, kind))| {
            json!({
                "id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false,
                "normalized": false, "special": *kind != USER_DEFINED,
            })
        })
        .collect()
}

/// Puts the beginning token before a text, where the file says so or its kind of tokenizer does.
fn beginning(header: &Header, tokens: &[String], default: bool) -> Value {
    let id = header.count("tokenizer.ggml.bos_token_id");
    let token = id.and_then(|id| tokens.get(id));
    match (header.flag("tokenizer.ggml.add_bos_token").unwrap_or(default), id, token) {
        (true, Some(id), Some(token)) => {
            let special = json!({ "SpecialToken": { "id": token, "type_id": 0 } });
            let sequence = |id: &str, kind: u32| json!({ "Sequence": { "id": id, "type_id": kind } });
            let mut tokens = Map::new();
            tokens.insert(token.clone(), json!({ "id": token, "ids": [id], "tokens": [token] }));
            json!({
                "type": "TemplateProcessing",
                "single": [special, sequence("A", 0)],
                "pair": [special, sequence("A", 0), sequence("B", 1)],
                "special_tokens": tokens,
            })
        }
        _ => Value::Null,
    }
}
