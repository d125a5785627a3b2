//! Prompts continued, and continuations weighed: `POST /completions`.

use super::chat::Usage;
use super::client::{Client, Ended};
use super::flight::{guess_tokens, in_flight};
use super::{Remote, RemoteError};
use crate::completion::{
    Complete, CompleteError, Finish, Flow, Likelihood, LikelihoodRequest, Outcome, Refusal, Request,
    Sampling, first_cut, first_word,
};
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// Stop strings that OpenAI's protocol takes; further ones are applied here.
const MOST_STOPS: usize = 4;

#[derive(Deserialize)]
struct Reply {
    choices: Vec<Choice>,
    #[serde(default)]
    usage: Option<Usage>,
}

#[derive(Deserialize)]
struct Choice {
    text: String,
    #[serde(default)]
    finish_reason: Option<String>,
    /// vLLM: the stop string or token that ended it; none at the end of the text.
    #[serde(default)]
    stop_reason: Value,
    #[serde(default)]
    logprobs: Option<LogProbs>,
}

#[derive(Deserialize)]
struct LogProbs {
    #[serde(default)]
    tokens: Vec<String>,
    #[serde(default)]
    token_logprobs: Vec<Option<f64>>,
    #[serde(default)]
    top_logprobs: Option<Vec<Option<Map<String, Value>>>>,
}

fn read(value: &Value) -> Result<(Choice, Usage), String> {
    let reply = Reply::deserialize(value).map_err(|e| e.to_string())?;
    let choice = reply.choices.into_iter().next().ok_or("`choices` is empty")?;
    Ok((choice, reply.usage.unwrap_or_default()))
}

fn body(model: &str, request: &Request) -> Value {
    let mut body = json!({ "model": model, "prompt": request.prompt, "max_tokens": request.max_tokens });
    match request.sampling {
        Sampling::Greedy => body["temperature"] = json!(0.0),
        Sampling::Sample { temperature, top_k, top_p, seed } => {
            body["temperature"] = json!(temperature);
            // The protocol's seeds are signed.
            body["seed"] = json!(seed & i64::MAX as u64);
            // `top_k` is not OpenAI's, but vLLM, SGLang and llama.cpp have it.
            for (name, value) in [("top_k", top_k.map(|k| json!(k))), ("top_p", top_p.map(|p| json!(p)))] {
                if let Some(value) = value {
                    body[name] = value;
                }
            }
        }
    }
    if !request.stop.is_empty() {
        body["stop"] = json!(request.stop.iter().take(MOST_STOPS).collect::<Vec<_>>());
    }
    body
}

/// The protocol has no word that ends an answer: the server says all, and what is behind the word is cut here.
fn outcome(choice: &Choice, usage: Usage, stop: &[String], end_with: &[String]) -> Outcome {
    let stop = stop.iter().filter_map(|s| choice.text.find(s.as_str())).min();
    let cut = first_cut(stop, first_word(&choice.text, end_with, true));
    let finish = match (&choice.finish_reason, &choice.stop_reason) {
        _ if cut.is_some() => Finish::StopString,
        (Some(reason), _) if reason == "length" => Finish::Length,
        (_, Value::String(_)) => Finish::StopString,
        _ => Finish::EndOfText,
    };
    Outcome {
        text: choice.text[..cut.unwrap_or(choice.text.len())].to_owned(),
        prompt_tokens: usage.prompt_tokens,
        generated_tokens: usage.completion_tokens,
        finish,
    }
}

