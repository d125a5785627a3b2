//! Numbers as far as comparing needs them: rational ones exactly, whatever their length, and all others in floating
//! point with the magnitude of what they were made from.
//!
//! An exact number is kept as its residues modulo two primes of 61 and 62 bits. Sums, products, quotients and powers of
//! residues are exact and cost the same for five digits as for five million; two different rational numbers have equal
//! residues in about one case out of 2^122.

use std::ops::Neg;

/// 2^61 − 1, and the largest prime below 2^62.
const PRIMES: [u64; 2] = [(1 << 61) - 1, (1 << 62) - 57];

/// Two floating-point numbers are the same within this share of the largest magnitude that went into them.
const TOLERANCE: f64 = 1e-11;

/// The longest product that a factorial or a binomial coefficient may be.
const LONGEST_PRODUCT: f64 = 5000.0;

/// A complex number, exact where it is rational and was made by rational steps.
#[derive(Clone, Copy, Debug)]
pub(super) struct Number {
    re: f64,
    im: f64,
    /// What rounding may have been relative to: at least the absolute value.
    scale: f64,
    exact: Option<[u64; 2]>,
}

impl Number {
    pub(super) const ZERO: Self = Self::whole(0);
    pub(super) const ONE: Self = Self::whole(1);
    pub(super) const I: Self = Self { re: 0.0, im: 1.0, scale: 1.0, exact: None };
    pub(super) const INFINITY: Self = Self { re: f64::INFINITY, im: 0.0, scale: f64::INFINITY, exact: None };

    pub(super) const fn whole(n: u32) -> Self {
        Self { re: n as f64, im: 0.0, scale: n as f64, exact: Some([n as u64; 2]) }
    }

    pub(super) fn real(re: f64) -> Self {
        Self::complex(re, 0.0)
    }

    fn complex(re: f64, im: f64) -> Self {
        Self { re, im, scale: re.hypot(im), exact: None }
    }

    fn within(self, scale: f64) -> Self {
        Self { scale: self.scale.max(scale), ..self }
    }

    /// The number that digits in a base of 2 to 36 are; `None` if one is none of its digits.
    pub(super) fn digits(digits: &str, base: u32) -> Option<Self> {
        let (mut re, mut exact) = (0.0, [0; 2]);
        for c in digits.chars() {
            let digit = c.to_digit(base)?;
            re = re * f64::from(base) + f64::from(digit);
            exact =
                residues(|at| (wide(exact[at]) * u128::from(base) + u128::from(digit)) % wide(PRIMES[at]));
        }
        Some(Self { re, im: 0.0, scale: re, exact: Some(exact) })
    }

    /// The value of a decimal literal: ASCII digits before and behind the point, and those that repeat for ever.
    pub(super) fn decimal(whole: &str, fraction: &str, repeating: &str) -> Option<Self> {
        let ten = |n: usize| Self::whole(10).power(Self::digits(&n.to_string(), 10)?);
        let plain = Self::digits(&format!("{whole}{fraction}"), 10)?.over(ten(fraction.len())?)?;
        // Of short literals, the nearest floating-point number.
        let re = format!("0{whole}.{fraction}{repeating}").parse().ok()?;
        let plain = Self { re, scale: re, ..plain };
        if repeating.is_empty() {
            return Some(plain);
        }
        let period = ten(repeating.len())?.plus(-Self::ONE);
        let tail = Self::digits(repeating, 10)?.over(period)?.over(ten(fraction.len())?)?;
        let sum = Self::digits(&format!("{whole}{fraction}"), 10)?.over(ten(fraction.len())?)?.plus(tail);
        Some(sum)
    }

    pub(super) fn plus(self, other: Self) -> Self {
        let exact = self.both(other, |a, b, p| (wide(a) + wide(b)) % p);
        let (re, im) = (self.re + other.re, self.im + other.im);
        Self { re, im, scale: self.scale.max(other.scale), exact }
    }

    pub(super) fn times(self, other: Self) -> Self {
        let exact = self.both(other, |a, b, p| wide(a) * wide(b) % p);
        let re = self.re * other.re - self.im * other.im;
        let im = self.re * other.im + self.im * other.re;
        Self { re, im, scale: self.scale * other.scale, exact }
    }

    /// `None` where the divisor is zero.
    pub(super) fn over(self, other: Self) -> Option<Self> {
        if other.is_zero() {
            return None;
        }
        let exact = self.both(other, |a, b, p| wide(a) * power_of(wide(b), p - 2, p) % p);
        let square = other.re * other.re + other.im * other.im;
        let (re, im) = if other.im == 0.0 {
            (self.re / other.re, self.im / other.re)
        } else {
            (
                (self.re * other.re + self.im * other.im) / square,
                (self.im * other.re - self.re * other.im) / square,
            )
        };
        let size = other.size();
        Some(Self { re, im, scale: (self.scale / size) * (other.scale / size), exact })
    }

