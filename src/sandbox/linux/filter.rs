//! Which system calls are allowed? Where there are namespaces they are the wall, and this filter and Landlock are the
//! ditch before it; elsewhere these two are all there is.
//!
//! An allow-list: files by the rights that the walls leave, memory, threads, time, polling, pairs of connected sockets
//! (asyncio needs one), and questions about oneself. Everything else is "not permitted": the network, other processes,
//! the walls, the kernel, memory that the limits do not see. Signals go to the process itself only. `clone` may make
//! threads only; `clone3`, whose flags a filter cannot read, is "not implemented", on which the C library falls back to
//! `clone`; so is what is younger than the list. System calls of a foreign ABI (32-bit, x32) kill.
#![expect(unsafe_code, reason = "the filter is handed to the kernel as a raw program")]

use std::io;

/// The architecture's number in `seccomp_data`; `None` where the filter was never tried.
const ARCH: Option<u32> = if cfg!(all(target_arch = "x86_64", target_pointer_width = "64")) {
    Some(0xC000_003E)
} else if cfg!(target_arch = "aarch64") {
    Some(0xC000_00B7)
} else {
    None
};

/// x32 calls carry this bit beside x86-64's architecture number.
const X32_BIT: u32 = 0x4000_0000;

#[rustfmt::skip]
const ALLOWED: &[libc::c_long] = &[
    // Files, within what the walls leave.
    libc::SYS_read, libc::SYS_write, libc::SYS_readv, libc::SYS_writev, libc::SYS_pread64, libc::SYS_pwrite64,
    libc::SYS_preadv, libc::SYS_pwritev, libc::SYS_preadv2, libc::SYS_pwritev2, libc::SYS_openat, libc::SYS_openat2,
    libc::SYS_close, libc::SYS_close_range, libc::SYS_lseek, libc::SYS_fstat, libc::SYS_newfstatat, libc::SYS_statx,
    libc::SYS_statfs, libc::SYS_fstatfs, libc::SYS_faccessat, libc::SYS_faccessat2, libc::SYS_readlinkat,
    libc::SYS_getcwd, libc::SYS_chdir, libc::SYS_fchdir, libc::SYS_dup, libc::SYS_dup3, libc::SYS_pipe2,
    libc::SYS_fcntl, libc::SYS_ioctl, libc::SYS_getdents64, libc::SYS_mkdirat, libc::SYS_unlinkat, libc::SYS_renameat,
    libc::SYS_renameat2, libc::SYS_linkat, libc::SYS_symlinkat, libc::SYS_truncate, libc::SYS_ftruncate,
    libc::SYS_fallocate, libc::SYS_fsync, libc::SYS_fdatasync, libc::SYS_sync_file_range, libc::SYS_fadvise64,
    libc::SYS_readahead, libc::SYS_copy_file_range, libc::SYS_sendfile, libc::SYS_splice, libc::SYS_tee,
    libc::SYS_vmsplice, libc::SYS_umask, libc::SYS_getxattr, libc::SYS_lgetxattr, libc::SYS_fgetxattr,
    libc::SYS_listxattr, libc::SYS_llistxattr, libc::SYS_flistxattr,
    #[cfg(target_arch = "x86_64")] libc::SYS_open,
    #[cfg(target_arch = "x86_64")] libc::SYS_creat,
    #[cfg(target_arch = "x86_64")] libc::SYS_stat,
    #[cfg(target_arch = "x86_64")] libc::SYS_lstat,
    #[cfg(target_arch = "x86_64")] libc::SYS_access,
    #[cfg(target_arch = "x86_64")] libc::SYS_readlink,
    #[cfg(target_arch = "x86_64")] libc::SYS_dup2,
    #[cfg(target_arch = "x86_64")] libc::SYS_pipe,
    #[cfg(target_arch = "x86_64")] libc::SYS_getdents,
    #[cfg(target_arch = "x86_64")] libc::SYS_mkdir,
    #[cfg(target_arch = "x86_64")] libc::SYS_rmdir,
    #[cfg(target_arch = "x86_64")] libc::SYS_unlink,
    #[cfg(target_arch = "x86_64")] libc::SYS_rename,
    #[cfg(target_arch = "x86_64")] libc::SYS_link,
    #[cfg(target_arch = "x86_64")] libc::SYS_symlink,
    // Memory of its own.
    libc::SYS_mmap, libc::SYS_munmap, libc::SYS_mprotect, libc::SYS_mremap, libc::SYS_brk, libc::SYS_madvise,
    libc::SYS_mincore, libc::SYS_msync, libc::SYS_mlock, libc::SYS_mlock2, libc::SYS_munlock, libc::SYS_mlockall,
    libc::SYS_munlockall, libc::SYS_membarrier, libc::SYS_get_mempolicy,
    // The program itself and its threads (`clone` is looked at below).
    libc::SYS_execve, libc::SYS_exit, libc::SYS_exit_group, libc::SYS_restart_syscall, libc::SYS_wait4,
    libc::SYS_waitid, libc::SYS_futex, libc::SYS_futex_waitv, libc::SYS_set_robust_list, libc::SYS_get_robust_list,
    libc::SYS_set_tid_address, libc::SYS_rseq, libc::SYS_sched_yield, libc::SYS_sched_getaffinity,
    libc::SYS_sched_getparam, libc::SYS_sched_getscheduler, libc::SYS_sched_getattr, libc::SYS_sched_rr_get_interval,
    libc::SYS_sched_get_priority_max, libc::SYS_sched_get_priority_min, libc::SYS_getcpu, libc::SYS_prctl,
    #[cfg(target_arch = "x86_64")] libc::SYS_arch_prctl,
    // Signals that it gets, and time.
    libc::SYS_rt_sigaction, libc::SYS_rt_sigprocmask, libc::SYS_rt_sigreturn, libc::SYS_rt_sigsuspend,
    libc::SYS_rt_sigpending, libc::SYS_rt_sigtimedwait, libc::SYS_sigaltstack, libc::SYS_signalfd4,
    libc::SYS_setitimer, libc::SYS_getitimer, libc::SYS_timer_create, libc::SYS_timer_settime,
    libc::SYS_timer_gettime, libc::SYS_timer_getoverrun, libc::SYS_timer_delete, libc::SYS_timerfd_create,
    libc::SYS_timerfd_settime, libc::SYS_timerfd_gettime, libc::SYS_nanosleep, libc::SYS_clock_nanosleep,
    libc::SYS_clock_gettime, libc::SYS_clock_getres, libc::SYS_gettimeofday, libc::SYS_times,
    #[cfg(target_arch = "x86_64")] libc::SYS_signalfd,
    #[cfg(target_arch = "x86_64")] libc::SYS_pause,
    #[cfg(target_arch = "x86_64")] libc::SYS_alarm,
    #[cfg(target_arch = "x86_64")] libc::SYS_time,
    // Waiting, and pairs of sockets (`sendto` is looked at below).
    libc::SYS_ppoll, libc::SYS_pselect6, libc::SYS_epoll_create1, libc::SYS_epoll_ctl, libc::SYS_epoll_pwait,
    libc::SYS_epoll_pwait2, libc::SYS_eventfd2, libc::SYS_socketpair, libc::SYS_recvfrom,
    libc::SYS_recvmsg, libc::SYS_recvmmsg, libc::SYS_shutdown,
    libc::SYS_getsockname, libc::SYS_getpeername, libc::SYS_getsockopt, libc::SYS_setsockopt,
    #[cfg(target_arch = "x86_64")] libc::SYS_poll,
    #[cfg(target_arch = "x86_64")] libc::SYS_select,
    #[cfg(target_arch = "x86_64")] libc::SYS_epoll_create,
    #[cfg(target_arch = "x86_64")] libc::SYS_epoll_wait,
    #[cfg(target_arch = "x86_64")] libc::SYS_eventfd,
    // What it is and has.
    libc::SYS_getpid, libc::SYS_getppid, libc::SYS_gettid, libc::SYS_getuid, libc::SYS_geteuid, libc::SYS_getgid,
    libc::SYS_getegid, libc::SYS_getresuid, libc::SYS_getresgid, libc::SYS_getgroups, libc::SYS_getpgid,
    libc::SYS_getsid, libc::SYS_getpriority, libc::SYS_capget, libc::SYS_uname, libc::SYS_sysinfo,
    libc::SYS_getrusage, libc::SYS_getrlimit, libc::SYS_setrlimit, libc::SYS_getrandom,
    #[cfg(target_arch = "x86_64")] libc::SYS_getpgrp,
];

