//! The product by AMX: up to 16 rows and 2 panels at once. A tile is 16 rows of 64 bytes: 16 rows in a block, a block of a
//! panel, or 16 sums of 16 rows.
//!
//! Larger pieces, 32 rows and 2 panels, would load fewer tiles for each product, but keep all eight tiles in use. A core whose
//! other half belongs to somebody else, as on rented machines, then takes twice as long: the registers behind the
//! tiles are shared out, and what is loaded no longer passes what is multiplied. So four tiles are in use here, and none between
//! pieces, for a tile that is known to be zero needs no register. Measurements: docs/performance.md.
#![expect(unsafe_code, reason = "tiles are reached by assembly")]

use super::{BLOCK, LANES, Operands, Pairs, Store, TILE};
use std::arch::asm;
use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
use std::cell::Cell;
use std::ops::Range;

/// Bytes of a row of a tile, and of a tile.
const ROW: usize = size_of::<Pairs>();
const TILE_BYTES: usize = TILE * ROW;
/// The tile of a panel.
const PANEL: usize = 6;
/// Bytes of rows and their sums that meet all panels before the next rows: most of the second-level cache of the CPUs that have
/// tiles.
const CACHED_ROWS: usize = 1792 << 10;
/// Blocks of two panels that stay in the first-level cache while the tiles of rows pass by.
const CACHED_BLOCKS: usize = 12;
/// Tiles of rows for which that is worth it: sums are written and read again for each such part of the depth.
const WORTH_CACHING: usize = 3;

/// Gives the tiles of this thread their shapes, unless they have them: that takes as long as a dozen products. Sums of 16 rows
/// are in tiles 0 and 1, these rows in 4; sums of the `rest` in 2 and 3, these rows in 5.
///
/// # Safety
/// The process may use AMX, and no tile holds anything.
unsafe fn shape(rest: usize) {
    /// Palette 1 (Intel SDM, volume 1, section 18.3).
    #[repr(C, align(64))]
    struct Shapes([u8; 64]);
    thread_local! {
        /// The last `rest` that was not 0.
        static LOADED: Cell<Option<usize>> = const { Cell::new(None) };
    }
    if LOADED.get().is_some_and(|loaded| rest == 0 || loaded == rest) {
        return;
    }
    let rest = if rest == 0 { TILE } else { rest };
    LOADED.set(Some(rest));
    let mut shapes = Shapes([0; 64]);
    shapes.0[0] = 1;
    for (tile, rows) in [TILE, TILE, rest, rest, TILE, rest, TILE].into_iter().enumerate() {
        shapes.0[16 + 2 * tile] = ROW as u8;
        shapes.0[48 + tile] = rows as u8;
    }
    // SAFETY: the shapes are valid for palette 1; no other code of this program uses tiles, so that they keep their shapes.
    unsafe { asm!("ldtilecfg [{}]", in(reg) &raw const shapes, options(nostack, preserves_flags)) };
}

/// Reads a tile, rows being `stride` bytes apart.
///
/// # Safety
/// The process may use AMX, and the rows exist.
#[inline(always)]
unsafe fn load<const T: usize>(from: *const u8, stride: usize) {
    // SAFETY: by the contract; compiled code uses no tiles.
    unsafe {
        asm!("tileloadd tmm{tile}, [{from} + {stride}]", tile = const T, from = in(reg) from, stride = in(reg) stride,
            options(nostack, preserves_flags, readonly));
    }
}

/// Writes a tile, rows being `stride` bytes apart.
///
/// # Safety
/// As [`load`], and nobody else may touch the rows.
#[inline(always)]
unsafe fn store<const T: usize>(to: *mut u8, stride: usize) {
    // SAFETY: by the contract.
    unsafe {
        asm!("tilestored [{to} + {stride}], tmm{tile}", tile = const T, to = in(reg) to, stride = in(reg) stride,
            options(nostack, preserves_flags));
    }
}

/// # Safety
/// The process may use AMX.
#[inline(always)]
unsafe fn zero<const T: usize>() {
    // SAFETY: by the contract.
    unsafe { asm!("tilezero tmm{tile}", tile = const T, options(nostack, preserves_flags, nomem)) };
}

