//! The contract with those who know what words fit into a text.
//!
//! Attacks ask; engines answer. Both sides import this file and not each other.

/// What went wrong, in the model's own words.
pub type MaskedError = Box<dyn std::error::Error + Send + Sync>;

/// A masked language model over word pieces, such as BERT.
pub trait MaskedLm: Send + Sync {
    /// How a missing word is written, such as `[MASK]`.
    fn mask(&self) -> &str;

    /// Word pieces of a word on its own.
    fn pieces(&self, word: &str) -> Result<usize, MaskedError>;

    /// Where the first [`MaskedLm::mask`] stands among the tokens of `text`, special ones counted; none if it is cut off
    /// because the text is too long.
    fn mask_position(&self, text: &str) -> Result<Option<usize>, MaskedError>;

    /// The `count` likeliest word pieces at each token of `text`, best first, those inside words with `##` in front.
    fn likeliest(&self, text: &str, count: usize) -> Result<Vec<Vec<String>>, MaskedError>;
}

/// Someone who turns a sentence into a vector.
pub trait EncodeSentence: Send + Sync {
    /// The sentence's vector; the same length for every sentence.
    fn encode(&self, sentence: &str) -> Result<Vec<f32>, MaskedError>;
}
