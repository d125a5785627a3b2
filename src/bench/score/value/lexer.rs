//! LaTeX, or what people type in its place, as tokens. What only changes how an answer looks is left out.

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

/// Functions and forms.
const COMMANDS: [&str; 39] = [
    "frac", "sqrt", "binom", "log", "ln", "exp", "sin", "cos", "tan", "cot", "sec", "csc", "arcsin",
    "arccos", "arctan", "sinh", "cosh", "tanh", "overline", "lfloor", "rfloor", "lceil", "rceil", "max",
    "min", "gcd", "lcm", "det", "Re", "Im", "arg", "deg", "dim", "ker", "Pr", "sup", "inf", "lim", "angle",
];

/// Other spellings of commands.
const SPELLINGS: [(&str, &str); 12] = [
    ("dfrac", "frac"),
    ("tfrac", "frac"),
    ("cfrac", "frac"),
    ("dbinom", "binom"),
    ("tbinom", "binom"),
    ("arcsin", "arcsin"),
    ("asin", "arcsin"),
    ("acos", "arccos"),
    ("atan", "arctan"),
    ("lg", "log"),
    ("bar", "overline"),
    ("root", "sqrt"),
];

/// Commands that are one character.
const MARKS: [(&str, char); 27] = [
    ("cdot", '*'),
    ("times", '*'),
    ("ast", '*'),
    ("div", '/'),
    ("pm", '±'),
    ("mp", '∓'),
    ("infty", '∞'),
    ("infinity", '∞'),
    ("cup", '∪'),
    ("in", '∈'),
    ("degree", '°'),
    ("circ", '°'),
    ("le", '≤'),
    ("leq", '≤'),
    ("leqslant", '≤'),
    ("ge", '≥'),
    ("geq", '≥'),
    ("geqslant", '≥'),
    ("lt", '<'),
    ("gt", '>'),
    ("vert", '|'),
    ("lvert", '|'),
    ("rvert", '|'),
    ("langle", '⟨'),
    ("rangle", '⟩'),
    ("colon", ':'),
    ("percent", '%'),
];

const GREEK: [&str; 30] = [
    "alpha",
    "beta",
    "gamma",
    "delta",
    "epsilon",
    "varepsilon",
    "zeta",
    "eta",
    "theta",
    "vartheta",
    "iota",
    "kappa",
    "lambda",
    "mu",
    "nu",
    "xi",
    "pi",
    "rho",
    "sigma",
    "tau",
    "upsilon",
    "phi",
    "varphi",
    "chi",
    "psi",
    "omega",
    "Gamma",
    "Delta",
    "Omega",
    "ell",
];

/// Commands that only change how something looks.
const LOOKS: [&str; 27] = [
    "left",
    "right",
    "big",
    "Big",
    "bigg",
    "Bigg",
    "bigl",
    "bigr",
    "Bigl",
    "Bigr",
    "displaystyle",
    "textstyle",
    "limits",
    "quad",
    "qquad",
    "boxed",
    "fbox",
    "mathstrut",
    "operatorname",
    "mathopen",
    "mathclose",
    "hspace",
    "rm",
    "bf",
    "it",
    "middle",
    "nonumber",
];

/// Commands whose braces hold text.
const TEXTS: [&str; 11] = [
    "text",
    "mbox",
    "textbf",
    "textit",
    "textrm",
    "textnormal",
    "mathrm",
    "mathbf",
    "mathit",
    "hbox",
    "texttt",
];

/// Words that stand between the items of a list.
const JOINTS: [&str; 2] = ["and", "or"];

/// Words of letters that are functions or constants where they stand alone.
const TYPED: [&str; 12] =
    ["sqrt", "pi", "sin", "cos", "tan", "log", "ln", "exp", "infinity", "arcsin", "arccos", "arctan"];

/// What a text is made of; `None` where something in it is not known. Where `thousands`, commas outside of brackets
/// group digits ("1,234,567").
pub(super) fn tokens(text: &str, thousands: bool) -> Option<Vec<Token>> {
    let mut lexer = Lexer { rest: text, out: Vec::new(), thousands, open: 0, deep: 0 };
    lexer.run()?;
    Some(lexer.out)
}

