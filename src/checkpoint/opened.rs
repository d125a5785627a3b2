//! A model of any kind, opened by its reference.

use super::lora::Lora;
use super::{
    CheckpointError, Companions, Elements, Folder, Gguf, Location, Manifest, ModelRef, Span, TensorSource,
    hub,
};
use crate::digest::Digest;
use crate::event::{Event, Observer, Silent};
use crate::files;
use crate::ids::TensorName;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// How models are looked for.
#[derive(Clone)]
pub struct OpenOptions<'a> {
    /// The hub.
    pub hub: HubOptions,
    /// The folder where digests of weights that were read are kept, so that whoever opens the same unchanged files again need
    /// not read them to know what they are; none to keep none.
    pub digests: Option<PathBuf>,
    /// Who hears of downloads and warnings.
    pub watch: &'a dyn Observer,
}

impl Default for OpenOptions<'static> {
    fn default() -> Self {
        Self { hub: HubOptions::default(), digests: None, watch: &Silent }
    }
}

/// Where models that are not on disk come from. The names are those of the environment variables that the command
/// line fills this from.
#[derive(Clone, Debug)]
pub struct HubOptions {
    /// `HF_HOME`: the folder whose `hub/` is the cache; without one nothing is fetched.
    pub home: Option<PathBuf>,
    /// `HF_TOKEN`: for models that are not public.
    pub token: Option<String>,
    /// `HF_HUB_OFFLINE`: the cache alone.
    pub offline: bool,
    /// `HF_ENDPOINT`: the hub's address, if it is not Hugging Face's.
    pub endpoint: Option<String>,
    /// How long the hub may stay silent before it counts as unreachable.
    pub patience: Duration,
}

impl Default for HubOptions {
    /// Nothing is fetched; half a minute of patience.
    fn default() -> Self {
        Self { home: None, token: None, offline: false, endpoint: None, patience: Duration::from_secs(30) }
    }
}

/// An opened model: a Hugging Face folder, a GGUF file, or one of them with an adapter. Cheap to clone.
#[derive(Clone)]
pub struct Checkpoint(Arc<Opened>);

struct Opened {
    origin: ModelRef,
    pinned: ModelRef,
    path: PathBuf,
    companions: Companions,
    weights: Arc<dyn TensorSource>,
}

/// A base: where it is, what stands beside it, its weights.
type Base = (PathBuf, Companions, Arc<dyn TensorSource>);

impl Checkpoint {
    /// Opens what `reference` names, wherever it is; headers are checked, weights are not read.
    ///
    /// A path is a folder (safetensors, or else PyTorch's `.bin`, or else exactly one GGUF file) or a GGUF file.
    /// What is no path is looked for in the hub's cache, and fetched from the hub if it is not there.
    pub fn open(reference: &ModelRef, options: &OpenOptions<'_>) -> Result<Self, CheckpointError> {
        let place = locate(&reference.base, &hub::Kind::Model, options)?;
        let (path, companions, mut weights) = open_base(&place, options.digests.as_deref())?;
        let mut pinned = ModelRef { base: pin(&reference.base, &place)?, adapter: None };
        if let Some(location) = &reference.adapter {
            let folder = locate(location, &hub::Kind::Adapter, options)?;
            pinned.adapter = Some(pin(location, &folder)?);
            let adapter = Lora::open(weights, &folder)?;
            for text in adapter.warnings() {
                options.watch.observe(&Event::Warning { text });
            }
            if let Some(trained_on) = adapter.trained_on().filter(|t| last(t) != last(&reference.base.place))
            {
                let text = format!(
                    "the adapter `{location}` was trained on `{trained_on}`, and is used with `{}`",
                    reference.base
                );
                options.watch.observe(&Event::Warning { text: &text });
            }
            if companions.config.tied_head && adapter.changes(&"model.embed_tokens.weight".into()) {
                let text =
                    format!("the adapter `{location}` changes the embedding, which is also the output head");
                options.watch.observe(&Event::Warning { text: &text });
            }
            weights = Arc::new(adapter);
        }
        Ok(Self(Arc::new(Opened { origin: reference.clone(), pinned, path, companions, weights })))
    }

    /// Opens a path: a folder or a GGUF file.
    pub fn open_path(path: &Path) -> Result<Self, CheckpointError> {
        Self::open(&ModelRef::at(path), &OpenOptions::default())
    }

