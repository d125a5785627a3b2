//! LaTeX, or what people type in its place, as tokens. What only changes how an answer looks is left out.

use super::names::{COMMANDS, GREEK, JOINTS, LOOKS, MARKS, SPELLINGS, TEXTS, TYPED};
use super::number::Number;
use crate::bench::extract::{ascii_digit, closed};

/// How deep `\text{…}` may stand in `\text{…}`.
const DEEPEST_TEXT: usize = 4;

/// What an answer is made of.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    /// A literal: its digits before and behind the point, and those under a bar. In a base other than ten the last is it.
    Number(Literal),
    /// A variable or a constant, with its index and its primes.
    Symbol(String),
    /// Text: `\text{…}` or a known word.
    Word(String),
    /// A command that is a function or a form: `frac`, `sqrt`, `sin`, …
    Command(&'static str),
    /// `( [ { ⟨` and `\{`, the last as `S`.
    Open(char),
    /// Their closing twins.
    Close(char),
    /// `+ - * / ^ ! | : _`, and `±`, `∓`, `∞`, `∪`, `%`, `°`, `$`, `,`, `&`; `∈`; `N` is the end of a row.
    Mark(char),
    /// `= < > ≤ ≥`
    Relation(char),
    /// The start of a matrix.
    Matrix,
    /// The end of a matrix.
    EndMatrix,
}

/// A number as it is written.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Literal {
    pub(super) whole: String,
    pub(super) fraction: String,
    pub(super) repeating: String,
    pub(super) base: Option<u32>,
}

impl Literal {
    pub(super) fn value(&self) -> Option<Number> {
        match self.base {
            Some(base) => Number::digits(&self.whole, base),
            None => Number::decimal(&self.whole, &self.fraction, &self.repeating),
        }
    }

    pub(super) fn is_plain_whole(&self) -> bool {
        self.fraction.is_empty() && self.repeating.is_empty() && self.base.is_none()
    }
}

/// What a text is made of; `None` where something in it is not known. Where `thousands`, commas outside of brackets
/// group digits ("1,234,567").
pub(super) fn tokens(text: &str, thousands: bool) -> Option<Vec<Token>> {
    let mut lexer = Lexer { rest: text, out: Vec::new(), thousands, open: 0, deep: 0 };
    lexer.run()?;
    Some(lexer.out)
}

/// A text on its way to tokens.
pub(super) struct Lexer<'a> {
    pub(super) rest: &'a str,
    pub(super) out: Vec<Token>,
    pub(super) thousands: bool,
    /// Brackets that are open here.
    pub(super) open: usize,
    deep: usize,
}

impl<'a> Lexer<'a> {
    fn run(&mut self) -> Option<()> {
        while let Some(c) = self.rest.chars().next() {
            match c {
                _ if c.is_whitespace() => self.skip(c),
                '~' | '$' | '\u{200b}' | '\u{feff}' => self.skip(c),
                '\\' => self.command()?,
                _ if ascii_digit(c).is_some() => self.number(),
                '.' if self.rest[1..].starts_with(|d| ascii_digit(d).is_some()) => self.number(),
                'a'..='z' | 'A'..='Z' => self.letters()?,
                '(' | '[' | '{' | '⟨' => self.bracket(c, Token::Open(c)),
                ')' | ']' | '}' | '⟩' => self.bracket(c, Token::Close(c)),
                '*' if self.rest.starts_with("**") => {
                    self.rest = &self.rest[2..];
                    self.out.push(Token::Mark('^'));
                }
                '+' | '-' | '*' | '/' | '!' | '|' | ':' | '_' | '±' | '∓' | '∞' | '∪' | '∈' | '%' | '&'
                | ',' => {
                    self.mark(c, c);
                }
                '^' => self.caret(),
                ';' => self.mark(c, ','),
                '−' | '–' => self.mark(c, '-'),
                '×' | '·' | '⋅' => self.mark(c, '*'),
                '÷' | '∕' | '⁄' => self.mark(c, '/'),
                '°' | '˚' => self.mark(c, '°'),
                '√' => {
                    self.skip(c);
                    self.out.push(Token::Command("sqrt"));
                }
                'π' => {
                    self.skip(c);
                    self.symbol("pi".into());
                }
                '=' | '<' | '>' | '≤' | '≥' => self.relation(c),
                _ => return None,
            }
        }
        Some(())
    }

