//! The header of a safetensors file. Format: huggingface/safetensors, README ("Format").

use super::stored::{Found, Order};
use super::{CheckpointError, TensorInfo};
use crate::dtype::DType;
use crate::files::ReadAt;
use crate::ids::TensorName;
use ::safetensors::tensor::{Dtype as StoredType, Metadata};

/// Longest header that safetensors allows, in bytes (100 MB, its own limit).
const MAX_HEADER: u64 = 100_000_000;

/// What a safetensors file holds. Names, types, shapes and offsets are checked against each other and against the
/// file's size; data must begin where the header ends, without holes or overlaps.
pub(super) fn header(file: &ReadAt) -> Result<Vec<Found>, CheckpointError> {
    let damaged = |reason: String| CheckpointError::Damaged { path: file.path().to_owned(), reason };
    let mut length = [0u8; 8];
    if file.len() < 8 {
        return Err(damaged(format!("it has {} bytes", file.len())));
    }
    file.read_exact(&mut length, 0)?;
    let header_len = u64::from_le_bytes(length);
    if header_len > MAX_HEADER || header_len + 8 > file.len() {
        return Err(damaged(format!("its header claims {header_len} bytes, the file has {}", file.len())));
    }
    let mut bytes = vec![0u8; header_len as usize];
    file.read_exact(&mut bytes, 8)?;
    // `SafeTensors::read_metadata` wants the whole file; parsing its `Metadata` makes the same checks on the header.
    let metadata: Metadata = serde_json::from_slice(&bytes).map_err(|e| damaged(e.to_string()))?;
    let data_start = 8 + header_len;
    let mut found = Vec::new();
    let mut end = data_start;
    for (name, info) in metadata.tensors() {
        let beyond = || damaged(format!("`{name}` lies outside the file"));
        let last = u64::try_from(info.data_offsets.1).ok().and_then(|e| data_start.checked_add(e));
        end = end.max(last.ok_or_else(beyond)?);
        // Rotary frequencies are recomputed; other types are not weights of a Llama.
        if name.ends_with("rotary_emb.inv_freq") {
            continue;
        }
        let tensor = TensorName::from(name.as_str());
        let dtype = match info.dtype {
            StoredType::F32 => DType::F32,
            StoredType::F16 => DType::F16,
            StoredType::BF16 => DType::Bf16,
            other => {
                return Err(CheckpointError::ElementType {
                    path: file.path().to_owned(),
                    tensor,
                    got: format!("{other:?}"),
                    want: "f32, f16 and bf16",
                });
            }
        };
        let offset = data_start + info.data_offsets.0 as u64;
        let info = TensorInfo { shape: info.shape.clone(), dtype };
        found.push(Found { name: tensor, info, offset, order: Order::RowMajor });
    }
    if end != file.len() {
        return Err(damaged(format!("its header describes {end} bytes, the file has {}", file.len())));
    }
    Ok(found)
}
