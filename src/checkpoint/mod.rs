//! **Where do weights come from and go to?**
//!
//! - `source`: the reading face that every set of tensors has ([`TensorSource`]), be it a folder or a merge that
//!   nobody has written yet
//! - `elements`: elements that keep their type until they are used
//! - `manifest`: names, shapes and element types, known before any weight is read
//! - `reference`: how a person names a model: a path or a hub's id, a revision, an adapter
//! - `opened`: a model of any kind, opened by its reference
//! - `hub`: the cache of a Hugging Face hub, and fetching into it
//! - `config`: what a Llama-style `config.json` says
//! - `folder`: a Hugging Face folder, weights in one file or in shards with an index
//! - `safetensors`, `pickle`: what such a file of weights holds, from its header
//! - `passing`: the hash of bytes that are read in pieces; `known`: digests that commands before this one have found
//! - `stored`: reading tensors that lie as plain elements in files
//! - `gguf`: a GGUF file as a complete model, quantised weights included
//! - `lora`: a base with a PEFT LoRA adapter
//! - `probe`: the readers of headers alone, for fuzzing
//! - `writer`: sharded safetensors with index, config and tokenizer, all or nothing
//! - `error`: what can be wrong with a checkpoint

mod config;
mod elements;
mod error;
mod folder;
mod gguf;
mod hub;
mod known;
mod lora;
mod manifest;
mod opened;
mod passing;
mod pickle;
#[doc(hidden)]
pub mod probe;
mod reference;
mod safetensors;
mod source;
mod stored;
mod writer;

pub use config::{Biases, ModelConfig, RopeScaling};
pub use elements::Elements;
pub use error::CheckpointError;
pub use folder::{Companions, Folder};
pub use gguf::Gguf;
pub use hub::data_file;
pub use lora::Lora;
pub use manifest::{Manifest, TensorInfo};
pub use opened::{Checkpoint, HubOptions, OpenOptions, model_folder};
pub use reference::{Location, ModelRef};
pub use source::{Span, TensorSource};
pub use writer::{Files, WriteOptions, write_checkpoint};
