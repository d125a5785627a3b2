//! Which answer is shown first. alpaca_eval flips a coin that depends on the instruction alone: Python's
//! `random.Random(text).choices([False, True])`, which is the Mersenne Twister seeded from the text.

use crate::twister::Twister;

/// Whether alpaca_eval, with its default seed 0, shows the model's answer first.
pub fn is_switched(instruction: &str) -> bool {
    Twister::from_text(&format!("is_switched_outputs{instruction}0")).unit() >= 0.5
}
