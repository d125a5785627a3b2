//! The sandbox that many threads share: a few helpers, started when needed, replaced when they die.

use super::super::error::{SandboxError, SandboxUnavailable};
use super::super::job::{Confinement, Ending, Job, Limit, Limits, Report, Sandbox, Settings};
use super::helper::MARK;
use super::python::{self, Python};
use super::wire::{self, Reply, Setup};
use super::{bubblewrap, filter, rules, system};
use crate::files;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError, RwLock};

/// Opens a sandbox: finds Python, starts a helper, and runs programs whose endings are known. Fails before the first
/// answer is generated rather than after.
pub fn open(settings: &Settings) -> Result<Box<dyn Sandbox>, SandboxUnavailable> {
    let python = python::find(settings.python.as_deref(), &settings.search)?;
    let mut tiers = Vec::new();
    for confinement in settings.policy.allows() {
        let pool = Pool::new(settings, python.clone(), confinement);
        match pool.foresee().and_then(|()| pool.probe()) {
            Ok(()) => return Ok(Box::new(pool)),
            // Not the walls' fault: the next kind would not do better.
            Err(error @ SandboxUnavailable::Helper { .. }) => return Err(error),
            Err(error) => tiers.push((confinement, error)),
        }
    }
    Err(match tiers.pop() {
        Some((_, error)) if tiers.is_empty() => error,
        Some(last) => {
            tiers.push(last);
            SandboxUnavailable::Nothing { tiers }
        }
        None => SandboxUnavailable::Nothing { tiers },
    })
}

/// A running helper. Its process ends when this is dropped.
struct Helper {
    process: Child,
    to: Option<ChildStdin>,
    from: ChildStdout,
}

impl Helper {
    fn start(program: &Path, setup: &Setup) -> io::Result<Self> {
        let mut process = Command::new(program)
            .arg(MARK)
            .process_group(0) // Ctrl-C is for the pool, which stops between jobs
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let (Some(mut to), Some(from)) = (process.stdin.take(), process.stdout.take()) else {
            return Err(io::ErrorKind::BrokenPipe.into());
        };
        wire::send(&mut to, setup)?;
        Ok(Self { process, to: Some(to), from })
    }

    fn ask(&mut self, job: &Job) -> io::Result<Reply> {
        let to = self.to.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
        wire::send(to, job)?;
        wire::receive(&mut self.from)?.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        self.to = None;
        // It ends by itself when its input closes; that it is dead already is fine.
        let _ = self.process.wait();
    }
}

/// Helpers that wait for work, and how many more may be started.
struct Idle {
    helpers: Vec<Helper>,
    free: usize,
}

struct Pool {
    program: PathBuf,
    setup: Setup,
    version: String,
    idle: Mutex<Idle>,
    returned: Condvar,
    /// Held for reading by every job, for writing by one that must be alone.
    alone: RwLock<()>,
}

impl Pool {
    fn new(settings: &Settings, python: Python, confinement: Confinement) -> Self {
        let wanted = confinement == Confinement::Bubblewrap;
        let setup = Setup {
            offline: false,
            python: python.program,
            driver: python.driver,
            binds: python.binds,
            links: python.links,
            confinement,
            bubblewrap: wanted.then(|| bubblewrap::find(&settings.search)).flatten(),
            prefork: settings.prefork && confinement == Confinement::Namespaces,
        };
        Self {
            program: settings.helper.clone(),
            setup,
            version: python.version,
            idle: Mutex::new(Idle { helpers: Vec::new(), free: settings.parallel.max(1) }),
            returned: Condvar::new(),
            alone: RwLock::new(()),
        }
    }

    fn idle(&self) -> MutexGuard<'_, Idle> {
        // The lock guards no invariant that a panic could break.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the right to run one program, and a helper if one is there.
    fn take(&self) -> (Seat<'_>, Option<Helper>) {
        let mut idle = self.idle();
        while idle.free == 0 {
            idle = self.returned.wait(idle).unwrap_or_else(PoisonError::into_inner);
        }
        idle.free -= 1;
        (Seat(self), idle.helpers.pop())
    }

