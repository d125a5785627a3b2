//! The forms of an answer, read from tokens.

use super::expression::{Branch, Expr, Sign};
use super::lexer::{self, Token};
use super::units::Unit;

/// Longest text that is read, in bytes. Longer ones are compared as text.
pub(super) const LONGEST: usize = 4096;

/// How deep answers may stand in answers.
const DEEPEST: usize = 12;

/// What somebody answered.
#[derive(Clone, Debug)]
pub(super) enum Answer {
    /// Words, in small letters.
    Word(String),
    Quantity(Quantity),
    /// Items without brackets, in any order.
    List(Vec<Answer>),
    /// `{…}`, in any order.
    Set(Vec<Answer>),
    /// Items in brackets: a tuple or an interval.
    Row(char, Vec<Answer>, char),
    Union(Vec<Answer>),
    Matrix(Vec<Vec<Answer>>),
    /// Both sides of `=`.
    Equation(Expr, Expr),
}

/// A number or an expression, with what stands around it.
#[derive(Clone, Debug)]
pub(super) struct Quantity {
    pub(super) expr: Expr,
    pub(super) percent: bool,
    pub(super) unit: Option<Unit>,
}

/// Whether a text can be read as an answer.
pub(super) fn is_readable(text: &str) -> bool {
    text.len() <= LONGEST && !readings(text).is_empty()
}

/// What a text may mean: "1,234" is a number, or two.
pub(super) fn readings(text: &str) -> Vec<Answer> {
    let mut found: Vec<Vec<Token>> = Vec::new();
    for thousands in [true, false] {
        if let Some(tokens) = lexer::tokens(text, thousands)
            && !found.contains(&tokens)
        {
            found.push(tokens);
        }
    }
    found.iter().filter_map(|tokens| read(tokens, 0)).collect()
}

/// How deep brackets are open behind each token; `None` where they do not match.
fn depths(tokens: &[Token]) -> Option<Vec<usize>> {
    let mut depth = 0usize;
    let depths = tokens.iter().map(|token| {
        match token {
            Token::Open(_) | Token::Matrix | Token::Command("lfloor" | "lceil") => depth += 1,
            Token::Close(_) | Token::EndMatrix | Token::Command("rfloor" | "rceil") => {
                depth = depth.checked_sub(1)?;
            }
            _ => {}
        }
        Some(depth)
    });
    let depths: Vec<usize> = depths.collect::<Option<_>>()?;
    (depth == 0).then_some(depths)
}

/// The parts between the tokens that `is` holds for, outside of brackets.
fn split<'t>(tokens: &'t [Token], depths: &[usize], is: impl Fn(&Token) -> bool) -> Vec<&'t [Token]> {
    let mut parts = Vec::new();
    let mut from = 0;
    for (at, token) in tokens.iter().enumerate() {
        if depths[at] == 0 && is(token) {
            parts.push(&tokens[from..at]);
            from = at + 1;
        }
    }
    parts.push(&tokens[from..]);
    parts
}

fn read(tokens: &[Token], deep: usize) -> Option<Answer> {
    if deep == DEEPEST {
        return None;
    }
    let all =
        |parts: Vec<&[Token]>| parts.into_iter().map(|part| read(part, deep + 1)).collect::<Option<Vec<_>>>();
    let tokens = trimmed(tokens);
    let depths = depths(tokens)?;
    let unions = split(tokens, &depths, |t| *t == Token::Mark('∪'));
    if unions.len() > 1 {
        return Some(Answer::Union(all(unions)?));
    }
    if let [Token::Symbol(_), Token::Mark('∈'), rest @ ..] = tokens {
        return read(rest, deep + 1);
    }
    let parts = split(tokens, &depths, |t| *t == Token::Mark(','));
    let relations =
        tokens.iter().zip(&depths).filter(|(t, d)| **d == 0 && matches!(t, Token::Relation(_))).count();
    if parts.len() > 1 {
        // "x = 1, 2" and "x = 1, x = 2" say what x is.
        let parts = parts.into_iter().filter(|part| !part.is_empty()).map(|part| named(part).unwrap_or(part));
        let items = all(parts.collect())?;
        return Some(match <[Answer; 1]>::try_from(items) {
            Ok([only]) => only,
            Err(items) => Answer::List(items),
        });
    }
    if relations > 0 {
        return relation(tokens, &depths, deep);
    }
    if tokens.is_empty() {
        return None;
    }
    // An expression may begin and end with brackets too.
    if let Some(answer) = bracketed(tokens, &depths, deep) {
        return answer;
    }
    if let [Token::Word(word)] = tokens {
        return Some(Answer::Word(word.clone()));
    }
    let ratio = split(tokens, &depths, |t| *t == Token::Mark(':'));
    match &ratio[..] {
        [_] => {}
        [a, b] => {
            let expr = Expr::Product(vec![(false, Expr::read(a)?), (true, quantity(b)?.expr)]);
            return Some(Answer::Quantity(Quantity { expr, percent: false, unit: None }));
        }
        _ => return Some(Answer::Row(':', all(ratio)?, ':')),
    }
    let quantity = quantity(tokens)?;
    if quantity.expr.is_twofold() {
        return Some(Answer::List(
            [Branch::Upper, Branch::Lower].map(|branch| Answer::Quantity(quantity.on(branch))).into(),
        ));
    }
    Some(Answer::Quantity(quantity))
}

