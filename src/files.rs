//! The only caller of `std::fs`. Errors say what was being done to which path.
//!
//! Everything that is written whole is written beside its target, synced and renamed, so that a reader never sees half
//! a file and an interrupted writer leaves the old one untouched.
#![expect(clippy::disallowed_methods, reason = "this file is the wrapper that the others use")]

use std::ffi::CString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStrExt;
#[cfg(target_os = "linux")]
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::{Duration, SystemTime};
use thiserror::Error;

/// A failed file operation.
#[derive(Debug, Error)]
#[error("cannot {action} `{}`", path.display())]
pub struct FileError {
    action: &'static str,
    path: PathBuf,
    source: io::Error,
}

impl FileError {
    /// The file or folder concerned.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What kind of failure it was.
    pub fn kind(&self) -> io::ErrorKind {
        self.source.kind()
    }
}

/// Result of a file operation.
pub type Result<T> = std::result::Result<T, FileError>;

trait At<T> {
    fn at(self, action: &'static str, path: &Path) -> Result<T>;
}

impl<T> At<T> for io::Result<T> {
    fn at(self, action: &'static str, path: &Path) -> Result<T> {
        self.map_err(|source| FileError { action, path: path.to_owned(), source })
    }
}

/// The whole file.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).at("read", path)
}

/// A file opened for a library that reads files itself.
pub fn open(path: &Path) -> Result<File> {
    File::open(path).at("open", path)
}

/// The whole file, as UTF-8.
pub fn read_text(path: &Path) -> Result<String> {
    fs::read_to_string(path).at("read", path)
}

/// Whether something exists there.
pub fn exists(path: &Path) -> bool {
    path.exists()
}

/// Whether it is a folder.
pub fn is_folder(path: &Path) -> bool {
    path.is_dir()
}

/// Whether it is a file.
pub fn is_file(path: &Path) -> bool {
    path.is_file()
}

/// The path without links and `..`.
pub fn canonical(path: &Path) -> Result<PathBuf> {
    fs::canonicalize(path).at("find", path)
}

/// Whether two paths lead to one file that is there.
pub fn same(a: &Path, b: &Path) -> bool {
    matches!((canonical(a), canonical(b)), (Ok(a), Ok(b)) if a == b)
}

/// Names in a folder, sorted.
pub fn list(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = fs::read_dir(folder)
        .and_then(|entries| entries.map(|e| e.map(|e| e.path())).collect::<io::Result<Vec<_>>>())
        .at("list", folder)?;
    found.sort();
    Ok(found)
}

/// Makes a folder and those above it.
pub fn create_folder(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).at("create the folder", folder)
}

/// Removes a folder with everything in it; fine if it is not there.
pub fn remove_folder(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other.at("remove", folder),
    }
}

/// Removes a file; fine if it is not there.
pub fn remove_file(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other.at("remove", path),
    }
}

/// How many bytes a file has, and when it was changed last.
pub fn measure(path: &Path) -> Result<(u64, SystemTime)> {
    let found = fs::metadata(path).at("measure", path)?;
    Ok((found.len(), found.modified().at("measure", path)?))
}

/// Makes sure that files can be written into `folder` (made if missing), before hours of work rely on it.
pub fn check_writable(folder: &Path) -> Result<()> {
    create_folder(folder)?;
    // A file without a name: nothing is left of it, wherever this process is killed. Not all file systems have that.
    #[cfg(target_os = "linux")]
    match OpenOptions::new().write(true).custom_flags(libc::O_TMPFILE).open(folder) {
        Err(e) if matches!(e.raw_os_error(), Some(libc::EOPNOTSUPP | libc::EISDIR)) => {}
        opened => return opened.map(drop).at("write into", folder),
    }
    let probe = folder.join(format!(".writable-{}", std::process::id()));
    fs::write(&probe, b"").at("write into", folder)?;
    fs::remove_file(&probe).at("remove", &probe)
}

