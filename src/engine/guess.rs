//! Guesses which tokens come next, so that a step can tell several of a sequence.
//!
//! As long as a step has few rows, it waits for the weights, and takes the same time with some rows more. So a sequence runs,
//! behind its last token, those that followed the same tokens before, in its own text or in that of any other sequence: answers
//! repeat their prompts, and the answers to one benchmark each other (prompt lookup decoding, a form of speculative decoding:
//! Leviathan et al. 2023). What was guessed right is a token gained, what was guessed wrong is forgotten. No answer changes:
//! every token is chosen from its own logits, and these depend on what stands before it only.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

/// Tokens in a row that are looked for; fewer, if these were not seen.
const LONGEST: usize = 3;
/// Tokens guessed for one sequence at a time.
const AT_ONCE: usize = 6;
/// Entries above which everything is forgotten: some 50 MB.
const MOST: usize = 1 << 20;
/// Stands for "no token" at the beginning of a key.
const NONE: u32 = u32::MAX;
/// As how many guesses the chances count that are taken for granted before any was tried.
const GRANTED: f64 = 20.0;

/// What followed what, and how often that came true.
#[derive(Debug)]
pub(super) struct Guesses {
    /// The last 1, 2 or 3 tokens, and which one came after them the last time.
    after: HashMap<[u32; LONGEST], u32>,
    /// By how many tokens were seen before: guesses that were right, and all.
    right: [f64; LONGEST],
    tried: [f64; LONGEST],
}

/// One guess.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Guess {
    pub(super) token: u32,
    /// How many tokens before it were seen before it.
    length: usize,
}

impl Default for Guesses {
    fn default() -> Self {
        let chances = [0.25, 0.45, 0.6];
        Self {
            after: HashMap::new(),
            right: chances.map(|chance| chance * GRANTED),
            tried: [GRANTED; LONGEST],
        }
    }
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
    fn after(&self, past: &[u32]) -> Option<Guess> {
        let mut lengths = (1..=LONGEST.min(past.len())).rev();
        let seen = |length| self.after.get(&key(past, length)).map(|&token| Guess { token, length });
        lengths.find_map(seen)
    }

    /// Takes note of what became of a guess.
    pub(super) fn tell(&mut self, guess: Guess, right: bool) {
        self.tried[guess.length - 1] += 1.0;
        self.right[guess.length - 1] += f64::from(u8::from(right));
    }

    /// Adds up to `most` guesses to the sequences, the most likely first, as long as they come true with a chance of at least
    /// `floor`.
    pub(super) fn add(&self, sequences: &mut [Coming<'_>], most: usize, floor: f64) {
        let mut open = BinaryHeap::new();
        let next = |place: usize, coming: &Coming<'_>, chance: f64| {
            let guess = if coming.guesses.len() < AT_ONCE.min(coming.room) {
                self.after(&coming.end())
            } else {
                None
            };
            guess.map(|guess| {
                let chance = chance * self.right[guess.length - 1] / self.tried[guess.length - 1];
                // Numbers that are not negative have the order of their bits.
                (chance.to_bits(), Reverse(place), guess)
            })
        };
        open.extend(sequences.iter().enumerate().filter_map(|(place, coming)| next(place, coming, 1.0)));
        for _ in 0..most {
            let Some((chance, Reverse(place), guess)) = open.pop() else { break };
            let chance = f64::from_bits(chance);
            if chance < floor {
                break;
            }
            sequences[place].guesses.push(guess);
            open.extend(next(place, &sequences[place], chance));
        }
    }
}

/// What comes next in a sequence.
pub(super) struct Coming<'s> {
    /// What was run, and what is run next.
    pub(super) past: &'s [u32],
    pub(super) last: u32,
    /// Guesses that can be run behind it.
    pub(super) room: usize,
    /// What may come after it.
    pub(super) guesses: &'s mut Vec<Guess>,
}

