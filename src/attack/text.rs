//! A prompt as attacks see it: words, with everything between them kept as it is.

use super::words::WordRule;
use std::collections::BTreeSet;

/// A prompt under attack, and which of its words have been changed: TextAttack's `AttackedText`.
#[derive(Clone, Debug, PartialEq)]
pub struct AttackedText {
    text: String,
    words: Vec<String>,
    rule: WordRule,
    /// Words that are not the original's.
    modified: BTreeSet<usize>,
    /// Those of the last change alone.
    newly_modified: BTreeSet<usize>,
}

impl AttackedText {
    /// A prompt that nobody has changed.
    pub fn new(text: &str, rule: WordRule) -> Self {
        let words = rule.words(text).into_iter().map(str::to_owned).collect();
        Self {
            text: text.to_owned(),
            words,
            rule,
            modified: BTreeSet::new(),
            newly_modified: BTreeSet::new(),
        }
    }

    /// The whole text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Its words.
    pub fn words(&self) -> &[String] {
        &self.words
    }

    /// What counts as a word.
    pub fn rule(&self) -> WordRule {
        self.rule
    }

    /// Whether word `index` has been changed.
    pub fn is_modified(&self, index: usize) -> bool {
        self.modified.contains(&index)
    }

    /// The words that the last change made.
    pub fn newly_modified(&self) -> &BTreeSet<usize> {
        &self.newly_modified
    }

    /// The text with `with` in place of word `index`. `with` may be several words, or none: then one of the spaces around
    /// goes too, as in TextAttack.
    #[must_use]
    pub fn replace(&self, index: usize, with: &str) -> Self {
        let mut text = String::with_capacity(self.text.len() + with.len());
        let mut rest = self.text.as_str();
        let mut modified = self.modified.clone();
        let mut newly_modified = BTreeSet::new();
        let mut place = 0;
        for (i, word) in self.words.iter().enumerate() {
            // Every word stands in the text behind the one before it.
            let Some(start) = rest.find(word.as_str()) else { continue };
            text.push_str(&rest[..start]);
            rest = &rest[start + word.len()..];
            let new = if i == index { with } else { word.as_str() };
            let count = self.rule.words(new).len();
            if i == index {
                // A word counts as one word, whatever it would be on its own.
                let before = self.rule.words(word).len();
                if count != before {
                    let shift = |m: usize| (m as isize + count as isize - before as isize) as usize;
                    modified = modified
                        .into_iter()
                        .filter(|m| *m != i)
                        .map(|m| if m < i { m } else { shift(m) })
                        .collect();
                }
            }
            if new != word {
                modified.extend(place..place + count);
                newly_modified.extend(place..place + count);
            }
            place += count;
            if count == 0 && !rest.is_empty() {
                if i == 0 {
                    rest = rest.strip_prefix(' ').unwrap_or(rest);
                } else if text.ends_with(' ') {
                    text.pop();
                }
            }
            text.push_str(new);
        }
        text.push_str(rest);
        let words = self.rule.words(&text).into_iter().map(str::to_owned).collect();
        Self { text, words, rule: self.rule, modified, newly_modified }
    }

    /// The text with `added` behind its last word and a space, in front of what closes the text; nothing if it has no word.
    #[must_use]
    pub fn append(&self, added: &str) -> Option<Self> {
        let last = self.words.len().checked_sub(1)?;
        Some(self.replace(last, &format!("{} {added}", self.words[last])))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> AttackedText {
        AttackedText::new(text, WordRule::TextAttack037)
    }

    #[test]
    fn what_is_between_words_stays() {
        let prompt = text("As a  test, say 'yes'\n{content}!");
        assert_eq!(prompt.replace(2, "exam").text(), "As a  exam, say 'yes'\n{content}!");
        assert_eq!(prompt.replace(0, "").text(), "a  test, say 'yes'\n{content}!");
        assert_eq!(prompt.replace(3, "").text(), "As a  test, 'yes'\n{content}!");
        assert_eq!(prompt.append("x").unwrap().text(), "As a  test, say 'yes'\n{content x}!");
        assert!(text("?!").append("x").is_none());
    }

    #[test]
    fn changed_words_are_known_by_their_place_in_the_new_text() {
        let once = text("one two three four").replace(2, "THREE");
        assert!(once.is_modified(2) && !once.is_modified(1));
        let split = once.replace(1, "t wo");
        assert_eq!(split.words(), ["one", "t", "wo", "THREE", "four"]);
        let all: Vec<usize> = (0..5).filter(|i| split.is_modified(*i)).collect();
        assert_eq!(all, [1, 2, 3]);
        assert_eq!(split.newly_modified().iter().copied().collect::<Vec<_>>(), [1, 2]);
        let gone = split.replace(0, "");
        let all: Vec<usize> = (0..4).filter(|i| gone.is_modified(*i)).collect();
        assert_eq!(all, [0, 1, 2]);
    }
}