    /// Runs a job in a helper. If the helper dies, once more in a new one.
    fn ask(&self, job: &Job) -> io::Result<Reply> {
        let (_seat, mut waiting) = self.take();
        let mut once = || {
            let mut helper = match waiting.take() {
                Some(helper) => helper,
                None => Helper::start(&self.program, &self.setup)?,
            };
            let reply = helper.ask(job)?;
            self.idle().helpers.push(helper);
            Ok(reply)
        };
        once().or_else(|_: io::Error| once())
    }

    fn run_once(&self, job: &Job) -> Result<Report, SandboxError> {
        match self.ask(job).map_err(SandboxError::Helper)? {
            Reply::Done(report) => Ok(report),
            Reply::Walls { step, errno } => {
                Err(SandboxError::Walls { step, source: io::Error::from_raw_os_error(errno) })
            }
            Reply::NoInterpreter(seconds) => Err(SandboxError::Interpreter { seconds }),
        }
    }

    /// What can be known without running anything.
    fn foresee(&self) -> Result<(), SandboxUnavailable> {
        match self.setup.confinement {
            Confinement::Namespaces | Confinement::None => Ok(()),
            Confinement::Bubblewrap if self.setup.bubblewrap.is_none() => {
                Err(SandboxUnavailable::Bubblewrap {
                    reason: "there is no program `bwrap` on PATH or in /usr/bin; install bubblewrap"
                        .to_owned(),
                })
            }
            Confinement::Bubblewrap => match bubblewrap::complaint(&self.setup) {
                None => Ok(()),
                Some(reason) => Err(SandboxUnavailable::Bubblewrap { reason }),
            },
            Confinement::Landlock if !filter::exists() => Err(SandboxUnavailable::NoFilter),
            Confinement::Landlock => match system::landlock_abi() {
                found if found < rules::OLDEST_ALONE => {
                    Err(SandboxUnavailable::Landlock { found, needed: rules::OLDEST_ALONE })
                }
                _ => Ok(()),
            },
        }
    }

    /// Programs whose endings are known. Only when they end as they must does the pool open.
    fn probe(&self) -> Result<(), SandboxUnavailable> {
        let quoted = serde_json::to_string(&self.version).unwrap_or_default(); // a JSON string is a Python string
        let inside = "import sys\nversion = sys.version";
        let confined = self.setup.confinement != Confinement::None;
        // Behind Landlock a path may be seen to exist; what is in it may not.
        let walls = "import os, socket\nseen = []\ndef may(name, f, *a):\n    try:\n        f(*a)\n        seen.append(name)\n\
                     \u{20}   except OSError:\n        pass\n\
                     for path in ('/proc', '/proc/self', '/sys', '/var', '/home', '/root'):\n    may(path, os.listdir, path)\n\
                     may('passwd', open, '/etc/passwd')\nmay('write', open, '/var/tmp/x', 'w')\nmay('socket', socket.socket)\n\
                     parent = os.getppid()";
        let alone =
            if self.setup.confinement == Confinement::Landlock { "" } else { "parent in (0, 1) and " };
        let mut probes = vec![
            ("the same interpreter inside", inside, format!("assert version == {quoted}, version"), true),
            ("a wrong program fails", "", "assert False".to_owned(), false),
        ];
        if confined {
            let tests = format!("assert {alone}seen == [], (parent, seen)");
            probes.push(("the walls stand", walls, tests, true));
        }
        for (probe, candidate, tests, passes) in probes {
            let job = Job { candidate: candidate.to_owned(), tests, limits: Limits::default() };
            let report = self.run(&job).map_err(|e| self.explain(e))?;
            let as_expected = match &report.ending {
                Ending::Passed => passes,
                Ending::Failed { kind, .. } => !passes && kind == "AssertionError",
                _ => false,
            };
            if !as_expected {
                return Err(SandboxUnavailable::Probe { probe, found: format!("{:?}", report.ending) });
            }
        }
        Ok(())
    }

