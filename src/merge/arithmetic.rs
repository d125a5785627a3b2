//! The number types that a merge is computed in.
//!
//! The formulas are written once, over [`Real`]. In f64 a merge is the exact value of its formula, rounded once to the
//! element type of the result; the narrower types round after each operation, as the reference programs do when they
//! merge in that type, so that their results can be compared bit for bit.

use super::totals::{Cascade, Plain, PlainSquares, Squares, Total};
use crate::dtype::{DType, round_bf16, round_f16};
use half::{bf16, f16};
use std::ops::{Add, Div, Mul, Sub};

/// A number that merges are computed with. Operations round to nearest even in the type's own precision.
pub(super) trait Real:
    Copy
    + PartialOrd
    + Send
    + Sync
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
{
    /// What sums are accumulated in: f32 for the 16-bit types (as torch sums them), else the type itself.
    type Sum: Real;
    /// What the probabilities of random masks are: the type itself, but f32 for binary16 (as torch draws them).
    type Chance: Real;
    /// How many numbers are added up: Σ x.
    type Total: Total<Self>;
    /// How many squares are added up: Σ x².
    type Squares: Total<Self>;

    /// Zero.
    const ZERO: Self;

    /// Rounds to the type.
    fn from_f64(x: f64) -> Self;
    /// Rounds to the type.
    fn from_f32(x: f32) -> Self;
    /// Rounds to f32; exact for every type but f64.
    fn to_f32(self) -> f32;
    /// Exact.
    fn to_f64(self) -> f64;
    /// a − b, rounded to f32 in the end.
    #[inline(always)]
    fn difference(a: f32, b: f32) -> f32 {
        (Self::from_f32(a) - Self::from_f32(b)).to_f32()
    }
    /// Exact.
    fn widen(self) -> Self::Sum;
    /// Rounds.
    fn narrow(sum: Self::Sum) -> Self;
    /// Times a plain number that a 16-bit type does not round first, as torch multiplies a tensor by a Python number.
    fn times(self, factor: f64) -> Self;
    /// `sum + self·weight`, rounded once in f32 (a fused multiply-add, as torch accumulates).
    fn fused(self, weight: f64, sum: Self::Sum) -> Self::Sum;
}

macro_rules! native {
    ($type:ty, $total:ty, $squares:ty, $fused:expr) => {
        impl Real for $type {
            type Sum = $type;
            type Chance = $type;
            type Total = $total;
            type Squares = $squares;
            const ZERO: Self = 0.0;
            #[inline(always)]
            fn from_f64(x: f64) -> Self {
                x as $type
            }
            #[inline(always)]
            fn from_f32(x: f32) -> Self {
                Self::from(x)
            }
            #[inline(always)]
            fn to_f32(self) -> f32 {
                self as f32
            }
            #[inline(always)]
            fn to_f64(self) -> f64 {
                f64::from(self)
            }
            #[inline(always)]
            fn difference(a: f32, b: f32) -> f32 {
                // In f64 it would be rounded twice, to the same: 53 bits are more than twice 24.
                a - b
            }
            #[inline(always)]
            fn widen(self) -> Self {
                self
            }
            #[inline(always)]
            fn narrow(sum: Self) -> Self {
                sum
            }
            #[inline(always)]
            fn times(self, factor: f64) -> Self {
                self * factor as $type
            }
            #[inline(always)]
            fn fused(self, weight: f64, sum: Self) -> Self {
                $fused(self, weight, sum)
            }
        }
    };
}

native!(f32, Cascade, Squares, |a: f32, b: f64, c: f32| a.mul_add(b as f32, c));
native!(f64, Plain, PlainSquares, |a: f64, b: f64, c: f64| a * b + c);

macro_rules! rounded {
    ($(#[$doc:meta])* $name:ident, $half:ty, $round:ident, $chance:ty) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, PartialOrd)]
        pub(super) struct $name(f32);

        impl $name {
            #[inline(always)]
            fn round(x: f32) -> Self {
                Self($round(x))
            }
        }

        rounded!(@op $name, Add, add);
        rounded!(@op $name, Sub, sub);
        rounded!(@op $name, Mul, mul);
        rounded!(@op $name, Div, div);

        impl Real for $name {
            type Sum = f32;
            type Chance = $chance;
            type Total = Plain;
            type Squares = PlainSquares;
            const ZERO: Self = Self(0.0);
            #[inline(always)]
            fn from_f64(x: f64) -> Self {
                Self(<$half>::from_f64(x).to_f32())
            }
            #[inline(always)]
            fn from_f32(x: f32) -> Self {
                Self::round(x)
            }
            #[inline(always)]
            fn to_f32(self) -> f32 {
                self.0
            }
            #[inline(always)]
            fn to_f64(self) -> f64 {
                f64::from(self.0)
            }
            #[inline(always)]
            fn widen(self) -> f32 {
                self.0
            }
            #[inline(always)]
            fn narrow(sum: f32) -> Self {
                Self::round(sum)
            }
            #[inline(always)]
            fn times(self, factor: f64) -> Self {
                Self::round(self.0 * factor as f32)
            }
            #[inline(always)]
            fn fused(self, weight: f64, sum: f32) -> f32 {
                self.0.mul_add(weight as f32, sum)
            }
        }
    };
    (@op $name:ident, $trait:ident, $method:ident) => {
        impl $trait for $name {
            type Output = Self;
            #[inline(always)]
            fn $method(self, other: Self) -> Self {
                Self::round(self.0.$method(other.0))
            }
        }
    };
}

rounded!(
    /// bf16, held in f32.
    Brain, bf16, round_bf16, Brain
);
rounded!(
    /// IEEE binary16, held in f32.
    Half, f16, round_f16, f32
);

/// Which number type a merge is computed in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Arithmetic {
    /// f64: the exact value, rounded once.
    #[default]
    Exact,
    /// This type, rounding after each operation.
    In(DType),
}

/// Calls a function that is generic over [`Real`] with the type that an [`Arithmetic`] names.
macro_rules! with_real {
    ($arithmetic:expr, $function:ident ( $($argument:expr),* $(,)? )) => {
        match $arithmetic {
            $crate::merge::arithmetic::Arithmetic::Exact => $function::<f64>($($argument),*),
            $crate::merge::arithmetic::Arithmetic::In($crate::dtype::DType::F32) => $function::<f32>($($argument),*),
            $crate::merge::arithmetic::Arithmetic::In($crate::dtype::DType::Bf16) => {
                $function::<$crate::merge::arithmetic::Brain>($($argument),*)
            }
            $crate::merge::arithmetic::Arithmetic::In($crate::dtype::DType::F16) => {
                $function::<$crate::merge::arithmetic::Half>($($argument),*)
            }
        }
    };
}
pub(super) use with_real;
