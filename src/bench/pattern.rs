//! The regular expressions of cards and rows: those that can match. One that no text matches is a slip of the pen that would make
//! every answer wrong, so it is refused where it is read.
//!
//! Whether one can match is decided exactly. All that an assertion (`^`, `$`, `\b`, …) can see of a place in a text is what kind of
//! character is to its left and to its right, and there are few kinds. So an expression is a relation between such places: from which
//! one to which other one a match may lead. It can match if the relation has a pair.

use regex::Regex;
use regex_syntax::hir::{Class, ClassUnicode, ClassUnicodeRange, Hir, HirKind, Look, Repetition};
use serde::{Deserialize, Deserializer};
use std::sync::LazyLock;

/// The regular expression in a string.
pub(super) fn pattern<'de, D: Deserializer<'de>>(from: D) -> Result<Regex, D::Error> {
    compiled(&String::deserialize(from)?).map_err(serde::de::Error::custom)
}

/// The regular expressions in a list.
pub(super) fn patterns<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Regex>, D::Error> {
    let texts = Vec::<String>::deserialize(from)?;
    texts.iter().map(|text| compiled(text).map_err(serde::de::Error::custom)).collect()
}

/// A regular expression, or what is wrong with it in one line.
pub(super) fn compiled(text: &str) -> Result<Regex, String> {
    let regex = Regex::new(text).map_err(|e| {
        let said = e.to_string();
        let reason = said.rsplit("error: ").next().unwrap_or(&said).trim();
        format!("`{text}` is no regular expression: {reason}")
    })?;
    // What `regex` takes, its own parser takes.
    match regex_syntax::parse(text) {
        Ok(hir) if !can_match(&hir) => Err(format!(
            "`{text}` can never match: there is no text that has it; look for an anchor or a word boundary in the wrong place, or an \
             empty class"
        )),
        _ => Ok(regex),
    }
}

/// Whether some text has a match.
fn can_match(hir: &Hir) -> bool {
    relation(hir).0.iter().any(|row| *row != 0)
}

/// Kinds of neighbours: no character at all, then characters as far as assertions tell them apart.
const NONE: usize = 0;
const LF: usize = 1;
const CR: usize = 2;
const ASCII_WORD: usize = 3;
const OTHER_WORD: usize = 4;
const NO_WORD: usize = 5;
const KINDS: usize = 6;
/// Places in a text: `KINDS · left + right`.
const PLACES: usize = KINDS * KINDS;

/// A relation between places: row by row, bit by bit.
#[derive(Clone, Copy, PartialEq)]
struct Relation([u64; PLACES]);

impl Relation {
    const EMPTY: Self = Self([0; PLACES]);

    /// Every place to itself, where it has `property` (left, right).
    fn at(property: impl Fn(usize, usize) -> bool) -> Self {
        let mut all = Self::EMPTY;
        for place in (0..PLACES).filter(|place| property(place / KINDS, place % KINDS)) {
            all.0[place] = 1 << place;
        }
        all
    }

    /// Over one character of any of these kinds.
    fn over(kinds: &[usize]) -> Self {
        let mut all = Self::EMPTY;
        for &kind in kinds {
            for left in 0..KINDS {
                all.0[KINDS * left + kind] =
                    (0..KINDS).fold(0, |row, right| row | 1 << (KINDS * kind + right));
            }
        }
        all
    }

    fn or(mut self, other: &Self) -> Self {
        self.0.iter_mut().zip(other.0).for_each(|(row, more)| *row |= more);
        self
    }

    /// This one, then the other.
    fn then(&self, next: &Self) -> Self {
        let follow = |row: u64| {
            (0..PLACES).filter(|place| (row >> place) & 1 == 1).fold(0, |all, place| all | next.0[place])
        };
        Self(self.0.map(follow))
    }

    /// So many times over.
    fn times(&self, mut count: u32) -> Self {
        let (mut all, mut power) = (Self::at(|_, _| true), *self);
        while count > 0 {
            if count & 1 == 1 {
                all = all.then(&power);
            }
            power = power.then(&power);
            count >>= 1;
        }
        all
    }

