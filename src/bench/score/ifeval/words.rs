//! NLTK 3.10's `NLTKWordTokenizer`, the improved Treebank tokeniser behind `word_tokenize`: substitutions that put spaces
//! around what is a word of its own, in the reference's order. What the words are is not kept, only what they look like:
//! quotation marks come out as other characters than they were.

use super::instruction::fixed;
use crate::bench::extract::is_python_space;
use regex::Regex;
use std::borrow::Cow;

/// Cuts sentences into words.
#[derive(Debug)]
pub(super) struct Tokenizer {
    /// Before an apostrophe that opens a quotation is looked for.
    opening: Vec<(Regex, &'static str)>,
    /// The clitics before which an apostrophe opens nothing.
    clitic: Regex,
    word: Regex,
    punctuation: Vec<(Regex, &'static str)>,
    closing: Vec<(Regex, &'static str)>,
}

impl Tokenizer {
    pub(super) fn new() -> Self {
        let all =
            |rules: &[(&str, &'static str)]| rules.iter().map(|(from, to)| (fixed(from), *to)).collect();
        Self {
            opening: all(&[
                ("([«“‘„]|[`]+)", " ${1} "),
                ("^\"", "``"),
                ("(``)", " ${1} "),
                (r#"([ (\[{<])("|'{2})"#, "${1} `` "),
            ]),
            clitic: fixed(r"^(?i:re|ve|ll|m|t|s|d|n)\b"),
            word: fixed(r"^\w$"),
            punctuation: all(&[
                (r#"([^.])(\.)([\])}>"'»”’ ]*)\s*$"#, "${1} ${2} ${3} "),
                (r"([:,])(\D)", " ${1} ${2}"),
                (r"([:,])$", " ${1} "),
                (r"\.{2,}", " ${0} "),
                (r"[;@#$%&]", " ${0} "),
                (r"[\x{2012}-\x{2015}]", " ${0} "),
                (r#"([^.])(\.)([\])}>"']*)\s*$"#, "${1} ${2}${3} "),
                (r"[?!]", " ${0} "),
                (r"([^'])' ", "${1} ' "),
                (r"[*]", " ${0} "),
                (r"[\]\[(){}<>]", " ${0} "),
                (r"--", " -- "),
            ]),
            closing: all(&[
                ("([»”’])", " ${1} "),
                (r"''", " '' "),
                ("\"", " '' "),
                (r"\s+", " "),
                (r"([^' ])('[sS]|'[mM]|'[dD]|') ", "${1} ${2} "),
                (r"([^' ])('ll|'LL|'re|'RE|'ve|'VE|n't|N'T) ", "${1} ${2} "),
                (r"(?i)\b(can)(not)\b", " ${1} ${2} "),
                (r"(?i)\b(d)('ye)\b", " ${1} ${2} "),
                (r"(?i)\b(gim)(me)\b", " ${1} ${2} "),
                (r"(?i)\b(gon)(na)\b", " ${1} ${2} "),
                (r"(?i)\b(got)(ta)\b", " ${1} ${2} "),
                (r"(?i)\b(lem)(me)\b", " ${1} ${2} "),
                (r"(?i)\b(more)('n)\b", " ${1} ${2} "),
                (r"(?i)\b(wan)(na)(\s)", " ${1} ${2} ${3}"),
                (r"(?i) ('t)(is)\b", " ${1} ${2} "),
                (r"(?i) ('t)(was)\b", " ${1} ${2} "),
            ]),
        }
    }

    /// How many words of a sentence `is` holds for.
    pub(super) fn count(&self, sentence: &str, is: impl Fn(&str) -> bool) -> usize {
        let text = substituted(sentence.to_owned(), &self.opening);
        let text = substituted(self.apostrophes(&text), &self.punctuation);
        let text = substituted(format!(" {text} "), &self.closing);
        text.split(is_python_space).filter(|word| !word.is_empty() && is(word)).count()
    }

    /// Puts a space behind every apostrophe that opens a quotation: no word before it, a word behind it, and no clitic.
    fn apostrophes(&self, text: &str) -> String {
        let is_word = |c: Option<char>| c.is_some_and(|c| self.word.is_match(c.encode_utf8(&mut [0; 4])));
        let mut opened = String::with_capacity(text.len());
        let mut before = None;
        for (at, c) in text.char_indices() {
            opened.push(c);
            let rest = &text[at + c.len_utf8()..];
            if c == '\'' && !is_word(before) && is_word(rest.chars().next()) && !self.clitic.is_match(rest) {
                opened.push(' ');
            }
            before = Some(c);
        }
        opened
    }
}

fn substituted(mut text: String, rules: &[(Regex, &'static str)]) -> String {
    for (from, to) in rules {
        if let Cow::Owned(changed) = from.replace_all(&text, *to) {
            text = changed;
        }
    }
    text
}
