//! An interpreter that is kept ready, with the usual modules loaded, and forks itself for every program (`zygote.py`):
//! starting one and importing is most of what a short program costs.
//!
//! It stands behind the walls itself and never runs a program, nor ever sees a candidate, tests or a nonce: these go
//! through pipes that it only passes on. What a program does to its memory happens in a copy; its files are in a mount
//! of its own; the filter lets it signal nobody else. Verdicts are those of a fresh interpreter (which is the
//! first process of its namespace, and so does not die of the signals that it sends itself; this one's programs do, as
//! elsewhere). It is replaced after some hundred programs, and at anything unexpected.

use super::super::job::Limits;
use super::child::{self, cpu_belt};
use super::launch::{DRIVER, Failure, Network, Parent, Pipes, Role, Running, Step, argument, python, spawn};
use super::system::{self, Death, handed_over};
use super::wire::Setup;
use super::{filter, root, rules};
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

const ZYGOTE: &str = include_str!("zygote.py");
/// Programs until it is replaced.
const LIFE: u32 = 500;
/// How long it may take to answer; it is never busy.
const PATIENCE: Duration = Duration::from_secs(20);
/// Stands in the filter for the number that a program will have.
const SOMEBODY: u32 = 0x7fff_fffe;

/// An interpreter that is kept ready. Ends when this is dropped.
pub(super) struct Zygote {
    pid: libc::pid_t,
    pidfd: OwnedFd,
    control: UnixStream,
    left: u32,
}

impl Zygote {
    /// Starts one, behind the walls of `setup`.
    pub(super) fn start(setup: &Setup) -> Result<Self, Failure> {
        let (control, theirs) = UnixStream::pair().map_err(Step::Pipes.failed())?;
        control.set_read_timeout(Some(PATIENCE)).map_err(Step::Pipes.failed())?;
        let (code, own) = filter::Program::new(SOMEBODY, false)
            .map_or_else(Default::default, |program| (program.bytes(), program.own()));
        let mut arguments = python(setup)?;
        let own: Vec<String> = own.iter().map(ToString::to_string).collect();
        let hex: Vec<String> = code.iter().map(|byte| format!("{byte:02x}")).collect();
        for text in [ZYGOTE, DRIVER, &hex.concat(), &own.join(","), &rules::own_folder().to_string()] {
            arguments.push(argument(text)?);
        }
        let prepare = || {
            root::enter(setup)?;
            child::keep_the_right_to_mount().map_err(Step::Identity.failed())?;
            child::die_with_the_helper().map_err(Step::Identity.failed())?;
            match rules::for_later(setup) {
                Some(rules) => child::place(&[theirs.as_fd(), rules.as_fd()]),
                None => child::place(&[theirs.as_fd()]),
            }
            .map_err(Step::Descriptors.failed())
        };
        let (pid, pidfd) =
            spawn(&Role { namespaces: Some(Network::of(setup)), prepare: &prepare, arguments: &arguments })?;
        Ok(Self { pid, pidfd, control, left: LIFE })
    }

    /// Whether it should be replaced.
    pub(super) fn is_old(&self) -> bool {
        self.left == 0
    }

    /// Forks it for one program.
    pub(super) fn launch(&mut self, limits: &Limits) -> Result<Running, Failure> {
        let Pipes { input, output, to, from } = Pipes::new()?;
        let mut message = cpu_belt(limits).to_le_bytes().to_vec();
        message.extend(limits.memory.to_le_bytes());
        let forked = || -> io::Result<(libc::pid_t, OwnedFd)> {
            system::hand_over(self.control.as_fd(), &message, [input.as_fd(), output.as_fd()])?;
            let pidfd = handed_over(self.control.as_fd())?;
            Ok((number(&pidfd)?, pidfd))
        };
        let (pid, pidfd) = forked().map_err(Step::Fork.failed())?;
        self.left -= 1;
        Ok(Running { pid, pidfd, to, from, parent: Parent::Zygote })
    }

    /// Waits for the program's death; says how it died and what processor time it took.
    pub(super) fn reap(&mut self) -> io::Result<(Death, Duration)> {
        let mut told = [0; 16];
        self.control.read_exact(&mut told)?;
        let number = |at: usize| told[at..at + 8].iter().rev().fold(0_u64, |n, b| n << 8 | u64::from(*b));
        Ok((Death::from_status(number(0) as i32), Duration::from_micros(number(8))))
    }
}

impl Drop for Zygote {
    fn drop(&mut self) {
        system::kill(self.pidfd.as_fd());
        // It is dead or dying, and there is nothing to learn from how.
        let _ = system::reap(self.pid);
    }
}

/// The number of the process behind a handle, as this process sees it.
fn number(pidfd: &OwnedFd) -> io::Result<libc::pid_t> {
    let path = format!("/proc/self/fdinfo/{}", pidfd.as_raw_fd());
    let text = crate::files::read_text(std::path::Path::new(&path)).map_err(io::Error::other)?;
    let pid = text.lines().find_map(|line| line.strip_prefix("Pid:")?.trim().parse().ok());
    pid.filter(|pid| *pid > 0).ok_or_else(|| io::Error::from_raw_os_error(libc::ESRCH))
}
