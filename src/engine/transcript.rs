//! One answer as it grows, and when it ends. Both engines end their answers here, so they mean the same.

use super::error::EngineError;
use super::tokenizer::Tokenizer;
use crate::completion::{Finish, Flow, Outcome, Refusal, Request, first_cut, first_word};

/// Who is told text of an answer while it grows.
pub(crate) type Tell<'t> = dyn FnMut(&str) -> Flow + 't;

/// The answer to one request, token by token.
pub(crate) struct Transcript<'a> {
    tokenizer: &'a Tokenizer,
    stop: &'a [String],
    end_with: &'a [String],
    prompt_tokens: usize,
    /// Tokens that may be generated: `max_tokens`, or what the context leaves.
    limit: usize,
    ids: Vec<u32>,
    /// Text of `ids[..read]`, watched for stop strings and for words that end it.
    text: String,
    /// `ids[prefix .. read]` are decoded again with what follows, since how a token reads can depend on the one before.
    prefix: usize,
    read: usize,
    listener: Option<Listener<'a>>,
}

/// Somebody who listens.
struct Listener<'a> {
    tell: &'a mut Tell<'a>,
    /// Bytes of the text that were told.
    told: usize,
    stopped: bool,
}

impl<'a> Transcript<'a> {
    /// Checks a request; returns the tokens of its prompt (at least one, fewer than `context`) and its empty answer.
    pub(crate) fn begin(
        tokenizer: &'a Tokenizer,
        request: &'a Request,
        context: usize,
    ) -> Result<(Vec<u32>, Self), Refusal> {
        if request.stop.iter().chain(&request.end_with).any(String::is_empty) {
            return Err(Refusal::EmptyStop);
        }
        let prompt = tokenizer.encode(&request.prompt)?;
        if prompt.is_empty() {
            return Err(Refusal::EmptyPrompt);
        }
        if prompt.len() >= context {
            return Err(Refusal::PromptTooLong { tokens: prompt.len(), context });
        }
        let answer = Self {
            tokenizer,
            stop: &request.stop,
            end_with: &request.end_with,
            prompt_tokens: prompt.len(),
            limit: request.max_tokens.0.min(context - prompt.len()),
            ids: Vec::new(),
            text: String::new(),
            prefix: 0,
            read: 0,
            listener: None,
        };
        Ok((prompt, answer))
    }

    /// From now on `tell` is given text as soon as it is certain: whole characters that no stop string can begin in any more.
    pub(crate) fn aloud(self, tell: &'a mut Tell<'a>) -> Self {
        Self { listener: Some(Listener { tell, told: 0, stopped: false }), ..self }
    }

    /// Whether who listens has heard enough.
    pub(crate) fn stopped(&self) -> bool {
        self.listener.as_ref().is_some_and(|listener| listener.stopped)
    }

    /// Positions of keys and values that the request can fill: the last generated token is never run.
    pub(crate) fn positions(&self) -> usize {
        self.prompt_tokens + self.limit.saturating_sub(1)
    }

    /// Tokens generated so far.
    pub(crate) fn generated(&self) -> usize {
        self.ids.len()
    }

    /// The outcome of a request that may not generate anything.
    pub(crate) fn ended_before_it_began(&self) -> Option<Outcome> {
        (self.limit == 0).then(|| self.outcome(String::new(), Finish::Length))
    }

    /// Takes the next token; an outcome if the answer ends with it.
    pub(crate) fn push(&mut self, id: u32) -> Result<Option<Outcome>, EngineError> {
        if self.tokenizer.ends(id) {
            return self.end(Finish::EndOfText).map(Some);
        }
        self.ids.push(id);
        if !(self.stop.is_empty() && self.end_with.is_empty()) || self.listener.is_some() {
            let known = self.text.len();
            self.read_on()?;
            if let Some(cut) = first_cut(self.find_stop(known), first_word(&self.text, self.end_with, false))
            {
                return Ok(Some(self.outcome(self.text[..cut].to_owned(), Finish::StopString)));
            }
        }
        if self.ids.len() >= self.limit {
            return self.end(Finish::Length).map(Some);
        }
        self.tell();
        Ok(None)
    }

    /// Tells what has become certain.
    fn tell(&mut self) {
        let Some(listener) = &mut self.listener else { return };
        let certain = self.text.len() - undecided(&self.text, self.stop);
        if let Some(new) = self.text.get(listener.told..certain).filter(|new| !new.is_empty()) {
            listener.stopped = (listener.tell)(new) == Flow::Stop;
            listener.told = certain;
        }
    }

