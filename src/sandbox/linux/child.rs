//! The child's last steps before it becomes another program: whose rights it has, which limits, which descriptors.
#![expect(unsafe_code, reason = "what stands between clone and exec")]

use super::super::job::Limits;
use super::launch::USER;
use super::system::{self, check};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

/// "nobody": whom a program is for the host, if the helper is root.
pub(super) const NOBODY: u32 = 65534;

/// Leaves root for good, if this is root. Capabilities go with it, or with exec.
pub(super) fn drop_rights(user: u32) -> io::Result<()> {
    // SAFETY: plain calls on this process alone; the group list is empty and its pointer not read.
    unsafe {
        if libc::geteuid() == 0 {
            check(libc::setgroups(0, std::ptr::null()))?;
            check(libc::setresgid(user, user, user))?;
            check(libc::setresuid(user, user, user))?;
        }
    }
    Ok(())
}

/// Leaves root inside a namespace, but keeps the right to mount there, over exec too.
pub(super) fn keep_the_right_to_mount() -> io::Result<()> {
    #[repr(C)]
    struct Header {
        version: u32,
        pid: i32,
    }
    #[repr(C)]
    struct Sets {
        effective: u32,
        permitted: u32,
        inheritable: u32,
    }
    const VERSION_3: u32 = 0x2008_0522;
    const SYS_ADMIN: u32 = 21;
    let one = 1 << SYS_ADMIN;
    let header = Header { version: VERSION_3, pid: 0 };
    let sets = [
        Sets { effective: one, permitted: one, inheritable: one },
        Sets { effective: 0, permitted: 0, inheritable: 0 },
    ];
    // SAFETY: plain calls on this process alone; both structures live through the call that reads them.
    unsafe {
        check(libc::prctl(libc::PR_SET_KEEPCAPS, 1, 0, 0, 0))?;
        drop_rights(USER)?;
        check(libc::syscall(libc::SYS_capset, &raw const header, &raw const sets))?;
        check(libc::prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_RAISE, SYS_ADMIN, 0, 0))?;
    }
    Ok(())
}

/// After the change of user, which clears the wish. If the helper died before, the driver reads its end of file.
pub(super) fn die_with_the_helper() -> io::Result<()> {
    // SAFETY: plain calls on this process alone.
    unsafe {
        check(libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as libc::c_ulong))?;
        check(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))?;
    }
    Ok(())
}

/// The processor limit that the kernel watches, in seconds. The helper's clock is the limit; this is for the case that
/// the helper is held up.
pub(super) fn cpu_belt(limits: &Limits) -> u64 {
    limits.cpu.saturating_mul(2).as_secs() + 1
}

/// Largest file in bytes.
pub(super) const FILE_SIZE: u64 = 16 << 20;
/// Most open files.
pub(super) const OPEN_FILES: u64 = 64;
/// Most processes and threads of a user of its own.
pub(super) const PROCESSES: u64 = 128;

/// Sets the limits; `own_user` if nobody else has this user.
pub(super) fn limit(limits: &Limits, own_user: bool) -> io::Result<()> {
    let mut wanted = vec![
        (libc::RLIMIT_AS, limits.memory),
        (libc::RLIMIT_CPU, cpu_belt(limits)),
        (libc::RLIMIT_FSIZE, FILE_SIZE),
        (libc::RLIMIT_NOFILE, OPEN_FILES),
        (libc::RLIMIT_CORE, 0),
        (libc::RLIMIT_STACK, 8 << 20),
        (libc::RLIMIT_MEMLOCK, 0),
    ];
    if own_user {
        // Counts the user's processes: without a user of its own, that would be the whole desktop.
        wanted.push((libc::RLIMIT_NPROC, PROCESSES));
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

/// Standard streams to nowhere, the others to the numbers from 3 on, the rest closed; signals as a fresh process has
/// them.
pub(super) fn place(descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    let nowhere = std::fs::OpenOptions::new().read(true).write(true).open("/dev/null")?;
    let nowhere = system::high(nowhere.as_fd())?;
    let kept = descriptors.iter().map(|fd| system::high(*fd)).collect::<io::Result<Vec<_>>>()?;
    let numbered = (0..3).map(|n| (&nowhere, n)).chain(kept.iter().zip(3..));
    // SAFETY: the copies lie above the numbers that are written to, so nothing is overwritten before its time, and
    // what is overwritten belongs to this process, which uses none of it again: it ends by exec or `_exit`. The
    // signal calls change this process alone.
    unsafe {
        for (from, number) in numbered {
            check(libc::dup2(from.as_raw_fd(), number))?;
        }
        // The rest closes with exec.
        let first = 3 + kept.len() as i32;
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
