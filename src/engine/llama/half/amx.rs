//! The product by AMX: 32 rows and 2 panels at once, or up to 16 rows and 4 panels. A tile is 16 rows of 64 bytes.
#![expect(unsafe_code, reason = "tiles are reached by assembly")]

use super::{LANES, Operands, Pairs, Store, TILE};
use std::arch::asm;
use std::cell::Cell;

/// Bytes of a tile: of 16 rows in a block, or of 16 pairs of a panel.
const TILE_BYTES: usize = TILE * size_of::<Pairs>();
/// Bytes of panels that are rather read twice than have the tiles' shapes changed for each two of them.
const SMALL: usize = 128 << 10;

/// The shapes of the eight tiles (Intel SDM, volume 1, section 18.3): palette 1, 64 bytes a row.
#[repr(C, align(64))]
struct Shapes([u8; 64]);

impl Shapes {
    /// Sums in tiles 0 to 3, rows in 4 and 5, panels in 6 and 7. `first` rows are in tiles 0, 1 and 4, `second` in
    /// tiles 2, 3 and 5; without a second half all four tiles of sums have `first` rows and tile 5 takes a panel.
    fn new(first: usize, second: usize) -> Self {
        let mut bytes = [0; 64];
        bytes[0] = 1;
        let lower = if second == 0 { first } else { second };
        let sixth = if second == 0 { TILE } else { second };
        let rows = [first, first, lower, lower, first, sixth, TILE, TILE];
        for (tile, rows) in rows.into_iter().enumerate() {
            bytes[16 + 2 * tile] = 64;
            bytes[48 + tile] = rows as u8;
        }
        Self(bytes)
    }

    /// Gives the tiles of this thread these shapes, unless they have them: that takes as long as a dozen products.
    ///
    /// # Safety
    /// The process may use AMX.
    unsafe fn load(first: usize, second: usize) {
        thread_local! {
            static LOADED: Cell<(usize, usize)> = const { Cell::new((0, 0)) };
        }
        if LOADED.replace((first, second)) != (first, second) {
            let shapes = Self::new(first, second);
            // SAFETY: the shapes are valid for palette 1; no other code of this program uses tiles, so that they keep
            // their shapes.
            unsafe { asm!("ldtilecfg [{}]", in(reg) &raw const shapes, options(nostack, preserves_flags)) };
        }
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
            few_rows(o);
        } else if rest == 0 || o.panels * o.blocks * TILE_BYTES > SMALL {
            many_rows(o);
        } else {
            product(Operands { rows: full, ..o });
            let (x, y) = (o.x.add(full * o.blocks), o.y.add(full * o.y_stride));
            few_rows(Operands { rows: rest, x, y, ..o });
        }
    }
}

/// Up to 16 rows.
unsafe fn few_rows(o: Operands) {
    // SAFETY: as `product`.
    unsafe {
        Shapes::load(o.rows, 0);
        let mut panel = 0;
        while panel < o.panels {
            let place = Place::of(&o, 0, panel);
            if panel + 4 <= o.panels {
                place.one_by_four();
                panel += 4;
            } else {
                place.one_by_one();
                panel += 1;
            }
        }
    }
}

/// More than 16 rows.
unsafe fn many_rows(o: Operands) {
    let whole = o.rows / (2 * TILE) * 2 * TILE;
    let rest = o.rows - whole;
    // All rows before the next two panels, which are read from memory once.
    for panel in (0..o.panels).step_by(2) {
        let two = panel + 2 <= o.panels;
        // SAFETY: as `product`.
        unsafe {
            Shapes::load(TILE, TILE);
            for row in (0..whole).step_by(2 * TILE) {
                let place = Place::of(&o, row, panel);
                if two { place.two_by_two() } else { place.two_by_one() }
            }
            if rest == 0 {
                continue;
            }
            let place = Place::of(&o, whole, panel);
            if rest > TILE {
                Shapes::load(TILE, rest - TILE);
                if two { place.two_by_two() } else { place.two_by_one() }
            } else {
                if rest < TILE {
                    Shapes::load(rest, 0);
                }
                place.one_by_one();
                if two {
                    Place::of(&o, whole, panel + 1).one_by_one();
                }
            }
        }
    }
}

