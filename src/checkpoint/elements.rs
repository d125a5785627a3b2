//! Elements of a tensor that keep the type in which they came.

use crate::dtype::{DType, first_not_finite};

/// A buffer of elements, little-endian in their own type: widened where they are used, while they are in the first-level
/// cache, and written as they are. Its memory is kept from read to read.
#[derive(Debug)]
pub struct Elements {
    memory: Vec<f32>,
    dtype: DType,
    len: usize,
}

impl Default for Elements {
    fn default() -> Self {
        Self { memory: Vec::new(), dtype: DType::F32, len: 0 }
    }
}

impl AsRef<[u8]> for Elements {
    fn as_ref(&self) -> &[u8] {
        &bytemuck::cast_slice(&self.memory)[..self.len * self.dtype.size()]
    }
}

impl Elements {
    /// Their type.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// Makes room for `len` elements of a type, which hold anything until these bytes are filled.
    pub fn reset(&mut self, dtype: DType, len: usize) -> &mut [u8] {
        (self.dtype, self.len) = (dtype, len);
        self.memory.resize((len * dtype.size()).div_ceil(size_of::<f32>()), 0.0);
        &mut bytemuck::cast_slice_mut(&mut self.memory)[..len * dtype.size()]
    }

    /// Takes `len` numbers in f32.
    pub fn fill<E>(&mut self, len: usize, fill: impl FnOnce(&mut [f32]) -> Result<(), E>) -> Result<(), E> {
        self.reset(DType::F32, len);
        fill(&mut self.memory)?;
        if cfg!(target_endian = "big") {
            self.memory.iter_mut().for_each(|x| *x = f32::from_bits(x.to_bits().to_le()));
        }
        Ok(())
    }

    /// Widens the elements from `start` on.
    ///
    /// # Panics
    /// If there are not as many as `out` has, which is a mistake of the caller.
    #[inline(always)]
    pub(crate) fn widen(&self, start: usize, out: &mut [f32]) {
        let size = self.dtype.size();
        self.dtype.widen_block(&self.as_ref()[start * size..][..out.len() * size], out);
    }

    /// Widens all of them.
    ///
    /// # Panics
    /// If `out` has another number of elements, which is a mistake of the caller.
    pub fn widen_all(&self, out: &mut [f32]) {
        self.dtype.widen(self.as_ref(), out);
    }

    /// Makes them elements of another type, rounding to nearest even where it is narrower.
    pub fn convert(&mut self, dtype: DType) {
        if dtype != self.dtype {
            let mut wide = vec![0.0; self.len];
            self.dtype.widen(self.as_ref(), &mut wide);
            dtype.narrow(&wide, self.reset(dtype, wide.len()));
        }
    }

    /// The first that is NaN or infinite, and its place.
    pub fn first_not_finite(&self) -> Option<(usize, f32)> {
        /// Elements that are widened at a time.
        const BLOCK: usize = 512;
        if self.dtype.all_finite(self.as_ref()) {
            return None;
        }
        let mut wide = [0.0; BLOCK];
        (0..self.len).step_by(BLOCK).find_map(|start| {
            let wide = &mut wide[..BLOCK.min(self.len - start)];
            self.widen(start, wide);
            first_not_finite(wide).map(|at| (start + at, wide[at]))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn they_are_what_was_put_in(values in prop::collection::vec(any::<f32>(), 0..1500), start in 0usize..1500) {
            for dtype in [DType::F32, DType::F16, DType::Bf16] {
                let mut elements = Elements::default();
                let filled: Result<(), ()> = elements.fill(values.len(), |out| {
                    out.copy_from_slice(&values);
                    Ok(())
                });
                prop_assert!(filled.is_ok());
                elements.convert(dtype);
                let mut bytes = vec![0u8; values.len() * dtype.size()];
                dtype.narrow(&values, &mut bytes);
                prop_assert_eq!(elements.as_ref(), bytes.as_slice());
                let mut wide = vec![0.0f32; values.len()];
                dtype.widen(&bytes, &mut wide);
                let bad = wide.iter().position(|x| !x.is_finite());
                prop_assert_eq!(elements.first_not_finite().map(|(place, _)| place), bad);
                let start = start.min(values.len());
                let mut part = vec![0.0f32; values.len() - start];
                elements.widen(start, &mut part);
                let bits = |values: &[f32]| values.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
                prop_assert_eq!(bits(&part), bits(&wide[start..]));
            }
        }
    }
}
