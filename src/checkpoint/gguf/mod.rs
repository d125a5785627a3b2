//! A GGUF file: a complete model, whose config and tokenizer are in its metadata and whose weights may be quantised.
//!
//! - `header`: metadata and the list of tensors
//! - `blocks`: how elements are encoded, and the numbers that a run of them means
//! - `names`: llama.cpp's names and row order against Hugging Face's
//! - `config`: the metadata as a `config.json`
//! - `tokenizer`: the metadata as a `tokenizer.json`
//! - this file: all of them as one [`TensorSource`]

mod blocks;
mod config;
mod header;
mod names;
mod tokenizer;

use super::{CheckpointError, Companions, Manifest, ModelConfig, Span, TensorInfo, TensorSource};
use crate::digest::{Canonical, Digest};
use crate::dtype::DType;
use crate::files::ReadAt;
use crate::ids::TensorName;
use blocks::Encoding;
use header::Header;
use names::Rows;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::OnceLock;

/// Elements that are dequantised at a time; bounds what a read allocates.
const CHUNK: usize = 1 << 16;

/// A GGUF file, opened.
///
/// Its manifest has Hugging Face's names and shapes. A tensor that is stored as floats keeps its element type; a
/// quantised one counts as f32, since its numbers (scale × integer, in f32) have no shorter exact form. Metadata is
/// read as `docs/gguf.md` of ggml-org/ggml describes it, for the architecture `llama`.
#[derive(Debug)]
pub struct Gguf {
    file: ReadAt,
    companions: Companions,
    manifest: Manifest,
    places: BTreeMap<TensorName, Place>,
    digest: OnceLock<Digest>,
}

/// Where and how a tensor is stored.
#[derive(Clone, Debug)]
struct Place {
    offset: u64,
    encoding: Encoding,
    /// Elements in a row: the innermost axis, a whole number of blocks.
    width: usize,
    rows: Rows,
}

impl Gguf {
    /// Opens a file and checks metadata, names, shapes and extents. Reads the header only.
    pub fn open(path: &Path) -> Result<Self, CheckpointError> {
        let file = ReadAt::open(path)?;
        let header = Header::read(&file)?;
        if header.count("split.count").is_some_and(|n| n > 1) {
            return Err(CheckpointError::Unsupported {
                path: path.to_owned(),
                field: "split.count",
                got: "above 1".into(),
                want: "a model in one file is read; join the parts with llama-gguf-split --merge",
            });
        }
        let architecture = header.text("general.architecture")?;
        if architecture != "llama" {
            return Err(CheckpointError::Unsupported {
                path: path.to_owned(),
                field: "general.architecture",
                got: architecture.to_owned(),
                want: "only `llama` can be read",
            });
        }
        let mut places = BTreeMap::new();
        let mut manifest = Vec::new();
        let mut frequencies = None;
        for entry in &header.tensors {
            let Some(encoding) = Encoding::of(entry.kind) else {
                return Err(CheckpointError::ElementType {
                    path: path.to_owned(),
                    tensor: entry.name.as_str().into(),
                    got: format!("GGUF type {}", entry.kind),
                    want: "F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0 and Q2_K to Q6_K",
                });
            };
            let place = Place {
                offset: header.extent(entry, encoding, &file)?,
                encoding,
                width: entry.shape.last().copied().unwrap_or(1),
                rows: Rows::InOrder,
            };
            if entry.name == names::FREQUENCIES {
                frequencies = Some(read_all(&file, &place, entry.shape.iter().product())?);
                continue;
            }
            let (name, rows) = names::translate(&entry.name, &header)?;
            if let Rows::Interleaved { head } = rows
                && entry.shape.first().is_none_or(|rows| rows % head != 0)
            {
                return Err(CheckpointError::Damaged {
                    path: path.to_owned(),
                    reason: format!(
                        "`{}` has {:?} rows, which are no whole heads",
                        entry.name,
                        entry.shape.first()
                    ),
                });
            }
            let dtype = encoding.float().unwrap_or(DType::F32);
            manifest.push((name.clone(), TensorInfo { shape: entry.shape.clone(), dtype }));
            places.insert(name, Place { rows, ..place });
        }
        let manifest: Manifest = manifest.into_iter().collect();
        let config_json = config::json(&header, &manifest, frequencies.as_deref())?;
        let config = ModelConfig::parse(&serde_json::Value::Object(config_json.clone()).to_string(), path)?;
        config.check_file(&manifest, path)?;
        let tokenizer = tokenizer::json(&header)?.to_string().into_bytes();
        let others = config::others(&header);
        let companions = Companions { config, config_json, tokenizer, others };
        Ok(Self { file, companions, manifest, places, digest: OnceLock::new() })
    }

