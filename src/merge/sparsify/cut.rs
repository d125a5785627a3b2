//! Which elements are among the k largest magnitudes, found by counting bit patterns instead of by sorting.
//!
//! The bits of a non-negative f32 are ordered as its value is. A sweep over the elements counts how many lie above a
//! window of these patterns, and those inside it bin by bin. A window with a bin for each pattern that holds the cut gives
//! it exactly, whatever the number of elements and the order in which they are counted. A sample of the elements says
//! where to put such a window; if the cut was missed, a window over everything and one over the bin that it shows do not.

/// The bits of |x|: ordered as the magnitudes are; NaN above everything.
#[inline(always)]
pub(in crate::merge) fn key(x: f32) -> u32 {
    x.to_bits() & 0x7FFF_FFFF
}

/// Keys are below this.
const KEYS: u32 = 1 << 31;
/// Bits of a key that one bin of a window over everything holds.
const COARSE: u32 = 15;
/// Bins that a window may always have; more if there are as many elements.
const FEW: u64 = 1 << COARSE;
/// Bins that no window has more of. Memory for those that stay empty is asked for but not used.
const MANY: u64 = 1 << 22;

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

    /// The least key of an element at `place` that is in.
    #[inline(always)]
    pub(in crate::merge) fn least_at(self, place: u64) -> u32 {
        if place < self.ties_before { self.key } else { self.key.saturating_add(1) }
    }
}

/// Keys `first .. first + (bins << shift)`, counted in bins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::merge) struct Window {
    first: u32,
    shift: u32,
    bins: u32,
}

impl Window {
    /// Every key, coarsely.
    pub(in crate::merge) const ALL: Self = Self { first: 0, shift: COARSE, bins: KEYS >> COARSE };

    /// The keys from `low` to `high`: one by one, or, if these are too many for `n` elements, in bins of several.
    pub(in crate::merge) fn between(low: u32, high: u32, n: u64) -> Self {
        let (first, last) = (low.min(KEYS - 1), high.min(KEYS - 1));
        let mut shift = 0;
        while u64::from((last - first) >> shift) >= n.clamp(FEW, MANY) {
            shift += 1;
        }
        Self { first, shift, bins: ((last - first) >> shift) + 1 }
    }

    fn span(self) -> u32 {
        self.bins << self.shift
    }

    /// Where the k-th largest of the counted elements is, 1 ≤ k ≤ their number.
    pub(in crate::merge) fn seek(self, counts: &Counts, k: u64) -> Sought {
        let mut above = counts.above;
        if above >= k {
            return Sought::Missed;
        }
        for (i, &count) in counts.bins.iter().enumerate().rev() {
            if above + count >= k {
                let first = self.first + ((i as u32) << self.shift);
                return match self.shift {
                    0 => Sought::Found(Found { key: first, wanted: k - above, ties: count }),
                    shift => Sought::Within(Self { first, shift: 0, bins: 1 << shift }),
                };
            }
            above += count;
        }
        Sought::Missed
    }
}

/// What the counts of a window say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::merge) enum Sought {
    /// It is this.
    Found(Found),
    /// It is in this window.
    Within(Window),
    /// It is outside the window.
    Missed,
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

/// How many elements lie in each bin of a window, and above it.
#[derive(Clone, Debug)]
pub(in crate::merge) struct Counts {
    above: u64,
    bins: Vec<u64>,
}

impl Counts {
    /// Nothing counted yet.
    pub(in crate::merge) fn new(window: Window) -> Self {
        Self { above: 0, bins: vec![0; window.bins as usize] }
    }

    /// Counts magnitudes, and says how many equal `guess`: often that is one of the commonest (deltas of 16-bit weights have
    /// few different magnitudes), and then a bin is not touched for each.
    #[inline(always)]
    pub(in crate::merge) fn add(&mut self, window: Window, guess: u32, values: &[f32]) -> u64 {
        // First marks, which the compiler makes in vectors, then the few marked ones: few lie in the window.
        const STEP: usize = 512;
        let (span, end) = (window.span(), window.first + window.span());
        let bin = guess.wrapping_sub(window.first);
        let apart = window.shift == 0 && bin < span;
        let mut marks = [[0u8; 8]; STEP / 8];
        let mut equal = 0;
        for values in values.chunks(STEP) {
            let above: u32 = values.iter().map(|x| u32::from(key(*x) >= end)).sum();
            self.above += u64::from(above);
            let here: u32 = values.iter().map(|x| u32::from(key(*x) == guess)).sum();
            equal += u64::from(here);
            for (mark, x) in marks.as_flattened_mut().iter_mut().zip(values) {
                let inside = key(*x).wrapping_sub(window.first) < span;
                *mark = u8::from(inside & !(apart & (key(*x) == guess)));
            }
            for (values, marks) in values.chunks(8).zip(&marks) {
                let mut marked = u64::from_le_bytes(*marks);
                while marked != 0 {
                    // Marks behind the last value are those of the chunk before.
                    if let Some(x) = values.get(marked.trailing_zeros() as usize / 8) {
                        let place = key(*x).wrapping_sub(window.first);
                        self.bins[(place >> window.shift) as usize] += 1;
                    }
                    marked &= marked - 1;
                }
            }
        }
        if apart {
            self.bins[bin as usize] += equal;
        }
        equal
    }

    /// Both counts together.
    pub(in crate::merge) fn merge(mut self, other: &Self) -> Self {
        self.above += other.above;
        // Most bins of a large window are empty, and their memory was never used.
        for (a, b) in self.bins.iter_mut().zip(&other.bins).filter(|(_, b)| **b > 0) {
            *a += b;
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn find(values: &[f32], k: u64, mut window: Window, guess: u32) -> Found {
        loop {
            let mut counts = Counts::new(window);
            let (a, b) = values.split_at(values.len() / 3);
            counts.add(window, guess, a);
            let mut others = Counts::new(window);
            others.add(window, guess, b);
            match window.seek(&counts.merge(&others), k) {
                Sought::Found(found) => return found,
                Sought::Within(smaller) => window = smaller,
                Sought::Missed => window = Window::ALL,
            }
        }
    }

    proptest! {
        #[test]
        fn it_is_the_kth_of_a_sort(
            values in prop::collection::vec(
                prop_oneof![-2.0f32..2.0, Just(0.0), Just(-0.5), -1e-30f32..1e-30, Just(f32::INFINITY)], 1..300),
            place in 0.0f64..1.0,
            guess in prop_oneof![0.0f32..2.0, Just(0.5), Just(0.0), Just(f32::MAX), Just(f32::NAN)],
        ) {
            let k = 1 + (place * values.len() as f64) as usize;
            let mut sorted: Vec<f32> = values.iter().map(|x| x.abs()).collect();
            sorted.sort_by(|a, b| b.total_cmp(a));
            let kth = sorted[k - 1];
            let (low, high) = (key(guess).min(key(kth)), key(guess).max(key(kth)));
            let borders = [(low, high), (key(kth), key(kth)), (key(guess), key(guess)), (0, high)];
            let windows = borders.map(|(low, high)| Window::between(low, high, values.len() as u64));
            for window in [Window::ALL].into_iter().chain(windows) {
                let found = find(&values, k as u64, window, key(guess));
                prop_assert_eq!(found.key, kth.to_bits());
                prop_assert_eq!(found.ties as usize, sorted.iter().filter(|x| **x == kth).count());
                prop_assert_eq!(found.wanted as usize, sorted[..k].iter().filter(|x| **x == kth).count());
            }
        }
    }
}
