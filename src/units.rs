//! Numbers with a meaning, checked once where they enter.

use serde::{Deserialize, Serialize};
use std::fmt;
use thiserror::Error;

/// A number outside the range that its meaning allows.
#[derive(Debug, Error, Clone, PartialEq)]
#[error("{what} must be {range}, but is {got}")]
pub struct OutOfRange {
    what: &'static str,
    range: &'static str,
    got: f64,
}

macro_rules! unit {
    ($(#[$doc:meta])* $type:ident, $what:literal, $range:literal, |$x:ident| $holds:expr) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, PartialOrd, Serialize, Deserialize)]
        #[serde(try_from = "f64", into = "f64")]
        pub struct $type(f64);

        impl $type {
            /// Checks the range.
            pub fn new($x: f64) -> Result<Self, OutOfRange> {
                if $holds { Ok(Self($x)) } else { Err(OutOfRange { what: $what, range: $range, got: $x }) }
            }

            /// The plain number.
            pub fn get(self) -> f64 {
                self.0
            }
        }

        impl TryFrom<f64> for $type {
            type Error = OutOfRange;
            fn try_from(x: f64) -> Result<Self, OutOfRange> {
                Self::new(x)
            }
        }

        impl From<$type> for f64 {
            fn from(x: $type) -> f64 {
                x.0
            }
        }

        impl std::str::FromStr for $type {
            type Err = String;
            fn from_str(text: &str) -> Result<Self, String> {
                let x: f64 = text.parse().map_err(|_| format!("`{text}` is not a number"))?;
                Self::new(x).map_err(|e| e.to_string())
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($type), self.0)
            }
        }
    };
}

unit!(
    /// The magnitude s of a merge: θ = θ_pre + s·Σ λ_k·δ_k. The paper's grid is [0.5, 2.0] (section 4.1).
    Scale, "the scale s", "a finite number above 0", |x| x.is_finite() && x > 0.0
);
unit!(
    /// The mixing weight λ of the first of two models; the second has 1 − λ (paper, equation 3).
    Lambda, "λ", "between 0 and 1", |x| (0.0..=1.0).contains(&x)
);
unit!(
    /// The shape α of the symmetric Beta(α, α) from which M³ draws λ (paper, section 3.2).
    Alpha, "α", "a finite number above 0", |x| x.is_finite() && x > 0.0
);
unit!(
    /// The share of a delta's elements that a sparsifier keeps.
    Density, "the density", "above 0 and at most 1", |x| x > 0.0 && x <= 1.0
);
unit!(
    /// The share of a delta's elements that a sparsifier drops.
    DropRate, "the drop rate", "at least 0 and below 1", |x| (0.0..1.0).contains(&x)
);

/// A count of tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TokenCount(pub usize);

impl fmt::Display for TokenCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lambda_refuses_what_is_no_proportion() {
        for bad in [-0.001, 1.001, f64::NAN, f64::INFINITY] {
            assert!(Lambda::new(bad).is_err(), "{bad}");
        }
        assert_eq!(Lambda::new(1.5).unwrap_err().to_string(), "λ must be between 0 and 1, but is 1.5");
        assert_eq!(Lambda::new(1.0).unwrap().get(), 1.0);
    }

    #[test]
    fn alpha_and_scale_must_be_positive() {
        for bad in [0.0, -1.0, f64::NAN] {
            assert!(Alpha::new(bad).is_err(), "{bad}");
            assert!(Scale::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn serde_checks_the_range() {
        assert!(serde_json::from_str::<Lambda>("0.25").is_ok());
        assert!(serde_json::from_str::<Lambda>("2").is_err());
    }
}
