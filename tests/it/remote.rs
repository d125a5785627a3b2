//! Servers that answer, and servers that do what servers do: through the binary, on a local socket.

use crate::cli::{Project, Said};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A request as a server sees it.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) path: String,
    pub(crate) key: Option<String>,
    pub(crate) body: Value,
}

/// What a server does about a request.
pub(crate) enum Does {
    /// Status, a `Retry-After` if any, body.
    Answers(u16, Option<&'static str>, String),
    /// Promises more bytes than it sends.
    BreaksOff(String),
    /// Closes the connection without a word.
    HangsUp,
    /// Waits, then answers.
    Dawdles(Duration, String),
}

/// A server on a local socket, until dropped.
pub(crate) struct Stub {
    pub(crate) url: String,
    asked: Arc<Mutex<Vec<Asked>>>,
    most: Arc<AtomicUsize>,
    done: Arc<AtomicBool>,
    address: std::net::SocketAddr,
}

type Behaviour = dyn Fn(usize, &Asked) -> Does + Send + Sync;

impl Stub {
    /// `behaviour` gets the number of the request, from 0, and the request.
    pub(crate) fn new(behaviour: impl Fn(usize, &Asked) -> Does + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let stub = Self {
            url: format!("http://{address}/v1"),
            asked: Arc::default(),
            most: Arc::default(),
            done: Arc::default(),
            address,
        };
        let (asked, most, done) = (Arc::clone(&stub.asked), Arc::clone(&stub.most), Arc::clone(&stub.done));
        let behaviour: Arc<Behaviour> = Arc::new(behaviour);
        let under_way = Arc::new(AtomicUsize::new(0));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if done.load(Ordering::SeqCst) {
                    break;
                }
                let (asked, behaviour) = (Arc::clone(&asked), Arc::clone(&behaviour));
                let (most, under_way) = (Arc::clone(&most), Arc::clone(&under_way));
                std::thread::spawn(move || {
                    let Some((stream, request)) = stream.ok().and_then(read) else { return };
                    let now = under_way.fetch_add(1, Ordering::SeqCst) + 1;
                    most.fetch_max(now, Ordering::SeqCst);
                    let number = {
                        let mut asked = asked.lock().unwrap();
                        asked.push(request.clone());
                        asked.len() - 1
                    };
                    let does = behaviour(number, &request);
                    under_way.fetch_sub(1, Ordering::SeqCst);
                    // The client may have gone away.
                    let _ = answer(stream, does);
                });
            }
        });
        stub
    }

    /// All requests so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// How many requests were under way at once, at most.
    pub(crate) fn most_at_once(&self) -> usize {
        self.most.load(Ordering::SeqCst)
    }
}

impl Drop for Stub {
    fn drop(&mut self) {
        self.done.store(true, Ordering::SeqCst);
        // Wakes the listener.
        let _ = TcpStream::connect(self.address);
    }
}

fn read(stream: TcpStream) -> Option<(TcpStream, Asked)> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let path = line.split(' ').nth(1)?.to_owned();
    let (mut length, mut key) = (0, None);
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok()?;
        let Some((name, value)) = header.trim().split_once(':') else { break };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.trim().parse().ok()?,
            "authorization" => key = Some(value.trim().to_owned()),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some((reader.into_inner(), Asked { path, key, body: serde_json::from_slice(&body).ok()? }))
}

fn answer(mut stream: TcpStream, does: Does) -> std::io::Result<()> {
    let (status, retry, body, promised) = match does {
        Does::Answers(status, retry, body) => (status, retry, body, 0),
        Does::BreaksOff(body) => (200, None, body, 1000),
        Does::HangsUp => return Ok(()),
        Does::Dawdles(time, body) => {
            std::thread::sleep(time);
            (200, None, body, 0)
        }
    };
    let retry = retry.map_or(String::new(), |after| format!("Retry-After: {after}\r\n"));
    write!(
        stream,
        "HTTP/1.1 {status} X\r\nContent-Type: application/json\r\n{retry}Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len() + promised
    )?;
    stream.flush()
}

/// A chat model's reply.
pub(crate) fn says(text: &str) -> Does {
    let reply = json!({
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 100, "completion_tokens": 5}
    });
    Does::Answers(200, None, reply.to_string())
}

