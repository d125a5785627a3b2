//! How likely a continuation is: its tokens, and the sum over them. Both engines tell it here, so they mean the same.

use super::llama::log_sum_exp;
use super::logits::{Logits, NotANumber};
use super::tokenizer::Tokenizer;
use crate::completion::{Likelihood, LikelihoodRequest, Refusal};
use crate::isa::Isa;

/// A prompt with one continuation, as tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pair {
    /// Both.
    pub(crate) tokens: Vec<u32>,
    /// How many of them are the prompt's: at least one, and fewer than all.
    pub(crate) prompt: usize,
}

impl Pair {
    /// The tokens of a request's continuations, each after the prompt, as [`crate::completion::Complete::likelihoods`]
    /// says. All tokens but the last must fit into `context`.
    pub(crate) fn all(
        tokenizer: &Tokenizer,
        request: &LikelihoodRequest,
        context: usize,
    ) -> Result<Vec<Self>, Refusal> {
        // What Python's `str.rstrip` takes off: Unicode's white space and four separators of ASCII.
        let blank = |c: char| c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c);
        let prompt = request.prompt.trim_end_matches(blank);
        let blanks = &request.prompt[prompt.len()..];
        let alone = tokenizer.encode(prompt)?;
        let missing =
            if alone.is_empty() { Some(tokenizer.nothing().ok_or(Refusal::EmptyPrompt)?) } else { None };
        let prompt_tokens = alone.len().max(1);
        request
            .continuations
            .iter()
            .enumerate()
            .map(|(continuation, text)| {
                let whole = tokenizer.encode(&format!("{prompt}{blanks}{text}"))?;
                let tokens: Vec<u32> = missing.into_iter().chain(whole).collect();
                if tokens.len() <= prompt_tokens {
                    return Err(Refusal::EmptyContinuation { continuation });
                }
                if tokens.len() - 1 > context {
                    return Err(Refusal::ContinuationTooLong { continuation, tokens: tokens.len(), context });
                }
                Ok(Self { tokens, prompt: prompt_tokens })
            })
            .collect()
    }

    /// The tokens whose likelihood is asked for.
    pub(crate) fn continuation(&self) -> &[u32] {
        &self.tokens[self.prompt..]
    }
}

/// The likelihood of one continuation as it grows.
#[derive(Clone, Debug)]
pub(crate) struct Tally {
    targets: Vec<u32>,
    seen: usize,
    sum: f64,
    greedy: bool,
}

impl Tally {
    /// Nothing seen yet of `targets`, of which there is at least one.
    pub(crate) fn new(targets: Vec<u32>) -> Self {
        Self { targets, seen: 0, sum: 0.0, greedy: true }
    }

    /// Takes the logits `[vocab]` from which the next target is to come; the likelihood, if that was the last.
    pub(crate) fn take(&mut self, logits: &[f32]) -> Result<Option<Likelihood>, NotANumber> {
        let Some(&target) = self.targets.get(self.seen) else { return Ok(None) };
        let total = log_sum_exp(Isa::detect(), logits);
        if total.is_nan() {
            return Err(NotANumber);
        }
        self.sum += f64::from(logits[target as usize]) - total;
        self.greedy = self.greedy && Logits::All(logits).top()? == target;
        self.seen += 1;
        Ok((self.seen == self.targets.len()).then_some(Likelihood {
            log_likelihood: self.sum,
            tokens: self.seen,
            greedy: self.greedy,
        }))
    }

    /// How many targets were seen.
    pub(crate) fn seen(&self) -> usize {
        self.seen
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::fixture;

    fn pairs(prompt: &str, continuations: &[&str]) -> Result<Vec<Pair>, Refusal> {
        let tokenizer = Tokenizer::load(&fixture::companions()).unwrap();
        let continuations = continuations.iter().map(|&c| c.to_owned()).collect();
        Pair::all(&tokenizer, &LikelihoodRequest { prompt: prompt.to_owned(), continuations }, 100)
    }

    fn bytes(text: &str) -> Vec<u32> {
        text.bytes().map(|b| 2 + u32::from(b)).collect()
    }

    #[test]
    fn blanks_at_the_end_of_the_prompt_belong_to_the_continuation() {
        let apart = pairs("xyz", &[" \n uvw"]).unwrap();
        assert_eq!(pairs("xyz \n ", &["uvw"]).unwrap(), apart);
        assert_eq!((apart[0].prompt, apart[0].continuation()), (3, &bytes(" \n uvw")[..]));
    }

    #[test]
    fn an_empty_prompt_is_the_token_that_ends_a_text_where_none_begins_it() {
        let nothing = pairs("", &["uvw"]).unwrap();
        assert_eq!(nothing[0], Pair { tokens: [vec![1], bytes("uvw")].concat(), prompt: 1 });
        assert_eq!(pairs(" ", &["uvw"]).unwrap()[0].continuation(), bytes(" uvw"));
    }

    #[test]
    fn what_has_no_likelihood_is_refused() {
        assert_eq!(pairs("xyz", &["u", ""]), Err(Refusal::EmptyContinuation { continuation: 1 }));
        let long = "u".repeat(99);
        let too_long = Refusal::ContinuationTooLong { continuation: 0, tokens: 102, context: 100 };
        assert_eq!(pairs("xyz", &[&long]), Err(too_long));
        assert!(pairs("xy", &[&long]).is_ok(), "the last token is never run");
        assert_eq!(pairs("xyz", &[]), Ok(Vec::new()));
    }

    #[test]
    fn the_tally_adds_log_probabilities() {
        let mut tally = Tally::new(vec![1, 0]);
        assert_eq!(tally.take(&[0.0, 0.0, 0.0, 0.0]), Ok(None));
        let done = tally.take(&[3f32.ln(), 0.0]).unwrap().unwrap();
        // ln ¼ + ln ¾; of the four equal logits greedy decoding takes the first.
        assert!((done.log_likelihood - (0.25f64.ln() + 0.75f64.ln())).abs() < 1e-6);
        assert_eq!((done.tokens, done.greedy), (2, false));
        assert_eq!(Tally::new(vec![0]).take(&[1.0, f32::NAN]), Err(NotANumber));
    }
}