/// Bytes that can still be written at `path`: free on the file system of the nearest place at or above it that exists.
#[expect(unsafe_code, reason = "statvfs(3), which std does not have")]
pub fn free_space(path: &Path) -> Result<u64> {
    let there = path.ancestors().find(|p| p.exists()).unwrap_or(Path::new("."));
    let name = CString::new(there.as_os_str().as_bytes()).map_err(io::Error::from).at("find", there)?;
    let mut found = MaybeUninit::<libc::statvfs>::uninit();
    // SAFETY: the name ends in a zero byte, and `found` has room for all that the call writes.
    if unsafe { libc::statvfs(name.as_ptr(), found.as_mut_ptr()) } != 0 {
        return Err(io::Error::last_os_error()).at("measure the free space of", there);
    }
    // SAFETY: the call succeeded, so that it has written all of it.
    let found = unsafe { found.assume_init() };
    Ok(found.f_bavail.saturating_mul(found.f_frsize))
}

fn sync_folder(folder: &Path) -> Result<()> {
    File::open(folder).and_then(|f| f.sync_all()).at("sync the folder", folder)
}

/// Writes a whole file: beside, synced, renamed.
pub fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let parent = parent(path);
    let beside = parent.join(format!(".{}.{}.tmp", name(path), std::process::id()));
    let written = File::create(&beside)
        .and_then(|mut file| {
            file.write_all(bytes)?;
            file.sync_all()
        })
        .at("write", path)
        .and_then(|()| fs::rename(&beside, path).at("put in place", path));
    if written.is_err() {
        // The first error is the one to report; the leftover is only litter.
        let _ = fs::remove_file(&beside);
        return written;
    }
    sync_folder(&parent)
}

fn parent(path: &Path) -> PathBuf {
    match path.parent() {
        Some(p) if !p.as_os_str().is_empty() => p.to_owned(),
        _ => PathBuf::from("."),
    }
}

fn name(path: &Path) -> String {
    path.file_name().map_or_else(|| "file".to_owned(), |n| n.to_string_lossy().into_owned())
}

/// Which file one is, and in which state: as long as nobody writes to it or puts another in its place, this is the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The device that it is on.
    pub device: u64,
    /// Its number there.
    pub inode: u64,
    /// Its bytes.
    pub len: u64,
    /// When its content changed, which may be set to anything.
    pub modified: SystemTime,
    /// When content or status changed, which is set by the system alone.
    pub changed: SystemTime,
}

/// A file opened for reading at offsets, from any thread.
#[derive(Debug)]
pub struct ReadAt {
    file: File,
    path: PathBuf,
    len: u64,
}

impl ReadAt {
    /// Opens `path`.
    pub fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).at("open", path)?;
        let len = file.metadata().at("measure", path)?.len();
        Ok(Self { file, path: path.to_owned(), len })
    }

    /// Bytes in the file when it was opened.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether the file was empty.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Which file this is, in which state; none where the file system does not tell.
    pub fn identity(&self) -> Option<Identity> {
        let found = self.file.metadata().ok()?;
        let changed = Duration::new(found.ctime().try_into().ok()?, found.ctime_nsec().try_into().ok()?);
        Some(Identity {
            device: found.dev(),
            inode: found.ino(),
            len: found.len(),
            modified: found.modified().ok()?,
            changed: SystemTime::UNIX_EPOCH + changed,
        })
    }

    /// Fills `out` from `offset`; too short a file is an error.
    pub fn read_exact(&self, out: &mut [u8], offset: u64) -> Result<()> {
        self.file.read_exact_at(out, offset).at("read", &self.path)
    }
}

/// A new file of known size, written at offsets from any thread, in buffers of a kind that are used again.
#[derive(Debug)]
pub struct WriteAt<B> {
    file: File,
    path: PathBuf,
    /// Whoever holds it writes what waits.
    turn: Mutex<()>,
    waiting: Mutex<Vec<(B, u64)>>,
    spare: Mutex<Vec<B>>,
}

