//! Rotary positions (Su et al. 2021), in the "rotate half" pairing of Hugging Face checkpoints: element `i` of a head is
//! paired with element `i + head_dim / 2`.

use crate::checkpoint::{ModelConfig, RopeScaling};
use std::f64::consts::TAU;

/// Cosines and sines by position, grown as far as they are needed.
#[derive(Debug)]
pub(crate) struct Rope {
    /// Angle per position, `[head_dim / 2]`, rounded to f32 as transformers does.
    frequencies: Vec<f32>,
    /// By what cosines and sines are multiplied.
    scale: f64,
    /// `[positions, head_dim / 2]`, cosine and sine.
    turns: Vec<(f32, f32)>,
}

impl Rope {
    /// The frequencies of a model; no position is prepared yet.
    pub(crate) fn new(config: &ModelConfig) -> Self {
        let half = config.head_dim / 2;
        let frequencies = (0..half).map(|i| frequency(config, i) as f32).collect();
        let scale = match config.rope_scaling {
            RopeScaling::Yarn { attention_factor, .. } => attention_factor,
            RopeScaling::Default | RopeScaling::Linear { .. } | RopeScaling::Llama3 { .. } => 1.0,
        };
        Self { frequencies, scale, turns: Vec::new() }
    }

    /// Prepares the positions below `positions`.
    pub(crate) fn reach(&mut self, positions: usize) {
        let known = self.turns.len() / self.frequencies.len();
        for position in known..positions {
            self.turns.extend(self.frequencies.iter().map(|&frequency| {
                // The angle is rounded to f32 before the cosine, as in transformers, whose models were trained so.
                let angle = f64::from(position as f32 * frequency);
                ((angle.cos() * self.scale) as f32, (angle.sin() * self.scale) as f32)
            }));
        }
    }

    /// Cosine and sine of each pair at a position, `[head_dim / 2]`.
    ///
    /// # Panics
    /// If the position was not prepared.
    pub(crate) fn at(&self, position: usize) -> &[(f32, f32)] {
        let half = self.frequencies.len();
        &self.turns[position * half..][..half]
    }

    /// Writes `head` (`[head_dim]`), turned to `position`, through `put(element, value)`.
    ///
    /// # Panics
    /// If the position was not prepared.
    #[inline(always)]
    pub(crate) fn turn(&self, head: &[f32], position: usize, out: &mut [f32]) {
        let half = self.frequencies.len();
        let ((first, second), (left, right)) = (head.split_at(half), out.split_at_mut(half));
        let out = left.iter_mut().zip(right);
        for (((&a, &b), &(cos, sin)), (left, right)) in
            first.iter().zip(second).zip(self.at(position)).zip(out)
        {
            *left = a * cos - b * sin;
            *right = b * cos + a * sin;
        }
    }
}

/// Angle per position of pair `i`: θ^(−2i / head_dim), stretched as the config says.
fn frequency(config: &ModelConfig, i: usize) -> f64 {
    let plain = config.rope_theta.powf(-((2 * i) as f64) / config.head_dim as f64);
    match config.rope_scaling {
        RopeScaling::Default => plain,
        RopeScaling::Linear { factor } => plain / factor,
        // Peng et al. 2023, section 3.2, with the borders that transformers draws (modeling_rope_utils.py,
        // `_compute_yarn_parameters`): pairs that turn `beta_fast` times in the context of training, or `beta_slow` times.
        RopeScaling::Yarn { factor, beta_fast, beta_slow, truncate, original_context, .. } => {
            let dim = config.head_dim as f64;
            let pair = |turns: f64| {
                dim * (original_context as f64 / (turns * TAU)).ln() / (2.0 * config.rope_theta.ln())
            };
            let (mut low, mut high) = (pair(beta_fast), pair(beta_slow));
            if truncate {
                (low, high) = (low.floor(), high.ceil());
            }
            (low, high) = (low.max(0.0), high.min(dim - 1.0));
            if low == high {
                high += 0.001;
            }
            let divided = ((i as f64 - low) / (high - low)).clamp(0.0, 1.0);
            plain / factor * divided + plain * (1.0 - divided)
        }
        // transformers, modeling_rope_utils.py, `_compute_llama3_parameters`.
        RopeScaling::Llama3 { factor, low_freq_factor, high_freq_factor, original_context } => {
            let context = original_context as f64;
            let wavelength = TAU / plain;
            if wavelength < context / high_freq_factor {
                plain
            } else if wavelength > context / low_freq_factor {
                plain / factor
            } else {
                let smooth = (context / wavelength - low_freq_factor) / (high_freq_factor - low_freq_factor);
                (1.0 - smooth) * plain / factor + smooth * plain
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::fixture;

    /// Rounding the frequency and the angle to f32 moves the angle by 2⁻²³ of itself; positions here are below 1000.
    const ANGLE_TOLERANCE: f64 = 1000.0 * f32::EPSILON as f64;

    #[test]
    fn turning_is_the_formula() {
        let config = fixture::config();
        let mut rope = Rope::new(&config);
        rope.reach(10);
        rope.reach(901);
        let head = fixture::numbers(1, config.head_dim);
        let half = config.head_dim / 2;
        for position in [0, 1, 9, 900] {
            let mut turned = vec![0.0; config.head_dim];
            rope.turn(&head, position, &mut turned);
            for i in 0..half {
                let angle = position as f64 * 10_000f64.powf(-2.0 * i as f64 / config.head_dim as f64);
                let (a, b) = (f64::from(head[i]), f64::from(head[i + half]));
                assert!(
                    (f64::from(turned[i]) - (a * angle.cos() - b * angle.sin())).abs() <= ANGLE_TOLERANCE
                );
                assert!(
                    (f64::from(turned[i + half]) - (b * angle.cos() + a * angle.sin())).abs()
                        <= ANGLE_TOLERANCE
                );
            }
        }
    }

    #[test]
    fn llama3_stretches_long_waves_only() {
        let mut config = fixture::config();
        config.head_dim = 128;
        config.rope_theta = 500_000.0;
        config.rope_scaling = RopeScaling::Llama3 {
            factor: 8.0,
            low_freq_factor: 1.0,
            high_freq_factor: 4.0,
            original_context: 8192,
        };
        let ratio = |i: usize| frequency(&config, i) / 500_000f64.powf(-2.0 * i as f64 / 128.0);
        assert_eq!(ratio(0), 1.0, "the shortest wave stays");
        assert!((ratio(63) - 0.125).abs() < 1e-12, "the longest is divided by the factor");
        assert!((1..64).all(|i| ratio(i) <= ratio(i - 1) + 1e-12), "between them it falls");
    }
}
