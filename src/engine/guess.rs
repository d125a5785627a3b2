//! Guesses which tokens come next, so that a step can tell several of a sequence.
//!
//! As long as a step has few rows, it waits for the weights, and takes the same time with some rows more. So a sequence runs,
//! behind its last token, those that followed the same tokens before, in its own text or in that of any other sequence: answers
//! repeat their prompts, and the answers to one benchmark each other (prompt lookup decoding, a form of speculative decoding:
//! Leviathan et al. 2023). What was guessed right is a token gained, what was guessed wrong is forgotten. No answer changes:
//! every token is chosen from its own logits, and these depend on what stands before it only.

use std::collections::HashMap;

/// Tokens in a row that are looked for; fewer, if these were not seen.
pub(super) const LONGEST: usize = 3;
/// Tokens guessed for one sequence at a time.
pub(super) const AT_ONCE: usize = 6;
/// Entries above which everything is forgotten: some 50 MB.
const MOST: usize = 1 << 20;
/// Stands for "no token" at the beginning of a key.
const NONE: u32 = u32::MAX;

/// What followed what.
#[derive(Debug, Default)]
pub(super) struct Guesses {
    /// The last 1, 2 or 3 tokens, and which one came after them the last time.
    after: HashMap<[u32; LONGEST], u32>,
}

impl Guesses {
    /// Takes note that `token` came after `past`.
    pub(super) fn learn(&mut self, past: &[u32], token: u32) {
        if self.after.len() > MOST {
            self.after.clear();
        }
        for length in 1..=LONGEST.min(past.len()) {
            self.after.insert(key(past, length), token);
        }
    }

    /// What came after the end of `past` the last time, if that was seen.
    pub(super) fn after(&self, past: &[u32]) -> Option<u32> {
        let lengths = (1..=LONGEST.min(past.len())).rev();
        lengths.filter_map(|length| self.after.get(&key(past, length))).next().copied()
    }
}

/// The last `length` tokens.
fn key(past: &[u32], length: usize) -> [u32; LONGEST] {
    let mut key = [NONE; LONGEST];
    key[LONGEST - length..].copy_from_slice(&past[past.len() - length..]);
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taught(tokens: &[u32]) -> Guesses {
        let mut guesses = Guesses::default();
        for (place, &token) in tokens.iter().enumerate() {
            guesses.learn(&tokens[..place], token);
        }
        guesses
    }

    #[test]
    fn the_longest_end_that_was_seen_tells_what_comes_next() {
        let guesses = taught(&[1, 2, 3, 4, 9, 2, 3, 5, 9, 3, 6]);
        assert_eq!(guesses.after(&[1, 2, 3]), Some(4));
        assert_eq!(guesses.after(&[7, 2, 3]), Some(5), "two tokens, the last time they were seen");
        assert_eq!(guesses.after(&[7, 7, 3]), Some(6), "one token");
        assert_eq!(guesses.after(&[3]), Some(6));
        assert_eq!((guesses.after(&[1, 2, 8]), guesses.after(&[])), (None, None));
    }

    #[test]
    fn what_it_keeps_is_bounded() {
        let mut guesses = Guesses::default();
        for token in 0..2 * MOST as u32 {
            guesses.learn(&[token], token);
            assert!(guesses.after.len() <= MOST + LONGEST);
        }
        assert_eq!(guesses.after(&[2 * MOST as u32 - 1]), Some(2 * MOST as u32 - 1));
    }
}
