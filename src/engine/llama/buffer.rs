//! Room for numbers.
#![expect(unsafe_code, reason = "numbers that are aligned together are looked at one by one")]

use super::simd::{LANES, Lanes};

/// Room for numbers that is kept between steps. It begins with a cache line, so that 16 numbers of a row lie in one if the row
/// has whole panels.
#[derive(Debug, Default)]
pub(crate) struct Buffer(Vec<Lanes>);

impl Buffer {
    /// None yet.
    pub(crate) const EMPTY: Self = Self(Vec::new());

    /// Room for so many, whatever they are now.
    pub(crate) fn of(&mut self, count: usize) -> &mut [f32] {
        let lanes = count.div_ceil(LANES);
        self.0.resize(lanes.max(self.0.len()), Lanes::ZERO);
        // SAFETY: lanes are 16 numbers each, one behind the other and nothing between them.
        unsafe { std::slice::from_raw_parts_mut(self.0.as_mut_ptr().cast(), count) }
    }
}