/// Without punctuation at both ends.
fn trimmed(mut tokens: &[Token]) -> &[Token] {
    while let [Token::Mark(',' | '&' | 'N'), rest @ ..] | [rest @ .., Token::Mark(',' | '&' | 'N')] = tokens {
        tokens = rest;
    }
    tokens
}

/// What is behind "x =", where the name is a single one.
fn named(tokens: &[Token]) -> Option<&[Token]> {
    let at = tokens.iter().position(|t| *t == Token::Relation('='))?;
    (is_name(&tokens[..at]) && !tokens[at + 1..].iter().any(|t| matches!(t, Token::Relation(_))))
        .then(|| &tokens[at + 1..])
}

/// Whether tokens are a name: `x`, `xy`, `f(x)`, a word.
fn is_name(tokens: &[Token]) -> bool {
    match tokens {
        [Token::Symbol(_), Token::Open('('), Token::Symbol(_), Token::Close(')')] => true,
        [] => false,
        _ => tokens.iter().all(|t| matches!(t, Token::Symbol(_) | Token::Word(_))),
    }
}

/// An equation; or an inequality, as the interval of its variable.
fn relation(tokens: &[Token], depths: &[usize], deep: usize) -> Option<Answer> {
    let sides = split(tokens, depths, |t| matches!(t, Token::Relation(_)));
    let marks: Vec<char> = tokens
        .iter()
        .zip(depths)
        .filter_map(|(t, d)| match t {
            Token::Relation(mark) if *d == 0 => Some(*mark),
            _ => None,
        })
        .collect();
    if marks.iter().all(|mark| *mark == '=') {
        return equation(&sides, deep);
    }
    let is_symbol = |side: &[Token]| matches!(side, [Token::Symbol(_)]);
    let end = |side: &[Token]| {
        let quantity = quantity(side)?;
        (!quantity.expr.varies()).then_some(Answer::Quantity(quantity))
    };
    let infinite = |negative: bool| {
        let expr = Expr::Infinity;
        let expr = if negative { Expr::Sum(vec![(Sign::Minus, expr)]) } else { expr };
        Answer::Quantity(Quantity { expr, percent: false, unit: None })
    };
    let turned = |mark: char| match mark {
        '<' => '>',
        '>' => '<',
        '≤' => '≥',
        '≥' => '≤',
        other => other,
    };
    let (low, high) = match (&sides[..], &marks[..]) {
        ([x, a], [mark]) if is_symbol(x) => bound(*mark, end(a)?)?,
        ([a, x], [mark]) if is_symbol(x) => bound(turned(*mark), end(a)?)?,
        ([a, x, b], [first, second]) if is_symbol(x) => {
            match (bound(turned(*first), end(a)?)?, bound(*second, end(b)?)?) {
                ((Some(low), None), (None, Some(high))) | ((None, Some(high)), (Some(low), None)) => {
                    (Some(low), Some(high))
                }
                _ => return None,
            }
        }
        _ => return None,
    };
    let (low, open) = low.unwrap_or_else(|| (infinite(true), false));
    let (high, closed) = high.unwrap_or_else(|| (infinite(false), false));
    Some(Answer::Row(if open { '[' } else { '(' }, vec![low, high], if closed { ']' } else { ')' }))
}

/// Sides between `=`. What several sides say in a row is the last of them ("x = 3 · 4 = 12").
fn equation(sides: &[&[Token]], deep: usize) -> Option<Answer> {
    let [first, .., last] = sides else { return None };
    let exprs: Option<Vec<Expr>> = sides.iter().map(|side| Expr::read(side)).collect();
    let long_name = first.len() > 2 && first.iter().all(|t| matches!(t, Token::Symbol(_)));
    if matches!(first, [] | [Token::Word(_), ..]) || long_name {
        return if sides.len() == 2 { read(last, deep + 1) } else { None };
    }
    let constant = |exprs: &[Expr]| {
        exprs.iter().all(|e| !e.varies()) && exprs.windows(2).all(|two| two[0].same(&two[1]) == Some(true))
    };
    match exprs.as_deref() {
        Some(all) if constant(all) => read(last, deep + 1),
        Some([left, right]) => Some(Answer::Equation(left.clone(), right.clone())),
        Some([.., value]) if !value.varies() => read(last, deep + 1),
        // The value may have a unit, or be no number at all.
        None if sides.len() == 2 && is_name(first) => read(last, deep + 1),
        _ => None,
    }
}

