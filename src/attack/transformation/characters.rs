//! One letter of a word moved, exchanged, dropped or added at random (DeepWordBug, Gao et al. 2018; TextBugger, Li et al.
//! 2019). The reference draws positions with NumPy and letters with Python.

use super::WordSwap;
use crate::attack::random::Draws;

/// What is done to the letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edit {
    /// Two neighbours change places.
    Swap,
    /// One becomes another.
    Substitute,
    /// One goes.
    Delete,
    /// One comes, never behind the last.
    Insert,
}

/// Does it once to a word, somewhere.
#[derive(Clone, Debug)]
pub struct Characters {
    edit: Edit,
    /// Whether the first and the last letter stay.
    keep_ends: bool,
    letters: Vec<char>,
}

impl Characters {
    /// Anywhere in the word, with the letters a to z and A to Z.
    pub fn anywhere(edit: Edit) -> Self {
        Self { edit, keep_ends: false, letters: ('a'..='z').chain('A'..='Z').collect() }
    }

    /// Between the first and the last letter; what is inserted is a space.
    pub fn inside(edit: Edit) -> Self {
        Self { edit, keep_ends: true, letters: vec![' '] }
    }
}

impl WordSwap for Characters {
    fn replacements(&self, word: &str, draws: &mut Draws) -> Vec<String> {
        let mut letters: Vec<char> = word.chars().collect();
        let first = usize::from(self.keep_ends);
        // The place behind the last one that may be drawn.
        let end = match self.edit {
            Edit::Swap => letters.len().saturating_sub(1 + first),
            Edit::Substitute | Edit::Delete | Edit::Insert => letters.len().saturating_sub(first),
        };
        if letters.len() <= 1 || first >= end {
            return Vec::new();
        }
        let at = draws.number(first, end);
        match self.edit {
            Edit::Swap => letters.swap(at, at + 1),
            Edit::Substitute => letters[at] = draws.letter(&self.letters),
            Edit::Delete => {
                letters.remove(at);
            }
            Edit::Insert => letters.insert(at, draws.letter(&self.letters)),
        }
        vec![letters.into_iter().collect()]
    }

    fn most(&self) -> usize {
        1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// Everything that comes of a word over many seeds.
    fn law(swap: &Characters, word: &str) -> BTreeSet<String> {
        (0..4000).flat_map(|seed| swap.replacements(word, &mut Draws::new(seed))).collect()
    }

    #[test]
    fn everything_that_may_be_drawn_is_drawn_and_nothing_else() {
        let set = |words: &[&str]| words.iter().map(|w| (*w).to_owned()).collect::<BTreeSet<_>>();
        assert_eq!(law(&Characters::anywhere(Edit::Swap), "abcd"), set(&["bacd", "acbd", "abdc"]));
        assert_eq!(law(&Characters::inside(Edit::Swap), "abcd"), set(&["acbd"]));
        assert_eq!(law(&Characters::anywhere(Edit::Delete), "abcd"), set(&["bcd", "acd", "abd", "abc"]));
        assert_eq!(law(&Characters::inside(Edit::Delete), "abcd"), set(&["acd", "abd"]));
        assert_eq!(law(&Characters::inside(Edit::Insert), "abcd"), set(&["a bcd", "ab cd"]));
        // Two places, 52 letters each, of which one leaves a place as it is: both ways meet in the word itself.
        assert_eq!(law(&Characters::anywhere(Edit::Substitute), "é1").len(), 104);
        assert_eq!(law(&Characters::anywhere(Edit::Insert), "é1").len(), 104);
        for edit in [Edit::Swap, Edit::Substitute, Edit::Delete, Edit::Insert] {
            assert!(
                law(&Characters::anywhere(edit), "a").is_empty()
                    && law(&Characters::inside(edit), "ab").is_empty()
            );
        }
    }
}
