//! From a row to its instructions: `instruction_id_list` names them, `kwargs` has an object of arguments for each.

use super::{Language, content, ends, format, keywords, length, letters};
use crate::bench::dataset::Item;
use crate::bench::score::BadField;
use serde_json::{Map, Value};
use std::fmt;

/// What became of an instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Followed {
    Yes,
    No,
    /// The reference stops with this exception.
    Raises(&'static str),
    /// The reference draws something at random, which this is.
    Random(&'static str),
}

impl From<bool> for Followed {
    fn from(followed: bool) -> Self {
        if followed { Self::Yes } else { Self::No }
    }
}

/// One instruction with its arguments.
pub(super) trait Check: Send + Sync + fmt::Debug {
    /// Whether a text that is not blank follows it.
    fn follows(&self, text: &str, language: &Language) -> Followed;
}

/// An instruction and its name.
#[derive(Debug)]
pub(super) struct Instruction {
    pub(super) id: String,
    pub(super) check: Box<dyn Check>,
}

/// Which side of a number a count must be on.
#[derive(Clone, Copy, Debug)]
pub(super) enum Relation {
    LessThan,
    AtLeast,
}

impl Relation {
    pub(super) fn holds(self, count: usize, threshold: usize) -> bool {
        match self {
            Self::LessThan => count < threshold,
            Self::AtLeast => count >= threshold,
        }
    }
}

/// The instructions of a row.
pub(super) fn of(item: &Item) -> Result<Vec<Instruction>, BadField> {
    let list = |key: &str, wanted| match item.fields.get(key).and_then(Value::as_array) {
        Some(list) if !list.is_empty() => Ok(list),
        _ => Err(BadField::new(key, wanted)),
    };
    let ids = list("instruction_id_list", "a list of one or more instructions")?;
    let kwargs = list("kwargs", "a list with the arguments of each instruction")?;
    if kwargs.len() != ids.len() {
        return Err(BadField::new("kwargs", "as long as `instruction_id_list`"));
    }
    let empty = Map::new();
    ids.iter()
        .zip(kwargs)
        .enumerate()
        .map(|(at, (id, given))| {
            let bad = || BadField::new(&format!("instruction_id_list[{at}]"), "an instruction of IFEval");
            let id = id.as_str().ok_or_else(bad)?;
            let arguments = Arguments { at, given: given.as_object().unwrap_or(&empty) };
            let check = make(id, &arguments).ok_or_else(bad)??;
            Ok(Instruction { id: id.to_owned(), check })
        })
        .collect()
}

/// A check that is found, and can be made from its arguments.
pub(super) type Made = Option<Result<Box<dyn Check>, BadField>>;

fn make(id: &str, arguments: &Arguments<'_>) -> Made {
    let (family, name) = id.split_once(':')?;
    match family {
        "keywords" => keywords::make(name, arguments),
        "length_constraints" => length::make(name, arguments),
        "detectable_format" => format::make(name, arguments),
        "detectable_content" => content::make(name, arguments),
        "startend" | "combination" | "punctuation" => ends::make(name, arguments),
        "change_case" | "language" => letters::make(name, arguments),
        _ => None,
    }
}

/// Puts a check into its box.
pub(super) fn boxed<C: Check + 'static>(check: Result<C, BadField>) -> Result<Box<dyn Check>, BadField> {
    check.map(|check| Box::new(check) as Box<dyn Check>)
}

/// The arguments of one instruction. One that is null, empty or zero counts as missing, as in the reference, which then
/// draws a value at random; here a row with a missing argument is refused.
pub(super) struct Arguments<'a> {
    at: usize,
    given: &'a Map<String, Value>,
}

impl Arguments<'_> {
    pub(super) fn bad(&self, key: &str, wanted: &'static str) -> BadField {
        BadField::new(&format!("kwargs[{}].{key}", self.at), wanted)
    }

    pub(super) fn text(&self, key: &str) -> Result<&str, BadField> {
        match self.given.get(key).and_then(Value::as_str) {
            Some(text) if !text.is_empty() => Ok(text),
            _ => Err(self.bad(key, "a text that is not empty")),
        }
    }

    pub(super) fn number(&self, key: &str) -> Result<usize, BadField> {
        match self.given.get(key).and_then(Value::as_u64) {
            Some(number) if number > 0 => Ok(usize::try_from(number).unwrap_or(usize::MAX)),
            _ => Err(self.bad(key, "a whole number above 0")),
        }
    }

    pub(super) fn texts(&self, key: &str) -> Result<Vec<&str>, BadField> {
        let wanted = "a list of one or more texts";
        let list = self.given.get(key).and_then(Value::as_array).filter(|list| !list.is_empty());
        let list = list.ok_or_else(|| self.bad(key, wanted))?;
        list.iter().map(|text| text.as_str().ok_or_else(|| self.bad(key, wanted))).collect()
    }

    pub(super) fn relation(&self, key: &str) -> Result<Relation, BadField> {
        match self.text(key) {
            Ok("less than") => Ok(Relation::LessThan),
            Ok("at least") => Ok(Relation::AtLeast),
            _ => Err(self.bad(key, "`less than` or `at least`")),
        }
    }

    /// A pattern that is made from an argument.
    pub(super) fn pattern(&self, key: &str, pattern: &str) -> Result<regex::Regex, BadField> {
        regex::Regex::new(pattern).map_err(|_| self.bad(key, "a text that is a regular expression"))
    }
}

/// A pattern that is written in the program.
pub(super) fn fixed(pattern: &str) -> regex::Regex {
    regex::Regex::new(pattern).unwrap_or_else(|e| unreachable!("{e}"))
}
