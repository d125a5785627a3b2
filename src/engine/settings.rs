//! How much an engine may use.

use crate::units::TokenCount;
use std::num::NonZeroUsize;

/// Sequences above which a larger batch brings no more speed.
pub const SEQUENCES: NonZeroUsize = NonZeroUsize::new(64).expect("64 is not 0");

/// How much an engine may use, and how it keeps weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EngineSettings {
    /// Sequences that are in the batch at once.
    pub max_sequences: NonZeroUsize,
    /// Tokens whose keys and values are held at once, over all sequences: each takes prompt + `max_tokens` (within the
    /// context) when it enters. A request that alone needs more than this runs alone.
    pub kv_tokens: TokenCount,
    /// A request that alone needs more than this is refused.
    pub longest: TokenCount,
    /// Tokens that one step runs at most. Long prompts are cut into pieces of this, so that other sequences go on
    /// meanwhile.
    pub step_tokens: NonZeroUsize,
    /// Who computes.
    pub threads: Threads,
    /// Guesses of next tokens that a step tries at most. `None` for those that are likely enough to come true for what they cost
    /// on this machine, 0 for none. It changes no answer.
    pub guess_tokens: Option<usize>,
    /// How weights are kept; the one setting that changes answers.
    pub precision: Precision,
}

/// How weights, and what is multiplied with them, are kept. Sums are in f32 whatever they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    /// Weights with the numbers that the source has, in bfloat16 where it stores them so, else in f32; everything else in f32.
    #[default]
    Source,
    /// The weights of matrices rounded to bfloat16, to nearest with ties to even, and so is what they are multiplied with: the
    /// normed rows before attention and feed-forward block, the answers of attention, the gated rows; queries, keys and values
    /// after the rotary turn; the numerators of the softmax; the rows before the head. The residual stream, the norms, the
    /// softmax itself and all sums stay in f32. Half the memory of f32, and several times the speed where the CPU multiplies
    /// bfloat16.
    Bf16,
}

/// Who computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Threads {
    /// The rayon pool of the caller: the global one, or that of `ThreadPool::install`.
    Pool,
    /// The calling thread only.
    Caller,
}

impl Default for EngineSettings {
    /// 64 sequences, 32768 tokens of keys and values, no request too long, steps of 512 tokens, all threads.
    fn default() -> Self {
        const STEP: NonZeroUsize = NonZeroUsize::new(512).expect("512 is not 0");
        Self {
            max_sequences: SEQUENCES,
            kv_tokens: TokenCount(32_768),
            longest: TokenCount(usize::MAX),
            step_tokens: STEP,
            threads: Threads::Pool,
            guess_tokens: None,
            precision: Precision::Source,
        }
    }
}