/// What a continuation is worth: the tokens after the first `context` of those that the server repeats, without the one
/// that it had to generate.
fn likelihood(logprobs: &LogProbs, context: usize, usage: Usage) -> Result<Likelihood, String> {
    let (all, end) = (logprobs.tokens.len(), usage.prompt_tokens);
    if all != logprobs.token_logprobs.len() || all < end || end == 0 {
        return Err(format!("it repeats {all} tokens of {end}"));
    }
    let parts: Vec<f64> = logprobs.token_logprobs[context..end]
        .iter()
        .map(|l| l.filter(|l| l.is_finite()).ok_or("a token of the continuation has no log-probability"))
        .collect::<Result<_, _>>()?;
    let most_likely = |at: usize| {
        let top = logprobs.top_logprobs.as_ref()?.get(at)?.as_ref()?;
        let best = top.values().filter_map(Value::as_f64).fold(f64::NEG_INFINITY, f64::max);
        Some(logprobs.token_logprobs[at]? >= best)
    };
    Ok(Likelihood {
        log_likelihood: parts.iter().sum(),
        tokens: parts.len(),
        greedy: (context..end).all(|at| most_likely(at) == Some(true)),
    })
}

impl Remote<'_> {
    /// Posts to `/completions`, within the budget.
    fn continued(
        &self,
        client: &Client<'_>,
        body: &Value,
        number: usize,
        stop: &dyn Fn() -> bool,
    ) -> Result<Ended<(Choice, Usage)>, RemoteError> {
        let output = body["max_tokens"].as_u64().unwrap_or(0) as usize;
        let reserved = self.spending.reserve(guess_tokens(body["prompt"].as_str().unwrap_or("")), output)?;
        let ended = client.post("completions", body, number as u64, stop, &read)?;
        if let Ended::Reply((_, usage)) = &ended {
            reserved.used(usage.prompt_tokens, usage.completion_tokens);
        }
        Ok(ended)
    }

    /// The likelihoods of one request's continuations; nothing if it was told to stop.
    fn weighed(
        &self,
        client: &Client<'_>,
        request: &LikelihoodRequest,
        number: usize,
        stop: &dyn Fn() -> bool,
    ) -> Result<Option<Result<Vec<Likelihood>, Refusal>>, RemoteError> {
        let model = &self.settings.model;
        let prompt = request.prompt.trim_end();
        let blanks = &request.prompt[prompt.len()..];
        if prompt.is_empty() {
            return Ok(Some(Err(Refusal::EmptyPrompt)));
        }
        // How many tokens the prompt has alone.
        let alone = json!({ "model": model, "prompt": prompt, "max_tokens": 1, "temperature": 0.0 });
        let context = match self.continued(client, &alone, number, stop)? {
            Ended::Reply((_, usage)) => usage.prompt_tokens,
            Ended::Refused(reason) => return Ok(Some(Err(Refusal::Server { reason }))),
            Ended::Stopped => return Ok(None),
        };
        let lacks = |reason: String| RemoteError::NoLikelihoods {
            url: format!("{}/completions", self.settings.base_url),
            reason,
        };
        if context == 0 {
            return Err(lacks("it does not say how many tokens a prompt has".into()));
        }
        let mut all = Vec::with_capacity(request.continuations.len());
        for (which, continuation) in request.continuations.iter().enumerate() {
            let body = json!({
                "model": model, "prompt": format!("{prompt}{blanks}{continuation}"), "max_tokens": 1,
                "temperature": 0.0, "echo": true, "logprobs": 1,
            });
            let (choice, usage) = match self.continued(client, &body, number, stop)? {
                Ended::Reply(reply) => reply,
                Ended::Refused(reason) => return Ok(Some(Err(Refusal::Server { reason }))),
                Ended::Stopped => return Ok(None),
            };
            if usage.prompt_tokens <= context {
                return Ok(Some(Err(Refusal::EmptyContinuation { continuation: which })));
            }
            let logprobs = choice.logprobs.ok_or_else(|| lacks("its reply has no `logprobs`".into()))?;
            all.push(likelihood(&logprobs, context, usage).map_err(lacks)?);
        }
        Ok(Some(Ok(all)))
    }
}

