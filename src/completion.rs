//! The contract between those who ask and those who answer.
//!
//! Benchmarks, judges and attacks write [`Request`]s; engines (in-process or remote) deliver [`Outcome`]s. Both sides
//! import this file and not each other.

use crate::units::TokenCount;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::ops::Range;
use thiserror::Error;

/// One prompt to be continued.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// The exact text that the model sees, special tokens written out.
    pub prompt: String,
    /// How the next token is chosen.
    pub sampling: Sampling,
    /// How many tokens may be generated at most.
    pub max_tokens: TokenCount,
    /// Generation ends as soon as the generated text contains one of these; the answer is cut before it.
    pub stop: Vec<String>,
    /// Generation ends as soon as a word of the generated text begins with one of these ([`first_word`]); the answer ends with it.
    pub end_with: Vec<String>,
}

/// The first place in `text` where a word begins with one of `words`, in capitals or not, and which of them it is: the longest, if
/// one begins with another. A word begins where no letter or digit stands before it. `None` where there is none, or where it is not
/// decided yet, which only is as long as the text may still grow (`whole` is false): `un` may become `unacceptable`.
///
/// `words` are in small letters.
pub fn first_word(text: &str, words: &[String], whole: bool) -> Option<(usize, Range<usize>)> {
    let mut before = None;
    for (at, c) in text.char_indices() {
        if !before.replace(c).is_some_and(char::is_alphanumeric) {
            let mut found: Option<(usize, usize)> = None;
            for (number, word) in words.iter().enumerate() {
                match begins(&text[at..], word) {
                    Begins::With(length) if found.is_none_or(|(_, longest)| length > longest) => {
                        found = Some((number, length));
                    }
                    Begins::SoFar if !whole => return None,
                    _ => {}
                }
            }
            if let Some((number, length)) = found {
                return Some((number, at..at + length));
            }
        }
    }
    None
}

/// Where a text is cut that has a stop string there, or a word that ends it: before the one, behind the other.
pub(crate) fn first_cut(stop: Option<usize>, word: Option<(usize, Range<usize>)>) -> Option<usize> {
    match (stop, word) {
        (Some(stop), Some((_, word))) if stop < word.end => Some(stop),
        (_, Some((_, word))) => Some(word.end),
        (stop, None) => stop,
    }
}

enum Begins {
    /// With the word, which is so many bytes there.
    With(usize),
    /// It ends within the word.
    SoFar,
    Otherwise,
}

fn begins(text: &str, word: &str) -> Begins {
    let mut wanted = word.chars().peekable();
    for (at, c) in text.char_indices() {
        if wanted.peek().is_none() {
            return Begins::With(at);
        }
        if c.to_lowercase().any(|small| wanted.next() != Some(small)) {
            return Begins::Otherwise;
        }
    }
    if wanted.peek().is_none() { Begins::With(text.len()) } else { Begins::SoFar }
}

/// How the next token is chosen from the logits.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sampling {
    /// The largest logit; of equal ones the one with the lowest token id.
    Greedy,
    /// Drawn from softmax(logits / temperature), first cut to the `top_k` largest logits (and their equals), then to the
    /// fewest most probable tokens that together have at least `top_p`.
    ///
    /// The random numbers depend on `seed` and the prompt only, so that a request has one answer, alone or in any batch.
    Sample {
        /// Above 0: below 1 sharpens, above 1 flattens.
        temperature: f64,
        /// At least 1.
        top_k: Option<usize>,
        /// Above 0, at most 1.
        top_p: Option<f64>,
        /// Another seed, another answer.
        seed: u64,
    },
}

impl Sampling {
    /// Checks that the numbers mean something.
    pub fn check(self) -> Result<(), Refusal> {
        let Self::Sample { temperature, top_k, top_p, .. } = self else { return Ok(()) };
        let bad = |setting, value: String, want| Err(Refusal::Sampling { setting, value, want });
        if !(temperature.is_finite() && temperature > 0.0) {
            return bad("temperature", temperature.to_string(), "above 0; without sampling there is none");
        }
        if top_k == Some(0) {
            return bad("top_k", "0".to_owned(), "at least 1");
        }
        match top_p.filter(|p| !(*p > 0.0 && *p <= 1.0)) {
            Some(p) => bad("top_p", p.to_string(), "above 0 and at most 1"),
            None => Ok(()),
        }
    }
}

