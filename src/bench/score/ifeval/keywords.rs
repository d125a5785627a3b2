//! Keywords that must be there, often enough, or not at all; letters that must be there often enough.
//!
//! The reference takes a keyword for a regular expression, and so do we; in IFEval and LiveBench each is a word.

use super::Language;
use super::characters::Words;
use super::instruction::{Arguments, Check, Followed, Made, Relation, boxed};
use crate::bench::extract::strip;
use crate::bench::score::BadField;
use regex::Regex;

pub(super) fn make(name: &str, arguments: &Arguments<'_>) -> Made {
    Some(match name {
        "existence" => boxed(Existence::from(arguments)),
        "frequency" => boxed(Frequency::from(arguments)),
        "forbidden_words" => boxed(Forbidden::from(arguments)),
        "letter_frequency" => boxed(Letters::from(arguments)),
        _ => return None,
    })
}

fn ignoring_case(arguments: &Arguments<'_>, key: &str, keyword: &str) -> Result<Regex, BadField> {
    arguments.pattern(key, &format!("(?i){keyword}"))
}

/// Every keyword is somewhere.
#[derive(Debug)]
struct Existence(Vec<Regex>);

impl Existence {
    fn from(arguments: &Arguments<'_>) -> Result<Self, BadField> {
        let keywords = arguments.texts("keywords")?;
        keywords.iter().map(|k| ignoring_case(arguments, "keywords", k)).collect::<Result<_, _>>().map(Self)
    }
}

impl Check for Existence {
    fn follows(&self, text: &str, _: &Language) -> Followed {
        self.0.iter().all(|keyword| keyword.is_match(text)).into()
    }
}

/// A keyword is there so many times, within other words too.
#[derive(Debug)]
struct Frequency {
    keyword: Regex,
    threshold: usize,
    relation: Relation,
}

impl Frequency {
    fn from(arguments: &Arguments<'_>) -> Result<Self, BadField> {
        Ok(Self {
            keyword: ignoring_case(arguments, "keyword", strip(arguments.text("keyword")?))?,
            threshold: arguments.number("frequency")?,
            relation: arguments.relation("relation")?,
        })
    }
}

impl Check for Frequency {
    fn follows(&self, text: &str, _: &Language) -> Followed {
        self.relation.holds(self.keyword.find_iter(text).count(), self.threshold).into()
    }
}

/// None of these words is there.
#[derive(Debug)]
struct Forbidden {
    words: Vec<Regex>,
    edges: Words,
}

impl Forbidden {
    fn from(arguments: &Arguments<'_>) -> Result<Self, BadField> {
        let words = arguments.texts("forbidden_words")?;
        let patterns = words.iter().map(|w| ignoring_case(arguments, "forbidden_words", w));
        Ok(Self { words: patterns.collect::<Result<_, _>>()?, edges: Words::new() })
    }

    /// Whether `\bword\b` matches somewhere. Rust's own `\b` knows other words than Python's.
    fn contains(&self, word: &Regex, text: &str) -> bool {
        let mut from = 0;
        while let Some(found) = word.find_at(text, from) {
            if self.edges.boundary(text, found.start()) && self.edges.boundary(text, found.end()) {
                return true;
            }
            // The next match may overlap this one.
            let Some(first) = text[found.start()..].chars().next() else { break };
            from = found.start() + first.len_utf8();
        }
        false
    }
}

impl Check for Forbidden {
    fn follows(&self, text: &str, _: &Language) -> Followed {
        (!self.words.iter().any(|word| self.contains(word, text))).into()
    }
}

/// A letter is there so many times.
#[derive(Debug)]
struct Letters {
    /// None where the row has something else than a Latin letter, in whose place the reference draws one.
    letter: Option<char>,
    threshold: usize,
    relation: Relation,
}

impl Letters {
    fn from(arguments: &Arguments<'_>) -> Result<Self, BadField> {
        let letter = arguments.text("letter")?.to_lowercase();
        let mut letters = letter.chars();
        Ok(Self {
            letter: letters.next().filter(|c| c.is_ascii_lowercase() && letters.next().is_none()),
            threshold: arguments.number("let_frequency")?,
            relation: arguments.relation("let_relation")?,
        })
    }
}

impl Check for Letters {
    fn follows(&self, text: &str, _: &Language) -> Followed {
        match self.letter {
            None => Followed::Random("the letter to count, for the row's is not one of a to z"),
            Some(letter) => {
                let count = text.to_lowercase().chars().filter(|c| *c == letter).count();
                self.relation.holds(count, self.threshold).into()
            }
        }
    }
}