    /// Decodes what can be decoded: a character whose bytes are not complete yet waits for the next token.
    fn read_on(&mut self) -> Result<(), EngineError> {
        let before = self.tokenizer.decode(&self.ids[self.prefix..self.read])?;
        let now = self.tokenizer.decode(&self.ids[self.prefix..])?;
        if now.ends_with(char::REPLACEMENT_CHARACTER) {
            return Ok(());
        }
        if let Some(new) = now.strip_prefix(&before) {
            self.text.push_str(new);
        } else {
            // The decoder rewrites what it has said (byte fallback does): start again from all tokens.
            self.text = self.tokenizer.decode(&self.ids)?;
        }
        (self.prefix, self.read) = (self.read, self.ids.len());
        Ok(())
    }

    /// Where the earliest stop string begins that reaches beyond the first `known` bytes of the text.
    fn find_stop(&self, known: usize) -> Option<usize> {
        let longest = self.stop.iter().map(String::len).max()?;
        let from = self.text.floor_char_boundary(known.saturating_sub(longest));
        first_stop(&self.text[from..], self.stop).map(|found| from + found)
    }

    /// The outcome when no more tokens come: incomplete characters are shown as U+FFFD.
    fn end(&self, finish: Finish) -> Result<Outcome, EngineError> {
        let mut text = self.tokenizer.decode(&self.ids)?;
        let cut = first_cut(first_stop(&text, self.stop), first_word(&text, self.end_with, true));
        text.truncate(cut.unwrap_or(text.len()));
        Ok(self.outcome(text, if cut.is_some() { Finish::StopString } else { finish }))
    }

    fn outcome(&self, text: String, finish: Finish) -> Outcome {
        Outcome { text, prompt_tokens: self.prompt_tokens, generated_tokens: self.ids.len(), finish }
    }
}

/// How many bytes at the end of `text` may turn out to begin a stop string.
fn undecided(text: &str, stop: &[String]) -> usize {
    let begins = |stop: &String| {
        let longest = text.len().min(stop.len() - 1);
        (1..=longest).rev().find(|&length| text.as_bytes().ends_with(&stop.as_bytes()[..length]))
    };
    stop.iter().filter_map(begins).max().unwrap_or(0)
}

