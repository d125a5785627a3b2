//! Which elements are among the k largest magnitudes, found by counting bit patterns instead of by sorting.
//!
//! The bits of a non-negative f32 are ordered as its value is. A first sweep over the elements counts their upper 16 bits,
//! a second one the lower 15 inside the bin where the cut lies: the cut is exact, whatever the number of elements, and
//! the order in which they are counted does not matter.

/// The bits of |x|: ordered as the magnitudes are; NaN above everything.
pub(in crate::merge) fn key(x: f32) -> u32 {
    x.to_bits() & 0x7FFF_FFFF
}

/// Low bits of a key, which the second sweep counts.
const LOW: u32 = 15;
/// Bins of the first sweep, and of the second.
const BINS: usize = 1 << 16;

/// The border of a set of largest magnitudes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::merge) struct Cut {
    /// Everything above this key is in.
    pub(in crate::merge) key: u32,
    /// Of the elements with exactly this key those before this place are in.
    pub(in crate::merge) ties_before: u64,
}

impl Cut {
    /// Every element.
    pub(in crate::merge) const ALL: Self = Self { key: 0, ties_before: u64::MAX };
    /// No element.
    pub(in crate::merge) const NONE: Self = Self { key: u32::MAX, ties_before: 0 };

    /// Whether an element is in.
    pub(in crate::merge) fn keeps(self, key: u32, place: u64) -> bool {
        key > self.key || (key == self.key && place < self.ties_before)
    }
}

/// The search for the k-th largest magnitude.
#[derive(Clone, Copy, Debug)]
pub(in crate::merge) struct Selection {
    /// How many are above the range that is left.
    above: u64,
    /// The rank that is sought, from 1.
    k: u64,
    /// The bin of the first sweep where it lies.
    bin: Option<u32>,
}

/// The k-th largest magnitude.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::merge) struct Found {
    /// Its key.
    pub(in crate::merge) key: u32,
    /// How many of its ties are among the k largest.
    pub(in crate::merge) wanted: u64,
    /// How many elements have this key.
    pub(in crate::merge) ties: u64,
}

impl Selection {
    /// Seeks the k-th largest; `k` is at least 1 and at most the number of elements that will be counted.
    pub(in crate::merge) fn new(k: u64) -> Self {
        Self { above: 0, k, bin: None }
    }

    /// Empty counts for a sweep.
    pub(in crate::merge) fn counts() -> Vec<u64> {
        vec![0; BINS]
    }

    /// Counts magnitudes.
    pub(in crate::merge) fn count(&self, values: &[f32], counts: &mut [u64]) {
        match self.bin {
            None => values.iter().for_each(|x| counts[(key(*x) >> LOW) as usize] += 1),
            Some(bin) => {
                for key in values.iter().map(|x| key(*x)).filter(|key| key >> LOW == bin) {
                    counts[(key & ((1 << LOW) - 1)) as usize] += 1;
                }
            }
        }
    }

    /// Narrows the search by the counts of a sweep over all elements: twice, then the magnitude is found.
    pub(in crate::merge) fn narrow(&mut self, counts: &[u64]) -> Option<Found> {
        let mut above = self.above;
        let mut at = 0;
        for (i, count) in counts.iter().enumerate().rev() {
            at = i;
            if above + count >= self.k {
                break;
            }
            above += count;
        }
        self.above = above;
        match self.bin {
            None => {
                self.bin = Some(at as u32);
                None
            }
            Some(bin) => {
                Some(Found { key: bin << LOW | at as u32, wanted: self.k - above, ties: counts[at] })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn find(values: &[f32], k: u64) -> Found {
        let mut selection = Selection::new(k);
        loop {
            let mut counts = Selection::counts();
            selection.count(values, &mut counts);
            if let Some(found) = selection.narrow(&counts) {
                return found;
            }
        }
    }

    proptest! {
        #[test]
        fn it_is_the_kth_of_a_sort(
            values in prop::collection::vec(prop_oneof![-2.0f32..2.0, Just(0.0), Just(-0.5), -1e-30f32..1e-30], 1..300),
            place in 0.0f64..1.0,
        ) {
            let k = 1 + (place * values.len() as f64) as usize;
            let mut sorted: Vec<f32> = values.iter().map(|x| x.abs()).collect();
            sorted.sort_by(|a, b| b.total_cmp(a));
            let found = find(&values, k as u64);
            let kth = sorted[k - 1];
            prop_assert_eq!(found.key, kth.to_bits());
            prop_assert_eq!(found.ties as usize, sorted.iter().filter(|x| **x == kth).count());
            prop_assert_eq!(found.wanted as usize, sorted[..k].iter().filter(|x| **x == kth).count());
        }
    }
}
