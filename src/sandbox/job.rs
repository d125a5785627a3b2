//! The contract: what is run, under which limits, and how it ended.

use super::error::SandboxError;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// One untrusted program and the tests that judge it.
///
/// Both run in one global namespace, the candidate first; as in the reference harnesses `__name__` is `"builtins"`
/// there, standard input fails, and output goes nowhere. The tests are not in reach while the candidate's module body
/// runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// The program under test: for HumanEval the prompt and its completion.
    pub candidate: String,
    /// What must run without an exception afterwards: for HumanEval `test` and the call of `check`.
    pub tests: String,
    /// What it may use.
    pub limits: Limits,
}

/// What a program may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Wall time, counted from the moment when the interpreter stands ready. Time that a runnable program spent
    /// waiting for a processor is not counted (to at most four times the limit), so a busy machine does not flip
    /// verdicts.
    pub wall: Duration,
    /// Processor time of all threads together, interpreter start included.
    pub cpu: Duration,
    /// Address space in bytes.
    pub memory: u64,
    /// Bytes that are read from the program, which is its verdict and the text of an exception. What it prints is
    /// thrown away and does not count.
    pub output: u64,
}

impl Default for Limits {
    /// HumanEval's 3.0 s; the processor limit is only the belt behind it.
    fn default() -> Self {
        Self { wall: Duration::from_secs(3), cpu: Duration::from_secs(4), memory: 1 << 30, output: 64 << 10 }
    }
}

/// How a program ended. Only [`Ending::Passed`] is success.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// Candidate and tests ran to their end.
    Passed,
    /// An exception came out of the candidate or the tests; `sys.exit` is one too.
    Failed {
        /// The exception as text, which is often empty; the reference reports `failed: <this>`.
        exception: String,
        /// The name of its type.
        kind: String,
    },
    /// A time limit was reached.
    TimedOut {
        /// Which one.
        which: Limit,
    },
    /// The system ended it for want of memory. (An allocation beyond [`Limits::memory`] raises `MemoryError` in the
    /// program, which is an exception like others.)
    OutOfMemory,
    /// It died of a signal: a segmentation fault, a C stack overflow, an abort.
    Crashed {
        /// The signal's number.
        signal: i32,
    },
    /// The process ended before the tests were done, as by `os._exit`.
    Exited {
        /// The exit code.
        code: i32,
    },
    /// More than [`Limits::output`] bytes on the verdict channel.
    OutputFlood,
    /// It wrote to the verdict channel itself, and badly.
    Tampered,
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Passed => f.write_str("it ran to its end"),
            Self::Failed { kind, .. } => write!(f, "it ended with {kind}"),
            Self::TimedOut { which: Limit::Wall } => f.write_str("its time was up"),
            Self::TimedOut { which: Limit::Cpu } => f.write_str("its processor time was up"),
            Self::OutOfMemory => f.write_str("its memory was full"),
            Self::Crashed { signal } => write!(f, "it died of signal {signal}"),
            Self::Exited { code } => write!(f, "it left with exit code {code}"),
            Self::OutputFlood => f.write_str("it wrote too much"),
            Self::Tampered => f.write_str("it forged a verdict, and badly"),
        }
    }
}

/// A time limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    /// [`Limits::wall`].
    Wall,
    /// [`Limits::cpu`].
    Cpu,
}

/// What happened to one job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// How it ended.
    pub ending: Ending,
    /// Wall time from the moment when the interpreter stood ready.
    pub wall: Duration,
    /// Processor time, with the interpreter's start unless it was kept ready.
    pub cpu: Duration,
    /// The walls that stood around it.
    pub confinement: Confinement,
}

/// The walls around a program. Part of every record; results under different ones are not to be mixed silently.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Confinement {
    /// User, process, mount, network, IPC, host name and cgroup namespaces; a private read-only root; Landlock where
    /// the kernel has it; a seccomp filter; resource limits.
    Namespaces,
    /// The same namespaces, built by bubblewrap, and the seccomp filter.
    Bubblewrap,
    /// No namespaces: Landlock, which lets it read the interpreter's files and write none at all; a seccomp filter,
    /// without which it would see the network and other processes; resource limits.
    Landlock,
    /// Resource limits only: the program can do whatever its user can, outlive its job included.
    None,
}

impl Confinement {
    /// The kinds that hold programs, the strongest first.
    pub const HOLDING: [Self; 3] = [Self::Namespaces, Self::Bubblewrap, Self::Landlock];

    /// The name on the command line and in records.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Namespaces => "namespaces",
            Self::Bubblewrap => "bubblewrap",
            Self::Landlock => "landlock",
            Self::None => "none",
        }
    }
}

/// Which walls are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// The first of [`Confinement::HOLDING`] that works here.
    Auto,
    /// [`Confinement::Namespaces`], or nothing runs.
    Namespaces,
    /// [`Confinement::Bubblewrap`], or nothing runs.
    Bubblewrap,
    /// [`Confinement::Landlock`], or nothing runs.
    Landlock,
    /// [`Confinement::None`], by explicit consent.
    None {
        /// The consent, spelled out where it is given.
        accepted_arbitrary_code_execution: (),
    },
}

impl Policy {
    /// What may be used, in this order.
    pub(super) fn allows(self) -> Vec<Confinement> {
        match self {
            Self::Auto => Confinement::HOLDING.to_vec(),
            Self::Namespaces => vec![Confinement::Namespaces],
            Self::Bubblewrap => vec![Confinement::Bubblewrap],
            Self::Landlock => vec![Confinement::Landlock],
            Self::None { accepted_arbitrary_code_execution: () } => vec![Confinement::None],
        }
    }
}

/// What [`open`](super::open) needs to know.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The walls.
    pub policy: Policy,
    /// The executable whose `main` calls [`helper_main`](super::helper_main) first: usually
    /// `std::env::current_exe()`.
    pub helper: PathBuf,
    /// The interpreter; `None` searches.
    pub python: Option<PathBuf>,
    /// Folders searched for `python3` and `bwrap`, as in `PATH`; `/usr/bin` comes last in any case.
    pub search: Vec<PathBuf>,
    /// How many programs may run at once; more callers wait.
    pub parallel: usize,
    /// Whether an interpreter is kept ready and forked for every program, behind [`Confinement::Namespaces`]. Verdicts
    /// are the same.
    pub prefork: bool,
}

impl Settings {
    /// The best walls, the first Python found, an interpreter kept ready, and as many programs at once as there are
    /// processors.
    pub fn new(helper: PathBuf, search: Vec<PathBuf>) -> Self {
        let parallel = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self { policy: Policy::Auto, helper, python: None, search, parallel, prefork: true }
    }
}

/// Someone who runs untrusted programs.
pub trait Sandbox: Send + Sync {
    /// Runs one program to its end. May be called from several threads at once. A program that ran out of wall time
    /// without using the processor is run once more, alone. But for [`Confinement::None`], nothing of the program is left
    /// running when this returns.
    fn run(&self, job: &Job) -> Result<Report, SandboxError>;

    /// The walls around every program.
    fn confinement(&self) -> Confinement;

    /// Interpreter version, confinement and Landlock's version, for the records.
    fn describe(&self) -> String;

    /// What should be said before programs run behind weaker walls than the strongest kind; nothing where they do not.
    fn caution(&self) -> Option<String> {
        let what = match self.confinement() {
            Confinement::Namespaces => return None,
            Confinement::None => "programs that a model wrote are not confined and run with your rights",
            _ => "namespaces do not work here (`m3 doctor` says why) or were not asked for",
        };
        Some(format!("{what}: {}", self.describe()))
    }
}