    fn repeated(&self, repetition: &Repetition) -> Self {
        let at_most_once = Self::at(|_, _| true).or(self);
        // Every place that can be reached is reached in fewer steps than there are places.
        let more = repetition.max.map_or(PLACES as u32, |max| max - repetition.min);
        self.times(repetition.min).then(&at_most_once.times(more))
    }
}

fn relation(hir: &Hir) -> Relation {
    match hir.kind() {
        HirKind::Empty => Relation::at(|_, _| true),
        HirKind::Literal(literal) => match std::str::from_utf8(&literal.0) {
            Ok(text) => text
                .chars()
                .fold(Relation::at(|_, _| true), |all, c| all.then(&Relation::over(&kinds(&only(c))))),
            // Only expressions over bytes have such; nothing is said against them.
            Err(_) => Relation::over(&[NO_WORD]),
        },
        HirKind::Class(Class::Unicode(class)) => Relation::over(&kinds(class)),
        HirKind::Class(Class::Bytes(class)) => match class.to_unicode_class() {
            Some(class) => Relation::over(&kinds(&class)),
            None => Relation::over(&[LF, CR, ASCII_WORD, OTHER_WORD, NO_WORD]),
        },
        HirKind::Look(look) => Relation::at(|left, right| holds(*look, left, right)),
        HirKind::Repetition(repetition) => relation(&repetition.sub).repeated(repetition),
        HirKind::Capture(capture) => relation(&capture.sub),
        HirKind::Concat(parts) => {
            parts.iter().fold(Relation::at(|_, _| true), |all, part| all.then(&relation(part)))
        }
        HirKind::Alternation(ways) => ways.iter().fold(Relation::EMPTY, |all, way| all.or(&relation(way))),
    }
}

fn only(c: char) -> ClassUnicode {
    ClassUnicode::new([ClassUnicodeRange::new(c, c)])
}

/// The kinds of characters that a class has.
fn kinds(class: &ClassUnicode) -> Vec<usize> {
    static ALL: LazyLock<[(usize, ClassUnicode); KINDS - 1]> = LazyLock::new(|| {
        let class = |text: &str| match regex_syntax::parse(text).map(Hir::into_kind) {
            Ok(HirKind::Class(Class::Unicode(class))) => class,
            _ => unreachable!("`{text}` is a class"),
        };
        [
            (LF, only('\n')),
            (CR, only('\r')),
            (ASCII_WORD, class("[0-9A-Za-z_]")),
            (OTHER_WORD, class(r"[\w&&[^0-9A-Za-z_]]")),
            (NO_WORD, class(r"[\W&&[^\n\r]]")),
        ]
    });
    let has = |(_, kind): &&(usize, ClassUnicode)| {
        let mut common = kind.clone();
        common.intersect(class);
        !common.ranges().is_empty()
    };
    ALL.iter().filter(has).map(|(kind, _)| *kind).collect()
}