    pub(super) fn skip(&mut self, c: char) {
        self.rest = &self.rest[c.len_utf8()..];
    }

    fn mark(&mut self, c: char, mark: char) {
        self.skip(c);
        self.out.push(Token::Mark(mark));
    }

    fn bracket(&mut self, c: char, token: Token) {
        self.skip(c);
        match token {
            Token::Open(_) => self.open += 1,
            _ => self.open = self.open.saturating_sub(1),
        }
        self.out.push(token);
    }

    fn relation(&mut self, c: char) {
        self.skip(c);
        let both = self.rest.strip_prefix('=').filter(|_| matches!(c, '<' | '>'));
        self.rest = both.unwrap_or(self.rest);
        let relation = match (c, both) {
            ('<', Some(_)) => '≤',
            ('>', Some(_)) => '≥',
            _ => c,
        };
        self.out.push(Token::Relation(relation));
    }

    /// `^`, or the degree sign in its many spellings.
    fn caret(&mut self) {
        self.rest = &self.rest[1..];
        let plain = self.rest.trim_start();
        for degree in ["\\circ", "{\\circ}", "\\degree", "{\\degree}", "{ \\circ}", "{\\circ }", "°", "{°}"]
        {
            if let Some(rest) = plain.strip_prefix(degree)
                && !rest.starts_with(|c: char| c.is_ascii_alphabetic() && !degree.ends_with('}'))
            {
                self.rest = rest;
                self.out.push(Token::Mark('°'));
                return;
            }
        }
        self.out.push(Token::Mark('^'));
    }

    fn command(&mut self) -> Option<()> {
        let rest = &self.rest[1..];
        let first = rest.chars().next()?;
        if !first.is_ascii_alphabetic() {
            self.rest = &rest[first.len_utf8()..];
            match first {
                // A command that somebody took apart.
                ' ' if are_apart(self.rest, 2) => return None,
                ',' | ';' | ':' | '!' | ' ' | '\n' | '(' | ')' => {}
                '[' | ']' if self.out.is_empty() || self.rest.trim().is_empty() => {}
                '{' => {
                    self.open += 1;
                    self.out.push(Token::Open('S'));
                }
                '}' => {
                    self.open = self.open.saturating_sub(1);
                    self.out.push(Token::Close('S'));
                }
                // `\\frac` is `\frac` after an escape too many.
                '\\' if is_command(self.rest) => return self.command_name(),
                '\\' => self.out.push(Token::Mark('N')),
                '%' => self.out.push(Token::Mark('%')),
                '$' => self.out.push(Token::Mark('$')),
                '|' => self.out.push(Token::Mark('|')),
                '&' => self.out.push(Token::Mark('&')),
                _ => return None,
            }
            return Some(());
        }
        self.rest = rest;
        self.command_name()
    }

    /// The name behind a backslash.
    fn command_name(&mut self) -> Option<()> {
        let (name, rest) = self.rest.split_at(name_length(self.rest));
        self.rest = rest;
        self.named(name)
    }

    fn named(&mut self, name: &str) -> Option<()> {
        let name = SPELLINGS.iter().find(|(other, _)| *other == name).map_or(name, |(_, ours)| ours);
        if let Some(command) = COMMANDS.iter().find(|c| **c == name) {
            self.out.push(Token::Command(command));
        } else if let Some((_, mark)) = MARKS.iter().find(|(other, _)| *other == name) {
            self.out.push(match mark {
                '≤' | '≥' | '<' | '>' => Token::Relation(*mark),
                '⟨' => Token::Open('⟨'),
                '⟩' => Token::Close('⟩'),
                _ => Token::Mark(*mark),
            });
            match mark {
                '⟨' => self.open += 1,
                '⟩' => self.open = self.open.saturating_sub(1),
                _ => {}
            }
        } else if GREEK.contains(&name) {
            self.symbol(name.to_owned());
        } else if matches!(name, "left" | "right") {
            // `\left.` is no bracket.
            self.rest = self.rest.trim_start();
            self.rest = self.rest.strip_prefix('.').unwrap_or(self.rest);
        } else if LOOKS.contains(&name) {
        } else if TEXTS.contains(&name) {
            let inner = self.braced()?;
            self.text(inner)?;
        } else if matches!(name, "begin" | "end") {
            if !matches!(self.braced()?, "pmatrix" | "bmatrix" | "matrix") {
                return None;
            }
            self.open = if name == "begin" { self.open + 1 } else { self.open.saturating_sub(1) };
            self.out.push(if name == "begin" { Token::Matrix } else { Token::EndMatrix });
        } else {
            return None;
        }
        Some(())
    }

