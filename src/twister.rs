//! The Mersenne Twister MT19937 (Matsumoto & Nishimura 1998), seeded as Python and NumPy seed it: for what a reference program
//! draws. Our own draws are those of `random`.

use sha2::{Digest, Sha512};

const N: usize = 624;
const M: usize = 397;

/// The state of the generator.
#[derive(Clone, Debug)]
pub(crate) struct Twister {
    state: [u32; N],
    at: usize,
}

impl Twister {
    /// `init_genrand`, which NumPy uses for a seed of one word.
    pub(crate) fn from_word(seed: u32) -> Self {
        let mut state = [seed; N];
        for i in 1..N {
            let before = state[i - 1];
            state[i] = 1_812_433_253_u32.wrapping_mul(before ^ (before >> 30)).wrapping_add(i as u32);
        }
        Self { state, at: N }
    }

    /// `init_by_array`, which Python uses for whole numbers, with their words from the lowest.
    pub(crate) fn from_words(key: &[u32]) -> Self {
        let mut twister = Self::from_word(19_650_218);
        let state = &mut twister.state;
        let (mut i, mut j) = (1, 0);
        let wrap = |state: &mut [u32; N], i: usize| {
            if i < N {
                return i;
            }
            state[0] = state[N - 1];
            1
        };
        for _ in 0..N.max(key.len()) {
            let before = state[i - 1];
            state[i] = (state[i] ^ (before ^ (before >> 30)).wrapping_mul(1_664_525))
                .wrapping_add(key[j])
                .wrapping_add(j as u32);
            i = wrap(state, i + 1);
            j = (j + 1) % key.len();
        }
        for _ in 0..N - 1 {
            let before = state[i - 1];
            state[i] =
                (state[i] ^ (before ^ (before >> 30)).wrapping_mul(1_566_083_941)).wrapping_sub(i as u32);
            i = wrap(state, i + 1);
        }
        state[0] = 0x8000_0000;
        twister
    }

    /// 32 random bits: Python's `getrandbits(32)`.
    pub(crate) fn word(&mut self) -> u32 {
        if self.at == N {
            for i in 0..N {
                let mixed = (self.state[i] & 0x8000_0000) | (self.state[(i + 1) % N] & 0x7fff_ffff);
                let odd = if mixed & 1 == 1 { 0x9908_b0df } else { 0 };
                self.state[i] = self.state[(i + M) % N] ^ (mixed >> 1) ^ odd;
            }
            self.at = 0;
        }
        let mut y = self.state[self.at];
        self.at += 1;
        y ^= y >> 11;
        y ^= (y << 7) & 0x9d2c_5680;
        y ^= (y << 15) & 0xefc6_0000;
        y ^ (y >> 18)
    }

    /// Python's `random.Random(text)`: the text's UTF-8 and its SHA-512, read as one big-endian number, are the seed.
    pub(crate) fn from_text(text: &str) -> Self {
        let mut bytes = text.as_bytes().to_vec();
        bytes.extend_from_slice(&Sha512::digest(text.as_bytes()));
        // The number's 32-bit words, the lowest first, without zeros at its high end.
        let mut words: Vec<u32> = bytes
            .rchunks(4)
            .map(|chunk| chunk.iter().fold(0, |word, byte| word << 8 | u32::from(*byte)))
            .collect();
        while words.len() > 1 && words.last() == Some(&0) {
            words.pop();
        }
        Self::from_words(&words)
    }

    /// Python's `random.Random(seed)` of a small number.
    pub(crate) fn from_number(seed: u32) -> Self {
        Self::from_words(&[seed])
    }

    /// Python's `_randbelow(n)`: a number under `n`, which is at least 1.
    fn below(&mut self, n: u32) -> u32 {
        let bits = u32::BITS - n.leading_zeros();
        loop {
            let drawn = self.word() >> (u32::BITS - bits);
            if drawn < n {
                return drawn;
            }
        }
    }

    /// Python's `sample(range(n), k)`: `k` different numbers under `n`, in the order in which they are drawn. `k` is at most `n`.
    pub(crate) fn sample(&mut self, n: u32, k: u32) -> Vec<u32> {
        // Up to here a list of all numbers is less than a set of those that are drawn.
        let mut small = 21;
        if k > 5 {
            small += 4_u32.pow((f64::from(k * 3).ln() / 4_f64.ln()).ceil() as u32);
        }
        let mut drawn = Vec::with_capacity(k as usize);
        if n <= small {
            let mut pool: Vec<u32> = (0..n).collect();
            for left in (n - k + 1..=n).rev() {
                let at = self.below(left) as usize;
                drawn.push(pool[at]);
                pool[at] = pool[left as usize - 1];
            }
        } else {
            while drawn.len() < k as usize {
                let next = self.below(n);
                if !drawn.contains(&next) {
                    drawn.push(next);
                }
            }
        }
        drawn
    }

    /// Python's `random()`: 53 bits in [0, 1).
    pub(crate) fn unit(&mut self) -> f64 {
        let (high, low) = (self.word() >> 5, self.word() >> 6);
        (f64::from(high) * 67_108_864.0 + f64::from(low)) / 9_007_199_254_740_992.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From Python 3.11: `random.Random("is_switched_outputs" + text + "0").random()`.
    #[test]
    fn the_coin_is_pythons() {
        let long = "x".repeat(5000);
        for (text, unit) in [
            ("", 0.147_097_909_445_639_27),
            ("What?", 0.452_782_518_883_671_4),
            ("Größe? 日本", 0.407_317_019_877_390_33),
            (long.as_str(), LONG),
        ] {
            let seed = format!("is_switched_outputs{text}0");
            assert_eq!(Twister::from_text(&seed).unit(), unit, "{} characters", text.len());
        }
        assert_eq!(Twister::from_text("a").unit(), 0.272_029_537_753_475_7);
        // Further than one state.
        let mut twister = Twister::from_text("a");
        let last = (0..1000).map(|_| twister.unit()).last();
        assert_eq!(last, Some(THOUSANDTH));
    }

    /// From Python 3.11: `random.Random(1234)`, and `sample` of it.
    #[test]
    fn samples_are_pythons() {
        let mut large = Twister::from_number(1234);
        assert_eq!(large.sample(7473, 5), [6374, 3610, 957, 61, 742]);
        assert_eq!(large.sample(7473, 5), [7462, 6610, 4769, 286, 5501]);
        let mut small = Twister::from_number(1234);
        assert_eq!(small.sample(10, 4), [7, 1, 0, 9]);
        assert_eq!(small.sample(10, 4), [9, 0, 1, 8]);
        assert_eq!(small.sample(10, 4), [5, 3, 0, 7]);
        // Seven of thirty are drawn from a list, too.
        assert_eq!(small.sample(30, 7), [25, 0, 11, 20, 19, 15, 29]);
        assert_eq!(small.sample(30, 7), [14, 4, 2, 5, 22, 3, 0]);
        assert_eq!(small.sample(0, 0), [0; 0]);
    }

    const LONG: f64 = 0.208_552_128_346_461_3;
    const THOUSANDTH: f64 = 0.498_986_495_367_311_3;
}
