//! How much memory a model takes, told from its config before anything is loaded, and how large a batch fits into the rest.

use super::error::EngineError;
use super::kv::KvShape;
use super::llama::{LANES, packed_bytes};
use super::settings::{EngineSettings, Precision, SEQUENCES};
use crate::checkpoint::{ModelConfig, TensorSource};
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
/// Tokens of prompt and answer that a sequence is expected to need, where the context is longer.
const USUAL: usize = 2048;
/// What does not depend on the config: the program, its threads, the tokenizer, the buffers of loading.
const BASE: u64 = 96 << 20;
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
    fn of(config: &ModelConfig, source: &dyn TensorSource, precision: Precision) -> Self {
        let panels = |n: usize| n.next_multiple_of(LANES) as u64;
        let weights = config.tensors().into_iter().map(|(name, shape)| match shape[..] {
            [outputs, inputs] => packed_bytes(source, &name, (outputs, inputs), precision) as u64,
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
}

impl EngineSettings {
    /// As large a batch of the model of `config`, whose weights `source` has, as fits into the memory of `limits`.
    ///
    /// Fails if there is no room for the weights and one sequence of 2048 tokens (or of the context, if that is shorter).
    pub fn within(
        config: &ModelConfig,
        source: &dyn TensorSource,
        precision: Precision,
        limits: Limits,
    ) -> Result<Self, EngineError> {
        let spare = || spare_memory().map(|bytes| (bytes as f64 * SHARE) as u64);
        let sequences = limits.sequences.unwrap_or(SEQUENCES);
        let settings = Self { max_sequences: sequences, precision, ..Self::default() };
        let Some(memory) = limits.memory.or_else(spare) else { return Ok(settings) };
        let needs = Footprint::of(config, source, precision);
        let granule = KvShape::of(config, precision).granule();
        let usual = config.context.min(USUAL).next_multiple_of(granule);
        let steps = settings.step_tokens.get() as u64 * needs.row;
        let fixed = BASE + needs.weights + steps;
        let needed = fixed + usual as u64 * needs.token;
        if memory < needed {
            return Err(EngineError::NoMemory { memory, needed, weights: needs.weights });
        }
        let room = usize::try_from((memory - fixed) / needs.token.max(1)).unwrap_or(usize::MAX);
        let kv_tokens = room.min(sequences.get().saturating_mul(config.context.next_multiple_of(granule)));
        Ok(Self { kv_tokens: TokenCount(kv_tokens), longest: TokenCount(kv_tokens), ..settings })
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
    use crate::engine::fixture::{self, Memory};
    use crate::engine::kv::KvPool;

    #[test]
    fn keys_and_values_take_what_is_told() {
        let config = fixture::config();
        let kv = KvPool::new(KvShape::of(&config, Precision::Source), 64).take(64, &[]).unwrap();
        let weights = Memory::model(&config, 1);
        let needs = Footprint::of(&config, &weights, Precision::Source);
        assert_eq!(kv.bytes() as u64, 64 * needs.token);
        let rounded = Footprint::of(&config, &weights, Precision::Bf16);
        assert!(rounded.weights < needs.weights);
        let kv = KvPool::new(KvShape::of(&config, Precision::Bf16), 64).take(64, &[]).unwrap();
        assert_eq!(kv.bytes() as u64, 64 * rounded.token);
    }

    #[test]
    fn what_is_left_of_the_memory_is_for_sequences() {
        let config = fixture::config();
        let weights = Memory::model(&config, 1);
        let needs = Footprint::of(&config, &weights, Precision::Source);
        let within = |memory, sequences| {
            let limits = Limits { memory: Some(memory), sequences: NonZeroUsize::new(sequences) };
            EngineSettings::within(&config, &weights, Precision::Source, limits)
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
    fn without_a_limit_the_machine_is_asked() {
        let config = fixture::config();
        let weights = Memory::model(&config, 1);
        let settings =
            EngineSettings::within(&config, &weights, Precision::Source, Limits::default()).unwrap();
        assert_eq!(settings.max_sequences, SEQUENCES);
        if cfg!(target_os = "linux") {
            assert!(spare_memory().is_some_and(|bytes| bytes > 1 << 20));
        }
    }
}
