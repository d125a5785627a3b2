//! How elements are encoded, and the numbers that a run of blocks means.
//!
//! The block formats are ggml's (ggml-org/ggml, `src/ggml-common.h`); candle decodes them.

use crate::dtype::DType;
use candle_core::Device;
use candle_core::quantized::{GgmlDType, ggml_file};

/// An encoding that can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    Float(DType),
    Q4_0,
    Q4_1,
    Q5_0,
    Q5_1,
    Q8_0,
    Q2K,
    Q3K,
    Q4K,
    Q5K,
    Q6K,
}

impl Encoding {
    /// By the number that a file has for it (`ggml_type`).
    pub(super) fn of(kind: u32) -> Option<Self> {
        Some(match kind {
            0 => Self::Float(DType::F32),
            1 => Self::Float(DType::F16),
            2 => Self::Q4_0,
            3 => Self::Q4_1,
            6 => Self::Q5_0,
            7 => Self::Q5_1,
            8 => Self::Q8_0,
            10 => Self::Q2K,
            11 => Self::Q3K,
            12 => Self::Q4K,
            13 => Self::Q5K,
            14 => Self::Q6K,
            30 => Self::Float(DType::Bf16),
            _ => return None,
        })
    }

    /// The element type, where elements are plain floats.
    pub(super) fn float(self) -> Option<DType> {
        match self {
            Self::Float(dtype) => Some(dtype),
            _ => None,
        }
    }

    /// Elements and bytes of a block. All sizes but those of floats are even, as candle's blocks need it.
    pub(super) fn block(self) -> (usize, usize) {
        match self {
            Self::Float(dtype) => (1, dtype.size()),
            Self::Q4_0 => (32, 18),
            Self::Q4_1 => (32, 20),
            Self::Q5_0 => (32, 22),
            Self::Q5_1 => (32, 24),
            Self::Q8_0 => (32, 34),
            Self::Q2K => (256, 84),
            Self::Q3K => (256, 110),
            Self::Q4K => (256, 144),
            Self::Q5K => (256, 176),
            Self::Q6K => (256, 210),
        }
    }

    /// Decodes whole blocks. `bytes` begins at an even address; the lengths fit each other.
    pub(super) fn decode(self, bytes: &[u8], out: &mut [f32]) -> Result<(), String> {
        let quantised = match self {
            Self::Float(dtype) => {
                dtype.widen(bytes, out);
                return Ok(());
            }
            Self::Q4_0 => GgmlDType::Q4_0,
            Self::Q4_1 => GgmlDType::Q4_1,
            Self::Q5_0 => GgmlDType::Q5_0,
            Self::Q5_1 => GgmlDType::Q5_1,
            Self::Q8_0 => GgmlDType::Q8_0,
            Self::Q2K => GgmlDType::Q2K,
            Self::Q3K => GgmlDType::Q3K,
            Self::Q4K => GgmlDType::Q4K,
            Self::Q5K => GgmlDType::Q5K,
            Self::Q6K => GgmlDType::Q6K,
        };
        let decoded = ggml_file::qtensor_from_ggml(quantised, bytes, vec![out.len()], &Device::Cpu)
            .and_then(|blocks| blocks.dequantize(&Device::Cpu)?.to_vec1::<f32>())
            .map_err(|e| e.to_string())?;
        out.copy_from_slice(&decoded);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_those_of_the_decoder() {
        for kind in 0..40 {
            let Some(encoding) = Encoding::of(kind) else { continue };
            let (elements, bytes) = encoding.block();
            // Zero bytes are a scale of zero: every number is 0, and the lengths must fit.
            let mut out = vec![1.0; 3 * elements];
            encoding.decode(&vec![0; 3 * bytes], &mut out).unwrap();
            assert!(out.iter().all(|x| *x == 0.0), "{encoding:?}");
        }
    }
}