/// Adds the products of a block: sums `C`, rows `A`, panel `B`.
///
/// # Safety
/// The process may use AMX.
#[inline(always)]
unsafe fn dot<const C: usize, const A: usize, const B: usize>() {
    // SAFETY: by the contract.
    unsafe {
        asm!("tdpbf16ps tmm{c}, tmm{a}, tmm{b}", c = const C, a = const A, b = const B,
            options(nostack, preserves_flags, nomem));
    }
}

/// # Safety
/// What the operands claim must exist, nobody else may touch that part of `y`, and the process may use AMX.
pub(super) unsafe fn product(o: Operands) {
    let times = (o.rows * (o.blocks + o.panels) * ROW).div_ceil(CACHED_ROWS);
    let at_once = o.rows.div_ceil(times).next_multiple_of(TILE);
    for row in (0..o.rows).step_by(at_once) {
        // SAFETY: these rows are among those of the operands, and the pieces leave no tile in use.
        unsafe {
            let (x, y) = (o.x.add(row * o.blocks), o.y.add(row * o.y_stride));
            some_rows(&Operands { rows: at_once.min(o.rows - row), x, y, ..o });
        }
    }
}

/// Multiplies tiles of zeros, `steps` times two of them; how many operations that were.
///
/// # Safety
/// The process may use AMX; no tile is in use.
pub(super) unsafe fn in_registers(steps: usize) -> usize {
    // SAFETY: by the contract.
    unsafe {
        shape(0);
        for _ in 0..steps {
            dot::<0, 4, PANEL>();
            dot::<1, 4, PANEL>();
        }
        zero::<0>();
        zero::<1>();
    }
    steps * 2 * (2 * TILE * LANES * BLOCK)
}

/// Rows that stay in the cache while two panels after the other, which are read from memory once, pass by.
///
/// # Safety
/// As [`product`]; no tile is in use.
unsafe fn some_rows(o: &Operands) {
    let tiles = o.rows.div_ceil(TILE);
    let times = if tiles < WORTH_CACHING { 1 } else { o.blocks.div_ceil(CACHED_BLOCKS) };
    let at_once = o.blocks.div_ceil(times);
    // SAFETY: the pieces are of what the operands claim.
    unsafe {
        shape(o.rows % TILE);
        for panel in (0..o.panels).step_by(2) {
            for begin in (0..o.blocks).step_by(at_once) {
                let blocks = begin..o.blocks.min(begin + at_once);
                for tile in 0..tiles {
                    let piece = Piece::of(o, tile, panel, blocks.clone());
                    match (panel + 2 <= o.panels, o.ahead.is_some(), tiles) {
                        (false, ..) => piece.sized::<1, 0>(),
                        (_, true, _) if tile > 0 => piece.sized::<2, 0>(),
                        (_, true, _) | (_, _, 1) => piece.sized::<2, 32>(),
                        (_, _, 2) => piece.sized::<2, 16>(),
                        (_, _, 3 | 4) => piece.sized::<2, 8>(),
                        (_, _, _) => piece.sized::<2, 4>(),
                    }
                }
            }
        }
    }
}

/// Up to 16 rows and one or two panels, or some blocks of them.
struct Piece {
    rows: usize,
    blocks: usize,
    /// A tile of rows, one block after the other.
    x: *const u8,
    /// A panel, one block after the other, and how far it is to the next one in bytes.
    w: *const u8,
    w_next: usize,
    /// The sums' place, and how far it is to the next row in bytes.
    y: *mut u8,
    y_row: usize,
    store: Store,
    ahead: Fetched,
}

/// What is fetched for each block, in runs of 16 cache lines.
struct Fetched {
    from: *const u8,
    /// Bytes from what is fetched for one block to what is for the next, and from one run to the next.
    block: usize,
    run: usize,
}

impl Fetched {
    /// What a piece with this tile and the panel fetches: what the operands say, or its part of the two panels after its own.
    fn of(o: &Operands, tile: usize, panel: usize) -> Self {
        let (from, block, run) = if let Some(ahead) = o.ahead {
            (ahead.pairs.as_ptr().wrapping_add(panel / 2 * ahead.group), ahead.block, ahead.run)
        } else {
            let lines = 2 * TILE / o.rows.div_ceil(TILE).next_power_of_two().min(8);
            let next = o.w.wrapping_add((panel + 2) * o.w_stride);
            (next.wrapping_add(tile * o.blocks * lines), lines, TILE)
        };
        Self { from: from.cast(), block: block * ROW, run: run * ROW }
    }

