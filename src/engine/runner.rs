//! What the scheduler asks of whoever runs the model, on the CPU or on a GPU.

use super::error::EngineError;
use super::kv::common;
use super::llama::Piece;
use super::logits::Logits;
use crate::completion::Breakdown;

/// Keys and values of one sequence, wherever they are.
pub(crate) trait Slot {
    /// The tokens whose keys and values fill the first positions in every layer.
    fn tokens(&self) -> &[u32];

    /// Positions filled.
    fn len(&self) -> usize {
        self.tokens().len()
    }

    /// Forgets what lies behind the first `positions`.
    fn keep(&mut self, positions: usize);

    /// With how many of `tokens` it begins.
    fn shared(&self, tokens: &[u32]) -> usize {
        common(self.tokens(), tokens)
    }
}

/// Runs pieces of sequences through a model, and keeps their keys and values.
pub(crate) trait Runner {
    /// What a sequence is given.
    type Slot: Slot;

    /// A slot with room for `positions`, if the budget has that much left, filled with as much of `prefix` as is known of an
    /// earlier sequence. With nothing given out a slot of any size is granted: a request that alone is over the budget runs
    /// alone.
    fn take(&mut self, positions: usize, prefix: &[u32]) -> Result<Option<Self::Slot>, EngineError>;

    /// Takes a slot back; what fills it may serve another sequence that begins so.
    fn give_back(&mut self, slot: Self::Slot);

    /// `to` takes over the first `positions` of `from`, which begins with all tokens of `to`.
    fn copy(&mut self, to: &mut Self::Slot, from: &Self::Slot, positions: usize) -> Result<(), EngineError>;

    /// Runs `pieces` and fills their slots.
    fn step(&mut self, pieces: Vec<Piece<'_, Self::Slot>>) -> Result<(), EngineError>;

    /// The logits that the pieces of the last step wanted, each with its piece's number and the place where its sequence broke
    /// down, those of one piece together and in the order of its tokens. All are told if one piece looks at all of its own.
    fn logits(&self) -> impl Iterator<Item = (usize, (Logits<'_>, Option<Breakdown>))>;

    /// What one more token costs a step, in times of a step with one. `None`, if it must not be asked to run guesses.
    fn cost_of_token(&self) -> Option<f64>;

    /// Tokens that were run since the beginning: less than were asked for, where beginnings are shared.
    fn tokens_run(&self) -> u64;
}
