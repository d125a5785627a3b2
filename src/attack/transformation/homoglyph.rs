//! One letter of a word by one that looks like it (TextBugger, Li et al. 2019), with TextAttack's table.

use super::WordSwap;
use crate::attack::random::Draws;

#[rustfmt::skip]
const LOOK_ALIKES: [(char, char); 38] = [
    ('-', '˗'), ('9', '৭'), ('8', 'Ȣ'), ('7', '𝟕'), ('6', 'б'), ('5', 'Ƽ'), ('4', 'Ꮞ'), ('3', 'Ʒ'), ('2', 'ᒿ'),
    ('1', 'l'), ('0', 'O'), ('\'', '`'), ('a', 'ɑ'), ('b', 'Ь'), ('c', 'ϲ'), ('d', 'ԁ'), ('e', 'е'), ('f', '𝚏'),
    ('g', 'ɡ'), ('h', 'հ'), ('i', 'і'), ('j', 'ϳ'), ('k', '𝒌'), ('l', 'ⅼ'), ('m', 'ｍ'), ('n', 'ո'), ('o', 'о'),
    ('p', 'р'), ('q', 'ԛ'), ('r', 'ⲅ'), ('s', 'ѕ'), ('t', '𝚝'), ('u', 'ս'), ('v', 'ѵ'), ('w', 'ԝ'), ('x', '×'),
    ('y', 'у'), ('z', 'ᴢ'),
];

/// Each letter in turn, where there is a look-alike.
#[derive(Clone, Copy, Debug)]
pub struct Homoglyph;

impl WordSwap for Homoglyph {
    fn replacements(&self, word: &str, _: &mut Draws) -> Vec<String> {
        let letters: Vec<char> = word.chars().collect();
        let swapped = |(at, letter): (usize, &char)| {
            let (_, like) = LOOK_ALIKES.iter().find(|(of, _)| of == letter)?;
            let mut letters = letters.clone();
            letters[at] = *like;
            Some(letters.into_iter().collect())
        };
        letters.iter().enumerate().filter_map(swapped).collect()
    }

    fn most(&self) -> usize {
        // Most words are no longer.
        12
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_letter_with_a_look_alike_is_replaced_once() {
        let swapped = Homoglyph.replacements("Ax-b", &mut Draws::new(0));
        assert_eq!(swapped, ["A×-b", "Ax˗b", "Ax-Ь"]);
    }
}
