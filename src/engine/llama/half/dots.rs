//! The product by AVX-512 BF16.
#![expect(unsafe_code, reason = "register tiles need the CPU's vector instructions, and rows by pointer")]

use super::{BLOCK, LANES, Operands, Store, TILE};
use std::arch::x86_64::{
    __m512, __m512bh, _mm512_dpbf16_ps, _mm512_load_si512, _mm512_loadu_ps, _mm512_set1_epi32,
    _mm512_setzero_ps, _mm512_storeu_ps,
};
use std::hint::black_box;

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

/// Multiplies vectors of pairs, `steps` times a dozen of them; how many operations that were.
///
/// # Safety
/// The CPU has AVX-512 BF16.
#[target_feature(enable = "avx512f,avx512bf16")]
pub(super) unsafe fn in_registers(steps: usize) -> usize {
    const CHAINS: usize = 12;
    let mut sums = [_mm512_setzero_ps(); CHAINS];
    let pairs = bh(_mm512_set1_epi32(black_box(0x3F80_3F80)));
    for _ in 0..steps {
        for sums in &mut sums {
            *sums = _mm512_dpbf16_ps(*sums, pairs, pairs);
        }
    }
    black_box(sums);
    steps * CHAINS * (4 * LANES)
}

/// `P` panels from `panel` on for `R` rows.
///
/// # Safety
/// As [`product`], and there are `R` rows and `P` more panels.
#[target_feature(enable = "avx512f,avx512bf16")]
unsafe fn tile<const R: usize, const P: usize>(operands: Operands, panel: usize) {
    let Operands { blocks, x, w, w_stride, y, y_stride, store, .. } = operands;
    let mut acc: [[__m512; P]; R] = [[_mm512_setzero_ps(); P]; R];
    // SAFETY: rows, panels and blocks exist by the contract; `Pairs` is aligned to 64 bytes.
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
                let x = &*x.add(pair / (BLOCK / 2) * TILE + row);
                let [even, odd] = [0, 1].map(|k| u32::from(x.0[2 * (pair % (BLOCK / 2)) + k]));
                let a = _mm512_set1_epi32((odd << 16 | even).cast_signed());
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
