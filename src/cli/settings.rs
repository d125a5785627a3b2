//! What the flags mean on this machine: where the project's files are, and what the environment says. The only reader
//! of the environment.

use super::args::{Args, Confining, EngineName, ProfileName, Running, SandboxName, SplitName};
use super::failure::Failure;
use super::output::Output;
use crate::bench::{Benchmark, DataSource, Profile, Split};
use crate::checkpoint::{HubOptions, OpenOptions};
use crate::experiment::{EngineChoice, LabSettings};
use crate::sandbox;
use std::path::{Path, PathBuf};

/// Settings that all commands share.
pub(super) struct Settings {
    /// The folder that holds experiments/, models/ and datasets/, if there is one.
    home: Option<PathBuf>,
    /// `PATH`, where Python is looked for.
    search_path: Vec<PathBuf>,
    /// Where models that are not on disk come from.
    hub: HubOptions,
    /// This program, which starts itself again to confine others.
    program: PathBuf,
}

impl Settings {
    pub(super) fn resolve(args: &Args) -> Result<Self, Failure> {
        let program = std::env::current_exe().map_err(|e| Failure::Fault(Box::new(e)))?;
        let home = match &args.home {
            Some(home) if !is_home(home) => {
                return Err(Failure::request(format!(
                    "`{}` has no folder experiments; --home is the folder that holds experiments, models and datasets",
                    home.display()
                )));
            }
            Some(home) => Some(home.clone()),
            None => {
                let working = std::env::current_dir().unwrap_or_default();
                let mut above = working.ancestors().chain(program.ancestors());
                above.find(|p| is_home(p)).map(Path::to_owned)
            }
        };
        let search_path =
            std::env::var_os("PATH").map(|p| std::env::split_paths(&p).collect()).unwrap_or_default();
        Ok(Self { home, search_path, hub: hub_options(), program })
    }

    /// Where models that are not on disk come from.
    pub(super) fn hub(&self) -> &HubOptions {
        &self.hub
    }

    /// How models are looked for.
    pub(super) fn open<'o>(&self, output: &'o Output) -> OpenOptions<'o> {
        OpenOptions { hub: self.hub.clone(), watch: output }
    }

    /// The folder of the project's own files.
    pub(super) fn home(&self) -> Result<&Path, Failure> {
        self.home.as_deref().ok_or_else(|| {
            Failure::request(
                "the project's files were not found: run inside a clone of it, or give --home DIR, the folder that \
                 holds experiments, models and datasets",
            )
        })
    }

    /// The embedded data sets.
    fn embedded_data(&self) -> Result<DataSource, Failure> {
        Ok(DataSource::Embedded(self.home()?.join("datasets/tiny")))
    }

    /// How programs are confined, and which Python runs them: the one that was named, else the first on `PATH`.
    pub(super) fn sandbox(&self, policy: sandbox::Policy, python: Option<&Path>) -> sandbox::Settings {
        sandbox::Settings {
            policy,
            python: python.map(Path::to_owned),
            ..sandbox::Settings::new(self.program.clone(), self.search_path.clone())
        }
    }

    /// How programs are confined, as the flags say.
    pub(super) fn confined(&self, flags: &Confining) -> Result<sandbox::Settings, Failure> {
        let policy = match (flags.sandbox, flags.i_accept_arbitrary_code_execution) {
            (SandboxName::Namespaces, _) => sandbox::Policy::Namespaces,
            (SandboxName::None, true) => sandbox::Policy::None { accepted_arbitrary_code_execution: () },
            (SandboxName::None, false) => {
                return Err(Failure::request(
                    "--sandbox none runs programs that a model wrote with your rights; if you mean it, add \
                     --i-accept-arbitrary-code-execution",
                ));
            }
        };
        Ok(self.sandbox(policy, flags.python.as_deref()))
    }

    /// Where data is read from: the folder that was named, else the embedded suite.
    pub(super) fn data(&self, folder: Option<&Path>) -> Result<DataSource, Failure> {
        match folder {
            Some(folder) => Ok(DataSource::Folder(folder.to_owned())),
            None => self.embedded_data(),
        }
    }

    pub(super) fn lab(
        &self,
        running: &Running,
        data: DataSource,
        limit: Option<usize>,
    ) -> Result<LabSettings, Failure> {
        Ok(LabSettings {
            store: running.out.clone(),
            data,
            engine: engine(running.engine),
            sandbox: self.confined(&running.confining)?,
            limit,
        })
    }
}

pub(super) fn split(name: SplitName) -> Split {
    match name {
        SplitName::Validation => Split::Validation,
        SplitName::Test => Split::Test,
    }
}

/// The profiles that are meant: of both, those that the benchmark has.
pub(super) fn profiles(name: ProfileName, benchmark: &Benchmark) -> Vec<Profile> {
    match name {
        ProfileName::Paper => vec![Profile::Paper],
        ProfileName::Standard => vec![Profile::Standard],
        ProfileName::Both if benchmark.measures(Profile::Standard).is_err() => vec![Profile::Paper],
        ProfileName::Both => vec![Profile::Paper, Profile::Standard],
    }
}

pub(super) fn engine(name: EngineName) -> EngineChoice {
    match name {
        EngineName::Batched => EngineChoice::Batched,
        EngineName::Reference => EngineChoice::Reference,
    }
}

/// The variables that every tool of the hub reads (huggingface_hub, "Environment variables").
fn hub_options() -> HubOptions {
    let text =
        |name: &str| std::env::var_os(name).and_then(|v| v.into_string().ok()).filter(|v| !v.is_empty());
    let is_on = |v: String| matches!(v.to_ascii_uppercase().as_str(), "1" | "ON" | "YES" | "TRUE");
    let folder = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    HubOptions {
        home: folder("HF_HOME")
            .or_else(|| folder("XDG_CACHE_HOME").map(|cache| cache.join("huggingface")))
            .or_else(|| folder("HOME").map(|home| home.join(".cache/huggingface"))),
        token: text("HF_TOKEN"),
        offline: text("HF_HUB_OFFLINE").is_some_and(is_on),
        endpoint: text("HF_ENDPOINT"),
        ..HubOptions::default()
    }
}

fn is_home(folder: &Path) -> bool {
    folder.join("experiments").is_dir()
}