impl<B: AsRef<[u8]> + Default> WriteAt<B> {
    /// Creates `path` with `len` bytes, so that a full disk is noticed early where the file system can tell.
    pub fn create(path: &Path, len: u64) -> Result<Self> {
        let file = OpenOptions::new().write(true).create_new(true).open(path).at("create", path)?;
        file.set_len(len).at("reserve space for", path)?;
        Ok(Self {
            file,
            path: path.to_owned(),
            turn: Mutex::default(),
            waiting: Mutex::default(),
            spare: Mutex::default(),
        })
    }

    /// A buffer for [`write`](Self::write), which holds anything.
    pub fn buffer(&self) -> B {
        lock(&self.spare).pop().unwrap_or_default()
    }

    /// Writes `bytes` at `offset`, at once.
    pub fn write_now(&self, bytes: &[u8], offset: u64) -> Result<()> {
        self.file.write_all_at(bytes, offset).at("write", &self.path)
    }

    /// Writes `bytes` at `offset`, or leaves that to a thread that is writing now: a file takes one writer at a time, and
    /// whoever would wait for it can compute instead. What waits is bounded; [`sync`](Self::sync) waits for all.
    pub fn write(&self, bytes: B, offset: u64) -> Result<()> {
        /// Buffers that may wait.
        const MANY: usize = 8;
        let many = {
            let mut waiting = lock(&self.waiting);
            waiting.push((bytes, offset));
            waiting.len() > MANY
        };
        loop {
            let turn = match self.turn.try_lock() {
                Err(TryLockError::WouldBlock) if !many => return Ok(()),
                Err(TryLockError::WouldBlock) => lock(&self.turn),
                Err(TryLockError::Poisoned(turn)) => turn.into_inner(),
                Ok(turn) => turn,
            };
            self.write_waiting()?;
            drop(turn);
            // What came between the last look and the end of the turn was left to us.
            if lock(&self.waiting).is_empty() {
                return Ok(());
            }
        }
    }

    fn write_waiting(&self) -> Result<()> {
        loop {
            let Some((bytes, offset)) = lock(&self.waiting).pop() else { return Ok(()) };
            self.write_now(bytes.as_ref(), offset)?;
            lock(&self.spare).push(bytes);
        }
    }

    /// Sends what has been written so far to the disk, and waits until it is there.
    pub fn send(&self) -> Result<()> {
        self.file.sync_data().at("write", &self.path)
    }

    /// Makes sure that all of it is on disk.
    pub fn sync(&self) -> Result<()> {
        let _turn = lock(&self.turn);
        self.write_waiting()?;
        self.file.sync_all().at("sync", &self.path)
    }
}

// Nothing panics while it holds one of these locks.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A folder that appears whole or not at all. Dropped before [`Staged::commit`], it leaves nothing behind.
#[derive(Debug)]
pub struct Staged {
    staging: PathBuf,
    target: PathBuf,
    done: bool,
}

impl Staged {
    /// Starts a folder that will be `target`, which must not exist yet. Leftovers of dead writers of the same target
    /// are swept.
    pub fn new(target: &Path) -> Result<Self> {
        if target.exists() {
            return Err(io::Error::from(io::ErrorKind::AlreadyExists)).at("create the folder", target);
        }
        let parent = parent(target);
        create_folder(&parent)?;
        let prefix = format!(".{}.staging-", name(target));
        for old in list(&parent)? {
            let pid = old.file_name().and_then(|n| n.to_str()).and_then(|n| n.strip_prefix(&prefix));
            if pid.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
                remove_folder(&old)?;
            }
        }
        let staging = parent.join(format!("{prefix}{}", std::process::id()));
        remove_folder(&staging)?;
        fs::create_dir(&staging).at("create the folder", &staging)?;
        Ok(Self { staging, target: target.to_owned(), done: false })
    }

    /// Where to write meanwhile.
    pub fn path(&self) -> &Path {
        &self.staging
    }

    /// Syncs the folder and gives it its name.
    pub fn commit(mut self) -> Result<()> {
        sync_folder(&self.staging)?;
        fs::rename(&self.staging, &self.target).at("put in place", &self.target)?;
        self.done = true;
        sync_folder(&parent(&self.target))
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if !self.done {
            // Nothing can be reported from here, and a later writer sweeps what is left.
            let _ = fs::remove_dir_all(&self.staging);
        }
    }
}

