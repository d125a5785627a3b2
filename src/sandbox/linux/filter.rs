//! Which system calls are refused? Where there are namespaces they are the wall, and this filter and Landlock are the
//! ditch before it; elsewhere these two are all there is.
//!
//! A deny-list, because an honest interpreter of another version must not stumble: everything that talks to the
//! network, makes processes, looks into other processes, changes the walls, or takes memory that the limits do not
//! see; and everything younger than this list. Signals go to the process itself only. `clone` may make threads only;
//! `clone3`, whose flags a filter cannot read, is "not implemented", on which the C library falls back to `clone`.
//! System calls of a foreign ABI (32-bit, x32) kill.
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
const REFUSED: &[libc::c_long] = &[
    // The network. (A pair of connected sockets leads nowhere, and asyncio needs one.)
    libc::SYS_socket, libc::SYS_bind, libc::SYS_connect, libc::SYS_listen, libc::SYS_accept, libc::SYS_accept4,
    // Other processes.
    #[cfg(target_arch = "x86_64")] libc::SYS_fork,
    #[cfg(target_arch = "x86_64")] libc::SYS_vfork,
    libc::SYS_ptrace, libc::SYS_process_vm_readv, libc::SYS_process_vm_writev, libc::SYS_process_madvise,
    libc::SYS_kcmp, libc::SYS_pidfd_open, libc::SYS_pidfd_getfd, libc::SYS_pidfd_send_signal, libc::SYS_execveat,
    libc::SYS_setsid, libc::SYS_setpgid, libc::SYS_tkill, libc::SYS_rt_sigqueueinfo, libc::SYS_rt_tgsigqueueinfo,
    libc::SYS_sched_setaffinity, libc::SYS_sched_setscheduler, libc::SYS_sched_setparam, libc::SYS_sched_setattr,
    libc::SYS_setpriority, libc::SYS_ioprio_set, libc::SYS_migrate_pages, libc::SYS_move_pages,
    // The walls.
    libc::SYS_mount, libc::SYS_umount2, libc::SYS_pivot_root, libc::SYS_chroot, libc::SYS_unshare, libc::SYS_setns,
    libc::SYS_open_tree, libc::SYS_move_mount, libc::SYS_fsopen, libc::SYS_fsconfig, libc::SYS_fsmount,
    libc::SYS_fspick, libc::SYS_mount_setattr, libc::SYS_name_to_handle_at, libc::SYS_open_by_handle_at,
    libc::SYS_sethostname, libc::SYS_setdomainname, libc::SYS_personality,
    // The kernel.
    libc::SYS_bpf, libc::SYS_perf_event_open, libc::SYS_userfaultfd, libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter, libc::SYS_io_uring_register, libc::SYS_keyctl, libc::SYS_add_key, libc::SYS_request_key,
    libc::SYS_init_module, libc::SYS_finit_module, libc::SYS_delete_module, libc::SYS_kexec_load, libc::SYS_reboot,
    libc::SYS_swapon, libc::SYS_swapoff, libc::SYS_syslog, libc::SYS_acct, libc::SYS_quotactl,
    libc::SYS_clock_settime, libc::SYS_settimeofday, libc::SYS_adjtimex,
    #[cfg(target_arch = "x86_64")] libc::SYS_iopl,
    #[cfg(target_arch = "x86_64")] libc::SYS_ioperm,
    // Memory beside the address space.
    libc::SYS_memfd_create, libc::SYS_memfd_secret, libc::SYS_shmget, libc::SYS_shmat, libc::SYS_shmctl, libc::SYS_msgget, libc::SYS_msgsnd,
    libc::SYS_msgrcv, libc::SYS_msgctl, libc::SYS_semget, libc::SYS_semop, libc::SYS_semtimedop, libc::SYS_semctl,
    libc::SYS_mq_open, libc::SYS_mq_unlink,
];

/// Whether there is a filter for this architecture.
pub(super) fn exists() -> bool {
    ARCH.is_some()
}

/// What is refused besides where the program shares its user and its files with others. (Landlock says nothing of what
/// a file may be called, whose it is and when it was changed.)
#[rustfmt::skip]
const REFUSED_ON_THE_HOST: &[libc::c_long] = &[
    #[cfg(target_arch = "x86_64")] libc::SYS_chmod,
    #[cfg(target_arch = "x86_64")] libc::SYS_chown,
    #[cfg(target_arch = "x86_64")] libc::SYS_lchown,
    #[cfg(target_arch = "x86_64")] libc::SYS_utime,
    #[cfg(target_arch = "x86_64")] libc::SYS_utimes,
    #[cfg(target_arch = "x86_64")] libc::SYS_futimesat,
    #[cfg(target_arch = "x86_64")] libc::SYS_inotify_init,
    libc::SYS_fchmod, libc::SYS_fchmodat, SYS_FCHMODAT2, libc::SYS_fchown, libc::SYS_fchownat, libc::SYS_utimensat,
    libc::SYS_setxattr, libc::SYS_lsetxattr, libc::SYS_fsetxattr,
    libc::SYS_removexattr, libc::SYS_lremovexattr, libc::SYS_fremovexattr,
    libc::SYS_flock, libc::SYS_inotify_init1, libc::SYS_fanotify_init,
];

/// The same number on all architectures; younger than some C libraries.
const SYS_FCHMODAT2: libc::c_long = 452;

/// The first system call that is younger than these lists (after `mseal`, Linux 6.10; the same on all architectures).
/// What is not known here cannot be judged here, and programs have done without it.
const YOUNGER: u32 = 463;

/// Where arguments lie in `struct seccomp_data`; the low half comes first on little-endian machines, which both
/// architectures are.
const FIRST_ARGUMENT: u32 = 16;
const SECOND_ARGUMENT: u32 = 24;

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
        let besides = if on_the_host { REFUSED_ON_THE_HOST } else { &[] };
        for &call in REFUSED.iter().chain(besides) {
            code.push(jump(libc::BPF_JEQ, call as u32, 0, 1));
            code.push(answer(REFUSE));
        }
        code.push(answer(libc::SECCOMP_RET_ALLOW));
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
