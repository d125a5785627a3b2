//! From a job to a running interpreter behind walls.
//!
//! The helper clones a child, into new namespaces where they are the walls, maps its user, and lets it go; the child
//! builds its root, gives up every right, and becomes the interpreter. A failure on the way comes back through a pipe
//! that the interpreter's start closes.
#![expect(unsafe_code, reason = "what stands between clone and exec")]

use super::super::job::{Confinement, Limits};
use super::child::{self, NOBODY};
use super::system::{self, c_path, check};
use super::wire::Setup;
use super::{bubblewrap, filter, root, rules};
use std::ffi::{CStr, CString};
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};

pub(super) const DRIVER: &str = include_str!("driver.py");
/// The program's user inside its namespace.
pub(super) const USER: u32 = 1000;

const ENVIRONMENT: [&CStr; 9] = [
    c"PATH=/usr/bin:/bin",
    c"HOME=/tmp",
    c"LANG=C.UTF-8",
    c"TZ=UTC",
    c"PYTHONHASHSEED=0", // the order of a set of strings must not decide a verdict
    c"PYTHONUTF8=1",
    c"MALLOC_ARENA_MAX=1", // an arena per thread would eat the address space
    c"OMP_NUM_THREADS=1",
    c"OPENBLAS_NUM_THREADS=1",
];

macro_rules! steps {
    ($($name:ident: $text:literal,)*) => {
        /// What was being done when the walls did not go up.
        #[derive(Clone, Copy, Debug)]
        pub(super) enum Step { $(#[doc = $text] $name,)* }
        impl Step {
            const ALL: &[Self] = &[$(Self::$name,)*];
            /// In words.
            pub(super) fn text(self) -> &'static str { match self { $(Self::$name => $text,)* } }
        }
    };
}

steps! {
    Pipes: "making pipes",
    Clone: "creating namespaces (clone3)",
    Map: "mapping the user into its namespace (uid_map)",
    Private: "making mounts private",
    Open: "opening the interpreter's folders",
    Tmpfs: "mounting a tmpfs",
    Folders: "making folders in the private root",
    Bind: "binding the interpreter's folders",
    Pivot: "changing the root (pivot_root)",
    ReadOnly: "making the root read-only",
    Identity: "giving up the user's rights",
    Limits: "setting resource limits",
    Descriptors: "closing descriptors",
    Landlock: "restricting files with Landlock",
    Filter: "installing the system call filter (seccomp)",
    Fork: "forking the interpreter that is kept ready",
    Bubblewrap: "building the walls with bubblewrap",
    Scratch: "making a scratch folder",
    Exec: "starting the interpreter",
    Panic: "running the child (it panicked)",
}

impl Step {
    /// For `map_err`.
    pub(super) fn failed(self) -> impl FnOnce(io::Error) -> Failure {
        move |e| Failure { step: self, errno: e.raw_os_error().unwrap_or(libc::EIO) }
    }
}

/// A step that failed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Failure {
    pub(super) step: Step,
    pub(super) errno: i32,
}

/// An interpreter that has been started.
pub(super) struct Running {
    /// Whose clocks run.
    pub(super) pid: libc::pid_t,
    pub(super) pidfd: OwnedFd,
    /// To the driver; never waits.
    pub(super) to: PipeWriter,
    /// From the driver; never waits.
    pub(super) from: PipeReader,
    /// Who knows how it ends.
    pub(super) parent: Parent,
}

/// Who started an interpreter and hears of its end.
#[derive(Clone, Copy)]
pub(super) enum Parent {
    /// This helper.
    Helper,
    /// Bubblewrap, with this number, which is this helper's child.
    Bubblewrap(libc::pid_t),
    /// An interpreter that was kept ready.
    Zygote,
}

/// The driver's ends of the pipes, and ours.
pub(super) struct Pipes {
    pub(super) input: PipeReader,
    pub(super) output: PipeWriter,
    pub(super) to: PipeWriter,
    pub(super) from: PipeReader,
}

impl Pipes {
    pub(super) fn new() -> Result<Self, Failure> {
        let pipe = || io::pipe().map_err(Step::Pipes.failed());
        let ((input, to), (from, output)) = (pipe()?, pipe()?);
        system::never_wait(to.as_fd())
            .and_then(|()| system::never_wait(from.as_fd()))
            .map_err(Step::Pipes.failed())?;
        Ok(Self { input, output, to, from })
    }
}

/// How a child in namespaces of its own is kept from the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Network {
    /// By a namespace of its own.
    Own,
    /// By the helper's, which leads nowhere either.
    Helper,
}