    /// `None` where it is not defined, or is too large to say.
    pub(super) fn power(self, exponent: Self) -> Option<Self> {
        if let Some(n) = exponent.as_whole() {
            if self.is_zero() && n <= 0 {
                return (n == 0).then_some(Self::ONE);
            }
            let exact = self.exact.map(|base| {
                residues(|at| {
                    let p = wide(PRIMES[at]);
                    let to = power_of(wide(base[at]), n.unsigned_abs().into(), p);
                    if n < 0 { power_of(to, p - 2, p) } else { to }
                })
            });
            let value = if self.im == 0.0 {
                Self::real(self.re.powf(n as f64))
            } else {
                self.polar_power(Self::real(n as f64))?
            };
            let scale = value.scale * (1.0 + n.unsigned_abs() as f64);
            return Some(Self { exact, ..value.within(scale) });
        }
        if self.is_zero() {
            return (exponent.im == 0.0 && exponent.re > 0.0).then_some(Self::ZERO);
        }
        self.polar_power(exponent)
    }

    /// The principal value of a power.
    fn polar_power(self, exponent: Self) -> Option<Self> {
        exponent.times(self.ln()?).exp()
    }

    pub(super) fn exp(self) -> Option<Self> {
        let size = self.re.exp();
        let value = Self::complex(size * self.im.cos(), size * self.im.sin());
        value.is_finite().then(|| value.within(value.scale * (1.0 + self.scale)))
    }

    /// The principal value; `None` of zero.
    pub(super) fn ln(self) -> Option<Self> {
        let size = self.size();
        (size > 0.0 && size.is_finite()).then(|| Self::complex(size.ln(), self.im.atan2(self.re)).within(1.0))
    }

    /// The principal square root.
    pub(super) fn sqrt(self) -> Option<Self> {
        if self.im == 0.0 {
            let root = self.re.abs().sqrt();
            return Some(if self.re < 0.0 { Self::complex(0.0, root) } else { Self::real(root) });
        }
        self.polar_power(Self::real(0.5))
    }

    /// The `degree`-th root: the real one of a negative number where the degree is odd.
    pub(super) fn root(self, degree: Self) -> Option<Self> {
        let odd = degree.as_whole().is_some_and(|n| n % 2 != 0);
        let inverse = Self::ONE.over(degree)?;
        if odd && self.im == 0.0 && self.re < 0.0 {
            return Some(-(-self).power(inverse)?);
        }
        self.power(inverse)
    }

    /// A function of a real number; `None` of others, and where it is not defined.
    pub(super) fn map(self, f: impl Fn(f64) -> f64) -> Option<Self> {
        let value = Self::real(f(self.re));
        (self.im == 0.0 && value.is_finite()).then(|| value.within(self.scale.min(1e3)))
    }

    pub(super) fn abs(self) -> Self {
        if self.im == 0.0 && self.re >= 0.0 {
            self
        } else if self.im == 0.0 {
            -self
        } else {
            Self::real(self.size()).within(self.scale)
        }
    }

    /// The largest whole number below, or the smallest above; `None` where rounding may have moved it.
    pub(super) fn rounded(self, up: bool) -> Option<Self> {
        let near = self.re.round();
        let unsure = self.exact.is_none() && (self.re - near).abs() < 1e-6;
        if self.im != 0.0 || unsure || self.re.abs() > 1e15 {
            return None;
        }
        Self::signed(if up { self.re.ceil() } else { self.re.floor() })
    }

    pub(super) fn factorial(self) -> Option<Self> {
        let n = self.as_whole().filter(|n| (0..=LONGEST_PRODUCT as i64).contains(n))?;
        (2..=n).try_fold(Self::ONE, |product, k| Some(product.times(Self::signed(k as f64)?)))
    }

    /// n over k.
    pub(super) fn choose(self, k: Self) -> Option<Self> {
        let (n, k) = (self.as_whole()?, k.as_whole()?);
        if n < 0 || k < 0 {
            return None;
        }
        if k > n {
            return Some(Self::ZERO);
        }
        let k = k.min(n - k);
        if k as f64 > LONGEST_PRODUCT {
            return None;
        }
        (1..=k).try_fold(Self::ONE, |product, at| {
            product.times(Self::signed((n - k + at) as f64)?).over(Self::signed(at as f64)?)
        })
    }

    /// A whole number below 2^53.
    fn signed(n: f64) -> Option<Self> {
        let size = Self::digits(&format!("{:.0}", n.abs()), 10)?;
        Some(if n < 0.0 { -size } else { size })
    }

    /// The number, if it is exact, whole, and below 2^53.
    pub(super) fn as_whole(self) -> Option<i64> {
        let exact = self.exact?;
        if self.re.fract() != 0.0 || self.re.abs() >= 9e15 {
            return None;
        }
        let same = Self::signed(self.re)?;
        (same.exact? == exact).then_some(self.re as i64)
    }

