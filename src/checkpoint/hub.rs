//! Models, and files of data sets, on a Hugging Face hub: found in the cache that its other tools share, or fetched into it.
//!
//! The cache is laid out as `hub/models--ORGANISATION--NAME/snapshots/COMMIT/…` (`datasets--…` for data sets), with the
//! commit of a branch in `refs/BRANCH` (huggingface_hub, "Understand caching"). What is whole in the cache is used without
//! a network.

use super::folder::{Index, WEIGHTS};
use super::{CheckpointError, Location, OpenOptions};
use crate::digest::sha256;
use crate::files;
use std::path::{Path, PathBuf};

/// What is looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Model,
    Adapter,
    /// One file of a data set.
    Data(String),
}

/// Where the file `name` of a data set is on disk; it is fetched if the cache lacks it and `options` do not forbid it.
pub fn data_file(
    dataset: &str,
    revision: &str,
    name: &str,
    options: &OpenOptions<'_>,
) -> Result<PathBuf, CheckpointError> {
    let location = Location { place: dataset.to_owned(), revision: Some(revision.to_owned()) };
    let path = find(&location, &Kind::Data(name.to_owned()), options)?.join(name);
    let blob = files::canonical(&path)?;
    // The cache names a large file by its SHA-256, as the hub announced it.
    let announced = blob.file_name().and_then(|n| n.to_str()).filter(|n| n.len() == 64).unwrap_or_default();
    if !announced.is_empty() && sha256(&files::read(&blob)?) != announced {
        let reason = format!(
            "its bytes are not those that the hub announced; remove `{}` and try again",
            blob.display()
        );
        return Err(CheckpointError::Hub { id: format!("{location}/{name}"), reason });
    }
    Ok(path)
}

/// Where `location` is on disk. Fetches what the cache lacks, unless `options` forbid it.
pub(super) fn find(
    location: &Location,
    kind: &Kind,
    options: &OpenOptions<'_>,
) -> Result<PathBuf, CheckpointError> {
    let failed = |reason: String| CheckpointError::Hub { id: location.to_string(), reason };
    let Some(home) = &options.hub.home else {
        return Err(failed("no cache folder is known; set HF_HOME".into()));
    };
    let cache = home.join("hub");
    if let Some(snapshot) = cached(&cache, location, kind).filter(|s| is_whole(s, kind)) {
        return Ok(snapshot);
    }
    if options.hub.offline {
        return Err(failed(format!(
            "HF_HUB_OFFLINE is set and `{}` does not hold it whole; unset it, or name a folder",
            cache.display()
        )));
    }
    fetch(location, kind, &cache, options).map_err(|end| match end {
        Unfetched::Failed(reason) => failed(reason),
        Unfetched::Stopped => CheckpointError::FetchStopped { id: location.to_string() },
    })
}

/// Why something was not fetched.
#[cfg_attr(not(feature = "hub"), expect(dead_code, reason = "nothing is fetched that could be stopped"))]
enum Unfetched {
    /// A sentence about the cause.
    Failed(String),
    /// The user asked to stop.
    Stopped,
}

impl From<String> for Unfetched {
    fn from(reason: String) -> Self {
        Self::Failed(reason)
    }
}

/// The snapshot of a revision, if the cache has one.
fn cached(cache: &Path, location: &Location, kind: &Kind) -> Option<PathBuf> {
    let of = if matches!(kind, Kind::Data(_)) { "datasets" } else { "models" };
    let folder = cache.join(format!("{of}--{}", location.place.replace('/', "--")));
    let revision = location.revision.as_deref().unwrap_or("main");
    if revision.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return None;
    }
    let commit = files::read_text(&folder.join("refs").join(revision))
        .map_or_else(|_| revision.to_owned(), |commit| commit.trim().to_owned());
    let snapshot = folder.join("snapshots").join(commit);
    files::is_folder(&snapshot).then_some(snapshot)
}

/// Whether a snapshot has everything that opening it needs.
fn is_whole(snapshot: &Path, kind: &Kind) -> bool {
    let has = |name: &str| files::is_file(&snapshot.join(name));
    let whole = |stem: &str| {
        let index = snapshot.join(format!("{stem}.index.json"));
        if !files::is_file(&index) {
            return has(stem);
        }
        let index = files::read_text(&index).ok().and_then(|text| Index::parse(&text, &index).ok());
        index.is_some_and(|index| index.weight_map.values().all(|shard| has(shard)))
    };
    match kind {
        Kind::Data(name) => has(name),
        Kind::Adapter => {
            has("adapter_config.json") && (has("adapter_model.safetensors") || has("adapter_model.bin"))
        }
        Kind::Model => {
            let named = has("config.json") && has("tokenizer.json");
            let gguf = files::list(snapshot)
                .is_ok_and(|all| all.iter().any(|f| f.extension().is_some_and(|e| e == "gguf")));
            named && WEIGHTS.iter().any(|stem| whole(stem)) || gguf
        }
    }
}