/// Whether there is a filter for this architecture.
pub(super) fn exists() -> bool {
    ARCH.is_some()
}

/// What is allowed besides where its user and its files are its own. (Landlock says nothing of what a file may be called,
/// whose it is and when it was changed, nor to which socket a message goes.)
#[rustfmt::skip]
const ALLOWED_APART: &[libc::c_long] = &[
    libc::SYS_fchmod, libc::SYS_fchmodat, SYS_FCHMODAT2, libc::SYS_fchown, libc::SYS_fchownat, libc::SYS_utimensat,
    libc::SYS_setxattr, libc::SYS_lsetxattr, libc::SYS_fsetxattr, libc::SYS_removexattr, libc::SYS_lremovexattr,
    libc::SYS_fremovexattr, libc::SYS_flock, libc::SYS_inotify_init1, libc::SYS_inotify_add_watch,
    libc::SYS_inotify_rm_watch, libc::SYS_sendmsg, libc::SYS_sendmmsg,
    #[cfg(target_arch = "x86_64")] libc::SYS_chmod,
    #[cfg(target_arch = "x86_64")] libc::SYS_chown,
    #[cfg(target_arch = "x86_64")] libc::SYS_lchown,
    #[cfg(target_arch = "x86_64")] libc::SYS_utime,
    #[cfg(target_arch = "x86_64")] libc::SYS_utimes,
    #[cfg(target_arch = "x86_64")] libc::SYS_futimesat,
    #[cfg(target_arch = "x86_64")] libc::SYS_inotify_init,
];