impl Network {
    pub(super) fn of(setup: &Setup) -> Self {
        if setup.offline { Self::Helper } else { Self::Own }
    }
}

/// What a child becomes, and what it does before.
pub(super) struct Role<'a> {
    /// Whether it gets namespaces of its own, and one of them for the network.
    pub(super) namespaces: Option<Network>,
    /// What it does on the way.
    pub(super) prepare: &'a dyn Fn() -> Result<(), Failure>,
    /// The program, and its arguments from its own name on.
    pub(super) arguments: &'a [CString],
}

/// The interpreter and its first arguments; what it runs comes behind.
pub(super) fn python(setup: &Setup) -> Result<Vec<CString>, Failure> {
    let mut arguments = vec![c_path(&setup.python).map_err(Step::Exec.failed())?];
    arguments.extend([c"-s", c"-S", c"-B", c"-c"].map(CStr::to_owned));
    Ok(arguments)
}

/// A text as an argument.
pub(super) fn argument(text: impl Into<Vec<u8>>) -> Result<CString, Failure> {
    CString::new(text).map_err(|e| Step::Exec.failed()(e.into()))
}

/// Starts the interpreter with the driver, behind the walls of `setup`.
pub(super) fn launch(setup: &Setup, limits: &Limits, scratch: &CStr) -> Result<Running, Failure> {
    let pipes = Pipes::new()?;
    let mut arguments = python(setup)?;
    arguments.push(argument(format!("import marshal\nexec(marshal.loads({}))\ndrive()\n", setup.driver))?);
    if setup.confinement == Confinement::Bubblewrap {
        return bubblewrap::launch(setup, limits, pipes, arguments);
    }
    let ends = [pipes.input.as_fd(), pipes.output.as_fd()];
    let prepare = || prepare(setup, limits, scratch, &ends);
    let namespaces = (setup.confinement == Confinement::Namespaces).then(|| Network::of(setup));
    let (pid, pidfd) = spawn(&Role { namespaces, prepare: &prepare, arguments: &arguments })?;
    Ok(Running { pid, pidfd, to: pipes.to, from: pipes.from, parent: Parent::Helper })
}

