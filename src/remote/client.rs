//! One request to a server: sent, tried again where that can help, and told apart by what went wrong.

use super::RemoteError;
use super::settings::RemoteSettings;
use crate::event::{Event, Observer};
use crate::random::Stream;
use serde_json::Value;
use std::time::{Duration, Instant};
use ureq::Agent;

/// The longest body that is read.
const LONGEST_BODY: u64 = 64 << 20;
/// How much of a server's words an error repeats.
const SAID: usize = 300;
/// A wait looks this often whether it should end.
const LOOK: Duration = Duration::from_millis(50);

/// A server, with its connections.
pub(super) struct Client<'s> {
    settings: &'s RemoteSettings,
    agent: Agent,
    watch: &'s dyn Observer,
}

/// How a request that can be tried again, or not, ended.
pub(super) enum Ended<T> {
    /// The reply.
    Reply(T),
    /// The server refuses this very request (400, 413, 422); others may do.
    Refused(String),
    /// The caller asked to stop before there was a reply.
    Stopped,
}

/// Why an attempt failed that may do better next time.
struct Hitch {
    what: String,
    /// The status and how long the server asks to wait, where it says so.
    wait: Option<(u16, Duration)>,
}

impl<'s> Client<'s> {
    pub(super) fn new(settings: &'s RemoteSettings, watch: &'s dyn Observer) -> Self {
        let config = Agent::config_builder()
            .timeout_global(Some(settings.timeout))
            .http_status_as_error(false)
            .max_redirects(0)
            .max_idle_connections(settings.concurrency)
            .max_idle_connections_per_host(settings.concurrency)
            .user_agent(concat!("m3/", env!("CARGO_PKG_VERSION")))
            .build();
        Self { settings, agent: config.into(), watch }
    }

    /// Posts `body` to `service` until there is a reply that `read` understands, or that no further attempt would change.
    /// `number` tells requests apart in the scatter of their waits.
    pub(super) fn post<T>(
        &self,
        service: &str,
        body: &Value,
        number: u64,
        stop: &dyn Fn() -> bool,
        read: &dyn Fn(&Value) -> Result<T, String>,
    ) -> Result<Ended<T>, RemoteError> {
        let url = format!("{}/{service}", self.settings.base_url);
        let mut last = String::new();
        for attempt in 0..self.settings.attempts.max(1) {
            if stop() {
                return Ok(Ended::Stopped);
            }
            let hitch = match self.once(&url, body, read)? {
                Ok(ended) => return Ok(ended),
                Err(hitch) => hitch,
            };
            last = hitch.what;
            if attempt + 1 == self.settings.attempts.max(1) {
                break;
            }
            let wait = match hitch.wait {
                Some((status, asked)) if asked > self.settings.longest_wait => {
                    return Err(RemoteError::WaitTooLong { url, status, seconds: asked.as_secs() });
                }
                Some((_, asked)) => asked,
                None => self.back_off(attempt, number),
            };
            // One failure is everyday; a second one makes people wonder.
            if attempt == 1 {
                let text = format!("{url}: {last}; trying again in {:.0} s", wait.as_secs_f64());
                self.watch.observe(&Event::Warning { text: &text });
            }
            if !slept(wait, stop) {
                return Ok(Ended::Stopped);
            }
        }
        Err(RemoteError::GaveUp { url, attempts: self.settings.attempts.max(1), last })
    }

    /// The wait doubles from attempt to attempt, less up to half of it, so that requests that failed together do not come
    /// back together.
    fn back_off(&self, attempt: u32, number: u64) -> Duration {
        let whole =
            self.settings.first_wait.saturating_mul(1 << attempt.min(20)).min(self.settings.longest_wait);
        let share = Stream::new(u64::from(attempt), "back-off", number).unit();
        whole.mul_f64(1.0 - share / 2.0)
    }

