//! A Hugging Face folder: `config.json`, `tokenizer.json` and safetensors, in one file or in shards with an index.
//!
//! Everything about the tensors is checked when the folder is opened, from headers alone: a truncated shard or an index
//! that names an absent one is an error before any work.

use super::{CheckpointError, Manifest, ModelConfig, Span, TensorInfo, TensorSource};
use crate::digest::{Canonical, Digest};
use crate::dtype::DType;
use crate::files::{self, ReadAt};
use crate::ids::TensorName;
use safetensors::tensor::{Dtype as StoredType, Metadata};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

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
const OTHER_FILES: [&str; 8] = [
    "generation_config.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "tokenizer.model",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "chat_template.jinja",
];

/// Bytes that are read at once while widening; bounds what a read allocates.
const CHUNK: usize = 1 << 20;

/// A Hugging Face folder, opened.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    companions: Companions,
    manifest: Manifest,
    shards: Vec<ReadAt>,
    places: BTreeMap<TensorName, Place>,
    digest: OnceLock<Digest>,
}

/// Where a tensor's bytes are.
#[derive(Debug, Clone, Copy)]
struct Place {
    shard: usize,
    offset: u64,
}

#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<TensorName, String>,
}

impl Folder {
    /// Opens a model folder and checks config, names, shapes and sizes. Reads headers only.
    pub fn open(path: &Path) -> Result<Self, CheckpointError> {
        if !files::is_folder(path) {
            return Err(CheckpointError::NotAFolder { path: path.to_owned() });
        }
        let companions = Companions::read(path)?;
        let (shards, found) = open_shards(path)?;
        let mut manifest = Vec::new();
        let mut places = BTreeMap::new();
        for (name, info, place) in found {
            places.insert(name.clone(), place);
            manifest.push((name, info));
        }
        let manifest: Manifest = manifest.into_iter().collect();
        companions.config.check(&manifest)?;
        Ok(Self { path: path.to_owned(), companions, manifest, shards, places, digest: OnceLock::new() })
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

type Found = Vec<(TensorName, TensorInfo, Place)>;

fn open_shards(folder: &Path) -> Result<(Vec<ReadAt>, Found), CheckpointError> {
    let single = folder.join("model.safetensors");
    let index_path = folder.join("model.safetensors.index.json");
    if files::is_file(&index_path) {
        let index: Index = serde_json::from_str(&files::read_text(&index_path)?)
            .map_err(|e| CheckpointError::BadJson { path: index_path.clone(), reason: e.to_string() })?;
        let mut names: Vec<&String> = index.weight_map.values().collect();
        names.sort();
        names.dedup();
        let mut shards = Vec::new();
        let mut found = Found::new();
        for (number, name) in names.iter().enumerate() {
            if name.contains(['/', '\\']) || name.as_str() == ".." {
                let reason = format!("the shard name `{name}` leaves the folder");
                return Err(CheckpointError::BadJson { path: index_path, reason });
            }
            let shard = ReadAt::open(&folder.join(name))?;
            let held = header(&shard, number)?;
            for (tensor, info, place) in held {
                if index.weight_map.get(&tensor) == Some(*name) {
                    found.push((tensor, info, place));
                }
            }
            shards.push(shard);
        }
        let held: std::collections::BTreeSet<&TensorName> = found.iter().map(|(n, ..)| n).collect();
        if let Some((tensor, shard)) = index.weight_map.iter().find(|(n, _)| !held.contains(n)) {
            return Err(CheckpointError::IndexDisagrees {
                folder: folder.to_owned(),
                tensor: tensor.clone(),
                shard: shard.clone(),
            });
        }
        Ok((shards, found))
    } else if files::is_file(&single) {
        let shard = ReadAt::open(&single)?;
        let found = header(&shard, 0)?;
        Ok((vec![shard], found))
    } else {
        Err(CheckpointError::MissingFile {
            folder: folder.to_owned(),
            file: "model.safetensors",
            hint: "weights are read from model.safetensors, or from shards named by model.safetensors.index.json",
        })
    }
}

/// Longest header that safetensors allows, in bytes (100 MB, its own limit).
const MAX_HEADER: u64 = 100_000_000;

fn header(shard: &ReadAt, number: usize) -> Result<Found, CheckpointError> {
    let damaged = |reason: String| CheckpointError::Damaged { path: shard.path().to_owned(), reason };
    let mut length = [0u8; 8];
    if shard.len() < 8 {
        return Err(damaged(format!("it has {} bytes", shard.len())));
    }
    shard.read_exact(&mut length, 0)?;
    let header_len = u64::from_le_bytes(length);
    if header_len > MAX_HEADER || header_len + 8 > shard.len() {
        return Err(damaged(format!("its header claims {header_len} bytes, the file has {}", shard.len())));
    }
    let mut bytes = vec![0u8; header_len as usize];
    shard.read_exact(&mut bytes, 8)?;
    // `SafeTensors::read_metadata` wants the whole file; parsing its `Metadata` makes the same checks on the header.
    let metadata: Metadata = serde_json::from_slice(&bytes).map_err(|e| damaged(e.to_string()))?;
    let data_start = 8 + header_len;
    let mut found = Found::new();
    let mut end = data_start;
    for (name, info) in metadata.tensors() {
        let tensor = TensorName::from(name.as_str());
        let dtype = match info.dtype {
            StoredType::F32 => DType::F32,
            StoredType::F16 => DType::F16,
            StoredType::BF16 => DType::Bf16,
            // Rotary frequencies and the like are recomputed; other types are not weights of a Llama.
            _ if name.ends_with("rotary_emb.inv_freq") => continue,
            other => {
                return Err(CheckpointError::ElementType {
                    path: shard.path().to_owned(),
                    tensor,
                    got: format!("{other:?}"),
                });
            }
        };
        end = end.max(data_start + info.data_offsets.1 as u64);
        if name.ends_with("rotary_emb.inv_freq") {
            continue;
        }
        let place = Place { shard: number, offset: data_start + info.data_offsets.0 as u64 };
        found.push((tensor, TensorInfo { shape: info.shape.clone(), dtype }, place));
    }
    if end != shard.len() {
        return Err(damaged(format!("its header describes {end} bytes, the file has {}", shard.len())));
    }
    Ok(found)
}

impl TensorSource for Folder {
    fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    fn read(&self, name: &TensorName, span: Span, out: &mut [f32]) -> Result<(), CheckpointError> {
        let missing = || CheckpointError::NoTensor { tensor: name.clone() };
        let place = self.places.get(name).ok_or_else(missing)?;
        let info = self.manifest.get(name).ok_or_else(missing)?;
        assert!(span.start + span.len <= info.elements() && out.len() == span.len, "span outside the tensor");
        let size = info.dtype.size();
        let shard = &self.shards[place.shard];
        let mut buffer = vec![0u8; CHUNK.min(span.len * size)];
        for (i, part) in out.chunks_mut(CHUNK / size).enumerate() {
            let offset = place.offset + ((span.start + i * (CHUNK / size)) * size) as u64;
            let bytes = &mut buffer[..part.len() * size];
            shard.read_exact(bytes, offset)?;
            info.dtype.widen(bytes, part);
        }
        Ok(())
    }

    /// Digest of every tensor's name, type, shape and bytes; the split into shards does not matter.
    fn digest(&self) -> Result<Digest, CheckpointError> {
        if let Some(known) = self.digest.get() {
            return Ok(*known);
        }
        let mut form = Canonical::new("weights/1");
        let mut buffer = vec![0u8; 8 * CHUNK];
        for (name, info) in self.manifest.iter() {
            let place = &self.places[name];
            let mut hasher = blake3::Hasher::new();
            let mut done = 0;
            while done < info.bytes() {
                let part = (info.bytes() - done).min(buffer.len());
                self.shards[place.shard].read_exact(&mut buffer[..part], place.offset + done as u64)?;
                hasher.update_rayon(&buffer[..part]);
                done += part;
            }
            form = form
                .text("tensor", name.as_str())
                .text("dtype", &info.dtype.to_string())
                .text("shape", &format!("{:?}", info.shape))
                .bytes("data", hasher.finalize().as_bytes());
        }
        Ok(*self.digest.get_or_init(|| form.finish()))
    }
}
