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

use super::simd::{LANES, Rows, Store, Team, parts};
use crate::dtype::half_bits;
use crate::isa::{Halves, Isa, Kind};
use rayon::prelude::*;
use std::ops::Range;

/// `k` that are summed together: depth is padded to a multiple of it.
pub(crate) const BLOCK: usize = 32;
/// Bytes of panels that are reused for all rows before the next ones: a quarter of the L2 cache of a CPU with AMX.
const CACHED_PANELS: usize = 512 << 10;

/// Two `k` of one panel: 16 neighbouring columns, in one cache line. Each is `[even k, odd k]`.
#[repr(C, align(64))]
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Pairs(pub(crate) [[u16; 2]; LANES]);

impl Pairs {
    /// 16 zeros, twice.
    pub(crate) const ZERO: Self = Self([[0; 2]; LANES]);
}

/// Pairs of a panel of `depth` numbers.
pub(crate) fn pairs(depth: usize) -> usize {
    depth.next_multiple_of(BLOCK) / 2
}

/// Rows that lie together, and rows of a tile.
const TILE: usize = 16;

/// Left-hand side `[rows, depth]` in bfloat16, padded to whole blocks: a buffer that is kept between products.
#[derive(Debug, Default)]
pub(crate) struct Rounded {
    /// `[row / 16, block, row % 16]`, each 32 numbers, so that a tile is read from neighbouring cache lines.
    data: Vec<[u16; BLOCK]>,
    /// Blocks of a row.
    blocks: usize,
    count: usize,
}