/// One prompt and texts that could follow it.
#[derive(Clone, Debug, PartialEq)]
pub struct LikelihoodRequest {
    /// The exact text that the model sees, special tokens written out.
    pub prompt: String,
    /// What could follow, with the blank in front that separates it from the prompt.
    pub continuations: Vec<String>,
}

/// How likely a model thinks one continuation.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Likelihood {
    /// Sum over the continuation's tokens, in nats.
    pub log_likelihood: f64,
    /// Tokens of the continuation.
    pub tokens: usize,
    /// Whether greedy decoding would say exactly this.
    pub greedy: bool,
}

/// What came back for one request.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// The generated text, cut before a stop string or behind a word that ends it, without special tokens.
    pub text: String,
    /// Tokens of the prompt.
    pub prompt_tokens: usize,
    /// Tokens that were generated, the end-of-text token not counted.
    pub generated_tokens: usize,
    /// Why generation ended.
    pub finish: Finish,
}

/// Why generation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Finish {
    /// The model said that it is done.
    EndOfText,
    /// A stop string appeared, or a word that ends the answer.
    StopString,
    /// `max_tokens` or the model's context was used up.
    Length,
}

/// Why one request cannot be answered, while its batch mates can.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Refusal {
    /// Nothing to continue.
    #[error("the prompt has no tokens")]
    EmptyPrompt,
    /// No room for an answer.
    #[error("the prompt has {tokens} tokens, but the model's context is {context}")]
    PromptTooLong {
        /// Tokens of the prompt.
        tokens: usize,
        /// The model's context length in tokens.
        context: usize,
    },
    /// An empty stop string would end every answer before it began.
    #[error("a stop string is empty")]
    EmptyStop,
    /// Nothing whose likelihood could be told.
    #[error("continuation {continuation} has no tokens")]
    EmptyContinuation {
        /// Its number in the request, from 0.
        continuation: usize,
    },
    /// A prompt and its continuation do not fit together.
    #[error(
        "the prompt with continuation {continuation} has {tokens} tokens, but the model's context is {context}"
    )]
    ContinuationTooLong {
        /// Its number in the request, from 0.
        continuation: usize,
        /// Tokens of both.
        tokens: usize,
        /// The model's context length in tokens.
        context: usize,
    },
    /// Keys and values of prompt and answer do not fit into the memory that may be used.
    #[error(
        "prompt and answer may need {tokens} tokens, but the memory holds the keys and values of {room}; ask for fewer new tokens, or give more memory"
    )]
    NoMemory {
        /// Tokens of the prompt and of the longest answer.
        tokens: usize,
        /// Tokens that the memory holds.
        room: usize,
    },
    /// A setting of [`Sampling::Sample`] that means nothing.
    #[error("{setting} is {value}, but it must be {want}")]
    Sampling {
        /// Which setting.
        setting: &'static str,
        /// What it is.
        value: String,
        /// What it may be.
        want: &'static str,
    },
    /// The model's arithmetic broke down.
    #[error(
        "the numbers of {place} became infinite or NaN after {generated} generated tokens; the weights are damaged or the merge scale is too large"
    )]
    NotANumber {
        /// Where that was seen first.
        place: Breakdown,
        /// Tokens generated before.
        generated: usize,
    },
    /// The tokenizer would not take the text.
    #[error("the tokenizer refuses the prompt: {reason}")]
    Untokenizable {
        /// The tokenizer's own words.
        reason: String,
    },
    /// A server would not answer this request.
    #[error("the server refuses the request: {reason}")]
    Server {
        /// The server's own words.
        reason: String,
    },
}

/// Where the numbers of a model are infinite or NaN first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Breakdown {
    /// In the embedding of a token.
    Embedding,
    /// Behind this decoder layer, from 0.
    Layer(usize),
    /// In the logits; before, or nobody looked.
    Logits,
}

impl fmt::Display for Breakdown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Embedding => f.write_str("the embedding"),
            Self::Layer(number) => write!(f, "layer {number}"),
            Self::Logits => f.write_str("the logits"),
        }
    }
}