    /// What is in the braces that follow.
    pub(super) fn braced(&mut self) -> Option<&'a str> {
        let inner = self.rest.trim_start().strip_prefix('{')?;
        let inside = closed(inner)?;
        self.rest = &inner[inside.len() + 1..];
        Some(inside)
    }

    /// Text is words; where it has digits or commands it is an answer that somebody put into text.
    fn text(&mut self, text: &str) -> Option<()> {
        if text.contains(|c: char| c == '\\' || c == '=' || ascii_digit(c).is_some()) {
            if self.deep == DEEPEST_TEXT {
                return None;
            }
            let mut inner = Lexer {
                rest: text,
                out: Vec::new(),
                thousands: self.thousands,
                open: self.open,
                deep: self.deep + 1,
            };
            inner.run()?;
            self.out.append(&mut inner.out);
            return Some(());
        }
        for (at, part) in text.split(',').enumerate() {
            if at > 0 {
                self.out.push(Token::Mark(','));
            }
            for (at, words) in joints(part).into_iter().enumerate() {
                if at > 0 {
                    self.out.push(Token::Mark(','));
                }
                if !words.is_empty() {
                    self.out.push(Token::Word(words));
                }
            }
        }
        Some(())
    }

    fn symbol(&mut self, mut name: String) {
        loop {
            if let Some(rest) = self.rest.strip_prefix('\'') {
                (self.rest, name) = (rest, name + "'");
                continue;
            }
            let Some(index) = self.rest.strip_prefix('_') else { break };
            let plain = index.starts_with(|c: char| c.is_ascii_alphanumeric());
            if plain {
                (self.rest, name) = (&index[1..], name + "_" + &index[..1]);
                continue;
            }
            let before = self.rest;
            self.rest = index;
            let Some(inner) = self.braced() else {
                self.rest = before;
                break;
            };
            name = name + "_" + inner.trim();
        }
        self.out.push(Token::Symbol(name));
    }

    /// A run of letters: a word that is known, or one symbol for each letter.
    fn letters(&mut self) -> Option<()> {
        let end = self.rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(self.rest.len());
        let run = &self.rest[..end];
        if TYPED.contains(&run) {
            self.rest = &self.rest[end..];
            return self.named(run);
        }
        if JOINTS.contains(&run) {
            self.rest = &self.rest[end..];
            self.out.push(Token::Mark(','));
            return Some(());
        }
        if super::units::is_known(run) && run.len() > 1 {
            self.rest = &self.rest[end..];
            self.out.push(Token::Word(run.to_owned()));
            return Some(());
        }
        if are_apart(self.rest, 3) {
            return None;
        }
        self.rest = &self.rest[1..];
        self.symbol(run[..1].to_owned());
        Some(())
    }
}

fn name_length(text: &str) -> usize {
    text.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(text.len())
}

/// Whether a text begins with the name of a form or a function.
fn is_command(text: &str) -> bool {
    let name = &text[..name_length(text)];
    let known = |list: &[&str]| list.contains(&name);
    known(&COMMANDS) || known(&TEXTS) || known(&GREEK) || SPELLINGS.iter().any(|(other, _)| *other == name)
}

/// Whether a text begins with so many letters that stand alone: no product, but a word that somebody took apart.
fn are_apart(text: &str, letters: usize) -> bool {
    let alone = |word: &str| {
        let mut chars = word.chars();
        chars.next().is_some_and(|c| c.is_ascii_alphabetic()) && chars.next().is_none()
    };
    text.trim_start().split(' ').take(letters).filter(|word| alone(word)).count() == letters
}

/// Words without what they begin and end with beside letters, in small letters, taken apart at "and" and "or".
fn joints(words: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    for word in words.split_whitespace() {
        if JOINTS.contains(&word) {
            parts.push(String::new());
            continue;
        }
        let last = parts.len() - 1;
        let plain = word.trim_matches(|c: char| !c.is_alphanumeric());
        if !plain.is_empty() {
            if !parts[last].is_empty() {
                parts[last].push(' ');
            }
            parts[last].push_str(&plain.to_lowercase());
        }
    }
    parts
}
