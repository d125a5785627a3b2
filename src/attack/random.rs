//! The reference's random numbers: Python's `random` and NumPy's `RandomState`, both the Mersenne Twister MT19937
//! (Matsumoto & Nishimura 1998), seeded with the same number. An attack that draws is the reference's, draw by draw, after
//! `random.seed(n); numpy.random.seed(n)`.

use crate::twister::Twister;

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
            let drawn = self.numpy.word() & mask;
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
            let drawn = self.python.word() >> (u32::BITS - bits);
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
        assert_eq!([python.word(), python.word(), python.word()], PYTHON);
        // numpy.random.RandomState(5489) begins as the reference implementation does.
        assert_eq!(Twister::from_word(5489).word(), 3_499_211_612);
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
