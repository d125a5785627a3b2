//! The decoder: embedding, layers, final norm, head.

use super::attention::{Attention, AttentionRoom};
use super::buffer::Buffer;
use super::linear::{Linear, Operand};
use super::mlp::Mlp;
use super::norm::Norm;
use super::rope::Rope;
use super::simd::{Store, Team};
use crate::completion::Breakdown;
use crate::dtype::first_not_finite;
use crate::engine::kv::Kv;
use crate::engine::logits::{Logits, NotANumber};
use crate::isa::Isa;

/// Consecutive tokens of one sequence, to be run in this step.
pub(crate) struct Piece<'a, S = Kv> {
    /// At least one token; the first has position `kv.len()`.
    pub(crate) tokens: &'a [u32],
    /// Keys and values of the tokens before, with room for these.
    pub(crate) kv: &'a mut S,
    /// How many of these tokens, counted from the last, are asked for the logits after them.
    pub(crate) wanted: usize,
    /// Whether all of these logits are, and not just which is the largest.
    pub(crate) looks_at_all: bool,
}

/// The weights of a Llama.
#[derive(Debug)]
pub(crate) struct Llama {
    pub(super) hidden: usize,
    pub(super) vocab: usize,
    /// `[vocab, hidden]`, if the head is not tied to it.
    pub(crate) embedding: Option<Linear>,
    pub(crate) layers: Vec<Layer>,
    pub(crate) norm: Norm,
    /// `[vocab, hidden]`
    pub(crate) head: Linear,
}

/// One decoder layer.
#[derive(Debug)]
pub(crate) struct Layer {
    pub(crate) attention_norm: Norm,
    pub(crate) attention: Attention,
    pub(crate) mlp_norm: Norm,
    pub(crate) mlp: Mlp,
}

/// Room to work in, kept between steps so that a step allocates next to nothing.
#[derive(Debug, Default)]
pub(crate) struct Room {
    /// The residual stream, `[rows, hidden in whole panels]`.
    residual: Buffer,
    attention: AttentionRoom,
    /// `[rows, twice the intermediate size in whole panels]`, where the gate is not folded at once.
    wide: Buffer,
    operands: [Operand; 2],
    /// `[rows whose logits are wanted, vocab in whole panels]`, if all are asked for.
    logits: Vec<f32>,
    /// The largest logit of these rows, if only that is.
    tops: Vec<Result<u32, NotANumber>>,
    /// Where each row broke down.
    broken: Vec<Option<Breakdown>>,
}

/// Takes note of the rows `[stream]` that are not finite, unless they were so before.
fn note(broken: &mut [Option<Breakdown>], residual: &[f32], stream: usize, place: Breakdown) {
    if first_not_finite(residual).is_some() {
        for (broken, row) in broken.iter_mut().zip(residual.chunks_exact(stream)) {
            *broken = broken.or_else(|| first_not_finite(row).map(|_| place));
        }
    }
}

impl Llama {
    /// A model of loaded parts.
    pub(crate) fn new(
        (vocab, hidden): (usize, usize),
        embedding: Option<Linear>,
        layers: Vec<Layer>,
        norm: Norm,
        head: Linear,
    ) -> Self {
        Self { hidden, vocab, embedding, layers, norm, head }
    }

    /// Bytes of weights that every step reads.
    pub(crate) fn bytes(&self) -> usize {
        let layers: usize = self.layers.iter().map(|l| l.attention.bytes() + l.mlp.bytes()).sum();
        layers + self.head.bytes()
    }

    /// What one more row costs where the weights come from memory, in times of the first.
    pub(crate) fn cost_of_row(&self, isa: Isa) -> f64 {
        self.head.cost_of_row(isa)
    }

    /// Runs the pieces' tokens, fills their keys and values, and leaves the logits that are wanted in `room`, from where
    /// [`Llama::logits`] takes them.
    ///
    /// Each row's numbers depend on its own sequence only.
    ///
    /// # Panics
    /// If a token id is outside the vocabulary, a slot is full or `rope` does not reach a position.
    pub(crate) fn run(&self, isa: Isa, team: Team, rope: &Rope, pieces: &mut [Piece<'_>], room: &mut Room) {
        let hidden = self.hidden;
        let rows: usize = pieces.iter().map(|p| p.tokens.len()).sum();
        let stream = hidden.next_multiple_of(super::LANES);
        let Room { residual, attention, wide, operands, logits, tops, broken } = room;
        let residual = residual.of(rows * stream);
        let tokens = pieces.iter().flat_map(|p| p.tokens);
        for (&token, row) in tokens.zip(residual.chunks_exact_mut(stream)) {
            self.embed(token as usize, row);
        }
        broken.clear();
        broken.resize(rows, None);
        note(broken, residual, stream, Breakdown::Embedding);
        for (number, layer) in self.layers.iter().enumerate() {
            let Layer { attention_norm, mlp_norm, mlp, .. } = layer;
            layer.attention.add(
                isa,
                team,
                number,
                rope,
                pieces,
                attention_norm,
                residual,
                attention,
                &mut operands[0],
            );
            mlp.add(isa, team, mlp_norm, residual, wide, operands);
            note(broken, residual, stream, Breakdown::Layer(number));
        }
        // Only the last rows of a piece go on; these rows are moved to the front.
        let (mut past, mut wanted) = (0, 0);
        let look_at_all = pieces.iter().any(|piece| piece.looks_at_all && piece.wanted > 0);
        for piece in pieces {
            let first = past;
            past += piece.tokens.len();
            piece.kv.advance(piece.tokens);
            residual.copy_within((past - piece.wanted) * stream..past * stream, wanted * stream);
            // What one token broke, those after it see.
            let mut place = None;
            for row in first..past {
                place = [place, broken[row]].into_iter().flatten().min();
                if row >= past - piece.wanted {
                    broken[wanted] = place;
                    wanted += 1;
                }
            }
        }
        let normed = |number: usize, out: &mut [f32]| self.norm.row(isa, residual, number, out);
        let operand = &mut operands[0];
        if look_at_all {
            tops.clear();
            logits.resize(wanted * self.head.width(), 0.0);
            self.head.apply(isa, team, wanted, normed, logits, Store::Replace, operand);
        } else {
            logits.clear();
            self.head.tops(isa, team, wanted, normed, tops, operand);
        }
    }

    /// The logits that the last run left in `room`, in the order of the pieces and of the tokens that wanted them, each with the
    /// place where its sequence broke down.
    pub(crate) fn logits<'r>(&self, room: &'r Room) -> impl Iterator<Item = (Logits<'r>, Option<Breakdown>)> {
        // One of the two is empty.
        let all = room.logits.chunks_exact(self.head.width()).map(|row| Logits::All(&row[..self.vocab]));
        let tops = room.tops.iter().map(|&top| Logits::Top(top));
        all.chain(tops).zip(room.broken.iter().copied())
    }

    /// Writes the embedding of `token` into the first `hidden` numbers of `row`, and 0 behind them.
    fn embed(&self, token: usize, row: &mut [f32]) {
        assert!(token < self.vocab, "token {token} is outside the vocabulary of {}", self.vocab);
        let (row, behind) = row.split_at_mut(self.hidden);
        behind.fill(0.0);
        self.embedding.as_ref().unwrap_or(&self.head).row(token, row);
    }
}
