//! **What does a model on another machine answer?**
//!
//! The contracts of `completion` and `chat` over any server that speaks OpenAI's protocol: vLLM, SGLang, TGI, llama.cpp,
//! OpenAI's own. Nothing is stored here: who asks keeps the answers.
//!
//! - `settings`: where the server is, which key, how patient we are, what may be spent
//! - `client`: one request: sent, tried again where that can help, told apart by what went wrong
//! - `flight`: many requests under way at once, and what they cost
//! - `complete`: prompts continued, and continuations weighed
//! - `chat`: conversations, with a forced tool call or the probabilities of the first token
//! - `error`: what can go wrong

mod chat;
mod client;
mod complete;
mod error;
mod flight;
mod settings;

pub use error::RemoteError;
pub use settings::{Budget, RemoteSettings, Secret};

use crate::chat::ChatRequest;
use crate::event::Observer;
use flight::Spending;
use std::sync::Arc;

/// A model that a server serves. Clones share what is spent.
#[derive(Clone)]
pub struct Remote<'w> {
    settings: RemoteSettings,
    spending: Arc<Spending>,
    watch: &'w dyn Observer,
}

impl<'w> Remote<'w> {
    /// How answers come about, as far as it can be known from here: part of every answer's key.
    pub const NUMERICS: &'static str = "openai completions/1";

    /// A model; nothing is asked yet.
    pub fn new(settings: RemoteSettings, watch: &'w dyn Observer) -> Self {
        let spending = Arc::new(Spending::new(settings.budget));
        Self { settings, spending, watch }
    }

    /// US dollars spent so far, by the server's own count of tokens.
    pub fn spent(&self) -> f64 {
        self.spending.spent()
    }

    /// US dollars that some conversations may cost at most: characters of the prompts by three, and the longest replies.
    pub fn most_cost(&self, requests: &[ChatRequest]) -> f64 {
        let most = |r: &ChatRequest| {
            let (input, output) = chat::most_tokens(r);
            self.settings.budget.cost(input, output)
        };
        requests.iter().map(most).sum()
    }
}