    fn explain(&self, error: SandboxError) -> SandboxUnavailable {
        match error {
            SandboxError::Helper(source) => {
                SandboxUnavailable::Helper { helper: self.program.clone(), source }
            }
            SandboxError::Walls { step, source } => {
                let fix = fix(self.setup.confinement);
                SandboxUnavailable::Walls { step, fix, source }
            }
            other @ SandboxError::Interpreter { .. } => SandboxUnavailable::Run(other),
        }
    }
}

/// A seat at the machine; given back when dropped.
struct Seat<'a>(&'a Pool);

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        self.0.idle().free += 1;
        self.0.returned.notify_one();
    }
}

impl Sandbox for Pool {
    fn run(&self, job: &Job) -> Result<Report, SandboxError> {
        let first = {
            let _together = self.alone.read().unwrap_or_else(PoisonError::into_inner);
            self.run_once(job)?
        };
        // A program that ran out of wall time without using the processor slept, or the machine stood still. A
        // sleeper is slow twice.
        let idled = first.cpu < job.limits.wall / 2;
        if idled && first.ending == (Ending::TimedOut { which: Limit::Wall }) {
            let _alone = self.alone.write().unwrap_or_else(PoisonError::into_inner);
            return self.run_once(job);
        }
        Ok(first)
    }

    fn confinement(&self) -> Confinement {
        self.setup.confinement
    }

    fn describe(&self) -> String {
        let version = self.version.split_whitespace().next().unwrap_or("?");
        let filter = if filter::exists() { "seccomp" } else { "no seccomp" };
        let landlock = match system::landlock_abi() {
            0 => "no Landlock".to_owned(),
            abi => format!("Landlock ABI {abi}"),
        };
        match self.setup.confinement {
            Confinement::None => format!("Python {version}, NOT CONFINED (resource limits only)"),
            Confinement::Namespaces => format!("Python {version}, namespaces, {filter}, {landlock}"),
            Confinement::Bubblewrap => format!("Python {version}, bubblewrap, {filter}"),
            Confinement::Landlock => format!("Python {version}, no namespaces, {filter}, {landlock}"),
        }
    }
}

/// What stands in the way of namespaces here, as far as the kernel says, and what to do about it.
fn fix(confinement: Confinement) -> String {
    if confinement != Confinement::Namespaces {
        return "if this is root, programs run as `nobody`, who must be able to reach the interpreter: install python3 \
                under /usr"
            .to_owned();
    }
    let setting = |path: &str| files::read_text(Path::new(path)).ok().map(|text| text.trim().to_owned());
    if setting("/proc/sys/user/max_user_namespaces").as_deref() == Some("0") {
        return "user namespaces are switched off; as root: sysctl user.max_user_namespaces=15000".to_owned();
    }
    if setting("/proc/sys/kernel/unprivileged_userns_clone").as_deref() == Some("0") {
        return "user namespaces are for root only; as root: sysctl kernel.unprivileged_userns_clone=1"
            .to_owned();
    }
    if setting("/proc/sys/kernel/apparmor_restrict_unprivileged_userns").as_deref() == Some("1") {
        return "AppArmor restricts user namespaces; as root: sysctl \
                kernel.apparmor_restrict_unprivileged_userns=0, or an AppArmor profile that allows `userns` to \
                this program"
            .to_owned();
    }
    "this needs Linux 5.3 with user namespaces; inside a container, its system call filter must allow clone3, \
     unshare, mount and pivot_root (docker: --security-opt seccomp=unconfined --security-opt \
     systempaths=unconfined), and `sysctl user.max_user_namespaces` must not be 0"
        .to_owned()
}