impl Rounded {
    /// Rounds the first `depth` numbers of each row of `x`: to nearest, ties to even.
    pub(crate) fn fill(&mut self, isa: Isa, x: Rows<'_>, depth: usize) {
        (self.blocks, self.count) = (depth.div_ceil(BLOCK), x.count);
        let blocks = self.blocks;
        // What lies behind the last row is never read.
        self.data.resize(self.count.next_multiple_of(TILE) * blocks, [0; BLOCK]);
        let tiles = self.data.chunks_exact_mut(TILE * blocks).zip(x.data.chunks(TILE * x.stride));
        isa.run(
            #[inline(always)]
            || {
                for (tile, rows) in tiles {
                    for (row, from) in rows.chunks(x.stride).enumerate() {
                        for (block, from) in from[..depth].chunks(BLOCK).enumerate() {
                            let to = &mut tile[block * TILE + row];
                            if from.len() < BLOCK {
                                *to = [0; BLOCK];
                            }
                            to.iter_mut().zip(from).for_each(|(to, &from)| *to = half_bits(from));
                        }
                    }
                }
            },
        );
    }
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
    let parts = parts(team, x.count * 2 * w.depth * width, w.count);
    if parts < 2 {
        // SAFETY: the shapes were checked against the slices above.
        unsafe { columns(isa, x, w, 0..w.count, out, store) };
    } else {
        (0..parts).into_par_iter().for_each(|part| {
            let range = w.count * part / parts..w.count * (part + 1) / parts;
            // SAFETY: as above; the parts' column ranges do not overlap, so no element of `y` has two writers.
            unsafe { columns(isa, x, w, range, out, store) };
        });
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
struct Operands {
    /// Blocks of 32 `k`.
    blocks: usize,
    /// Rows as [`Rounded`] has them, from the first of 16 on, or from a later one among them if `rows` does not leave these.
    x: *const [u16; BLOCK],
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
}

impl Operands {
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

/// The product by fused multiply-adds in f32, in the order of AMX.
mod widened {
    use super::{BLOCK, LANES, Operands, Pairs, Store, TILE};

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f")]
    pub(super) unsafe fn avx512(operands: Operands) {
        // SAFETY: the caller's contract is the same.
        unsafe { product(operands) }
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,fma")]
    pub(super) unsafe fn avx2(operands: Operands) {
        // SAFETY: the caller's contract is the same.
        unsafe { product(operands) }
    }

    /// # Safety
    /// What the operands claim must exist, and nobody else may touch that part of `y`.
    #[inline(always)]
    pub(super) unsafe fn product(operands: Operands) {
        for panel in 0..operands.panels {
            // SAFETY: the panel exists by the contract, and `rows` is at most `ROWS`.
            unsafe {
                match operands.rows {
                    1 => rows::<1>(operands, panel),
                    2 => rows::<2>(operands, panel),
                    3 => rows::<3>(operands, panel),
                    _ => rows::<4>(operands, panel),
                }
            }
        }
    }

    /// One panel for `R` rows.
    ///
    /// # Safety
    /// As [`product`], and there are `R` rows.
    #[inline(always)]
    unsafe fn rows<const R: usize>(operands: Operands, panel: usize) {
        let Operands { blocks, x, w, w_stride, y, y_stride, store, .. } = operands;
        let mut acc = [[0.0f32; LANES]; R];
        // SAFETY: rows, panel and blocks exist by the contract.
        unsafe {
            let out = |row: usize| y.add(row * y_stride + panel * LANES).cast::<[f32; LANES]>();
            if store == Store::Add {
                for (row, acc) in acc.iter_mut().enumerate() {
                    *acc = *out(row);
                }
            }
            let w = w.add(panel * w_stride);
            for block in 0..blocks {
                let mut even = [[0.0f32; LANES]; R];
                let mut odd = [[0.0f32; LANES]; R];
                let x = x.add(block * TILE);
                for pair in 0..BLOCK / 2 {
                    let Pairs(weights) = &*w.add(block * BLOCK / 2 + pair);
                    for row in 0..R {
                        let x = &*x.add(row);
                        let (a, b) = (widen(x[2 * pair]), widen(x[2 * pair + 1]));
                        for column in 0..LANES {
                            let [v, w] = weights[column];
                            even[row][column] = a.mul_add(widen(v), even[row][column]);
                            odd[row][column] = b.mul_add(widen(w), odd[row][column]);
                        }
                    }
                }
                for row in 0..R {
                    for column in 0..LANES {
                        acc[row][column] += even[row][column] + odd[row][column];
                    }
                }
            }
            for (row, acc) in acc.iter().enumerate() {
                *out(row) = *acc;
            }
        }
    }

    #[inline(always)]
    fn widen(bits: u16) -> f32 {
        f32::from_bits(u32::from(bits) << 16)
    }
}

/// The product by AVX-512 BF16.
#[cfg(target_arch = "x86_64")]
mod dots {
    use super::{BLOCK, LANES, Operands, Store, TILE};
    use std::arch::x86_64::{
        __m512, __m512bh, _mm512_dpbf16_ps, _mm512_load_si512, _mm512_loadu_ps, _mm512_set1_epi32,
        _mm512_setzero_ps, _mm512_storeu_ps,
    };

    /// # Safety
    /// What the operands claim must exist, nobody else may touch that part of `y`, and the CPU has AVX-512 BF16.
    #[target_feature(enable = "avx512f,avx512bf16")]
    pub(super) unsafe fn product(operands: Operands) {
        let mut panel = 0;
        while panel < operands.panels {
            let four = panel + 4 <= operands.panels;
            // SAFETY: these panels exist by the contract, and `rows` is at most `ROWS`.
            unsafe {
                match (operands.rows, four) {
                    (1, true) => tile::<1, 4>(operands, panel),
                    (2, true) => tile::<2, 4>(operands, panel),
                    (3, true) => tile::<3, 4>(operands, panel),
                    (_, true) => tile::<4, 4>(operands, panel),
                    (1, false) => tile::<1, 1>(operands, panel),
                    (2, false) => tile::<2, 1>(operands, panel),
                    (3, false) => tile::<3, 1>(operands, panel),
                    (_, false) => tile::<4, 1>(operands, panel),
                }
            }
            panel += if four { 4 } else { 1 };
        }
    }

    /// `P` panels from `panel` on for `R` rows.
    ///
    /// # Safety
    /// As [`product`], and there are `R` rows and `P` more panels.
    #[target_feature(enable = "avx512f,avx512bf16")]
    unsafe fn tile<const R: usize, const P: usize>(operands: Operands, panel: usize) {
        let Operands { blocks, x, w, w_stride, y, y_stride, store, .. } = operands;
        let mut acc: [[__m512; P]; R] = [[_mm512_setzero_ps(); P]; R];
        // SAFETY: rows, panels and blocks exist by the contract; `Pairs` is aligned to 64 bytes; two numbers of a row
        // are read as one i32 without alignment.
        unsafe {
            let w = w.add(panel * w_stride);
            let out = |row: usize, p: usize| y.add(row * y_stride + (panel + p) * LANES);
            if store == Store::Add {
                for (row, acc) in acc.iter_mut().enumerate() {
                    for (p, acc) in acc.iter_mut().enumerate() {
                        *acc = _mm512_loadu_ps(out(row, p));
                    }
                }
            }
            for pair in 0..blocks * BLOCK / 2 {
                let mut b = [_mm512_set1_epi32(0); P];
                for (p, b) in b.iter_mut().enumerate() {
                    *b = _mm512_load_si512(w.add(p * w_stride + pair).cast());
                }
                for (row, acc) in acc.iter_mut().enumerate() {
                    let x = x.add(pair / (BLOCK / 2) * TILE + row).cast::<i32>();
                    let a = _mm512_set1_epi32(x.add(pair % (BLOCK / 2)).read_unaligned());
                    for (acc, &b) in acc.iter_mut().zip(&b) {
                        *acc = _mm512_dpbf16_ps(*acc, bh(a), bh(b));
                    }
                }
            }
            for (row, acc) in acc.iter().enumerate() {
                for (p, &acc) in acc.iter().enumerate() {
                    _mm512_storeu_ps(out(row, p), acc);
                }
            }
        }
    }

    /// The same bits as pairs in bfloat16.
    #[inline]
    fn bh(bits: std::arch::x86_64::__m512i) -> __m512bh {
        // SAFETY: both are 64 bytes that may have any value.
        unsafe { std::mem::transmute(bits) }
    }
}

/// The product by AMX: 32 rows and 2 panels at once, or up to 16 rows and 4 panels. A tile is 16 rows of 64 bytes.
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod amx {
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
                unsafe {
                    asm!("ldtilecfg [{}]", in(reg) &raw const shapes, options(nostack, preserves_flags))
                };
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
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dtype::round_bf16;
    use crate::engine::fixture::numbers;

    /// A sum of `depth` products of numbers in [-1, 1] loses at most `depth` roundings of a partial sum of at most
    /// `depth`; half of f32's ε each.
    fn tolerance(depth: usize) -> f64 {
        (depth * depth) as f64 * f64::from(f32::EPSILON) / 2.0
    }

    fn pack(w: &[f32], depth: usize, columns: usize) -> Vec<Pairs> {
        let stride = pairs(depth);
        let mut packed = vec![Pairs::ZERO; columns / LANES * stride];
        for k in 0..depth {
            for column in 0..columns {
                packed[column / LANES * stride + k / 2].0[column % LANES][k % 2] =
                    half_bits(w[k * columns + column]);
            }
        }
        packed
    }

    /// `start + x · w`, or `x · w` without a start.
    fn product(
        isa: Isa,
        team: Team,
        x: &[f32],
        rows: usize,
        w: &[Pairs],
        depth: usize,
        start: Option<f32>,
    ) -> Vec<f32> {
        let count = w.len() / pairs(depth);
        let mut y = vec![start.unwrap_or(f32::NAN); rows * count * LANES];
        let mut rounded = Rounded::default();
        rounded.fill(isa, Rows { data: x, stride: depth, count: rows }, depth);
        let panels = HalfPanels { pairs: w, stride: pairs(depth), count, depth: pairs(depth) };
        let store = if start.is_some() { Store::Add } else { Store::Replace };
        multiply(isa, team, &rounded, panels, &mut y, count * LANES, store);
        y
    }

    /// Rows, depth, columns: tiles that are full and not, one and several blocks, panels that do not come in pairs.
    const SHAPES: [(usize, usize, usize); 7] =
        [(1, 1, 16), (1, 192, 320), (3, 64, 80), (16, 33, 48), (17, 64, 112), (45, 70, 144), (100, 40, 176)];

    #[test]
    fn every_instruction_set_is_near_the_exact_product_and_those_that_widen_or_have_tiles_have_the_same_bits()
    {
        for (rows, depth, columns) in SHAPES {
            let (x, w) = (numbers(1, rows * depth), numbers(2, depth * columns));
            let packed = pack(&w, depth, columns);
            for start in [None, Some(0.3)] {
                let first = product(Isa::portable(), Team::Alone, &x, rows, &packed, depth, start);
                for isa in Isa::available() {
                    let got = product(isa, Team::Alone, &x, rows, &packed, depth, start);
                    for (i, &got) in got.iter().enumerate() {
                        let (row, column) = (i / columns, i % columns);
                        let terms = (0..depth).map(|k| {
                            let (a, b) =
                                (round_bf16(x[row * depth + k]), round_bf16(w[k * columns + column]));
                            f64::from(a) * f64::from(b)
                        });
                        let exact = terms.sum::<f64>() + f64::from(start.unwrap_or(0.0));
                        assert!(
                            (f64::from(got) - exact).abs() <= tolerance(depth + 1),
                            "{isa:?} {rows}x{depth}"
                        );
                    }
                    #[cfg(target_arch = "x86_64")]
                    if isa.halves() == Halves::Dots {
                        continue;
                    }
                    assert!(got == first, "{isa:?} has other bits at {rows}x{depth}x{columns}");
                }
            }
        }
    }

    #[test]
    fn a_row_has_the_same_bits_alone_with_any_rows_beside_it_and_shared_among_threads() {
        let (rows, depth, columns) = (77, 96, 720);
        let (x, w) = (numbers(3, rows * depth), numbers(4, depth * columns));
        let packed = pack(&w, depth, columns);
        let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
        for isa in Isa::available() {
            let all = product(isa, Team::Alone, &x, rows, &packed, depth, None);
            for row in 0..rows {
                let one = product(isa, Team::Alone, &x[row * depth..][..depth], 1, &packed, depth, None);
                assert!(one == all[row * columns..][..columns], "{isa:?} row {row}");
            }
            let shared = pool.install(|| product(isa, Team::Pool, &x, rows, &packed, depth, None));
            assert!(shared == all, "{isa:?}");
        }
    }

    #[test]
    fn zeros_behind_the_last_number_change_nothing_and_nan_spreads_within_its_row() {
        let (rows, depth, columns) = (5, 50, 64);
        let (mut x, w) = (numbers(5, rows * depth), numbers(6, depth * columns));
        let packed = pack(&w, depth, columns);
        let mut longer = w.clone();
        longer.resize(130 * columns, 0.5);
        let longer = pack(&longer, 130, columns);
        let padded: Vec<f32> =
            x.chunks(depth).flat_map(|row| row.iter().copied().chain(std::iter::repeat_n(0.0, 80))).collect();
        for isa in Isa::available() {
            let short = product(isa, Team::Alone, &x, rows, &packed, depth, None);
            assert!(short == product(isa, Team::Alone, &padded, rows, &longer, 130, None), "{isa:?}");
        }
        x[depth + 7] = f32::NAN;
        for isa in Isa::available() {
            let y = product(isa, Team::Alone, &x, rows, &packed, depth, None);
            for (row, y) in y.chunks(columns).enumerate() {
                assert!(y.iter().all(|y| y.is_nan() == (row == 1)), "{isa:?} row {row}");
            }
        }
    }
}