/// A bound and whether it belongs to what it bounds.
type Bound = Option<(Answer, bool)>;

/// The lower and the upper bound that `x mark value` gives.
fn bound(mark: char, value: Answer) -> Option<(Bound, Bound)> {
    match mark {
        '<' => Some((None, Some((value, false)))),
        '≤' => Some((None, Some((value, true)))),
        '>' => Some((Some((value, false)), None)),
        '≥' => Some((Some((value, true)), None)),
        _ => None,
    }
}

/// What one pair of brackets holds, if it holds everything; `None` where there is none such.
#[expect(
    clippy::option_option,
    reason = "whether there are brackets, and whether what is in them can be read"
)]
fn bracketed(tokens: &[Token], depths: &[usize], deep: usize) -> Option<Option<Answer>> {
    // Units behind a bracket say nothing, nor does a plus sign before it.
    let mut last = tokens.len();
    while last > 0 && matches!(tokens[last - 1], Token::Mark('%' | '°') | Token::Word(_)) {
        last -= 1;
    }
    let first = usize::from(tokens[0] == Token::Mark('+'));
    if last <= first {
        return None;
    }
    let (tokens, depths) = (&tokens[first..last], &depths[first..last]);
    let last = tokens.len();
    let whole = last >= 2 && depths[..last - 1].iter().all(|depth| *depth > 0);
    if !whole {
        return None;
    }
    let inside = &tokens[1..last - 1];
    let items = |mark: char| {
        let depths: Vec<usize> = depths[1..last - 1].iter().map(|depth| depth - 1).collect();
        split(inside, &depths, |t| *t == Token::Mark(mark))
    };
    let all =
        |parts: Vec<&[Token]>| parts.into_iter().map(|part| read(part, deep + 1)).collect::<Option<Vec<_>>>();
    match (&tokens[0], &tokens[last - 1]) {
        (Token::Matrix, Token::EndMatrix) => {
            let rows = items('N').into_iter().filter(|row| !row.is_empty());
            let rows = rows.map(|row| {
                let depths = self::depths(row)?;
                all(split(row, &depths, |t| *t == Token::Mark('&')))
            });
            Some(rows.collect::<Option<Vec<_>>>().map(Answer::Matrix))
        }
        (Token::Open('S'), Token::Close('S')) => {
            let parts: Vec<_> = items(',').into_iter().filter(|part| !part.is_empty()).collect();
            Some(all(parts).map(Answer::Set))
        }
        (Token::Open('{'), Token::Close('}')) => Some(read(inside, deep + 1)),
        (Token::Open(open @ ('(' | '[' | '⟨')), Token::Close(close @ (')' | ']' | '⟩'))) => {
            let parts = items(',');
            // Angle brackets are another way to write a tuple.
            let round = |c: char| match c {
                '⟨' => '(',
                '⟩' => ')',
                other => other,
            };
            if parts.len() > 1 {
                Some(all(parts).map(|items| Answer::Row(round(*open), items, round(*close))))
            } else {
                Some(read(inside, deep + 1))
            }
        }
        _ => None,
    }
}

/// An expression, and percent, degrees or units behind it.
fn quantity(tokens: &[Token]) -> Option<Quantity> {
    let dollars = tokens.contains(&Token::Mark('$'));
    let (expr, used) = Expr::read_first(tokens)?;
    let mut rest = &tokens[used..];
    let mut unit = dollars.then_some(Unit::DOLLAR);
    let mut percent = false;
    let mut names = 0;
    while let Some((first, more)) = rest.split_first() {
        rest = more;
        match first {
            Token::Mark('%') => percent = true,
            Token::Mark('°' | '$') => {}
            Token::Word(word) => {
                let mut power = 1;
                rest = match rest {
                    [Token::Mark('^'), Token::Number(n), rest @ ..]
                    | [Token::Mark('^'), Token::Open('{'), Token::Number(n), Token::Close('}'), rest @ ..] => {
                        power = n.whole.parse().ok()?;
                        rest
                    }
                    rest => rest,
                };
                names += 1;
                unit = if names == 1 && !dollars { Unit::named(word, power) } else { None };
                percent |= word == "percent";
            }
            // "18 ways + 1"
            Token::Mark('+' | '-') if names > 0 => {
                let tail = quantity(&tokens[tokens.len() - rest.len() - 1..])?;
                let expr = Expr::Sum(vec![(Sign::Plus, expr), (Sign::Plus, tail.expr)]);
                return Some(Quantity { expr, percent: false, unit: None });
            }
            // "miles/hour"
            Token::Mark('/') if names > 0 => names += 1,
            _ => return None,
        }
    }
    Some(Quantity { expr, percent, unit: unit.filter(|_| names < 2) })
}