/// The same number on all architectures; younger than some C libraries.
const SYS_FCHMODAT2: libc::c_long = 452;

/// The first system call that is younger than these lists (after `mseal`, Linux 6.10; the same on all architectures):
/// programs have done without it where it was not there.
const YOUNGER: u32 = 463;

/// Where arguments lie in `struct seccomp_data`; the low half comes first on little-endian machines, which both
/// architectures are.
const FIRST_ARGUMENT: u32 = 16;
const SECOND_ARGUMENT: u32 = 24;
const FIFTH_ARGUMENT: u32 = 48;

fn op(code: u32, jt: u8, jf: u8, k: u32) -> libc::sock_filter {
    libc::sock_filter { code: code as u16, jt, jf, k }
}

fn load(offset: u32) -> libc::sock_filter {
    op(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, offset)
}

fn answer(what: u32) -> libc::sock_filter {
    op(libc::BPF_RET | libc::BPF_K, 0, 0, what)
}

fn jump(test: u32, k: u32, yes: u8, no: u8) -> libc::sock_filter {
    op(libc::BPF_JMP | test | libc::BPF_K, yes, no, k)
}

const fn refuse(errno: i32) -> u32 {
    libc::SECCOMP_RET_ERRNO | errno as u32
}

/// A filter, and where in it the process's own number stands.
pub(super) struct Program {
    code: Vec<libc::sock_filter>,
    own: Vec<usize>,
}