struct Lexer<'a> {
    rest: &'a str,
    out: Vec<Token>,
    thousands: bool,
    /// Brackets that are open here.
    open: usize,
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

    fn skip(&mut self, c: char) {
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
    fn braced(&mut self) -> Option<&'a str> {
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

    fn number(&mut self) {
        // `\log_2 8` and `\frac 1 2` have two numbers.
        let alone =
            matches!(self.out.last(), Some(Token::Mark('_' | '^') | Token::Command("frac" | "binom")));
        let mut literal = Literal { whole: self.run_of_digits(), ..Literal::default() };
        while !alone && let Some(more) = self.joined(&literal) {
            literal.whole.push_str(&more);
        }
        if self.rest.starts_with('.') && self.rest[1..].starts_with(|c| ascii_digit(c).is_some()) {
            self.rest = &self.rest[1..];
            literal.fraction = self.run_of_digits();
            while let Some(more) = self.spaced_digits() {
                literal.fraction.push_str(&more);
            }
        }
        if self.rest.starts_with(".\\overline{") {
            self.rest = &self.rest[1..];
        }
        if let Some(rest) = self.rest.strip_prefix("\\overline") {
            let before = self.rest;
            self.rest = rest;
            match self
                .braced()
                .filter(|digits| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()))
            {
                Some(digits) => literal.repeating.push_str(digits),
                None => self.rest = before,
            }
        }
        self.exponent(&mut literal);
        self.base(&mut literal);
        self.out.push(Token::Number(literal));
    }

    fn run_of_digits(&mut self) -> String {
        let mut digits = String::new();
        while let Some(c) = self.rest.chars().next() {
            let Some(digit) = ascii_digit(c) else { break };
            digits.push(digit);
            self.skip(c);
        }
        digits
    }

    /// The next group of digits of the same number: behind `{,}`, `,\!` or a thin space; behind a comma where these group
    /// digits; or behind blanks, which mathematics does not see.
    fn joined(&mut self, so_far: &Literal) -> Option<String> {
        let three = |rest: &str| {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            digits == 3
        };
        let grouped = ["{,}", ",\\!", "\\,", "\\ "].iter().find_map(|mark| {
            let mut rest = self.rest.strip_prefix(mark)?.trim_start();
            while let Some(more) = rest.strip_prefix("\\!") {
                rest = more.trim_start();
            }
            three(rest).then_some(rest)
        });
        let comma = || {
            let groups = self.thousands && self.open == 0 && so_far.whole.contains(|c| c != '0');
            self.rest.strip_prefix(',').filter(|rest| groups && three(rest))
        };
        if let Some(rest) = grouped.or_else(comma) {
            self.rest = rest;
            return Some(self.run_of_digits());
        }
        self.spaced_digits()
    }

    /// Digits behind blanks, unless they begin the fraction of a mixed number ("3 1/2").
    fn spaced_digits(&mut self) -> Option<String> {
        let mut rest = self.rest;
        while let Some(more) = rest.strip_prefix(' ').or_else(|| rest.strip_prefix("\\ ")) {
            rest = more;
        }
        if rest.len() == self.rest.len() || !rest.starts_with(|c: char| c.is_ascii_digit()) {
            return None;
        }
        let behind = rest.trim_start_matches(|c: char| c.is_ascii_digit()).trim_start();
        if behind.starts_with('/') {
            return None;
        }
        self.rest = rest;
        Some(self.run_of_digits())
    }

    /// `1.2e5`, as calculators write it.
    fn exponent(&mut self, literal: &mut Literal) {
        let Some(rest) = self.rest.strip_prefix(['e', 'E']) else { return };
        let digits = rest.strip_prefix(['+', '-']).unwrap_or(rest);
        let count = digits.bytes().take_while(u8::is_ascii_digit).count();
        if count == 0
            || count > 3
            || digits[count..].starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
        {
            return;
        }
        let exponent: usize = digits[..count].parse().unwrap_or(0);
        self.rest = &digits[count..];
        let zeros = "0".repeat(exponent);
        if rest.starts_with('-') {
            let all = zeros + &literal.whole;
            let (whole, fraction) = all.split_at(all.len() - exponent);
            (literal.fraction, literal.whole) = (fraction.to_owned() + &literal.fraction, whole.to_owned());
        } else {
            let all = literal.fraction.clone() + &zeros;
            let (moved, fraction) = all.split_at(exponent);
            literal.whole.push_str(moved);
            fraction.trim_end_matches('0').clone_into(&mut literal.fraction);
        }
    }

    /// `2516_8`, `152A_{11}`: a number with its base.
    fn base(&mut self, literal: &mut Literal) {
        if !literal.is_plain_whole() {
            return;
        }
        let letters = self.rest.bytes().take_while(u8::is_ascii_uppercase).count();
        let more =
            self.rest[letters..].bytes().take_while(|b| b.is_ascii_digit() || b.is_ascii_uppercase()).count();
        let Some(index) = self.rest[letters + more..].strip_prefix('_') else { return };
        let index = index.trim_start();
        let (digits, braced) = index.strip_prefix('{').map_or((index, false), |inner| (inner, true));
        let count = digits.bytes().take_while(u8::is_ascii_digit).count();
        let rest =
            if braced { digits[count..].trim_start().strip_prefix('}') } else { Some(&digits[count..]) };
        let (Some(rest), Ok(base)) = (rest, digits[..count].parse::<u32>()) else { return };
        let all = literal.whole.clone() + &self.rest[..letters + more];
        if (2..=36).contains(&base) && Number::digits(&all, base).is_some() {
            (self.rest, literal.whole, literal.base) = (rest, all, Some(base));
        }
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
