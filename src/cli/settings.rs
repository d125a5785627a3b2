//! What the flags mean on this machine: where the project's files are, and what the environment says. The only reader
//! of the environment.

use super::args::{
    Args, Confining, EngineName, LimitFlags, ProfileName, Running, SandboxName, Server, SplitName,
};
use super::failure::Failure;
use super::output::Output;
use crate::bench::{Benchmark, DataSource, Profile, Split};
use crate::checkpoint::{HubOptions, OpenOptions};
use crate::engine::{DeviceChoice, Limits};
use crate::experiment::{EngineChoice, LabSettings};
use crate::remote::{Budget, RemoteSettings, Secret};
use crate::sandbox;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Settings that all commands share.
pub(super) struct Settings {
    /// The folder that holds experiments/, models/ and datasets/, if there is one.
    home: Option<PathBuf>,
    /// `PATH`, where Python is looked for.
    search_path: Vec<PathBuf>,
    /// Where models that are not on disk come from.
    hub: HubOptions,
    digests: Option<PathBuf>,
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
        Ok(Self { home, search_path, hub: hub_options(), digests: digests(), program })
    }

    /// Where models that are not on disk come from.
    pub(super) fn hub(&self) -> &HubOptions {
        &self.hub
    }

    /// How models are looked for.
    pub(super) fn open<'o>(&self, output: &'o Output) -> OpenOptions<'o> {
        OpenOptions { hub: self.hub.clone(), digests: self.digests.clone(), watch: output }
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
            (SandboxName::Auto, _) => sandbox::Policy::Auto,
            (SandboxName::Namespaces, _) => sandbox::Policy::Namespaces,
            (SandboxName::Bubblewrap, _) => sandbox::Policy::Bubblewrap,
            (SandboxName::Landlock, _) => sandbox::Policy::Landlock,
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

    /// The server that the flags name, asked for `model`. `price` is known of the model, unless the flags say it.
    pub(super) fn server(
        flags: &Server,
        model: &str,
        price: Option<(f64, f64)>,
    ) -> Result<RemoteSettings, Failure> {
        let Some(url) = &flags.base_url else {
            return Err(Failure::request(
                "name the server with --base-url, such as http://127.0.0.1:8000/v1",
            ));
        };
        let price = flags.price.or(price);
        if flags.max_cost.is_some() && price.is_none() {
            return Err(Failure::request(
                "--max-cost needs to know what tokens cost: give --price INPUT,OUTPUT, in US dollars for a million tokens",
            ));
        }
        let (input, output) = price.unwrap_or_default();
        Ok(RemoteSettings {
            key: key(&flags.api_key_env)?,
            key_variable: flags.api_key_env.clone(),
            concurrency: usize::from(flags.concurrency),
            attempts: flags.attempts,
            timeout: Duration::from_secs(flags.timeout),
            budget: Budget { input, output, limit: flags.max_cost },
            ..RemoteSettings::new(url, model)?
        })
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
            // A server's model is opened by the command itself.
            engine: match (running.engine, running.device.device) {
                (EngineName::Openai, DeviceChoice::Cuda(_)) => {
                    return Err(Failure::request(
                        "--device is not for --engine openai, whose server has the model",
                    ));
                }
                (EngineName::Openai, _) => EngineChoice::default(),
                (name, device) => engine(name, device)?,
            },
            limits: limits(&running.limits),
            sandbox: self.confined(&running.confining)?,
            limit,
            holdout: None,
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
pub(super) fn profiles(name: ProfileName, benchmark: &Benchmark, output: &Output) -> Vec<Profile> {
    match name {
        ProfileName::Paper => vec![Profile::Paper],
        ProfileName::Standard => vec![Profile::Standard],
        ProfileName::Both if benchmark.measures(Profile::Standard).is_err() => {
            output.note(&format!("{} has no standard profile: the paper's stands alone", benchmark.id()));
            vec![Profile::Paper]
        }
        ProfileName::Both => vec![Profile::Paper, Profile::Standard],
    }
}

/// An engine of this process. On a GPU both of ours are one.
pub(super) fn engine(name: EngineName, device: DeviceChoice) -> Result<EngineChoice, Failure> {
    match name {
        EngineName::Batched | EngineName::Bf16 if let Some(number) = device.gpu()? => {
            Ok(EngineChoice::Gpu(number))
        }
        EngineName::Reference if matches!(device, DeviceChoice::Cuda(_)) => Err(Failure::request(
            "--engine reference runs on the CPU; leave --device out, or take another engine",
        )),
        EngineName::Batched => Ok(EngineChoice::Batched),
        EngineName::Bf16 => Ok(EngineChoice::Bf16),
        EngineName::Reference => Ok(EngineChoice::Reference),
        EngineName::Openai => Err(Failure::request(
            "this command needs the weights, which a server keeps; --engine openai goes with m3 eval",
        )),
    }
}

/// The key in an environment variable, if it is set.
fn key(variable: &str) -> Result<Option<Secret>, Failure> {
    match std::env::var_os(variable).filter(|v| !v.is_empty()) {
        None => Ok(None),
        Some(value) => Ok(Some(Secret::new(&value.to_string_lossy(), variable)?)),
    }
}

pub(super) fn limits(flags: &LimitFlags) -> Limits {
    Limits { memory: flags.memory, sequences: flags.batch.0 }
}

/// Where digests of weights are kept between commands: `$M3_CACHE/digests`, or in the user's cache; nowhere if `M3_CACHE` is empty.
fn digests() -> Option<PathBuf> {
    let folder = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    let cache = match std::env::var_os("M3_CACHE") {
        Some(cache) => Some(PathBuf::from(cache)).filter(|cache| !cache.as_os_str().is_empty()),
        None => {
            folder("XDG_CACHE_HOME").or_else(|| Some(folder("HOME")?.join(".cache"))).map(|c| c.join("m3"))
        }
    };
    cache.map(|cache| cache.join("digests"))
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
