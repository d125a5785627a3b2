//! Which system calls are refused? The namespaces are the wall; this filter and Landlock are the ditch before it.
//!
//! A deny-list, because an honest interpreter of another version must not stumble: everything that talks to the
//! network, makes processes, looks into other processes, changes the walls, or takes memory that the limits do not
//! see. `clone` may make threads only; `clone3`, whose flags a filter cannot read, is "not implemented", on which the
//! C library falls back to `clone`. System calls of a foreign ABI (32-bit, x32) kill.
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
    libc::SYS_setsid, libc::SYS_setpgid,
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
    libc::SYS_memfd_create, libc::SYS_shmget, libc::SYS_shmat, libc::SYS_msgget, libc::SYS_semget, libc::SYS_mq_open,
];

/// Whether there is a filter for this architecture.
pub(super) fn exists() -> bool {
    ARCH.is_some()
}

fn program() -> Option<Vec<libc::sock_filter>> {
    // Offsets in `struct seccomp_data`; the low half of the first argument comes first on little-endian machines,
    // which both architectures are.
    const NR: u32 = 0;
    const ARCHITECTURE: u32 = 4;
    const FIRST_ARGUMENT: u32 = 16;
    let arch = ARCH?;
    let op = |code: u32, jt: u8, jf: u8, k: u32| libc::sock_filter { code: code as u16, jt, jf, k };
    let load = |offset| op(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, offset);
    let answer = |what| op(libc::BPF_RET | libc::BPF_K, 0, 0, what);
    let jump = |test: u32, k: u32, yes: u8, no: u8| op(libc::BPF_JMP | test | libc::BPF_K, yes, no, k);
    let refuse = |errno: i32| answer(libc::SECCOMP_RET_ERRNO | errno as u32);

    let mut code = vec![
        load(ARCHITECTURE),
        jump(libc::BPF_JEQ, arch, 1, 0),
        answer(libc::SECCOMP_RET_KILL_PROCESS),
        load(NR),
        jump(libc::BPF_JGE, X32_BIT, 0, 1),
        answer(libc::SECCOMP_RET_KILL_PROCESS),
        jump(libc::BPF_JEQ, libc::SYS_clone3 as u32, 0, 1),
        refuse(libc::ENOSYS),
        jump(libc::BPF_JEQ, libc::SYS_clone as u32, 0, 4),
        load(FIRST_ARGUMENT),
        jump(libc::BPF_JSET, libc::CLONE_THREAD as u32, 0, 1),
        answer(libc::SECCOMP_RET_ALLOW),
        refuse(libc::EPERM),
    ];
    for &call in REFUSED {
        code.push(jump(libc::BPF_JEQ, call as u32, 0, 1));
        code.push(refuse(libc::EPERM));
    }
    code.push(answer(libc::SECCOMP_RET_ALLOW));
    Some(code)
}

/// Puts the filter on this process, for good. Needs `no_new_privs`.
pub(super) fn install() -> io::Result<()> {
    let Some(mut code) = program() else { return Ok(()) };
    let filter = libc::sock_fprog { len: code.len() as u16, filter: code.as_mut_ptr() };
    // SAFETY: the program and its header live through the call; the kernel checks and copies them.
    let set = unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const filter) };
    super::system::check(set).map(drop)
}
