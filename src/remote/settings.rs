//! Where the server is, and how patient we are.

use super::RemoteError;
use std::fmt;
use std::time::Duration;

/// A key, which is sent and never shown.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// Takes a key out of the environment variable `variable`.
    pub fn new(key: &str, variable: &str) -> Result<Self, RemoteError> {
        let key = key.trim();
        if key.is_empty() || !key.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(RemoteError::BadKey { variable: variable.to_owned() });
        }
        Ok(Self(key.to_owned()))
    }

    /// The value of the `Authorization` header.
    pub(super) fn header(&self) -> String {
        format!("Bearer {}", self.0)
    }

    /// A text without the key, should a server have repeated it.
    pub(super) fn redact(&self, text: &str) -> String {
        text.replace(&self.0, "[key]")
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// What a million tokens cost, in US dollars, and how much may be spent.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Budget {
    /// US dollars for a million tokens of prompts.
    pub input: f64,
    /// US dollars for a million tokens of replies.
    pub output: f64,
    /// US dollars that may be spent, if there is a limit.
    pub limit: Option<f64>,
}

impl Budget {
    /// What so many tokens cost.
    pub fn cost(&self, input: usize, output: usize) -> f64 {
        (self.input * input as f64 + self.output * output as f64) / 1e6
    }
}

/// A server that speaks OpenAI's protocol.
#[derive(Clone, Debug)]
pub struct RemoteSettings {
    /// Address up to, and without, `/chat/completions`.
    pub base_url: String,
    /// Which of its models.
    pub model: String,
    /// The key, if it needs one.
    pub key: Option<Secret>,
    /// The environment variable that the key comes from, for errors.
    pub key_variable: String,
    /// Requests under way at once.
    pub concurrency: usize,
    /// How often a request is tried before it is given up.
    pub attempts: u32,
    /// Wait before the second attempt; doubled from there to the next.
    pub first_wait: Duration,
    /// Longest wait between two attempts. A server that asks for more is not waited for.
    pub longest_wait: Duration,
    /// How long one request may take.
    pub timeout: Duration,
    /// Prices and limit.
    pub budget: Budget,
}

impl RemoteSettings {
    /// A server with the usual patience.
    pub fn new(base_url: &str, model: &str) -> Result<Self, RemoteError> {
        let bad = |reason| RemoteError::BadUrl { url: without_login(base_url), reason };
        let base_url = base_url.trim();
        let rest = base_url.strip_prefix("http://").or_else(|| base_url.strip_prefix("https://"));
        let rest = rest.ok_or_else(|| bad("it does not begin with http:// or https://"))?;
        let host = rest.split('/').next().unwrap_or_default();
        if host.is_empty() {
            return Err(bad("it names no host"));
        }
        if host.contains('@') {
            return Err(bad("it holds a login, which would be stored; put the key into the environment"));
        }
        if rest.contains(['?', '#']) || rest.contains(char::is_whitespace) {
            return Err(bad("it has a query, a fragment or a blank"));
        }
        if ["/completions", "/chat"].iter().any(|end| base_url.trim_end_matches('/').ends_with(end)) {
            return Err(bad("it is the address of one service"));
        }
        Ok(Self {
            base_url: base_url.trim_end_matches('/').to_owned(),
            model: model.to_owned(),
            key: None,
            key_variable: "OPENAI_API_KEY".to_owned(),
            concurrency: 16,
            attempts: 6,
            first_wait: Duration::from_secs(1),
            longest_wait: Duration::from_mins(2),
            timeout: Duration::from_mins(10),
            budget: Budget::default(),
        })
    }
}

fn without_login(url: &str) -> String {
    match url.rsplit_once('@') {
        Some((_, rest)) => format!("…@{rest}"),
        None => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_checked_before_anything_is_sent() {
        let fine = RemoteSettings::new("http://127.0.0.1:8000/v1/", "m").unwrap();
        assert_eq!(fine.base_url, "http://127.0.0.1:8000/v1");
        for (url, why) in [
            ("127.0.0.1:8000", "http://"),
            ("https://", "no host"),
            ("https://user:sesame@host/v1", "login"),
            ("https://host/v1?key=sesame", "query"),
            ("https://host/v1/chat/completions", "one service"),
        ] {
            let e = RemoteSettings::new(url, "m").unwrap_err().to_string();
            assert!(e.contains(why), "{url}: {e}");
            assert!(!e.contains("user:sesame"), "{e}");
        }
    }

    #[test]
    fn a_key_is_never_shown() {
        let key = Secret::new(" sk-sesame\n", "V").unwrap();
        assert_eq!(format!("{key:?}"), "Secret");
        assert_eq!(key.redact("wrong key sk-sesame!"), "wrong key [key]!");
        assert!(Secret::new("two words", "V").unwrap_err().to_string().contains("variable V"));
    }
}
