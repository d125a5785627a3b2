//! Expressions, read from tokens.

use super::expression::{Branch, Expr, Sign};
use super::lexer::{Literal, Token};
use super::number::Number;

/// How deep brackets may stand in brackets.
const DEEPEST: usize = 40;

impl Expr {
    /// Reads all of the tokens; `None` where they are no expression.
    pub(super) fn read(tokens: &[Token]) -> Option<Self> {
        let mut parser = Parser { tokens, at: 0, deep: 0, angles: false };
        let expr = parser.sum()?;
        (parser.at == tokens.len()).then_some(expr)
    }

    /// Reads an expression from the start; how many tokens it has.
    pub(super) fn read_first(tokens: &[Token]) -> Option<(Self, usize)> {
        let mut parser = Parser { tokens, at: 0, deep: 0, angles: false };
        let expr = parser.sum()?;
        Some((expr, parser.at))
    }
}

struct Parser<'a> {
    tokens: &'a [Token],
    at: usize,
    deep: usize,
    /// Whether degrees are angles here, and not a unit.
    angles: bool,
}

impl<'a> Parser<'a> {
    fn peek(&self) -> Option<&'a Token> {
        self.tokens.get(self.at)
    }

    fn eat(&mut self, token: &Token) -> bool {
        let there = self.peek() == Some(token);
        self.at += usize::from(there);
        there
    }

    fn sign(&mut self) -> Option<Sign> {
        let sign = match self.peek()? {
            Token::Mark('+') => Sign::Plus,
            Token::Mark('-') => Sign::Minus,
            Token::Mark('±') => Sign::PlusMinus,
            Token::Mark('∓') => Sign::MinusPlus,
            _ => return None,
        };
        self.at += 1;
        Some(sign)
    }

    /// Goes one bracket deeper.
    fn within<T>(&mut self, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<T> {
        if self.deep == DEEPEST {
            return None;
        }
        self.deep += 1;
        let found = read(self);
        self.deep -= 1;
        found
    }

    fn sum(&mut self) -> Option<Expr> {
        let mut terms = Vec::new();
        loop {
            let sign = self.sign();
            if sign.is_none() && !terms.is_empty() {
                break;
            }
            let sign = self.signs(sign)?;
            terms.push((sign, self.product()?));
        }
        Some(match terms.pop() {
            Some((Sign::Plus, only)) if terms.is_empty() => only,
            Some(last) => {
                terms.push(last);
                Expr::Sum(terms)
            }
            None => return None,
        })
    }

    /// Several signs in a row are one.
    fn signs(&mut self, first: Option<Sign>) -> Option<Sign> {
        let mut sign = first.unwrap_or(Sign::Plus);
        while let Some(next) = self.sign() {
            sign = match (sign, next) {
                (Sign::Plus, other) | (other, Sign::Plus) => other,
                (Sign::Minus, Sign::Minus) => Sign::Plus,
                (Sign::Minus, Sign::PlusMinus) | (Sign::PlusMinus, Sign::Minus) => Sign::MinusPlus,
                (Sign::Minus, Sign::MinusPlus) | (Sign::MinusPlus, Sign::Minus) => Sign::PlusMinus,
                _ => return None,
            };
        }
        Some(sign)
    }

    fn product(&mut self) -> Option<Expr> {
        let mut factors = vec![(false, self.factor()?)];
        loop {
            match self.peek() {
                Some(Token::Mark(mark @ ('*' | '/'))) => {
                    self.at += 1;
                    let sign = self.signs(None)?;
                    let factor = self.factor()?;
                    let signed = if sign == Sign::Plus { factor } else { Expr::Sum(vec![(sign, factor)]) };
                    factors.push((*mark == '/', signed));
                }
                Some(Token::Number(next)) if matches!(factors.last(), Some((_, Expr::Literal(_)))) => {
                    // A number behind a number is the fraction of a mixed number, or nothing that is known.
                    let last = factors.pop()?.1;
                    factors.push((false, self.mixed(last, next)?));
                }
                Some(token) if begins_factor(token) => {
                    let is_form = *token == Token::Command("frac");
                    let factor = self.factor()?;
                    let last = &factors.last()?.1;
                    if is_form && factors.len() == 1 && mixes(last, &factor) {
                        let whole = factors.pop()?.1;
                        factors.push((false, Expr::Sum(vec![(Sign::Plus, whole), (Sign::Plus, factor)])));
                    } else {
                        factors.push((false, factor));
                    }
                }
                _ => break,
            }
        }
        Some(match (factors.len(), factors.pop()?) {
            (1, (_, only)) => only,
            (_, last) => {
                factors.push(last);
                Expr::Product(factors)
            }
        })
    }

    /// `3 1/2`
    fn mixed(&mut self, whole: Expr, numerator: &Literal) -> Option<Expr> {
        let is_whole = |e: &Expr| matches!(e, Expr::Literal(literal) if literal.is_plain_whole());
        if !is_whole(&whole) || !numerator.is_plain_whole() {
            return None;
        }
        match self.tokens.get(self.at + 1..self.at + 3)? {
            [Token::Mark('/'), Token::Number(denominator)] if denominator.is_plain_whole() => {
                self.at += 3;
                let (over, under) = (Expr::Literal(numerator.clone()), Expr::Literal(denominator.clone()));
                let fraction = Expr::Product(vec![(false, over), (true, under)]);
                Some(Expr::Sum(vec![(Sign::Plus, whole), (Sign::Plus, fraction)]))
            }
            _ => None,
        }
    }

    /// An atom with what stands behind it: powers, `!`, degrees.
    fn factor(&mut self) -> Option<Expr> {
        let mut expr = self.atom()?;
        loop {
            match self.peek() {
                Some(Token::Mark('^')) => {
                    self.at += 1;
                    let exponent = self.argument()?;
                    expr = Expr::Power(Box::new(expr), Box::new(exponent));
                }
                Some(Token::Mark('!')) => {
                    self.at += 1;
                    expr = Expr::Factorial(Box::new(expr));
                }
                Some(Token::Mark('°')) => {
                    self.at += 1;
                    if self.angles {
                        expr = Expr::Degrees(Box::new(expr));
                    }
                }
                _ => return Some(expr),
            }
        }
    }

    /// What a command or `^` takes: braces, or one token, of a number its first digit only.
    fn argument(&mut self) -> Option<Expr> {
        match self.peek()? {
            Token::Number(literal) if literal.is_plain_whole() => {
                self.at += 1;
                Some(Expr::Literal(literal.clone()))
            }
            Token::Mark('+' | '-') => {
                let sign = self.signs(None)?;
                let inner = self.within(Self::argument)?;
                Some(Expr::Sum(vec![(sign, inner)]))
            }
            _ => self.within(Self::atom),
        }
    }

    fn atom(&mut self) -> Option<Expr> {
        let token = self.peek()?;
        self.at += 1;
        match token {
            Token::Number(literal) => Some(Expr::Literal(literal.clone())),
            Token::Symbol(name) => Some(Expr::Symbol(name.clone())),
            Token::Mark('∞') => Some(Expr::Infinity),
            Token::Mark('$') => self.within(Self::factor),
            Token::Mark('|') => {
                let inner = self.within(Self::sum)?;
                self.eat(&Token::Mark('|')).then(|| Expr::Abs(Box::new(inner)))
            }
            Token::Open(open @ ('(' | '[' | '{')) => {
                let close = match open {
                    '(' => ')',
                    '[' => ']',
                    _ => '}',
                };
                let inner = self.within(Self::sum)?;
                self.eat(&Token::Close(close)).then_some(inner)
            }
            Token::Command(name) => self.command(name),
            _ => None,
        }
    }

    fn command(&mut self, name: &'static str) -> Option<Expr> {
        match name {
            "frac" | "binom" => {
                let (a, b) = self.two()?;
                Some(if name == "frac" {
                    Expr::Product(vec![(false, a), (true, b)])
                } else {
                    Expr::Choose(Box::new(a), Box::new(b))
                })
            }
            "sqrt" => {
                let degree =
                    if self.peek() == Some(&Token::Open('[')) { Some(Box::new(self.atom()?)) } else { None };
                Some(Expr::Root(Box::new(self.argument()?), degree))
            }
            "lfloor" | "lceil" => {
                let inner = self.within(Self::sum)?;
                let close = if name == "lfloor" { "rfloor" } else { "rceil" };
                self.eat(&Token::Command(close)).then(|| Expr::Call(name, Box::new(inner)))
            }
            "log" => {
                let base = if self.eat(&Token::Mark('_')) { Some(Box::new(self.argument()?)) } else { None };
                Some(Expr::Log(base, Box::new(self.applied()?)))
            }
            "ln" | "exp" => Some(Expr::Call(name, Box::new(self.applied()?))),
            "sin" | "cos" | "tan" | "cot" | "sec" | "csc" | "sinh" | "cosh" | "tanh" | "arcsin"
            | "arccos" | "arctan" => {
                let power = if self.eat(&Token::Mark('^')) { Some(self.argument()?) } else { None };
                let outer = std::mem::replace(&mut self.angles, true);
                let inner = self.applied();
                self.angles = outer;
                let inner = Box::new(inner?);
                let minus_one = |e: &Expr| e.value(0, Branch::Upper).and_then(Number::as_whole) == Some(-1);
                Some(match power {
                    None => Expr::Call(name, inner),
                    Some(power) if minus_one(&power) => {
                        let inverse = match name {
                            "sin" => "arcsin",
                            "cos" => "arccos",
                            "tan" => "arctan",
                            _ => return None,
                        };
                        Expr::Call(inverse, inner)
                    }
                    Some(power) => Expr::Power(Box::new(Expr::Call(name, inner)), Box::new(power)),
                })
            }
            _ => None,
        }
    }

    /// The two arguments of `\frac`: `{1}{2}`, `12`, `1{72}`, `{11}72`.
    fn two(&mut self) -> Option<(Expr, Expr)> {
        if let Some(Token::Number(literal)) = self.peek()
            && literal.is_plain_whole()
        {
            self.at += 1;
            let digit = |text: &str| Expr::Literal(Literal { whole: text.to_owned(), ..Literal::default() });
            return match literal.whole.len() {
                // `\frac12`
                2 => Some((digit(&literal.whole[..1]), digit(&literal.whole[1..]))),
                1 => Some((digit(&literal.whole), self.argument()?)),
                _ => None,
            };
        }
        Some((self.argument()?, self.argument()?))
    }

    /// What a function is applied to: factors without a sign between them.
    fn applied(&mut self) -> Option<Expr> {
        self.within(|parser| {
            let mut factors = vec![(false, parser.factor()?)];
            let bracket = matches!(parser.tokens.get(parser.at.wrapping_sub(1)), Some(Token::Close(')')));
            while let Some(token) = parser.peek() {
                if bracket
                    || matches!(token, Token::Command(_)) && !matches!(token, Token::Command("frac" | "sqrt"))
                {
                    break;
                }
                if !begins_factor(token) || matches!(token, Token::Open('(')) {
                    break;
                }
                factors.push((false, parser.factor()?));
            }
            // `\frac{\pi}{2}` has a slash of its own; `\cos \pi/3` means the angle π/3.
            while parser.angles && parser.eat(&Token::Mark('/')) {
                factors.push((true, parser.factor()?));
            }
            Some(if factors.len() == 1 { factors.pop()?.1 } else { Expr::Product(factors) })
        })
    }
}

/// Whether a factor without a sign of multiplication can begin so.
fn begins_factor(token: &Token) -> bool {
    match token {
        Token::Symbol(_) | Token::Number(_) => true,
        Token::Open(c) => matches!(c, '(' | '[' | '{'),
        Token::Command(name) => !matches!(*name, "rfloor" | "rceil"),
        Token::Mark(mark) => *mark == '∞',
        _ => false,
    }
}

/// Whether two neighbours are a mixed number: a whole number, then a fraction of two.
fn mixes(whole: &Expr, fraction: &Expr) -> bool {
    let is_whole = |e: &Expr| matches!(e, Expr::Literal(literal) if literal.is_plain_whole());
    let is_fraction = match fraction {
        Expr::Product(parts) => {
            matches!(&parts[..], [(false, a), (true, b)] if is_whole(a) && is_whole(b))
        }
        _ => false,
    };
    is_whole(whole) && is_fraction
}
