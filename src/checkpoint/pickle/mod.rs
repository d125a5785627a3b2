//! PyTorch's `.bin`: a zip archive that holds a pickle (what there is) and the elements (stored, not compressed).
//!
//! Nothing is executed. A pickle is a small program; the reader here knows only the few instructions and names that a
//! dictionary of tensors needs, and anything else is an error that names it.
//!
//! - `archive`: where in the file the members of the zip archive are
//! - `names`: what a pickle may use
//! - `machine`: what its instructions build
//! - this file: which of it are tensors, and where their elements lie

mod archive;
mod machine;
mod names;

use super::stored::{Found, Order};
use super::{CheckpointError, TensorInfo};
use crate::files::ReadAt;
use crate::ids::TensorName;
use archive::Archive;
use machine::{Storage, Tensor};
use names::ElementType;

/// Longest pickle that is read, in bytes. It lists tensors; their elements are elsewhere.
const MAX_PICKLE: u64 = 1 << 26;

/// What a `.bin` file holds. Every tensor's extent is checked against its storage, and each storage against the file.
pub(super) fn header(file: &ReadAt) -> Result<Vec<Found>, CheckpointError> {
    let damaged = |reason: String| CheckpointError::Damaged { path: file.path().to_owned(), reason };
    let archive = Archive::open(file)?;
    let (name, pickle) = archive
        .members()
        .find(|(name, _)| name.ends_with("/data.pkl") && name.matches('/').count() == 1)
        .ok_or_else(|| damaged("the archive has no data.pkl; it was not written by torch.save".into()))?;
    if pickle.size > MAX_PICKLE {
        return Err(damaged(format!("its data.pkl claims {} bytes", pickle.size)));
    }
    let prefix = name.trim_end_matches("data.pkl");
    let member = |path: &str| archive.member(&format!("{prefix}{path}"));
    if let Some(order) = member("byteorder").filter(|m| m.size <= 16) {
        let mut text = vec![0u8; order.size as usize];
        file.read_exact(&mut text, order.offset)?;
        if text != b"little" {
            return Err(damaged("its numbers are not in little-endian order".into()));
        }
    }
    let mut bytes = vec![0u8; pickle.size as usize];
    file.read_exact(&mut bytes, pickle.offset)?;
    let tensors = machine::tensors(&bytes, file.path())?;
    let mut found = Vec::new();
    for (name, tensor) in tensors {
        // Rotary frequencies are recomputed.
        if name.ends_with("rotary_emb.inv_freq") {
            continue;
        }
        let Tensor { storage: Storage { key, element }, offset, shape, stride } = tensor;
        let tensor = TensorName::from(name.as_str());
        let dtype = match element {
            ElementType::Weight(dtype) => dtype,
            ElementType::Other(got) => {
                return Err(CheckpointError::ElementType {
                    path: file.path().to_owned(),
                    tensor,
                    got: got.to_owned(),
                    want: "f32, f16 and bf16",
                });
            }
        };
        let outside = || damaged(format!("`{name}` lies outside its storage"));
        let elements = shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d)).ok_or_else(outside)?;
        let Some(order) = (if elements == 0 { Some(Order::RowMajor) } else { order(&shape, &stride) }) else {
            return Err(CheckpointError::NotContiguous { path: file.path().to_owned(), tensor });
        };
        let storage = member(&format!("data/{key}"))
            .ok_or_else(|| damaged(format!("`{name}` is in `data/{key}`, which the archive lacks")))?;
        let bytes = |n: usize| (n as u64).checked_mul(dtype.size() as u64);
        let start = bytes(offset).ok_or_else(outside)?;
        let extent = if elements == 0 { Some(0) } else { extent(&shape, &stride) };
        let end = extent.and_then(bytes).and_then(|n| n.checked_add(start)).ok_or_else(outside)?;
        if end > storage.size {
            return Err(outside());
        }
        let info = TensorInfo { shape, dtype };
        found.push(Found { name: tensor, info, offset: storage.offset + start, order });
    }
    Ok(found)
}

/// In which order the elements of a view lie, where that is one that can be read: without gaps, or a matrix with contiguous
/// rows or columns that do not overlap. The stride of an axis of length 1 does not matter.
fn order(shape: &[usize], stride: &[usize]) -> Option<Order> {
    let mut step = 1usize;
    let contiguous = shape.iter().zip(stride).rev().all(|(&length, &stride)| {
        let fits = length == 1 || stride == step;
        step = step.saturating_mul(length);
        fits
    });
    match (shape, stride) {
        _ if contiguous => Some(Order::RowMajor),
        (&[_, columns], &[step, 1]) if step >= columns => Some(Order::Rows { step }),
        (&[rows, _], &[1, step]) if step >= rows => Some(Order::Columns { step }),
        _ => None,
    }
}

/// Elements of the storage from the first to the last element of a view that has any.
fn extent(shape: &[usize], stride: &[usize]) -> Option<usize> {
    shape.iter().zip(stride).try_fold(1usize, |end, (&length, &stride)| match length {
        1 => Some(end),
        _ => end.checked_add((length - 1).checked_mul(stride)?),
    })
}
