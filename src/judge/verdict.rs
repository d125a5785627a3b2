//! What a judge's words or probabilities mean. Every reading gives a preference between the answer shown first (1) and the
//! one shown second (2), or nothing.

use crate::chat::ChatReply;
use crate::completion::Likelihood;
use regex::Regex;
use serde::Deserialize;

/// How a verdict is read.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "by", rename_all = "snake_case", deny_unknown_fields)]
pub enum Reading {
    /// By what the judge says: exactly one place must match exactly one of these.
    Words {
        /// For the answer shown first.
        #[serde(deserialize_with = "regex")]
        first: Regex,
        /// For the answer shown second.
        #[serde(deserialize_with = "regex")]
        second: Regex,
    },
    /// By the probabilities of two tokens at the first place of the reply.
    LogProbabilities {
        /// For the answer shown first.
        first: String,
        /// For the answer shown second.
        second: String,
        /// How many of the most likely tokens are asked for.
        top: u8,
        /// Whether the preference is the probability, or the likelier token alone.
        weighted: bool,
    },
    /// By how likely a model that is at hand thinks each of two continuations of the prompt.
    LogLikelihood {
        /// For the answer shown first.
        first: String,
        /// For the answer shown second.
        second: String,
        /// Whether the preference is the probability, or the likelier continuation alone.
        weighted: bool,
    },
}

fn regex<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Regex, D::Error> {
    Regex::new(&String::deserialize(from)?).map_err(serde::de::Error::custom)
}

impl Reading {
    /// The preference in a reply.
    pub fn of_reply(&self, reply: &ChatReply) -> Option<f64> {
        match self {
            Self::Words { first, second } => {
                match (first.find_iter(&reply.text).count(), second.find_iter(&reply.text).count()) {
                    (1, 0) => Some(1.0),
                    (0, 1) => Some(2.0),
                    _ => None,
                }
            }
            Self::LogProbabilities { first, second, weighted, .. } => {
                let chances = reply.top.first()?;
                // A token that is listed more than once counts as it stands last.
                let of =
                    |token: &str| chances.iter().rev().find(|c| c.token == token).map(|c| c.log_probability);
                let (first, second) = (of(first), of(second));
                if first.is_none() && second.is_none() {
                    return None;
                }
                // What is not among the most likely tokens has no probability to speak of.
                let missing = f64::NEG_INFINITY;
                weigh(first.unwrap_or(missing), second.unwrap_or(missing), *weighted)
            }
            Self::LogLikelihood { .. } => None,
        }
    }

    /// The preference in two likelihoods.
    pub fn of_likelihoods(&self, first: &Likelihood, second: &Likelihood) -> Option<f64> {
        match self {
            Self::LogLikelihood { weighted, .. } => {
                weigh(first.log_likelihood, second.log_likelihood, *weighted)
            }
            _ => None,
        }
    }
}

/// 2 − p where p = e^first/(e^first + e^second), or the likelier one alone.
fn weigh(first: f64, second: f64, weighted: bool) -> Option<f64> {
    if first.is_nan() || second.is_nan() || (first.is_infinite() && second.is_infinite()) {
        return None;
    }
    Some(match weighted {
        true => 2.0 - 1.0 / (1.0 + (second - first).exp()),
        false if first > second => 1.0,
        false if first == second => 1.5,
        false => 2.0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::TokenChance;

    fn said(text: &str) -> ChatReply {
        ChatReply { text: text.into(), top: Vec::new(), prompt_tokens: 1, generated_tokens: 1 }
    }

    #[test]
    fn words_decide_only_if_they_decide_once() {
        let words = Reading::Words {
            first: Regex::new(r"(?i)output \(a\)").unwrap(),
            second: Regex::new(r"(?i)output \(b\)").unwrap(),
        };
        for (text, preference) in [
            ("{\"best_output\": \"Output (a)\"}", Some(1.0)),
            ("output (B), clearly", Some(2.0)),
            ("Output (a) is better than Output (b)", None),
            ("Output (a), Output (a)", None),
            ("neither", None),
            ("", None),
        ] {
            assert_eq!(words.of_reply(&said(text)), preference, "{text}");
        }
    }

    #[test]
    fn probabilities_are_of_the_two_tokens_alone() {
        let tokens =
            |weighted| Reading::LogProbabilities { first: "m".into(), second: "M".into(), top: 5, weighted };
        let with = |chances: &[(&str, f64)]| {
            let chance =
                |&(token, p): &(&str, f64)| TokenChance { token: token.to_owned(), log_probability: p.ln() };
            ChatReply { top: vec![chances.iter().map(chance).collect()], ..said("m") }
        };
        let reply = with(&[("m", 0.6), ("M", 0.2), ("The", 0.1)]);
        assert!((tokens(true).of_reply(&reply).unwrap() - 1.25).abs() < 1e-12);
        assert_eq!(tokens(false).of_reply(&reply), Some(1.0));
        assert_eq!(tokens(true).of_reply(&with(&[("M", 0.2)])), Some(2.0));
        assert_eq!(tokens(true).of_reply(&with(&[("m", 0.2)])), Some(1.0));
        assert_eq!(tokens(true).of_reply(&with(&[("The", 0.2)])), None);
        assert_eq!(tokens(true).of_reply(&said("m")), None);
    }
}
