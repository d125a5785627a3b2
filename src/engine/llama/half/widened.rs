//! The product by fused multiply-adds in f32, in the order of AMX.
#![expect(unsafe_code, reason = "rows, panels and sums are reached by pointer")]

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
                    let (a, b) = (widen(x.0[2 * pair]), widen(x.0[2 * pair + 1]));
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
