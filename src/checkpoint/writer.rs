//! Sharded safetensors with index, config and tokenizer: all there, or nothing.

use super::{CheckpointError, Companions, Elements, Span, TensorInfo, TensorSource};
use crate::event::{Event, Observer};
use crate::files::{self, FileError, Staged, WriteAt};
use crate::ids::TensorName;
use rayon::prelude::*;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::panic::resume_unwind;
use std::path::Path;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc;
use std::time::Instant;

/// Elements that one thread handles at a time: 128 KiB in 16 bits, so that its buffers stay in the second-level cache.
const CHUNK: usize = 1 << 16;
/// Bytes that may wait to get to the disk, while the next are computed.
const BEHIND: usize = 64 << 20;

/// How a checkpoint is written.
#[derive(Clone, Debug)]
pub struct WriteOptions {
    /// Largest shard in bytes; a single larger tensor gets a shard of its own.
    pub shard_bytes: u64,
    /// Whether weights that are NaN or infinite are written as they are.
    pub allow_nan: bool,
}

/// Files as (name, bytes).
pub type Files = Vec<(String, Vec<u8>)>;

impl Default for WriteOptions {
    /// 5 GB shards, as `transformers` and mergekit write them.
    fn default() -> Self {
        Self { shard_bytes: 5_000_000_000, allow_nan: false }
    }
}

/// One shard of the output: its tensors in order, with the byte offset of each in the shard's data.
struct Shard<'a> {
    tensors: Vec<(&'a TensorName, &'a TensorInfo, u64)>,
    bytes: u64,
}

/// Writes `source` and `companions` as a Hugging Face folder at `target`, which must not exist.
///
/// Everything is written into a folder beside it that gets its name at the very end; a failure, a full disk or a kill
/// leaves no `target`. Weights are streamed in chunks on all cores; a weight that is NaN or infinite is an error unless allowed.
/// `extra` is asked for more files (a record of the merge, a model card) when all weights are written: digests of what was
/// read for them are known by then.
pub fn write_checkpoint<E: From<CheckpointError>>(
    source: &dyn TensorSource,
    companions: &Companions,
    target: &Path,
    options: &WriteOptions,
    extra: impl FnOnce() -> Result<Files, E>,
    watch: &dyn Observer,
) -> Result<(), E> {
    let staged = stage(source, companions, target, options, watch)?;
    for (name, bytes) in extra()? {
        files::write(&staged.path().join(name), &bytes).map_err(CheckpointError::from)?;
    }
    Ok(staged.commit().map_err(CheckpointError::from)?)
}

/// Writes everything but the extra files beside `target`.
fn stage(
    source: &dyn TensorSource,
    companions: &Companions,
    target: &Path,
    options: &WriteOptions,
    watch: &dyn Observer,
) -> Result<Staged, CheckpointError> {
    if files::exists(target) {
        return Err(CheckpointError::OutputExists { path: target.to_owned() });
    }
    let staged = Staged::new(target)?;
    let shards = plan(source, options.shard_bytes);
    let total: u64 = shards.iter().map(|s| s.bytes).sum();
    let begun = Instant::now();
    watch.observe(&Event::Started { work: "writing", total: Some(total), unit: "bytes" });
    let mut weight_map = BTreeMap::new();
    for (number, shard) in shards.iter().enumerate() {
        let name = if shards.len() == 1 {
            "model.safetensors".to_owned()
        } else {
            format!("model-{:05}-of-{:05}.safetensors", number + 1, shards.len())
        };
        write_shard(source, shard, &staged.path().join(&name), options, watch)?;
        weight_map
            .extend(shard.tensors.iter().map(|(tensor, ..)| (tensor.as_str().to_owned(), name.clone())));
    }
    let mut config = companions.config_json.clone();
    if let Some((_, info)) = source.manifest().iter().next() {
        config.remove("dtype");
        config.insert("torch_dtype".into(), info.dtype.torch_name().into());
    }
    files::write(&staged.path().join("config.json"), pretty(&Value::Object(config)).as_bytes())?;
    files::write(&staged.path().join("tokenizer.json"), &companions.tokenizer)?;
    for (name, bytes) in &companions.others {
        files::write(&staged.path().join(name), bytes)?;
    }
    if shards.len() > 1 {
        let index = json!({ "metadata": { "total_size": total }, "weight_map": weight_map });
        files::write(&staged.path().join("model.safetensors.index.json"), pretty(&index).as_bytes())?;
    }
    watch.observe(&Event::Finished { took: begun.elapsed() });
    Ok(staged)
}

