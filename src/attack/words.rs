//! What counts as a word: TextAttack's `words_from_text`, in the two versions that matter.
//!
//! A text is split at white space. Each piece loses the characters `'-_*@` at its front (0.3.11: at both ends), and every
//! run of word characters in what is left is a word, once it has lost them too. So `'positive'.` holds the word
//! `positive'` by 0.3.7 and `positive` by 0.3.11. Chinese text is segmented by dictionaries there, and is not here: a run
//! of Chinese characters is one word.

use regex::Regex;
use std::sync::LazyLock;

/// Whose words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WordRule {
    /// TextAttack 0.3.7, which the paper pins: apostrophes stay at the end of a word.
    TextAttack037,
    /// TextAttack 0.3.11: they do not.
    TextAttack0311,
}

/// Letters, numbers and the look-alikes of `-`, `'` and `x` that TextAttack counts as letters; and what may stand inside a
/// word. Python's `\w` is letters, numbers and the underscore.
static RUN: LazyLock<Regex> = LazyLock::new(|| {
    #[expect(clippy::unwrap_used, reason = "a constant pattern, which the tests use")]
    Regex::new(r"[\p{L}\p{N}_'\-*@˗`×]+").unwrap()
});

const EDGES: [char; 5] = ['\'', '-', '_', '*', '@'];

/// What Python's `str.split` splits at: white space, and the four information separators.
fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

impl WordRule {
    fn trim(self, piece: &str) -> &str {
        match self {
            Self::TextAttack037 => piece.trim_start_matches(EDGES),
            Self::TextAttack0311 => piece.trim_matches(EDGES),
        }
    }

    /// The words of a text, in their order.
    pub fn words(self, text: &str) -> Vec<&str> {
        text.split(is_space)
            .flat_map(|piece| RUN.find_iter(self.trim(piece)))
            .map(|run| self.trim(run.as_str()))
            .filter(|word| !word.is_empty())
            .collect()
    }

    /// Whether a text is one word.
    pub(super) fn is_one_word(self, text: &str) -> bool {
        self.words(text).len() == 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closing_apostrophe_belongs_to_the_word_in_the_old_version_only() {
        let text = "whether it is 'positive' or 'negative'.\nText:{content} A-B_c *d* don't --";
        let old = WordRule::TextAttack037.words(text);
        let new = WordRule::TextAttack0311.words(text);
        assert_eq!(
            old,
            [
                "whether",
                "it",
                "is",
                "positive'",
                "or",
                "negative'",
                "Text",
                "content",
                "A-B_c",
                "d*",
                "don't"
            ]
        );
        assert_eq!(
            new,
            ["whether", "it", "is", "positive", "or", "negative", "Text", "content", "A-B_c", "d", "don't"]
        );
    }

    #[test]
    fn words_are_letters_and_numbers_of_any_script() {
        let words = WordRule::TextAttack037.words("Café\u{1c}naïve… ٣٤ 𝟕ճ (ϲ×ԁ) ½—x²");
        assert_eq!(words, ["Café", "naïve", "٣٤", "𝟕ճ", "ϲ×ԁ", "½", "x²"]);
    }
}