    /// What is fetched behind so many blocks.
    fn after(self, blocks: usize) -> Self {
        Self { from: self.from.wrapping_add(blocks * self.block), ..self }
    }

    /// Fetches some cache lines of those for a block into the second-level cache, whatever is there: that reads nothing.
    #[inline(always)]
    fn lines(&self, block: usize, lines: Range<usize>) {
        for line in lines {
            let place = block * self.block + line / TILE * self.run + line % TILE * ROW;
            // SAFETY: fetching ahead never faults.
            unsafe { _mm_prefetch::<_MM_HINT_T1>(self.from.wrapping_add(place).cast()) };
        }
    }
}

impl Piece {
    /// # Safety
    /// The tile of rows and the panel must exist.
    unsafe fn of(o: &Operands, tile: usize, panel: usize, blocks: Range<usize>) -> Self {
        let row = tile * TILE;
        // SAFETY: by the contract.
        let (x, w, y) = unsafe {
            (
                o.x.add(row * o.blocks + blocks.start * TILE),
                o.w.add(panel * o.w_stride + blocks.start * TILE),
                o.y.add(row * o.y_stride + panel * LANES),
            )
        };
        Self {
            rows: TILE.min(o.rows - row),
            blocks: blocks.len(),
            x: x.cast(),
            w: w.cast(),
            w_next: o.w_stride * ROW,
            y: y.cast(),
            y_row: o.y_stride * size_of::<f32>(),
            store: if blocks.start == 0 { o.store } else { Store::Add },
            ahead: Fetched::of(o, tile, panel).after(blocks.start),
        }
    }

    /// Multiplies with `P` panels, 1 or 2, while `LINES` cache lines are fetched for each block.
    ///
    /// # Safety
    /// As [`product`]; tiles have shapes for the rows, and none is in use.
    #[inline(always)]
    unsafe fn sized<const P: usize, const LINES: usize>(self) {
        // SAFETY: by the contract.
        unsafe {
            if self.rows == TILE {
                self.multiply::<0, 1, 4, P, LINES>();
            } else {
                self.multiply::<2, 3, 5, P, LINES>();
            }
        }
    }

    /// [`Piece::sized`] with sums in tiles `C` and `D` and the rows in tile `A`, which are of no use afterwards.
    ///
    /// # Safety
    /// As there.
    #[inline(always)]
    unsafe fn multiply<const C: usize, const D: usize, const A: usize, const P: usize, const LINES: usize>(
        self,
    ) {
        let Self { y, y_row, .. } = self;
        // SAFETY: by the contract.
        unsafe {
            begin::<C>(self.store, y, y_row);
            if P == 2 {
                begin::<D>(self.store, y.add(ROW), y_row);
            }
            for block in 0..self.blocks {
                let (x, w) = (self.x.add(block * TILE_BYTES), self.w.add(block * TILE_BYTES));
                // A few lines at a time: more at once would be waited for.
                load::<PANEL>(w, ROW);
                self.ahead.lines(block, 0..LINES / 2);
                load::<A>(x, ROW);
                dot::<C, A, PANEL>();
                self.ahead.lines(block, LINES / 2..LINES * 3 / 4);
                if P == 2 {
                    load::<PANEL>(w.add(self.w_next), ROW);
                    self.ahead.lines(block, LINES * 3 / 4..LINES);
                    dot::<D, A, PANEL>();
                }
            }
            store::<C>(y, y_row);
            if P == 2 {
                store::<D>(y.add(ROW), y_row);
            }
            zero::<C>();
            zero::<D>();
            zero::<A>();
            zero::<PANEL>();
        }
    }
}

/// The sums of a tile begin with what is there, or with 0.
///
/// # Safety
/// As [`load`].
#[inline(always)]
unsafe fn begin<const T: usize>(store: Store, from: *const u8, stride: usize) {
    // SAFETY: by the contract.
    unsafe {
        match store {
            Store::Add => load::<T>(from, stride),
            Store::Replace => zero::<T>(),
        }
    }
}