    /// How it was named.
    pub fn origin(&self) -> &ModelRef {
        &self.0.origin
    }

    /// Where it was found, so that it can be found again: absolute paths, and models of a hub at their commit.
    pub fn pinned(&self) -> &ModelRef {
        &self.0.pinned
    }

    /// Where the base is on disk: a folder, or a GGUF file.
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// Config, tokenizer and the other small files; the base's, where there is an adapter.
    pub fn companions(&self) -> &Companions {
        &self.0.companions
    }
}

impl fmt::Debug for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Checkpoint({})", self.0.origin)
    }
}

/// The last part of a path or of a hub's id.
fn last(place: &str) -> &str {
    place.trim_end_matches('/').rsplit('/').next().unwrap_or_default()
}

/// The folder of a model of any kind, wherever it is: nothing in it is opened.
pub fn model_folder(reference: &ModelRef, options: &OpenOptions<'_>) -> Result<PathBuf, CheckpointError> {
    locate(&reference.base, &hub::Kind::Model, options)
}

/// Where something is on disk, after fetching it if need be.
fn locate(
    location: &Location,
    kind: &hub::Kind,
    options: &OpenOptions<'_>,
) -> Result<PathBuf, CheckpointError> {
    let path = Path::new(&location.place);
    match &location.revision {
        None if files::exists(path) => Ok(path.to_owned()),
        Some(revision) if files::exists(path) => Err(CheckpointError::RevisionOfPath {
            location: location.place.clone(),
            revision: revision.clone(),
        }),
        _ if is_hub_id(&location.place) => hub::find(location, kind, options),
        _ => Err(CheckpointError::NoSuchModel { location: location.place.clone() }),
    }
}

/// `location`, which was found at `found`: an absolute path, or the commit after which a hub's snapshot is named.
fn pin(location: &Location, found: &Path) -> Result<Location, CheckpointError> {
    if files::exists(Path::new(&location.place)) {
        let place = files::canonical(found)?.to_string_lossy().into_owned();
        return Ok(Location { place, revision: None });
    }
    let commit = found.file_name().map(|name| name.to_string_lossy().into_owned());
    Ok(Location { place: location.place.clone(), revision: commit })
}

/// Whether a text can be a hub's `organisation/name`.
fn is_hub_id(text: &str) -> bool {
    let word = |part: &str| {
        let fits = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        !part.is_empty()
            && part.len() <= 96
            && part.chars().all(fits)
            && !part.starts_with('.')
            && !part.contains("..")
    };
    text.split_once('/').is_some_and(|(organisation, name)| word(organisation) && word(name))
}

fn open_base(path: &Path, digests: Option<&Path>) -> Result<Base, CheckpointError> {
    let gguf = |path: &Path| {
        let file = Gguf::open(path)?;
        Ok((path.to_owned(), file.companions().clone(), Arc::new(file) as Arc<dyn TensorSource>))
    };
    if files::is_file(path) {
        return gguf(path);
    }
    if files::is_folder(path) && !Folder::has_weights(path) {
        let mut found = files::list(path)?;
        found.retain(|file| file.extension().is_some_and(|e| e.eq_ignore_ascii_case("gguf")));
        match found.as_slice() {
            [] => {}
            [one] => return gguf(one),
            several => {
                let name = |file: &PathBuf| file.file_name().map(|n| n.to_string_lossy().into_owned());
                let names = several.iter().filter_map(name).collect();
                return Err(CheckpointError::SeveralModels { folder: path.to_owned(), names });
            }
        }
    }
    let folder = Folder::open_known(path, digests)?;
    Ok((path.to_owned(), folder.companions().clone(), Arc::new(folder)))
}

impl TensorSource for Checkpoint {
    fn manifest(&self) -> &Manifest {
        self.0.weights.manifest()
    }

    fn read(&self, name: &TensorName, span: Span, out: &mut [f32]) -> Result<(), CheckpointError> {
        self.0.weights.read(name, span, out)
    }

    fn fetch(&self, name: &TensorName, span: Span, out: &mut Elements) -> Result<(), CheckpointError> {
        self.0.weights.fetch(name, span, out)
    }

    fn digest(&self) -> Result<Digest, CheckpointError> {
        self.0.weights.digest()
    }
}