/// Where rows, panels and sums begin, and how far apart their rows are in bytes.
struct Place {
    /// Tiles of 16 rows, one block after the other.
    a: *const u8,
    /// From one 16 rows to the next.
    a_tile: usize,
    b: *const Pairs,
    /// From one panel to the next.
    b_panel: usize,
    c: *mut f32,
    c_row: usize,
    /// At least one.
    blocks: usize,
    /// Whether sums begin with what is in `c`: 1 or 0.
    add: usize,
}

/// Bytes from one row of a tile to the next, in rows and panels alike.
const ROW: usize = size_of::<Pairs>();

impl Place {
    /// # Safety
    /// Row, the first of a tile, and panel must exist.
    unsafe fn of(o: &Operands, row: usize, panel: usize) -> Self {
        // SAFETY: by the contract.
        unsafe {
            Self {
                a: o.x.add(row * o.blocks).cast(),
                a_tile: o.blocks * TILE_BYTES,
                b: o.w.add(panel * o.w_stride),
                b_panel: o.w_stride * size_of::<Pairs>(),
                c: o.y.add(row * o.y_stride + panel * LANES),
                c_row: o.y_stride * size_of::<f32>(),
                blocks: o.blocks,
                add: usize::from(o.store == Store::Add),
            }
        }
    }

    /// 17 to 32 rows, two panels.
    unsafe fn two_by_two(&self) {
        // SAFETY: reads and writes what the place says; the tiles have these shapes.
        unsafe {
            asm!(
                "test {add}, {add}",
                "jz 3f",
                "tileloadd tmm0, [{c} + {c_row}]",
                "tileloadd tmm1, [{c} + {c_row} + 64]",
                "tileloadd tmm2, [{lower} + {c_row}]",
                "tileloadd tmm3, [{lower} + {c_row} + 64]",
                "jmp 2f",
                "3:",
                "tilezero tmm0",
                "tilezero tmm1",
                "tilezero tmm2",
                "tilezero tmm3",
                "2:",
                "tileloadd tmm6, [{b} + {row}]",
                "tileloadd tmm4, [{a} + {row}]",
                "tileloadd tmm5, [{a1} + {row}]",
                "tdpbf16ps tmm0, tmm4, tmm6",
                "tileloadd tmm7, [{b1} + {row}]",
                "tdpbf16ps tmm2, tmm5, tmm6",
                "tdpbf16ps tmm1, tmm4, tmm7",
                "tdpbf16ps tmm3, tmm5, tmm7",
                "add {a}, {tile}",
                "add {a1}, {tile}",
                "add {b}, {tile}",
                "add {b1}, {tile}",
                "dec {k}",
                "jnz 2b",
                "tilestored [{c} + {c_row}], tmm0",
                "tilestored [{c} + {c_row} + 64], tmm1",
                "tilestored [{lower} + {c_row}], tmm2",
                "tilestored [{lower} + {c_row} + 64], tmm3",
                add = in(reg) self.add,
                c = in(reg) self.c,
                lower = in(reg) self.c.byte_add(TILE * self.c_row),
                c_row = in(reg) self.c_row,
                a = inout(reg) self.a => _,
                a1 = inout(reg) self.a.add(self.a_tile) => _,
                b = inout(reg) self.b => _,
                b1 = inout(reg) self.b.byte_add(self.b_panel) => _,
                row = in(reg) ROW,
                k = inout(reg) self.blocks => _,
                tile = const TILE_BYTES,
                options(nostack),
            );
        }
    }

