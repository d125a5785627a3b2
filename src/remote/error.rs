//! What can go wrong between us and a server. No text of these holds the key: it is cut out of what servers say.

use thiserror::Error;

/// A server that cannot be used.
#[derive(Debug, Error)]
pub enum RemoteError {
    /// An address that is none.
    #[error(
        "`{url}` is not a server's address: {reason}; give the address that ends before /chat/completions, such as http://127.0.0.1:8000/v1"
    )]
    BadUrl {
        /// What was given, without a password.
        url: String,
        /// Why.
        reason: &'static str,
    },
    /// A key that cannot be sent.
    #[error(
        "the key in the environment variable {variable} holds characters that a header cannot have; set it again"
    )]
    BadKey {
        /// Its variable.
        variable: String,
    },
    /// Wrong or no key.
    #[error(
        "{url} refuses the key (status {status}): {said}; set the environment variable {variable} to a key that it takes"
    )]
    Unauthorized {
        /// What was asked.
        url: String,
        /// 401 or 403.
        status: u16,
        /// The server's words.
        said: String,
        /// Where the key is read.
        variable: String,
    },
    /// A model that the server does not have, or a path that it does not know.
    #[error(
        "{url} does not serve the model `{model}` (status {status}): {said}; check the model's name and the address"
    )]
    NotServed {
        /// What was asked.
        url: String,
        /// The model.
        model: String,
        /// The status.
        status: u16,
        /// The server's words.
        said: String,
    },
    /// Nobody answers, however often.
    #[error(
        "{url} could not be asked, {attempts} times: {last}; what came before is kept, and the same command goes on from there"
    )]
    GaveUp {
        /// What was asked.
        url: String,
        /// How often.
        attempts: u32,
        /// What happened the last time.
        last: String,
    },
    /// The server wants to be left alone for longer than we wait.
    #[error(
        "{url} asks to wait {seconds} s before the next request (status {status}); what came before is kept: run the same command again then"
    )]
    WaitTooLong {
        /// What was asked.
        url: String,
        /// 429 or 503.
        status: u16,
        /// How long.
        seconds: u64,
    },
    /// Another status.
    #[error("{url} answers with status {status}: {said}")]
    Status {
        /// What was asked.
        url: String,
        /// The status.
        status: u16,
        /// The server's words.
        said: String,
    },
    /// More would cost too much.
    #[error(
        "the next request could cost more than --max-cost {limit:.2} US$ allows ({spent:.4} US$ are spent); what was paid for is kept: raise --max-cost to go on"
    )]
    TooExpensive {
        /// The limit.
        limit: f64,
        /// Spent so far.
        spent: f64,
    },
    /// A server that tells no log-likelihoods of a prompt.
    #[error(
        "{url} does not tell the log-probabilities of a prompt (`echo` with `logprobs`): {reason}; a benchmark that needs them takes vLLM, SGLang or llama-cpp-python, or our own engine"
    )]
    NoLikelihoods {
        /// What was asked.
        url: String,
        /// What is missing.
        reason: String,
    },
}
