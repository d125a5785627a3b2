//! The one matrix product under everything: rows times packed panels, on the best instruction set of this CPU.
//!
//! The right-hand side is packed into *panels* of 16 columns: panel `p` holds, for each `k`, the 16 numbers of columns
//! `16·p ‥ 16·p + 16`. An output element is
//!
//! ```text
//! acc = 0;  for k in 0 .. depth { acc = fma(x[row, k], w[k, col], acc) }
//! ```
//!
//! in exactly this order, one lane of a register for each element. How many rows or panels share a register tile, which
//! instruction set runs and how many threads take part changes which elements are computed together, never how one is
//! computed. So the answer has the same bits in any batch, and on any CPU.
#![expect(unsafe_code, reason = "register tiles need the CPU's vector instructions and rows by pointer")]

use crate::isa::Isa;
use rayon::prelude::*;
use std::ffi::c_void;
use std::ops::Range;

/// Columns of a panel, and numbers in a vector of the widest instruction set.
pub(crate) const LANES: usize = 16;

/// One `k` of one panel: 16 neighbouring columns, in one cache line.
#[repr(C, align(64))]
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Lanes(pub(crate) [f32; LANES]);

impl Lanes {
    /// 16 zeros.
    pub(crate) const ZERO: Self = Self([0.0; LANES]);
}

/// One `k` of one panel in bfloat16: 16 neighbouring columns in half a cache line. Widened to f32 as it is read, which is
/// exact.
#[repr(C, align(32))]
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct HalfLanes(pub(crate) [u16; LANES]);

impl HalfLanes {
    /// 16 zeros.
    pub(crate) const ZERO: Self = Self([0; LANES]);
}

/// Packed numbers.
#[derive(Clone, Copy)]
pub(crate) enum Packed<'a> {
    /// In f32.
    Full(&'a [Lanes]),
    /// In bfloat16.
    Half(&'a [HalfLanes]),
}

impl Packed<'_> {
    fn len(self) -> usize {
        match self {
            Self::Full(lanes) => lanes.len(),
            Self::Half(lanes) => lanes.len(),
        }
    }

    /// The beginning, and the size of one `k` of one panel in bytes.
    fn start(self) -> (*const c_void, usize) {
        match self {
            Self::Full(lanes) => (lanes.as_ptr().cast(), size_of::<Lanes>()),
            Self::Half(lanes) => (lanes.as_ptr().cast(), size_of::<HalfLanes>()),
        }
    }
}

/// Left-hand side `[rows, depth]`, rows `stride` apart.
#[derive(Clone, Copy)]
pub(crate) struct Rows<'a> {
    /// Row-major numbers.
    pub(crate) data: &'a [f32],
    /// Distance between the beginnings of two rows.
    pub(crate) stride: usize,
    /// Number of rows.
    pub(crate) count: usize,
}

/// Right-hand side `[depth, 16 · count]`, panels `stride` apart.
#[derive(Clone, Copy)]
pub(crate) struct Panels<'a> {
    /// `[panel, k]`, each 16 columns.
    pub(crate) lanes: Packed<'a>,
    /// Distance between the beginnings of two panels.
    pub(crate) stride: usize,
    /// Number of panels.
    pub(crate) count: usize,
    /// Terms of each sum.
    pub(crate) depth: usize,
}

/// What becomes of the product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Store {
    /// `y = x·w`
    Replace,
    /// `y = y + x·w`, the product summed first.
    Add,
}

/// Who computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Team {
    /// The calling thread.
    Alone,
    /// The rayon pool that the calling thread belongs to, where the work is worth it.
    Pool,
}

/// Multiplications below which waking another thread costs more than it brings.
const WORTH_SHARING: usize = 1 << 19;
/// Pieces per thread: a thread that the system took away leaves little behind.
const PARTS_PER_THREAD: usize = 2;
/// Bytes of panels that are reused for all rows before the next ones: half of a small L2 cache.
const CACHED_PANELS: usize = 256 << 10;

