//! What Python calls a space, a capital and a word.
//!
//! Python's `re` and its texts' own methods take four separators (U+001C to U+001F) as white space that Unicode does
//! not; its `\w` takes letters, numbers and the underscore, where Rust's takes combining marks as well. NLTK uses the
//! module `regex`, whose classes are Rust's.

use super::instruction::fixed;
use regex::Regex;

/// Python's `\s` as a class of Rust's.
pub(super) const SPACE: &str = r"[\s\x{1c}-\x{1f}]";

/// Python's `\w`.
#[derive(Debug)]
pub(super) struct Words(Regex);

impl Words {
    pub(super) fn new() -> Self {
        Self(fixed(r"^[\p{L}\p{N}_]$"))
    }

    fn is_word(&self, c: Option<char>) -> bool {
        match c {
            None => false,
            Some(c) if c.is_ascii() => c.is_ascii_alphanumeric() || c == '_',
            Some(c) => self.0.is_match(c.encode_utf8(&mut [0; 4])),
        }
    }

    /// Whether `\b` matches at a byte of `text` that begins a character, or at its end.
    pub(super) fn boundary(&self, text: &str, at: usize) -> bool {
        self.is_word(text[..at].chars().next_back()) != self.is_word(text[at..].chars().next())
    }
}

/// `str.isupper`: a capital, and no small letter or title-case one.
pub(super) fn is_upper(text: &str) -> bool {
    text.chars().any(is_capital) && !text.chars().any(|c| c.is_lowercase() || is_title_case(c))
}

/// `str.islower`: a small letter, and no capital or title-case one.
pub(super) fn is_lower(text: &str) -> bool {
    text.chars().any(char::is_lowercase) && !text.chars().any(|c| is_capital(c) || is_title_case(c))
}

fn is_capital(c: char) -> bool {
    c.is_uppercase() && !is_title_case(c)
}

/// Category Lt, all 31 of it.
fn is_title_case(c: char) -> bool {
    matches!(
        c,
        '\u{1c5}' | '\u{1c8}' | '\u{1cb}' | '\u{1f2}' | '\u{1f88}'..='\u{1f8f}' | '\u{1f98}'..='\u{1f9f}'
            | '\u{1fa8}'..='\u{1faf}' | '\u{1fbc}' | '\u{1fcc}' | '\u{1ffc}'
    )
}
