//! The private root: an empty, read-only tmpfs with the interpreter's folders bound read-only at their own paths,
//! three harmless devices, and a small `/tmp`. No `/proc`, no `/etc`, no home.
//!
//! Runs in the child, after the namespaces are made and before any right is given up.
#![expect(unsafe_code, reason = "mount(2) and its family")]

use super::launch::{Failure, Step};
use super::system::{c_path, check};
use super::wire::Setup;
use crate::files;
use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

/// Where the new root grows before it becomes `/`. What lies below in the host's tree is reached by descriptors.
const BUILD: &CStr = c"/tmp";
pub(super) const DEVICES: [&str; 3] = ["/dev/null", "/dev/zero", "/dev/urandom"];

fn mount(from: &CStr, to: &CStr, kind: &CStr, flags: libc::c_ulong, data: &CStr) -> io::Result<()> {
    // SAFETY: all strings are terminated and live through the call.
    let done = unsafe { libc::mount(from.as_ptr(), to.as_ptr(), kind.as_ptr(), flags, data.as_ptr().cast()) };
    check(done).map(drop)
}

/// A handle on a path, which stays good when something is mounted over it.
fn handle(path: &Path) -> io::Result<OwnedFd> {
    let path = c_path(path)?;
    // SAFETY: the path is terminated and lives through the call; a descriptor that comes back is ours alone.
    unsafe {
        let fd = check(libc::open(path.as_ptr(), libc::O_PATH | libc::O_CLOEXEC))?;
        Ok(OwnedFd::from_raw_fd(fd))
    }
}

/// Makes a mount and all below it read-only, without set-user-id and devices.
fn harden(target: &CStr, devices: bool) -> io::Result<()> {
    let nodev = if devices { 0 } else { libc::MOUNT_ATTR_NODEV };
    let attributes = libc::mount_attr {
        attr_set: libc::MOUNT_ATTR_RDONLY | libc::MOUNT_ATTR_NOSUID | nodev,
        attr_clr: 0,
        propagation: 0,
        userns_fd: 0,
    };
    // SAFETY: path and attributes live through the call, and their size is passed with them.
    let set = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            libc::AT_FDCWD,
            target.as_ptr(),
            libc::AT_RECURSIVE,
            &raw const attributes,
            size_of::<libc::mount_attr>(),
        )
    };
    match check(set) {
        // Kernels before 5.12: a remount, which may not take away the flags that the mount already has.
        Err(e) if e.raw_os_error() == Some(libc::ENOSYS) => {
            // SAFETY: all zeroes is a valid statvfs; path and out-pointer live through the call.
            let present = unsafe {
                let mut found: libc::statvfs = std::mem::zeroed();
                check(libc::statvfs(target.as_ptr(), &raw mut found))?;
                found.f_flag
            };
            // These flags have the same bits in statvfs and in mount, up to `relatime`.
            let kept = present & (libc::MS_NODEV | libc::MS_NOEXEC | libc::MS_NOATIME | libc::MS_NODIRATIME);
            let nodev = if devices { 0 } else { libc::MS_NODEV };
            let flags = libc::MS_REMOUNT | libc::MS_BIND | libc::MS_RDONLY | libc::MS_NOSUID | nodev | kept;
            mount(c"", target, c"", flags, c"")
        }
        other => other.map(drop),
    }
}

fn bind(source: &OwnedFd, target: &Path, devices: bool) -> io::Result<()> {
    let source = c_path(Path::new(&format!("/proc/self/fd/{}", source.as_raw_fd())))?;
    let target = c_path(target)?;
    mount(&source, &target, c"", libc::MS_BIND | libc::MS_REC, c"")?;
    harden(&target, devices)
}