impl Program {
    /// The filter for the process with the number `own`; `on_the_host` if it shares its user and its files with others.
    /// `None` on an architecture where it was never tried.
    pub(super) fn new(own: u32, on_the_host: bool) -> Option<Self> {
        const NR: u32 = 0;
        const ARCHITECTURE: u32 = 4;
        const REFUSE: u32 = refuse(libc::EPERM);
        let mut code = vec![
            load(ARCHITECTURE),
            jump(libc::BPF_JEQ, ARCH?, 1, 0),
            answer(libc::SECCOMP_RET_KILL_PROCESS),
            load(NR),
            jump(libc::BPF_JGE, X32_BIT, 0, 1),
            answer(libc::SECCOMP_RET_KILL_PROCESS),
            jump(libc::BPF_JGE, YOUNGER, 0, 1),
            answer(refuse(libc::ENOSYS)),
            jump(libc::BPF_JEQ, libc::SYS_clone3 as u32, 0, 1),
            answer(refuse(libc::ENOSYS)),
            jump(libc::BPF_JEQ, libc::SYS_clone as u32, 0, 4),
            load(FIRST_ARGUMENT),
            jump(libc::BPF_JSET, libc::CLONE_THREAD as u32, 0, 1),
            answer(libc::SECCOMP_RET_ALLOW),
            answer(REFUSE),
            // Messages to the other end of a pair: with no address, in either half of the pointer.
            jump(libc::BPF_JEQ, libc::SYS_sendto as u32, 0, 6),
            load(FIFTH_ARGUMENT),
            jump(libc::BPF_JEQ, 0, 0, 3),
            load(FIFTH_ARGUMENT + 4),
            jump(libc::BPF_JEQ, 0, 0, 1),
            answer(libc::SECCOMP_RET_ALLOW),
            answer(REFUSE),
        ];
        let mut places = Vec::new();
        // If it is this call: one answer if the argument is one of these values, another one if not.
        let mut when = |call: libc::c_long, argument: u32, values: &[u32], hit: u32, miss: u32| {
            let n = values.len() as u8;
            code.extend([jump(libc::BPF_JEQ, call as u32, 0, n + 3), load(argument)]);
            for (i, value) in values.iter().enumerate() {
                if *value == own {
                    places.push(code.len());
                }
                code.push(jump(libc::BPF_JEQ, *value, n - i as u8, 0));
            }
            code.extend([answer(miss), answer(hit)]);
        };
        // Signals to itself only, as `abort` sends one; limits of its own only.
        when(libc::SYS_kill, FIRST_ARGUMENT, &[own], libc::SECCOMP_RET_ALLOW, REFUSE);
        when(libc::SYS_tgkill, FIRST_ARGUMENT, &[own], libc::SECCOMP_RET_ALLOW, REFUSE);
        when(libc::SYS_prlimit64, FIRST_ARGUMENT, &[0, own], libc::SECCOMP_RET_ALLOW, REFUSE);
        if on_the_host {
            // Signals to the owner of a descriptor.
            const FIOSETOWN: u32 = 0x8901;
            const SIOCSPGRP: u32 = 0x8902;
            const F_SETOWN_EX: u32 = 15;
            let owners = [libc::F_SETOWN as u32, F_SETOWN_EX];
            when(libc::SYS_fcntl, SECOND_ARGUMENT, &owners, REFUSE, libc::SECCOMP_RET_ALLOW);
            let owners = [FIOSETOWN, SIOCSPGRP];
            when(libc::SYS_ioctl, SECOND_ARGUMENT, &owners, REFUSE, libc::SECCOMP_RET_ALLOW);
        }
        let besides = if on_the_host { &[] } else { ALLOWED_APART };
        for &call in ALLOWED.iter().chain(besides) {
            code.push(jump(libc::BPF_JEQ, call as u32, 0, 1));
            code.push(answer(libc::SECCOMP_RET_ALLOW));
        }
        code.push(answer(REFUSE));
        Some(Self { code, own: places })
    }

    /// As the kernel takes it: eight bytes for each instruction.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let one = |i: &libc::sock_filter| {
            let [a, b] = i.code.to_ne_bytes();
            let [c, d, e, f] = i.k.to_ne_bytes();
            [a, b, i.jt, i.jf, c, d, e, f]
        };
        self.code.iter().flat_map(one).collect()
    }

    /// Where in [`Program::bytes`] the process's own number stands, four bytes each.
    pub(super) fn own(&self) -> Vec<usize> {
        self.own.iter().map(|i| 8 * i + 4).collect()
    }
}

/// Puts the filter on this process, for good. Needs `no_new_privs`.
pub(super) fn install(on_the_host: bool) -> io::Result<()> {
    let Some(mut program) = Program::new(std::process::id(), on_the_host) else { return Ok(()) };
    let filter = libc::sock_fprog { len: program.code.len() as u16, filter: program.code.as_mut_ptr() };
    // SAFETY: the program and its header live through the call; the kernel checks and copies them.
    let set = unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const filter) };
    super::system::check(set).map(drop)
}
