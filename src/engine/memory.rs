//! How much memory a model takes, told from its config before anything is loaded, and how large a batch fits into the rest.

use super::device::Device;
use super::error::EngineError;
use super::kv::KvShape;
use super::llama::{LANES, packed_bytes};
use super::settings::{EngineSettings, Precision, SEQUENCES};
use super::tensor;
use crate::checkpoint::{Manifest, ModelConfig};
use crate::files;
use crate::units::TokenCount;
use std::num::NonZeroUsize;
use std::path::Path;

/// What an engine may take of the machine. None of it changes an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Bytes; where there is none, [`SHARE`] of what the machine has to spare.
    pub memory: Option<u64>,
    /// Sequences in the batch; where there is none, as many as the memory holds, up to [`SEQUENCES`].
    pub sequences: Option<NonZeroUsize>,
}

/// Part of the spare memory that an engine takes at most, if nobody says how much it may take.
pub const SHARE: f64 = 0.8;
/// The same of a GPU's memory, which nobody else is likely to want.
pub const GPU_SHARE: f64 = 0.9;
/// Tokens of a step on a GPU, which needs many to be busy.
const GPU_STEP: NonZeroUsize = NonZeroUsize::new(2048).expect("2048 is not 0");
/// Tokens of prompt and answer that a sequence is expected to need, where the context is longer.
const USUAL: usize = 2048;
/// What does not depend on the config: the program, its threads, the tokenizer, the buffers of loading.
const BASE: u64 = 96 << 20;
/// The same on a GPU: its programs, room for its library of products, and what lies between tensors.
const GPU_BASE: u64 = 512 << 20;
/// Bytes of a number.
const NUMBER: u64 = size_of::<f32>() as u64;

/// Bytes that a model takes in the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Footprint {
    /// Packed weights, and the embedding where the head is another matrix.
    weights: u64,
    /// Keys and values of one token.
    token: u64,
    /// Room to work in for one token of a step, its logits included.
    row: u64,
}

impl Footprint {
    fn of(config: &ModelConfig, manifest: &Manifest, precision: Precision) -> Self {
        let panels = |n: usize| n.next_multiple_of(LANES) as u64;
        let weights = config.tensors().into_iter().map(|(name, shape)| match shape[..] {
            [outputs, inputs] => packed_bytes(manifest, &name, (outputs, inputs), precision) as u64,
            _ => shape.iter().product::<usize>() as u64 * NUMBER,
        });
        let (d, ff) = (config.hidden_size as u64, config.intermediate_size as u64);
        let heads = (config.heads * config.head_dim) as u64;
        let qkv = panels((config.heads + 2 * config.kv_heads) * config.head_dim);
        Self {
            weights: weights.sum(),
            token: KvShape::of(config, precision).position_bytes() as u64,
            row: (2 * d + qkv + 2 * heads + 3 * ff + panels(config.vocab_size)) * NUMBER,
        }
    }

    /// Of a model as a device's tensors, whose numbers have `size` bytes, but those of the head f32's.
    fn on_device(config: &ModelConfig, size: u64) -> Self {
        let numbers = config.tensors().into_iter().map(|(_, shape)| shape.iter().product::<usize>() as u64);
        let (d, ff, vocab) =
            (config.hidden_size as u64, config.intermediate_size as u64, config.vocab_size as u64);
        let (queries, keys) =
            ((config.heads * config.head_dim) as u64, (config.kv_heads * config.head_dim) as u64);
        Self {
            weights: numbers.sum::<u64>() * size + vocab * d * (NUMBER - size),
            token: 2 * config.layers as u64 * keys * size,
            row: (5 * d + 4 * queries + 4 * keys + 4 * ff) * size + (2 * vocab + d) * NUMBER,
        }
    }
}

impl EngineSettings {
    /// As large a batch of the model of `config`, whose weights `manifest` lists, as fits into the memory of `limits`.
    ///
    /// Fails if there is no room for the weights and one sequence of 2048 tokens (or of the context, if that is shorter).
    pub fn within(
        config: &ModelConfig,
        manifest: &Manifest,
        precision: Precision,
        limits: Limits,
    ) -> Result<Self, EngineError> {
        let spare = || spare_memory().map(|bytes| (bytes as f64 * SHARE) as u64);
        let sequences = limits.sequences.unwrap_or(SEQUENCES);
        let settings = Self { max_sequences: sequences, precision, ..Self::default() };
        let Some(memory) = limits.memory.or_else(spare) else { return Ok(settings) };
        let granule = KvShape::of(config, precision).granule();
        settings.fitted(config, memory, BASE, Footprint::of(config, manifest, precision), granule)
    }

    /// The same on a device, in its own memory; where no memory is named, [`GPU_SHARE`] of what is free there.
    pub fn within_device(device: &Device, config: &ModelConfig, limits: Limits) -> Result<Self, EngineError> {
        let sequences = limits.sequences.unwrap_or(SEQUENCES);
        let settings = Self { max_sequences: sequences, step_tokens: GPU_STEP, ..Self::default() };
        let memory = match limits.memory {
            Some(memory) => Some(memory),
            None => device.free_memory()?.map(|free| (free as f64 * GPU_SHARE) as u64),
        };
        let Some(memory) = memory else { return Ok(settings) };
        let size = device.dtype.size_in_bytes() as u64;
        let base = GPU_BASE + tensor::SCORES_ROOM;
        settings.fitted(config, memory, base, Footprint::on_device(config, size), tensor::GRAIN)
    }

