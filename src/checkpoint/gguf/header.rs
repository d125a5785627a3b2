//! The header of a GGUF file: metadata and the list of tensors. Format: ggml-org/ggml, `docs/gguf.md`, versions 2 and 3.
//!
//! Lengths are checked against the file, and against bounds, before anything is allocated for them.

use super::super::CheckpointError;
use super::blocks::Encoding;
use crate::files::ReadAt;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Longest header that is read, in bytes; a vocabulary of 256 Ki tokens with its merges needs some 15 MB.
const MAX_HEADER: u64 = 1 << 28;
/// Most elements in all arrays together.
const MAX_ARRAYS: u64 = 1 << 24;
/// Most tensors.
const MAX_TENSORS: u64 = 1 << 20;
/// Arrays in arrays, at most so deep.
const MAX_DEPTH: usize = 4;
/// Where a file does not say how its tensors are aligned, in bytes.
const ALIGNMENT: u64 = 32;

/// A value of the metadata.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Int(i64),
    /// With the shortest decimal that means the same f32, for those that are stored so.
    Float(f64),
    Bool(bool),
    Text(String),
    Texts(Vec<String>),
    Numbers(Vec<f64>),
    /// Something that no key of a model has.
    Other,
}

/// A tensor as it is stored.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// llama.cpp's name.
    pub(super) name: String,
    /// Axes, outermost first (the file has them innermost first).
    pub(super) shape: Vec<usize>,
    /// `ggml_type`.
    pub(super) kind: u32,
    /// From the start of the data, in bytes.
    offset: u64,
}

/// Everything before the data.
pub(super) struct Header {
    path: PathBuf,
    metadata: BTreeMap<String, Value>,
    pub(super) tensors: Vec<Entry>,
    data: u64,
}

impl Header {
    pub(super) fn read(file: &ReadAt) -> Result<Self, CheckpointError> {
        let damaged = |reason: String| CheckpointError::Damaged { path: file.path().to_owned(), reason };
        let mut cursor =
            Cursor { file, at: 0, end: file.len().min(MAX_HEADER), buffer: Vec::new(), used: 0, arrays: 0 };
        if cursor.array::<4>().ok() != Some(*b"GGUF") {
            return Err(damaged("it is no GGUF file".into()));
        }
        let version = cursor.u32()?;
        if !matches!(version, 2 | 3) {
            return Err(damaged(format!("it has GGUF version {version}; 2 and 3 can be read")));
        }
        let (tensor_count, entries) = (cursor.u64()?, cursor.u64()?);
        if tensor_count > MAX_TENSORS || entries > MAX_TENSORS {
            return Err(damaged(format!("it claims {tensor_count} tensors and {entries} metadata entries")));
        }
        let mut metadata = BTreeMap::new();
        for _ in 0..entries {
            let key = cursor.text()?;
            let kind = cursor.u32()?;
            metadata.insert(key, cursor.value(kind, 0)?);
        }
        let mut tensors = Vec::new();
        for _ in 0..tensor_count {
            let name = cursor.text()?;
            let axes = cursor.u32()?;
            if axes > 4 {
                return Err(damaged(format!("`{name}` has {axes} axes")));
            }
            let mut shape = (0..axes)
                .map(|_| cursor.u64().map(|n| usize::try_from(n).unwrap_or(usize::MAX)))
                .collect::<Result<Vec<_>, _>>()?;
            shape.reverse();
            let (kind, offset) = (cursor.u32()?, cursor.u64()?);
            tensors.push(Entry { name, shape, kind, offset });
        }
        let alignment = match metadata.get("general.alignment") {
            None => ALIGNMENT,
            Some(&Value::Int(n @ 1..=65_536)) => n as u64,
            Some(_) => return Err(damaged("its general.alignment is no number of bytes".into())),
        };
        let data = cursor.at.next_multiple_of(alignment);
        Ok(Self { path: file.path().to_owned(), metadata, tensors, data })
    }

    /// Where a tensor begins in the file, after checking that it ends within it.
    pub(super) fn extent(
        &self,
        entry: &Entry,
        encoding: Encoding,
        file: &ReadAt,
    ) -> Result<u64, CheckpointError> {
        let damaged = |what: &str| CheckpointError::Damaged {
            path: self.path.clone(),
            reason: format!("`{}` {what}", entry.name),
        };
        let (block, size) = encoding.block();
        if !entry.shape.last().copied().unwrap_or(1).is_multiple_of(block) {
            return Err(damaged("has rows that are no whole blocks"));
        }
        let beyond = || damaged("lies outside the file: it is cut off");
        let elements = entry.shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d)).ok_or_else(beyond)?;
        let bytes = (elements / block).checked_mul(size).ok_or_else(beyond)? as u64;
        let start = self.data.checked_add(entry.offset).ok_or_else(beyond)?;
        if start.checked_add(bytes).is_none_or(|end| end > file.len()) {
            return Err(beyond());
        }
        Ok(start)
    }

    /// The file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// A value, if it is there.
    pub(super) fn get(&self, key: &str) -> Option<&Value> {
        self.metadata.get(key)
    }

    fn absent(&self, key: &'static str) -> CheckpointError {
        CheckpointError::MissingKey { path: self.path.clone(), key }
    }

    /// A text that must be there.
    pub(super) fn text(&self, key: &'static str) -> Result<&str, CheckpointError> {
        match self.get(key) {
            Some(Value::Text(text)) => Ok(text),
            _ => Err(self.absent(key)),
        }
    }

    /// Texts that must be there.
    pub(super) fn texts(&self, key: &'static str) -> Result<&[String], CheckpointError> {
        match self.get(key) {
            Some(Value::Texts(texts)) => Ok(texts),
            _ => Err(self.absent(key)),
        }
    }

    /// Numbers that must be there.
    pub(super) fn numbers(&self, key: &'static str) -> Result<&[f64], CheckpointError> {
        match self.get(key) {
            Some(Value::Numbers(numbers)) => Ok(numbers),
            _ => Err(self.absent(key)),
        }
    }

    /// A count, if it is there.
    pub(super) fn count(&self, key: &str) -> Option<usize> {
        match self.get(key) {
            Some(Value::Int(n)) => usize::try_from(*n).ok(),
            _ => None,
        }
    }

    /// A count that must be there and above 0.
    pub(super) fn size(&self, key: &'static str) -> Result<usize, CheckpointError> {
        self.count(key).filter(|n| *n > 0).ok_or_else(|| self.absent(key))
    }

    /// A truth value, if it is there.
    pub(super) fn flag(&self, key: &str) -> Option<bool> {
        match self.get(key) {
            Some(Value::Bool(b)) => Some(*b),
            _ => None,
        }
    }

    /// A float, if it is there.
    pub(super) fn float(&self, key: &str) -> Option<f64> {
        match self.get(key) {
            Some(Value::Float(x)) => Some(*x),
            _ => None,
        }
    }
}