#[cfg(not(feature = "hub"))]
fn fetch(_: &Location, _: &Kind, _: &Path, _: &OpenOptions<'_>) -> Result<PathBuf, Unfetched> {
    Err(Unfetched::Failed(
        "this program was built without the feature `hub`; fetch it by other means and name the folder"
            .into(),
    ))
}

#[cfg(feature = "hub")]
use client::fetch;

#[cfg(feature = "hub")]
mod client {
    use super::super::folder::{OTHER_FILES, WEIGHTS};
    use super::super::{Location, OpenOptions};
    use super::{Kind, Unfetched};
    use crate::event::{Event, Observer};
    use crate::files;
    use hf_hub::api::Progress;
    use hf_hub::api::sync::{ApiBuilder, ApiError, ApiRepo};
    use hf_hub::{Cache, Repo, RepoType};
    use std::path::{Path, PathBuf};
    use std::sync::Arc;
    use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
    use std::time::{Duration, Instant};

    /// How often the user's wish to stop is looked for.
    const GLANCE: Duration = Duration::from_millis(100);

    /// Fetches a model or an adapter into `cache` and returns the folder. What came of a file before a stop stays in the cache,
    /// and the next fetch goes on behind it.
    pub(super) fn fetch(
        location: &Location,
        kind: &Kind,
        cache: &Path,
        options: &OpenOptions<'_>,
    ) -> Result<PathBuf, Unfetched> {
        let (hub, watch) = (&options.hub, options.watch);
        let cache = Cache::new(cache.to_owned());
        let mut builder = ApiBuilder::from_cache(cache.clone()).with_progress(false);
        if let Some(token) = &hub.token {
            builder = builder.with_token(Some(token.clone()));
        }
        if let Some(endpoint) = &hub.endpoint {
            builder = builder.with_endpoint(endpoint.trim_end_matches('/').to_owned());
        }
        let api = builder.build().map_err(|e| e.to_string())?;
        let revision = location.revision.clone().unwrap_or_else(|| "main".to_owned());
        let of = if matches!(kind, Kind::Data(_)) { RepoType::Dataset } else { RepoType::Model };
        let repo = |revision: String| Repo::with_revision(location.place.clone(), of, revision);
        let named = Arc::new(api.repo(repo(revision.clone())));
        let begun = Instant::now();
        let info = patiently(hub.patience, watch, {
            let named = named.clone();
            move |_| named.info()
        })?;
        if info.sha.is_empty() || !info.sha.chars().all(|c| c.is_ascii_hexdigit()) {
            return Err(format!("the hub gave `{}` as its commit", info.sha).into());
        }
        let names: Vec<String> = info.siblings.into_iter().map(|s| s.rfilename).collect();
        // All files come from one commit, even if the branch moves meanwhile.
        let exact = Arc::new(api.repo(repo(info.sha.clone())));
        let snapshot = cache.repo(repo(info.sha.clone())).pointer_path(&info.sha);
        let wanted = choose(&names, kind)?;
        watch.observe(&Event::Started { work: "fetching", total: None, unit: "bytes" });
        for name in wanted {
            if files::is_file(&snapshot.join(&name)) {
                continue;
            }
            let exact: Arc<ApiRepo> = exact.clone();
            patiently(hub.patience, watch, move |tell| exact.download_with_progress(&name, tell))?;
        }
        cache.repo(repo(revision)).create_ref(&info.sha).map_err(|e| e.to_string())?;
        watch.observe(&Event::Finished { took: begun.elapsed() });
        Ok(snapshot)
    }

