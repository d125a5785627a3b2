//! What the model says of the next token.

use crate::isa::Isa;

/// What is told of the logits after a token.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Logits<'r> {
    /// All of them, `[vocab]`.
    All(&'r [f32]),
    /// Which is the largest; of equal ones the lowest id.
    Top(Result<u32, NotANumber>),
}

/// The logits hold a NaN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NotANumber;

impl<'r> Logits<'r> {
    /// All of them.
    ///
    /// # Panics
    /// If only the largest was asked for.
    pub(crate) fn all(self) -> &'r [f32] {
        let Self::All(logits) = self else { panic!("whoever looks at all logits has asked for them") };
        logits
    }

    /// The largest; of equal ones the lowest id.
    pub(crate) fn top(self) -> Result<u32, NotANumber> {
        match self {
            Self::All(logits) => Ok(Top::of(logits)?.id as u32),
            Self::Top(top) => top,
        }
    }
}

/// The largest of some logits; of equal ones the first.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Top {
    /// Its place among them.
    pub(crate) id: usize,
    pub(crate) logit: f32,
}

impl Top {
    /// That of `logits`, of which there is at least one.
    pub(crate) fn of(logits: &[f32]) -> Result<Self, NotANumber> {
        const LANES: usize = 64;
        Isa::detect().run(
            #[inline(always)]
            || {
                let mut tops = [f32::NEG_INFINITY; LANES];
                // 0 times a number is 0; times NaN, or an infinity, it is NaN.
                let mut odd = [0.0; LANES];
                let (whole, rest) = logits.as_chunks::<LANES>();
                let mut look = |chunk: &[f32]| {
                    for ((top, odd), &logit) in tops.iter_mut().zip(&mut odd).zip(chunk) {
                        *top = if logit > *top { logit } else { *top };
                        *odd += 0.0 * logit;
                    }
                };
                for chunk in whole {
                    look(chunk);
                }
                look(rest);
                if odd.iter().any(|odd| odd.is_nan()) && logits.iter().any(|logit| logit.is_nan()) {
                    return Err(NotANumber);
                }
                let logit = tops.iter().fold(f32::NEG_INFINITY, |a, &b| a.max(b));
                let (whole, rest) = logits.as_chunks::<LANES>();
                let chunk =
                    whole.iter().position(|chunk| chunk.iter().filter(|&&other| other == logit).count() > 0);
                let first = chunk.map_or(logits.len() - rest.len(), |chunk| chunk * LANES);
                let within = logits[first..].iter().position(|&other| other == logit);
                Ok(Self { id: within.map_or(0, |within| first + within), logit })
            },
        )
    }

    /// Whichever of the two is larger; of equal ones `self`, which comes first.
    pub(crate) fn or_later(self, later: Self) -> Self {
        if later.logit > self.logit { later } else { self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn greedy(logits: &[f32]) -> Result<u32, NotANumber> {
        Logits::All(logits).top()
    }

    #[test]
    fn the_largest_wins_and_of_equal_ones_the_first() {
        let mut logits = vec![0.0; 100];
        for (id, logit) in [(70, 3.0), (37, 3.0), (36, 2.9)] {
            logits[id] = logit;
        }
        assert_eq!(greedy(&logits), Ok(37));
        assert_eq!(greedy(&[-5.0, -2.0, -2.0]), Ok(1));
        assert_eq!(greedy(&[f32::NEG_INFINITY; 20]), Ok(0));
        assert_eq!(greedy(&[0.0, f32::INFINITY]), Ok(1));
    }

    #[test]
    fn a_nan_anywhere_is_noticed() {
        for place in [0, 15, 16, 49] {
            let mut logits = vec![1.0; 50];
            logits[place] = f32::NAN;
            assert_eq!(greedy(&logits), Err(NotANumber), "{place}");
        }
    }

    #[test]
    fn of_equal_ones_in_two_pieces_the_first_wins() {
        let (first, later) = (Top { id: 3, logit: 2.0 }, Top { id: 9, logit: 2.0 });
        assert_eq!(first.or_later(later), first);
        assert_eq!(first.or_later(Top { logit: 2.5, ..later }).id, 9);
    }
}
