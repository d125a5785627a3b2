//! System calls that the standard library lacks, each behind a safe face.
#![expect(unsafe_code, reason = "system calls")]

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

/// Turns a −1 into the error that it announces.
pub(super) fn check<T: Copy + PartialOrd + Default>(result: T) -> io::Result<T> {
    if result < T::default() { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// A path as the kernel takes it.
pub(super) fn c_path(path: &Path) -> io::Result<CString> {
    Ok(CString::new(path.as_os_str().as_bytes())?)
}

/// The version of Landlock's interface in this kernel, 0 where there is none.
pub(super) fn landlock_abi() -> i64 {
    // SAFETY: with no attributes and the VERSION flag, the call only reports a number.
    let version =
        unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, std::ptr::null::<u8>(), 0_usize, 1_u32) };
    version.max(0)
}

/// Reads and writes on this end return at once instead of waiting.
pub(super) fn never_wait(fd: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: `fd` is open for as long as it is borrowed; F_SETFL takes an int.
    check(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFL, libc::O_NONBLOCK) }).map(drop)
}

/// A copy of a descriptor with a number that no standard stream and no driver's pipe has.
pub(super) fn high(fd: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    // SAFETY: `fd` is open for as long as it is borrowed; the copy is ours alone.
    unsafe { Ok(OwnedFd::from_raw_fd(check(libc::fcntl(fd.as_raw_fd(), libc::F_DUPFD_CLOEXEC, 16))?)) }
}

/// What [`wait_any`] waits for on one descriptor.
#[derive(Clone, Copy)]
pub(super) enum For {
    /// Data, or the other side closing.
    Input,
    /// Room.
    Output,
    /// The other side closing, nothing else.
    Hangup,
}

/// Waits until one of the descriptors is ready or `limit` is over; says which are.
pub(super) fn wait_any<const N: usize>(
    on: [Option<(BorrowedFd<'_>, For)>; N],
    limit: Duration,
) -> io::Result<[bool; N]> {
    let mut polled = on.map(|wanted| {
        let (fd, events) = wanted.map_or((-1, 0), |(fd, what)| {
            let events = match what {
                For::Input => libc::POLLIN,
                For::Output => libc::POLLOUT,
                For::Hangup => 0,
            };
            (fd.as_raw_fd(), events)
        });
        libc::pollfd { fd, events, revents: 0 }
    });
    let millis = i32::try_from(limit.as_millis().saturating_add(1)).unwrap_or(i32::MAX);
    // SAFETY: the array lives through the call and its length is passed with it; a negative fd is skipped.
    let ready = unsafe { libc::poll(polled.as_mut_ptr(), N as libc::nfds_t, millis) };
    match check(ready) {
        Err(e) if e.kind() == io::ErrorKind::Interrupted => Ok([false; N]),
        Err(e) => Err(e),
        Ok(_) => Ok(polled.map(|p| p.revents != 0)),
    }
}

/// Clones this process with `flags`, as fork does: the child goes on in a copy of everything.
///
/// Returns `None` in the child, and the child's number and pidfd in the parent.
///
/// # Safety
/// The calling process must have one thread only, and the child must not return to the caller's caller.
pub(super) unsafe fn clone_process(flags: u64) -> io::Result<Option<(libc::pid_t, OwnedFd)>> {
    /// `struct clone_args` of clone3(2), first version.
    #[repr(C)]
    #[derive(Default)]
    struct Args {
        flags: u64,
        pidfd: u64,
        child_tid: u64,
        parent_tid: u64,
        exit_signal: u64,
        stack: u64,
        stack_size: u64,
        tls: u64,
    }
    let mut pidfd: RawFd = -1;
    let args = Args {
        flags: flags | libc::CLONE_PIDFD as u64,
        pidfd: &raw mut pidfd as u64,
        exit_signal: libc::SIGCHLD as u64,
        ..Args::default()
    };
    // SAFETY: `args` and the pidfd it points to live through the call; no memory is shared with the child (no
    // CLONE_VM), so with one thread (the caller's promise) this is a fork.
    let pid = check(unsafe { libc::syscall(libc::SYS_clone3, &raw const args, size_of::<Args>()) })?;
    if pid == 0 {
        return Ok(None);
    }
    // SAFETY: the kernel has just made this descriptor for us.
    Ok(Some((pid as libc::pid_t, unsafe { OwnedFd::from_raw_fd(pidfd) })))
}

/// A handle on a process, by its number.
pub(super) fn handle(pid: libc::pid_t) -> io::Result<OwnedFd> {
    // SAFETY: a descriptor that comes back is ours alone.
    unsafe {
        let fd = check(libc::syscall(libc::SYS_pidfd_open, pid, 0))?;
        Ok(OwnedFd::from_raw_fd(fd as RawFd))
    }
}

/// Kills a process by its pidfd. It may be dead already.
pub(super) fn kill(pidfd: BorrowedFd<'_>) {
    // SAFETY: a pidfd names one process for ever; no siginfo is passed. That it is gone already is no failure.
    unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            pidfd.as_raw_fd(),
            libc::SIGKILL,
            std::ptr::null::<u8>(),
            0_u32,
        )
    };
}

/// Kills the process group that `pid` leads.
pub(super) fn kill_group(pid: libc::pid_t) {
    // SAFETY: plain call. That the group is gone already is no failure.
    unsafe { libc::kill(-pid, libc::SIGKILL) };
}

/// How a process ended.
#[derive(Clone, Copy, Debug)]
pub(super) enum Death {
    /// With this exit code.
    Code(i32),
    /// By this signal.
    Signal(i32),
}