/// Where the earliest stop string begins.
fn first_stop(text: &str, stop: &[String]) -> Option<usize> {
    stop.iter().filter_map(|stop| text.find(stop.as_str())).min()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::completion::Sampling;
    use crate::engine::fixture;
    use crate::units::TokenCount;

    /// What was told while the answer grew, and the outcome.
    fn heard(bytes: &[u8], stop: &[&str], enough: usize) -> (Vec<String>, Option<Outcome>) {
        let tokenizer = Tokenizer::load(&fixture::companions()).unwrap();
        let request = Request {
            prompt: "x".into(),
            sampling: Sampling::Greedy,
            max_tokens: TokenCount(100),
            stop: stop.iter().map(|&s| s.to_owned()).collect(),
            end_with: Vec::new(),
        };
        let mut told: Vec<String> = Vec::new();
        let mut tell = |text: &str| {
            told.push(text.to_owned());
            if told.len() == enough { Flow::Stop } else { Flow::Continue }
        };
        let (_, transcript) = Transcript::begin(&tokenizer, &request, 1000).unwrap();
        let mut transcript = transcript.aloud(&mut tell);
        let mut outcome = None;
        for id in bytes.iter().map(|&b| 2 + u32::from(b)).chain([1]) {
            outcome = transcript.push(id).unwrap();
            if outcome.is_some() || transcript.stopped() {
                break;
            }
        }
        drop(transcript);
        (told, outcome)
    }

    #[test]
    fn what_is_told_is_certain() {
        let (told, outcome) = heard("né 🦙!".as_bytes(), &[], 0);
        assert_eq!(told, ["n", "é", " ", "🦙", "!"], "whole characters");
        assert_eq!(outcome.unwrap().text, told.concat());
        // `\n\nQ` may begin at every line break, `\nA` at the second of two.
        let (told, outcome) = heard(b"a\nb\n\nAc\n\nQ: d", &["\n\nQ", "\n\nAX"], 0);
        assert_eq!(told, ["a", "\nb", "\n\nAc"], "nothing that a stop string may begin with");
        assert_eq!(outcome.unwrap().text, "a\nb\n\nAc");
        // The end of the text decides what was undecided; the outcome has it.
        let (told, outcome) = heard(b"ab\n", &["\nQ"], 0);
        assert_eq!((told.concat(), outcome.unwrap().text), ("ab".into(), "ab\n".into()));
        // A character of which only a part can match is held back whole.
        let (told, outcome) = heard("x🦙🦥y".as_bytes(), &["🦙🦙"], 0);
        assert_eq!((told.concat(), outcome.unwrap().text.as_str()), ("x🦙🦥y".into(), "x🦙🦥y"));
    }

    #[test]
    fn who_has_heard_enough_ends_the_answer() {
        let (told, outcome) = heard(b"abcdef", &[], 3);
        assert_eq!((told.concat(), outcome), ("abc".into(), None));
    }

    /// Feeds `text` as if generated, then the end-of-text token; returns the outcome and the tokens that were taken.
    fn answer(bytes: &[u8], stop: &[&str], max_tokens: usize) -> (Outcome, usize) {
        ends(bytes, stop, &[], max_tokens)
    }

    fn ends(bytes: &[u8], stop: &[&str], end_with: &[&str], max_tokens: usize) -> (Outcome, usize) {
        let tokenizer = Tokenizer::load(&fixture::companions()).unwrap();
        let request = Request {
            prompt: "x".into(),
            sampling: Sampling::Greedy,
            max_tokens: TokenCount(max_tokens),
            stop: stop.iter().map(|&s| s.to_owned()).collect(),
            end_with: end_with.iter().map(|&s| s.to_owned()).collect(),
        };
        let (_, mut transcript) = Transcript::begin(&tokenizer, &request, 1000).unwrap();
        // Token 2 + b is the byte b, so every border between bytes is one between tokens.
        let ids = bytes.iter().map(|&b| 2 + u32::from(b)).chain([1]);
        for (taken, id) in ids.enumerate() {
            if let Some(outcome) = transcript.push(id).unwrap() {
                return (outcome, taken + 1);
            }
        }
        panic!("the answer did not end");
    }

    #[test]
    fn stops_are_found_across_tokens_and_the_text_is_cut_before_them() {
        let (outcome, taken) = answer(b"one stop two", &["stop"], 100);
        assert_eq!((outcome.text.as_str(), outcome.finish, taken), ("one ", Finish::StopString, 8));
        assert_eq!(outcome.generated_tokens, 8);
        let (outcome, _) = answer(b"stop", &["never", "stop"], 100);
        assert_eq!((outcome.text.as_str(), outcome.finish), ("", Finish::StopString));
        let (outcome, taken) = answer(b"ab\n\nQ: next", &["\nQ:", "\n\n"], 100);
        assert_eq!((outcome.text.as_str(), taken), ("ab", 4), "the first to be complete ends the answer");
    }

    #[test]
    fn a_word_ends_the_answer_and_stays_in_it() {
        let labels = ["negative", "positive"];
        let (outcome, taken) = ends(b" It is 'Positive', not negative", &[], &labels, 100);
        assert_eq!(
            (outcome.text.as_str(), outcome.finish, taken),
            (" It is 'Positive", Finish::StopString, 16)
        );
        let (outcome, _) = ends(b"nonnegative, positive", &[], &labels, 100);
        assert_eq!(outcome.text, "nonnegative, positive");
        // Whatever comes first ends it, and the limit as ever.
        let (outcome, _) = ends(b"stop positive", &["stop"], &labels, 100);
        assert_eq!(outcome.text, "");
        let (outcome, _) = ends(b"positive stop", &["stop"], &labels, 100);
        assert_eq!(outcome.text, "positive");
        let (outcome, _) = ends(b"it is so", &[], &labels, 4);
        assert_eq!((outcome.text.as_str(), outcome.finish), ("it i", Finish::Length));
    }

    #[test]
    fn characters_of_many_bytes_are_whole_before_they_are_compared() {
        let text = "né 🦙!日本 end";
        let (outcome, taken) = answer(text.as_bytes(), &["🦙!日"], 100);
        assert_eq!((outcome.text.as_str(), outcome.finish), ("né ", Finish::StopString));
        assert_eq!(taken, "né 🦙!日".len());
        let (outcome, _) = answer(text.as_bytes(), &["\u{fffd}", "missing"], 100);
        assert_eq!(
            (outcome.text.as_str(), outcome.finish),
            (text, Finish::EndOfText),
            "no half character shows"
        );
    }

    #[test]
    fn an_incomplete_character_at_the_end_is_replaced() {
        let (outcome, _) = answer(&"ab🦙".as_bytes()[..5], &["zz"], 100);
        assert_eq!((outcome.text.as_str(), outcome.finish), ("ab\u{fffd}", Finish::EndOfText));
        // Bytes that are no UTF-8 at all do not hide the stop string behind them.
        let (outcome, _) = answer(b"a\xff\xfe\xc3stop", &["stop"], 100);
        assert_eq!(outcome.finish, Finish::StopString);
    }

    #[test]
    fn the_limit_ends_and_the_end_is_not_counted() {
        let (outcome, taken) = answer(b"abcdef", &[], 3);
        assert_eq!((outcome.text.as_str(), outcome.finish, taken), ("abc", Finish::Length, 3));
        let (outcome, _) = answer(b"abc", &[], 4);
        assert_eq!((outcome.generated_tokens, outcome.finish), (3, Finish::EndOfText));
        let (outcome, _) = answer(b"abc", &["c"], 3);
        assert_eq!(
            (outcome.text.as_str(), outcome.finish),
            ("ab", Finish::StopString),
            "the stop comes first"
        );
    }
}
