//! Grouped-query attention of a ragged batch: each sequence sees its own keys and values only.
//!
//! Work is cut into blocks of some tokens of one sequence. A block's queries of the heads that share a key head form
//! one matrix; scores, softmax and answer are two packed products around a row function. A token's sums run over the
//! positions that it may see, in their order; those that other tokens of its block see beyond them weigh exactly 0.

use super::buffer::Buffer;
use super::elementwise;
use super::half::{self, Ahead, HalfPanels, Rounded};
use super::linear::{Linear, Operand};
use super::norm::Norm;
use super::packing::Matrices;
use super::rope::Rope;
use super::simd::{self, LANES, Packed, Panels, Rows, Store, Team};
use crate::checkpoint::{CheckpointError, ModelConfig, TensorSource};
use crate::engine::kv::{Head, Kv};
use crate::engine::llama::Piece;
use crate::engine::settings::Precision;
use crate::isa::Isa;
use rayon::prelude::*;

/// Tokens of a block: few enough that little is computed beyond the diagonal, enough to fill a register tile.
const BLOCK_TOKENS: usize = 16;
/// Query rows times positions below which attention stays on the calling thread.
const WORTH_SHARING: usize = 1 << 12;
/// Sequences whose new keys are not worth waking another thread for.
const PIECES_AT_ONCE: usize = 8;

/// Weights of one attention block.
#[derive(Debug)]
pub(crate) struct Attention {
    /// `[(heads + 2 · kv_heads) · head_dim, hidden]`: queries, keys, values.
    qkv: Linear,
    /// `[hidden, heads · head_dim]`
    output: Linear,
    heads: usize,
    kv_heads: usize,
    head_dim: usize,
    /// Positions that a token sees, its own the last of them.
    window: Option<usize>,
}

/// Room to work in, kept between steps.
#[derive(Debug, Default)]
pub(crate) struct AttentionRoom {
    /// `[rows, width of qkv]`
    qkv: Buffer,
    /// `[rows, heads · head_dim]`
    answers: Buffer,
    /// One for each part of the work that may run at once.
    parts: Vec<BlockRoom>,
}

#[derive(Debug, Default)]
struct BlockRoom {
    /// `[rows of the block, head_dim]`
    queries: Buffer,
    /// `[rows of the block, positions]`
    scores: Buffer,
    /// `[rows of the block, head_dim in whole panels]`
    mixed: Buffer,
    /// Sum of the softmax numerators, `[rows of the block]`.
    sums: Vec<f32>,
    /// Queries, then weights of positions, in bfloat16.
    rounded: Rounded,
}

/// Some tokens of one piece.
#[derive(Clone, Copy, Debug)]
struct Block {
    piece: usize,
    /// Row of the block's first token in the batch.
    row: usize,
    /// Its position in its sequence.
    position: usize,
    tokens: usize,
}

impl Attention {
    /// Reads and packs the weights below `prefix`.
    pub(crate) fn load(
        source: &dyn TensorSource,
        config: &ModelConfig,
        prefix: &str,
        precision: Precision,
    ) -> Result<Self, CheckpointError> {
        let name = |part: &str| format!("{prefix}.self_attn.{part}_proj.weight").into();
        let bias = |part: &str| format!("{prefix}.self_attn.{part}_proj.bias").into();
        let (hidden, heads, kv_heads, head_dim) =
            (config.hidden_size, config.heads, config.kv_heads, config.head_dim);
        let (queries, keys) = (heads * head_dim, kv_heads * head_dim);
        let parts = [(name("q"), queries), (name("k"), keys), (name("v"), keys)];
        let matrices = Matrices::behind(&parts);
        let mut qkv = Linear::load(source, &matrices, hidden, precision)?;
        if config.biases.qkv {
            qkv = qkv.with_bias(source, &matrices, &[bias("q"), bias("k"), bias("v")])?;
        }
        let part = [(name("o"), hidden)];
        let matrix = Matrices::behind(&part);
        let mut output = Linear::load(source, &matrix, queries, precision)?;
        if config.biases.output {
            output = output.with_bias(source, &matrix, &[bias("o")])?;
        }
        Ok(Self { qkv, output, heads, kv_heads, head_dim, window: config.window })
    }

    /// Bytes of the packed weights.
    pub(crate) fn bytes(&self) -> usize {
        self.qkv.bytes() + self.output.bytes()
    }