/// An empty file to bind another one on.
fn touch(path: &Path) -> io::Result<()> {
    let path = c_path(path)?;
    // SAFETY: the path is terminated and lives through the call; the descriptor is ours and closed at once.
    unsafe {
        let fd = check(libc::open(path.as_ptr(), libc::O_CREAT | libc::O_WRONLY | libc::O_CLOEXEC, 0o444))?;
        drop(OwnedFd::from_raw_fd(fd));
    }
    Ok(())
}

fn below(root: &Path, path: &Path) -> PathBuf {
    root.join(path.strip_prefix("/").unwrap_or(path))
}

fn folder(path: &Path) -> Result<(), Failure> {
    files::create_folder(path).map_err(|e| Failure { step: Step::Folders, errno: errno_of(e.kind()) })
}

/// `FileError` keeps the kind only; the number is for the message alone.
fn errno_of(kind: io::ErrorKind) -> i32 {
    match kind {
        io::ErrorKind::PermissionDenied => libc::EACCES,
        io::ErrorKind::ReadOnlyFilesystem => libc::EROFS,
        io::ErrorKind::StorageFull => libc::ENOSPC,
        _ => libc::EIO,
    }
}

/// Builds the root and moves into it. Afterwards the host's file tree is gone for this process.
pub(super) fn enter(setup: &Setup) -> Result<(), Failure> {
    mount(c"", c"/", c"", libc::MS_REC | libc::MS_PRIVATE, c"").map_err(Step::Private.failed())?;

    // Handles first: the new root will be in the way, and another user's folder may be closed to the later self.
    let devices = DEVICES.map(PathBuf::from);
    let mut sources = Vec::new();
    for path in setup.binds.iter().chain(&devices) {
        sources.push((path, handle(path).map_err(Step::Open.failed())?));
    }

    mount(c"tmpfs", BUILD, c"tmpfs", libc::MS_NOSUID | libc::MS_NODEV, c"size=64k,nr_inodes=512,mode=755")
        .map_err(Step::Tmpfs.failed())?;
    let root = PathBuf::from(BUILD.to_string_lossy().into_owned());
    for (path, source) in &sources {
        let target = below(&root, path);
        if files::is_folder(path)
            || files::is_folder(Path::new(&format!("/proc/self/fd/{}", source.as_raw_fd())))
        {
            folder(&target)?;
        } else {
            target.parent().map_or(Ok(()), folder)?;
            touch(&target).map_err(Step::Folders.failed())?;
        }
        bind(source, &target, DEVICES.iter().any(|d| Path::new(d) == path.as_path()))
            .map_err(Step::Bind.failed())?;
    }
    drop(sources);
    for (name, target) in &setup.links {
        symlink(target, below(&root, name)).map_err(Step::Folders.failed())?;
    }

    let scratch = below(&root, Path::new("/tmp"));
    folder(&scratch)?;
    let scratch = c_path(&scratch).map_err(Step::Tmpfs.failed())?;
    let flags = libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC;
    mount(c"tmpfs", &scratch, c"tmpfs", flags, c"size=16m,nr_inodes=1024,mode=1777")
        .map_err(Step::Tmpfs.failed())?;

    // SAFETY: terminated strings. pivot_root with "." twice stacks the old root on the new one, and the unmount
    // takes it off again (pivot_root(2), "pivot_root(".", ".")").
    unsafe {
        check(libc::chdir(BUILD.as_ptr())).map_err(Step::Pivot.failed())?;
        check(libc::syscall(libc::SYS_pivot_root, c".".as_ptr(), c".".as_ptr()))
            .map_err(Step::Pivot.failed())?;
        check(libc::umount2(c".".as_ptr(), libc::MNT_DETACH)).map_err(Step::Pivot.failed())?;
        check(libc::chdir(c"/tmp".as_ptr())).map_err(Step::Pivot.failed())?;
    }
    let flags = libc::MS_REMOUNT | libc::MS_BIND | libc::MS_RDONLY | libc::MS_NOSUID | libc::MS_NODEV;
    mount(c"", c"/", c"", flags, c"").map_err(Step::ReadOnly.failed())
}