    pub(super) fn is_zero(self) -> bool {
        match self.exact {
            Some(exact) => exact == [0; 2],
            None => self.size() <= TOLERANCE * self.scale,
        }
    }

    fn is_finite(self) -> bool {
        self.re.is_finite() && self.im.is_finite()
    }

    fn size(self) -> f64 {
        self.re.hypot(self.im)
    }

    fn both(self, other: Self, of: impl Fn(u64, u64, u128) -> u128) -> Option<[u64; 2]> {
        let (a, b) = (self.exact?, other.exact?);
        Some(residues(|at| of(a[at], b[at], wide(PRIMES[at]))))
    }

    /// Whether two numbers are the same; `None` where rounding hides it.
    pub(super) fn same(self, other: Self) -> Option<bool> {
        if let (Some(a), Some(b)) = (self.exact, other.exact) {
            return Some(a == b);
        }
        if !self.is_finite() || !other.is_finite() {
            let plain = !self.re.is_nan() && !other.re.is_nan() && self.im == 0.0 && other.im == 0.0;
            return plain.then_some(self.re == other.re);
        }
        let (scale, size) = (self.scale.max(other.scale), self.size().max(other.size()));
        let apart = (self.re - other.re).hypot(self.im - other.im);
        if apart <= TOLERANCE * scale {
            // What is far below its parts has lost its digits.
            return (size > 1e-6 * scale || size <= TOLERANCE * scale).then_some(true);
        }
        Some(false)
    }

    /// Whether two numbers are at most so far apart.
    pub(super) fn near(self, other: Self, distance: f64) -> bool {
        (self.re - other.re).hypot(self.im - other.im) <= distance
    }
}

impl Neg for Number {
    type Output = Self;

    fn neg(self) -> Self {
        let exact = self.exact.map(|exact| residues(|at| wide((PRIMES[at] - exact[at]) % PRIMES[at])));
        Self { re: -self.re, im: -self.im, exact, ..self }
    }
}

fn wide(n: u64) -> u128 {
    n.into()
}

fn residues(of: impl Fn(usize) -> u128) -> [u64; 2] {
    [of(0) as u64, of(1) as u64]
}

/// Below 2^62 each, so that a product stays below 2^124.
fn power_of(base: u128, mut exponent: u128, p: u128) -> u128 {
    let (mut base, mut product) = (base % p, 1);
    while exponent > 0 {
        if exponent & 1 == 1 {
            product = product * base % p;
        }
        base = base * base % p;
        exponent >>= 1;
    }
    product
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str) -> Number {
        Number::digits(text, 10).unwrap()
    }

    #[test]
    fn long_numbers_are_told_apart_by_their_last_digit() {
        let long = "7".repeat(100_000);
        let (a, b) = (number(&(long.clone() + "1")), number(&(long + "2")));
        assert_eq!((a.same(b), a.plus(Number::ONE).same(b)), (Some(false), Some(true)));
    }

    #[test]
    fn rational_steps_stay_exact() {
        let third = Number::ONE.over(number("3")).unwrap();
        assert_eq!(third.plus(third).plus(third).same(Number::ONE), Some(true));
        assert_eq!(Number::decimal("0", "", "3").unwrap().same(third), Some(true));
        assert_eq!(
            Number::decimal("0", "1", "6").unwrap().same(Number::ONE.over(number("6")).unwrap()),
            Some(true)
        );
        assert_eq!(Number::decimal("0", "333333333333333333333333", "").unwrap().same(third), Some(false));
        let power = number("2").power(number("1000")).unwrap();
        assert_eq!(power.over(number("2").power(number("999")).unwrap()).unwrap().as_whole(), Some(2));
        assert!(Number::ONE.over(third.plus(-third)).is_none());
        assert_eq!(number("52").choose(number("5")).unwrap().as_whole(), Some(2_598_960));
    }

    #[test]
    fn roots_are_compared_within_what_rounding_can_do() {
        let root = |n: &str| number(n).sqrt().unwrap();
        assert_eq!(root("12").same(root("3").times(number("2"))), Some(true));
        assert_eq!(root("3").same(Number::real(1.732_05)), Some(false));
        assert_eq!(root("2").plus(-root("2")).same(Number::ZERO), Some(true));
        assert_eq!((-number("8")).root(number("3")).unwrap().same(-number("2")), Some(true));
    }

    #[test]
    fn the_primes_are_prime() {
        for p in PRIMES {
            // Fermat to several bases.
            for base in [2, 3, 5, 7, 11, 13, 17] {
                assert_eq!(power_of(base, u128::from(p) - 1, u128::from(p)), 1, "{p}");
            }
        }
    }
}
