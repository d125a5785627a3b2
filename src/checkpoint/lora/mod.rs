//! A base with a PEFT LoRA adapter: W + s·B·A, computed as it is read.
//!
//! - `config`: what `adapter_config.json` says
//! - this file: which tensors of the adapter change which tensor of the base, and the numbers of a span
//!
//! The two small matrices of every module stay in memory; the sum is made in f64 for just the elements of a span, and
//! rounded once, to the element type of the base. Source: Hu et al., *LoRA: Low-Rank Adaptation of Large Language
//! Models*, 2021, equation 3.

mod config;

use super::stored::Stored;
use super::{CheckpointError, Manifest, Span, TensorSource, pickle, safetensors};
use crate::digest::{Canonical, Digest};
use crate::files::{self, ReadAt};
use crate::ids::TensorName;
use config::AdapterConfig;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

/// Elements of a row that are summed at a time.
const WIDTH: usize = 2048;

/// A base and an adapter as one set of tensors, with the base's names, shapes and element types.
pub struct Lora {
    path: PathBuf,
    base: Arc<dyn TensorSource>,
    adapter: Stored,
    changes: BTreeMap<TensorName, Change>,
    trained_on: Option<String>,
    warnings: Vec<String>,
    digest: OnceLock<Digest>,
}

/// What an adapter does to one tensor of the base.
enum Change {
    /// Adds `scale · left · right`, where `left` is `[rows, rank]` and `right` is `[rank, columns]`, both row-major.
    Add { left: Vec<f32>, right: Vec<f32>, rank: usize, columns: usize, scale: f64 },
    /// Stands in its place: the tensor of this name in the adapter.
    Replace(TensorName),
}

/// The pair of matrices of one module, by their names in the adapter.
#[derive(Default)]
struct Pair {
    down: Option<TensorName>,
    up: Option<TensorName>,
    /// An embedding is looked up by row, so that its matrices are stored transposed.
    embedding: bool,
}

impl Lora {
    /// Opens the adapter in `folder` for `base`: `adapter_config.json` and `adapter_model.safetensors` (or `.bin`).
    pub fn open(base: Arc<dyn TensorSource>, folder: &Path) -> Result<Self, CheckpointError> {
        if !files::is_folder(folder) {
            return Err(CheckpointError::NotAFolder { path: folder.to_owned() });
        }
        let config = AdapterConfig::read(folder)?;
        let (path, adapter) = open_weights(folder)?;
        let mut changes = BTreeMap::new();
        let mut pairs: BTreeMap<String, Pair> = BTreeMap::new();
        let mut strangers = Vec::new();
        for (name, info) in adapter.manifest().iter() {
            let known =
                name.as_str().strip_prefix("base_model.model.").and_then(split).and_then(|(module, part)| {
                    let target = TensorName::from(format!("{module}.weight"));
                    let there = base.manifest().get(&target)?;
                    (part != Part::Whole || config.saves(module)).then_some((module, part, target, there))
                });
            let Some((module, part, target, there)) = known else {
                strangers.push(name.clone());
                continue;
            };
            if part == Part::Whole {
                if info.shape != there.shape {
                    let (got, want) = (info.shape.clone(), there.shape.clone());
                    return Err(CheckpointError::AdapterShape { path, tensor: name.clone(), got, want });
                }
                changes.insert(target, Change::Replace(name.clone()));
                continue;
            }
            let pair = pairs.entry(module.to_owned()).or_default();
            match part {
                Part::Down | Part::EmbeddingDown => pair.down = Some(name.clone()),
                _ => pair.up = Some(name.clone()),
            }
            pair.embedding |= matches!(part, Part::EmbeddingDown | Part::EmbeddingUp);
        }
        if !strangers.is_empty() {
            return Err(CheckpointError::AdapterStrangers { path, tensors: strangers });
        }
        let incomplete = |module: &str| CheckpointError::AdapterIncomplete {
            path: path.clone(),
            module: module.to_owned(),
        };
        for (module, pair) in &pairs {
            if !config.targets(module) {
                return Err(CheckpointError::AdapterSetting {
                    path: config.path().to_owned(),
                    key: "target_modules".into(),
                    got: format!("without `{module}`, for which the adapter has tensors"),
                });
            }
            let (Some(down), Some(up)) = (&pair.down, &pair.up) else { return Err(incomplete(module)) };
            let target = TensorName::from(format!("{module}.weight"));
            let change =
                add(base.as_ref(), &adapter, &config, module, &target, (down, up, pair.embedding), &path)?;
            changes.insert(target, change);
        }
        if config.is_explicit() {
            let matrices = base.manifest().iter().filter(|(_, info)| info.shape.len() == 2);
            for (name, _) in matrices {
                let module = name.as_str().trim_end_matches(".weight");
                if config.targets(module) && !pairs.contains_key(module) && !changes.contains_key(name) {
                    return Err(incomplete(module));
                }
            }
        }
        let mut warnings = Vec::new();
        if config.fan_in_fan_out {
            warnings.push(format!(
                "`{}` asks for fan_in_fan_out, which has no meaning for a Llama's layers and is ignored",
                config.path().display()
            ));
        }
        let trained_on = config.base;
        Ok(Self { path, base, adapter, changes, trained_on, warnings, digest: OnceLock::new() })
    }

