//! BERT in-process: what fits in place of a word, and how alike two sentences are. The model is
//! `candle_transformers::models::bert` in f32 on the CPU; a text is asked alone, without padding.

use super::error::EngineError;
use crate::files;
use crate::masked::{EncodeSentence, MaskedError, MaskedLm};
use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::bert::{BertForMaskedLM, BertModel, Config};
use std::collections::HashMap;
use std::path::Path;
use tokenizers::Tokenizer;

const EMBEDDING: &str = "embeddings.word_embeddings.weight";

/// What both models are made of.
struct Parts {
    config: Config,
    tokenizer: Tokenizer,
    tensors: HashMap<String, Tensor>,
}

fn unusable(path: &Path, reason: &dyn ToString) -> EngineError {
    EngineError::Masked { path: path.to_owned(), reason: reason.to_string() }
}

impl Parts {
    /// `config.json`, `tokenizer.json` and `model.safetensors` of a folder, checked against each other.
    fn read(folder: &Path) -> Result<Self, EngineError> {
        let text = |name: &str| files::read(&folder.join(name)).map_err(|e| unusable(folder, &e));
        let path = folder.join("config.json");
        let config: serde_json::Value =
            serde_json::from_slice(&text("config.json")?).map_err(|e| unusable(&path, &e))?;
        if config["model_type"] != "bert" {
            return Err(unusable(
                &path,
                &format!("`model_type` is {}, but must be \"bert\"", config["model_type"]),
            ));
        }
        let config: Config = serde_json::from_value(config).map_err(|e| unusable(&path, &e))?;
        let path = folder.join("tokenizer.json");
        let mut tokenizer =
            Tokenizer::from_bytes(text("tokenizer.json")?).map_err(|e| unusable(&path, &e))?;
        tokenizer.with_truncation(None).map_err(|e| unusable(&path, &e))?;
        tokenizer.with_padding(None);
        let largest = tokenizer.get_vocab(true).into_iter().max_by_key(|&(_, id)| id);
        if let Some((token, id)) = largest.filter(|&(_, id)| id as usize >= config.vocab_size) {
            let reason = format!(
                "it gives `{token}` the id {id}, but config.json has a vocabulary of {}: it belongs to another model",
                config.vocab_size
            );
            return Err(unusable(&path, &reason));
        }
        let path = folder.join("model.safetensors");
        let tensors = candle_core::safetensors::load_buffer(&text("model.safetensors")?, &Device::Cpu)
            .map_err(|e| unusable(&path, &e))?;
        let rows = tensors.iter().find(|(name, _)| name.ends_with(EMBEDDING)).map(|(_, t)| t.dims().to_vec());
        if rows.as_deref() != Some(&[config.vocab_size, config.hidden_size]) {
            let reason = format!(
                "its word embedding is {rows:?}, but config.json says [{}, {}]: it has another vocabulary",
                config.vocab_size, config.hidden_size
            );
            return Err(unusable(&path, &reason));
        }
        Ok(Self { config, tokenizer, tensors })
    }

    fn weights(&self) -> VarBuilder<'static> {
        VarBuilder::from_tensors(self.tensors.clone(), DType::F32, &Device::Cpu)
    }
}

/// The tokens of a text between `[CLS]` and `[SEP]`, at most `most`: what is too long loses its end, as in transformers.
fn tokens(tokenizer: &Tokenizer, text: &str, most: usize) -> Result<Vec<u32>, MaskedError> {
    let mut ids = tokenizer.encode_fast(text, true)?.get_ids().to_vec();
    if let Some(&last) = ids.last().filter(|_| ids.len() > most) {
        ids.truncate(most.saturating_sub(1));
        ids.push(last);
    }
    Ok(ids)
}

/// Ids and token types `[1, tokens]`.
fn input(ids: &[u32]) -> Result<(Tensor, Tensor), candle_core::Error> {
    let ids = Tensor::new(ids, &Device::Cpu)?.unsqueeze(0)?;
    let types = ids.zeros_like()?;
    Ok((ids, types))
}

