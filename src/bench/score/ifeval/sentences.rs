//! NLTK 3.10's Punkt sentence tokeniser (Kiss & Strunk 2006, Unsupervised Multilingual Sentence Boundary Detection) with
//! the parameters that NLTK ships for English, which the crate punkt_n carries. That crate's own tokeniser is another
//! one; here are NLTK's steps:
//!
//! 1. A `.`, `?` or `!` may end a sentence if closing punctuation or white space and another word follow it. Of several
//!    within one word only the last counts.
//! 2. The word before it, and what follows, are cut into tokens and judged: known abbreviations and ellipses end no
//!    sentence by themselves; known pairs never do; initials and numbers do not if the next word looks like the middle of
//!    a sentence; how the next word is usually written decides.
//! 3. Closing quotation marks and brackets behind the end belong to the sentence before.

use super::characters::{is_lower, is_upper};
use super::instruction::fixed;
use crate::bench::extract::{is_python_space, strip};
use punkt_n::TrainingData;
use regex::Regex;
use std::fmt;
use std::ops::Range;

/// In which positions a word was seen with a capital or a small letter: within a sentence with a capital, at the
/// beginning with a small letter, anywhere with either (NLTK's `_ORTHO_*`).
const MIDDLE_UPPER: u8 = 1 << 2;
const BEGIN_LOWER: u8 = 1 << 4;
const UPPER: u8 = 0b000_1110;
const LOWER: u8 = 0b111_0000;

/// What a number is called among the words.
const NUMBER: &str = "##number##";

/// Splits English text into sentences.
pub(super) struct Splitter {
    parameters: TrainingData,
    numeric: Regex,
    initial: Regex,
    closing: Regex,
}

impl fmt::Debug for Splitter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Splitter")
    }
}

/// A character that may end a sentence.
#[derive(Clone)]
struct End {
    /// Where it is.
    at: usize,
    /// Where the word begins that follows it, if white space is between.
    next: Option<usize>,
    /// Where what follows it ends: one character, or white space and a word.
    context: usize,
}

/// A word with what is decided about it.
struct Token<'t> {
    text: &'t str,
    /// In small letters; [`NUMBER`] for numbers.
    kind: String,
    ends: bool,
    abbreviation: bool,
    ellipsis: bool,
}

