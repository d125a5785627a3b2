//! The reference's random numbers: Python's `random` and NumPy's `RandomState`, both the Mersenne Twister MT19937
//! (Matsumoto & Nishimura 1998), seeded with the same number. An attack that draws is the reference's, draw by draw, after
//! `random.seed(n); numpy.random.seed(n)`.

const N: usize = 624;
const M: usize = 397;

#[derive(Clone, Debug)]
struct Twister {
    state: [u32; N],
    at: usize,
}

impl Twister {
    /// `init_genrand`, which NumPy uses for a seed of one word.
    fn from_word(seed: u32) -> Self {
        let mut state = [seed; N];
        for i in 1..N {
            let before = state[i - 1];
            state[i] = 1_812_433_253_u32.wrapping_mul(before ^ (before >> 30)).wrapping_add(i as u32);
        }
        Self { state, at: N }
    }

    /// `init_by_array`, which Python uses for whole numbers, with their words from the lowest.
    fn from_words(key: &[u32]) -> Self {
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

    fn next(&mut self) -> u32 {
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
}

/// The draws of one attack, in the order in which it asks for them.
#[derive(Clone, Debug)]
pub struct Draws {
    python: Twister,
    numpy: Twister,
}

impl Draws {
    /// Both generators, seeded with `seed`.
    pub fn new(seed: u32) -> Self {
        Self { python: Twister::from_words(&[seed]), numpy: Twister::from_word(seed) }
    }

    /// `numpy.random.randint(low, high)`: a number in `low..high`, which is not empty. One number alone costs no draw.
    pub fn number(&mut self, low: usize, high: usize) -> usize {
        let largest = (high - low - 1) as u32;
        if largest == 0 {
            return low;
        }
        let mask = u32::MAX >> largest.leading_zeros();
        loop {
            let drawn = self.numpy.next() & mask;
            if drawn <= largest {
                return low + drawn as usize;
            }
        }
    }

    /// `random.choice(letters)`.
    pub fn letter(&mut self, letters: &[char]) -> char {
        let count = letters.len() as u32;
        let bits = u32::BITS - count.leading_zeros();
        loop {
            let drawn = self.python.next() >> (u32::BITS - bits);
            if drawn < count {
                return letters[drawn as usize];
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_draws_are_those_of_python_and_numpy() {
        // random.seed(7); [random.getrandbits(32) for _ in range(3)]
        let mut python = Twister::from_words(&[7]);
        assert_eq!([python.next(), python.next(), python.next()], PYTHON);
        // numpy.random.RandomState(5489) begins as the reference implementation does.
        assert_eq!(Twister::from_word(5489).next(), 3_499_211_612);
        // random.seed(1); random.choice(string.ascii_letters) and numpy.random.seed(1); numpy.random.randint(0, 10)
        let letters: Vec<char> = ('a'..='z').chain('A'..='Z').collect();
        let mut draws = Draws::new(1);
        assert_eq!((0..8).map(|_| draws.letter(&letters)).collect::<String>(), LETTERS);
        assert_eq!((0..8).map(|_| draws.number(0, 10)).collect::<Vec<_>>(), NUMBERS);
        assert_eq!(draws.number(4, 5), 4);
        assert_eq!(draws.number(2, 9), AFTER);
    }
    const PYTHON: [u32; 3] = [1_390_851_128, 4_071_050_724, 647_892_279];
    const LETTERS: &str = "iKZWeqhF";
    const NUMBERS: [usize; 8] = [5, 8, 9, 5, 0, 0, 1, 7];
    const AFTER: usize = 7;
}
