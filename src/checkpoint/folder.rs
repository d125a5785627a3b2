//! A Hugging Face folder: `config.json`, `tokenizer.json` and weights (safetensors, or else PyTorch's `.bin`), in one
//! file or in shards with an index.
//!
//! Everything about the tensors is checked when the folder is opened, from headers alone: a truncated shard or an index
//! that names an absent one is an error before any work.

use super::stored::{Found, Stored};
use super::{CheckpointError, Elements, Manifest, ModelConfig, Span, TensorSource, pickle, safetensors};
use crate::digest::{Canonical, Digest};
use crate::files::{self, ReadAt};
use crate::ids::TensorName;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// What stands beside the weights and is needed to use them: the config and the tokenizer.
#[derive(Clone, Debug)]
pub struct Companions {
    /// `config.json`, checked.
    pub config: ModelConfig,
    /// `config.json` as it is, for writing it again.
    pub config_json: serde_json::Map<String, serde_json::Value>,
    /// The bytes of `tokenizer.json`.
    pub tokenizer: Vec<u8>,
    /// Other small files that travel with a model, as (name, bytes): generation config, tokenizer config, templates.
    pub others: Vec<(String, Vec<u8>)>,
}

/// Files that a model folder may have beside those that it must have.
pub(super) const OTHER_FILES: [&str; 8] = [
    "generation_config.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "tokenizer.model",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "chat_template.jinja",
];

/// Names that weights in one file have; shards have an index beside. The first that is there is read.
pub(super) const WEIGHTS: [&str; 2] = ["model.safetensors", "pytorch_model.bin"];

/// A Hugging Face folder, opened.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    companions: Companions,
    weights: Stored,
}

impl Folder {
    /// Opens a model folder and checks config, names, shapes and sizes. Reads headers only.
    pub fn open(path: &Path) -> Result<Self, CheckpointError> {
        Self::open_known(path, None)
    }

    /// The same, where digests of weights that were read before are kept in the folder `known`.
    pub(super) fn open_known(path: &Path, known: Option<&Path>) -> Result<Self, CheckpointError> {
        if !files::is_folder(path) {
            return Err(CheckpointError::NotAFolder { path: path.to_owned() });
        }
        let companions = Companions::read(path)?;
        let mut weights = open_weights(path)?;
        if companions.config.tied_head {
            // PyTorch saves a tied head under both of its names.
            weights.drop_alias(&"lm_head.weight".into(), &"model.embed_tokens.weight".into());
        }
        companions.config.check_file(weights.manifest(), path)?;
        if let Some(known) = known {
            weights.recall(known);
        }
        Ok(Self { path: path.to_owned(), companions, weights })
    }

    /// Whether a folder has weights in a form that can be opened here.
    pub(super) fn has_weights(folder: &Path) -> bool {
        let has = |name: &str| files::is_file(&folder.join(name));
        WEIGHTS.iter().any(|stem| has(stem) || has(&format!("{stem}.index.json")))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Config, tokenizer and the other small files.
    pub fn companions(&self) -> &Companions {
        &self.companions
    }
}

impl Companions {
    fn read(folder: &Path) -> Result<Self, CheckpointError> {
        let required = |file: &'static str, hint: &'static str| {
            let path = folder.join(file);
            if files::is_file(&path) {
                Ok(path)
            } else {
                Err(CheckpointError::MissingFile { folder: folder.to_owned(), file, hint })
            }
        };
        let config_path =
            required("config.json", "it says the shape of the model; copy it from the original")?;
        let text = files::read_text(&config_path)?;
        let config = ModelConfig::parse(&text, &config_path)?;
        let config_json = serde_json::from_str(&text)
            .map_err(|e| CheckpointError::BadJson { path: config_path, reason: e.to_string() })?;
        let tokenizer = files::read(&required(
            "tokenizer.json",
            "save the fast tokenizer beside the weights (transformers: `tokenizer.save_pretrained`)",
        )?)?;
        let mut others = Vec::new();
        for name in OTHER_FILES {
            let path = folder.join(name);
            if files::is_file(&path) {
                others.push((name.to_owned(), files::read(&path)?));
            }
        }
        Ok(Self { config, config_json, tokenizer, others })
    }

