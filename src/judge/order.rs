//! Which answer is shown first. alpaca_eval flips a coin that depends on the instruction alone: Python's
//! `random.Random(text).choices([False, True])`, which is the Mersenne Twister seeded from the text.

use sha2::{Digest, Sha512};

const N: usize = 624;
const M: usize = 397;

/// MT19937 (Matsumoto & Nishimura 1998), seeded as Python seeds it.
struct Twister {
    state: [u32; N],
    next: usize,
}

impl Twister {
    /// Python's `random.Random(text)`: the text's UTF-8 and its SHA-512, read as one big-endian number, are the seed.
    fn of_text(text: &str) -> Self {
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
        Self::of_words(&words)
    }

    fn of_number(seed: u32) -> Self {
        let mut state = [seed; N];
        for i in 1..N {
            let before = state[i - 1];
            state[i] = (before ^ before >> 30).wrapping_mul(1_812_433_253).wrapping_add(i as u32);
        }
        Self { state, next: N }
    }

    fn of_words(key: &[u32]) -> Self {
        let mut this = Self::of_number(19_650_218);
        let state = &mut this.state;
        let mut i = 1;
        for round in 0..N.max(key.len()) {
            let j = round % key.len();
            let mixed = (state[i - 1] ^ state[i - 1] >> 30).wrapping_mul(1_664_525);
            state[i] = (state[i] ^ mixed).wrapping_add(key[j]).wrapping_add(j as u32);
            i += 1;
            if i == N {
                state[0] = state[N - 1];
                i = 1;
            }
        }
        for _ in 1..N {
            let mixed = (state[i - 1] ^ state[i - 1] >> 30).wrapping_mul(1_566_083_941);
            state[i] = (state[i] ^ mixed).wrapping_sub(i as u32);
            i += 1;
            if i == N {
                state[0] = state[N - 1];
                i = 1;
            }
        }
        state[0] = 1 << 31;
        this
    }

    fn twist(&mut self) {
        for i in 0..N {
            let y = self.state[i] & 1 << 31 | self.state[(i + 1) % N] & 0x7fff_ffff;
            let odd = if y & 1 == 1 { 0x9908_b0df } else { 0 };
            self.state[i] = self.state[(i + M) % N] ^ y >> 1 ^ odd;
        }
        self.next = 0;
    }

    fn word(&mut self) -> u32 {
        if self.next == N {
            self.twist();
        }
        let mut y = self.state[self.next];
        self.next += 1;
        y ^= y >> 11;
        y ^= y << 7 & 0x9d2c_5680;
        y ^= y << 15 & 0xefc6_0000;
        y ^ y >> 18
    }

    /// Python's `random()`: 53 bits in [0, 1).
    fn unit(&mut self) -> f64 {
        let (high, low) = (self.word() >> 5, self.word() >> 6);
        (f64::from(high) * 67_108_864.0 + f64::from(low)) / 9_007_199_254_740_992.0
    }
}

/// Whether alpaca_eval, with its default seed 0, shows the model's answer first.
pub fn is_switched(instruction: &str) -> bool {
    Twister::of_text(&format!("is_switched_outputs{instruction}0")).unit() >= 0.5
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
            assert_eq!(Twister::of_text(&seed).unit(), unit, "{} characters", text.len());
        }
        assert_eq!(Twister::of_text("a").unit(), 0.272_029_537_753_475_7);
        // Further than one state.
        let mut twister = Twister::of_text("a");
        let last = (0..1000).map(|_| twister.unit()).last();
        assert_eq!(last, Some(THOUSANDTH));
    }
    const LONG: f64 = 0.208_552_128_346_461_3;
    const THOUSANDTH: f64 = 0.498_986_495_367_311_3;
}