/// Reads on from the start of a file.
struct Cursor<'a> {
    file: &'a ReadAt,
    /// Where in the file the next byte is.
    at: u64,
    end: u64,
    buffer: Vec<u8>,
    /// How much of the buffer has been taken.
    used: usize,
    /// Elements in the arrays so far.
    arrays: u64,
}

impl Cursor<'_> {
    fn cut(&self) -> CheckpointError {
        CheckpointError::Damaged {
            path: self.file.path().to_owned(),
            reason: format!("its header does not end within {} bytes: it is cut off", self.end),
        }
    }

    fn bytes(&mut self, len: u64) -> Result<&[u8], CheckpointError> {
        if len > self.end - self.at {
            return Err(self.cut());
        }
        let len = len as usize;
        if self.buffer.len() - self.used < len {
            let fresh = len.max(1 << 16).min((self.end - self.at) as usize);
            self.buffer.resize(fresh, 0);
            self.file.read_exact(&mut self.buffer, self.at)?;
            self.used = 0;
        }
        self.used += len;
        self.at += len as u64;
        Ok(&self.buffer[self.used - len..self.used])
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], CheckpointError> {
        let mut out = [0; N];
        out.copy_from_slice(self.bytes(N as u64)?);
        Ok(out)
    }

    fn u32(&mut self) -> Result<u32, CheckpointError> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, CheckpointError> {
        self.array().map(u64::from_le_bytes)
    }

    fn text(&mut self) -> Result<String, CheckpointError> {
        let len = self.u64()?;
        let path = self.file.path().to_owned();
        let at = self.at;
        String::from_utf8(self.bytes(len)?.to_vec()).map_err(|_| CheckpointError::Damaged {
            path,
            reason: format!("the text at byte {at} is not UTF-8"),
        })
    }

    fn value(&mut self, kind: u32, depth: usize) -> Result<Value, CheckpointError> {
        Ok(match kind {
            0 => Value::Int(self.array::<1>()?[0].into()),
            1 => Value::Int(i8::from_le_bytes(self.array()?).into()),
            2 => Value::Int(u16::from_le_bytes(self.array()?).into()),
            3 => Value::Int(i16::from_le_bytes(self.array()?).into()),
            4 => Value::Int(self.u32()?.into()),
            5 => Value::Int(i32::from_le_bytes(self.array()?).into()),
            6 => {
                let x = f32::from_le_bytes(self.array()?);
                // 9.99999975e-6 was meant as 1e-5: the shortest decimal of the f32 says so.
                Value::Float(x.to_string().parse().unwrap_or(f64::from(x)))
            }
            7 => Value::Bool(self.array::<1>()?[0] != 0),
            8 => Value::Text(self.text()?),
            9 => self.values(depth)?,
            10 => i64::try_from(self.u64()?).map_or(Value::Other, Value::Int),
            11 => Value::Int(i64::from_le_bytes(self.array()?)),
            12 => Value::Float(f64::from_le_bytes(self.array()?)),
            other => {
                let reason = format!("it has a metadata value of the unknown type {other}");
                return Err(CheckpointError::Damaged { path: self.file.path().to_owned(), reason });
            }
        })
    }

    fn values(&mut self, depth: usize) -> Result<Value, CheckpointError> {
        let (kind, count) = (self.u32()?, self.u64()?);
        self.arrays = self.arrays.saturating_add(count);
        // Each element takes a byte at least.
        if depth >= MAX_DEPTH || self.arrays > MAX_ARRAYS || count > self.end - self.at {
            return Err(self.cut());
        }
        if kind == 8 {
            return (0..count).map(|_| self.text()).collect::<Result<_, _>>().map(Value::Texts);
        }
        let mut numbers = Vec::new();
        for _ in 0..count {
            match self.value(kind, depth + 1)? {
                Value::Int(n) => numbers.push(n as f64),
                Value::Float(x) => numbers.push(x),
                _ => {}
            }
        }
        Ok(if numbers.len() as u64 == count { Value::Numbers(numbers) } else { Value::Other })
    }
}
