//! The matrix product in bfloat16: rows times packed panels, both in bfloat16, summed in f32.
//!
//! Panels hold 16 columns, as those of [`super::simd`], but two consecutive `k` side by side. Depth is padded with zeros
//! to whole blocks of 32 `k`. An output element is
//!
//! ```text
//! acc = 0 or y
//! for each block of 32 k:
//!     even = 0;  for k = 0, 2 .. 30 { even = fma(x[row, k], w[k, col], even) }
//!     odd  = 0;  for k = 1, 3 .. 31 { odd  = fma(x[row, k], w[k, col], odd) }
//!     acc = acc + (even + odd)
//! ```
//!
//! which is what AMX computes (`TDPBF16PS`), and what every CPU can compute with fused multiply-adds. So the answer has the
//! same bits in any batch, and on any CPU but those that have AVX-512 BF16 and no AMX: there `acc = dot(x, w, acc)` runs
//! over the pairs in their order. Numbers whose magnitude is below 2⁻¹²⁶ are 0 here, for these instructions take them
//! so.
#![expect(unsafe_code, reason = "register tiles need the CPU's vector instructions and rows by pointer")]

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod amx;
#[cfg(target_arch = "x86_64")]
mod dots;
mod widened;

use super::buffer::Buffer;
use super::simd::{LANES, Rows, Store, Team, parts};
use crate::dtype::half_bits;
use crate::isa::{Halves, Isa, Kind};
use rayon::prelude::*;
use std::cell::RefCell;
use std::ops::Range;

/// `k` that are summed together: depth is padded to a multiple of it.
pub(crate) const BLOCK: usize = 32;
/// Bytes of panels that kernels without tiles reuse for all rows before the next ones: half of a usual L2 cache.
const CACHED_PANELS: usize = 512 << 10;

/// Two `k` of one panel: 16 neighbouring columns, in one cache line. Each is `[even k, odd k]`.
#[repr(C, align(64))]
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Pairs(pub(crate) [[u16; 2]; LANES]);

impl Pairs {
    /// 16 zeros, twice.
    pub(crate) const ZERO: Self = Self([[0; 2]; LANES]);
}

