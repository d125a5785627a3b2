//! The kernels compiled once more for wider vectors, chosen when they run. The operations and their order are the same, and
//! nothing is fused, so the bits are the same as well.
#![expect(
    unsafe_code,
    reason = "a function compiled for AVX-512 or AVX2 may be called only where the processor has it"
)]

use super::{Facts, blend_blocks, delta_of};
use crate::merge::arithmetic::Real;
use crate::merge::sparsify::Keep;
use crate::random::Draws;
use std::sync::Arc;

macro_rules! widened {
    ($(#[$doc:meta])* $name:ident, $wide:ident, $inner:ident, ($($argument:ident: $type:ty),*)) => {
        $(#[$doc])*
        pub(in crate::merge) fn $name<F: Real>($($argument: $type),*) {
            #[cfg(target_arch = "x86_64")]
            {
                if is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("avx512vl")
                {
                    // SAFETY: the processor has these four, as was just asked.
                    return unsafe { $wide::avx512::<F>($($argument),*) };
                }
                if is_x86_feature_detected!("avx2") {
                    // SAFETY: the processor has AVX2, as was just asked.
                    return unsafe { $wide::avx2::<F>($($argument),*) };
                }
            }
            $inner::<F>($($argument),*);
        }

        #[cfg(target_arch = "x86_64")]
        mod $wide {
            use super::*;

            #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
            pub(super) fn avx512<F: Real>($($argument: $type),*) {
                $inner::<F>($($argument),*);
            }

            #[target_feature(enable = "avx2")]
            pub(super) fn avx2<F: Real>($($argument: $type),*) {
                $inner::<F>($($argument),*);
            }
        }
    };
}

widened!(
    /// Blends elements `start ..` of a tensor. All slices have the same length; `base` is empty where there is none.
    blend, wide_blend, blend_blocks,
    (facts: &Facts, start: u64, base: &[f32], models: &[&[f32]], out: &mut [f32])
);
widened!(
    /// The delta of one model after its steps.
    delta, wide_delta, delta_of,
    (keeps: &[Keep], draws: &[Option<Arc<dyn Draws>>], start: u64, base: &[f32], model: &[f32], out: &mut [F])
);