    /// Adds the block's output to the residual stream, `residual[rows, width] += attention(norm(residual))`, and puts the
    /// new keys and values of layer `layer` into the pieces' slots.
    #[expect(
        clippy::too_many_arguments,
        reason = "the batch, its stream and the room to work in are separate things"
    )]
    pub(crate) fn add(
        &self,
        isa: Isa,
        team: Team,
        layer: usize,
        rope: &Rope,
        pieces: &mut [Piece<'_>],
        norm: &Norm,
        residual: &mut [f32],
        room: &mut AttentionRoom,
        operand: &mut Operand,
    ) {
        let rows = residual.len() / self.output.width();
        let (width, answer) = (self.qkv.width(), self.heads * self.head_dim);
        let AttentionRoom { qkv, answers, parts } = room;
        let (qkv, answers) = (qkv.of(rows * width), answers.of(rows * answer));
        let normed = |number: usize, out: &mut [f32]| norm.row(isa, residual, number, out);
        self.qkv.apply(isa, team, rows, normed, qkv, Store::Replace, operand);
        self.remember(isa, team, layer, rope, pieces, qkv);
        self.look_back(isa, team, layer, rope, pieces, qkv, answers, parts);
        let answered =
            |number: usize, out: &mut [f32]| out.copy_from_slice(&answers[number * answer..][..answer]);
        self.output.apply(isa, team, rows, answered, residual, Store::Add, operand);
    }

    /// Puts keys, turned to their positions, and values into the slots.
    fn remember(
        &self,
        isa: Isa,
        team: Team,
        layer: usize,
        rope: &Rope,
        pieces: &mut [Piece<'_>],
        qkv: &[f32],
    ) {
        if team == Team::Pool && pieces.len() >= 2 * PIECES_AT_ONCE {
            let (some, others) = pieces.split_at_mut(pieces.len() / 2);
            let rows: usize = some.iter().map(|piece| piece.tokens.len()).sum();
            let (first, rest) = qkv.split_at(rows * self.qkv.width());
            rayon::join(
                || self.remember(isa, team, layer, rope, some, first),
                || self.remember(isa, team, layer, rope, others, rest),
            );
            return;
        }
        let dim = self.head_dim;
        let turned = &mut vec![0.0; dim];
        let mut rows = qkv.chunks_exact(self.qkv.width());
        let mut pieces = pieces.iter_mut().peekable();
        while let Some(piece) = pieces.next() {
            if let Some(next) = pieces.peek() {
                next.kv.fetch(layer);
            }
            let start = piece.kv.len();
            for (position, row) in (start..start + piece.tokens.len()).zip(&mut rows) {
                let (keys, values) = row[self.heads * dim..].split_at(self.kv_heads * dim);
                isa.run(
                    #[inline(always)]
                    || {
                        for head in 0..self.kv_heads {
                            rope.turn(&keys[head * dim..][..dim], position, turned);
                            piece.kv.put(layer, head, position, turned, &values[head * dim..][..dim]);
                        }
                    },
                );
            }
            piece.kv.clear(layer, start + piece.tokens.len());
        }
    }

    /// Computes `answers[rows, heads · head_dim]`.
    #[expect(clippy::too_many_arguments, reason = "as `add`")]
    fn look_back(
        &self,
        isa: Isa,
        team: Team,
        layer: usize,
        rope: &Rope,
        pieces: &[Piece<'_>],
        qkv: &[f32],
        answers: &mut [f32],
        rooms: &mut Vec<BlockRoom>,
    ) {
        let blocks = blocks(pieces);
        let cost = |b: &Block| b.tokens * self.heads * (b.position + b.tokens);
        let total: usize = blocks.iter().map(cost).sum();
        let parts = match team {
            Team::Pool if total >= WORTH_SHARING => rayon::current_num_threads().min(blocks.len()),
            _ => 1,
        };
        rooms.resize_with(rooms.len().max(parts), BlockRoom::default);
        // Consecutive blocks of about equal cost, each with the rows of `answers` that it fills.
        let width = self.heads * self.head_dim;
        let (mut shares, mut left, mut blocks) = (Vec::with_capacity(parts), answers, blocks.as_slice());
        let mut spent = 0;
        for (part, room) in rooms.iter_mut().take(parts).enumerate() {
            let limit = total * (part + 1) / parts;
            let mut count = 0;
            while count < blocks.len() && (spent < limit || part + 1 == parts) {
                spent += cost(&blocks[count]);
                count += 1;
            }
            let (mine, rest) = blocks.split_at(count);
            blocks = rest;
            let rows: usize = mine.iter().map(|b| b.tokens).sum();
            let (out, rest) = left.split_at_mut(rows * width);
            left = rest;
            shares.push((mine, out, room));
        }
        let work = |(blocks, mut out, room): (&[Block], &mut [f32], &mut BlockRoom)| {
            for (number, block) in blocks.iter().enumerate() {
                let (now, rest) = std::mem::take(&mut out).split_at_mut(block.tokens * width);
                let next = blocks.get(number + 1).map(|next| &*pieces[next.piece].kv);
                self.block(isa, layer, rope, *block, (pieces[block.piece].kv, next), qkv, now, room);
                out = rest;
            }
        };
        if shares.len() == 1 {
            shares.into_iter().for_each(work);
        } else {
            shares.into_par_iter().for_each(work);
        }
    }

    /// One block: `answers[tokens, heads · head_dim]`, and whose keys are wanted next.
    #[expect(clippy::too_many_arguments, reason = "as `add`")]
    fn block(
        &self,
        isa: Isa,
        layer: usize,
        rope: &Rope,
        block: Block,
        (kv, next): (&Kv, Option<&Kv>),
        qkv: &[f32],
        answers: &mut [f32],
        room: &mut BlockRoom,
    ) {
        let (dim, group) = (self.head_dim, self.heads / self.kv_heads);
        let scale = 1.0 / (dim as f32).sqrt();
        let rows = block.tokens * group;
        let seen_by_last = block.position + block.tokens;
        let stride = kv.whole(seen_by_last);
        let mixed_width = dim.next_multiple_of(LANES);
        let BlockRoom { queries, scores, mixed, sums, rounded } = room;
        let queries = queries.of(rows * dim);
        let (scores, mixed) = (scores.of(rows * stride), mixed.of(rows * mixed_width));
        sums.resize(rows, 0.0);
        for kv_head in 0..self.kv_heads {
            // Row `token · group + member` is the query of head `kv_head · group + member`.
            isa.run(
                #[inline(always)]
                || {
                    for (row, query) in queries.chunks_exact_mut(dim).enumerate() {
                        let (token, head) = (row / group, kv_head * group + row % group);
                        let from = &qkv[(block.row + token) * self.qkv.width() + head * dim..][..dim];
                        rope.turn(from, block.position + token, query);
                    }
                },
            );
            let head = kv.head(layer, kv_head);
            let next = if kv_head + 1 < self.kv_heads {
                Some(kv.head(layer, kv_head + 1))
            } else {
                next.map(|kv| kv.head(layer, 0))
            };
            let x = Rows { data: queries, stride: dim, count: rows };
            let count = stride / LANES;
            match head {
                Head::Full(keys, _) => {
                    let keys = Panels { lanes: Packed::Full(keys), stride: dim, count, depth: dim };
                    simd::multiply(isa, Team::Alone, x, keys, scores, stride, Store::Replace);
                }
                Head::Half(keys, values) => {
                    let depth = half::pairs(dim);
                    let ahead = Ahead::of_values(values, kv.capacity() / 2);
                    let keys = HalfPanels { pairs: keys, stride: depth, count, depth, ahead: Some(ahead) };
                    rounded.fill(isa, x, dim);
                    half::multiply(isa, Team::Alone, rounded, keys, scores, stride, Store::Replace);
                }
            }
            for ((row, scores), sum) in scores.chunks_exact_mut(stride).enumerate().zip(&mut *sums) {
                let (seen, hidden) = scores.split_at_mut(block.position + row / group + 1);
                let (passed, seen) =
                    seen.split_at_mut(seen.len() - self.window.unwrap_or(seen.len()).min(seen.len()));
                *sum = elementwise::softmax_numerators(isa, seen, scale);
                passed.fill(0.0);
                hidden.fill(0.0);
            }
            let x = Rows { data: scores, stride, count: rows };
            let count = mixed_width / LANES;
            match head {
                Head::Full(_, values) => {
                    let lanes = Packed::Full(values);
                    let values = Panels { lanes, stride: kv.capacity(), count, depth: seen_by_last };
                    simd::multiply(isa, Team::Alone, x, values, mixed, mixed_width, Store::Replace);
                }
                Head::Half(_, values) => {
                    let (stride, depth) = (kv.capacity() / 2, half::pairs(seen_by_last));
                    let ahead = match next {
                        Some(Head::Half(keys, _)) => Some(Ahead::of_keys(keys, depth)),
                        _ => None,
                    };
                    let values = HalfPanels { pairs: values, stride, count, depth, ahead };
                    rounded.fill(isa, x, seen_by_last);
                    half::multiply(isa, Team::Alone, rounded, values, mixed, mixed_width, Store::Replace);
                }
            }
            for ((row, mixed), sum) in mixed.chunks_exact(mixed_width).enumerate().zip(&*sums) {
                let (token, head) = (row / group, kv_head * group + row % group);
                let to = &mut answers[(token * self.heads + head) * dim..][..dim];
                for (to, &mixed) in to.iter_mut().zip(mixed) {
                    *to = mixed / sum;
                }
            }
        }
    }
}

fn blocks(pieces: &[Piece<'_>]) -> Vec<Block> {
    let (mut blocks, mut row) = (Vec::new(), 0);
    for (number, piece) in pieces.iter().enumerate() {
        let mut done = 0;
        while done < piece.tokens.len() {
            let tokens = BLOCK_TOKENS.min(piece.tokens.len() - done);
            blocks.push(Block { piece: number, row, position: piece.kv.len() + done, tokens });
            done += tokens;
            row += tokens;
        }
    }
    blocks
}