/// Everything between clone and exec of a program that has an interpreter to itself.
fn prepare(setup: &Setup, limits: &Limits, scratch: &CStr, ends: &[BorrowedFd<'_>]) -> Result<(), Failure> {
    let own_user = setup.confinement == Confinement::Namespaces;
    match setup.confinement {
        Confinement::Namespaces => {
            root::enter(setup)?;
            child::drop_rights(USER).map_err(Step::Identity.failed())?;
        }
        Confinement::Landlock => child::drop_rights(NOBODY).map_err(Step::Identity.failed())?,
        Confinement::Bubblewrap | Confinement::None => {}
    }
    // SAFETY: the string is terminated.
    check(unsafe { libc::chdir(scratch.as_ptr()) }).map_err(Step::Scratch.failed())?;
    child::die_with_the_helper().map_err(Step::Identity.failed())?;
    child::limit(limits, own_user).map_err(Step::Limits.failed())?;
    child::place(ends).map_err(Step::Descriptors.failed())?;
    match setup.confinement {
        Confinement::Namespaces => {
            rules::restrict_beside_mounts(setup);
            filter::install(false).map_err(Step::Filter.failed())
        }
        Confinement::Landlock => {
            rules::restrict_alone(setup).map_err(Step::Landlock.failed())?;
            filter::install(true).map_err(Step::Filter.failed())
        }
        Confinement::Bubblewrap | Confinement::None => Ok(()),
    }
}

/// Clones a child into its role. Fails with the step that failed, in the child too.
pub(super) fn spawn(role: &Role<'_>) -> Result<(libc::pid_t, OwnedFd), Failure> {
    let pipe = || io::pipe().map_err(Step::Pipes.failed());
    let ((mut status, status_in), (mut go_out, mut go)) = (pipe()?, pipe()?);
    let own = libc::CLONE_NEWUSER
        | libc::CLONE_NEWPID
        | libc::CLONE_NEWNS
        | libc::CLONE_NEWIPC
        | libc::CLONE_NEWUTS
        | libc::CLONE_NEWCGROUP;
    let flags = match role.namespaces {
        Some(Network::Own) => own | libc::CLONE_NEWNET,
        Some(Network::Helper) => own,
        None => 0,
    };
    // SAFETY: the helper has one thread, and the child ends in `_exit` below, whatever happens.
    let cloned = unsafe { system::clone_process(flags as u64) }.map_err(Step::Clone.failed())?;
    let Some((pid, pidfd)) = cloned else {
        drop((status, go));
        let report = system::high(status_in.as_fd());
        let failure = catch_unwind(AssertUnwindSafe(|| become_another(role, &mut go_out)))
            .unwrap_or(Failure { step: Step::Panic, errno: 0 });
        if let Ok(report) = report {
            let mut bytes = failure.errno.to_le_bytes().to_vec();
            bytes.push(failure.step as u8);
            // If the helper is gone there is nobody to tell.
            let _ = PipeWriter::from(report).write_all(&bytes);
        }
        // SAFETY: ends this copy of the helper without running its destructors.
        unsafe { libc::_exit(121) }
    };
    drop((status_in, go_out));

    let mapped = if role.namespaces.is_some() { map_user(pid) } else { Ok(()) };
    let mut failure = Vec::new();
    let told = mapped.map_err(Step::Map.failed()).and_then(|()| {
        go.write_all(b"!").and_then(|()| status.read_to_end(&mut failure)).map_err(Step::Pipes.failed())
    });
    let outcome = match (told, failure.as_slice()) {
        (Ok(_), []) => return Ok((pid, pidfd)),
        (Ok(_), [a, b, c, d, step]) => Failure {
            step: Step::ALL.get(usize::from(*step)).copied().unwrap_or(Step::Panic),
            errno: i32::from_le_bytes([*a, *b, *c, *d]),
        },
        (Ok(_), _) => Failure { step: Step::Pipes, errno: libc::EPROTO },
        (Err(failure), _) => failure,
    };
    system::kill(pidfd.as_fd());
    // It is dead or dying, and there is nothing to learn from how.
    let _ = system::reap(pid);
    Err(outcome)
}

/// Everything between clone and exec. Returns only on failure.
fn become_another(role: &Role<'_>, go: &mut PipeReader) -> Failure {
    let prepared = go.read_exact(&mut [0]).map_err(Step::Map.failed()).and_then(|()| {
        // SAFETY: plain calls on this process alone. A session of its own has no terminal.
        unsafe {
            libc::setsid();
            libc::umask(0o022);
        }
        (role.prepare)()
    });
    if let Err(failure) = prepared {
        return failure;
    }
    let pointers = |texts: &mut dyn Iterator<Item = *const libc::c_char>| {
        texts.chain([std::ptr::null()]).collect::<Vec<_>>()
    };
    let argv = pointers(&mut role.arguments.iter().map(|a| a.as_ptr()));
    let envp = pointers(&mut ENVIRONMENT.iter().map(|e| e.as_ptr()));
    // SAFETY: both lists end in null, and their strings live until the call replaces this process.
    unsafe { libc::execve(argv[0], argv.as_ptr(), envp.as_ptr()) };
    Step::Exec.failed()(io::Error::last_os_error())
}

/// Who the child is. Root keeps a root in the namespace for building, and the program becomes nobody; others are
/// themselves under another number.
fn map_user(pid: libc::pid_t) -> io::Result<()> {
    let write = |file: &str, text: &str| -> io::Result<()> {
        let path = format!("/proc/{pid}/{file}");
        std::fs::OpenOptions::new().write(true).open(path)?.write_all(text.as_bytes())
    };
    let (uid, gid) = system::ids();
    if system::is_root() {
        let map = format!("0 0 1\n{USER} {NOBODY} 1\n");
        if write("uid_map", &map).and_then(|()| write("gid_map", &map)).is_ok() {
            return Ok(());
        }
    }
    write("setgroups", "deny")?;
    write("uid_map", &format!("{USER} {uid} 1\n"))?;
    write("gid_map", &format!("{USER} {gid} 1\n"))
}
