//! **What does this model answer?**
//!
//! Text in, text out, through [`crate::completion::Complete`]. Two engines read any
//! [`crate::checkpoint::TensorSource`], a folder or a merge that nobody has written yet:
//!
//! - [`Engine`] runs many requests at once in one ragged batch, without padding. On the CPU it gives each the same bits as if it
//!   were alone: every sum has one order that depends on its own row only, never on the batch, the arrival order or the
//!   number of threads. On a GPU ([`Device`]) it runs in bfloat16, by candle's operations.
//! - [`ReferenceEngine`] is candle's own Llama, one request at a time: the oracle of the tests and the yardstick of the
//!   benches.
//!
//! Files, from the text inwards:
//!
//! - `settings`: how many sequences, how much memory, which threads; `memory`: what a model needs, and what fits beside it;
//!   `device`: where it runs
//! - `template`: an instruction to a prompt
//! - `tokenizer`: text to tokens and back; `transcript`: one answer as it grows, and when it ends; `likelihood`: how likely
//!   a given continuation is
//! - `job`: what a sequence of the batch is for; `scheduler`: who is in the batch; `guess`: what may come next;
//!   `runner`: what it asks of whoever runs the model; `sampler`: logits to a token
//! - on the CPU: `step`: one pass of the batch through the model; `kv`: the keys and values of one sequence, and the slots that
//!   sequences reuse; `llama`: the model; `load`: its weights, packed once
//! - on a GPU: `tensor`, which has all of these
//! - `serve`: our own engine behind the contract; `reference`: the oracle behind the same
//! - `masked`: BERT, behind the contract of [`crate::masked`]
//! - `error`: what can be wrong

mod device;
mod error;
mod guess;
mod job;
mod kv;
mod likelihood;
mod llama;
mod load;
mod logits;
mod masked;
mod memory;
mod reference;
mod runner;
mod sampler;
mod scheduler;
mod serve;
mod settings;
mod step;
mod template;
mod tensor;
mod tokenizer;
mod transcript;

#[cfg(test)]
mod fixture;
#[cfg(test)]
mod invariance;

pub use crate::isa::kernel_name;
pub use device::{Device, DeviceChoice};
pub use error::EngineError;
pub use llama::{Floors, matmul_gflops};
pub use masked::{MaskedBert, SentenceBert};
pub use memory::{GPU_SHARE, Limits, SHARE};
pub use reference::ReferenceEngine;
pub use serve::Engine;
pub use settings::{EngineSettings, Precision, SEQUENCES, Threads};
pub use template::{ChatTemplate, Frame};
