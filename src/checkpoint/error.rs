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
    #[error("`{tensor}` in `{}` has element type {got}; f32, f16 and bf16 can be read", path.display())]
    ElementType {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: TensorName,
        /// Its type.
        got: String,
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
    #[error("`{tensor}` holds {value} at element {element}; the checkpoint is damaged")]
    NotFinite {
        /// The tensor.
        tensor: TensorName,
        /// The value: NaN or an infinity.
        value: f32,
        /// Row-major position.
        element: usize,
    },
}
