//! Where the members of a zip archive are. Format: PKWARE, *.ZIP File Format Specification* (APPNOTE) 6.3, sections 4.3
//! and 4.5.3 (zip64). Only members that are stored as they are can be read; `torch.save` writes no others.

use super::super::CheckpointError;
use crate::files::ReadAt;
use std::collections::BTreeMap;

/// A member's bytes in the file; they lie within it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Member {
    pub(super) offset: u64,
    pub(super) size: u64,
}

/// Names and places of an archive's members.
pub(super) struct Archive(BTreeMap<String, Member>);

/// Length of the record that ends an archive, without its comment.
const END: usize = 22;
/// Length of the record that says where the zip64 record is.
const END64_LOCATOR: usize = 20;
/// Longest comment at the end.
const MAX_COMMENT: usize = u16::MAX as usize;
/// Largest directory that is read, in bytes: two thousand layers of twenty tensors need 4 MiB.
const MAX_DIRECTORY: u64 = 1 << 26;

impl Archive {
    /// Reads an archive's directory and checks every member against the file.
    pub(super) fn open(file: &ReadAt) -> Result<Self, CheckpointError> {
        let damaged = |reason: &str| CheckpointError::Damaged {
            path: file.path().to_owned(),
            reason: reason.to_owned(),
        };
        let mut magic = [0u8; 4];
        if file.len() < END as u64 {
            return Err(damaged("it is too short to be an archive"));
        }
        file.read_exact(&mut magic, 0)?;
        if magic != *b"PK\x03\x04" {
            return Err(if magic[..2] == [0x80, 0x02] {
                damaged(
                    "it is in the format of PyTorch before 1.6; load it there and save it again, best as safetensors",
                )
            } else {
                damaged("it is no zip archive")
            });
        }
        let tail_len = (file.len() as usize).min(END + MAX_COMMENT);
        let tail_start = file.len() - tail_len as u64;
        let mut tail = vec![0u8; tail_len];
        file.read_exact(&mut tail, tail_start)?;
        let end = (0..=tail_len - END)
            .rev()
            .find(|&i| tail[i..].starts_with(b"PK\x05\x06"))
            .ok_or_else(|| damaged("its directory is missing: it is cut off"))?;
        let record = Fields(&tail[end..]);
        let short = |_: Short| damaged("its directory is cut off");
        let (count, size, offset) =
            (record.u16(10).map_err(short)?, record.u32(12).map_err(short)?, record.u32(16).map_err(short)?);
        let (count, size, offset) =
            if count == 0xffff || size == u64::from(u32::MAX) || offset == u64::from(u32::MAX) {
                zip64_directory(file, tail_start + end as u64)
                    .ok_or_else(|| damaged("its zip64 record is wrong"))?
            } else {
                (count, size, offset)
            };
        if size > MAX_DIRECTORY || offset.checked_add(size).is_none_or(|end| end > file.len()) {
            return Err(damaged("its directory lies outside the file"));
        }
        let mut directory = vec![0u8; size as usize];
        file.read_exact(&mut directory, offset)?;
        let mut members = BTreeMap::new();
        let mut rest = directory.as_slice();
        for _ in 0..count {
            let (name, member, length) = entry(rest, file)?;
            members.insert(name, member);
            rest = &rest[length..];
        }
        Ok(Self(members))
    }

    /// All members by name.
    pub(super) fn members(&self) -> impl Iterator<Item = (&str, Member)> {
        self.0.iter().map(|(name, member)| (name.as_str(), *member))
    }

    /// The member of that name.
    pub(super) fn member(&self, name: &str) -> Option<Member> {
        self.0.get(name).copied()
    }
}

/// Count, size and offset of the directory, from the zip64 record whose locator stands before the end record.
fn zip64_directory(file: &ReadAt, end: u64) -> Option<(u64, u64, u64)> {
    let mut locator = [0u8; END64_LOCATOR];
    file.read_exact(&mut locator, end.checked_sub(END64_LOCATOR as u64)?).ok()?;
    let locator = Fields(locator.strip_prefix(b"PK\x06\x07").map(|_| &locator[..])?);
    let mut record = [0u8; 56];
    file.read_exact(&mut record, locator.u64(8).ok()?).ok()?;
    let record = Fields(record.strip_prefix(b"PK\x06\x06").map(|_| &record[..])?);
    Some((record.u64(32).ok()?, record.u64(40).ok()?, record.u64(48).ok()?))
}

