//! Recipes up to where models would be read, for fuzzing and for tests of what is refused. No stable interface.

use super::mergekit::Mergekit;
use super::plan::{OTHER_MODELS, Opened};
use super::{Inputs, MergeError, Plan, Recipe};
use crate::checkpoint::{
    CheckpointError, Companions, Manifest, ModelConfig, ModelRef, Span, TensorInfo, TensorSource,
};
use crate::digest::Digest;
use crate::dtype::DType;
use crate::event::Silent;
use crate::ids::TensorName;
use std::path::Path;
use std::sync::Arc;

/// A TOML recipe: parsed, its proportions drawn, its choices checked against each other. It has no inputs here, so that the
/// last error, that these are not the recipe's, counts as accepted.
pub fn recipe(text: &str, path: &Path) -> Result<(), MergeError> {
    let recipe: Recipe = toml::from_str(text)
        .map_err(|e| MergeError::BadRecipe { path: path.to_owned(), reason: e.to_string() })?;
    recipe.coefficients()?;
    match Plan::new(&recipe, &Inputs { base: None, models: Vec::new() }, &Silent) {
        Ok(_) | Err(MergeError::Contradiction { what: OTHER_MODELS }) => Ok(()),
        Err(other) => Err(other),
    }
}

/// A mergekit configuration: parsed, its models' names understood, and planned down to the rule of each tensor. Every model
/// that it names has two layers, zeros for weights, and a vocabulary of its own where its name begins with `other`.
pub fn mergekit(text: &str, path: &Path) -> Result<(), MergeError> {
    let recipe = Mergekit::parse(text, path)?;
    recipe.plan_with(0, &Silent, |name| {
        ModelRef::parse_in(name, Path::new("/nonexistent"))?;
        zeros(name)
    })?;
    Ok(())
}

const CONFIG: &str = r#"{"model_type":"llama","hidden_size":4,"intermediate_size":2,"vocab_size":4,
    "num_hidden_layers":2,"num_attention_heads":2}"#;

fn zeros(name: &str) -> Result<Opened, CheckpointError> {
    let config = ModelConfig::parse(CONFIG, Path::new("config.json"))?;
    let config_json = serde_json::from_str(CONFIG)
        .map_err(|e| CheckpointError::BadJson { path: "config.json".into(), reason: e.to_string() })?;
    let last = if name.starts_with("other") { "x" } else { "d" };
    let tokenizer = format!(
        r#"{{"model":{{"type":"BPE","vocab":{{"a":0,"b":1,"c":2}},"merges":[]}},"added_tokens":[{{"id":3,"content":"{last}"}}]}}"#
    );
    let info = |shape| TensorInfo { shape, dtype: DType::Bf16 };
    let manifest = config.tensors().into_iter().map(|(name, shape)| (name, info(shape))).collect();
    Ok(Opened {
        path: name.into(),
        companions: Companions { config, config_json, tokenizer: tokenizer.into_bytes(), others: Vec::new() },
        weights: Arc::new(Zeros(manifest)),
    })
}

/// A model of zeros.
struct Zeros(Manifest);

impl TensorSource for Zeros {
    fn manifest(&self) -> &Manifest {
        &self.0
    }

    fn read(&self, _: &TensorName, _: Span, out: &mut [f32]) -> Result<(), CheckpointError> {
        out.fill(0.0);
        Ok(())
    }

    fn digest(&self) -> Result<Digest, CheckpointError> {
        Ok(Digest::of_bytes(b"zeros"))
    }
}