fn pretty(value: &Value) -> String {
    format!("{value:#}\n")
}

fn plan(source: &dyn TensorSource, shard_bytes: u64) -> Vec<Shard<'_>> {
    let mut shards = vec![Shard { tensors: Vec::new(), bytes: 0 }];
    for (name, info) in source.manifest().iter() {
        let bytes = info.bytes() as u64;
        let full = shards.last().is_some_and(|s| s.bytes > 0 && s.bytes + bytes > shard_bytes);
        if full {
            shards.push(Shard { tensors: Vec::new(), bytes: 0 });
        }
        if let Some(shard) = shards.last_mut() {
            shard.tensors.push((name, info, shard.bytes));
            shard.bytes += bytes;
        }
    }
    shards
}

fn write_shard(
    source: &dyn TensorSource,
    shard: &Shard<'_>,
    path: &Path,
    options: &WriteOptions,
    watch: &dyn Observer,
) -> Result<(), CheckpointError> {
    let mut header = serde_json::Map::new();
    header.insert("__metadata__".into(), json!({ "format": "pt" }));
    for (name, info, start) in &shard.tensors {
        let entry = json!({
            "dtype": info.dtype.to_string().to_uppercase(),
            "shape": info.shape,
            "data_offsets": [start, start + info.bytes() as u64],
        });
        header.insert(name.as_str().to_owned(), entry);
    }
    let mut header = Value::Object(header).to_string().into_bytes();
    header.resize(header.len().next_multiple_of(8), b' ');
    let data_start = 8 + header.len() as u64;
    let file = WriteAt::<Elements>::create(path, data_start + shard.bytes)?;
    file.write_now(&(header.len() as u64).to_le_bytes(), 0)?;
    file.write_now(&header, 8)?;
    let chunks: Vec<_> = shard
        .tensors
        .iter()
        .flat_map(|&(name, info, start)| {
            let elements = info.elements();
            (0..elements).step_by(CHUNK).map(move |first| {
                let span = Span { start: first, len: CHUNK.min(elements - first) };
                (name, info.dtype, span, data_start + start + (first * info.dtype.size()) as u64)
            })
        })
        .collect();
    // A thread of its own sends to the disk what is written, so that the disk works while the rest is computed.
    std::thread::scope(|scope| {
        let (send, sent) = mpsc::channel();
        let (file, behind) = (&file, AtomicUsize::new(0));
        let sending = scope.spawn(move || sent.iter().try_for_each(|()| file.send()));
        let computed = chunks.par_iter().try_for_each_init(
            || send.clone(),
            |send, &(name, dtype, span, offset)| {
                if watch.stop_requested() {
                    return Err(CheckpointError::Stopped);
                }
                let mut elements = file.buffer();
                source.fetch(name, span, &mut elements)?;
                elements.convert(dtype);
                if !options.allow_nan
                    && let Some((at, value)) = elements.first_not_finite()
                {
                    return Err(CheckpointError::NotFinite {
                        tensor: name.clone(),
                        value,
                        element: span.start + at,
                    });
                }
                let len = span.len * dtype.size();
                file.write(elements, offset)?;
                if behind.fetch_add(len, Relaxed) + len >= BEHIND {
                    behind.store(0, Relaxed);
                    // Nobody listens after the disk has failed; that error is told below.
                    let _ = send.send(());
                }
                watch.observe(&Event::Advanced { by: len as u64 });
                Ok(())
            },
        );
        drop(send);
        let sent: Result<(), FileError> = sending.join().unwrap_or_else(|fault| resume_unwind(fault));
        computed.and(sent.map_err(CheckpointError::from))
    })?;
    Ok(file.sync()?)
}
