//! The contract between those who put questions to a chat model and those who pass them on.
//!
//! Judges write [`ChatRequest`]s; a server of whatever make delivers [`ChatReply`]s. Both sides import this file and not
//! each other.

use crate::completion::{CompleteError, Flow, Refusal};
use crate::digest::{Canonical, Digest};
use crate::units::TokenCount;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One turn of a conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Who speaks: `system`, `user`, `assistant`.
    pub role: String,
    /// What is said.
    pub content: String,
}

/// A function that the model must call; its arguments are the reply.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tool {
    /// The function's name.
    pub name: String,
    /// What it does, for the model.
    pub description: String,
    /// Whether the server is to hold the model to the schema.
    #[serde(default)]
    pub strict: bool,
    /// JSON schema of its arguments.
    pub parameters: Value,
}

/// A conversation whose next turn is asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChatRequest {
    /// What was said so far.
    pub messages: Vec<Message>,
    /// How many tokens may be generated at most.
    pub max_tokens: TokenCount,
    /// Temperature; 0 for the most likely tokens.
    pub temperature: f64,
    /// The function that must be called, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool: Option<Tool>,
    /// How many of the most likely tokens to tell at each step, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top_log_probabilities: Option<u8>,
}

impl ChatRequest {
    /// What this is the same question as: who is asked, and everything that is sent.
    pub fn key(&self, identity: &str) -> Digest {
        let text = serde_json::to_string(self).unwrap_or_else(|_| unreachable!("keys are strings"));
        Canonical::new("chat/1").text("identity", identity).text("request", &text).finish()
    }
}

/// A token that could have been said.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TokenChance {
    /// The token's text.
    pub token: String,
    /// Natural logarithm of its probability.
    pub log_probability: f64,
}

/// What came back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChatReply {
    /// What the model said, or the JSON text of the arguments with which it called the tool.
    pub text: String,
    /// The most likely tokens at each step, where they were asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub top: Vec<Vec<TokenChance>>,
    /// Tokens of the conversation, as the server counted them.
    pub prompt_tokens: usize,
    /// Tokens that were generated.
    pub generated_tokens: usize,
}

/// Someone who carries conversations on.
pub trait Chat {
    /// Asks for the next turn of every conversation, in any order, with one `deliver(index, …)` each as soon as it is there.
    /// Returns after the last delivery, or soon after `deliver` returned [`Flow::Stop`]; replies that were paid for by then
    /// are still delivered.
    fn chat(
        &mut self,
        requests: &[ChatRequest],
        deliver: &mut dyn FnMut(usize, Result<ChatReply, Refusal>) -> Flow,
    ) -> Result<(), CompleteError>;

    /// Who is asked: part of every reply's key.
    fn identity(&self) -> String;
}