/// A server's error in the usual form.
pub(crate) fn fails(status: u16, retry: Option<&'static str>, message: &str, code: &str) -> Does {
    let body = json!({"error": {"message": message, "type": "x", "param": null, "code": code}});
    Does::Answers(status, retry, body.to_string())
}

fn continues(text: &str) -> Does {
    let reply = json!({
        "choices": [{"index": 0, "text": text, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 3}
    });
    Does::Answers(200, None, reply.to_string())
}

/// `m3 eval` of a served model on eight questions.
fn eval(project: &Project, url: &str, more: &[&str]) -> Said {
    let args = ["eval", "served/model", "--engine", "openai", "--base-url", url, "--bench", "gsm8k"];
    let rest = ["--limit", "8", "--json", "--attempts", "2", "--timeout", "5"];
    project.m3_with(&[&args[..], &rest, more].concat(), &[("OPENAI_API_KEY", "sk-sesame")])
}

/// The number of lines that hold an answer, in all runs.
fn answers_on_disk(project: &Project) -> usize {
    let runs = project.path("m3-runs/runs");
    std::fs::read_dir(runs)
        .unwrap()
        .map(|run| std::fs::read_to_string(run.unwrap().path().join("records.jsonl")).unwrap())
        .map(|text| text.lines().filter(|line| line.contains("\"kind\":\"answer\"")).count())
        .sum()
}

/// Nothing below the folder holds the key.
pub(crate) fn holds_no_key(project: &Project, said: &Said) {
    assert!(!said.stdout().contains("sesame") && !said.stderr().contains("sesame"), "{}", said.stderr());
    let mut folders = vec![project.path("m3-runs")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let bytes = std::fs::read(&path).unwrap();
                assert!(!String::from_utf8_lossy(&bytes).contains("sesame"), "{}", path.display());
            }
        }
    }
}

#[test]
fn a_served_model_is_evaluated_like_any_other_and_asked_once() {
    let project = Project::new();
    let stub = Stub::new(|_, _| continues(" The answer is: 5"));
    let said = eval(&project, &stub.url, &["--concurrency", "3"]);
    let result: Value = serde_json::from_str(&said.ok()).unwrap();
    assert_eq!(
        (result["results"][0]["n"].as_u64(), result["results"][0]["invalid"].as_u64()),
        (Some(8), Some(0))
    );
    let asked = stub.asked();
    assert_eq!(asked.len(), 8);
    assert!(stub.most_at_once() <= 3, "{} at once", stub.most_at_once());
    assert!(
        asked.iter().all(|a| a.path == "/v1/completions" && a.key.as_deref() == Some("Bearer sk-sesame"))
    );
    let body = &asked[0].body;
    assert_eq!((body["model"].as_str(), body["temperature"].as_f64()), (Some("served/model"), Some(0.0)));
    assert_eq!(body["stop"], json!(["Instruction:", "Instruction", "Response:", "Response"]));
    assert!(body["prompt"].as_str().unwrap().contains("### Instruction:\n"));
    holds_no_key(&project, &said);
    // Again: nothing is asked, the figures are the same.
    assert_eq!(eval(&project, &stub.url, &[]).ok(), said.stdout());
    assert_eq!(stub.asked().len(), 8);
}

#[test]
fn passing_trouble_is_waited_out() {
    let project = Project::new();
    // Every question meets another trouble before it is answered, the first of them two: how long one waits doubles with every
    // trouble in a row.
    let troubles: [fn() -> Does; 7] = [
        || Does::BreaksOff("{\"choices\": [{\"te".into()),
        || fails(429, Some("0"), "slow down", "rate_limit"),
        || fails(503, Some("0"), "overloaded", "x"),
        || Does::HangsUp,
        || Does::Answers(200, None, "<html>gateway</html>".into()),
        || Does::Answers(200, None, "{\"object\": \"error\"}".into()),
        || Does::Dawdles(Duration::from_secs(3), "{}".into()),
    ];
    let stub = Stub::new(move |number, _| match number {
        0 => troubles[0](),
        n if n % 2 == 1 && n < 12 => troubles[n.div_ceil(2)](),
        _ => continues(" The answer is: 5"),
    });
    let more = ["--concurrency", "1", "--attempts", "3", "--timeout", "1"];
    let args =
        ["eval", "m", "--engine", "openai", "--base-url", &stub.url, "--bench", "gsm8k", "--limit", "7"];
    let said = project.m3(&[&args[..], &more, &["--json"]].concat());
    let result: Value = serde_json::from_str(&said.ok()).unwrap();
    assert_eq!((&result["results"][0]["n"], &result["results"][0]["invalid"]), (&json!(7), &json!(0)));
    assert_eq!(stub.asked().len(), 7 + 7);
    assert!(said.stderr().contains("trying again"), "{}", said.stderr());
}