/// A file to which whole records are appended, by one process at a time.
#[derive(Debug)]
pub struct Append {
    file: File,
    path: PathBuf,
}

impl Append {
    /// Opens `path` for appending and takes its lock; `None` if another process holds it. A last record without its
    /// newline was torn by a crash and is cut off.
    pub fn open(path: &Path) -> Result<Option<Self>> {
        let file = OpenOptions::new().read(true).append(true).create(true).open(path).at("open", path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => return Ok(None),
            Err(fs::TryLockError::Error(e)) => return Err(e).at("lock", path),
        }
        // Whoever held the lock until just now may have removed the file: what is written into it would be lost.
        let mine = file.metadata().at("measure", path)?;
        if !fs::metadata(path).is_ok_and(|there| (there.dev(), there.ino()) == (mine.dev(), mine.ino())) {
            return Ok(None);
        }
        let bytes = fs::read(path).at("read", path)?;
        let whole = bytes.iter().rposition(|&b| b == b'\n').map_or(0, |i| i + 1);
        if whole < bytes.len() {
            file.set_len(whole as u64).at("cut the torn end of", path)?;
        }
        Ok(Some(Self { file, path: path.to_owned() }))
    }

    /// Appends one line in a single write: it is in the file when this returns, whatever happens to the process.
    pub fn line(&mut self, line: &str) -> Result<()> {
        debug_assert!(!line.contains('\n'), "a record is one line");
        let mut bytes = Vec::with_capacity(line.len() + 1);
        bytes.extend_from_slice(line.as_bytes());
        bytes.push(b'\n');
        self.file.write_all(&bytes).at("append to", &self.path)
    }

    /// Makes sure that it is on disk, whatever happens to the machine.
    pub fn sync(&self) -> Result<()> {
        self.file.sync_data().at("sync", &self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_abandoned_staged_folder_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("out");
        {
            let staged = Staged::new(&target).unwrap();
            write(&staged.path().join("a"), b"x").unwrap();
        }
        assert!(list(dir.path()).unwrap().is_empty());
        let staged = Staged::new(&target).unwrap();
        write(&staged.path().join("a"), b"x").unwrap();
        staged.commit().unwrap();
        assert_eq!(read(&target.join("a")).unwrap(), b"x");
        assert_eq!(Staged::new(&target).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
    }

    #[test]
    fn a_torn_record_is_cut_and_the_whole_ones_stay() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        write(&path, b"one\ntwo\nthr").unwrap();
        let mut log = Append::open(&path).unwrap().unwrap();
        log.line("three").unwrap();
        assert_eq!(read(&path).unwrap(), b"one\ntwo\nthree\n");
        assert!(Append::open(&path).unwrap().is_none(), "one writer at a time");
    }

    #[test]
    fn free_space_is_that_of_the_nearest_folder_there_is() {
        let dir = tempfile::tempdir().unwrap();
        let (here, below) = (free_space(dir.path()).unwrap(), free_space(&dir.path().join("a/b")).unwrap());
        // Others write meanwhile.
        assert!(here > 0 && here.abs_diff(below) < 1 << 30, "{here} {below}");
        assert!(free_space(Path::new("not there")).is_ok());
    }

    #[test]
    fn an_error_names_the_path_and_the_action() {
        let e = read(Path::new("/nonexistent/file")).unwrap_err();
        assert_eq!(e.to_string(), "cannot read `/nonexistent/file`");
    }
}