impl Death {
    /// From what wait(2) says.
    pub(super) fn from_status(status: i32) -> Self {
        if libc::WIFSIGNALED(status) {
            Self::Signal(libc::WTERMSIG(status))
        } else {
            Self::Code(libc::WEXITSTATUS(status))
        }
    }
}

/// Waits for a child's death; says how it died and what processor time it and its own children took.
pub(super) fn reap(pid: libc::pid_t) -> io::Result<(Death, Duration)> {
    let mut status = 0;
    // SAFETY: all zeroes is a valid rusage.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    loop {
        // SAFETY: both out-pointers live through the call.
        match check(unsafe { libc::wait4(pid, &raw mut status, 0, &raw mut usage) }) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
            Ok(_) => break,
        }
    }
    let time = |t: libc::timeval| Duration::new(t.tv_sec as u64, t.tv_usec as u32 * 1000);
    Ok((Death::from_status(status), time(usage.ru_utime) + time(usage.ru_stime)))
}

/// Processor time of all threads of a process so far; `None` if it is gone.
pub(super) fn cpu_time(pid: libc::pid_t) -> Option<Duration> {
    let mut clock: libc::clockid_t = 0;
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: both out-pointers live through the calls; the clock is read only if the first call made it.
    let read = unsafe {
        libc::clock_getcpuclockid(pid, &raw mut clock) == 0 && libc::clock_gettime(clock, &raw mut time) == 0
    };
    read.then(|| Duration::new(time.tv_sec as u64, time.tv_nsec as u32))
}

/// Makes a folder with a name of its own, for this user only; `pattern` ends in `XXXXXX`.
pub(super) fn make_scratch(pattern: &CStr) -> io::Result<CString> {
    let name = pattern.to_owned().into_raw();
    // SAFETY: `name` is an owned, writable, terminated string, taken back below.
    let made = unsafe { libc::mkdtemp(name) };
    // SAFETY: from `into_raw` above; mkdtemp keeps the length.
    let name = unsafe { CString::from_raw(name) };
    if made.is_null() { Err(io::Error::last_os_error()) } else { Ok(name) }
}

/// Whether this process is root.
pub(super) fn is_root() -> bool {
    // SAFETY: cannot fail.
    unsafe { libc::geteuid() == 0 }
}

/// Gives this process a network of its own, which leads nowhere; whether that was possible.
pub(super) fn leave_network() -> bool {
    // SAFETY: changes nothing but which network this process, which has one thread, sees.
    unsafe { libc::unshare(libc::CLONE_NEWNET) == 0 }
}

/// Effective user and group.
pub(super) fn ids() -> (libc::uid_t, libc::gid_t) {
    // SAFETY: cannot fail.
    unsafe { (libc::geteuid(), libc::getegid()) }
}

/// Room for the control message with two descriptors, aligned as the kernel wants it.
#[repr(C, align(8))]
struct Control([u8; 64]);

/// Sends a message with two descriptors over a Unix socket.
pub(super) fn hand_over(socket: BorrowedFd<'_>, message: &[u8], fds: [BorrowedFd<'_>; 2]) -> io::Result<()> {
    let numbers = fds.map(|fd| fd.as_raw_fd());
    let mut control = Control([0; 64]);
    let mut part = libc::iovec { iov_base: message.as_ptr().cast_mut().cast(), iov_len: message.len() };
    // SAFETY: all zeroes is a valid msghdr; message, control room and header live through the call, which only reads
    // the message. CMSG_SPACE of two numbers is below the room's 64 bytes, so that the first header and its data lie
    // in it.
    let sent = unsafe {
        let mut header: libc::msghdr = std::mem::zeroed();
        header.msg_iov = &raw mut part;
        header.msg_iovlen = 1;
        header.msg_control = control.0.as_mut_ptr().cast();
        header.msg_controllen = libc::CMSG_SPACE(size_of_val(&numbers) as u32) as _;
        let first = libc::CMSG_FIRSTHDR(&raw const header);
        (*first).cmsg_level = libc::SOL_SOCKET;
        (*first).cmsg_type = libc::SCM_RIGHTS;
        (*first).cmsg_len = libc::CMSG_LEN(size_of_val(&numbers) as u32) as _;
        std::ptr::copy_nonoverlapping(
            numbers.as_ptr().cast::<u8>(),
            libc::CMSG_DATA(first),
            size_of_val(&numbers),
        );
        check(libc::sendmsg(socket.as_raw_fd(), &raw const header, libc::MSG_NOSIGNAL))?
    };
    if sent as usize == message.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
}

/// Receives the descriptor that comes with a message of one byte over a Unix socket.
pub(super) fn handed_over(socket: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let mut byte = 0_u8;
    let mut control = Control([0; 64]);
    let mut part = libc::iovec { iov_base: (&raw mut byte).cast(), iov_len: 1 };
    // SAFETY: all zeroes is a valid msghdr; byte, control room and header live through the call. The header of the
    // control message is looked at only if the kernel has written one that is long enough, and a descriptor in it is
    // ours alone.
    unsafe {
        let mut header: libc::msghdr = std::mem::zeroed();
        header.msg_iov = &raw mut part;
        header.msg_iovlen = 1;
        header.msg_control = control.0.as_mut_ptr().cast();
        header.msg_controllen = control.0.len() as _;
        let read = check(libc::recvmsg(socket.as_raw_fd(), &raw mut header, libc::MSG_CMSG_CLOEXEC))?;
        let first = libc::CMSG_FIRSTHDR(&raw const header);
        if read != 1 || first.is_null() || (*first).cmsg_type != libc::SCM_RIGHTS {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut number: RawFd = -1;
        std::ptr::copy_nonoverlapping(
            libc::CMSG_DATA(first),
            (&raw mut number).cast::<u8>(),
            size_of::<RawFd>(),
        );
        Ok(OwnedFd::from_raw_fd(number))
    }
}
