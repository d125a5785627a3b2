//! Finding the answer in the text, the way Python's string functions do. Everything here is linear in the text.

/// How much of an extracted answer a verdict keeps; the whole answer is stored beside it anyway.
pub(super) const KEPT_BYTES: usize = 16 * 1024;

/// The phrase behind which the paper's models give their answer, with its trailing space.
pub(super) const ANSWER_PHRASE: &str = "The answer is: ";

/// At most the first [`KEPT_BYTES`] of `text`, cut between characters.
pub(super) fn keep(text: &str) -> &str {
    &text[..text.floor_char_boundary(KEPT_BYTES)]
}

/// Whether Python's `str.isspace` holds for `c`: Unicode's white space and the four separators U+001C to U+001F.
pub(super) fn is_python_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

/// Python's `str.strip()`.
pub(super) fn strip(text: &str) -> &str {
    text.trim_matches(is_python_space)
}

/// What is behind the last `mark`, or nothing where there is no `mark`: `text.split(mark)[-1]` after `len(...) > 1`.
pub(super) fn after_last<'a>(text: &'a str, mark: &str) -> Option<&'a str> {
    // Python's `split` looks from the left and marks may not overlap; `rfind` is the same where a mark cannot overlap
    // itself, as `ANSWER_PHRASE` and "### Response:" cannot.
    text.rfind(mark).map(|at| &text[at + mark.len()..])
}

/// What is before the first `mark`, stripped; `None` where there is no `mark`.
pub(super) fn before_first<'a>(text: &'a str, mark: &str) -> Option<&'a str> {
    text.find(mark).map(|at| strip(&text[..at]))
}

/// The contents of the last `\boxed{…}` that is closed.
pub(super) fn last_boxed(text: &str) -> Option<&str> {
    let inside = &text[text.rfind("\\boxed")? + "\\boxed".len()..];
    let inner = inside.trim_start();
    match inner.strip_prefix('{') {
        Some(inner) => closed(inner),
        // `\boxed 5`
        None => {
            inner.split_whitespace().next().map(|first| first.split(['$', '.', ',']).next().unwrap_or(first))
        }
    }
}

/// Up to the brace that closes.
pub(super) fn closed(inner: &str) -> Option<&str> {
    let mut open = 1usize;
    for (at, byte) in inner.bytes().enumerate() {
        match byte {
            b'{' => open += 1,
            b'}' => open -= 1,
            _ => {}
        }
        if open == 0 {
            return Some(&inner[..at]);
        }
    }
    None
}

/// The zeros of every decimal digit (general category Nd) of Unicode 14, the version of Python 3.11; the nine others
/// follow each. Python's `\d`, `int` and `float` take them all.
const DIGIT_ZEROS: [u32; 66] = [
    0x30, 0x660, 0x6f0, 0x7c0, 0x966, 0x9e6, 0xa66, 0xae6, 0xb66, 0xbe6, 0xc66, 0xce6, 0xd66, 0xde6, 0xe50,
    0xed0, 0xf20, 0x1040, 0x1090, 0x17e0, 0x1810, 0x1946, 0x19d0, 0x1a80, 0x1a90, 0x1b50, 0x1bb0, 0x1c40,
    0x1c50, 0xa620, 0xa8d0, 0xa900, 0xa9d0, 0xa9f0, 0xaa50, 0xabf0, 0xff10, 0x104a0, 0x10d30, 0x11066,
    0x110f0, 0x11136, 0x111d0, 0x112f0, 0x11450, 0x114d0, 0x11650, 0x116c0, 0x11730, 0x118e0, 0x11950,
    0x11c50, 0x11d50, 0x11da0, 0x16a60, 0x16ac0, 0x16b50, 0x1d7ce, 0x1d7d8, 0x1d7e2, 0x1d7ec, 0x1d7f6,
    0x1e140, 0x1e2f0, 0x1e950, 0x1fbf0,
];

/// The ASCII digit of the same value, if `c` is a decimal digit of any script.
pub(super) fn ascii_digit(c: char) -> Option<char> {
    if c.is_ascii() {
        return c.is_ascii_digit().then_some(c);
    }
    let code = c as u32;
    let zero = DIGIT_ZEROS[DIGIT_ZEROS.partition_point(|&zero| zero <= code) - 1];
    char::from_digit(code - zero, 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_of_every_script_have_their_value() {
        for (c, digit) in [('7', '7'), ('٣', '3'), ('５', '5'), ('𝟡', '9'), ('𝟎', '0'), ('🯹', '9')]
        {
            assert_eq!(ascii_digit(c), Some(digit), "{c}");
        }
        for c in ['a', '½', '²', '−', '/', ':', '\u{66a}', '\u{0}', '五', '\u{10ffff}'] {
            assert_eq!(ascii_digit(c), None, "{c:?}");
        }
        assert!(DIGIT_ZEROS.is_sorted());
    }

    #[test]
    fn strip_takes_what_python_takes() {
        assert_eq!(strip("\u{1c}\u{1f}\u{85}\u{a0}\u{3000} a\u{200b} \n"), "a\u{200b}");
    }

    #[test]
    fn kept_text_is_cut_between_characters() {
        let long = "é".repeat(KEPT_BYTES) + "x";
        assert_eq!(keep(&long).len(), KEPT_BYTES);
        assert_eq!(keep(&("x".to_owned() + &long)).len(), KEPT_BYTES - 1);
    }
}
