//! Conversations: `POST /chat/completions`.

use super::client::{Client, Ended};
use super::flight::{Reserved, guess_tokens, in_flight};
use super::{Remote, RemoteError};
use crate::chat::{Chat, ChatReply, ChatRequest, TokenChance};
use crate::completion::{CompleteError, Flow, Refusal};
use serde::Deserialize;
use serde_json::{Value, json};

/// What a server says.
#[derive(Deserialize)]
struct Reply {
    choices: Vec<Choice>,
    #[serde(default)]
    usage: Option<Usage>,
}

/// Tokens, as the server counted them.
#[derive(Clone, Copy, Default, Deserialize)]
pub(super) struct Usage {
    #[serde(default)]
    pub(super) prompt_tokens: usize,
    #[serde(default)]
    pub(super) completion_tokens: usize,
}

#[derive(Deserialize)]
struct Choice {
    message: Said,
    #[serde(default)]
    logprobs: Option<LogProbs>,
}

#[derive(Deserialize)]
struct Said {
    #[serde(default)]
    content: Option<String>,
    #[serde(default)]
    tool_calls: Option<Vec<Call>>,
}

#[derive(Deserialize)]
struct Call {
    function: Arguments,
}

#[derive(Deserialize)]
struct Arguments {
    arguments: String,
}

#[derive(Deserialize)]
struct LogProbs {
    #[serde(default)]
    content: Option<Vec<Step>>,
}

#[derive(Deserialize)]
struct Step {
    #[serde(default)]
    top_logprobs: Vec<Top>,
}

#[derive(Deserialize)]
struct Top {
    token: String,
    logprob: f64,
}

fn body(model: &str, request: &ChatRequest) -> Value {
    let mut body = json!({
        "model": model, "messages": request.messages, "max_tokens": request.max_tokens,
        "temperature": request.temperature,
    });
    if let Some(tool) = &request.tool {
        body["tools"] = json!([{ "type": "function", "function": tool }]);
        body["tool_choice"] = json!({ "type": "function", "function": { "name": tool.name } });
    }
    if let Some(top) = request.top_log_probabilities {
        body["logprobs"] = json!(true);
        body["top_logprobs"] = json!(top);
    }
    body
}

fn read(value: &Value) -> Result<ChatReply, String> {
    let reply = Reply::deserialize(value).map_err(|e| e.to_string())?;
    let choice = reply.choices.into_iter().next().ok_or("`choices` is empty")?;
    let called = choice.message.tool_calls.and_then(|calls| calls.into_iter().next());
    let steps = choice.logprobs.and_then(|l| l.content).unwrap_or_default();
    let chance = |t: Top| TokenChance { token: t.token, log_probability: t.logprob };
    let usage = reply.usage.unwrap_or_default();
    Ok(ChatReply {
        text: called.map(|c| c.function.arguments).or(choice.message.content).unwrap_or_default(),
        top: steps.into_iter().map(|s| s.top_logprobs.into_iter().map(chance).collect()).collect(),
        prompt_tokens: usage.prompt_tokens,
        generated_tokens: usage.completion_tokens,
    })
}

/// What a request may cost at most in tokens: of the conversation, of the reply.
pub(super) fn most_tokens(request: &ChatRequest) -> (usize, usize) {
    let said: usize = request.messages.iter().map(|m| guess_tokens(&m.content)).sum();
    let tool = request.tool.as_ref().map_or(0, |t| guess_tokens(&json!(t).to_string()));
    (said + tool, request.max_tokens.0)
}

impl Chat for Remote<'_> {
    fn chat(
        &mut self,
        requests: &[ChatRequest],
        deliver: &mut dyn FnMut(usize, Result<ChatReply, Refusal>) -> Flow,
    ) -> Result<(), CompleteError> {
        let client = Client::new(&self.settings, self.watch);
        let work = |at: usize, stop: &dyn Fn() -> bool| -> Result<Option<_>, RemoteError> {
            let (input, output) = most_tokens(&requests[at]);
            let reserved: Reserved<'_> = self.spending.reserve(input, output)?;
            let body = body(&self.settings.model, &requests[at]);
            Ok(match client.post("chat/completions", &body, at as u64, stop, &read)? {
                Ended::Reply(reply) => {
                    reserved.used(reply.prompt_tokens, reply.generated_tokens);
                    Some(Ok(reply))
                }
                Ended::Refused(reason) => Some(Err(Refusal::Server { reason })),
                Ended::Stopped => None,
            })
        };
        let stop = || self.watch.stop_requested();
        in_flight(self.settings.concurrency, requests.len(), &stop, &work, deliver)
            .map_err(|e| CompleteError(Box::new(e)))
    }

    fn identity(&self) -> String {
        format!("{} {}", self.settings.base_url, self.settings.model)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_is_words_or_a_call_with_the_likeliest_tokens() {
        let words = json!({"choices": [{"message": {"role": "assistant", "content": "m", "tool_calls": null},
            "logprobs": {"content": [{"token": "m", "logprob": -0.1,
                "top_logprobs": [{"token": "m", "logprob": -0.1}, {"token": "M", "logprob": -2.5}]}]}}],
            "usage": {"prompt_tokens": 7, "completion_tokens": 1, "total_tokens": 8}});
        let reply = read(&words).unwrap();
        assert_eq!((reply.text.as_str(), reply.prompt_tokens, reply.generated_tokens), ("m", 7, 1));
        assert_eq!(reply.top[0][1], TokenChance { token: "M".into(), log_probability: -2.5 });
        let call = json!({"choices": [{"message": {"content": null, "tool_calls": [{"id": "1", "type": "function",
            "function": {"name": "f", "arguments": "{\"x\": 1}"}}]}}]});
        assert_eq!(read(&call).unwrap().text, "{\"x\": 1}");
        assert!(read(&json!({"choices": []})).is_err());
        assert!(read(&json!({"object": "error"})).unwrap_err().contains("choices"));
    }
}