    /// What the companions are, by content.
    pub fn digest(&self) -> Digest {
        let mut form = Canonical::new("companions/1")
            .text("config", &serde_json::Value::Object(self.config_json.clone()).to_string())
            .bytes("tokenizer", &self.tokenizer);
        for (name, bytes) in &self.others {
            form = form.bytes(name, bytes);
        }
        form.finish()
    }
}

/// How weights are stored in a folder.
#[derive(Clone, Copy)]
enum Format {
    Safetensors,
    Pickle,
}

impl Format {
    /// What one file of this format holds.
    fn header(self, file: &ReadAt) -> Result<Vec<Found>, CheckpointError> {
        match self {
            Self::Safetensors => safetensors::header(file),
            Self::Pickle => pickle::header(file),
        }
    }
}

/// Opens the weights of a model folder: the first of these that is there.
fn open_weights(folder: &Path) -> Result<Stored, CheckpointError> {
    for (stem, format) in WEIGHTS.into_iter().zip([Format::Safetensors, Format::Pickle]) {
        let (index, single) = (folder.join(format!("{stem}.index.json")), folder.join(stem));
        if files::is_file(&index) {
            return open_shards(folder, &index, format);
        }
        if files::is_file(&single) {
            let file = ReadAt::open(&single)?;
            let found = format.header(&file)?;
            return Ok(Stored::new(vec![(file, found)]));
        }
    }
    Err(CheckpointError::MissingFile {
        folder: folder.to_owned(),
        file: "model.safetensors",
        hint: "weights are read from model.safetensors, from shards named by model.safetensors.index.json, or from \
               pytorch_model.bin or its shards",
    })
}

fn open_shards(folder: &Path, index_path: &Path, format: Format) -> Result<Stored, CheckpointError> {
    let index = Index::parse(&files::read_text(index_path)?, index_path)?;
    let mut names: Vec<&String> = index.weight_map.values().collect();
    names.sort();
    names.dedup();
    let mut shards = Vec::new();
    let mut held = BTreeSet::new();
    for name in names {
        let file = ReadAt::open(&folder.join(name))?;
        let mut found = format.header(&file)?;
        found.retain(|f| index.weight_map.get(&f.name) == Some(name));
        held.extend(found.iter().map(|f| f.name.clone()));
        shards.push((file, found));
    }
    // Rotary frequencies are recomputed, so that they are not looked for.
    let absent = |t: &TensorName| !held.contains(t) && !t.as_str().ends_with("rotary_emb.inv_freq");
    if let Some((tensor, shard)) = index.weight_map.iter().find(|(t, _)| absent(t)) {
        return Err(CheckpointError::IndexDisagrees {
            folder: folder.to_owned(),
            tensor: tensor.clone(),
            shard: shard.clone(),
        });
    }
    Ok(Stored::new(shards))
}

/// Which shard holds which tensor: `*.index.json` as `transformers` writes it.
#[derive(Deserialize)]
pub(super) struct Index {
    pub(super) weight_map: BTreeMap<TensorName, String>,
}

impl Index {
    /// Parses an index; a shard must be a file beside it.
    pub(super) fn parse(text: &str, path: &Path) -> Result<Self, CheckpointError> {
        let wrong = |reason| CheckpointError::BadJson { path: path.to_owned(), reason };
        let index: Self = serde_json::from_str(text).map_err(|e| wrong(e.to_string()))?;
        match index
            .weight_map
            .values()
            .find(|n| n.contains(['/', '\\']) || matches!(n.as_str(), "" | "." | ".."))
        {
            Some(name) => Err(wrong(format!("the shard name `{name}` leaves the folder"))),
            None => Ok(index),
        }
    }
}

impl TensorSource for Folder {
    fn manifest(&self) -> &Manifest {
        self.weights.manifest()
    }

    fn read(&self, name: &TensorName, span: Span, out: &mut [f32]) -> Result<(), CheckpointError> {
        self.weights.read(name, span, out)
    }

    fn fetch(&self, name: &TensorName, span: Span, out: &mut Elements) -> Result<(), CheckpointError> {
        self.weights.fetch(name, span, out)
    }

    fn digest(&self) -> Result<Digest, CheckpointError> {
        self.weights.digest()
    }
}
