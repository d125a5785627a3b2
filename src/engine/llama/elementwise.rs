//! Functions of one row: sums of squares, softmax, the gate of the feed-forward block.
//!
//! Each is plain Rust over 16 lanes with one order of summation, compiled once for each instruction set, so that the bits
//! are the same on all of them.
#![expect(
    unsafe_code,
    reason = "calls code that is compiled for an instruction set, with an `Isa` as proof of it"
)]

use super::simd::LANES;
use crate::isa::{Isa, Kind};

/// Defines `fn name(isa, …)` with the body compiled for every instruction set.
macro_rules! vectorised {
    ($(#[$doc:meta])* fn $name:ident($($arg:ident: $type:ty),*) $(-> $ret:ty)? $body:block) => {
        $(#[$doc])*
        pub(crate) fn $name(isa: Isa, $($arg: $type),*) $(-> $ret)? {
            // Always inlined, so that it is compiled inside its instruction set.
            #[inline(always)]
            fn body($($arg: $type),*) $(-> $ret)? $body
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f")]
            fn avx512($($arg: $type),*) $(-> $ret)? { body($($arg),*) }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            fn avx2($($arg: $type),*) $(-> $ret)? { body($($arg),*) }
            match isa.kind() {
                // SAFETY: an `Isa` of this kind exists only where the CPU has AVX-512F.
                #[cfg(target_arch = "x86_64")]
                Kind::Avx512 => unsafe { avx512($($arg),*) },
                // SAFETY: an `Isa` of this kind exists only where the CPU has AVX2 and FMA.
                #[cfg(target_arch = "x86_64")]
                Kind::Avx2 => unsafe { avx2($($arg),*) },
                Kind::Portable => body($($arg),*),
            }
        }
    };
}

/// Adds 16 partial sums as a balanced tree.
#[inline]
fn tree(mut lanes: [f32; LANES]) -> f32 {
    let mut half = LANES / 2;
    while half > 0 {
        for i in 0..half {
            lanes[i] += lanes[i + half];
        }
        half /= 2;
    }
    lanes[0]
}

/// e^x to about 2 ulp: x = n·ln 2 + r with |r| ≤ ½·ln 2, a polynomial for e^r (Cephes `expf`), times 2ⁿ.
///
/// Below −87 it answers 0, above 88 it answers e^88; NaN stays NaN. Always inlined, so that it is compiled
/// inside its caller's instruction set.
#[expect(clippy::excessive_precision, reason = "the constants are written as their source has them")]
#[inline(always)]
fn exp(x: f32) -> f32 {
    /// 1.5·2²³: adding it rounds to the nearest integer and leaves that integer in the low bits.
    const ROUND: f32 = 12_582_912.0;
    /// ln 2 in two parts; the first has few bits, so that n times it is exact.
    const LN2: [f32; 2] = [0.693_359_375, -2.121_944_4e-4];
    // Comparisons written so that NaN passes through, as `clamp` and `max` would not let it.
    let vanishes = x < -87.0;
    let x = if vanishes { -87.0 } else { x };
    let x = if x > 88.0 { 88.0 } else { x };
    let shifted = x.mul_add(std::f32::consts::LOG2_E, ROUND);
    let n = shifted - ROUND;
    let r = n.mul_add(-LN2[1], n.mul_add(-LN2[0], x));
    let p = 1.987_569_15e-4_f32
        .mul_add(r, 1.398_199_950_7e-3)
        .mul_add(r, 8.333_451_907_3e-3)
        .mul_add(r, 4.166_579_589_4e-2)
        .mul_add(r, 1.666_666_545_9e-1)
        .mul_add(r, 5.000_000_120_1e-1);
    let e = p.mul_add(r * r, r + 1.0);
    // n is in -126 ..= 127 here, so n + 127 is a valid exponent of a normal number.
    let two_to_n = f32::from_bits((shifted.to_bits().wrapping_add(127)) << 23);
    if vanishes { 0.0 } else { e * two_to_n }
}

vectorised! {
    /// RMS norm of one row `[hidden]`: out = x / √(mean(x²) + ε) · weight (Zhang & Sennrich 2019, equation 4, with ε
    /// inside the root as in transformers' `LlamaRMSNorm`).
    fn rms_norm(x: &[f32], weight: &[f32], eps: f32, out: &mut [f32]) {
        let (whole, rest) = x.as_chunks::<LANES>();
        let mut squares = [0.0f32; LANES];
        for chunk in whole {
            for (sum, &x) in squares.iter_mut().zip(chunk) {
                *sum = x.mul_add(x, *sum);
            }
        }
        for (sum, &x) in squares.iter_mut().zip(rest) {
            *sum = x.mul_add(x, *sum);
        }
        let scale = 1.0 / (tree(squares) / x.len() as f32 + eps).sqrt();
        for ((out, &x), &w) in out.iter_mut().zip(x).zip(weight) {
            *out = x * scale * w;
        }
    }
}

vectorised! {
    /// SiLU gate: out = gate · σ(gate) · up. `gate_up` has 16 numbers of each in turn.
    fn silu_times(gate_up: &[f32], out: &mut [f32]) {
        let times = |gate: f32, up: f32| gate / (1.0 + exp(-gate)) * up;
        let (whole, rest) = out.as_chunks_mut::<LANES>();
        let (pairs, count) = (gate_up.as_chunks::<{ 2 * LANES }>().0, whole.len());
        for (out, both) in whole.iter_mut().zip(pairs) {
            for lane in 0..LANES {
                out[lane] = times(both[lane], both[LANES + lane]);
            }
        }
        for (lane, out) in rest.iter_mut().enumerate() {
            *out = times(pairs[count][lane], pairs[count][LANES + lane]);
        }
    }
}

vectorised! {
    /// The numerators of a softmax over `scale · scores`, in place: e^(scale·score − max). Returns their sum, by which
    /// the caller divides. `scores` must not be empty.
    fn softmax_numerators(scores: &mut [f32], scale: f32) -> f32 {
        let (whole, rest) = scores.as_chunks_mut::<LANES>();
        // The rest in lanes of its own, those behind it being e^-∞: whole vectors are much faster than single numbers.
        let mut last = [f32::NEG_INFINITY; LANES];
        last[..rest.len()].copy_from_slice(rest);
        let mut tops = last;
        for chunk in &*whole {
            for (top, &s) in tops.iter_mut().zip(chunk) {
                *top = if s > *top { s } else { *top };
            }
        }
        let top = tops.iter().fold(f32::NEG_INFINITY, |a, &b| if b > a { b } else { a }) * scale;
        let mut sums = [0.0f32; LANES];
        let mut numerators = |chunk: &mut [f32; LANES]| {
            for (sum, s) in sums.iter_mut().zip(chunk) {
                *s = exp(s.mul_add(scale, -top));
                *sum += *s;
            }
        };
        whole.iter_mut().for_each(&mut numerators);
        if !rest.is_empty() {
            numerators(&mut last);
            rest.copy_from_slice(&last[..rest.len()]);
        }
        tree(sums)
    }
}

vectorised! {
    /// ln Σ e^logit over `[vocab]`, summed in f64; NaN if a logit is NaN or none is finite.
    fn log_sum_exp(logits: &[f32]) -> f64 {
        let mut tops = [f32::NEG_INFINITY; LANES];
        let (whole, rest) = logits.as_chunks::<LANES>();
        for chunk in whole {
            for (top, &l) in tops.iter_mut().zip(chunk) {
                *top = if l > *top { l } else { *top };
            }
        }
        for (top, &l) in tops.iter_mut().zip(rest) {
            *top = if l > *top { l } else { *top };
        }
        let top = tops.iter().fold(f32::NEG_INFINITY, |a, &b| if b > a { b } else { a });
        let mut sums = [0.0f64; LANES];
        for chunk in whole {
            for (sum, &l) in sums.iter_mut().zip(chunk) {
                *sum += f64::from(exp(l - top));
            }
        }
        for (sum, &l) in sums.iter_mut().zip(rest) {
            *sum += f64::from(exp(l - top));
        }
        f64::from(top) + sums.iter().sum::<f64>().ln()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::fixture::numbers;

    /// Relative error allowed for `exp`: 4 ulp, twice what was observed.
    const EXP_TOLERANCE: f64 = 4.0 * f32::EPSILON as f64;
    /// Relative error allowed for sums of some hundred terms in 16 lanes.
    const SUM_TOLERANCE: f64 = 1e-6;

    #[test]
    fn exp_is_near_the_exact_one_and_keeps_nan() {
        for i in -87_000..=88_000 {
            let x = i as f32 / 1000.0;
            let (got, exact) = (f64::from(exp(x)), f64::from(x).exp());
            assert!(((got - exact) / exact).abs() <= EXP_TOLERANCE, "exp({x}) = {got}, not {exact}");
        }
        assert!(exp(f32::NAN).is_nan());
        assert!(
            exp(f32::NEG_INFINITY) == 0.0
                && exp(-87.5) == 0.0
                && exp(0.0) == 1.0
                && exp(f32::INFINITY).is_finite()
        );
    }

    #[test]
    fn rms_norm_is_its_formula() {
        for len in [1, 16, 50, 192] {
            let (x, w) = (numbers(1, len), numbers(2, len));
            let mean = x.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>() / len as f64;
            let mut first = Vec::new();
            for isa in Isa::available() {
                let mut out = vec![0.0; len];
                rms_norm(isa, &x, &w, 1e-5, &mut out);
                for i in 0..len {
                    let exact = f64::from(x[i]) / (mean + 1e-5).sqrt() * f64::from(w[i]);
                    assert!((f64::from(out[i]) - exact).abs() <= SUM_TOLERANCE * exact.abs(), "{len}");
                }
                if first.is_empty() {
                    first.clone_from(&out);
                }
                assert!(out == first, "{isa:?} has other bits at {len}");
            }
        }
    }

    #[test]
    fn softmax_is_its_formula_and_nan_spreads() {
        for len in [1, 3, 16, 100] {
            let scores = numbers(3, len);
            let sum: f64 = scores.iter().map(|&s| (f64::from(s) * 3.0).exp()).sum();
            let mut first = Vec::new();
            for isa in Isa::available() {
                let mut out = scores.clone();
                let total = softmax_numerators(isa, &mut out, 3.0);
                for (&got, &s) in out.iter().zip(&scores) {
                    let exact = (f64::from(s) * 3.0).exp() / sum;
                    assert!((f64::from(got / total) - exact).abs() <= SUM_TOLERANCE, "{got} {exact}");
                }
                if first.is_empty() {
                    first.clone_from(&out);
                }
                assert!(out == first, "{isa:?} has other bits at {len}");
            }
        }
        let mut broken = [1.0, f32::NAN, 2.0];
        assert!(softmax_numerators(Isa::detect(), &mut broken, 1.0).is_nan());
    }

    #[test]
    fn log_sum_exp_is_its_formula_and_nan_spreads() {
        for len in [1, 16, 37, 1000] {
            let logits: Vec<f32> = numbers(6, len).into_iter().map(|l| l * 30.0).collect();
            let exact = logits.iter().map(|&l| f64::from(l).exp()).sum::<f64>().ln();
            let first = log_sum_exp(Isa::portable(), &logits);
            assert!((first - exact).abs() <= SUM_TOLERANCE, "{first} for {exact}");
            assert!(Isa::available().into_iter().all(|isa| log_sum_exp(isa, &logits) == first));
        }
        for broken in [[1.0, f32::NAN], [f32::NEG_INFINITY; 2], [f32::INFINITY, 1.0]] {
            assert!(log_sum_exp(Isa::detect(), &broken).is_nan());
        }
        assert_eq!(log_sum_exp(Isa::detect(), &[0.0, f32::NEG_INFINITY]), 0.0);
    }

    #[test]
    fn the_gate_is_silu_times_up() {
        let (gate, up) = (numbers(4, 48), numbers(5, 48));
        let turns = gate.chunks(LANES).zip(up.chunks(LANES));
        let gate_up: Vec<f32> = turns.flat_map(|(gate, up)| [gate, up].concat()).collect();
        let mut out = vec![0.0; 40];
        for isa in Isa::available() {
            silu_times(isa, &gate_up, &mut out);
            for i in 0..40 {
                let g = f64::from(gate[i]);
                let exact = g / (1.0 + (-g).exp()) * f64::from(up[i]);
                assert!((f64::from(out[i]) - exact).abs() <= SUM_TOLERANCE, "{isa:?}");
            }
        }
    }
}
