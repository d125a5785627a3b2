//! The forms of an answer, and when two answers are the same.

use super::expression::{Branch, Expr, POINTS, Sign};
use super::lexer::{self, Token};
use super::number::Number;
use super::units::Unit;

/// Longest text that is read, in bytes. Longer ones are compared as text.
const LONGEST: usize = 4096;

/// Most items of a list that are matched in any order.
const MOST_ITEMS: usize = 64;

/// How deep answers may stand in answers.
const DEEPEST: usize = 12;

/// What somebody answered.
#[derive(Clone, Debug)]
enum Answer {
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
struct Quantity {
    expr: Expr,
    percent: bool,
    unit: Option<Unit>,
}

/// Whether an answer is the right one by value; `None` where one of them cannot be read, or where it cannot be told.
pub(super) fn same(given: &str, right: &str) -> Option<bool> {
    let (a, b) = (given, right);
    if a.len() > LONGEST || b.len() > LONGEST {
        return None;
    }
    if let (Some((a, a_is_text)), Some((b, b_is_text))) = (words(a), words(b))
        && a.to_lowercase() == b.to_lowercase()
        && (a == b || a_is_text || b_is_text || a.chars().nth(2).is_some())
    {
        return Some(true);
    }
    let (a, b) = (readings(a), readings(b));
    let mut found = None;
    for (a, b) in a.iter().flat_map(|a| b.iter().map(move |b| (a, b))) {
        let verdict = match (a, b) {
            // "x + y = 3" where 3 is asked for.
            (Answer::Equation(_, value), Answer::Quantity(_)) if !value.varies() => {
                compare(&Answer::Quantity(Quantity { expr: value.clone(), percent: false, unit: None }), b)
            }
            _ => compare(a, b),
        };
        match verdict {
            Some(true) => return Some(true),
            other => found = found.or(other),
        }
    }
    found
}

/// Whether a text can be read as an answer.
pub(super) fn is_readable(text: &str) -> bool {
    text.len() <= LONGEST && !readings(text).is_empty()
}

/// Letters and spaces that are the whole answer, and whether they are marked as text.
fn words(text: &str) -> Option<(String, bool)> {
    let mut plain = text.trim().trim_matches(['$', '.', ' ']).trim();
    let mut is_text = false;
    loop {
        let inner =
            ["\\text", "\\mbox", "\\textbf", "\\textit", "\\textrm", "\\mathrm", "\\mathbf", "\\boxed"]
                .iter()
                .find_map(|command| {
                    plain.strip_prefix(command)?.trim_start().strip_prefix('{')?.strip_suffix('}')
                })
                .filter(|inner| !inner.contains(['{', '}']));
        let Some(inner) = inner else { break };
        (plain, is_text) = (inner.trim(), true);
    }
    let plain = plain.trim_matches(['(', ')', '.', ' ']);
    let letters = !plain.is_empty() && plain.chars().all(|c| c.is_alphabetic() || c == ' ' || c == '-');
    letters.then(|| (plain.split_whitespace().collect::<Vec<_>>().join(" "), is_text))
}

/// What a text may mean: "1,234" is a number, or two.
fn readings(text: &str) -> Vec<Answer> {
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

impl Quantity {
    /// One of the two that ± stands for.
    fn on(&self, branch: Branch) -> Self {
        Self { expr: chosen(&self.expr, branch), ..self.clone() }
    }

    fn same(&self, other: &Self) -> Option<bool> {
        if let (Some(a), Some(b)) = (self.unit, other.unit)
            && a != b
        {
            let value = |q: &Self| if q.expr.varies() { None } else { q.expr.value(0, Branch::Upper) };
            return match a.convert(b, value(self)?) {
                Some(amount) => amount.same(value(other)?),
                None => Some(false),
            };
        }
        let plain = self.expr.same(&other.expr);
        if self.percent == other.percent || plain == Some(true) {
            return plain;
        }
        // 50 % is the answer 50 to "what percent", and it is the number 1/2.
        let (percent, number) = if self.percent { (self, other) } else { (other, self) };
        let hundredth = Expr::Product(vec![(false, percent.expr.clone()), (true, hundred())]);
        hundredth.same(&number.expr)
    }
}

fn hundred() -> Expr {
    Expr::Literal(lexer::Literal { whole: "100".to_owned(), ..lexer::Literal::default() })
}

/// An expression with + or − for ±. Its depth is bounded by the reader's.
fn chosen(expr: &Expr, branch: Branch) -> Expr {
    let boxed = |e: &Expr| Box::new(chosen(e, branch));
    match expr {
        Expr::Literal(_) | Expr::Symbol(_) | Expr::Infinity => expr.clone(),
        Expr::Sum(terms) => {
            let sign = |sign: Sign| match (sign, branch) {
                (Sign::PlusMinus, Branch::Upper) | (Sign::MinusPlus, Branch::Lower) => Sign::Plus,
                (Sign::PlusMinus, Branch::Lower) | (Sign::MinusPlus, Branch::Upper) => Sign::Minus,
                (plain, _) => plain,
            };
            Expr::Sum(terms.iter().map(|(s, e)| (sign(*s), chosen(e, branch))).collect())
        }
        Expr::Product(factors) => {
            Expr::Product(factors.iter().map(|(d, e)| (*d, chosen(e, branch))).collect())
        }
        Expr::Power(a, b) => Expr::Power(boxed(a), boxed(b)),
        Expr::Root(a, b) => Expr::Root(boxed(a), b.as_deref().map(boxed)),
        Expr::Call(name, a) => Expr::Call(name, boxed(a)),
        Expr::Log(b, a) => Expr::Log(b.as_deref().map(boxed), boxed(a)),
        Expr::Choose(a, b) => Expr::Choose(boxed(a), boxed(b)),
        Expr::Factorial(a) => Expr::Factorial(boxed(a)),
        Expr::Abs(a) => Expr::Abs(boxed(a)),
        Expr::Degrees(a) => Expr::Degrees(boxed(a)),
    }
}

fn compare(a: &Answer, b: &Answer) -> Option<bool> {
    use Answer::{Equation, List, Matrix, Quantity, Row, Set, Union, Word};
    match (a, b) {
        (Quantity(a), Quantity(b)) => a.same(b),
        (Word(a), Word(b)) => Some(a == b),
        (Equation(l, r), Equation(m, s)) => proportional(l, r, m, s),
        (Equation(l, r), other) | (other, Equation(l, r)) => beside_equation(l, r, other),
        (List(a) | Set(a), List(b) | Set(b)) | (Union(a), Union(b)) => in_any_order(a, b),
        // "1, 2" may stand for (1, 2), in this order.
        (List(a), Row('(', b, ')')) | (Row('(', a, ')'), List(b)) => in_order(a, b),
        (Row(open, a, close), Row(open_2, b, close_2)) => {
            if (open, close) != (open_2, close_2) {
                return Some(false);
            }
            in_order(a, b)
        }
        (Matrix(a), Matrix(b)) => {
            if a.len() != b.len() {
                return Some(false);
            }
            all(a.iter().zip(b).map(|(a, b)| in_order(a, b)))
        }
        (Set(one), other) | (other, Set(one)) => match &one[..] {
            [only] if !matches!(other, Row(..) | Matrix(_)) => compare(only, other),
            _ => Some(false),
        },
        // Words against symbols: somebody's notation, not a value.
        (Word(_), Quantity(_)) | (Quantity(_), Word(_)) => None,
        _ => Some(false),
    }
}

/// Yes if all say yes, no if one says no.
fn all(mut verdicts: impl Iterator<Item = Option<bool>>) -> Option<bool> {
    verdicts
        .try_fold(Some(true), |so_far, one| match one {
            Some(false) => Err(Some(false)),
            Some(true) => Ok(so_far),
            None => Ok(None),
        })
        .unwrap_or_else(|no| no)
}

fn in_order(a: &[Answer], b: &[Answer]) -> Option<bool> {
    if a.len() != b.len() {
        return Some(false);
    }
    all(a.iter().zip(b).map(|(a, b)| compare(a, b)))
}

fn in_any_order(a: &[Answer], b: &[Answer]) -> Option<bool> {
    if a.len() != b.len() {
        return Some(false);
    }
    if a.len() > MOST_ITEMS {
        return in_order(a, b);
    }
    let mut left: Vec<&Answer> = b.iter().collect();
    let mut unsure = false;
    for item in a {
        let verdicts: Vec<Option<bool>> = left.iter().map(|other| compare(item, other)).collect();
        match verdicts.iter().position(|v| *v == Some(true)) {
            Some(at) => {
                left.remove(at);
            }
            None if verdicts.contains(&None) => unsure = true,
            None => return Some(false),
        }
    }
    (!unsure).then_some(true)
}

/// Whether two equations say the same: each difference of sides is a multiple of the other.
fn proportional(l: &Expr, r: &Expr, m: &Expr, s: &Expr) -> Option<bool> {
    let difference = |a: &Expr, b: &Expr, point| -> Option<Number> {
        Some(a.value(point, Branch::Upper)?.plus(-b.value(point, Branch::Upper)?))
    };
    let at = |point| Some((difference(l, r, point)?, difference(m, s, point)?));
    let (first_a, first_b) = at(0)?;
    if first_a.is_zero() || first_b.is_zero() {
        return None;
    }
    for point in 1..POINTS {
        let (a, b) = at(point)?;
        if !a.times(first_b).same(b.times(first_a))? {
            return Some(false);
        }
    }
    Some(true)
}

/// "x = 5" beside "5"; both sides of an equation that is a name and its value.
fn beside_equation(l: &Expr, r: &Expr, other: &Answer) -> Option<bool> {
    let name = |e: &Expr| match e {
        Expr::Symbol(_) => true,
        Expr::Product(factors) => factors.iter().all(|(divides, e)| !divides && matches!(e, Expr::Symbol(_))),
        _ => false,
    };
    let value = if name(l) {
        r
    } else if name(r) {
        l
    } else {
        return None;
    };
    let quantity = Quantity { expr: value.clone(), percent: false, unit: None };
    let value = if quantity.expr.is_twofold() {
        Answer::List(
            [Branch::Upper, Branch::Lower].map(|branch| Answer::Quantity(quantity.on(branch))).into(),
        )
    } else {
        Answer::Quantity(quantity)
    };
    compare(&value, other)
}
