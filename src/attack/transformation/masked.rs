//! A word by what a masked language model expects in its place (BERT-Attack, Li et al. 2020), as TextAttack does it: the
//! text is shown to the model unmasked, so that the likeliest word is mostly the word itself.

use super::Transformation;
use crate::attack::AttackError;
use crate::attack::random::Draws;
use crate::attack::text::AttackedText;
use crate::masked::MaskedLm;
use std::fmt;
use std::sync::Arc;

/// Replaces words by the likeliest ones.
pub struct MaskedWords {
    /// Who knows what is likely.
    pub model: Arc<dyn MaskedLm>,
    /// Word pieces that are looked at in each place, and words that are tried at most.
    pub count: usize,
}

impl fmt::Debug for MaskedWords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MaskedWords").field("count", &self.count).finish_non_exhaustive()
    }
}

impl MaskedWords {
    /// Words in place of word `index`.
    fn words(
        &self,
        text: &AttackedText,
        index: usize,
        likeliest: &[Vec<String>],
    ) -> Result<Vec<String>, AttackError> {
        let masked = text.replace(index, self.model.mask());
        let Some(first) = self.model.mask_position(masked.text()).map_err(AttackError::Model)? else {
            return Ok(Vec::new());
        };
        let pieces = self.model.pieces(&text.words()[index]).map_err(AttackError::Model)?;
        let Some(places) = likeliest.get(first..first + pieces).filter(|places| !places.is_empty()) else {
            return Ok(Vec::new());
        };
        let one_word = |word: &String| text.rule().is_one_word(word);
        Ok(match places {
            [alone] => {
                alone.iter().filter(|piece| one_word(piece) && !piece.contains("##")).cloned().collect()
            }
            several => Combinations::new(several).filter(one_word).take(self.count).collect(),
        })
    }
}

impl Transformation for MaskedWords {
    fn candidates(
        &self,
        text: &AttackedText,
        indices: &[usize],
        _: &mut Draws,
    ) -> Result<Vec<AttackedText>, AttackError> {
        let likeliest = self.model.likeliest(text.text(), self.count).map_err(AttackError::Model)?;
        let mut all = Vec::new();
        for &index in indices {
            let words = self.words(text, index, &likeliest)?;
            let others = words.iter().filter(|word| **word != text.words()[index]);
            all.extend(others.map(|word| text.replace(index, word)));
        }
        Ok(all)
    }

    fn most(&self) -> usize {
        self.count
    }
}

/// Words made of one piece for each place: the last place changes fastest. The reference computes all of them and keeps
/// the first, since it throws away what it has sorted.
struct Combinations<'p> {
    places: &'p [Vec<String>],
    /// The next choice at each place; none at the end.
    next: Option<Vec<usize>>,
}

impl<'p> Combinations<'p> {
    fn new(places: &'p [Vec<String>]) -> Self {
        let some = places.iter().all(|place| !place.is_empty());
        Self { places, next: some.then(|| vec![0; places.len()]) }
    }
}

impl Iterator for Combinations<'_> {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        let chosen = self.next.clone()?;
        let word = chosen.iter().zip(self.places).map(|(at, place)| place[*at].replace("##", "")).collect();
        let mut following = chosen;
        self.next = (0..following.len()).rev().find_map(|place| {
            following[place] += 1;
            if following[place] < self.places[place].len() {
                return Some(following.clone());
            }
            following[place] = 0;
            None
        });
        Some(word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attack::words::WordRule;
    use crate::masked::MaskedError;

    /// Words of one letter are a piece, longer ones as many as they have letters.
    struct Spelling;

    impl MaskedLm for Spelling {
        fn mask(&self) -> &'static str {
            "[MASK]"
        }
        fn pieces(&self, word: &str) -> Result<usize, MaskedError> {
            Ok(word.len())
        }
        fn mask_position(&self, text: &str) -> Result<Option<usize>, MaskedError> {
            Ok(text.find("[MASK]").map(|at| 1 + text[..at].replace(' ', "").len()))
        }
        fn likeliest(&self, text: &str, count: usize) -> Result<Vec<Vec<String>>, MaskedError> {
            let pieces = ["a", "##b", ".", "c"];
            let place = |_| pieces[..count.min(4)].iter().map(|p| (*p).to_owned()).collect();
            Ok((0..2 + text.replace(' ', "").len()).map(place).collect())
        }
    }

    #[test]
    fn single_pieces_are_words_and_several_are_joined_in_the_order_of_the_product() {
        let text = AttackedText::new("x yz", WordRule::TextAttack037);
        let made = |count, index| {
            let swap = MaskedWords { model: Arc::new(Spelling), count };
            let made = swap.candidates(&text, &[index], &mut Draws::new(0)).unwrap();
            made.iter().map(|t| t.text().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(made(4, 0), ["a yz", "c yz"]);
        assert_eq!(made(2, 1), ["x aa", "x ab"], "as many as were asked for, in the product's order");
        // `a.` is one word with a mark behind it, as the reference has it; the first four of sixteen.
        assert_eq!(made(4, 1), ["x aa", "x ab", "x a.", "x ac"]);
    }
}