/// Has these pairs fetched, for they are about to be written.
#[inline(always)]
pub(crate) fn fetch(pairs: &[Pairs]) {
    #[cfg(target_arch = "x86_64")]
    for pair in pairs {
        use std::arch::x86_64::{_MM_HINT_ET0, _mm_prefetch};
        // SAFETY: fetching changes nothing, and the CPU has the instruction: it is part of x86-64.
        unsafe { _mm_prefetch::<_MM_HINT_ET0>((&raw const *pair).cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = pairs;
}

/// Pairs of a panel of `depth` numbers.
pub(crate) fn pairs(depth: usize) -> usize {
    depth.next_multiple_of(BLOCK) / 2
}

/// Rows that lie together, and rows of a tile.
const TILE: usize = 16;

/// A block of a row: one cache line.
#[repr(C, align(64))]
#[derive(Clone, Copy, Debug, PartialEq)]
struct Block([u16; BLOCK]);

impl Block {
    const ZERO: Self = Self([0; BLOCK]);
}

/// Left-hand side `[rows, depth]` in bfloat16, padded to whole blocks: a buffer that is kept between products.
#[derive(Debug, Default)]
pub(crate) struct Rounded {
    /// `[row / 16, block, row % 16]`, each 32 numbers, so that a tile is read from neighbouring cache lines.
    data: Vec<Block>,
    /// Blocks of a row.
    blocks: usize,
    count: usize,
}

impl Rounded {
    /// Room for `count` rows of `depth` numbers. What lies behind the last row means nothing.
    fn shape(&mut self, count: usize, depth: usize) {
        (self.blocks, self.count) = (depth.div_ceil(BLOCK), count);
        self.data.resize(count.next_multiple_of(TILE) * self.blocks, Block::ZERO);
    }

    /// Rounds the first `depth` numbers of each row of `x`: to nearest, ties to even.
    pub(crate) fn fill(&mut self, isa: Isa, x: Rows<'_>, depth: usize) {
        self.shape(x.count, depth);
        let tiles = self.data.chunks_exact_mut(TILE * self.blocks).zip(x.data.chunks(TILE * x.stride));
        for (tile, rows) in tiles {
            for (number, row) in rows.chunks(x.stride).enumerate() {
                round(isa, &row[..depth], tile, number);
            }
        }
    }

    /// Rounds `count` rows of `depth` numbers that `row` writes, each into a row of `room`; the threads of the team share
    /// them tile by tile.
    pub(crate) fn fill_by(
        &mut self,
        isa: Isa,
        team: Team,
        (count, depth): (usize, usize),
        room: &mut Vec<f32>,
        row: impl Fn(usize, &mut [f32]) + Sync,
    ) {
        self.shape(count, depth);
        let tiles = count.div_ceil(TILE);
        room.resize(room.len().max(tiles * depth), 0.0);
        let work = |(tile, (to, room)): (usize, (&mut [Block], &mut [f32]))| {
            for number in 0..TILE.min(count - tile * TILE) {
                row(tile * TILE + number, room);
                round(isa, room, to, number);
            }
        };
        if team == Team::Pool && tiles > 1 {
            let to = self.data.par_chunks_exact_mut(TILE * self.blocks);
            to.zip(room.par_chunks_exact_mut(depth)).enumerate().for_each(work);
        } else {
            let to = self.data.chunks_exact_mut(TILE * self.blocks);
            to.zip(room.chunks_exact_mut(depth)).enumerate().for_each(work);
        }
    }
}

/// Rounds the numbers of row `number` of a tile.
fn round(isa: Isa, from: &[f32], tile: &mut [Block], number: usize) {
    isa.run(
        #[inline(always)]
        || {
            for (block, from) in from.chunks(BLOCK).enumerate() {
                let Block(to) = &mut tile[block * TILE + number];
                if from.len() < BLOCK {
                    *to = [0; BLOCK];
                }
                to.iter_mut().zip(from).for_each(|(to, &from)| *to = half_bits(from));
            }
        },
    );
}

/// Right-hand side `[depth, 16 · count]`, panels `stride` pairs apart.
#[derive(Clone, Copy)]
pub(crate) struct HalfPanels<'a> {
    /// `[panel, k / 2]`, each 16 columns.
    pub(crate) pairs: &'a [Pairs],
    /// Distance between the beginnings of two panels.
    pub(crate) stride: usize,
    /// Number of panels.
    pub(crate) count: usize,
    /// Pairs of each sum, whole blocks of them.
    pub(crate) depth: usize,
    /// What is multiplied next.
    pub(crate) ahead: Option<Ahead<'a>>,
}

/// Pairs to be fetched into the second-level cache while 2 panels at a time are multiplied: 32 of them for each block, in two
/// runs of 16. It changes no number.
#[derive(Clone, Copy)]
pub(crate) struct Ahead<'a> {
    pairs: &'a [Pairs],
    /// From one 2 panels to the next, from one block to the next, and from the first run to the second.
    group: usize,
    block: usize,
    run: usize,
}

impl<'a> Ahead<'a> {
    /// While keys are multiplied: the values of the same positions, `[head_dim / 16, position / 2]`, panels `stride` pairs
    /// apart. 2 panels of keys have 32 positions, and as many blocks as these have pairs of panels of values.
    pub(crate) fn of_values(pairs: &'a [Pairs], stride: usize) -> Self {
        Self { pairs, group: 16, block: 2 * stride, run: stride }
    }

    /// While values of `depth` pairs of positions are multiplied: other keys, of as many positions.
    pub(crate) fn of_keys(pairs: &'a [Pairs], depth: usize) -> Self {
        Self { pairs, group: 2 * depth, block: 32, run: 16 }
    }
}

/// `y[rows, 16 · count] (+)= x[rows, depth] · w[depth, 16 · count]`, rows of `y` being `y_stride` apart.
///
/// # Panics
/// If a slice is shorter than its shape says.
pub(crate) fn multiply(
    isa: Isa,
    team: Team,
    x: &Rounded,
    w: HalfPanels<'_>,
    y: &mut [f32],
    y_stride: usize,
    store: Store,
) {
    if x.count == 0 || w.count == 0 {
        return;
    }
    assert!(2 * w.depth == x.blocks * BLOCK, "depths differ");
    assert!(x.count.next_multiple_of(TILE) * x.blocks <= x.data.len(), "rows outside x");
    assert!(w.stride >= w.depth && (w.count - 1) * w.stride + w.depth <= w.pairs.len(), "panels outside w");
    let width = w.count * LANES;
    assert!(y_stride >= width && (x.count - 1) * y_stride + width <= y.len(), "rows outside y");
    let out = Out { start: y.as_mut_ptr(), stride: y_stride };
    // Cut between groups of 2 panels, which kernels take at once.
    let groups = w.count.div_ceil(2);
    let parts = parts(team, x.count * 2 * w.depth * width, groups);
    if parts < 2 {
        // SAFETY: the shapes were checked against the slices above.
        unsafe { columns(isa, x, w, 0..w.count, out, store) };
    } else {
        (0..parts).into_par_iter().for_each(|part| {
            let range = 2 * (groups * part / parts)..w.count.min(2 * (groups * (part + 1) / parts));
            // SAFETY: as above; the parts' column ranges do not overlap, so no element of `y` has two writers.
            unsafe { columns(isa, x, w, range, out, store) };
        });
    }
}

/// Numbers of a product that are kept, for all rows, until they are folded: they stay in a core's cache.
const FOLDED_AT_ONCE: usize = 32 << 10;

/// `to[rows, depth] = fold(x[rows, …] · w)`, rounded. `fold` makes 16 numbers of what two panels give for a row, the first panel
/// being even: it gets the column where they begin, the sums of some panels, which it may change, and room for half as many
/// numbers, or for those that are left of `depth`. Of the product nothing else is kept.
///
/// # Panics
/// If `w` has not two panels for every 16 of `depth`.
pub(crate) fn multiply_folded(
    isa: Isa,
    team: Team,
    x: &Rounded,
    w: HalfPanels<'_>,
    depth: usize,
    to: &mut Rounded,
    fold: impl Fn(usize, &mut [f32], &mut [f32]) + Sync,
) {
    /// Panels that make a block of `to`.
    const TURN: usize = 2 * BLOCK / LANES;
    thread_local! {
        /// Sums, and what is made of one row of them.
        static ROOM: RefCell<(Buffer, Vec<f32>)> = const { RefCell::new((Buffer::EMPTY, Vec::new())) };
    }
    assert!(w.count == 2 * depth.div_ceil(LANES), "two panels for every 16 numbers");
    to.shape(x.count, depth);
    let (blocks, count) = (to.blocks, x.count);
    let parts = parts(team, count * 2 * w.depth * w.count * LANES, blocks);
    let at_once = (FOLDED_AT_ONCE / (count.max(1) * TURN * LANES)).clamp(1, blocks.div_ceil(parts));
    let tiles = Tiles(to.data.as_mut_ptr());
    let work = |group: usize| {
        let range = group * at_once..blocks.min((group + 1) * at_once);
        let first = range.start * TURN;
        let panels = w.count.min(range.end * TURN) - first;
        let w = HalfPanels { pairs: &w.pairs[first * w.stride..], count: panels, ..w };
        ROOM.with_borrow_mut(|(sums, out)| {
            let width = panels * LANES;
            let sums = sums.of(count * width);
            out.resize(out.len().max(at_once * BLOCK), 0.0);
            multiply(isa, Team::Alone, x, w, sums, width, Store::Replace);
            let out = &mut out[..depth.min(range.end * BLOCK) - range.start * BLOCK];
            for (number, sums) in sums.chunks_exact_mut(width).take(count).enumerate() {
                fold(first * LANES, sums, out);
                // SAFETY: `to` has these tiles of `blocks` blocks; of each, a group has blocks of its own.
                let tile = unsafe { tiles.part(number / TILE * blocks + range.start, range.len()) };
                round(isa, out, tile, number % TILE);
            }
        });
    };
    let groups = blocks.div_ceil(at_once);
    if parts < 2 { (0..groups).for_each(work) } else { (0..groups).into_par_iter().for_each(work) }
}

/// Tiles of rows that several threads write, each blocks of its own.
struct Tiles(*mut Block);

// SAFETY: the pointer is only used by `multiply_folded`, which gives each thread blocks of its own.
unsafe impl Send for Tiles {}
// SAFETY: as above.
unsafe impl Sync for Tiles {}

impl Tiles {
    /// `count` blocks of a tile, counted over all tiles.
    ///
    /// # Safety
    /// They must exist, and nobody else may use them meanwhile.
    #[expect(clippy::mut_from_ref, reason = "whoever calls this answers for the blocks being nobody else's")]
    unsafe fn part(&self, block: usize, count: usize) -> &mut [Block] {
        // SAFETY: by the contract; a block has a row of each of a tile's rows.
        unsafe { std::slice::from_raw_parts_mut(self.0.add(block * TILE), count * TILE) }
    }
}

/// Multiplies numbers in registers, `steps` times, by the CPU's instruction for bfloat16; how many operations that were. `None`
/// if it has none. For benches.
pub(super) fn in_registers(isa: Isa, steps: usize) -> Option<usize> {
    match isa.halves() {
        #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
        // SAFETY: an `Isa` with tiles exists only where this process may use them.
        Halves::Tiles => Some(unsafe { amx::in_registers(steps) }),
        #[cfg(target_arch = "x86_64")]
        // SAFETY: an `Isa` with these instructions exists only where the CPU has them.
        Halves::Dots => Some(unsafe { dots::in_registers(steps) }),
        Halves::Widened => None,
    }
}

/// Where the product goes.
#[derive(Clone, Copy)]
struct Out {
    start: *mut f32,
    stride: usize,
}

// SAFETY: the pointer is only used by `columns`, whose callers give each thread columns of its own.
unsafe impl Send for Out {}
// SAFETY: as above.
unsafe impl Sync for Out {}

/// Computes the panels of `range` for all rows.
///
/// # Safety
/// `x`, `w` and `out` must hold the shapes that they claim, and nobody else may touch these columns of `out`.
unsafe fn columns(isa: Isa, x: &Rounded, w: HalfPanels<'_>, range: Range<usize>, out: Out, store: Store) {
    // SAFETY: rows and panels lie inside by the contract, and an `Isa` with these instructions exists only where the CPU has
    // them.
    unsafe {
        let operands = Operands {
            blocks: x.blocks,
            x: x.data.as_ptr(),
            rows: x.count,
            w: w.pairs.as_ptr().add(range.start * w.stride),
            w_stride: w.stride,
            panels: range.len(),
            y: out.start.add(range.start * LANES),
            y_stride: out.stride,
            store,
            ahead: w.ahead,
        };
        match isa.halves() {
            #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
            Halves::Tiles => amx::product(operands),
            #[cfg(target_arch = "x86_64")]
            Halves::Dots => operands.in_groups(|operands| dots::product(operands)),
            Halves::Widened => operands.in_groups(|operands| match isa.kind() {
                #[cfg(target_arch = "x86_64")]
                Kind::Avx512 => widened::avx512(operands),
                #[cfg(target_arch = "x86_64")]
                Kind::Avx2 => widened::avx2(operands),
                Kind::Portable => widened::product(operands),
            }),
        }
    }
}

/// What a kernel works on.
#[derive(Clone, Copy)]
struct Operands<'a> {
    /// Blocks of 32 `k`.
    blocks: usize,
    /// Rows as [`Rounded`] has them, from the first of 16 on, or from a later one among them if `rows` does not leave these.
    x: *const Block,
    /// At least one.
    rows: usize,
    /// Panels of `blocks · 16` pairs, `w_stride` apart.
    w: *const Pairs,
    w_stride: usize,
    /// At least one.
    panels: usize,
    /// Rows of `panels · 16` numbers, `y_stride` apart.
    y: *mut f32,
    y_stride: usize,
    store: Store,
    ahead: Option<Ahead<'a>>,
}

impl Operands<'_> {
    /// Runs `kernel` for up to [`ROWS`] rows at a time, over groups of panels that stay in the cache meanwhile.
    ///
    /// # Safety
    /// What the operands claim must exist.
    unsafe fn in_groups(self, kernel: impl Fn(Self)) {
        let group =
            (CACHED_PANELS / (self.blocks * BLOCK / 2 * size_of::<Pairs>())).next_multiple_of(4).max(4);
        for panel in (0..self.panels).step_by(group) {
            for row in (0..self.rows).step_by(ROWS) {
                // SAFETY: these rows and panels are among those of the operands.
                let part = unsafe {
                    Self {
                        x: self.x.add(row / TILE * TILE * self.blocks + row % TILE),
                        rows: ROWS.min(self.rows - row),
                        w: self.w.add(panel * self.w_stride),
                        panels: group.min(self.panels - panel),
                        y: self.y.add(row * self.y_stride + panel * LANES),
                        ..self
                    }
                };
                kernel(part);
            }
        }
    }
}

/// Rows that share what kernels without tiles read of the panels. Divides [`TILE`].
const ROWS: usize = 4;

#[cfg(test)]
mod tests;
