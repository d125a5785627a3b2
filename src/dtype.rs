//! Element types of stored weights, and the one place where numbers are widened and narrowed.
//!
//! Weights travel as f32; merges are computed in f64. **The rounding rule:** narrowing rounds
//! to nearest, ties to even, once, at the very end; widening is exact.

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

    /// Narrows f32 to little-endian bytes, rounding to nearest even. `out.len()` must be `values.len() * self.size()`.
    ///
    /// # Panics
    /// If the lengths disagree, which is a mistake of the caller.
    pub fn narrow(self, values: &[f32], out: &mut [u8]) {
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

    /// Rounds f32 values to what this type can hold, in place: what narrowing and widening again would give.
    pub fn round(self, values: &mut [f32]) {
        match self {
            Self::F32 => {}
            Self::Bf16 => values.iter_mut().for_each(|x| *x = f32::from_bits(bf16_bits(*x) & 0xFFFF_0000)),
            Self::F16 => values.iter_mut().for_each(|x| *x = f16::from_f32(*x).to_f32()),
        }
    }
}

/// Bits whose upper half is `x` rounded to bf16, to nearest even; a NaN stays one. Without a branch, so that a loop over it
/// runs in vectors.
fn bf16_bits(x: f32) -> u32 {
    const QUIET: u32 = 0x0040_0000;
    let bits = x.to_bits();
    let rounded = bits.wrapping_add(0x7FFF + ((bits >> 16) & 1));
    if x.is_nan() { bits | QUIET } else { rounded }
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