/// `y[rows, 16 · count] = x[rows, depth] · w[depth, 16 · count]`, rows of `y` being `y_stride` apart.
///
/// # Panics
/// If a slice is shorter than its shape says.
pub(crate) fn multiply(
    isa: Isa,
    team: Team,
    x: Rows<'_>,
    w: Panels<'_>,
    y: &mut [f32],
    y_stride: usize,
    store: Store,
) {
    if x.count == 0 || w.count == 0 {
        return;
    }
    assert!(x.stride >= w.depth && (x.count - 1) * x.stride + w.depth <= x.data.len(), "rows outside x");
    assert!(w.stride >= w.depth && (w.count - 1) * w.stride + w.depth <= w.lanes.len(), "panels outside w");
    let width = w.count * LANES;
    assert!(y_stride >= width && (x.count - 1) * y_stride + width <= y.len(), "rows outside y");
    let out = Out { start: y.as_mut_ptr(), stride: y_stride };
    let parts = parts(team, x.count * w.depth * width, w.count);
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

/// Into how many parts of `panels` the threads of `team` cut a product of so many multiplications.
pub(super) fn parts(team: Team, multiplications: usize, panels: usize) -> usize {
    let threads = rayon::current_num_threads();
    match team {
        Team::Pool if threads > 1 && multiplications >= WORTH_SHARING => {
            (threads * PARTS_PER_THREAD).min(panels)
        }
        _ => 1,
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
unsafe fn columns(isa: Isa, x: Rows<'_>, w: Panels<'_>, range: Range<usize>, out: Out, store: Store) {
    let tiles = tiles(isa, matches!(w.lanes, Packed::Half(_)));
    let (weights, size) = w.lanes.start();
    // Rows are split evenly over the fewest blocks, so that 13 rows run as 7 + 6 and not as 12 + 1.
    let blocks = x.count.div_ceil(tiles.len());
    // A whole number of wide tiles, so that the narrow one runs at the end of the range only.
    let width = tiles[x.count.div_ceil(blocks) - 1].width;
    let group = (CACHED_PANELS / (w.depth.max(1) * size * width)).max(1) * width;
    let mut start = range.start;
    while start < range.end {
        let end = (start + group).min(range.end);
        for block in 0..blocks {
            let (first, past) = (x.count * block / blocks, x.count * (block + 1) / blocks);
            let tile = &tiles[past - first - 1];
            let mut panel = start;
            while panel < end {
                let (width, kernel) =
                    if panel + tile.width <= end { (tile.width, tile.wide) } else { (1, tile.narrow) };
                // SAFETY: rows `first .. past` and panels `panel .. panel + width` lie inside; the tile's instruction
                // set is there, because an `Isa` of that kind exists.
                unsafe {
                    kernel(Operands {
                        depth: w.depth,
                        x: x.data.as_ptr().add(first * x.stride),
                        x_stride: x.stride,
                        w: weights.byte_add(panel * w.stride * size),
                        w_stride: w.stride,
                        y: out.start.add(first * out.stride + panel * LANES),
                        y_stride: out.stride,
                        store,
                    });
                }
                panel += width;
            }
        }
        start = end;
    }
}

/// What a kernel for `R` rows and `P` panels works on.
#[derive(Clone, Copy)]
struct Operands {
    depth: usize,
    /// `R` rows of `depth` numbers, `x_stride` apart.
    x: *const f32,
    x_stride: usize,
    /// `P` panels of `depth` lanes, `w_stride` apart: [`HalfLanes`] for a kernel of `HALF`, else [`Lanes`].
    w: *const c_void,
    w_stride: usize,
    /// `R` rows of `16 · P` numbers, `y_stride` apart.
    y: *mut f32,
    y_stride: usize,
    store: Store,
}

/// Computes the product of its operands.
type Kernel = unsafe fn(Operands);

/// The kernels for one number of rows.
struct Tile {
    /// Panels that `wide` takes at once: as many as fill the registers.
    width: usize,
    wide: Kernel,
    narrow: Kernel,
}

/// The tiles of an instruction set, for weights in bfloat16 or in f32: entry `r` is for `r + 1` rows.
fn tiles(isa: Isa, half: bool) -> &'static [Tile] {
    let [full, halves] = match isa.kind() {
        #[cfg(target_arch = "x86_64")]
        crate::isa::Kind::Avx512 => x86::AVX512,
        #[cfg(target_arch = "x86_64")]
        crate::isa::Kind::Avx2 => x86::AVX2,
        crate::isa::Kind::Portable => PORTABLE,
    };
    if half { halves } else { full }
}

macro_rules! tile_table {
    ($kernel:ident: $($rows:literal x $panels:literal),+) => {
        [
            &[$(Tile {
                width: $panels,
                wide: $kernel::<$rows, $panels, false>,
                narrow: $kernel::<$rows, 1, false>,
            }),+],
            &[$(Tile {
                width: $panels,
                wide: $kernel::<$rows, $panels, true>,
                narrow: $kernel::<$rows, 1, true>,
            }),+],
        ]
    };
}

const PORTABLE: [&[Tile]; 2] = tile_table!(portable: 1 x 1, 2 x 1, 3 x 1, 4 x 1);

/// The tile in plain Rust.
///
/// # Safety
/// What the operands claim must exist for `R` rows and `P` panels, and nobody else may touch that part of `y`.
unsafe fn portable<const R: usize, const P: usize, const HALF: bool>(operands: Operands) {
    let Operands { depth, x, x_stride, w, w_stride, y, y_stride, store } = operands;
    let mut acc = [[[0.0f32; LANES]; P]; R];
    for k in 0..depth {
        for (r, acc) in acc.iter_mut().enumerate() {
            // SAFETY: row `r` and term `k` exist by the contract.
            let a = unsafe { *x.add(r * x_stride + k) };
            for (p, acc) in acc.iter_mut().enumerate() {
                // SAFETY: panel `p` and term `k` exist by the contract.
                let b = unsafe {
                    if HALF {
                        let lanes = (*w.cast::<HalfLanes>().add(p * w_stride + k)).0;
                        lanes.map(|bits| f32::from_bits(u32::from(bits) << 16))
                    } else {
                        (*w.cast::<Lanes>().add(p * w_stride + k)).0
                    }
                };
                for (acc, b) in acc.iter_mut().zip(b) {
                    *acc = a.mul_add(b, *acc);
                }
            }
        }
    }
    for (r, acc) in acc.iter().enumerate() {
        for (p, acc) in acc.iter().enumerate() {
            // SAFETY: row `r` and columns `16 · p ..` exist by the contract.
            let out = unsafe { &mut *y.add(r * y_stride + p * LANES).cast::<[f32; LANES]>() };
            for (out, &sum) in out.iter_mut().zip(acc) {
                *out = match store {
                    Store::Replace => sum,
                    Store::Add => *out + sum,
                };
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{LANES, Operands, Store, Tile};
    use std::arch::x86_64::{
        __m128i, __m256, __m256i, __m512, _mm_load_si128, _mm256_add_ps, _mm256_castsi256_ps,
        _mm256_cvtepu16_epi32, _mm256_fmadd_ps, _mm256_load_ps, _mm256_load_si256, _mm256_loadu_ps,
        _mm256_set1_ps, _mm256_setzero_ps, _mm256_slli_epi32, _mm256_storeu_ps, _mm512_add_ps,
        _mm512_castsi512_ps, _mm512_cvtepu16_epi32, _mm512_fmadd_ps, _mm512_load_ps, _mm512_loadu_ps,
        _mm512_set1_ps, _mm512_setzero_ps, _mm512_slli_epi32, _mm512_storeu_ps,
    };

    /// 32 registers of 16 numbers: rows · panels sums, one vector of each panel, one broadcast number.
    pub(super) const AVX512: [&[Tile]; 2] = tile_table!(avx512:
        1 x 8, 2 x 8, 3 x 8, 4 x 6, 5 x 5, 6 x 4, 7 x 4, 8 x 3, 9 x 3, 10 x 2, 11 x 2, 12 x 2, 13 x 2, 14 x 2);

    /// 16 registers of 8 numbers, two to a panel.
    pub(super) const AVX2: [&[Tile]; 2] = tile_table!(avx2: 1 x 4, 2 x 3, 3 x 2, 4 x 1, 5 x 1, 6 x 1);

    /// The tile in AVX-512F.
    ///
    /// # Safety
    /// As [`super::portable`], and the CPU has AVX-512F.
    #[target_feature(enable = "avx512f")]
    unsafe fn avx512<const R: usize, const P: usize, const HALF: bool>(operands: Operands) {
        let Operands { depth, x, x_stride, w, w_stride, y, y_stride, store } = operands;
        let mut acc: [[__m512; P]; R] = [[_mm512_setzero_ps(); P]; R];
        for k in 0..depth {
            let mut b = [_mm512_setzero_ps(); P];
            for (p, b) in b.iter_mut().enumerate() {
                // SAFETY: panel `p` and term `k` exist by the contract; `Lanes` is aligned to 64 bytes, `HalfLanes` to 32.
                *b = unsafe {
                    if HALF {
                        let bits = _mm256_load_si256(w.cast::<__m256i>().add(p * w_stride + k));
                        _mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(bits)))
                    } else {
                        _mm512_load_ps(w.cast::<f32>().add((p * w_stride + k) * LANES))
                    }
                };
            }
            for (r, acc) in acc.iter_mut().enumerate() {
                // SAFETY: row `r` and term `k` exist by the contract.
                let a = _mm512_set1_ps(unsafe { *x.add(r * x_stride + k) });
                for (acc, &b) in acc.iter_mut().zip(&b) {
                    *acc = _mm512_fmadd_ps(a, b, *acc);
                }
            }
        }
        for (r, acc) in acc.iter().enumerate() {
            for (p, &sum) in acc.iter().enumerate() {
                // SAFETY: row `r` and columns `16 · p ..` exist by the contract.
                unsafe {
                    let out = y.add(r * y_stride + p * LANES);
                    let sum = match store {
                        Store::Replace => sum,
                        Store::Add => _mm512_add_ps(_mm512_loadu_ps(out), sum),
                    };
                    _mm512_storeu_ps(out, sum);
                }
            }
        }
    }

    /// The tile in AVX2 with FMA.
    ///
    /// # Safety
    /// As [`super::portable`], and the CPU has AVX2 and FMA.
    #[target_feature(enable = "avx2,fma")]
    unsafe fn avx2<const R: usize, const P: usize, const HALF: bool>(operands: Operands) {
        let Operands { depth, x, x_stride, w, w_stride, y, y_stride, store } = operands;
        let mut acc: [[[__m256; 2]; P]; R] = [[[_mm256_setzero_ps(); 2]; P]; R];
        for k in 0..depth {
            let mut b = [[_mm256_setzero_ps(); 2]; P];
            for (p, b) in b.iter_mut().enumerate() {
                // SAFETY: panel `p` and term `k` exist by the contract; `Lanes` is aligned to 64 bytes, `HalfLanes` to 32.
                unsafe {
                    if HALF {
                        let bits = w.cast::<__m128i>().add((p * w_stride + k) * 2);
                        let widened =
                            |bits| _mm256_castsi256_ps(_mm256_slli_epi32::<16>(_mm256_cvtepu16_epi32(bits)));
                        *b = [widened(_mm_load_si128(bits)), widened(_mm_load_si128(bits.add(1)))];
                    } else {
                        let lanes = w.cast::<f32>().add((p * w_stride + k) * LANES);
                        *b = [_mm256_load_ps(lanes), _mm256_load_ps(lanes.add(8))];
                    }
                }
            }
            for (r, acc) in acc.iter_mut().enumerate() {
                // SAFETY: row `r` and term `k` exist by the contract.
                let a = _mm256_set1_ps(unsafe { *x.add(r * x_stride + k) });
                for (acc, b) in acc.iter_mut().zip(&b) {
                    acc[0] = _mm256_fmadd_ps(a, b[0], acc[0]);
                    acc[1] = _mm256_fmadd_ps(a, b[1], acc[1]);
                }
            }
        }
        for (r, acc) in acc.iter().enumerate() {
            for (p, sums) in acc.iter().enumerate() {
                for (half, &sum) in sums.iter().enumerate() {
                    // SAFETY: row `r` and columns `16 · p ..` exist by the contract.
                    unsafe {
                        let out = y.add(r * y_stride + p * LANES + half * 8);
                        let sum = match store {
                            Store::Replace => sum,
                            Store::Add => _mm256_add_ps(_mm256_loadu_ps(out), sum),
                        };
                        _mm256_storeu_ps(out, sum);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::fixture::numbers;

    /// A sum of `depth` products of numbers in [-1, 1] loses at most `depth` roundings of a partial sum of at most
    /// `depth`; half of f32's ε each. Random signs stay far below.
    fn tolerance(depth: usize) -> f64 {
        (depth * depth) as f64 * f64::from(f32::EPSILON) / 2.0
    }

    fn pack(w: &[f32], depth: usize, columns: usize) -> Vec<Lanes> {
        let mut lanes = vec![Lanes::ZERO; columns.div_ceil(LANES) * depth];
        for k in 0..depth {
            for column in 0..columns {
                lanes[column / LANES * depth + k].0[column % LANES] = w[k * columns + column];
            }
        }
        lanes
    }

    fn product(isa: Isa, team: Team, x: &[f32], rows: usize, w: &[Lanes], depth: usize) -> Vec<f32> {
        let count = w.len() / depth;
        let mut y = vec![f32::NAN; rows * count * LANES];
        let lanes = Packed::Full(w);
        let (x, w) =
            (Rows { data: x, stride: depth, count: rows }, Panels { lanes, stride: depth, count, depth });
        multiply(isa, team, x, w, &mut y, count * LANES, Store::Replace);
        y
    }

    #[test]
    fn weights_in_bfloat16_give_the_bits_of_the_same_weights_in_f32() {
        for (rows, depth, columns) in [(1, 1, 16), (1, 192, 320), (5, 33, 48), (13, 64, 112), (29, 7, 144)] {
            let x = numbers(1, rows * depth);
            let bits: Vec<u16> =
                numbers(2, depth * columns).into_iter().map(|w| (w.to_bits() >> 16) as u16).collect();
            let w: Vec<f32> = bits.iter().map(|&b| f32::from_bits(u32::from(b) << 16)).collect();
            let full = pack(&w, depth, columns);
            let half: Vec<HalfLanes> =
                full.iter().map(|l| HalfLanes(l.0.map(|w| (w.to_bits() >> 16) as u16))).collect();
            for isa in Isa::available() {
                let mut y = vec![f32::NAN; rows * columns];
                let count = columns / LANES;
                let panels = Panels { lanes: Packed::Half(&half), stride: depth, count, depth };
                let x_rows = Rows { data: &x, stride: depth, count: rows };
                multiply(isa, Team::Alone, x_rows, panels, &mut y, columns, Store::Replace);
                assert!(y == product(isa, Team::Alone, &x, rows, &full, depth), "{isa:?} {rows}x{depth}");
            }
        }
    }

    #[test]
    fn every_instruction_set_is_near_the_exact_product_and_all_have_the_same_bits() {
        for (rows, depth, columns) in [(1, 1, 16), (1, 192, 320), (5, 33, 48), (13, 64, 112), (29, 7, 144)] {
            let (x, w) = (numbers(1, rows * depth), numbers(2, depth * columns));
            let packed = pack(&w, depth, columns);
            let first = product(Isa::portable(), Team::Alone, &x, rows, &packed, depth);
            for (i, &got) in first.iter().enumerate() {
                let (row, column) = (i / columns, i % columns);
                let exact: f64 = (0..depth)
                    .map(|k| f64::from(x[row * depth + k]) * f64::from(w[k * columns + column]))
                    .sum();
                assert!((f64::from(got) - exact).abs() <= tolerance(depth), "{got} for {exact}");
            }
            for isa in Isa::available() {
                let got = product(isa, Team::Alone, &x, rows, &packed, depth);
                assert!(got == first, "{isa:?} differs at {rows}x{depth}x{columns}");
            }
        }
    }

    #[test]
    fn a_row_has_the_same_bits_alone_and_among_others() {
        let (rows, depth, columns) = (40, 96, 208);
        let (x, w) = (numbers(3, rows * depth), numbers(4, depth * columns));
        let packed = pack(&w, depth, columns);
        for isa in Isa::available() {
            let alone: Vec<f32> =
                x.chunks(depth).flat_map(|row| product(isa, Team::Alone, row, 1, &packed, depth)).collect();
            for among in 1..=rows {
                let got = product(isa, Team::Alone, &x[..among * depth], among, &packed, depth);
                assert!(got == alone[..among * columns], "{isa:?} with {among} rows");
            }
        }
    }

    #[test]
    fn the_number_of_threads_changes_no_bit() {
        let (rows, depth, columns) = (37, 128, 400);
        let (x, w) = (numbers(5, rows * depth), numbers(6, depth * columns));
        assert!(rows * depth * columns >= WORTH_SHARING, "or the threads would not be used");
        let packed = pack(&w, depth, columns);
        let alone = product(Isa::detect(), Team::Alone, &x, rows, &packed, depth);
        for threads in [1, 2, 3, 5] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let got = pool.install(|| product(Isa::detect(), Team::Pool, &x, rows, &packed, depth));
            assert!(got == alone, "{threads} threads");
        }
    }

    #[test]
    fn adding_adds_the_whole_product() {
        let packed = pack(&numbers(7, 8 * 16), 8, 16);
        let x = numbers(8, 8);
        for isa in Isa::available() {
            let product = product(isa, Team::Alone, &x, 1, &packed, 8);
            let mut y = vec![1.5; 16];
            let (x, w) = (
                Rows { data: &x, stride: 8, count: 1 },
                Panels { lanes: Packed::Full(&packed), stride: 8, count: 1, depth: 8 },
            );
            multiply(isa, Team::Alone, x, w, &mut y, 16, Store::Add);
            assert!(y.iter().zip(&product).all(|(&y, &p)| y == 1.5 + p), "{isa:?}");
        }
    }
}
