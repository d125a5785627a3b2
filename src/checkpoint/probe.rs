//! The readers of headers alone, for fuzzing and for tests of what they refuse. No stable interface.

use super::folder::Index;
use super::{CheckpointError, lora, pickle, safetensors};
use crate::files::ReadAt;
use std::path::Path;

/// The header of a safetensors file.
pub fn safetensors_header(path: &Path) -> Result<(), CheckpointError> {
    safetensors::header(&ReadAt::open(path)?).map(drop)
}

/// The text of an index; `path` is for messages.
pub fn safetensors_index(text: &str, path: &Path) -> Result<(), CheckpointError> {
    Index::parse(text, path).map(drop)
}

/// The text of an `adapter_config.json`; `path` is for messages.
pub fn adapter_config(text: &str, path: &Path) -> Result<(), CheckpointError> {
    lora::check_config(text, path)
}

/// The directory and the pickle of a `.bin`.
pub fn pickle(path: &Path) -> Result<(), CheckpointError> {
    pickle::header(&ReadAt::open(path)?).map(drop)
}
