//! The product by AMX: 32 rows and 2 panels at once, or up to 16 rows and 4 panels. A tile is 16 rows of 64 bytes: 16 rows
//! in a block, a block of a panel, or 16 sums of 16 rows.
#![expect(unsafe_code, reason = "tiles are reached by assembly")]

use super::{Ahead, LANES, Operands, Pairs, Store, TILE};
use std::arch::asm;
use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
use std::cell::Cell;

/// Bytes of a row of a tile, and of a tile.
const ROW: usize = size_of::<Pairs>();
const TILE_BYTES: usize = TILE * ROW;
/// Bytes of panels that are rather read twice than have the tiles' shapes changed for each two of them.
const SMALL: usize = 128 << 10;

/// Gives the tiles of this thread their shapes, unless they have them: that takes as long as a dozen products. Sums are in
/// tiles 0 to 3. `first` rows are in tiles 0, 1 and 4, `second` in tiles 2, 3 and 5, panels in 6 and 7; without a second
/// half all four tiles of sums have `first` rows and tile 5 takes a panel.
///
/// # Safety
/// The process may use AMX.
unsafe fn shape(first: usize, second: usize) {
    /// Palette 1 (Intel SDM, volume 1, section 18.3).
    #[repr(C, align(64))]
    struct Shapes([u8; 64]);
    thread_local! {
        static LOADED: Cell<(usize, usize)> = const { Cell::new((0, 0)) };
    }
    if LOADED.replace((first, second)) == (first, second) {
        return;
    }
    let (lower, sixth) = if second == 0 { (first, TILE) } else { (second, second) };
    let mut shapes = Shapes([0; 64]);
    shapes.0[0] = 1;
    for (tile, rows) in [first, first, lower, lower, first, sixth, TILE, TILE].into_iter().enumerate() {
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
    // Rows that fill tiles, and a rest.
    let full = o.rows / TILE * TILE;
    let rest = o.rows - full;
    // SAFETY: the kernels read and write what the operands claim.
    unsafe {
        if o.rows <= TILE {
            few_rows(&o);
        } else if rest == 0 || o.panels * o.blocks * TILE_BYTES > SMALL {
            many_rows(&o);
        } else {
            product(Operands { rows: full, ..o });
            let (x, y) = (o.x.add(full * o.blocks), o.y.add(full * o.y_stride));
            few_rows(&Operands { rows: rest, x, y, ..o });
        }
    }
}

/// Up to 16 rows.
///
/// # Safety
/// As [`product`].
unsafe fn few_rows(o: &Operands) {
    let four = o.panels / 4 * 4;
    // SAFETY: as `product`.
    unsafe {
        shape(o.rows, 0);
        match o.ahead {
            Some(ahead) => (0..four).step_by(4).for_each(|panel| {
                let ahead =
                    Ahead { pairs: ahead.pairs.get(panel / 4 * ahead.group..).unwrap_or_default(), ..ahead };
                one_by::<4, true>(o, 0, panel, ahead);
            }),
            None => (0..four).step_by(4).for_each(|panel| one_by::<4, false>(o, 0, panel, Ahead::NOTHING)),
        }
        (four..o.panels).for_each(|panel| one_by::<1, false>(o, 0, panel, Ahead::NOTHING));
    }
}

/// More than 16 rows.
///
/// # Safety
/// As [`product`].
unsafe fn many_rows(o: &Operands) {
    let whole = o.rows / (2 * TILE) * 2 * TILE;
    let rest = o.rows - whole;
    // All rows before the next two panels, which are read from memory once; each 32 rows fetch a part of those after them.
    let two = |row: usize, panel: usize| {
        // SAFETY: these rows and panels are among those of the operands; the tiles have shapes for them.
        unsafe {
            match (panel + 2 <= o.panels, whole / (2 * TILE)) {
                (false, _) => two_by::<1, 0>(o, row, panel),
                (true, 0 | 1) => two_by::<2, 32>(o, row, panel),
                (true, 2 | 3) => two_by::<2, 16>(o, row, panel),
                (true, 4..8) => two_by::<2, 8>(o, row, panel),
                (true, _) => two_by::<2, 4>(o, row, panel),
            }
        }
    };
    for panel in (0..o.panels).step_by(2) {
        // SAFETY: as `product`.
        unsafe {
            shape(TILE, TILE);
            (0..whole).step_by(2 * TILE).for_each(|row| two(row, panel));
            if rest > TILE {
                shape(TILE, rest - TILE);
                two(whole, panel);
            } else if rest > 0 {
                if rest < TILE {
                    shape(rest, 0);
                }
                (panel..o.panels.min(panel + 2))
                    .for_each(|panel| one_by::<1, false>(o, whole, panel, Ahead::NOTHING));
            }
        }
    }
}

/// Rows, panels and sums of a kernel.
struct Place {
    /// A tile of rows, one block after the other.
    x: *const u8,
    /// A panel, one block after the other, and how far it is to the next one in bytes.
    w: *const u8,
    w_next: usize,
    /// The sums' place, and how far it is to the next row in bytes.
    y: *mut u8,
    y_row: usize,
}

impl Place {
    /// # Safety
    /// Row, the first of a tile, and panel must exist.
    unsafe fn of(o: &Operands, row: usize, panel: usize) -> Self {
        // SAFETY: by the contract.
        unsafe {
            Self {
                x: o.x.add(row * o.blocks).cast(),
                w: o.w.add(panel * o.w_stride).cast(),
                w_next: o.w_stride * ROW,
                y: o.y.add(row * o.y_stride + panel * LANES).cast(),
                y_row: o.y_stride * size_of::<f32>(),
            }
        }
    }
}

/// Up to 16 rows and `P` panels, 1 or 4.
///
/// # Safety
/// As [`product`]; the rows, the panels and tiles of their shapes exist.
#[inline(always)]
unsafe fn one_by<const P: usize, const FETCH: bool>(o: &Operands, row: usize, panel: usize, ahead: Ahead) {
    // SAFETY: by the contract.
    unsafe {
        let Place { x, w, w_next, y, y_row } = Place::of(o, row, panel);
        begin::<0>(o.store, y, y_row);
        if P == 4 {
            begin::<1>(o.store, y.wrapping_add(ROW), y_row);
            begin::<2>(o.store, y.wrapping_add(2 * ROW), y_row);
            begin::<3>(o.store, y.wrapping_add(3 * ROW), y_row);
        }
        for block in 0..o.blocks {
            let (x, w) = (x.add(block * TILE_BYTES), w.add(block * TILE_BYTES));
            load::<4>(x, ROW);
            load::<6>(w, ROW);
            if P == 4 {
                load::<7>(w.add(w_next), ROW);
                load::<5>(w.add(2 * w_next), ROW);
            }
            dot::<0, 4, 6>();
            if P == 4 {
                load::<6>(w.add(3 * w_next), ROW);
                if FETCH {
                    let next = ahead.pairs.as_ptr().wrapping_add(block * ahead.block);
                    for line in 0..32 {
                        _mm_prefetch::<_MM_HINT_T1>(next.wrapping_add(line).cast());
                        _mm_prefetch::<_MM_HINT_T1>(next.wrapping_add(ahead.run + line).cast());
                    }
                }
                dot::<1, 4, 7>();
                dot::<2, 4, 5>();
                dot::<3, 4, 6>();
            }
        }
        store::<0>(y, y_row);
        if P == 4 {
            store::<1>(y.add(ROW), y_row);
            store::<2>(y.add(2 * ROW), y_row);
            store::<3>(y.add(3 * ROW), y_row);
        }
    }
}

/// 17 to 32 rows and `P` panels, 1 or 2, while `LINES` cache lines for each block are fetched of what comes two panels later:
/// from there on, where this row's part of them is.
///
/// # Safety
/// As [`product`]; the rows, the panels and tiles of their shapes exist.
#[inline(always)]
unsafe fn two_by<const P: usize, const LINES: usize>(o: &Operands, row: usize, panel: usize) {
    // SAFETY: by the contract; fetching ahead reads nothing.
    unsafe {
        let Place { x, w, w_next, y, y_row } = Place::of(o, row, panel);
        let (lower, x_next) = (y.add(TILE * y_row), o.blocks * TILE_BYTES);
        let next = w.wrapping_add(2 * w_next + row / (2 * TILE) * o.blocks * LINES * ROW);
        begin::<0>(o.store, y, y_row);
        begin::<2>(o.store, lower, y_row);
        if P == 2 {
            begin::<1>(o.store, y.add(ROW), y_row);
            begin::<3>(o.store, lower.add(ROW), y_row);
        }
        for block in 0..o.blocks {
            let (x, w) = (x.add(block * TILE_BYTES), w.add(block * TILE_BYTES));
            load::<6>(w, ROW);
            load::<4>(x, ROW);
            load::<5>(x.add(x_next), ROW);
            dot::<0, 4, 6>();
            if P == 2 {
                load::<7>(w.add(w_next), ROW);
            }
            for line in 0..LINES {
                _mm_prefetch::<_MM_HINT_T1>(next.wrapping_add((block * LINES + line) * ROW).cast());
            }
            dot::<2, 5, 6>();
            if P == 2 {
                dot::<1, 4, 7>();
                dot::<3, 5, 7>();
            }
        }
        store::<0>(y, y_row);
        store::<2>(lower, y_row);
        if P == 2 {
            store::<1>(y.add(ROW), y_row);
            store::<3>(lower.add(ROW), y_row);
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
