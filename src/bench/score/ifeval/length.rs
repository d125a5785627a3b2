//! How many sentences, words and paragraphs.

use super::Language;
use super::characters::SPACE;
use super::instruction::{Arguments, Check, Followed, Made, Relation, boxed, fixed};
use crate::bench::extract::{is_python_space, strip};
use crate::bench::score::BadField;
use regex::Regex;

pub(super) fn make(name: &str, arguments: &Arguments<'_>) -> Made {
    Some(match name {
        "number_sentences" => boxed(Sentences::from(arguments)),
        "number_words" => boxed(NumberOfWords::from(arguments)),
        "number_paragraphs" => boxed(Paragraphs::from(arguments)),
        "nth_paragraph_first_word" => boxed(FirstWord::from(arguments)),
        _ => return None,
    })
}

/// So many sentences, as Punkt splits them.
#[derive(Debug)]
struct Sentences {
    threshold: usize,
    relation: Relation,
}

impl Sentences {
    fn from(arguments: &Arguments<'_>) -> Result<Self, BadField> {
        Ok(Self { threshold: arguments.number("num_sentences")?, relation: arguments.relation("relation")? })
    }
}

impl Check for Sentences {
    fn follows(&self, text: &str, language: &Language) -> Followed {
        self.relation.holds(language.sentences.split(text).len(), self.threshold).into()
    }
}

/// So many runs of `\w`, which is that of NLTK's `RegexpTokenizer` here, and Rust's.
#[derive(Debug)]
struct NumberOfWords {
    word: Regex,
    threshold: usize,
    relation: Relation,
}

impl NumberOfWords {
    fn from(arguments: &Arguments<'_>) -> Result<Self, BadField> {
        Ok(Self {
            word: fixed(r"\w+"),
            threshold: arguments.number("num_words")?,
            relation: arguments.relation("relation")?,
        })
    }
}

impl Check for NumberOfWords {
    fn follows(&self, text: &str, _: &Language) -> Followed {
        self.relation.holds(self.word.find_iter(text).count(), self.threshold).into()
    }
}

/// Exactly so many paragraphs between `***`, none of them blank except the first and the last.
#[derive(Debug)]
struct Paragraphs {
    divider: Regex,
    number: usize,
}

impl Paragraphs {
    fn from(arguments: &Arguments<'_>) -> Result<Self, BadField> {
        let divider = fixed(&format!(r"{SPACE}?\*\*\*{SPACE}?"));
        Ok(Self { divider, number: arguments.number("num_paragraphs")? })
    }
}

impl Check for Paragraphs {
    fn follows(&self, text: &str, _: &Language) -> Followed {
        let paragraphs: Vec<&str> = self.divider.split(text).collect();
        let mut number = paragraphs.len();
        for (at, paragraph) in paragraphs.iter().enumerate() {
            if strip(paragraph).is_empty() {
                if at != 0 && at != paragraphs.len() - 1 {
                    return Followed::No;
                }
                number -= 1;
            }
        }
        (number == self.number).into()
    }
}

/// Exactly so many paragraphs between blank lines, one of which begins with a word.
#[derive(Debug)]
struct FirstWord {
    paragraphs: usize,
    nth: usize,
    word: String,
}

impl FirstWord {
    fn from(arguments: &Arguments<'_>) -> Result<Self, BadField> {
        let (paragraphs, nth) = (arguments.number("num_paragraphs")?, arguments.number("nth_paragraph")?);
        if nth > paragraphs {
            return Err(arguments.bad("nth_paragraph", "at most `num_paragraphs`"));
        }
        Ok(Self { paragraphs, nth, word: arguments.text("first_word")?.to_lowercase() })
    }
}

impl Check for FirstWord {
    fn follows(&self, text: &str, _: &Language) -> Followed {
        let paragraphs: Vec<&str> = text.split("\n\n").map(strip).collect();
        let number = paragraphs.iter().filter(|p| !p.is_empty()).count();
        // The place is counted with the blank ones, the bound without.
        if self.nth > number || number != self.paragraphs {
            return Followed::No;
        }
        let Some(first) = paragraphs[self.nth - 1].split(is_python_space).next().filter(|w| !w.is_empty())
        else {
            return Followed::No;
        };
        let word = first.trim_start_matches('\'').trim_start_matches('"');
        let word = word.split(['.', ',', '?', '!', '\'', '"']).next().unwrap_or_default();
        // Letter for letter, as the reference puts them in small letters.
        let lower: String = word.chars().flat_map(char::to_lowercase).collect();
        (lower == self.word).into()
    }
}
