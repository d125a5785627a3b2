//! What can be wrong with a checkpoint.

use crate::files::FileError;
use crate::ids::TensorName;
use std::path::PathBuf;
use thiserror::Error;

/// A checkpoint that cannot be read, or not be written.
#[derive(Debug, Error)]
pub enum CheckpointError {
    /// The operating system said no.
    #[error(transparent)]
    File(#[from] FileError),
    /// There is no such folder.
    #[error("`{}` is not a folder; a model is a Hugging Face folder with config.json, tokenizer.json and safetensors", path.display())]
    NotAFolder {
        /// What was given.
        path: PathBuf,
    },
    /// A file that every model folder has is not there.
    #[error("`{}` has no `{file}`; {hint}", folder.display())]
    MissingFile {
        /// The model folder.
        folder: PathBuf,
        /// The file's name.
        file: &'static str,
        /// What to do.
        hint: &'static str,
    },
    /// A JSON file that does not parse, or lacks a field.
    #[error("`{}` is not usable: {reason}", path.display())]
    BadJson {
        /// The file.
        path: PathBuf,
        /// Where and why.
        reason: String,
    },
    /// `config.json` describes something that is not a Llama-style model.
    #[error("`{}`: `{field}` is {got}, but {want}", path.display())]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// The field.
        field: &'static str,
        /// Its value.
        got: String,
        /// What can be done with it.
        want: &'static str,
    },
    /// A safetensors file whose header or size is wrong.
    #[error("`{}` is damaged: {reason}; fetch the file again", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The index names a shard that lacks the tensor.
    #[error("the index of `{}` places `{tensor}` in `{shard}`, which does not hold it", folder.display())]
    IndexDisagrees {
        /// The model folder.
        folder: PathBuf,
        /// The tensor.
        tensor: TensorName,
        /// The shard's file name.
        shard: String,
    },
    /// An element type that no Llama checkpoint has.
    #[error("`{tensor}` in `{}` has element type {got}; {want} can be read", path.display())]
    ElementType {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: TensorName,
        /// Its type.
        got: String,
        /// What can be read from such a file.
        want: &'static str,
    },
    /// A pickle that uses something other than tensors.
    #[error("`{}` runs `{name}` when Python loads it; only tensors are read here, and nothing is run: convert it to \
             safetensors where you trust it", path.display())]
    ForbiddenName {
        /// The file.
        path: PathBuf,
        /// Module and name.
        name: String,
    },
    /// A view that is neither in row-major order nor a matrix with contiguous rows or columns.
    #[error("`{tensor}` in `{}` is a view whose elements are scattered; save it again after `.contiguous()`", path.display())]
    NotContiguous {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: TensorName,
    },
    /// A GGUF file without something that a model needs.
    #[error("`{}` has no usable `{key}` in its metadata; convert the model again", path.display())]
    MissingKey {
        /// The file.
        path: PathBuf,
        /// The key.
        key: &'static str,
    },
    /// A tensor that a Llama does not have.
    #[error("`{}` holds `{tensor}`, which no Llama has; such models cannot be read", path.display())]
    UnknownTensor {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: TensorName,
    },
    /// An adapter that is something other than plain LoRA.
    #[error("`{}`: `{key}` is {got}; plain LoRA adapters can be read (merge others with PEFT first)", path.display())]
    AdapterSetting {
        /// The file.
        path: PathBuf,
        /// The key.
        key: String,
        /// Its value.
        got: String,
    },
    /// An adapter with tensors for modules that the base has not.
    #[error("`{}` is an adapter for another model: the base has nothing for {}", path.display(), listed(tensors))]
    AdapterStrangers {
        /// The adapter's weights.
        path: PathBuf,
        /// The tensors.
        tensors: Vec<TensorName>,
    },
    /// An adapter whose matrices do not fit.
    #[error("`{}` does not fit: `{tensor}` has shape {got:?}, but the base and the adapter's config ask for {want:?}", path.display())]
    AdapterShape {
        /// The adapter's weights.
        path: PathBuf,
        /// The tensor.
        tensor: TensorName,
        /// Its shape.
        got: Vec<usize>,
        /// The shape by base and config.
        want: Vec<usize>,
    },
    /// An adapter that lacks a matrix.
    #[error("`{}` lacks matrices for `{module}`, which its config targets; fetch the file again", path.display())]
    AdapterIncomplete {
        /// The adapter's weights.
        path: PathBuf,
        /// The module.
        module: String,
    },
    /// A text that is no model reference.
    #[error("`{text}` is no model: {reason}; write PATH_OR_HUB_ID[@REVISION][+ADAPTER[@REVISION]]")]
    BadReference {
        /// What was given.
        text: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Neither a path nor a hub's id.
    #[error("there is no `{location}`, and it is no `organisation/name` of a hub")]
    NoSuchModel {
        /// What was given.
        location: String,
    },
    /// A revision of something that is on disk.
    #[error("`{location}` is on disk, where there is no revision `{revision}`; leave `@{revision}` out")]
    RevisionOfPath {
        /// The path.
        location: String,
        /// The revision.
        revision: String,
    },
    /// A folder with several GGUF files.
    #[error("`{}` holds several GGUF files ({}); name the one that is meant", folder.display(), names.join(", "))]
    SeveralModels {
        /// The folder.
        folder: PathBuf,
        /// Their file names.
        names: Vec<String>,
    },
    /// A model that is neither on disk nor can be fetched.
    #[error("`{id}` is not on disk and cannot be fetched: {reason}")]
    Hub {
        /// The hub's id, with the revision.
        id: String,
        /// Why, and what to do.
        reason: String,
    },
    /// The user asked to stop while a model was being fetched.
    #[error("stopped while fetching `{id}`; the same command goes on where it was")]
    FetchStopped {
        /// The hub's id, with the revision.
        id: String,
    },
    /// A name that is not in the manifest.
    #[error("there is no tensor `{tensor}`")]
    NoTensor {
        /// The name.
        tensor: TensorName,
    },
    /// A tensor whose shape is not what the config says.
    #[error("`{tensor}` has shape {got:?}, but config.json asks for {want:?}")]
    Shape {
        /// The tensor.
        tensor: TensorName,
        /// Its shape.
        got: Vec<usize>,
        /// The shape by the config.
        want: Vec<usize>,
    },
    /// Weights that are not those of the config beside them.
    #[error("`{}` holds other weights than its config asks for, so one of the two is incomplete or of another model: {cause}",
            path.display())]
    OtherWeights {
        /// The model: a folder or a GGUF file.
        path: PathBuf,
        /// The tensor that is missing or has another shape.
        cause: Box<CheckpointError>,
    },
    /// A file of weights is not what it was when it was opened.
    #[error("`{}` was changed while it was in use; run the command again", path.display())]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// The output is there already.
    #[error("`{}` exists already; choose another output folder or remove it", path.display())]
    OutputExists {
        /// The folder.
        path: PathBuf,
    },
    /// The user asked to stop.
    #[error("stopped; nothing was written")]
    Stopped,
    /// A weight that is no number.
    #[error(
        "`{tensor}` holds {value} at element {element}; the checkpoint is damaged (`--allow-nan` writes such weights as they \
         are)"
    )]
    NotFinite {
        /// The tensor.
        tensor: TensorName,
        /// The value: NaN or an infinity.
        value: f32,
        /// Row-major position.
        element: usize,
    },
}

impl CheckpointError {
    /// Whether nothing is wrong: the user asked to stop.
    pub fn is_stop(&self) -> bool {
        matches!(self, Self::Stopped | Self::FetchStopped { .. })
    }
}

/// The first names, and how many more there are.
fn listed(tensors: &[TensorName]) -> String {
    const SHOWN: usize = 3;
    let text = tensors.iter().take(SHOWN).map(|t| format!("`{t}`")).collect::<Vec<_>>().join(", ");
    match tensors.len().saturating_sub(SHOWN) {
        0 => text,
        more => format!("{text} and {more} more"),
    }
}