impl Coming<'_> {
    /// The tokens on which the next guess is founded.
    fn end(&self) -> Vec<u32> {
        let past = &self.past[self.past.len().saturating_sub(LONGEST)..];
        past.iter().copied().chain([self.last]).chain(self.guesses.iter().map(|guess| guess.token)).collect()
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
        let after = |past: &[u32]| guesses.after(past).map(|guess| (guess.token, guess.length));
        assert_eq!(after(&[1, 2, 3]), Some((4, 3)));
        assert_eq!(after(&[7, 2, 3]), Some((5, 2)), "two tokens, the last time they were seen");
        assert_eq!(after(&[7, 7, 3]), Some((6, 1)), "one token");
        assert_eq!(after(&[3]), Some((6, 1)));
        assert_eq!((after(&[1, 2, 8]), after(&[])), (None, None));
    }

    /// What is guessed for sequences that end so, with room for `room` guesses each.
    fn guessed(
        guesses: &Guesses,
        ends: &[(&[u32], u32)],
        room: usize,
        most: usize,
        floor: f64,
    ) -> Vec<Vec<u32>> {
        let mut all = vec![Vec::new(); ends.len()];
        let mut coming: Vec<Coming<'_>> = ends
            .iter()
            .zip(&mut all)
            .map(|(&(past, last), guesses)| Coming { past, last, room, guesses })
            .collect();
        guesses.add(&mut coming, most, floor);
        all.iter().map(|guesses| guesses.iter().map(|guess| guess.token).collect()).collect()
    }

    #[test]
    fn the_likeliest_guesses_come_first_and_end_at_the_floor_and_at_the_room() {
        let guesses = taught(&[1, 2, 3, 4, 5, 6, 7, 8, 20, 21, 22]);
        let ends: [(&[u32], u32); 2] = [(&[1, 2], 3), (&[99], 20)];
        assert_eq!(guessed(&guesses, &ends, 9, 1, 0.0), [vec![4], vec![]], "three tokens before one");
        assert_eq!(guessed(&guesses, &ends, 9, 2, 0.0), [vec![4, 5], vec![]], "0.6 · 0.6 against 0.25");
        assert_eq!(guessed(&guesses, &ends, 9, 99, 0.0), [vec![4, 5, 6, 7, 8, 20], vec![21, 22]]);
        assert_eq!(guessed(&guesses, &ends, 2, 99, 0.0), [vec![4, 5], vec![21, 22]]);
        assert_eq!(guessed(&guesses, &ends, 9, 99, 0.3), [vec![4, 5], vec![]]);
        assert_eq!(guessed(&guesses, &ends, 9, 99, 1.0), [vec![], Vec::<u32>::new()]);
    }

    #[test]
    fn guesses_that_do_not_come_true_are_made_no_more() {
        let mut guesses = taught(&[1, 2, 3, 4]);
        let ends: [(&[u32], u32); 1] = [(&[1, 2], 3)];
        assert_eq!(guessed(&guesses, &ends, 1, 9, 0.5), [vec![4]]);
        for _ in 0..10 {
            guesses.tell(Guess { token: 4, length: 3 }, false);
        }
        assert_eq!(guessed(&guesses, &ends, 1, 9, 0.5), [Vec::<u32>::new()]);
        for _ in 0..10 {
            guesses.tell(Guess { token: 4, length: 3 }, true);
        }
        assert_eq!(guessed(&guesses, &ends, 1, 9, 0.5), [vec![4]]);
    }

    #[test]
    fn what_it_keeps_is_bounded() {
        let mut guesses = Guesses::default();
        for token in 0..MOST as u32 + 10 {
            guesses.learn(&[token], token);
            assert!(guesses.after.len() <= MOST + LONGEST);
        }
        assert_eq!(guesses.after(&[MOST as u32 + 9]), Some(Guess { token: MOST as u32 + 9, length: 1 }));
    }
}