/// A BertForMaskedLM.
pub struct MaskedBert {
    tokenizer: Tokenizer,
    model: BertForMaskedLM,
    mask_id: u32,
    context: usize,
}

impl MaskedBert {
    const MASK: &'static str = "[MASK]";

    /// Loads a folder with `config.json`, `tokenizer.json` and `model.safetensors`.
    pub fn load(folder: &Path) -> Result<Self, EngineError> {
        let mut parts = Parts::read(folder)?;
        let mask_id = parts.tokenizer.token_to_id(Self::MASK).ok_or_else(|| {
            unusable(&folder.join("tokenizer.json"), &"it has no `[MASK]`: its vocabulary is not BERT's")
        })?;
        // The output head has the embedding's weights, and is stored without them.
        for (name, like) in [
            ("cls.predictions.decoder.weight", format!("bert.{EMBEDDING}")),
            ("cls.predictions.decoder.bias", "cls.predictions.bias".to_owned()),
        ] {
            if let (false, Some(tensor)) = (parts.tensors.contains_key(name), parts.tensors.get(&like)) {
                parts.tensors.insert(name.to_owned(), tensor.clone());
            }
        }
        let model = BertForMaskedLM::load(parts.weights(), &parts.config)
            .map_err(|e| unusable(&folder.join("model.safetensors"), &e))?;
        let context = parts.config.max_position_embeddings;
        Ok(Self { tokenizer: parts.tokenizer, model, mask_id, context })
    }
}

impl MaskedLm for MaskedBert {
    fn mask(&self) -> &'static str {
        Self::MASK
    }

    fn pieces(&self, word: &str) -> Result<usize, MaskedError> {
        Ok(self.tokenizer.encode_fast(word, false)?.len())
    }

    fn mask_position(&self, text: &str) -> Result<Option<usize>, MaskedError> {
        Ok(tokens(&self.tokenizer, text, self.context)?.iter().position(|id| *id == self.mask_id))
    }

    fn likeliest(&self, text: &str, count: usize) -> Result<Vec<Vec<String>>, MaskedError> {
        let (ids, types) = input(&tokens(&self.tokenizer, text, self.context)?)?;
        let logits: Vec<Vec<f32>> = self.model.forward(&ids, &types, None)?.squeeze(0)?.to_vec2()?;
        let best = |logits: Vec<f32>| {
            let mut ids: Vec<u32> = (0..logits.len() as u32).collect();
            ids.sort_by(|&a, &b| logits[b as usize].total_cmp(&logits[a as usize]));
            ids.iter().take(count).filter_map(|&id| self.tokenizer.id_to_token(id)).collect()
        };
        Ok(logits.into_iter().map(best).collect())
    }
}

/// A BERT whose sentence vector is the mean over its tokens, as sentence-transformers' models are.
pub struct SentenceBert {
    tokenizer: Tokenizer,
    model: BertModel,
    context: usize,
}

impl SentenceBert {
    /// Loads a folder with `config.json`, `tokenizer.json` and `model.safetensors`.
    pub fn load(folder: &Path) -> Result<Self, EngineError> {
        let parts = Parts::read(folder)?;
        let model = BertModel::load(parts.weights(), &parts.config)
            .map_err(|e| unusable(&folder.join("model.safetensors"), &e))?;
        Ok(Self { tokenizer: parts.tokenizer, model, context: parts.config.max_position_embeddings })
    }
}

impl EncodeSentence for SentenceBert {
    fn encode(&self, sentence: &str) -> Result<Vec<f32>, MaskedError> {
        let (ids, types) = input(&tokens(&self.tokenizer, sentence, self.context)?)?;
        Ok(self.model.forward(&ids, &types, None)?.mean(1)?.squeeze(0)?.to_vec1()?)
    }
}
