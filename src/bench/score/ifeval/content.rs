//! What the answer contains: placeholders, a postscript.

use super::Language;
use super::characters::SPACE;
use super::instruction::{Arguments, Check, Followed, Made, boxed, fixed};
use crate::bench::extract::strip;
use crate::bench::score::BadField;
use regex::Regex;

pub(super) fn make(name: &str, arguments: &Arguments<'_>) -> Made {
    Some(match name {
        "number_placeholders" => boxed(Placeholders::from(arguments)),
        "postscript" => boxed(Postscript::from(arguments)),
        _ => return None,
    })
}

/// At least so many `[parts]` of a line.
#[derive(Debug)]
struct Placeholders {
    placeholder: Regex,
    number: usize,
}

impl Placeholders {
    fn from(arguments: &Arguments<'_>) -> Result<Self, BadField> {
        Ok(Self { placeholder: fixed(r"\[.*?\]"), number: arguments.number("num_placeholders")? })
    }
}

impl Check for Placeholders {
    fn follows(&self, text: &str, _: &Language) -> Followed {
        (self.placeholder.find_iter(text).count() >= self.number).into()
    }
}

/// The mark of a postscript is somewhere, in capitals or not.
#[derive(Debug)]
struct Postscript(Regex);

impl Postscript {
    fn from(arguments: &Arguments<'_>) -> Result<Self, BadField> {
        // The reference's patterns begin with any white space and end with the rest of the line, which is always there.
        let pattern = match strip(arguments.text("postscript_marker")?) {
            "P.P.S" => format!(r"p\.{SPACE}?p\.{SPACE}?s"),
            "P.S." => format!(r"p\.{SPACE}?s\."),
            marker => marker.to_lowercase(),
        };
        arguments.pattern("postscript_marker", &pattern).map(Self)
    }
}

impl Check for Postscript {
    fn follows(&self, text: &str, _: &Language) -> Followed {
        self.0.is_match(&text.to_lowercase()).into()
    }
}