    fn once<T>(
        &self,
        url: &str,
        body: &Value,
        read: &dyn Fn(&Value) -> Result<T, String>,
    ) -> Result<Result<Ended<T>, Hitch>, RemoteError> {
        let hitch = |what: String| Ok(Err(Hitch { what: self.clean(&what), wait: None }));
        let mut request = self.agent.post(url);
        if let Some(key) = &self.settings.key {
            request = request.header("authorization", key.header());
        }
        let mut response = match request.send_json(body) {
            Ok(response) => response,
            Err(e) => return hitch(told(&e)),
        };
        let status = response.status().as_u16();
        let wait = response.headers().get("retry-after").and_then(|v| v.to_str().ok()).and_then(retry_after);
        let text = match response.body_mut().with_config().limit(LONGEST_BODY).read_to_string() {
            Ok(text) => text,
            Err(e) => return hitch(format!("the reply broke off: {}", told(&e))),
        };
        if status == 200 {
            let value: Value = match serde_json::from_str(&text) {
                Ok(value) => value,
                Err(e) => return hitch(format!("the reply is not JSON ({e}): {}", self.said(&text))),
            };
            return match read(&value) {
                Ok(reply) => Ok(Ok(Ended::Reply(reply))),
                Err(e) => hitch(format!("the reply is not OpenAI's ({e}): {}", self.said(&text))),
            };
        }
        let (url, said) = (url.to_owned(), self.said(&text));
        let unknown_model = || text.contains("model_not_found") || names_model(&text);
        match status {
            401 | 403 => {
                let variable = self.settings.key_variable.clone();
                Err(RemoteError::Unauthorized { url, status, said, variable })
            }
            404 => Err(RemoteError::NotServed { url, model: self.settings.model.clone(), status, said }),
            400 if unknown_model() => {
                Err(RemoteError::NotServed { url, model: self.settings.model.clone(), status, said })
            }
            400 | 413 | 422 => Ok(Ok(Ended::Refused(said))),
            408 | 409 | 425 | 429 | 500..=599 => {
                let what = format!("status {status}: {said}");
                Ok(Err(Hitch { what, wait: wait.map(|w| (status, w)) }))
            }
            _ => Err(RemoteError::Status { url, status, said }),
        }
    }

    /// The start of what a server said: its message, where it has the usual form.
    fn said(&self, text: &str) -> String {
        let message = serde_json::from_str::<Value>(text).ok().and_then(|v| {
            let places = ["/error/message", "/message", "/error", "/detail"];
            places.iter().find_map(|place| v.pointer(place)?.as_str().map(str::to_owned))
        });
        let words = message.unwrap_or_else(|| text.to_owned());
        let line = words.split_whitespace().collect::<Vec<_>>().join(" ");
        let short: String = self.clean(&line).chars().take(SAID).collect();
        if short.is_empty() { "nothing".into() } else { short }
    }

    fn clean(&self, text: &str) -> String {
        match &self.settings.key {
            Some(key) => key.redact(text),
            None => text.to_owned(),
        }
    }
}

/// An error of the connection with its cause.
fn told(e: &ureq::Error) -> String {
    match e {
        ureq::Error::Timeout(_) => "it took too long".to_owned(),
        other => other.to_string(),
    }
}

/// Whether an error's `param` says that the model is what is wrong.
fn names_model(text: &str) -> bool {
    serde_json::from_str::<Value>(text)
        .is_ok_and(|v| v.pointer("/error/param").and_then(Value::as_str) == Some("model"))
}

/// Waits; false if `stop` ended it.
fn slept(wait: Duration, stop: &dyn Fn() -> bool) -> bool {
    let begun = Instant::now();
    while let Some(left) = wait.checked_sub(begun.elapsed()).filter(|left| !left.is_zero()) {
        if stop() {
            return false;
        }
        std::thread::sleep(left.min(LOOK));
    }
    !stop()
}

/// A `Retry-After` header: seconds, or a date (RFC 9110, 10.2.3).
fn retry_after(value: &str) -> Option<Duration> {
    let value = value.trim();
    if let Ok(seconds) = value.parse::<f64>() {
        return (seconds.is_finite() && seconds >= 0.0).then(|| Duration::from_secs_f64(seconds.min(1e9)));
    }
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).ok()?.as_secs();
    Some(Duration::from_secs(unix_time(value)?.saturating_sub(now)))
}

/// Seconds since 1970 of a date like `Sun, 06 Nov 1994 08:49:37 GMT`.
fn unix_time(date: &str) -> Option<u64> {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let mut parts = date.split_once(", ")?.1.split(' ');
    let day: u64 = parts.next()?.parse().ok()?;
    let month = parts.next()?;
    let month = MONTHS.iter().position(|m| *m == month)? as u64 + 1;
    let year: u64 = parts.next()?.parse().ok().filter(|y| (1970..10_000).contains(y))?;
    let mut clock = parts.next()?.split(':').map(|n| n.parse::<u64>().ok());
    let (hour, minute, second) = (clock.next()??, clock.next()??, clock.next()??);
    // Days since 1970-01-01 in the Gregorian calendar, counted from March so that the leap day comes last.
    let (y, m) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 1 - 719_468;
    Some(days * 86_400 + hour * 3600 + minute * 60 + second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_says_how_long_to_wait_in_seconds_or_as_a_date() {
        assert_eq!(retry_after(" 3 "), Some(Duration::from_secs(3)));
        assert_eq!(retry_after("0.5"), Some(Duration::from_millis(500)));
        assert_eq!(retry_after("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Duration::ZERO));
        assert_eq!(retry_after("soon"), None);
        assert_eq!(retry_after("-1"), None);
        assert_eq!(unix_time("Sun, 06 Nov 1994 08:49:37 GMT"), Some(784_111_777));
        assert_eq!(unix_time("Thu, 29 Feb 2024 00:00:00 GMT"), Some(1_709_164_800));
    }
}
