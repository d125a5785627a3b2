//! A data file as rows, by the ending of its name: `.jsonl` (one JSON object a line), `.json` (a list of objects), `.csv`
//! and `.tsv`, `.parquet`. A text file may be compressed (`.gz`).

use crate::bench::card::{DataFile, Format};
use crate::bench::error::BenchError;
use crate::files;
use csv::{ReaderBuilder, StringRecord};
use flate2::read::MultiGzDecoder;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::Field;
use serde_json::{Map, Number, Value};
use std::io::Read;
use std::path::Path;

/// The largest text that a compressed file may hold, in bytes.
const LARGEST: u64 = 4 << 30;

/// What some programs write in front of a text in UTF-8: the byte order mark.
pub(super) const MARK: &[u8] = "\u{feff}".as_bytes();

/// One row, and where it is: its line from 1, or in a list or a table its number from 1.
pub(super) struct Raw {
    pub(super) line: usize,
    pub(super) fields: Map<String, Value>,
}

/// Reads a file, of which `bytes` are the contents. A Parquet file is opened again, and read piece by piece.
pub(super) fn read(path: &Path, file: Option<&DataFile>, bytes: Vec<u8>) -> Result<Vec<Raw>, BenchError> {
    let format = file.map_or(Format::JsonLines, DataFile::format);
    if format == Format::Parquet {
        drop(bytes);
        return parquet(path);
    }
    let text = text(path, bytes)?;
    match (format, file) {
        (Format::Csv | Format::Tsv, Some(file)) => table(path, file, &text),
        (Format::Json, _) => list(path, &text),
        _ => lines(path, &text),
    }
}

/// The text of a file, unpacked if its name says that it is packed.
fn text(path: &Path, bytes: Vec<u8>) -> Result<String, BenchError> {
    let bytes = if path.extension().is_some_and(|ending| ending == "gz") {
        let mut unpacked = Vec::new();
        let packed = |reason: String| BenchError::Packed { path: path.to_owned(), reason };
        let read = MultiGzDecoder::new(&bytes[..]).take(LARGEST + 1).read_to_end(&mut unpacked);
        if read.map_err(|e| packed(e.to_string()))? as u64 > LARGEST {
            return Err(packed(format!("it holds more than {} GiB", LARGEST >> 30)));
        }
        unpacked
    } else {
        bytes
    };
    let bytes = match bytes.strip_prefix(MARK) {
        Some(rest) => rest.to_vec(),
        None => bytes,
    };
    String::from_utf8(bytes).map_err(|e| {
        let at = e.utf8_error().valid_up_to();
        let before = &e.as_bytes()[..at];
        let start = before.iter().rposition(|b| *b == b'\n').map_or(0, |newline| newline + 1);
        let line = before.split(|b| *b == b'\n').count();
        BenchError::NotUtf8 { path: path.to_owned(), line, byte: at - start + 1 }
    })
}

fn lines(path: &Path, text: &str) -> Result<Vec<Raw>, BenchError> {
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    lines.map(|(index, line)| Ok(Raw { line: index + 1, fields: object(path, index + 1, line)? })).collect()
}

/// One line of JSON Lines.
pub(super) fn object(path: &Path, line: usize, text: &str) -> Result<Map<String, Value>, BenchError> {
    serde_json::from_str(text).map_err(|e| {
        // Its words end with a line of its own count, which is always the first.
        let words = e.to_string();
        let reason = words.split(" at line ").next().unwrap_or(&words).to_owned();
        BenchError::Row { path: path.to_owned(), line, column: e.column().max(1), reason }
    })
}

fn list(path: &Path, text: &str) -> Result<Vec<Raw>, BenchError> {
    let rows: Vec<Map<String, Value>> =
        serde_json::from_str(text).map_err(|source| BenchError::List { path: path.to_owned(), source })?;
    Ok(rows.into_iter().enumerate().map(|(index, fields)| Raw { line: index + 1, fields }).collect())
}

