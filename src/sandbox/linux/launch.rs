//! From a job to a running interpreter behind walls.
//!
//! The helper clones a child into new namespaces, maps its user, and lets it go; the child builds its root, gives up
//! every right, and becomes the interpreter. A failure on the way comes back through a pipe that the interpreter's
//! start closes.
#![expect(unsafe_code, reason = "what stands between clone and exec")]

use super::super::job::{Confinement, Limits};
use super::system::{self, c_path, check};
use super::wire::Setup;
use super::{filter, root};
use std::ffi::{CStr, CString};
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};

const DRIVER: &str = include_str!("driver.py");
/// The program's user inside its namespace.
const USER: u32 = 1000;
/// "nobody": whom it is for the host, if the helper is root.
const NOBODY: u32 = 65534;
/// Where the driver reads and writes.
const DRIVER_IN: i32 = 3;
const DRIVER_OUT: i32 = 4;

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
    Filter: "installing the system call filter (seccomp)",
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
    pub(super) pid: libc::pid_t,
    pub(super) pidfd: OwnedFd,
    /// To the driver; never waits.
    pub(super) to: PipeWriter,
    /// From the driver; never waits.
    pub(super) from: PipeReader,
}

/// Starts the interpreter with the driver, behind the walls of `setup`.
pub(super) fn launch(setup: &Setup, limits: &Limits, scratch: &CStr) -> Result<Running, Failure> {
    let python = c_path(&setup.python).map_err(Step::Exec.failed())?;
    let driver = CString::new(DRIVER).map_err(|e| Step::Exec.failed()(e.into()))?;
    let pipe = || io::pipe().map_err(Step::Pipes.failed());
    let ((driver_in, to), (from, driver_out)) = (pipe()?, pipe()?);
    let ((mut status, status_in), (go_out, mut go)) = (pipe()?, pipe()?);
    system::never_wait(to.as_fd())
        .and_then(|()| system::never_wait(from.as_fd()))
        .map_err(Step::Pipes.failed())?;

    let walls = setup.confinement == Confinement::Namespaces;
    let flags = if walls {
        libc::CLONE_NEWUSER
            | libc::CLONE_NEWPID
            | libc::CLONE_NEWNS
            | libc::CLONE_NEWNET
            | libc::CLONE_NEWIPC
            | libc::CLONE_NEWUTS
            | libc::CLONE_NEWCGROUP
    } else {
        0
    };
    // SAFETY: the helper has one thread, and the child ends in `_exit` below, whatever happens.
    let cloned = unsafe { system::clone_process(flags as u64) }.map_err(Step::Clone.failed())?;
    let Some((pid, pidfd)) = cloned else {
        drop((to, from, status, go));
        let ends = Ends { input: driver_in, output: driver_out, go: go_out };
        let report = system::high(status_in.as_fd());
        let failure = catch_unwind(AssertUnwindSafe(|| {
            become_interpreter(setup, limits, &python, &driver, scratch, ends)
        }))
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
    drop((driver_in, driver_out, status_in, go_out));

    let mapped = if walls { map_user(pid) } else { Ok(()) };
    let mut failure = Vec::new();
    let told = mapped.map_err(Step::Map.failed()).and_then(|()| {
        go.write_all(b"!").and_then(|()| status.read_to_end(&mut failure)).map_err(Step::Pipes.failed())
    });
    let outcome = match (told, failure.as_slice()) {
        (Ok(_), []) => return Ok(Running { pid, pidfd, to, from }),
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

/// The child's ends of the pipes.
struct Ends {
    input: PipeReader,
    output: PipeWriter,
    go: PipeReader,
}

/// Everything between clone and exec. Returns only on failure.
fn become_interpreter(
    setup: &Setup,
    limits: &Limits,
    python: &CStr,
    driver: &CStr,
    scratch: &CStr,
    mut ends: Ends,
) -> Failure {
    let walls = setup.confinement == Confinement::Namespaces;
    let mut prepared = || -> Result<(), Failure> {
        ends.go.read_exact(&mut [0]).map_err(Step::Map.failed())?;
        // SAFETY: plain calls on this process alone. A session of its own has no terminal.
        unsafe {
            libc::setsid();
            libc::umask(0o022);
        }
        if walls {
            root::enter(setup)?;
            drop_rights().map_err(Step::Identity.failed())?;
        } else {
            // SAFETY: the string is terminated.
            check(unsafe { libc::chdir(scratch.as_ptr()) }).map_err(Step::Scratch.failed())?;
        }
        die_with_the_helper().map_err(Step::Identity.failed())?;
        limit(limits, walls).map_err(Step::Limits.failed())?;
        place(&ends).map_err(Step::Descriptors.failed())?;
        if walls {
            root::restrict(setup);
            filter::install().map_err(Step::Filter.failed())?;
        }
        Ok(())
    };
    if let Err(failure) = prepared() {
        return failure;
    }
    let arguments = [python, c"-s", c"-S", c"-B", c"-c", driver];
    let mut argv = arguments.map(CStr::as_ptr).to_vec();
    let mut envp = ENVIRONMENT.map(CStr::as_ptr).to_vec();
    argv.push(std::ptr::null());
    envp.push(std::ptr::null());
    // SAFETY: both lists end in null, and their strings live until the call replaces this process.
    unsafe { libc::execve(python.as_ptr(), argv.as_ptr(), envp.as_ptr()) };
    Step::Exec.failed()(io::Error::last_os_error())
}

/// Leaves root for good where root was mapped. Capabilities go with it, or with exec.
fn drop_rights() -> io::Result<()> {
    // SAFETY: plain calls on this process alone; the group list is empty and its pointer not read.
    unsafe {
        if libc::geteuid() == 0 {
            check(libc::setgroups(0, std::ptr::null()))?;
            check(libc::setresgid(USER, USER, USER))?;
            check(libc::setresuid(USER, USER, USER))?;
        }
    }
    Ok(())
}

/// After the change of user, which clears the wish. If the helper died before, the driver reads its end of file.
fn die_with_the_helper() -> io::Result<()> {
    // SAFETY: plain calls on this process alone.
    unsafe {
        check(libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as libc::c_ulong))?;
        check(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))?;
    }
    Ok(())
}

fn limit(limits: &Limits, walls: bool) -> io::Result<()> {
    // The helper's clock is the limit; this is for the case that the helper is held up.
    let cpu = limits.cpu.saturating_mul(2).as_secs() + 1;
    let mut wanted = vec![
        (libc::RLIMIT_AS, limits.memory),
        (libc::RLIMIT_CPU, cpu),
        (libc::RLIMIT_FSIZE, 16 << 20),
        (libc::RLIMIT_NOFILE, 64),
        (libc::RLIMIT_CORE, 0),
        (libc::RLIMIT_STACK, 8 << 20),
        (libc::RLIMIT_MEMLOCK, 0),
    ];
    if walls {
        // Counts the user's processes: without a user of its own, that would be the whole desktop.
        wanted.push((libc::RLIMIT_NPROC, 128));
    }
    for (what, value) in wanted {
        // SAFETY: both structures live through the calls.
        unsafe {
            let mut present = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
            check(libc::getrlimit(what, &raw mut present))?;
            let value = value.min(present.rlim_max);
            check(libc::setrlimit(what, &libc::rlimit { rlim_cur: value, rlim_max: value }))?;
        }
    }
    Ok(())
}

/// Standard streams to nowhere, the driver's pipes to their numbers, the rest closed; signals as a fresh process
/// has them.
fn place(ends: &Ends) -> io::Result<()> {
    let nowhere = std::fs::OpenOptions::new().read(true).write(true).open("/dev/null")?;
    let nowhere = system::high(nowhere.as_fd())?;
    let (input, output) = (system::high(ends.input.as_fd())?, system::high(ends.output.as_fd())?);
    // SAFETY: the copies lie above the numbers that are written to, so nothing is overwritten before its time, and
    // what is overwritten belongs to this process, which uses none of it again: it ends by exec or `_exit`. The
    // signal calls change this process alone.
    unsafe {
        let (nowhere, input, output) = (nowhere.as_raw_fd(), input.as_raw_fd(), output.as_raw_fd());
        for (from, number) in
            [(nowhere, 0), (nowhere, 1), (nowhere, 2), (input, DRIVER_IN), (output, DRIVER_OUT)]
        {
            check(libc::dup2(from, number))?;
        }
        // The rest closes with exec.
        let first = DRIVER_OUT + 1;
        if check(libc::syscall(libc::SYS_close_range, first, i32::MAX, libc::CLOSE_RANGE_CLOEXEC)).is_err() {
            for fd in first..1024 {
                libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC);
            }
        }
        for signal in 1..32 {
            libc::signal(signal, libc::SIG_DFL);
        }
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        check(libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut()))?;
    }
    Ok(())
}
