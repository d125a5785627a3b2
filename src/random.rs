//! Keyed random streams: (seed, purpose, index) → bits.
//!
//! Nothing ever asks for "the next number" of a shared generator, so batch order, resume and threads cannot change a
//! draw. The bits are blake3's extendable output over the key, which no library update can change.

use crate::isa::Isa;
use rand::rand_core::{TryRng, utils};
use std::convert::Infallible;

/// The random bits that belong to one (seed, purpose, index).
pub struct Stream(blake3::OutputReader);

impl Stream {
    /// Opens a stream at its start.
    pub fn new(seed: u64, purpose: &str, index: u64) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"m3 random stream 1");
        hasher.update(&seed.to_le_bytes());
        hasher.update(&index.to_le_bytes());
        hasher.update(purpose.as_bytes());
        Self(hasher.finalize_xof())
    }

    /// A number in [0, 1) with 53 random bits.
    pub fn unit(&mut self) -> f64 {
        let mut bytes = [0; 8];
        self.0.fill(&mut bytes);
        (u64::from_le_bytes(bytes) >> 11) as f64 / (1u64 << 53) as f64
    }

    /// A uniformly random order of 0..n (Fisher–Yates).
    pub fn permutation(&mut self, n: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..n).collect();
        for i in (1..n).rev() {
            let j = (self.unit() * (i + 1) as f64) as usize;
            order.swap(i, j);
        }
        order
    }
}

/// Random numbers that belong to the elements of something: the number of element i does not depend on which other
/// elements are asked for.
pub trait Draws: Send + Sync {
    /// Numbers for elements `start .. start + out.len()`, each uniform over all of u32.
    fn fill(&self, start: u64, out: &mut [u32]);
}

/// [`Draws`] by key: (seed, purpose, index) → one number per element.
///
/// The key comes from blake3; the numbers are the counter-based SplitMix64 (Steele, Lea & Flood 2014) from there, two
/// to a block, because billions of them are drawn.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    key: u64,
}

impl Field {
    /// The field of a key.
    pub fn new(seed: u64, purpose: &str, index: u64) -> Self {
        let mut bytes = [0; 8];
        Stream::new(seed, purpose, index).0.fill(&mut bytes);
        Self { key: u64::from_le_bytes(bytes) }
    }

    #[inline(always)]
    fn block(self, number: u64) -> u64 {
        let mut z = self.key.wrapping_add(number.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}

impl Draws for Field {
    fn fill(&self, start: u64, out: &mut [u32]) {
        let half = |i: u64| (self.block(i / 2) >> (32 * (i % 2))) as u32;
        let lead = out.len().min((start % 2) as usize);
        let (first, rest) = out.split_at_mut(lead);
        first.fill(half(start));
        // The block that the rest begins with.
        let start = (start + lead as u64) >> 1;
        let pairs = rest.len() / 2;
        Isa::detect().run(
            #[inline(always)]
            || {
                for (number, pair) in rest.as_chunks_mut::<2>().0.iter_mut().enumerate() {
                    let block = self.block(start + number as u64);
                    *pair = [block as u32, (block >> 32) as u32];
                }
            },
        );
        if rest.len() % 2 == 1 {
            rest[2 * pairs] = half(2 * (start + pairs as u64));
        }
    }
}

impl TryRng for Stream {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        utils::next_word_via_fill(self)
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        utils::next_word_via_fill(self)
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        self.0.fill(bytes);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_depends_on_each_part_of_its_key_and_on_nothing_else() {
        let first = |seed, purpose, index| Stream::new(seed, purpose, index).unit();
        assert_eq!(first(1, "beta", 0), first(1, "beta", 0));
        assert_ne!(first(1, "beta", 0), first(2, "beta", 0));
        assert_ne!(first(1, "beta", 0), first(1, "beta", 1));
        assert_ne!(first(1, "beta", 0), first(1, "dare", 0));
    }

    #[test]
    fn the_bits_are_pinned() {
        // A stored run is replayed from its seed: these numbers may never change.
        let mut s = Stream::new(7, "beta", 3);
        let drawn: Vec<u64> = (0..3).map(|_| (s.unit() * 1e12) as u64).collect();
        assert_eq!(drawn, PINNED);
    }
    const PINNED: [u64; 3] = [153_324_007_338, 150_232_032_868, 930_645_559_392];

    #[test]
    fn a_field_is_the_same_in_any_pieces_and_uniform() {
        let field = Field::new(3, "dare/x", 1);
        let mut whole = vec![0; 10_001];
        field.fill(0, &mut whole);
        for piece in [1, 2, 7, 1000] {
            let mut again = vec![0; whole.len()];
            for (i, part) in again.chunks_mut(piece).enumerate() {
                field.fill((i * piece) as u64, part);
            }
            assert_eq!(again, whole, "pieces of {piece}");
        }
        assert_eq!(whole[..4], PINNED_FIELD);
        // Mean ½ within 4 standard errors, and neighbours uncorrelated.
        let unit: Vec<f64> = whole.iter().map(|x| f64::from(*x) / 2f64.powi(32) - 0.5).collect();
        let n = unit.len() as f64;
        assert!((unit.iter().sum::<f64>() / n).abs() < 4.0 / (12.0 * n).sqrt());
        let lag: f64 = unit.windows(2).map(|w| w[0] * w[1]).sum::<f64>() / n;
        assert!(lag.abs() < 4.0 / (12.0 * n.sqrt()), "{lag}");
    }
    const PINNED_FIELD: [u32; 4] = [2_240_034_171, 1_783_386_921, 2_881_186_651, 2_092_175_282];

    #[test]
    fn a_permutation_holds_each_number_once() {
        let mut order = Stream::new(1, "order", 0).permutation(100);
        assert_ne!(order, (0..100).collect::<Vec<_>>());
        order.sort_unstable();
        assert_eq!(order, (0..100).collect::<Vec<_>>());
    }
}
