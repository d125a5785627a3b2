//! What can be done to a text.
//!
//! - `append`: words behind the last one
//! - `characters`: one letter of a word moved, exchanged, dropped or added
//! - `homoglyph`: one letter of a word by one that looks like it
//! - `listed`: the whole text by another one
//! - `synonym`: a word by one that means nearly the same, from word vectors or from WordNet
//! - `masked`: a word by what a masked language model expects in its place

mod append;
mod characters;
mod homoglyph;
mod listed;
mod masked;
mod synonym;

pub use append::Append;
pub use characters::{Characters, Edit};
pub use homoglyph::Homoglyph;
pub use listed::{Listed, read_prompts};
pub use masked::MaskedWords;
pub use synonym::{Synonym, Synonyms};

use super::AttackError;
use super::random::Draws;
use super::text::AttackedText;
use super::words::WordRule;
use std::fmt;

/// Makes candidates.
pub trait Transformation: fmt::Debug + Send + Sync {
    /// The texts that come from changing one of the words `indices`, in the order in which the reference makes them. A
    /// text may come twice.
    fn candidates(
        &self,
        text: &AttackedText,
        indices: &[usize],
        draws: &mut Draws,
    ) -> Result<Vec<AttackedText>, AttackError>;

    /// Candidates for one word at most.
    fn most(&self) -> usize;

    /// How many sets of indices the reference merges: the order of a Python set depends on it. None where it does not
    /// merge any.
    fn merged_sets(&self) -> Option<usize> {
        None
    }
}

/// Replaces one word without looking at those around it.
pub trait WordSwap: fmt::Debug + Send + Sync {
    /// What may stand in place of `word`, which itself may be among it.
    fn replacements(&self, word: &str, draws: &mut Draws) -> Vec<String>;

    /// Replacements of a word at most.
    fn most(&self) -> usize;
}

/// One swap after the other, each on every word.
#[derive(Debug)]
pub struct Composite(pub Vec<Box<dyn WordSwap>>);

impl Transformation for Composite {
    fn candidates(
        &self,
        text: &AttackedText,
        indices: &[usize],
        draws: &mut Draws,
    ) -> Result<Vec<AttackedText>, AttackError> {
        let mut all: Vec<AttackedText> = Vec::new();
        for swap in &self.0 {
            let known = match text.rule() {
                // Texts of different swaps are different texts there.
                WordRule::TextAttack037 => all.len(),
                WordRule::TextAttack0311 => 0,
            };
            for &index in indices {
                let word = text.words()[index].as_str();
                for with in swap.replacements(word, draws) {
                    let candidate = if with == word { continue } else { text.replace(index, &with) };
                    if !all[known..].iter().any(|other| other.text() == candidate.text()) {
                        all.push(candidate);
                    }
                }
            }
        }
        Ok(all)
    }

    fn most(&self) -> usize {
        self.0.iter().map(|swap| swap.most()).sum()
    }

    fn merged_sets(&self) -> Option<usize> {
        Some(self.0.len())
    }
}
