//! Logits to a token.

use crate::completion::Sampling;

/// The logits hold a NaN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NotANumber;

/// Chooses the next token from `logits[vocab]`.
pub(crate) fn choose(sampling: Sampling, logits: &[f32]) -> Result<u32, NotANumber> {
    match sampling {
        Sampling::Greedy => greedy(logits),
    }
}

/// The largest logit; of equal ones the lowest id.
fn greedy(logits: &[f32]) -> Result<u32, NotANumber> {
    const LANES: usize = 16;
    let mut tops = [f32::NEG_INFINITY; LANES];
    let mut numbers = [true; LANES];
    let (whole, rest) = logits.as_chunks::<LANES>();
    let mut look = |chunk: &[f32]| {
        for ((top, number), &logit) in tops.iter_mut().zip(&mut numbers).zip(chunk) {
            *top = if logit > *top { logit } else { *top };
            *number &= !logit.is_nan();
        }
    };
    for chunk in whole {
        look(chunk);
    }
    look(rest);
    if numbers.contains(&false) {
        return Err(NotANumber);
    }
    let top = tops.iter().fold(f32::NEG_INFINITY, |a, &b| a.max(b));
    Ok(logits.iter().position(|&logit| logit == top).unwrap_or(0) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
