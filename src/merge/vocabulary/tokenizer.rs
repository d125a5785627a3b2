//! The tokens of a `tokenizer.json`, and the union of several.

use crate::merge::MergeError;
use crate::merge::plan::Opened;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// A `tokenizer.json` as far as a merge needs it.
pub(super) struct Tokenizer {
    json: Value,
    /// Every token, added ones too, with its id.
    pub(super) ids: BTreeMap<String, u32>,
}

/// Largest id of a token: far above any vocabulary, and small enough for a table of all rows.
const MAX_ID: u32 = (1 << 24) - 1;

fn bad(path: &Path, reason: &str) -> MergeError {
    MergeError::BadTokenizer { path: path.join("tokenizer.json"), reason: reason.to_owned() }
}

impl Tokenizer {
    pub(super) fn read(input: &Opened) -> Result<Self, MergeError> {
        let json: Value = serde_json::from_slice(&input.companions.tokenizer)
            .map_err(|e| bad(&input.path, &e.to_string()))?;
        let mut ids = BTreeMap::new();
        let mut put = |text: Option<&str>, id: Option<u64>| {
            let id = id.and_then(|id| u32::try_from(id).ok());
            match (text, id) {
                (Some(text), Some(id)) if id > MAX_ID => {
                    Err(bad(&input.path, &format!("its token `{text}` has the id {id}, above {MAX_ID}")))
                }
                (Some(text), Some(id)) => {
                    ids.insert(text.to_owned(), id);
                    Ok(())
                }
                _ => Err(bad(&input.path, "a token has no text or no id")),
            }
        };
        match &json["model"]["vocab"] {
            Value::Object(vocab) => {
                vocab.iter().try_for_each(|(text, id)| put(Some(text), id.as_u64()))?;
            }
            // Unigram: [text, score] by id.
            Value::Array(pieces) => {
                pieces
                    .iter()
                    .enumerate()
                    .try_for_each(|(id, piece)| put(piece[0].as_str(), Some(id as u64)))?;
            }
            _ => return Err(bad(&input.path, "it has no `model.vocab`")),
        }
        for token in json["added_tokens"].as_array().into_iter().flatten() {
            put(token["content"].as_str(), token["id"].as_u64())?;
        }
        Ok(Self { json, ids })
    }

    /// Tokens in the order of their ids.
    fn in_order(&self) -> Vec<(&String, u32)> {
        let mut all: Vec<_> = self.ids.iter().map(|(text, id)| (text, *id)).collect();
        all.sort_by_key(|(_, id)| *id);
        all
    }
}

/// All tokens of all tokenizers: those of the first under their ids, the others behind them in their order.
pub(super) fn union_ids(tokenizers: &[Tokenizer]) -> BTreeMap<String, u32> {
    let Some((first, others)) = tokenizers.split_first() else { return BTreeMap::new() };
    let mut ids = first.ids.clone();
    let mut next = ids.values().max().map_or(0, |id| id + 1);
    for (text, _) in others.iter().flat_map(Tokenizer::in_order) {
        if !ids.contains_key(text) {
            ids.insert(text.clone(), next);
            next += 1;
        }
    }
    ids
}

/// A `tokenizer.json` with all tokens: the first one with the others' pieces, merges and added tokens. New merges come
/// after all of the first tokenizer's.
pub(super) fn union_json(inputs: &[Opened], tokenizers: &[Tokenizer]) -> Result<Vec<u8>, MergeError> {
    let ids = union_ids(tokenizers);
    let mut union = tokenizers[0].json.clone();
    let kind = tokenizers[0].json["model"]["type"].clone();
    let known: BTreeSet<&str> = tokenizers[0].ids.keys().map(String::as_str).collect();
    let mut merges: Vec<Value> = union["model"]["merges"].as_array().cloned().unwrap_or_default();
    let pairs = merges.first().is_none_or(Value::is_array);
    let mut seen: BTreeSet<(String, String)> = merges.iter().filter_map(pair).collect();
    let mut added: Vec<Value> = union["added_tokens"].as_array().cloned().unwrap_or_default();
    let mut is_added: BTreeSet<String> =
        added.iter().filter_map(|t| t["content"].as_str().map(str::to_owned)).collect();
    for (input, tokenizer) in inputs.iter().zip(tokenizers).skip(1) {
        if tokenizer.json["model"]["type"] != kind {
            let reason =
                format!("its model is {}, that of the first is {kind}", tokenizer.json["model"]["type"]);
            return Err(bad(&input.path, &reason));
        }
        for token in tokenizer.json["added_tokens"].as_array().into_iter().flatten() {
            let Some(text) = token["content"].as_str() else { continue };
            if !known.contains(text) && is_added.insert(text.to_owned()) {
                let mut token = token.clone();
                token["id"] = json!(ids[text]);
                added.push(token);
            }
        }
        match &tokenizer.json["model"]["vocab"] {
            Value::Object(vocab) => {
                for text in vocab.keys().filter(|text| !known.contains(text.as_str())) {
                    union["model"]["vocab"][text.as_str()] = json!(ids[text]);
                }
            }
            Value::Array(pieces) => {
                let new = pieces.iter().filter_map(|p| p[0].as_str()).find(|text| !known.contains(text));
                if let Some(text) = new {
                    let reason = format!(
                        "its piece `{text}` cannot join another Unigram vocabulary, which has ids by place; \
                         choose the vocabulary of one model"
                    );
                    return Err(bad(&input.path, &reason));
                }
            }
            _ => {}
        }
        for merge in tokenizer.json["model"]["merges"].as_array().into_iter().flatten().filter_map(pair) {
            if seen.insert(merge.clone()) {
                let (left, right) = merge;
                merges.push(if pairs { json!([left, right]) } else { json!(format!("{left} {right}")) });
            }
        }
    }
    if !merges.is_empty() {
        union["model"]["merges"] = Value::Array(merges);
    }
    // The tokenizers library numbers added tokens itself, behind the pieces, unless they are pieces too.
    if union["model"]["vocab"].is_object() {
        for text in added.iter().filter_map(|t| t["content"].as_str()) {
            union["model"]["vocab"][text] = json!(ids[text]);
        }
    }
    union["added_tokens"] = Value::Array(added);
    Ok(format!("{union:#}\n").into_bytes())
}

/// A merge in either of its two spellings: `["a", "b"]` and `"a b"`.
fn pair(merge: &Value) -> Option<(String, String)> {
    match merge {
        Value::String(text) => text.split_once(' ').map(|(a, b)| (a.to_owned(), b.to_owned())),
        Value::Array(parts) => {
            Some((parts.first()?.as_str()?.to_owned(), parts.get(1)?.as_str()?.to_owned()))
        }
        _ => None,
    }
}