/// Comma-separated values (RFC 4180), or tab-separated ones, in which quotation marks are characters like others, as in
/// GLUE's files.
fn table(path: &Path, file: &DataFile, text: &str) -> Result<Vec<Raw>, BenchError> {
    let tabs = file.format() == Format::Tsv;
    let mut reader = ReaderBuilder::new()
        .delimiter(if tabs { b'\t' } else { b',' })
        .quoting(!tabs)
        .flexible(true)
        .has_headers(false)
        .from_reader(text.as_bytes());
    let mut records = reader.records().map(|record| {
        record.map_err(|e| {
            let line = e.position().map_or(1, |position| position.line() as usize);
            BenchError::Table { path: path.to_owned(), line, reason: e.to_string() }
        })
    });
    let mut columns = file.columns.clone();
    if columns.is_empty() || file.header {
        let header = records.next().transpose()?;
        if columns.is_empty() {
            columns = header.iter().flatten().map(str::to_owned).collect();
        }
    }
    let row = |record: Result<StringRecord, BenchError>| {
        let record = record?;
        let line = record.position().map_or(1, |position| position.line() as usize);
        if record.len() != columns.len() {
            let (found, expected) = (record.len(), columns.clone());
            return Err(BenchError::Columns { path: path.to_owned(), line, found, expected });
        }
        Ok(Raw { line, fields: columns.iter().cloned().zip(record.iter().map(Value::from)).collect() })
    };
    let blank = |record: &Result<StringRecord, BenchError>| {
        record.as_ref().is_ok_and(|r| r.iter().all(|field| field.trim().is_empty()))
    };
    records.filter(|record| !blank(record)).map(row).collect()
}

/// A Parquet file, one row group after the other.
fn parquet(path: &Path) -> Result<Vec<Raw>, BenchError> {
    let failed =
        |e: parquet::errors::ParquetError| BenchError::Parquet { path: path.to_owned(), source: Box::new(e) };
    let reader = SerializedFileReader::new(files::open(path)?).map_err(failed)?;
    let mut rows = Vec::new();
    for group in 0..reader.num_row_groups() {
        let group = reader.get_row_group(group).map_err(failed)?;
        for row in group.get_row_iter(None).map_err(failed)? {
            let fields =
                row.map_err(failed)?.into_columns().into_iter().map(|(name, field)| (name, value(field)));
            rows.push(Raw { line: rows.len() + 1, fields: fields.collect() });
        }
    }
    Ok(rows)
}

/// A value of a Parquet file as JSON. What JSON has no form for is text.
fn value(field: Field) -> Value {
    let float = |x: f64| Number::from_f64(x).map_or(Value::Null, Value::Number);
    match field {
        Field::Null => Value::Null,
        Field::Bool(b) => b.into(),
        Field::Byte(n) => n.into(),
        Field::Short(n) => n.into(),
        Field::Int(n) => n.into(),
        Field::Long(n) => n.into(),
        Field::UByte(n) => n.into(),
        Field::UShort(n) => n.into(),
        Field::UInt(n) => n.into(),
        Field::ULong(n) => n.into(),
        Field::Float(x) => float(x.into()),
        Field::Double(x) => float(x),
        Field::Str(text) => text.into(),
        Field::Bytes(bytes) => String::from_utf8_lossy(bytes.data()).into_owned().into(),
        Field::Group(row) => {
            Value::Object(row.into_columns().into_iter().map(|(name, field)| (name, value(field))).collect())
        }
        Field::ListInternal(list) => list.elements().iter().cloned().map(value).collect(),
        Field::MapInternal(map) => {
            let pair = |(key, of): &(Field, Field)| {
                let name = match key {
                    Field::Str(name) => name.clone(),
                    other => other.to_string(),
                };
                (name, value(of.clone()))
            };
            Value::Object(map.entries().iter().map(pair).collect())
        }
        other => other.to_string().into(),
    }
}
