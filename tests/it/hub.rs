//! Models on a hub: a little server stands in for it.

use crate::cli::{Project, Said, home};
use crate::tiny_model::TinyModel;
use m3::checkpoint::{Checkpoint, HubOptions, OpenOptions};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// Serves the files of a folder as `org/tiny`, revision `main` or `v1`.
struct Hub {
    address: String,
    asked: Arc<AtomicUsize>,
}

impl Hub {
    fn serve(folder: &Path) -> Self {
        let files: BTreeMap<String, Vec<u8>> = std::fs::read_dir(folder)
            .unwrap()
            .map(|e| e.unwrap())
            .map(|e| (e.file_name().into_string().unwrap(), std::fs::read(e.path()).unwrap()))
            .collect();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(AtomicUsize::new(0));
        let count = asked.clone();
        // The thread ends with the process.
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                count.fetch_add(1, Ordering::SeqCst);
                answer(&mut stream.unwrap(), &files);
            }
        });
        Self { address, asked }
    }
}

fn answer(stream: &mut TcpStream, files: &BTreeMap<String, Vec<u8>>) {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
    let Some(Ok(request)) = lines.next() else { return };
    let mut from = None;
    for line in lines.by_ref().map_while(Result::ok).take_while(|l| !l.is_empty()) {
        if let Some(range) = line.to_ascii_lowercase().strip_prefix("range: bytes=") {
            let (first, last) = range.split_once('-').unwrap();
            from = Some((first.parse::<usize>().unwrap(), last.parse::<usize>().ok()));
        }
    }
    let path = request.split(' ').nth(1).unwrap();
    let (status, headers, body) =
        if matches!(path, "/api/models/org/tiny/revision/main" | "/api/models/org/tiny/revision/v1") {
            let siblings: Vec<_> = files.keys().map(|n| serde_json::json!({ "rfilename": n })).collect();
            let info = serde_json::json!({ "sha": COMMIT, "siblings": siblings });
            ("200 OK", String::new(), info.to_string().into_bytes())
        } else if let Some(file) =
            path.strip_prefix(&format!("/org/tiny/resolve/{COMMIT}/")).and_then(|n| files.get(n))
        {
            let (first, last) = from.unwrap_or((0, None));
            let part = file[first..last.map_or(file.len(), |l| (l + 1).min(file.len()))].to_vec();
            let range = format!("bytes {first}-{}/{}", first + part.len().max(1) - 1, file.len());
            let etag = m3::digest::Digest::of_bytes(file).hex();
            let headers =
                format!("etag: \"{etag}\"\r\nx-repo-commit: {COMMIT}\r\ncontent-range: {range}\r\n");
            ("206 Partial Content", headers, part)
        } else {
            ("404 Not Found", String::new(), Vec::new())
        };
    let head =
        format!("HTTP/1.1 {status}\r\n{headers}content-length: {}\r\nconnection: close\r\n\r\n", body.len());
    // The client may have gone.
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body));
}

fn m3(project: &Project, model: &str, environment: &[(&str, &str)]) -> Said {
    let output = Command::new(env!("CARGO_BIN_EXE_m3"))
        .args(["generate", model, "hello", "--max-tokens", "3", "--home"])
        .arg(home())
        .current_dir(project.root())
        .env_remove("HF_HUB_OFFLINE")
        .env_remove("HTTP_PROXY")
        .env_remove("http_proxy")
        .env_remove("ALL_PROXY")
        .env_remove("all_proxy")
        .env("HF_HOME", project.path("cache"))
        .envs(environment.iter().copied())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    Said(output)
}

#[test]
fn a_model_is_fetched_once_and_then_found_without_a_network() {
    let project = Project::new();
    let model = TinyModel { layers: 1, ..TinyModel::default() };
    model.write(&project.path("folder"), |_, _| true);
    let hub = Hub::serve(&project.path("folder"));
    let endpoint = [("HF_ENDPOINT", hub.address.as_str())];
    let fetched = m3(&project, "org/tiny", &endpoint).ok();
    assert_eq!(fetched, m3(&project, "folder", &[("HF_HUB_OFFLINE", "1")]).ok());
    assert!(project.path("cache/hub/models--org--tiny/refs/main").exists());
    let asked = hub.asked.load(Ordering::SeqCst);
    assert_eq!(m3(&project, "org/tiny", &endpoint).ok(), fetched);
    assert_eq!(m3(&project, "org/tiny", &[("HF_HUB_OFFLINE", "1")]).ok(), fetched);
    assert_eq!(m3(&project, &format!("org/tiny@{COMMIT}"), &[("HF_HUB_OFFLINE", "1")]).ok(), fetched);
    assert_eq!(hub.asked.load(Ordering::SeqCst), asked, "nothing was asked again");
    assert_eq!(m3(&project, "org/tiny@v1", &endpoint).ok(), fetched);
    let said = m3(&project, "org/none", &endpoint).fails(1);
    assert!(said.contains("org/none") && said.contains("no such model"), "{said}");
}

#[test]
fn what_cannot_be_fetched_is_said_quickly() {
    let project = Project::new();
    let begun = Instant::now();
    let said = m3(&project, "org/tiny@v1", &[("HF_HUB_OFFLINE", "1")]).fails(1);
    assert!(said.contains("org/tiny@v1") && said.contains("HF_HUB_OFFLINE"), "{said}");
    // Nobody listens at port 1.
    let said = m3(&project, "org/tiny", &[("HF_ENDPOINT", "http://127.0.0.1:1")]).fails(1);
    assert!(said.contains("org/tiny") && said.contains("connection"), "{said}");
    let said = m3(&project, "./org/tiny/x", &[]).fails(1);
    assert!(said.contains("there is no `./org/tiny/x`"), "{said}");
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
}

#[test]
fn a_hub_that_is_silent_is_given_up() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let dir = tempfile::tempdir().unwrap();
    let hub = HubOptions {
        home: Some(dir.path().to_owned()),
        endpoint: Some(format!("http://{}", silent.local_addr().unwrap())),
        patience: Duration::from_millis(300),
        ..HubOptions::default()
    };
    let options = OpenOptions { hub, ..OpenOptions::default() };
    let error = Checkpoint::open(&"org/tiny".parse().unwrap(), &options).unwrap_err().to_string();
    assert!(error.contains("org/tiny") && error.contains("silent for 0.3 s"), "{error}");
}