/// Whether to go on after a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// Go on.
    Continue,
    /// Stop as soon as possible; what was not delivered is not answered.
    Stop,
}

/// A fault of the engine as a whole.
#[derive(Debug, Error)]
#[error("the engine failed")]
pub struct CompleteError(#[source] pub Box<dyn std::error::Error + Send + Sync>);

/// Someone who answers requests.
pub trait Complete {
    /// Answers every request, in any order, with one `deliver(index, …)` per request as soon as it is ready.
    ///
    /// An outcome depends on its own request only, never on its batch. Returns after the last delivery, or soon after
    /// `deliver` returned [`Flow::Stop`].
    fn complete(
        &mut self,
        requests: &[Request],
        deliver: &mut dyn FnMut(usize, Result<Outcome, Refusal>) -> Flow,
    ) -> Result<(), CompleteError>;

    /// [`Self::complete`] for one request and somebody who hears the answer while it grows.
    ///
    /// `tell` is given text that is certain: whole characters that no stop string will take away; one after the other they are
    /// what the outcome's text begins with. Who knows nothing before the end (as here) tells nothing. None comes back if `tell`
    /// returned [`Flow::Stop`].
    fn complete_aloud(
        &mut self,
        request: &Request,
        tell: &mut dyn FnMut(&str) -> Flow,
    ) -> Result<Option<Result<Outcome, Refusal>>, CompleteError> {
        let _ = tell;
        let mut answer = None;
        self.complete(std::slice::from_ref(request), &mut |_, outcome| {
            answer = Some(outcome);
            Flow::Continue
        })?;
        Ok(answer)
    }

    /// Tells the log-likelihood of every continuation of every request, in the order of its continuations; delivers as
    /// [`Self::complete`] does.
    ///
    /// Tokens are made as lm-evaluation-harness makes them (`TemplateLM._encode_pair`): blanks at the end of the prompt move
    /// to the continuation, both are encoded together, and the continuation's tokens are those after as many as the prompt
    /// alone has. An empty prompt is the token that begins a text, or else the one that ends it.
    fn likelihoods(
        &mut self,
        requests: &[LikelihoodRequest],
        deliver: &mut dyn FnMut(usize, Result<Vec<Likelihood>, Refusal>) -> Flow,
    ) -> Result<(), CompleteError>;

    /// The token ids that `prompt` becomes, where the engine knows them.
    fn prompt_ids(&self, prompt: &str) -> Option<Vec<u32>> {
        let _ = prompt;
        None
    }

    /// Tokens that were run through the model so far, where the engine knows it: those of a beginning that several prompts have
    /// count once.
    fn tokens_run(&self) -> Option<u64> {
        None
    }

    /// What makes two engines' answers comparable: implementation, element type, and a version that changes whenever
    /// an answer could. Part of every answer's key.
    fn numerics(&self) -> String;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_word_is_the_longest_at_its_place_and_waits_until_it_is_certain() {
        let words = ["acceptable", "unacceptable", "ok", "okay"].map(str::to_owned);
        let first = |text: &str, whole| {
            first_word(text, &words, whole).map(|(number, at)| (number, text[at].to_owned()))
        };
        for (text, number, found) in [
            (" acceptable.", 0, "acceptable"),
            ("It's 'UNacceptable', not acceptable", 1, "UNacceptable"),
            ("label:acceptably acceptable", 0, "acceptable"),
            ("okay", 3, "okay"),
            ("ok, acceptable", 2, "ok"),
            ("İacceptable acceptables", 0, "acceptable"),
        ] {
            assert_eq!(first(text, true), Some((number, found.to_owned())), "{text}");
        }
        for text in ["", "reacceptable", "accept able", "unaccept", "4ok"] {
            assert_eq!(first(text, true), None, "{text}");
        }
        // While the text grows: `ok` may become `okay`, and what begins like a word may become it.
        assert_eq!(first("so ok", false), None);
        assert_eq!(first("so oka", true), Some((2, "ok".to_owned())));
        assert_eq!(first("so ok ", false), Some((2, "ok".to_owned())));
        assert_eq!(first("un", false), None);
        assert_eq!(first("acceptable", false), Some((0, "acceptable".to_owned())));
    }
}
