//! Which rows a step has, and what each attends to: written down once a step, used by all layers.
//!
//! The rows of sequences that run one token come first, one for each slot from the first of them to the last: a slot between them
//! whose sequence does not run has a row too, which is computed and forgotten. So keys, values, queries and answers of all of
//! them are one batch as they lie. The rows of prompts follow, piece by piece.

use super::slots::{Place, Slots};
use crate::engine::device::Device;
use crate::engine::llama::{Piece, Rope};
use crate::engine::runner::Slot;
use candle_core::{Result, Tensor};
use std::ops::Range;

/// Scores that are computed at once at most.
pub(super) const SCORES: usize = 1 << 26;

/// Heads of a model, and how far a token sees.
#[derive(Clone, Copy, Debug)]
pub(super) struct Heads {
    pub(super) queries: usize,
    pub(super) keys: usize,
    pub(super) dim: usize,
    /// Positions that a token sees, its own the last of them.
    pub(super) window: Option<usize>,
}

impl Heads {
    /// Query heads that share a key head.
    pub(super) fn group(self) -> usize {
        self.queries / self.keys
    }

    /// The first position that the one at `position` sees.
    fn first_seen(self, position: usize) -> usize {
        self.window.map_or(0, |window| (position + 1).saturating_sub(window))
    }
}

/// A step.
pub(super) struct Plan {
    /// Token ids, `[rows]`.
    pub(super) ids: Tensor,
    /// Cosines and sines of each row's position, `[rows, head_dim / 2]`.
    pub(super) turns: (Tensor, Tensor),
    /// The same times 1 / √head_dim, for queries.
    pub(super) query_turns: (Tensor, Tensor),
    /// The sequences that run one token, the first rows.
    pub(super) singles: Option<Singles>,
    pub(super) prompts: Vec<Prompt>,
    /// The rows whose logits are wanted; none if there are none.
    pub(super) wanted: Option<Tensor>,
    /// The number of the piece that each of them belongs to.
    pub(super) owners: Vec<usize>,
    /// The rows of each piece.
    pub(super) rows: Vec<Range<usize>>,
}

/// Neighbouring slots, each with one row.
pub(super) struct Singles {
    pub(super) first: usize,
    pub(super) count: usize,
    /// Where in its slot each row's keys and values go, `[count, kv_heads, 1, head_dim]`; `u32::MAX` for nowhere.
    pub(super) places: Tensor,
    pub(super) parts: Vec<Part>,
}

/// Some of these slots.
pub(super) struct Part {
    /// Counted from the first of the singles.
    pub(super) first: usize,
    pub(super) count: usize,
    /// Positions that are looked at.
    pub(super) length: usize,
    /// 0 where a row sees a position, −∞ where not: `[count, kv_heads, group, length]` in f32.
    pub(super) mask: Tensor,
}

/// A piece of several tokens.
pub(super) struct Prompt {
    pub(super) row: usize,
    pub(super) slot: usize,
    pub(super) position: usize,
    pub(super) tokens: usize,
    pub(super) blocks: Vec<Block>,
}

/// Some tokens of such a piece.
pub(super) struct Block {
    /// Counted from the first of the piece.
    pub(super) first: usize,
    pub(super) tokens: usize,
    /// Positions that are looked at.
    pub(super) length: usize,
    /// As in [`Part`]: `[1, tokens, 1, length]`.
    pub(super) mask: Tensor,
}