impl Complete for Remote<'_> {
    fn complete(
        &mut self,
        requests: &[Request],
        deliver: &mut dyn FnMut(usize, Result<Outcome, Refusal>) -> Flow,
    ) -> Result<(), CompleteError> {
        let client = Client::new(&self.settings, self.watch);
        let work = |at: usize, stop: &dyn Fn() -> bool| -> Result<Option<_>, RemoteError> {
            let request = &requests[at];
            if request.prompt.is_empty() {
                return Ok(Some(Err(Refusal::EmptyPrompt)));
            }
            if request.stop.iter().chain(&request.end_with).any(String::is_empty) {
                return Ok(Some(Err(Refusal::EmptyStop)));
            }
            let body = body(&self.settings.model, request);
            Ok(match self.continued(&client, &body, at, stop)? {
                Ended::Reply((choice, usage)) => {
                    Some(Ok(outcome(&choice, usage, &request.stop, &request.end_with)))
                }
                Ended::Refused(reason) => Some(Err(Refusal::Server { reason })),
                Ended::Stopped => None,
            })
        };
        let stop = || self.watch.stop_requested();
        in_flight(self.settings.concurrency, requests.len(), &stop, &work, deliver)
            .map_err(|e| CompleteError(Box::new(e)))
    }

    /// By a server that repeats a prompt with its log-probabilities.
    fn likelihoods(
        &mut self,
        requests: &[LikelihoodRequest],
        deliver: &mut dyn FnMut(usize, Result<Vec<Likelihood>, Refusal>) -> Flow,
    ) -> Result<(), CompleteError> {
        let client = Client::new(&self.settings, self.watch);
        let work = |at: usize, stop: &dyn Fn() -> bool| self.weighed(&client, &requests[at], at, stop);
        let stop = || self.watch.stop_requested();
        in_flight(self.settings.concurrency, requests.len(), &stop, &work, deliver)
            .map_err(|e| CompleteError(Box::new(e)))
    }

    fn numerics(&self) -> String {
        Self::NUMERICS.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choice(text: &str, reason: &str) -> Choice {
        read(&json!({"choices": [{"text": text, "finish_reason": reason}]})).unwrap().0
    }

    #[test]
    fn an_answer_is_cut_at_every_stop_string_whatever_the_server_does() {
        let stop: Vec<String> = ["one", "two", "three", "four", "five"].map(String::from).to_vec();
        let five = outcome(&choice("a five b two", "stop"), Usage::default(), &stop, &[]);
        assert_eq!((five.text.as_str(), five.finish), ("a ", Finish::StopString));
        assert_eq!(outcome(&choice("a", "stop"), Usage::default(), &stop, &[]).finish, Finish::EndOfText);
        assert_eq!(outcome(&choice("a", "length"), Usage::default(), &stop, &[]).finish, Finish::Length);
        let word = outcome(&choice("a b two one", "length"), Usage::default(), &stop, &["b".to_owned()]);
        assert_eq!((word.text.as_str(), word.finish), ("a b", Finish::StopString));
    }

    #[test]
    fn a_continuation_is_the_tokens_after_those_of_the_prompt_alone() {
        let logprobs = LogProbs {
            tokens: ["The", " sky", " is", " blue", "."].map(String::from).to_vec(),
            token_logprobs: vec![None, Some(-3.0), Some(-1.0), Some(-0.5), Some(-0.1)],
            top_logprobs: Some(vec![
                None,
                json!({" cat": -2.0}).as_object().cloned(),
                json!({" is": -1.0}).as_object().cloned(),
                json!({" blue": -0.5}).as_object().cloned(),
                json!({".": -0.1}).as_object().cloned(),
            ]),
        };
        let usage = Usage { prompt_tokens: 4, completion_tokens: 1 };
        let found = likelihood(&logprobs, 2, usage).unwrap();
        assert_eq!((found.log_likelihood, found.tokens, found.greedy), (-1.5, 2, true));
        assert!(!likelihood(&logprobs, 1, usage).unwrap().greedy);
        // The first token of a text has no log-probability.
        assert!(likelihood(&logprobs, 0, usage).unwrap_err().contains("no log-probability"));
        // A server that ignores `echo` repeats only what it generated.
        let few = LogProbs { tokens: vec![".".into()], token_logprobs: vec![Some(-0.1)], top_logprobs: None };
        assert!(likelihood(&few, 2, usage).unwrap_err().contains("1 tokens of 4"));
    }
}