    /// The name of the model that it was trained on, where the config has it.
    pub fn trained_on(&self) -> Option<&str> {
        self.trained_on.as_deref()
    }

    /// Whether it changes a tensor of the base.
    pub fn changes(&self, name: &TensorName) -> bool {
        self.changes.contains_key(name)
    }

    /// What the user should know about the adapter, and that does not stop the work.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// The adapter's weights.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Checks the text of an `adapter_config.json`; `path` is for messages.
pub(super) fn check_config(text: &str, path: &Path) -> Result<(), CheckpointError> {
    AdapterConfig::parse(text, path.to_owned()).map(drop)
}

fn open_weights(folder: &Path) -> Result<(PathBuf, Stored), CheckpointError> {
    let (new, old) = (folder.join("adapter_model.safetensors"), folder.join("adapter_model.bin"));
    let (file, found) = if files::is_file(&new) {
        let file = ReadAt::open(&new)?;
        let found = safetensors::header(&file)?;
        (file, found)
    } else if files::is_file(&old) {
        let file = ReadAt::open(&old)?;
        let found = pickle::header(&file)?;
        (file, found)
    } else {
        return Err(CheckpointError::MissingFile {
            folder: folder.to_owned(),
            file: "adapter_model.safetensors",
            hint: "an adapter's weights are in adapter_model.safetensors or adapter_model.bin",
        });
    };
    Ok((file.path().to_owned(), Stored::new(vec![(file, found)])))
}

/// What a tensor of an adapter is to its module.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    /// A: `[rank, in]`.
    Down,
    /// B: `[out, rank]`.
    Up,
    /// An embedding's A: `[rank, rows]`.
    EmbeddingDown,
    /// An embedding's B: `[columns, rank]`.
    EmbeddingUp,
    /// The module's own weight.
    Whole,
}

/// Module and part of a tensor's name without its prefix (peft, `utils/save_and_load.py`).
fn split(name: &str) -> Option<(&str, Part)> {
    for (end, part) in [
        (".lora_A.weight", Part::Down),
        (".lora_B.weight", Part::Up),
        (".lora_embedding_A", Part::EmbeddingDown),
        (".lora_embedding_B", Part::EmbeddingUp),
        (".modules_to_save.weight", Part::Whole),
        (".base_layer.weight", Part::Whole),
        (".weight", Part::Whole),
    ] {
        if let Some(module) = name.strip_suffix(end) {
            return Some((module, part));
        }
    }
    None
}

