//! When two answers are the same.

use super::answer::{Answer, LONGEST, Quantity, readings};
use super::expression::{Branch, Expr, POINTS, Sign};
use super::lexer::Literal;
use super::number::Number;

/// Most items of a list that are matched in any order.
const MOST_ITEMS: usize = 64;

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

impl Quantity {
    /// One of the two that ± stands for.
    pub(super) fn on(&self, branch: Branch) -> Self {
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
    Expr::Literal(Literal { whole: "100".to_owned(), ..Literal::default() })
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

/// Whether two answers are the same by value; `None` where it cannot be told.
pub(super) fn compare(a: &Answer, b: &Answer) -> Option<bool> {
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