    /// With as many keys and values, of which a sequence takes whole granules, as fit into `memory` beside `base` bytes, the
    /// weights, and the room for a step.
    fn fitted(
        self,
        config: &ModelConfig,
        memory: u64,
        base: u64,
        needs: Footprint,
        granule: usize,
    ) -> Result<Self, EngineError> {
        let usual = config.context.min(USUAL).next_multiple_of(granule);
        let fixed = base + needs.weights + self.step_tokens.get() as u64 * needs.row;
        let needed = fixed + usual as u64 * needs.token;
        if memory < needed {
            return Err(EngineError::NoMemory { memory, needed, weights: needs.weights });
        }
        let room = usize::try_from((memory - fixed) / needs.token.max(1)).unwrap_or(usize::MAX);
        let most = self.max_sequences.get().saturating_mul(config.context.next_multiple_of(granule));
        let kv_tokens = room.min(most);
        Ok(Self { kv_tokens: TokenCount(kv_tokens), longest: TokenCount(kv_tokens), ..self })
    }
}

/// Bytes that the machine, and the control group that this process is in, have to spare; `None` where nobody says.
fn spare_memory() -> Option<u64> {
    let machine = files::read_text(Path::new("/proc/meminfo")).ok()?;
    let line = machine.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    let number = |file: &str| {
        let text = files::read_text(&Path::new("/sys/fs/cgroup").join(file)).ok()?;
        text.trim().parse::<u64>().ok()
    };
    let group = number("memory.max").zip(number("memory.current"));
    Some(group.map_or(kib << 10, |(most, now)| (kib << 10).min(most.saturating_sub(now))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::TensorSource;
    use crate::engine::fixture::{self, Memory};
    use crate::engine::kv::KvPool;

    #[test]
    fn keys_and_values_take_what_is_told() {
        let config = fixture::config();
        let kv = KvPool::new(KvShape::of(&config, Precision::Source), 64).take(64, &[]).unwrap();
        let weights = Memory::model(&config, 1);
        let needs = Footprint::of(&config, weights.manifest(), Precision::Source);
        assert_eq!(kv.bytes() as u64, 64 * needs.token);
        let rounded = Footprint::of(&config, weights.manifest(), Precision::Bf16);
        assert!(rounded.weights < needs.weights);
        let kv = KvPool::new(KvShape::of(&config, Precision::Bf16), 64).take(64, &[]).unwrap();
        assert_eq!(kv.bytes() as u64, 64 * rounded.token);
    }

    #[test]
    fn what_is_left_of_the_memory_is_for_sequences() {
        let config = fixture::config();
        let weights = Memory::model(&config, 1);
        let needs = Footprint::of(&config, weights.manifest(), Precision::Source);
        let within = |memory, sequences| {
            let limits = Limits { memory: Some(memory), sequences: NonZeroUsize::new(sequences) };
            EngineSettings::within(&config, weights.manifest(), Precision::Source, limits)
        };
        let EngineError::NoMemory { needed, .. } = within(1 << 20, 1).unwrap_err() else { panic!() };
        assert!(within(needed - 1, 1).is_err());
        let least = within(needed, 9).unwrap();
        assert_eq!((least.kv_tokens.0, least.longest.0, least.max_sequences.get()), (128, 128, 9));
        let more = within(needed + 16 * needs.token, 9).unwrap();
        assert_eq!(more.kv_tokens.0, 144);
        assert_eq!(within(needed + (1 << 30), 9).unwrap().kv_tokens.0, 9 * 128, "more is never used");
        assert_eq!(within(needed + (1 << 30), 0).unwrap().max_sequences, SEQUENCES);
    }

    #[test]
    fn a_device_holds_weights_in_its_own_type_and_the_head_in_f32() {
        let mut config = fixture::config();
        config.tied_head = false;
        let numbers: u64 = config.tensors().iter().map(|(_, s)| s.iter().product::<usize>() as u64).sum();
        let head = (config.vocab_size * config.hidden_size) as u64;
        assert_eq!(Footprint::on_device(&config, 2).weights, 2 * numbers + 2 * head);
        assert_eq!(Footprint::on_device(&config, 4).weights, 4 * numbers);
        assert_eq!(Footprint::on_device(&config, 2).token, 2 * 2 * 2 * 6 * 2, "layers, heads, width, both");
        let within = |memory| {
            let limits = Limits { memory: Some(memory), sequences: None };
            EngineSettings::within_device(&Device::host(), &config, limits)
        };
        let EngineError::NoMemory { needed, .. } = within(1 << 20).unwrap_err() else { panic!() };
        assert!(within(needed - 1).is_err());
        assert_eq!(within(needed).unwrap().kv_tokens.0, 128);
    }

    #[test]
    fn without_a_limit_the_machine_is_asked() {
        let config = fixture::config();
        let weights = Memory::model(&config, 1);
        let settings =
            EngineSettings::within(&config, weights.manifest(), Precision::Source, Limits::default())
                .unwrap();
        assert_eq!(settings.max_sequences, SEQUENCES);
        if cfg!(target_os = "linux") {
            assert!(spare_memory().is_some_and(|bytes| bytes > 1 << 20));
        }
    }
}
