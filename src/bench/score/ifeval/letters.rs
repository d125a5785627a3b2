//! Capitals, small letters, and the language.

use super::Language;
use super::characters::{is_lower, is_upper};
use super::instruction::{Arguments, Check, Followed, Made, Relation, boxed};
use crate::bench::score::BadField;

pub(super) fn make(name: &str, arguments: &Arguments<'_>) -> Made {
    Some(match name {
        "capital_word_frequency" => boxed(CapitalWords::from(arguments)),
        "english_capital" => boxed(Ok(English { capital: true })),
        "english_lowercase" => boxed(Ok(English { capital: false })),
        "response_language" => boxed(arguments.text("language").map(|code| Response(code.to_owned()))),
        _ => return None,
    })
}

/// So many words in capitals, as NLTK cuts words.
#[derive(Debug)]
struct CapitalWords {
    threshold: usize,
    relation: Relation,
}

impl CapitalWords {
    fn from(arguments: &Arguments<'_>) -> Result<Self, BadField> {
        Ok(Self {
            threshold: arguments.number("capital_frequency")?,
            relation: arguments.relation("capital_relation")?,
        })
    }
}

impl Check for CapitalWords {
    fn follows(&self, text: &str, language: &Language) -> Followed {
        let sentences = language.sentences.split(text).into_iter();
        // Without a capital there is no word in capitals, and cutting words takes time.
        let with_capitals = sentences.filter(|sentence| sentence.contains(char::is_uppercase));
        let count = with_capitals.map(|sentence| language.words.count(sentence, is_upper)).sum();
        self.relation.holds(count, self.threshold).into()
    }
}

/// English in capitals or in small letters. Where no language can be detected, it counts as English.
#[derive(Debug)]
struct English {
    capital: bool,
}

impl Check for English {
    fn follows(&self, text: &str, language: &Language) -> Followed {
        let right_case = if self.capital { is_upper(text) } else { is_lower(text) };
        if right_case { language.detector.is(text, "en") } else { Followed::No }
    }
}

/// A language, by its code.
#[derive(Debug)]
struct Response(String);

impl Check for Response {
    fn follows(&self, text: &str, language: &Language) -> Followed {
        language.detector.is(text, &self.0)
    }
}