impl Splitter {
    /// With NLTK's parameters for English.
    pub(super) fn english() -> Self {
        Self {
            parameters: TrainingData::english(),
            numeric: fixed(r"^-?[.,]?\d[\d,.\-]*\.?$"),
            initial: fixed(r"^[\w&&\D]\.$"),
            closing: fixed(r#"^["')\]}‘’“”«»]+?(?:\s+|--|$)"#),
        }
    }

    /// The sentences of a text.
    pub(super) fn split<'t>(&self, text: &'t str) -> Vec<&'t str> {
        let mut slices = Vec::new();
        let mut begin = 0;
        for (end, context) in contexts(text) {
            if self.breaks(&text[context]) {
                slices.push(begin..end.at + 1);
                begin = end.next.unwrap_or(end.at + 1);
            }
        }
        slices.push(begin..text.trim_end_matches(is_python_space).len());
        self.realigned(text, &slices)
    }

    /// Moves closing punctuation from the beginning of a sentence to the end of the one before.
    fn realigned<'t>(&self, text: &'t str, slices: &[Range<usize>]) -> Vec<&'t str> {
        let mut sentences = Vec::new();
        let mut moved = 0;
        for (at, slice) in slices.iter().enumerate() {
            let begin = slice.start + moved;
            let rest = text.get(begin..slice.end).unwrap_or_default();
            moved = 0;
            let following = slices.get(at + 1).map(|next| &text[next.start..next.end.max(next.start)]);
            match following.and_then(|next| Some((closing_run(&self.closing, next)?, next))) {
                Some((run, next)) => {
                    let kept = next[..run].trim_end_matches(is_python_space).len();
                    sentences.push(&text[begin..slices[at + 1].start + kept]);
                    moved = run;
                }
                None if !rest.is_empty() => sentences.push(rest),
                None => {}
            }
        }
        sentences
    }

    /// Whether a token ends a sentence within `context`, and another one follows.
    fn breaks(&self, context: &str) -> bool {
        let lines = context.split('\n').filter(|line| !strip(line).is_empty());
        let mut tokens: Vec<Token<'_>> = lines.flat_map(tokens).map(|text| self.first_pass(text)).collect();
        for at in 1..tokens.len() {
            let (before, after) = tokens.split_at_mut(at);
            let token = &mut before[at - 1];
            self.second_pass(token, &after[0]);
            if token.ends {
                return true;
            }
        }
        false
    }

    /// What the word alone says.
    fn first_pass<'t>(&self, text: &'t str) -> Token<'t> {
        let lower = text.to_lowercase();
        let kind = if self.numeric.is_match(&lower) { NUMBER.to_owned() } else { lower };
        let mut token = Token { text, kind, ends: false, abbreviation: false, ellipsis: false };
        if matches!(text, "." | "?" | "!") {
            token.ends = true;
        } else if text.len() > 1 && text.bytes().all(|b| b == b'.') {
            token.ellipsis = true;
        } else if let Some(word) = text.strip_suffix('.').filter(|word| !word.ends_with('.')) {
            let word = word.to_lowercase();
            let last = word.rsplit('-').next().unwrap_or_default();
            token.abbreviation =
                self.parameters.contains_abbrev(&word) || self.parameters.contains_abbrev(last);
            token.ends = !token.abbreviation;
        }
        token
    }

    /// What the next word says about one with a full stop.
    fn second_pass(&self, token: &mut Token<'_>, next: &Token<'_>) {
        if !token.text.ends_with('.') {
            return;
        }
        let kind = token.without_stop();
        let next_kind = if next.ends { next.without_stop() } else { &next.kind };
        let initial = self.initial.is_match(token.text);
        if self.parameters.contains_collocation(kind, next_kind) {
            token.ends = false;
            return;
        }
        let usually = self.parameters.get_orthographic_context(next_kind);
        let starts = starts_sentence(next, usually);
        if (token.abbreviation || token.ellipsis) && !initial {
            let starter = next.is_upper() && self.parameters.contains_sentence_starter(next_kind);
            if starts == Some(true) || starter {
                token.ends = true;
                return;
            }
        }
        if initial || kind == NUMBER {
            let name = initial && starts.is_none() && next.is_upper() && usually & LOWER == 0;
            if starts == Some(false) || name {
                token.ends = false;
            }
        }
    }
}

impl Token<'_> {
    fn without_stop(&self) -> &str {
        match self.kind.strip_suffix('.') {
            Some(kind) if !kind.is_empty() => kind,
            _ => &self.kind,
        }
    }

    fn first(&self) -> &str {
        &self.text[..self.text.chars().next().map_or(0, char::len_utf8)]
    }

    fn is_upper(&self) -> bool {
        is_upper(self.first())
    }
}

/// Whether a word looks like the first of a sentence, given how it is usually written; none if that says nothing.
fn starts_sentence(token: &Token<'_>, usually: u8) -> Option<bool> {
    if matches!(token.text, ";" | ":" | "," | "." | "!" | "?") {
        return Some(false);
    }
    if token.is_upper() && usually & LOWER != 0 && usually & MIDDLE_UPPER == 0 {
        return Some(true);
    }
    if is_lower(token.first()) && (usually & UPPER != 0 || usually & BEGIN_LOWER == 0) {
        return Some(false);
    }
    None
}

/// How much of a text is closing punctuation with white space behind it.
fn closing_run(closing: &Regex, text: &str) -> Option<usize> {
    let found = closing.find(text)?.as_str();
    // Two hyphens may follow instead of white space, and are not part of it.
    Some(found.strip_suffix("--").unwrap_or(found).len())
}