/// The directory entry at the start of `rest`: its name, where its bytes are, and its own length.
fn entry(rest: &[u8], file: &ReadAt) -> Result<(String, Member, usize), CheckpointError> {
    let damaged = |reason: String| CheckpointError::Damaged { path: file.path().to_owned(), reason };
    let short = |_: Short| damaged("its directory is cut off".into());
    if !rest.starts_with(b"PK\x01\x02") {
        return Err(damaged("its directory is wrong".into()));
    }
    let fields = Fields(rest);
    let name_len = fields.u16(28).map_err(short)? as usize;
    let extra_len = fields.u16(30).map_err(short)? as usize;
    let comment_len = fields.u16(32).map_err(short)? as usize;
    let name = fields.slice(46, name_len).map_err(short)?;
    let name = String::from_utf8_lossy(name).into_owned();
    let extra = fields.slice(46 + name_len, extra_len).map_err(short)?;
    let length = 46 + name_len + extra_len + comment_len;
    fields.slice(0, length).map_err(short)?;
    let (flags, method) = (fields.u16(8).map_err(short)?, fields.u16(10).map_err(short)?);
    let (packed, size) = (fields.u32(20).map_err(short)?, fields.u32(24).map_err(short)?);
    let local = fields.u32(42).map_err(short)?;
    let [size, packed, local] = widened([size, packed, local], extra)
        .ok_or_else(|| damaged(format!("the zip64 field of `{name}` is wrong")))?;
    if flags & 1 != 0 || method != 0 || packed != size {
        return Err(damaged(format!(
            "`{name}` is compressed or encrypted; torch.save stores tensors as they are, save it again"
        )));
    }
    let outside = || damaged(format!("`{name}` lies outside the file: it is cut off"));
    // The local header repeats name and extra field, whose length may differ there.
    let mut header = [0u8; 30];
    if local.checked_add(30).is_none_or(|end| end > file.len()) {
        return Err(outside());
    }
    file.read_exact(&mut header, local)?;
    if !header.starts_with(b"PK\x03\x04") {
        return Err(damaged(format!("`{name}` is not where the directory places it")));
    }
    let header = Fields(&header);
    let offset = local + 30 + header.u16(26).map_err(short)? + header.u16(28).map_err(short)?;
    if offset.checked_add(size).is_none_or(|end| end > file.len()) {
        return Err(outside());
    }
    Ok((name, Member { offset, size }, length))
}

/// Replaces those of size, packed size and offset that are all ones by the 64-bit numbers of the extra field 1.
fn widened(mut numbers: [u64; 3], mut extra: &[u8]) -> Option<[u64; 3]> {
    if !numbers.contains(&u64::from(u32::MAX)) {
        return Some(numbers);
    }
    while !extra.is_empty() {
        let (id, length) = (Fields(extra).u16(0).ok()?, Fields(extra).u16(2).ok()? as usize);
        let field = Fields(Fields(extra).slice(4, length).ok()?);
        if id == 1 {
            let mut at = 0;
            for number in numbers.iter_mut().filter(|n| **n == u64::from(u32::MAX)) {
                *number = field.u64(at).ok()?;
                at += 8;
            }
            return Some(numbers);
        }
        extra = &extra[4 + length..];
    }
    None
}

/// Little-endian numbers in a record.
struct Fields<'a>(&'a [u8]);

/// A record that is too short.
struct Short;

impl<'a> Fields<'a> {
    fn slice(&self, at: usize, len: usize) -> Result<&'a [u8], Short> {
        at.checked_add(len).and_then(|end| self.0.get(at..end)).ok_or(Short)
    }

    fn number(&self, at: usize, len: usize) -> Result<u64, Short> {
        let bytes = self.slice(at, len)?;
        Ok(bytes.iter().rev().fold(0, |n, b| n << 8 | u64::from(*b)))
    }

    fn u16(&self, at: usize) -> Result<u64, Short> {
        self.number(at, 2)
    }

    fn u32(&self, at: usize) -> Result<u64, Short> {
        self.number(at, 4)
    }

    fn u64(&self, at: usize) -> Result<u64, Short> {
        self.number(at, 8)
    }
}
