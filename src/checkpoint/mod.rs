//! **Where do weights come from and go to?**
//!
//! - `source`: the reading face that every set of tensors has ([`TensorSource`]), be it a folder or a merge that
//!   nobody has written yet
//! - `manifest`: names, shapes and element types, known before any weight is read
//! - `config`: what a Llama-style `config.json` says
//! - `folder`: a Hugging Face folder, one safetensors file or shards with an index
//! - `writer`: sharded safetensors with index, config and tokenizer, all or nothing
//! - `error`: what can be wrong with a checkpoint

mod config;
mod error;
mod folder;
mod manifest;
mod source;
mod writer;

pub use config::{ModelConfig, RopeScaling};
pub use error::CheckpointError;
pub use folder::{Companions, Folder};
pub use manifest::{Manifest, TensorInfo};
pub use source::{Span, TensorSource};
pub use writer::{WriteOptions, write_checkpoint};