    /// Whether a file says that it is one, by its first bytes or, if it is shorter, by its name.
    pub fn is_one(path: &Path) -> bool {
        let mut magic = [0u8; 4];
        let begins = ReadAt::open(path).is_ok_and(|file| file.read_exact(&mut magic, 0).is_ok());
        begins && magic == *b"GGUF" || path.extension().is_some_and(|e| e.eq_ignore_ascii_case("gguf"))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    /// Config and tokenizer, made from the metadata.
    pub fn companions(&self) -> &Companions {
        &self.companions
    }
}

fn read_all(file: &ReadAt, place: &Place, elements: usize) -> Result<Vec<f32>, CheckpointError> {
    let mut out = vec![0.0; elements];
    read_run(file, place, 0, &mut out)?;
    Ok(out)
}

/// Reads elements from `start` on, in the order of the file.
fn read_run(file: &ReadAt, place: &Place, start: usize, out: &mut [f32]) -> Result<(), CheckpointError> {
    let (block, size) = place.encoding.block();
    let mut start = start;
    // f32 storage, so that the bytes are aligned for every block.
    let whole = (CHUNK.min(out.len()) / block + 2) * size;
    let mut bytes = vec![0f32; whole.div_ceil(4)];
    let mut values = vec![0f32; (CHUNK.min(out.len()) / block + 2) * block];
    for part in out.chunks_mut(CHUNK) {
        let (first, last) = (start / block, (start + part.len()).div_ceil(block));
        let bytes = &mut bytemuck::cast_slice_mut::<f32, u8>(&mut bytes)[..(last - first) * size];
        file.read_exact(bytes, place.offset + (first * size) as u64)?;
        let values = &mut values[..(last - first) * block];
        place
            .encoding
            .decode(bytes, values)
            .map_err(|reason| CheckpointError::Damaged { path: file.path().to_owned(), reason })?;
        let skip = start - first * block;
        part.copy_from_slice(&values[skip..skip + part.len()]);
        start += part.len();
    }
    Ok(())
}

impl TensorSource for Gguf {
    fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    fn read(&self, name: &TensorName, span: Span, out: &mut [f32]) -> Result<(), CheckpointError> {
        self.manifest.for_read(name, span, out.len())?;
        let place = &self.places[name];
        let Rows::Interleaved { head } = place.rows else {
            return read_run(&self.file, place, span.start, out);
        };
        let mut done = 0;
        while done < span.len {
            let (row, column) = ((span.start + done) / place.width, (span.start + done) % place.width);
            let part = (place.width - column).min(span.len - done);
            let at = names::stored_row(row, head) * place.width + column;
            read_run(&self.file, place, at, &mut out[done..done + part])?;
            done += part;
        }
        Ok(())
    }

    /// Digest of every tensor's name, encoding, shape, row order and stored bytes.
    fn digest(&self) -> Result<Digest, CheckpointError> {
        if let Some(known) = self.digest.get() {
            return Ok(*known);
        }
        let mut form = Canonical::new("gguf/1");
        let mut buffer = vec![0u8; 1 << 23];
        for (name, info) in self.manifest.iter() {
            let place = &self.places[name];
            let (block, size) = place.encoding.block();
            let mut hasher = blake3::Hasher::new();
            let (mut done, whole) = (0, info.elements() / block * size);
            while done < whole {
                let part = (whole - done).min(buffer.len());
                self.file.read_exact(&mut buffer[..part], place.offset + done as u64)?;
                hasher.update_rayon(&buffer[..part]);
                done += part;
            }
            form = form
                .text("tensor", name.as_str())
                .text("encoding", &format!("{:?}", place.encoding))
                .text("shape", &format!("{:?}", info.shape))
                .text("rows", &format!("{:?}", place.rows))
                .bytes("data", hasher.finalize().as_bytes());
        }
        Ok(*self.digest.get_or_init(|| form.finish()))
    }
}
