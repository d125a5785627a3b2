//! Units behind a number. An answer without one has the unit that its question asks for; two answers with different
//! known units are the same where their amounts are.

use super::number::Number;

/// Name, dimension, and how many thousandths of a thousandth of the dimension's first unit it is.
const UNITS: [(&str, &str, u64); 57] = [
    ("mm", "length", 1_000),
    ("millimeter", "length", 1_000),
    ("cm", "length", 10_000),
    ("centimeter", "length", 10_000),
    ("m", "length", 1_000_000),
    ("meter", "length", 1_000_000),
    ("metre", "length", 1_000_000),
    ("km", "length", 1_000_000_000),
    ("kilometer", "length", 1_000_000_000),
    ("in", "length", 25_400),
    ("inch", "length", 25_400),
    ("inches", "length", 25_400),
    ("ft", "length", 304_800),
    ("foot", "length", 304_800),
    ("feet", "length", 304_800),
    ("yd", "length", 914_400),
    ("yard", "length", 914_400),
    ("mi", "length", 1_609_344_000),
    ("mile", "length", 1_609_344_000),
    ("sec", "time", 1),
    ("second", "time", 1),
    ("min", "time", 60),
    ("minute", "time", 60),
    ("hr", "time", 3_600),
    ("hour", "time", 3_600),
    ("day", "time", 86_400),
    ("week", "time", 604_800),
    ("mg", "mass", 1_000),
    ("g", "mass", 1_000_000),
    ("gm", "mass", 1_000_000),
    ("gram", "mass", 1_000_000),
    ("kg", "mass", 1_000_000_000),
    ("kilogram", "mass", 1_000_000_000),
    ("oz", "mass", 28_349_523),
    ("ounce", "mass", 28_349_523),
    ("lb", "mass", 453_592_370),
    ("pound", "mass", 453_592_370),
    ("cent", "money", 1),
    ("dollar", "money", 100),
    ("degree", "angle", 1),
    ("deg", "angle", 1),
    ("ml", "volume", 1_000),
    ("milliliter", "volume", 1_000),
    ("liter", "volume", 1_000_000),
    ("litre", "volume", 1_000_000),
    ("unit", "", 1),
    ("mph", "", 1),
    ("km/h", "", 1),
    ("square", "", 1),
    ("cubic", "", 1),
    ("people", "", 1),
    ("way", "", 1),
    ("point", "", 1),
    ("percent", "", 1),
    ("radian", "", 1),
    ("term", "", 1),
    ("year", "", 1),
];

/// A unit whose size is known.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Unit {
    dimension: &'static str,
    size: u64,
    /// 2 for areas, 3 for volumes.
    power: u32,
}

fn find(word: &str) -> Option<(&'static str, u64)> {
    let known = |word: &str| UNITS.iter().find(|(name, ..)| *name == word);
    let found = known(word).or_else(|| known(word.strip_suffix('s')?))?;
    Some((found.1, found.2))
}

/// Whether a word is known to be a unit.
pub(super) fn is_known(word: &str) -> bool {
    find(word).is_some()
}

impl Unit {
    pub(super) const DOLLAR: Self = Self { dimension: "money", size: 100, power: 1 };

    /// The unit that words name, raised to a power; `None` of one whose size is not known.
    pub(super) fn named(words: &str, power: u32) -> Option<Self> {
        let (words, power) = match words.split_once(' ') {
            Some(("square", rest)) => (rest, 2),
            Some(("cubic", rest)) => (rest, 3),
            _ => (words, power),
        };
        let (dimension, size) = find(words)?;
        (!dimension.is_empty() && (1..=3).contains(&power)).then_some(Self { dimension, size, power })
    }

    /// An amount in the dimension's first unit; `None` where the two cannot be converted.
    pub(super) fn convert(self, other: Self, amount: Number) -> Option<Number> {
        if (self.dimension, self.power) != (other.dimension, other.power) {
            return None;
        }
        let size = |unit: Self| {
            let size = Number::digits(&unit.size.to_string(), 10)?;
            size.power(Number::whole(unit.power))
        };
        amount.times(size(self)?).over(size(other)?)
    }
}
