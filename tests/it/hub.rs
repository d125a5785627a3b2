//! Models on a hub: a little server stands in for it.

use crate::cli::{Project, Said, home};
use crate::tiny_model::TinyModel;
use m3::checkpoint::{Checkpoint, HubOptions, OpenOptions};
use m3::event::{Event, Observer, Silent};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// Serves the files of a folder as `org/tiny`, revision `main` or `v1`.
struct Hub {
    address: String,
    asked: Arc<AtomicUsize>,
    /// While this is set, weights stop coming half way.
    stalls: Arc<AtomicBool>,
    /// From which byte weights were asked for last.
    begins: Arc<AtomicUsize>,
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
        let (stalls, begins) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let hub = Self { address, asked: asked.clone(), stalls: stalls.clone(), begins: begins.clone() };
        // The thread ends with the process.
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                asked.fetch_add(1, Ordering::SeqCst);
                answer(&mut stream.unwrap(), &files, &stalls, &begins);
            }
        });
        hub
    }
}

fn answer(
    stream: &mut TcpStream,
    files: &BTreeMap<String, Vec<u8>>,
    stalls: &AtomicBool,
    begins: &AtomicUsize,
) {
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
    let mut now = body.len();
    if let Some((first, None)) = from.filter(|_| path.ends_with(".safetensors")) {
        begins.store(first, Ordering::SeqCst);
        if stalls.load(Ordering::SeqCst) {
            now /= 2;
        }
    }
    // The client may have gone.
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body[..now]));
    while now < body.len() && stalls.load(Ordering::SeqCst) {
        std::thread::sleep(Duration::from_millis(10));
    }
    let _ = stream.write_all(&body[now..]);
}

fn m3(project: &Project, model: &str, environment: &[(&str, &str)]) -> Said {
    Said(command(project, model, environment).output().unwrap())
}

fn command(project: &Project, model: &str, environment: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_m3"));
    command
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
        .stdin(Stdio::null());
    command
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

#[test]
fn ctrl_c_stops_in_the_middle_of_a_file_and_the_next_run_goes_on_behind_it() {
    let project = Project::new();
    let model = TinyModel { layers: 1, ..TinyModel::default() };
    model.write(&project.path("folder"), |_, _| true);
    let hub = Hub::serve(&project.path("folder"));
    let endpoint = [("HF_ENDPOINT", hub.address.as_str())];
    hub.stalls.store(true, Ordering::SeqCst);
    let mut child = command(&project, "org/tiny", &endpoint)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Half of the weights, which is more than any small file has.
    let half = std::fs::metadata(project.path("folder/model.safetensors")).unwrap().len() / 2;
    let blobs = project.path("cache/hub/models--org--tiny/blobs");
    let begun = || {
        let parts = std::fs::read_dir(&blobs).into_iter().flatten().map(|e| e.unwrap());
        parts.filter(|e| e.path().extension().is_some_and(|e| e == "part")).any(|e| {
            let len = e.metadata().unwrap().len();
            len > 0 && len >= half
        })
    };
    while !begun() {
        assert!(child.try_wait().unwrap().is_none(), "it ended before it had begun to fetch the weights");
        std::thread::sleep(Duration::from_millis(10));
    }
    let asked = Instant::now();
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let said = Said(child.wait_with_output().unwrap()).fails(4);
    assert!(said.contains("stopped while fetching `org/tiny`"), "{said}");
    assert!(asked.elapsed() < Duration::from_secs(10), "{:?}", asked.elapsed());
    hub.stalls.store(false, Ordering::SeqCst);
    m3(&project, "org/tiny", &endpoint).ok();
    assert_eq!(hub.begins.load(Ordering::SeqCst) as u64, half, "what had come was not fetched again");
}

/// Wants to stop once so many bytes have come.
struct Impatient {
    enough: u64,
    come: AtomicU64,
}

impl Observer for Impatient {
    fn observe(&self, event: &Event<'_>) {
        if let Event::Advanced { by } = event {
            self.come.fetch_add(*by, Ordering::SeqCst);
        }
    }

    fn stop_requested(&self) -> bool {
        self.come.load(Ordering::SeqCst) >= self.enough
    }
}

#[test]
fn a_stopped_download_does_not_go_on_behind_the_back() {
    let project = Project::new();
    let model = TinyModel { layers: 1, ..TinyModel::default() };
    model.write(&project.path("folder"), |_, _| true);
    let hub = Hub::serve(&project.path("folder"));
    hub.stalls.store(true, Ordering::SeqCst);
    let options = |watch| OpenOptions {
        hub: HubOptions {
            home: Some(project.path("cache")),
            endpoint: Some(hub.address.clone()),
            ..HubOptions::default()
        },
        digests: None,
        watch,
    };
    let reference = "org/tiny".parse().unwrap();
    let size = |name: &str| std::fs::metadata(project.path("folder").join(name)).unwrap().len();
    // The small files, and what comes of the weights before they stall.
    let half = size("model.safetensors") / 2;
    let enough = size("config.json") + size("tokenizer.json") + half;
    let impatient = Impatient { enough, come: AtomicU64::new(0) };
    let stopped = Checkpoint::open(&reference, &options(&impatient)).unwrap_err();
    assert!(stopped.is_stop(), "{stopped}");
    let fetched = project.path(&format!("cache/hub/models--org--tiny/snapshots/{COMMIT}/model.safetensors"));
    hub.stalls.store(false, Ordering::SeqCst);
    std::thread::sleep(Duration::from_millis(500));
    assert!(!fetched.exists(), "the rest came although nobody wanted it");
    // The lock of the file is free again, or this would wait for it and fail.
    Checkpoint::open(&reference, &options(&Silent)).unwrap();
    assert!(fetched.exists());
    assert_eq!(hub.begins.load(Ordering::SeqCst) as u64, half);
}
