//! How the answer looks: lists, highlights, sections, titles, JSON, one of three answers.

use super::Language;
use super::characters::SPACE;
use super::instruction::{Arguments, Check, Followed, Made, boxed, fixed};
use super::json;
use crate::bench::extract::strip;
use crate::bench::score::BadField;
use regex::Regex;

pub(super) fn make(name: &str, arguments: &Arguments<'_>) -> Made {
    Some(match name {
        "number_bullet_lists" => boxed(Bullets::from(arguments)),
        "number_highlighted_sections" => boxed(Highlights::from(arguments)),
        "multiple_sections" => boxed(Sections::from(arguments)),
        "title" => boxed(Ok(Title(fixed(r"<<[^\n]+>>")))),
        "json_format" => boxed(Ok(Json)),
        "constrained_response" => boxed(Ok(OneOfThree)),
        _ => return None,
    })
}

/// Exactly so many lines that begin with one asterisk or with a hyphen.
#[derive(Debug)]
struct Bullets {
    asterisk: Regex,
    hyphen: Regex,
    number: usize,
}

impl Bullets {
    fn from(arguments: &Arguments<'_>) -> Result<Self, BadField> {
        Ok(Self {
            asterisk: fixed(&format!(r"(?m)^{SPACE}*\*[^*].*$")),
            hyphen: fixed(&format!(r"(?m)^{SPACE}*-.*$")),
            number: arguments.number("num_bullets")?,
        })
    }
}

impl Check for Bullets {
    fn follows(&self, text: &str, _: &Language) -> Followed {
        let found = self.asterisk.find_iter(text).count() + self.hyphen.find_iter(text).count();
        (found == self.number).into()
    }
}

/// At least so many `*parts*` and `**parts**` of a line that are not blank, each kind looked for from the left.
#[derive(Debug)]
struct Highlights {
    single: Regex,
    double: Regex,
    number: usize,
}

impl Highlights {
    fn from(arguments: &Arguments<'_>) -> Result<Self, BadField> {
        Ok(Self {
            single: fixed(r"\*[^\n*]*\*"),
            double: fixed(r"\*\*[^\n*]*\*\*"),
            number: arguments.number("num_highlights")?,
        })
    }
}

impl Check for Highlights {
    fn follows(&self, text: &str, _: &Language) -> Followed {
        let count = |pattern: &Regex| {
            pattern.find_iter(text).filter(|m| !strip(m.as_str().trim_matches('*')).is_empty()).count()
        };
        (count(&self.single) + count(&self.double) >= self.number).into()
    }
}

/// At least so many marks of sections: the splitter and a number.
#[derive(Debug)]
struct Sections {
    mark: Regex,
    number: usize,
}

impl Sections {
    fn from(arguments: &Arguments<'_>) -> Result<Self, BadField> {
        let splitter = strip(arguments.text("section_spliter")?);
        let pattern = format!(r"{SPACE}?{splitter}{SPACE}?\d+{SPACE}?");
        Ok(Self {
            mark: arguments.pattern("section_spliter", &pattern)?,
            number: arguments.number("num_sections")?,
        })
    }
}

impl Check for Sections {
    fn follows(&self, text: &str, _: &Language) -> Followed {
        (self.mark.find_iter(text).count() >= self.number).into()
    }
}

/// A `<<title>>` that is not blank.
#[derive(Debug)]
struct Title(Regex);

impl Check for Title {
    fn follows(&self, text: &str, _: &Language) -> Followed {
        let titled = |title: &str| !strip(title.trim_start_matches('<').trim_end_matches('>')).is_empty();
        self.0.find_iter(text).any(|title| titled(title.as_str())).into()
    }
}

/// The answer is JSON, in a fence or not.
#[derive(Debug)]
struct Json;

impl Check for Json {
    fn follows(&self, text: &str, _: &Language) -> Followed {
        let mut text = strip(text);
        for opening in ["```json", "```Json", "```JSON", "```"] {
            text = text.strip_prefix(opening).unwrap_or(text);
        }
        json::loads(strip(text.strip_suffix("```").unwrap_or(text)))
    }
}

/// One of the three answers is somewhere.
#[derive(Debug)]
struct OneOfThree;

impl Check for OneOfThree {
    fn follows(&self, text: &str, _: &Language) -> Followed {
        ["My answer is yes.", "My answer is no.", "My answer is maybe."]
            .iter()
            .any(|a| text.contains(a))
            .into()
    }
}
