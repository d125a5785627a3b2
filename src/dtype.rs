//! Element types of stored weights, and the one place where numbers are widened and narrowed.
//!
//! Weights travel as f32; merges are computed in f64. **The rounding rule:** narrowing rounds
//! to nearest, ties to even, once, at the very end; widening is exact.

use crate::isa::Isa;
use half::f16;
use half::slice::HalfFloatSliceExt;
use serde::{Deserialize, Serialize};
use std::fmt;

/// How an element is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DType {
    /// IEEE binary32.
    #[serde(alias = "float32")]
    F32,
    /// IEEE binary16.
    #[serde(alias = "float16")]
    F16,
    /// The upper half of binary32.
    #[serde(alias = "bfloat16")]
    Bf16,
}

impl DType {
    /// Bytes of one element.
    pub const fn size(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::Bf16 => 2,
        }
    }

    /// The name in a Hugging Face `config.json` (`torch_dtype`).
    pub const fn torch_name(self) -> &'static str {
        match self {
            Self::F32 => "float32",
            Self::F16 => "float16",
            Self::Bf16 => "bfloat16",
        }
    }

    /// Widens little-endian `bytes` to f32. `bytes.len()` must be `out.len() * self.size()`.
    ///
    /// # Panics
    /// If the lengths disagree, which is a mistake of the caller.
    pub fn widen(self, bytes: &[u8], out: &mut [f32]) {
        Isa::detect().run(
            #[inline(always)]
            || self.widen_block(bytes, out),
        );
    }

    /// [`widen`](Self::widen) within code that is compiled for an instruction set already.
    #[inline(always)]
    pub(crate) fn widen_block(self, bytes: &[u8], out: &mut [f32]) {
        assert_eq!(bytes.len(), out.len() * self.size(), "bytes and elements disagree");
        match self {
            Self::F32 => {
                for (x, b) in out.iter_mut().zip(bytes.as_chunks::<4>().0) {
                    *x = f32::from_le_bytes(*b);
                }
            }
            Self::Bf16 => {
                for (x, b) in out.iter_mut().zip(bytes.as_chunks::<2>().0) {
                    *x = f32::from_bits(u32::from(u16::from_le_bytes(*b)) << 16);
                }
            }
            Self::F16 => match bytemuck::try_cast_slice::<u8, f16>(bytes) {
                Ok(halves) if cfg!(target_endian = "little") => halves.convert_to_f32_slice(out),
                _ => {
                    for (x, b) in out.iter_mut().zip(bytes.as_chunks::<2>().0) {
                        *x = f16::from_le_bytes(*b).to_f32();
                    }
                }
            },
        }
    }

    /// Widens `out` from bytes that `fill` puts into its own memory, so that no other buffer is needed. `fill` gets
    /// `out.len() * self.size()` bytes and fills them all.
    pub fn widen_from<E>(
        self,
        out: &mut [f32],
        fill: impl FnOnce(&mut [u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        /// Elements that are widened at a time.
        const STEP: usize = 512;
        let (len, size) = (out.len(), self.size());
        let memory: &mut [u8] = bytemuck::cast_slice_mut(out);
        let first = memory.len() - len * size;
        fill(&mut memory[first..])?;
        // The bytes lie at the end and are widened from the front: nothing is overwritten before it was read.
        for at in (0..len).step_by(STEP) {
            let n = STEP.min(len - at);
            let (done, from) = ((at + n) * size_of::<f32>(), first + at * size);
            let memory: &mut [u8] = bytemuck::cast_slice_mut(out);
            if done <= from {
                let (wide, narrow) = memory.split_at_mut(done);
                let wide: &mut [f32] = bytemuck::cast_slice_mut(wide);
                self.widen(&narrow[from - done..][..n * size], &mut wide[at..]);
            } else {
                // Near the end they would overwrite themselves, and are moved out of the way.
                let mut narrow = [0u8; 4 * STEP];
                let narrow = &mut narrow[..n * size];
                narrow.copy_from_slice(&memory[from..][..n * size]);
                self.widen(narrow, &mut out[at..][..n]);
            }
        }
        Ok(())
    }

    /// Narrows f32 to little-endian bytes, rounding to nearest even. `out.len()` must be `values.len() * self.size()`.
    ///
    /// # Panics
    /// If the lengths disagree, which is a mistake of the caller.
    pub fn narrow(self, values: &[f32], out: &mut [u8]) {
        Isa::detect().run(
            #[inline(always)]
            || self.narrow_block(values, out),
        );
    }

    /// [`narrow`](Self::narrow) within code that is compiled for an instruction set already.
    #[inline(always)]
    pub(crate) fn narrow_block(self, values: &[f32], out: &mut [u8]) {
        assert_eq!(out.len(), values.len() * self.size(), "bytes and elements disagree");
        match self {
            Self::F32 => {
                for (b, x) in out.as_chunks_mut::<4>().0.iter_mut().zip(values) {
                    *b = x.to_le_bytes();
                }
            }
            Self::Bf16 => {
                for (b, x) in out.as_chunks_mut::<2>().0.iter_mut().zip(values) {
                    *b = ((bf16_bits(*x) >> 16) as u16).to_le_bytes();
                }
            }
            Self::F16 => {
                for (b, x) in out.as_chunks_mut::<2>().0.iter_mut().zip(values) {
                    *b = f16::from_f32(*x).to_le_bytes();
                }
            }
        }
    }

    /// Whether no element of little-endian `bytes` is NaN or infinite.
    pub(crate) fn all_finite(self, bytes: &[u8]) -> bool {
        let halves = |exponent: u16| {
            let halves = bytes.as_chunks::<2>().0.iter();
            halves.fold(0, |largest: u16, b| (u16::from_le_bytes(*b) & exponent).max(largest)) < exponent
        };
        Isa::detect().run(
            #[inline(always)]
            || match self {
                Self::F32 => {
                    let words = bytes.as_chunks::<4>().0.iter();
                    words.fold(0, |largest: u32, b| (u32::from_le_bytes(*b) & EXPONENT).max(largest))
                        < EXPONENT
                }
                Self::Bf16 => halves((EXPONENT >> 16) as u16),
                Self::F16 => halves(0x7C00),
            },
        )
    }

    /// Rounds f32 values to what this type can hold, in place: what narrowing and widening again would give.
    pub fn round(self, values: &mut [f32]) {
        Isa::detect().run(
            #[inline(always)]
            || self.round_block(values),
        );
    }

    /// [`round`](Self::round) within code that is compiled for an instruction set already.
    #[inline(always)]
    pub(crate) fn round_block(self, values: &mut [f32]) {
        match self {
            Self::F32 => {}
            Self::Bf16 => values.iter_mut().for_each(|x| *x = round_bf16(*x)),
            Self::F16 => values.iter_mut().for_each(|x| *x = round_f16(*x)),
        }
    }
}

/// The bits of an f32 that are all set where it is NaN or infinite; its upper half says the same of bf16.
const EXPONENT: u32 = 0x7F80_0000;

/// The place of the first NaN or infinity. Finite numbers, which are nearly all, are passed without a branch each.
pub(crate) fn first_not_finite(values: &[f32]) -> Option<usize> {
    let largest = Isa::detect().run(
        #[inline(always)]
        || values.iter().fold(0, |largest, x| (x.to_bits() & EXPONENT).max(largest)),
    );
    if largest < EXPONENT { None } else { values.iter().position(|x| !x.is_finite()) }
}

/// `x` rounded to bf16.
#[inline(always)]
pub(crate) fn round_bf16(x: f32) -> f32 {
    f32::from_bits(bf16_bits(x) & 0xFFFF_0000)
}

/// `x` rounded to binary16.
#[inline(always)]
pub(crate) fn round_f16(x: f32) -> f32 {
    f16::from_f32(x).to_f32()
}

/// Bits whose upper half is `x` rounded to bf16, to nearest even; a NaN stays one. Without a branch, so that a loop over it
/// runs in vectors.
#[inline(always)]
fn bf16_bits(x: f32) -> u32 {
    const QUIET: u32 = 0x0040_0000;
    let bits = x.to_bits();
    let rounded = bits.wrapping_add(0x7FFF + ((bits >> 16) & 1));
    if x.is_nan() { bits | QUIET } else { rounded }
}

/// The bits of `x` rounded to bf16, with 0 for what is below the normal numbers.
#[inline(always)]
pub(crate) fn half_bits(x: f32) -> u16 {
    const EXPONENT: u16 = 0x7F80;
    const SIGN: u16 = 0x8000;
    let bits = (bf16_bits(x) >> 16) as u16;
    if bits & EXPONENT == 0 { bits & SIGN } else { bits }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn bf16_rounds_as_the_half_crate_does() {
        // Every upper half with the lower halves where rounding turns.
        for upper in 0..=u16::MAX {
            for lower in [0u32, 1, 0x7FFF, 0x8000, 0x8001, 0xFFFF] {
                let x = f32::from_bits(u32::from(upper) << 16 | lower);
                assert_eq!((bf16_bits(x) >> 16) as u16, half::bf16::from_f32(x).to_bits(), "{x}");
            }
        }
    }

    proptest! {
        #[test]
        fn every_half_survives_widening_and_narrowing(bits: u16) {
            for dtype in [DType::F16, DType::Bf16] {
                let mut wide = [0.0f32];
                dtype.widen(&bits.to_le_bytes(), &mut wide);
                let mut back = [0u8; 2];
                dtype.narrow(&wide, &mut back);
                if !wide[0].is_nan() {
                    prop_assert_eq!(u16::from_le_bytes(back), bits);
                }
            }
        }

        #[test]
        fn widening_in_place_is_widening(values in prop::collection::vec(any::<f32>(), 0..1200)) {
            for dtype in [DType::F32, DType::F16, DType::Bf16] {
                let mut bytes = vec![0u8; values.len() * dtype.size()];
                dtype.narrow(&values, &mut bytes);
                let mut apart = vec![0.0f32; values.len()];
                dtype.widen(&bytes, &mut apart);
                let mut in_place = vec![0.0f32; values.len()];
                let filled: Result<(), ()> = dtype.widen_from(&mut in_place, |out| {
                    out.copy_from_slice(&bytes);
                    Ok(())
                });
                prop_assert!(filled.is_ok());
                let bits = |values: &[f32]| values.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
                prop_assert_eq!(bits(&apart), bits(&in_place));
            }
        }

        #[test]
        fn rounding_is_narrowing_and_widening(x: f32) {
            prop_assume!(!x.is_nan());
            for dtype in [DType::F32, DType::F16, DType::Bf16] {
                let mut bytes = vec![0u8; dtype.size()];
                dtype.narrow(&[x], &mut bytes);
                let mut wide = [0.0f32];
                dtype.widen(&bytes, &mut wide);
                let mut rounded = [x];
                dtype.round(&mut rounded);
                prop_assert_eq!(wide[0].to_bits(), rounded[0].to_bits());
            }
        }
    }
}