impl Plan {
    /// The plan of a step with these pieces.
    pub(super) fn new(
        device: &Device,
        heads: Heads,
        rope: &Rope,
        slots: &Slots,
        pieces: &[Piece<'_, Place>],
    ) -> Result<Self> {
        let single = |piece: &&Piece<'_, Place>| piece.tokens.len() == 1;
        let taken: Vec<usize> = pieces.iter().filter(single).map(|piece| slots.row(piece.kv)).collect();
        let first = taken.iter().copied().min().unwrap_or(0);
        let count = taken.iter().max().map_or(0, |last| last + 1 - first);
        // Token, position, and place in its slot of every row.
        let mut rows: Vec<(u32, usize)> = vec![(0, 0); count];
        let mut seen: Vec<Option<usize>> = vec![None; count];
        let mut ranges = Vec::with_capacity(pieces.len());
        let mut prompts = Vec::new();
        for piece in pieces {
            let (slot, position) = (slots.row(piece.kv), piece.kv.len());
            if let &[token] = piece.tokens {
                let row = slot - first;
                rows[row] = (token, position);
                seen[row] = Some(position);
                ranges.push(row..row + 1);
            } else {
                let (row, tokens) = (rows.len(), piece.tokens.len());
                rows.extend(piece.tokens.iter().copied().zip(position..));
                ranges.push(row..row + tokens);
                let blocks = blocks(device, heads, position, tokens)?;
                prompts.push(Prompt { row, slot, position, tokens, blocks });
            }
        }
        let wanted: Vec<(usize, u32)> = pieces
            .iter()
            .zip(&ranges)
            .enumerate()
            .flat_map(|(number, (piece, rows))| {
                (rows.end - piece.wanted..rows.end).map(move |row| (number, row as u32))
            })
            .collect();
        let (owners, wanted): (Vec<usize>, Vec<u32>) = wanted.into_iter().unzip();
        let singles = if count > 0 { Some(singles(device, heads, first, &seen)?) } else { None };
        let positions: Vec<usize> = rows.iter().map(|&(_, position)| position).collect();
        let ids: Vec<u32> = rows.iter().map(|&(token, _)| token).collect();
        Ok(Self {
            ids: Tensor::from_vec(ids, rows.len(), &device.inner)?,
            turns: turns(device, rope, &positions, 1.0)?,
            query_turns: turns(device, rope, &positions, 1.0 / (heads.dim as f32).sqrt())?,
            singles,
            prompts,
            wanted: match wanted.len() {
                0 => None,
                count => Some(Tensor::from_vec(wanted, count, &device.inner)?),
            },
            owners,
            rows: ranges,
        })
    }
}

/// Cosines and sines of positions, times `scale`.
fn turns(device: &Device, rope: &Rope, positions: &[usize], scale: f32) -> Result<(Tensor, Tensor)> {
    let half = rope.at(0).len();
    let of = |pick: fn(&(f32, f32)) -> f32| {
        let all = positions.iter().flat_map(|&position| rope.at(position));
        let all: Vec<f32> = all.map(|turn| pick(turn) * scale).collect();
        Tensor::from_vec(all, (positions.len(), half), &device.inner)?.to_dtype(device.dtype)
    };
    Ok((of(|turn| turn.0)?, of(|turn| turn.1)?))
}

/// Slots from `first` on; of each, the position that its row has, or none if its row is to be forgotten.
fn singles(device: &Device, heads: Heads, first: usize, seen: &[Option<usize>]) -> Result<Singles> {
    let count = seen.len();
    let places = seen.iter().map(|position| position.map_or(u32::MAX, |position| position as u32)).collect();
    let places = Tensor::from_vec::<_, u32>(places, (count, 1, 1, 1), &device.inner)?;
    let places = places.broadcast_as((count, heads.keys, 1, heads.dim))?.contiguous()?;
    let longest = seen.iter().flatten().max().map_or(1, |position| position + 1);
    let at_once = (SCORES / (heads.queries * longest)).max(1);
    let parts = seen.chunks(at_once).enumerate().map(|(number, seen)| {
        let (first, count) = (number * at_once, seen.len());
        let length = seen.iter().flatten().max().map_or(1, |position| position + 1);
        let mut mask = vec![f32::NEG_INFINITY; count * length];
        for (row, position) in mask.chunks_exact_mut(length).zip(seen) {
            // A row that is to be forgotten sees something too, so that it has numbers.
            let position = position.unwrap_or(0);
            row[heads.first_seen(position)..=position].fill(0.0);
        }
        let mask = Tensor::from_vec(mask, (count, 1, 1, length), &device.inner)?;
        let mask = mask.broadcast_as((count, heads.keys, heads.group(), length))?.contiguous()?;
        Ok(Part { first, count, length, mask })
    });
    Ok(Singles { first, count, places, parts: parts.collect::<Result<_>>()? })
}

/// The blocks of a piece of so many tokens from `position` on.
fn blocks(device: &Device, heads: Heads, position: usize, tokens: usize) -> Result<Vec<Block>> {
    let at_once = (SCORES / (heads.queries * (position + tokens))).max(1);
    (0..tokens)
        .step_by(at_once)
        .map(|first| {
            let count = at_once.min(tokens - first);
            let length = position + first + count;
            let mut mask = vec![f32::NEG_INFINITY; count * length];
            for (row, position) in mask.chunks_exact_mut(length).zip(position + first..) {
                row[heads.first_seen(position)..=position].fill(0.0);
            }
            let mask = Tensor::from_vec(mask, (1, count, 1, length), &device.inner)?;
            Ok(Block { first, tokens: count, length, mask })
        })
        .collect()
}