/// Whether an assertion holds between these neighbours, as `regex` documents it.
fn holds(look: Look, left: usize, right: usize) -> bool {
    let ascii = |kind| kind == ASCII_WORD;
    let word = |kind| kind == ASCII_WORD || kind == OTHER_WORD;
    match look {
        Look::Start => left == NONE,
        Look::End => right == NONE,
        Look::StartLF => matches!(left, NONE | LF),
        Look::EndLF => matches!(right, NONE | LF),
        Look::StartCRLF => matches!(left, NONE | LF) || left == CR && right != LF,
        Look::EndCRLF => matches!(right, NONE | CR) || right == LF && left != CR,
        Look::WordAscii => ascii(left) != ascii(right),
        Look::WordAsciiNegate => ascii(left) == ascii(right),
        Look::WordUnicode => word(left) != word(right),
        Look::WordUnicodeNegate => word(left) == word(right),
        Look::WordStartAscii => !ascii(left) && ascii(right),
        Look::WordEndAscii => ascii(left) && !ascii(right),
        Look::WordStartUnicode => !word(left) && word(right),
        Look::WordEndUnicode => word(left) && !word(right),
        Look::WordStartHalfAscii => !ascii(left),
        Look::WordEndHalfAscii => !ascii(right),
        Look::WordStartHalfUnicode => !word(left),
        Look::WordEndHalfUnicode => !word(right),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_no_text_has_is_refused() {
        for text in [
            "a^b",
            "$a",
            "a^",
            "^^a^",
            "[a&&b]",
            r"[^\s\S]",
            r"a\bb",
            r"\B\b",
            r"(x|a^)y\bz",
            r"(a^)+",
            "(?:$a){2,3}",
            r"\Aa\Ab",
            r"a\z.",
            r"(?m)a^b",
            r"(?m)a$b",
            r"(?R)(?m)a$b",
            r"\n\b\n",
            r"é\bé",
            r"\n(?-u:\b)\n",
            r"\b{start}-",
            r"#### $(\d+)",
            r"(?m)\r$\n(?-m)^x",
            "([a&&b]c|d^)",
        ] {
            let refused = compiled(text).unwrap_err();
            assert!(refused.contains("can never match") && refused.contains(text), "{refused}");
        }
    }

    #[test]
    fn what_some_text_has_is_taken() {
        for (text, has) in [
            ("", ""),
            ("^a$", "a"),
            ("^$", ""),
            ("a|b^", "a"),
            ("(b^)*a", "a"),
            ("(b^){0}a", "a"),
            (r"(?m)a$\n^b", "a\nb"),
            (r"(?m)$\n", "\n"),
            (r"a\b-", "a-"),
            (r"a\Bb", "ab"),
            (r"\bé\b", "é"),
            (r"(?-u:\b)aé", "aé"),
            (r"a(?-u:\b)é", "aé"),
            (r"(?R)(?m)a$\r\n^b", "a\r\nb"),
            (r"(?R)(?m)\r^", "\ra"),
            (r"^\s*$", ""),
            (r"#### (\-?[0-9\.\,]+)", "#### 5"),
            (r"(-?[$0-9.,]{2,})|(-?[0-9]+)", "10"),
            (r"(?s).*#### ", "#### "),
            (r"\$", "$"),
            (r"\.$", "."),
            (r"^{0}a^{0}b", "ab"),
            (r"\b{start}a\b{end}", "a"),
            (r"\b{start-half}-\b{end-half}", "-"),
            (r"[^\n]$", "x"),
            ("(?x) a b # c", "ab"),
            ("x{3,}$", "xxx"),
        ] {
            assert!(compiled(text).unwrap().is_match(has), "{text}");
        }
    }

    #[test]
    fn what_is_no_expression_says_so() {
        assert!(compiled("(").unwrap_err().contains("unclosed group"));
    }

    /// Expressions with assertions in any place, and texts to try them on.
    fn expressions() -> impl Strategy<Value = String> {
        let leaf = prop::sample::select(vec![
            "a",
            "é",
            "-",
            r"\n",
            r"\r",
            r"\w",
            r"\W",
            "[a&&é]",
            "^",
            "$",
            "(?m:^)",
            "(?m:$)",
            "(?mR:^)",
            "(?mR:$)",
            r"\b",
            r"\B",
            r"(?-u:\b)",
            r"\b{start}",
            r"\b{end}",
            r"\b{start-half}",
            r"\b{end-half}",
            r"\A",
            r"\z",
            ".",
            "",
        ]);
        leaf.prop_map(str::to_owned).prop_recursive(3, 12, 3, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 1..4).prop_map(|parts| parts.concat()),
                prop::collection::vec(inner.clone(), 1..3).prop_map(|ways| format!("(?:{})", ways.join("|"))),
                (inner, prop::sample::select(vec!["*", "+", "?", "{2}", "{0}"]))
                    .prop_map(|(of, how)| format!("(?:{of}){how}")),
            ]
        })
    }

    /// Every text of up to four of the characters that assertions tell apart.
    fn texts() -> Vec<String> {
        let mut all = vec![String::new()];
        let mut last = all.clone();
        for _ in 0..4 {
            last = last
                .iter()
                .flat_map(|text| ["a", "é", "-", "\n", "\r"].map(|c| format!("{text}{c}")))
                .collect();
            all.extend(last.iter().cloned());
        }
        all
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]
        #[test]
        fn nothing_is_refused_that_a_short_text_has(text in expressions()) {
            if let Ok(regex) = Regex::new(&text) {
                let found = texts().iter().any(|short| regex.is_match(short));
                prop_assert!(!found || compiled(&text).is_ok(), "{} is refused", text);
            }
        }
    }
}