#[test]
fn lasting_trouble_is_one_error_and_what_came_before_is_kept() {
    // The first three questions are answered, then something is wrong for good.
    type Trouble = fn() -> Does;
    let troubles: [(Trouble, &[&str]); 8] = [
        (
            || fails(429, Some("0"), "you are over your quota", "x"),
            &["status 429", "over your quota", "2 times"],
        ),
        (|| fails(429, Some("9999"), "later", "x"), &["wait 9999 s"]),
        (|| fails(500, Some("0"), "boom", "x"), &["status 500", "boom"]),
        (
            || fails(401, None, "Incorrect key sk-sesame", "x"),
            &["refuses the key", "OPENAI_API_KEY", "[key]"],
        ),
        (
            || fails(404, None, "no such model", "x"),
            &["does not serve the model `served/model`", "no such model"],
        ),
        (|| fails(400, None, "bad model", "model_not_found"), &["does not serve the model `served/model`"]),
        (|| Does::BreaksOff("{\"cho".into()), &["broke off"]),
        (|| Does::Answers(200, None, "so sorry".into()), &["not JSON", "so sorry"]),
    ];
    for (trouble, words) in troubles {
        let project = Project::new();
        let well = Arc::new(AtomicBool::new(false));
        let healed = Arc::clone(&well);
        let stub = Stub::new(move |number, _| {
            if number < 3 || healed.load(Ordering::SeqCst) {
                continues(" The answer is: 5")
            } else {
                trouble()
            }
        });
        let said = eval(&project, &stub.url, &["--concurrency", "1"]);
        let error = said.fails(1);
        for word in words {
            assert!(error.contains(word), "{word}: {error}");
        }
        holds_no_key(&project, &said);
        assert_eq!(answers_on_disk(&project), 3, "{error}");
        // Once it is well, the same command asks for the rest only.
        well.store(true, Ordering::SeqCst);
        let before = stub.asked().len();
        eval(&project, &stub.url, &["--concurrency", "1"]).ok();
        assert_eq!(stub.asked().len() - before, 5);
    }
}

#[test]
fn a_dead_server_is_named() {
    let project = Project::new();
    let url = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}/v1", listener.local_addr().unwrap())
    };
    let error = eval(&project, &url, &[]).fails(1);
    assert!(error.contains(&url) && error.contains("2 times"), "{error}");
}

#[test]
fn a_request_that_the_server_refuses_is_invalid_and_the_others_count() {
    let project = Project::new();
    let stub = Stub::new(|number, _| match number {
        2 => fails(400, None, "This model's maximum context length is 8 tokens", "context_length_exceeded"),
        _ => continues(" The answer is: 5"),
    });
    let said = eval(&project, &stub.url, &["--concurrency", "1"]);
    let result: Value = serde_json::from_str(&said.ok()).unwrap();
    // As with a model of this process that has no room for a prompt.
    assert_eq!(
        (result["results"][0]["n"].as_u64(), result["results"][0]["invalid"].as_u64()),
        (Some(8), Some(1))
    );
}

#[test]
fn what_cannot_be_asked_is_said_before_anything_is() {
    let project = Project::new();
    let stub = Stub::new(|_, _| continues("x"));
    let with_login = stub.url.replace("http://", "http://me:sesame@");
    for (args, word) in [
        (vec!["--engine", "openai"], "--base-url"),
        (vec!["--base-url", &stub.url], "--engine openai"),
        (vec!["--engine", "openai", "--base-url", "localhost:1"], "http://"),
        (vec!["--engine", "openai", "--base-url", &with_login], "login"),
        (vec!["--engine", "openai", "--base-url", &stub.url, "--max-cost", "1"], "--price"),
    ] {
        let error =
            project.m3(&[&["eval", "m", "--bench", "gsm8k", "--limit", "1"], &args[..]].concat()).fails(1);
        assert!(error.contains(word) && !error.contains("sesame"), "{error}");
    }
    let error = project.m3(&["reproduce", "table1", "--engine", "openai"]).fails(1);
    assert!(error.contains("m3 eval"), "{error}");
    assert!(stub.asked().is_empty());
}