/// Every character that may end a sentence, with the text that decides about it: the word before and what follows.
fn contexts(text: &str) -> Vec<(End, Range<usize>)> {
    let mut found = Vec::new();
    let mut word = 0..0;
    let mut previous: Option<End> = None;
    for end in ends(text) {
        let before = &text[word.end..end.at];
        let space = before.rfind([' ', '\t', '\n', '\r', '\x0b', '\x0c']);
        // NLTK takes a space at the very beginning for none.
        let start = space.filter(|at| *at > 0).map_or(word.start, |at| word.end + at + 1);
        if let Some(previous) = previous.take().filter(|_| word.end <= start) {
            let context = word.start..previous.context;
            found.push((previous, context));
        }
        word = start..end.at;
        previous = Some(end);
    }
    if let Some(previous) = previous {
        let context = word.start..previous.context;
        found.push((previous, context));
    }
    found
}

/// Every `.`, `?` and `!` before closing punctuation, or before white space and another word.
fn ends(text: &str) -> impl Iterator<Item = End> + '_ {
    text.match_indices(['.', '?', '!']).filter_map(|(at, _)| {
        let rest = &text[at + 1..];
        let first = rest.chars().next()?;
        if closes_word(first) {
            return Some(End { at, next: None, context: at + 1 + first.len_utf8() });
        }
        let word = rest.trim_start_matches(char::is_whitespace);
        if word.is_empty() || word.len() == rest.len() {
            return None;
        }
        let next = text.len() - word.len();
        let length = word.find(char::is_whitespace).unwrap_or(word.len());
        Some(End { at, next: Some(next), context: next + length })
    })
}

/// NLTK's `_re_non_word_chars`.
fn closes_word(c: char) -> bool {
    matches!(
        c,
        ')' | '"'
            | ';'
            | '}'
            | ']'
            | '*'
            | ':'
            | '@'
            | '\''
            | '('
            | '{'
            | '['
            | '‘'
            | '’'
            | '“'
            | '”'
            | '«'
            | '»'
            | '?'
            | '!'
    )
}

/// NLTK's `_re_word_start`: what may not begin a word.
fn begins_no_word(c: char) -> bool {
    matches!(c, '(' | '"' | '`' | '{' | '[' | ':' | ';' | '&' | '#' | '*' | '@' | ')' | '}' | ']' | '-' | ',')
}

/// The words of a line, as Punkt cuts them: runs of punctuation, words up to what closes them, single characters.
fn tokens(line: &str) -> Vec<&str> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(first) = line[at..].chars().next() {
        let mut end = at + first.len_utf8();
        if first.is_whitespace() {
            at = end;
            continue;
        }
        if let Some(run) = run(&line[at..]) {
            end = at + run;
        } else if !begins_no_word(first) {
            while !word_ends(&line[end..]) {
                end += line[end..].chars().next().map_or(0, char::len_utf8);
            }
        }
        tokens.push(&line[at..end]);
        at = end;
    }
    tokens
}

/// Whether a word ends before `rest`.
fn word_ends(rest: &str) -> bool {
    let ends = |rest: &str| {
        rest.chars().next().is_none_or(|c| c.is_whitespace() || closes_word(c)) || run(rest).is_some()
    };
    ends(rest) || rest.strip_prefix(',').is_some_and(ends)
}

/// The length of a run of hyphens, of full stops, or of full stops with spaces between, of at least two, two and three.
fn run(text: &str) -> Option<usize> {
    for mark in ['-', '.'] {
        let length = text.len() - text.trim_start_matches(mark).len();
        if length >= 2 {
            return Some(length);
        }
    }
    let mut end = None;
    let mut at = 0;
    let mut stops = 0;
    while let Some(rest) = text[at..].strip_prefix('.') {
        stops += 1;
        if stops >= 3 {
            end = Some(at + 1);
        }
        match rest.chars().next() {
            Some(space) if space.is_whitespace() => at += 1 + space.len_utf8(),
            _ => break,
        }
    }
    end
}
