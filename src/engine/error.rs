//! What can be wrong with a model that is to be run.

use crate::checkpoint::CheckpointError;
use thiserror::Error;

/// A model that cannot be run, or an engine that failed.
#[derive(Debug, Error)]
pub enum EngineError {
    /// The weights cannot be read, or are not what the config says.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// `tokenizer.json` does not parse.
    #[error(
        "tokenizer.json cannot be used: {reason}; save the fast tokenizer beside the weights (transformers: `tokenizer.save_pretrained`)"
    )]
    Tokenizer {
        /// The tokenizer library's own words.
        reason: String,
    },
    /// The tokenizer knows more tokens than the embedding has rows.
    #[error(
        "tokenizer.json gives `{token}` the id {id}, but the embedding `model.embed_tokens.weight` has {rows} rows; the tokenizer belongs to another model, or the embedding must be resized"
    )]
    TokenizerTooLarge {
        /// The token with the largest id.
        token: String,
        /// Its id.
        id: u32,
        /// Rows of the embedding.
        rows: usize,
    },
    /// A chat template that cannot be used.
    #[error(
        "the model's chat template cannot be used: {reason}; give prompts as they are, or in a frame that is known by name"
    )]
    ChatTemplate {
        /// What is wrong.
        reason: String,
    },
    /// A model that is not for conversations.
    #[error(
        "the model has no chat template (neither chat_template.jinja nor `chat_template` in tokenizer_config.json); give prompts as they are, or in a frame that is known by name"
    )]
    NoChatTemplate,
    /// `generation_config.json` does not parse.
    #[error("generation_config.json cannot be used: {reason}; correct it or remove it")]
    GenerationConfig {
        /// Where and why.
        reason: String,
    },
    /// Generated tokens that the tokenizer cannot turn into text.
    #[error(
        "the tokenizer cannot decode what was generated: {reason}; tokenizer.json does not belong to these weights"
    )]
    Undecodable {
        /// The tokenizer library's own words.
        reason: String,
    },
    /// Logits were asked for after a token that does not exist.
    #[error("token {id} at position {position} is outside the embedding of {rows} rows")]
    UnknownToken {
        /// The id.
        id: u32,
        /// Its place in the input.
        position: usize,
        /// Rows of the embedding.
        rows: usize,
    },
    /// Logits were asked for after no token, or after more than the context holds.
    #[error("logits need between 1 and {context} tokens (the model's context), but got {tokens}")]
    TokenCount {
        /// Tokens given.
        tokens: usize,
        /// The model's context.
        context: usize,
    },
    /// A model that is larger than the memory.
    #[error(
        "the model needs {} MB of memory ({} MB of them for its weights), but {} MB may be used; give more with --memory, or free some",
        .needed / 1_000_000,
        .weights / 1_000_000,
        .memory / 1_000_000
    )]
    NoMemory {
        /// Bytes that may be used.
        memory: u64,
        /// Bytes that are needed to run one sequence.
        needed: u64,
        /// Bytes of the weights.
        weights: u64,
    },
    /// The reference engine derives the width of a head from the hidden size and knows no other.
    #[error(
        "the reference engine needs `head_dim` = hidden_size / num_attention_heads = {derived}, but config.json says {head_dim}; use the packed engine"
    )]
    ReferenceHeadDim {
        /// From the config.
        head_dim: usize,
        /// What the reference would use.
        derived: usize,
    },
    /// A masked language model or a sentence encoder that is none, or whose files do not belong together.
    #[error("`{}` cannot be used as a BERT model: {reason}", path.display())]
    Masked {
        /// The file or folder.
        path: std::path::PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// candle's Llama is plain.
    #[error("the reference engine has no {what}; use the packed engine")]
    ReferenceLacks {
        /// What this model needs.
        what: &'static str,
    },
    /// A GPU was named.
    #[error(
        "this m3 was built without GPUs; scripts/cuda/build.sh builds one that has them (docs/gpu.md), --device cpu runs without"
    )]
    NotBuiltForGpus,
    /// A GPU that cannot be opened.
    #[error(
        "GPU {number} cannot be used: {reason}; is there one, with a driver, and does the loader find libcuda.so.1 and CUDA's \
         libcublas.so.13 and libcurand.so.10 (CUDA_SHIM_PATH names more folders for them, CUDA_SHIM_DEBUG=1 tells which is \
         missing)? --device cpu runs without"
    )]
    NoGpu {
        /// Its number.
        number: usize,
        /// The driver's own words.
        reason: String,
    },
    /// A GPU says how much memory it has, or a device is not read.
    #[error("the GPU does not say how much memory it has")]
    Device(#[source] candle_core::Error),
    /// Weights were exchanged, and the new ones could not be read.
    #[error("the model has no weights since an exchange of them failed; load it again")]
    NoWeights,
    /// candle, which runs the reference engine and models on a GPU, failed.
    #[error("candle failed while it ran the model")]
    Candle(#[from] candle_core::Error),
}
