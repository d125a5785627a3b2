//! One pass of the batch through the model on the CPU, by as many threads as are worth it.

use super::error::EngineError;
use super::kv::{Kv, KvPool};
use super::llama::{Llama, Piece, Room, Rope, Team};
use super::logits::Logits;
use super::runner::Runner;
use super::settings::Threads;
use crate::completion::Breakdown;
use crate::isa::Isa;
use rayon::prelude::*;

/// Multiplications below which a step stays on the calling thread.
const WORTH_SHARING: usize = 8 << 20;
/// Weights that fit a core's share of the caches, in bytes: below, each thread runs the whole model for its own
/// sequences and they meet once a step; above, and with few rows, they share every product, so that weights are read from
/// memory once.
const CACHED_WEIGHTS: usize = 24 << 20;

/// Rows of a thread that are worth reading all weights for, however large: the threads then meet once a step.
const ROWS_ALONE: usize = 64;

/// A model with what it needs to run.
#[derive(Debug)]
pub(crate) struct Machine {
    isa: Isa,
    threads: Threads,
    llama: Llama,
    rope: Rope,
    pool: KvPool,
    rooms: Vec<Room>,
    /// For each room that the last step used: the number of the piece that each of its logits belongs to.
    owners: Vec<Vec<usize>>,
    /// Tokens that were run since the beginning.
    tokens_run: u64,
}

impl Machine {
    /// A machine for `llama`, on the best instruction set of this CPU.
    pub(crate) fn new(llama: Llama, rope: Rope, threads: Threads, pool: KvPool) -> Self {
        let isa = Isa::detect();
        Self { isa, threads, llama, rope, pool, rooms: Vec::new(), owners: Vec::new(), tokens_run: 0 }
    }

    /// Exchanges the weights for others of the same config.
    pub(crate) fn exchange(&mut self, llama: Llama) {
        self.llama = llama;
        self.pool.forget();
    }
}

impl Runner for Machine {
    type Slot = Kv;

    fn take(&mut self, positions: usize, prefix: &[u32]) -> Result<Option<Kv>, EngineError> {
        let kv = self.pool.take(positions, prefix);
        if kv.is_some() {
            self.rope.reach(positions);
        }
        Ok(kv)
    }

    fn give_back(&mut self, kv: Kv) {
        self.pool.give_back(kv);
    }

    fn copy(&mut self, to: &mut Kv, from: &Kv, positions: usize) -> Result<(), EngineError> {
        to.copy(from, positions);
        Ok(())
    }

    /// How the work is shared out changes no bit: a row's numbers depend on its own sequence only.
    fn step(&mut self, pieces: Vec<Piece<'_>>) -> Result<(), EngineError> {
        let (isa, llama, rope) = (self.isa, &self.llama, &self.rope);
        let rows: usize = pieces.iter().map(|p| p.tokens.len()).sum();
        self.tokens_run += rows as u64;
        let threads = match self.threads {
            Threads::Pool if rows * llama.bytes() / size_of::<f32>() >= WORTH_SHARING => {
                rayon::current_num_threads()
            }
            _ => 1,
        };
        let apart = llama.bytes() <= CACHED_WEIGHTS || rows >= threads * ROWS_ALONE;
        let mut shares = if apart { deal(pieces, threads) } else { vec![Share::all(pieces)] };
        self.rooms.resize_with(self.rooms.len().max(shares.len()), Room::default);
        let rooms = &mut self.rooms[..shares.len()];
        match (&mut shares[..], &mut *rooms) {
            ([share], [room]) if threads == 1 => llama.run(isa, Team::Alone, rope, &mut share.pieces, room),
            // Inside a scope this runs on a thread of the pool, where each product is shared at little cost.
            ([share], [room]) => {
                rayon::scope(|_| llama.run(isa, Team::Pool, rope, &mut share.pieces, room));
            }
            (shares, rooms) => shares
                .par_iter_mut()
                .zip(rooms.par_iter_mut())
                .for_each(|(share, room)| llama.run(isa, Team::Alone, rope, &mut share.pieces, room)),
        }
        self.owners.clear();
        self.owners.extend(shares.iter().map(Share::owners));
        Ok(())
    }

    fn logits(&self) -> impl Iterator<Item = (usize, (Logits<'_>, Option<Breakdown>))> {
        let rooms = self.owners.iter().zip(&self.rooms);
        rooms.flat_map(|(owners, room)| owners.iter().copied().zip(self.llama.logits(room)))
    }

    /// As much as the first, if the weights stay in the cache.
    fn cost_of_token(&self) -> Option<f64> {
        Some(if self.llama.bytes() <= CACHED_WEIGHTS { 1.0 } else { self.llama.cost_of_row(self.isa) })
    }

    fn tokens_run(&self) -> u64 {
        self.tokens_run
    }
}

/// Pieces that one thread runs.
struct Share<'a> {
    /// The pieces' numbers in the batch.
    numbers: Vec<usize>,
    pieces: Vec<Piece<'a>>,
    rows: usize,
}

impl<'a> Share<'a> {
    fn all(pieces: Vec<Piece<'a>>) -> Self {
        let rows = pieces.iter().map(|p| p.tokens.len()).sum();
        Self { numbers: (0..pieces.len()).collect(), pieces, rows }
    }

    /// The number of the piece that each of the wanted logits belongs to.
    fn owners(&self) -> Vec<usize> {
        let pieces = self.numbers.iter().zip(&self.pieces);
        pieces.flat_map(|(&number, piece)| std::iter::repeat_n(number, piece.wanted)).collect()
    }
}

/// Deals pieces to `threads` shares of about equal rows; one share, if a piece is too large for that.
fn deal(pieces: Vec<Piece<'_>>, threads: usize) -> Vec<Share<'_>> {
    let rows: usize = pieces.iter().map(|p| p.tokens.len()).sum();
    let largest = pieces.iter().map(|p| p.tokens.len()).max().unwrap_or(0);
    if threads < 2 || pieces.len() < threads || largest * threads > rows + rows / 2 {
        return vec![Share::all(pieces)];
    }
    let mut order: Vec<(usize, Piece<'_>)> = pieces.into_iter().enumerate().collect();
    order.sort_by_key(|(_, piece)| std::cmp::Reverse(piece.tokens.len()));
    let mut shares: Vec<Share<'_>> =
        (0..threads).map(|_| Share { numbers: Vec::new(), pieces: Vec::new(), rows: 0 }).collect();
    for (number, piece) in order {
        if let Some(share) = shares.iter_mut().min_by_key(|share| share.rows) {
            share.rows += piece.tokens.len();
            share.numbers.push(number);
            share.pieces.push(piece);
        }
    }
    shares
}
