//! Frames between the pool and a helper: a 4-byte little-endian length and that much JSON. Both ends are this crate.

use super::super::job::{Confinement, Report};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::io::{self, Read, Write};
use std::path::PathBuf;

/// The first frame to a helper: what is the same for every job.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Setup {
    /// The interpreter, without links.
    pub(super) python: PathBuf,
    /// The driver, compiled by it and marshalled: a literal of its language.
    pub(super) driver: String,
    /// Files and folders of the host that a program may read, at their own paths.
    pub(super) binds: Vec<PathBuf>,
    /// Links to make in the private root: name and target.
    pub(super) links: Vec<(PathBuf, PathBuf)>,
    /// Which walls.
    pub(super) confinement: Confinement,
    /// The program that builds the walls of [`Confinement::Bubblewrap`].
    pub(super) bubblewrap: Option<PathBuf>,
    /// Whether the helper itself has left the network, so that its programs need no namespace for that.
    #[serde(skip)]
    pub(super) offline: bool,
    /// Whether an interpreter is kept ready; behind [`Confinement::Namespaces`] only.
    pub(super) prefork: bool,
}

/// What a helper says about a job.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Reply {
    /// It ran.
    Done(Report),
    /// The walls did not go up.
    Walls {
        /// What was being done.
        step: String,
        /// The system's error number.
        errno: i32,
    },
    /// The interpreter did not come up in so many seconds.
    NoInterpreter(u64),
}

/// Writes one frame.
pub(super) fn send<T: Serialize>(to: &mut impl Write, value: &T) -> io::Result<()> {
    let json = serde_json::to_vec(value)?;
    let len = u32::try_from(json.len()).map_err(|_| io::Error::from(io::ErrorKind::FileTooLarge))?;
    to.write_all(&len.to_le_bytes())?;
    to.write_all(&json)?;
    to.flush()
}

/// Reads one frame; `None` if the other side has closed.
pub(super) fn receive<T: DeserializeOwned>(from: &mut impl Read) -> io::Result<Option<T>> {
    let mut len = [0; 4];
    match from.read_exact(&mut len) {
        Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        other => other?,
    }
    let mut json = vec![0; u32::from_le_bytes(len) as usize];
    from.read_exact(&mut json)?;
    Ok(Some(serde_json::from_slice(&json)?))
}
