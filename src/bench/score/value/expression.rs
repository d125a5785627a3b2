//! Expressions, worked out.
//!
//! Two expressions are the same if they have the same value wherever they are looked at: without variables that is their
//! value, with variables it is that at several rational points (Schwartz 1980: a polynomial that is not zero is hardly
//! ever zero at a random point).

use super::lexer::Literal;
use super::number::Number;

/// Where expressions with variables are looked at.
pub(super) const POINTS: usize = 5;

/// An expression.
#[derive(Clone, Debug)]
pub(super) enum Expr {
    Literal(Literal),
    Symbol(String),
    Infinity,
    Sum(Vec<(Sign, Expr)>),
    /// Factors; those with `true` divide.
    Product(Vec<(bool, Expr)>),
    Power(Box<Expr>, Box<Expr>),
    Root(Box<Expr>, Option<Box<Expr>>),
    Call(&'static str, Box<Expr>),
    Log(Option<Box<Expr>>, Box<Expr>),
    Choose(Box<Expr>, Box<Expr>),
    Factorial(Box<Expr>),
    Abs(Box<Expr>),
    /// An angle in degrees within a trigonometric function.
    Degrees(Box<Expr>),
}

/// What stands before a term.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sign {
    Plus,
    Minus,
    PlusMinus,
    MinusPlus,
}

/// Which of the two signs of ± is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Branch {
    Upper,
    Lower,
}

impl Expr {
    fn any(&self, is: &impl Fn(&Self) -> bool) -> bool {
        is(self)
            || match self {
                Self::Literal(_) | Self::Symbol(_) | Self::Infinity => false,
                Self::Sum(terms) => terms.iter().any(|(_, e)| e.any(is)),
                Self::Product(factors) => factors.iter().any(|(_, e)| e.any(is)),
                Self::Power(a, b) | Self::Choose(a, b) => a.any(is) || b.any(is),
                Self::Root(a, b) | Self::Log(b, a) => a.any(is) || b.as_ref().is_some_and(|b| b.any(is)),
                Self::Call(_, a) | Self::Factorial(a) | Self::Abs(a) | Self::Degrees(a) => a.any(is),
            }
    }

    /// Whether it has a variable.
    pub(super) fn varies(&self) -> bool {
        self.any(&|e| matches!(e, Self::Symbol(name) if constant(name).is_none()))
    }

    /// Whether it is two expressions in one.
    pub(super) fn is_twofold(&self) -> bool {
        self.any(&|e| matches!(e, Self::Sum(terms) if terms.iter().any(|(s, _)| matches!(s, Sign::PlusMinus | Sign::MinusPlus))))
    }

    /// The value at a point; `None` where it is not defined or not known.
    pub(super) fn value(&self, point: usize, branch: Branch) -> Option<Number> {
        let of = |e: &Self| e.value(point, branch);
        match self {
            Self::Literal(literal) => literal.value(),
            Self::Symbol(name) => Some(constant(name).unwrap_or_else(|| sample(name, point))),
            Self::Infinity => Some(Number::INFINITY),
            Self::Sum(terms) => {
                let mut sum: Option<Number> = None;
                for (sign, term) in terms {
                    let negative = match (sign, branch) {
                        (Sign::Plus, _)
                        | (Sign::PlusMinus, Branch::Upper)
                        | (Sign::MinusPlus, Branch::Lower) => false,
                        (Sign::Minus | Sign::MinusPlus | Sign::PlusMinus, _) => true,
                    };
                    let value = of(term)?;
                    let value = if negative { -value } else { value };
                    sum = Some(sum.map_or(value, |sum| sum.plus(value)));
                }
                sum
            }
            Self::Product(factors) => factors.iter().try_fold(Number::ONE, |product, (divides, factor)| {
                let factor = of(factor)?;
                if *divides { product.over(factor) } else { Some(product.times(factor)) }
            }),
            Self::Power(base, exponent) => of(base)?.power(of(exponent)?),
            Self::Root(inner, None) => of(inner)?.sqrt(),
            Self::Root(inner, Some(degree)) => of(inner)?.root(of(degree)?),
            Self::Log(None, inner) => of(inner)?.ln()?.over(Number::whole(10).ln()?),
            Self::Log(Some(base), inner) => of(inner)?.ln()?.over(of(base)?.ln()?),
            Self::Choose(n, k) => of(n)?.choose(of(k)?),
            Self::Factorial(inner) => of(inner)?.factorial(),
            Self::Abs(inner) => Some(of(inner)?.abs()),
            Self::Degrees(inner) => Some(of(inner)?.times(Number::real(std::f64::consts::PI / 180.0))),
            Self::Call(name, inner) => call(name, of(inner)?),
        }
    }

