//! **The Llama model on candle's tensors**, for devices that are fed through them: GPUs, and the CPU for tests.
//!
//! One step is one run of all rows through the layers with few and large operations and nothing that the host waits for but the
//! logits. What depends on who is in the batch (positions, masks, places in the slots) is written down once a step and used by
//! all layers.
//!
//! - `weights`: from a source to the device, tensor by tensor
//! - `slots`: keys and values, `[slot, head, position, element]` a layer, and who has which slot
//! - `plan`: which rows a step has, and what each attends to; `model`: the layers
//! - `machine`: all of it as the scheduler wants it

mod machine;
mod model;
mod plan;
mod slots;
mod weights;

#[cfg(test)]
mod tests;

pub(crate) use machine::Machine;
pub(crate) use slots::GRAIN;

/// Bytes that a step's attention takes beside its rows: scores and the weights made of them, in f32 and in the type of values.
pub(crate) const SCORES_ROOM: u64 = (3 * size_of::<f32>() + size_of::<u16>()) as u64 * plan::SCORES as u64;
