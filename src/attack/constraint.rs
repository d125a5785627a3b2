//! Which words may be changed, and which changed texts may be asked.

use super::AttackError;
use super::stopwords;
use super::text::AttackedText;
use super::transformation::Synonyms;
use crate::masked::EncodeSentence;
use std::fmt;
use std::sync::Arc;

/// Which words may be changed (TextAttack's pre-transformation constraints).
#[derive(Clone, Debug)]
pub enum Modifiable {
    /// No word is changed twice.
    Once,
    /// No stop word: case counts, so that `As` may be changed and `as` may not.
    NoStopword(&'static [&'static str]),
    /// None of these, whatever their case.
    NoLabel(Vec<String>),
}

impl Modifiable {
    /// The 179 English stop words of NLTK.
    pub const STOPWORDS: Self = Self::NoStopword(stopwords::NLTK);
    /// The stop words that TextFooler brings.
    pub const TEXTFOOLER_STOPWORDS: Self = Self::NoStopword(stopwords::TEXTFOOLER);

    /// Whether word `index` may be changed.
    pub fn allows(&self, text: &AttackedText, index: usize) -> bool {
        let word = text.words()[index].as_str();
        match self {
            Self::Once => !text.is_modified(index),
            Self::NoStopword(words) => !words.contains(&word),
            Self::NoLabel(labels) => !labels.contains(&word.to_lowercase()),
        }
    }
}

/// Which changed texts may be asked.
pub trait Constraint: fmt::Debug + Send + Sync {
    /// Whether `candidate`, made from `current` in an attack on `original`, may be asked.
    fn allows(
        &self,
        candidate: &AttackedText,
        current: &AttackedText,
        original: &AttackedText,
    ) -> Result<bool, AttackError>;
}

/// At most so many edits of characters from the original (Levenshtein 1966).
#[derive(Clone, Copy, Debug)]
pub struct EditDistance(pub usize);

impl Constraint for EditDistance {
    fn allows(
        &self,
        text: &AttackedText,
        _: &AttackedText,
        original: &AttackedText,
    ) -> Result<bool, AttackError> {
        Ok(distance(text.text(), original.text()) <= self.0)
    }
}

fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = i;
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let change = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = change.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

/// At most this share of the words, rounded up, differ from the original's.
#[derive(Clone, Copy, Debug)]
pub struct WordsPerturbed(pub f64);

impl Constraint for WordsPerturbed {
    fn allows(
        &self,
        text: &AttackedText,
        _: &AttackedText,
        original: &AttackedText,
    ) -> Result<bool, AttackError> {
        let pairs = text.words().iter().zip(original.words());
        let most = (pairs.len() as f64 * self.0).ceil() as usize;
        Ok(pairs.filter(|(a, b)| a != b).count() <= most)
    }
}

/// `{content}` is still there once, so that the text can be asked at all. The reference stops with an exception there.
#[derive(Clone, Copy, Debug)]
pub struct Askable;

impl Constraint for Askable {
    fn allows(&self, text: &AttackedText, _: &AttackedText, _: &AttackedText) -> Result<bool, AttackError> {
        Ok(text.text().matches(super::goal::CONTENT).count() == 1)
    }
}

/// Sentences that mean nearly the same by a sentence encoder.
pub struct SentenceSimilarity {
    /// Who turns sentences to vectors.
    pub encoder: Arc<dyn EncodeSentence>,
    /// The least cosine of two sentences.
    pub threshold: f64,
}

impl fmt::Debug for SentenceSimilarity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SentenceSimilarity").field("threshold", &self.threshold).finish_non_exhaustive()
    }
}

impl Constraint for SentenceSimilarity {
    fn allows(
        &self,
        text: &AttackedText,
        _: &AttackedText,
        original: &AttackedText,
    ) -> Result<bool, AttackError> {
        let vector = |text: &AttackedText| self.encoder.encode(text.text()).map_err(AttackError::Model);
        Ok(cosine(&vector(text)?, &vector(original)?) >= self.threshold)
    }
}

/// What was put in for a word is at least this near to it; words that nobody knows are let pass.
#[derive(Debug)]
pub struct WordSimilarity {
    /// Who knows how near words are.
    pub source: Arc<dyn Synonyms>,
    /// The least cosine.
    pub least: f64,
}

impl Constraint for WordSimilarity {
    fn allows(
        &self,
        text: &AttackedText,
        _: &AttackedText,
        original: &AttackedText,
    ) -> Result<bool, AttackError> {
        Ok(text.newly_modified().iter().all(|&at| {
            let (Some(new), Some(old)) = (text.words().get(at), original.words().get(at)) else {
                return false;
            };
            let near = self.source.similarity(&old.to_lowercase(), &new.to_lowercase());
            near.is_none_or(|near| near >= self.least)
        }))
    }
}

/// The cosine of the angle between two vectors; 0 where one has no length.
pub(super) fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum::<f64>();
    let lengths = (dot(a, a) * dot(b, b)).sqrt();
    if lengths > 0.0 { dot(a, b) / lengths } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_are_counted_in_characters() {
        for (a, b, want) in
            [("", "", 0), ("kitten", "sitting", 3), ("é", "e", 1), ("abc", "", 3), ("ab", "ba", 2)]
        {
            assert_eq!(distance(a, b), want, "{a} {b}");
        }
    }
}