    /// Whether two expressions are the same; `None` where that cannot be told.
    pub(super) fn same(&self, other: &Self) -> Option<bool> {
        let points = if self.varies() || other.varies() { POINTS } else { 1 };
        let mut seen = 0;
        for point in 0..points {
            let (Some(a), Some(b)) = (self.value(point, Branch::Upper), other.value(point, Branch::Upper))
            else {
                continue;
            };
            match a.same(b) {
                Some(true) => seen += 1,
                Some(false) if points == 1 => {
                    return Some(self.is_rounding_of(other, b) || other.is_rounding_of(self, a));
                }
                Some(false) => return Some(false),
                None => {}
            }
        }
        (seen * 2 > points).then_some(true)
    }

    /// Whether it is `value` rounded or cut to six decimals or more, where `value` is not written as a decimal itself.
    fn is_rounding_of(&self, other: &Self, value: Number) -> bool {
        let places = |e: &Self| match e {
            Self::Literal(literal) if literal.repeating.is_empty() && literal.base.is_none() => {
                Some(literal.fraction.len())
            }
            _ => None,
        };
        let (inner, negative) = match self {
            Self::Sum(terms) => match &terms[..] {
                [(Sign::Minus, inner)] => (inner, true),
                _ => return false,
            },
            inner => (inner, false),
        };
        let other_inner = match other {
            Self::Sum(terms) if terms.len() == 1 => &terms[0].1,
            inner => inner,
        };
        match (places(inner), places(other_inner), inner.value(0, Branch::Upper)) {
            (Some(places @ 6..), None, Some(rounded)) => {
                let rounded = if negative { -rounded } else { rounded };
                // A double has some sixteen digits.
                let unit = 10f64.powi(-(places.min(300) as i32));
                value.near(rounded, unit) || value.near(rounded, 1e-15)
            }
            _ => false,
        }
    }
}

/// π, e and i.
fn constant(name: &str) -> Option<Number> {
    match name {
        "pi" => Some(Number::real(std::f64::consts::PI)),
        "e" => Some(Number::real(std::f64::consts::E)),
        "i" => Some(Number::I),
        _ => None,
    }
}

/// The value of a variable at a point: a rational number between 1 and 8 that follows from its name; the last point has
/// negative ones.
fn sample(name: &str, point: usize) -> Number {
    // FNV-1a: any fixed function would do.
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in name.bytes().chain([point as u8]) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
    }
    let value =
        Number::whole(1009 + ((hash >> 20) % 7001) as u32).over(Number::whole(997)).unwrap_or(Number::ONE);
    if point + 1 == POINTS { -value } else { value }
}

fn call(name: &str, x: Number) -> Option<Number> {
    let inverse = |f: fn(f64) -> f64| Number::ONE.over(x.map(f)?);
    match name {
        "exp" => x.exp(),
        "ln" => x.ln(),
        "sin" => x.map(f64::sin),
        "cos" => x.map(f64::cos),
        "tan" => x.map(f64::tan),
        "cot" => inverse(f64::tan),
        "sec" => inverse(f64::cos),
        "csc" => inverse(f64::sin),
        "arcsin" => x.map(f64::asin),
        "arccos" => x.map(f64::acos),
        "arctan" => x.map(f64::atan),
        "sinh" => x.map(f64::sinh),
        "cosh" => x.map(f64::cosh),
        "tanh" => x.map(f64::tanh),
        "lfloor" => x.rounded(false),
        "lceil" => x.rounded(true),
        _ => None,
    }
}