fn add(
    base: &dyn TensorSource,
    adapter: &Stored,
    config: &AdapterConfig,
    module: &str,
    target: &TensorName,
    (down, up, embedding): (&TensorName, &TensorName, bool),
    path: &Path,
) -> Result<Change, CheckpointError> {
    let rank = config.rank(module);
    let (rows, columns) = match base.manifest().get(target).map(|info| info.shape.as_slice()) {
        Some(&[rows, columns]) if rows > 0 && columns > 0 => (rows, columns),
        _ => {
            let tensors = vec![down.clone(), up.clone()];
            return Err(CheckpointError::AdapterStrangers { path: path.to_owned(), tensors });
        }
    };
    let (inner, outer) = if embedding { (rows, columns) } else { (columns, rows) };
    for (name, want) in [(down, vec![rank, inner]), (up, vec![outer, rank])] {
        let got = adapter.manifest().get(name).map(|info| info.shape.clone()).unwrap_or_default();
        if got != want {
            let (path, tensor) = (path.to_owned(), name.clone());
            return Err(CheckpointError::AdapterShape { path, tensor, got, want });
        }
    }
    let (down, up) = (adapter.read_all(down)?, adapter.read_all(up)?);
    // An embedding's change is (B·A)ᵀ = Aᵀ·Bᵀ.
    let (left, right) =
        if embedding { (transposed(&down, rank), transposed(&up, columns)) } else { (up, down) };
    Ok(Change::Add { left, right, rank, columns, scale: config.scale(module) })
}

/// `[rows, columns]` to `[columns, rows]`.
fn transposed(matrix: &[f32], rows: usize) -> Vec<f32> {
    let columns = matrix.len() / rows;
    (0..matrix.len()).map(|i| matrix[i % rows * columns + i / rows]).collect()
}

impl TensorSource for Lora {
    fn manifest(&self) -> &Manifest {
        self.base.manifest()
    }

    fn read(&self, name: &TensorName, span: Span, out: &mut [f32]) -> Result<(), CheckpointError> {
        let (left, right, rank, columns, scale) = match self.changes.get(name) {
            None => return self.base.read(name, span, out),
            Some(Change::Replace(own)) => {
                self.adapter.read(own, span, out)?;
                self.round(name, out);
                return Ok(());
            }
            Some(Change::Add { left, right, rank, columns, scale }) => (left, right, *rank, *columns, *scale),
        };
        self.base.read(name, span, out)?;
        let mut sum = [0.0f64; WIDTH];
        let mut done = 0;
        while done < span.len {
            let (row, column) = ((span.start + done) / columns, (span.start + done) % columns);
            let part = WIDTH.min(columns - column).min(span.len - done);
            let sum = &mut sum[..part];
            sum.fill(0.0);
            for (k, b) in left[row * rank..][..rank].iter().enumerate() {
                let a = &right[k * columns + column..][..part];
                for (s, a) in sum.iter_mut().zip(a) {
                    *s += f64::from(*b) * f64::from(*a);
                }
            }
            for (x, s) in out[done..done + part].iter_mut().zip(sum.iter()) {
                *x = (f64::from(*x) + scale * s) as f32;
            }
            done += part;
        }
        self.round(name, out);
        Ok(())
    }

    /// By the base, the adapter's tensors and their factors.
    fn digest(&self) -> Result<Digest, CheckpointError> {
        if let Some(known) = self.digest.get() {
            return Ok(*known);
        }
        let mut form = Canonical::new("lora/1")
            .digest("base", self.base.digest()?)
            .digest("adapter", self.adapter.digest()?);
        for (name, change) in &self.changes {
            form = match change {
                Change::Add { scale, .. } => form.float(name.as_str(), *scale),
                Change::Replace(own) => form.text(name.as_str(), own.as_str()),
            };
        }
        Ok(*self.digest.get_or_init(|| form.finish()))
    }
}

impl Lora {
    /// What is read is what a checkpoint of the base's element type can hold.
    fn round(&self, name: &TensorName, values: &mut [f32]) {
        if let Some(info) = self.base.manifest().get(name) {
            info.dtype.round(values);
        }
    }
}