    /// The files of a repository that are needed, small ones first. Names that are no plain file names are not asked for.
    fn choose(names: &[String], kind: &Kind) -> Result<Vec<String>, String> {
        if let Kind::Data(name) = kind {
            return if names.contains(name) {
                Ok(vec![name.clone()])
            } else {
                Err(format!("it has no file `{name}`"))
            };
        }
        let plain = |n: &&String| !n.contains(['/', '\\']) && !n.starts_with('.');
        let names: Vec<&String> = names.iter().filter(plain).collect();
        let has = |name: &str| names.iter().any(|n| *n == name);
        if *kind == Kind::Adapter {
            let weights = ["adapter_model.safetensors", "adapter_model.bin"].into_iter().find(|n| has(n));
            let weights = weights.ok_or("it has no adapter_model.safetensors and no adapter_model.bin")?;
            return if has("adapter_config.json") {
                Ok(vec!["adapter_config.json".into(), weights.into()])
            } else {
                Err("it has no adapter_config.json".into())
            };
        }
        for stem in WEIGHTS {
            let index = format!("{stem}.index.json");
            if !has(stem) && !has(&index) {
                continue;
            }
            let mut wanted: Vec<String> = Vec::new();
            for name in ["config.json", "tokenizer.json"] {
                if !has(name) {
                    return Err(format!("it has no {name}"));
                }
                wanted.push(name.to_owned());
            }
            wanted.extend(OTHER_FILES.iter().filter(|n| has(n)).map(|n| (*n).to_owned()));
            if has(&index) {
                let (first, last) = stem.rsplit_once('.').unwrap_or((stem, ""));
                let shard =
                    |n: &&&String| n.starts_with(&format!("{first}-")) && n.ends_with(&format!(".{last}"));
                wanted.push(index);
                wanted.extend(names.iter().filter(shard).map(|n| (**n).clone()));
            } else {
                wanted.push(stem.to_owned());
            }
            return Ok(wanted);
        }
        let is_gguf = |n: &&&String| Path::new(n).extension().is_some_and(|e| e == "gguf");
        let gguf: Vec<&&String> = names.iter().filter(is_gguf).collect();
        match gguf.as_slice() {
            [one] => Ok(vec![(**one).clone()]),
            [] => Err("it has neither safetensors nor pytorch_model.bin nor a GGUF file".into()),
            _ => Err("it has several GGUF files; fetch the one that is meant and name that file".into()),
        }
    }

    /// What is heard from the thread that talks to the hub.
    enum Said<T> {
        Bytes(u64),
        Done(Result<T, ApiError>),
    }

    /// Tells how many bytes came.
    struct Teller<T>(Sender<Said<T>>);

    impl<T> Progress for Teller<T> {
        fn init(&mut self, _: usize, _: &str) {}

        /// Ends the thread once nobody listens any more. The client has no other way out of a download; unwinding closes its
        /// file and gives its lock back, and `resume_unwind` prints nothing.
        fn update(&mut self, size: usize) {
            if self.0.send(Said::Bytes(size as u64)).is_err() {
                std::panic::resume_unwind(Box::new("nobody waits for the download"));
            }
        }

        fn finish(&mut self) {}
    }

    /// Runs `work` and gives up when the user asks to stop, or when nothing is heard of it for `patience`. The client has no
    /// time limits of its own; therefore it runs on a thread, which is left behind then and ends at the next bytes.
    fn patiently<T: Send + 'static>(
        patience: Duration,
        watch: &dyn Observer,
        work: impl FnOnce(Teller<T>) -> Result<T, ApiError> + Send + 'static,
    ) -> Result<T, Unfetched> {
        let (tell, heard) = channel();
        let teller = Teller(tell.clone());
        std::thread::spawn(move || {
            let done = work(teller);
            let _ = tell.send(Said::Done(done));
        });
        let mut last_heard = Instant::now();
        loop {
            if watch.stop_requested() {
                return Err(Unfetched::Stopped);
            }
            match heard.recv_timeout(GLANCE.min(patience)) {
                Ok(Said::Bytes(by)) => {
                    last_heard = Instant::now();
                    watch.observe(&Event::Advanced { by });
                }
                Ok(Said::Done(done)) => return done.map_err(|e| explain(&e).into()),
                Err(RecvTimeoutError::Timeout) if last_heard.elapsed() < patience => {}
                Err(RecvTimeoutError::Timeout) => {
                    let seconds = patience.as_secs_f64();
                    let reason = format!("the hub was silent for {seconds} s; try again, or name a folder");
                    return Err(reason.into());
                }
                Err(RecvTimeoutError::Disconnected) => {
                    let reason = "the hub answered something that its client does not understand".to_owned();
                    return Err(reason.into());
                }
            }
        }
    }

    fn explain(error: &ApiError) -> String {
        let said = error.to_string();
        if ["401", "403"].iter().any(|code| said.ends_with(code)) {
            "the hub has no such public model or data set; check the name, or set HF_TOKEN if it is private or gated"
                .into()
        } else if said.ends_with("404") {
            "the hub has no such model, data set or revision".into()
        } else {
            let said = said.trim_start_matches("request error: ");
            format!("the hub cannot be used ({said}); check the connection, or name a folder")
        }
    }
}