    /// 17 to 32 rows, one panel.
    unsafe fn two_by_one(&self) {
        // SAFETY: as `two_by_two`.
        unsafe {
            asm!(
                "test {add}, {add}",
                "jz 3f",
                "tileloadd tmm0, [{c} + {c_row}]",
                "tileloadd tmm2, [{lower} + {c_row}]",
                "jmp 2f",
                "3:",
                "tilezero tmm0",
                "tilezero tmm2",
                "2:",
                "tileloadd tmm6, [{b} + {row}]",
                "tileloadd tmm4, [{a} + {row}]",
                "tileloadd tmm5, [{a1} + {row}]",
                "tdpbf16ps tmm0, tmm4, tmm6",
                "tdpbf16ps tmm2, tmm5, tmm6",
                "add {a}, {tile}",
                "add {a1}, {tile}",
                "add {b}, {tile}",
                "dec {k}",
                "jnz 2b",
                "tilestored [{c} + {c_row}], tmm0",
                "tilestored [{lower} + {c_row}], tmm2",
                add = in(reg) self.add,
                c = in(reg) self.c,
                lower = in(reg) self.c.byte_add(TILE * self.c_row),
                c_row = in(reg) self.c_row,
                a = inout(reg) self.a => _,
                a1 = inout(reg) self.a.add(self.a_tile) => _,
                b = inout(reg) self.b => _,
                row = in(reg) ROW,
                k = inout(reg) self.blocks => _,
                tile = const TILE_BYTES,
                options(nostack),
            );
        }
    }

    /// Up to 16 rows, four panels.
    unsafe fn one_by_four(&self) {
        // SAFETY: as `two_by_two`.
        unsafe {
            asm!(
                "test {add}, {add}",
                "jz 3f",
                "tileloadd tmm0, [{c} + {c_row}]",
                "tileloadd tmm1, [{c} + {c_row} + 64]",
                "tileloadd tmm2, [{c} + {c_row} + 128]",
                "tileloadd tmm3, [{c} + {c_row} + 192]",
                "jmp 2f",
                "3:",
                "tilezero tmm0",
                "tilezero tmm1",
                "tilezero tmm2",
                "tilezero tmm3",
                "2:",
                "tileloadd tmm4, [{a} + {row}]",
                "tileloadd tmm5, [{b} + {row}]",
                "tileloadd tmm6, [{b1} + {row}]",
                "tileloadd tmm7, [{b2} + {row}]",
                "tdpbf16ps tmm0, tmm4, tmm5",
                "tileloadd tmm5, [{b3} + {row}]",
                "tdpbf16ps tmm1, tmm4, tmm6",
                "tdpbf16ps tmm2, tmm4, tmm7",
                "tdpbf16ps tmm3, tmm4, tmm5",
                "add {a}, {tile}",
                "add {b}, {tile}",
                "add {b1}, {tile}",
                "add {b2}, {tile}",
                "add {b3}, {tile}",
                "dec {k}",
                "jnz 2b",
                "tilestored [{c} + {c_row}], tmm0",
                "tilestored [{c} + {c_row} + 64], tmm1",
                "tilestored [{c} + {c_row} + 128], tmm2",
                "tilestored [{c} + {c_row} + 192], tmm3",
                add = in(reg) self.add,
                c = in(reg) self.c,
                c_row = in(reg) self.c_row,
                a = inout(reg) self.a => _,
                b = inout(reg) self.b => _,
                b1 = inout(reg) self.b.byte_add(self.b_panel) => _,
                b2 = inout(reg) self.b.byte_add(2 * self.b_panel) => _,
                b3 = inout(reg) self.b.byte_add(3 * self.b_panel) => _,
                row = in(reg) ROW,
                k = inout(reg) self.blocks => _,
                tile = const TILE_BYTES,
                options(nostack),
            );
        }
    }

    /// Up to 16 rows, one panel.
    unsafe fn one_by_one(&self) {
        // SAFETY: as `two_by_two`.
        unsafe {
            asm!(
                "test {add}, {add}",
                "jz 3f",
                "tileloadd tmm0, [{c} + {c_row}]",
                "jmp 2f",
                "3:",
                "tilezero tmm0",
                "2:",
                "tileloadd tmm4, [{a} + {row}]",
                "tileloadd tmm6, [{b} + {row}]",
                "tdpbf16ps tmm0, tmm4, tmm6",
                "add {a}, {tile}",
                "add {b}, {tile}",
                "dec {k}",
                "jnz 2b",
                "tilestored [{c} + {c_row}], tmm0",
                add = in(reg) self.add,
                c = in(reg) self.c,
                c_row = in(reg) self.c_row,
                a = inout(reg) self.a => _,
                b = inout(reg) self.b => _,
                row = in(reg) ROW,
                k = inout(reg) self.blocks => _,
                tile = const TILE_BYTES,
                options(nostack),
            );
        }
    }
}
