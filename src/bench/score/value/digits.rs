//! Numbers as they are written: grouped, with a bar, an exponent or a base.

use super::lexer::{Lexer, Literal, Token};
use super::number::Number;
use crate::bench::extract::ascii_digit;

impl Lexer<'_> {
    /// The number that begins here.
    pub(super) fn number(&mut self) {
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
