//! The walls that another program builds: bubblewrap (`bwrap`), where the system lets it and not us, or where a second
//! opinion is wanted. The system call filter goes along.

use super::super::job::Limits;
use super::child::{self, NOBODY};
use super::filter;
use super::launch::{Failure, Parent, Pipes, Role, Running, Step, USER, argument, spawn};
use super::root::DEVICES;
use super::system::{self, Death};
use super::wire::Setup;
use crate::files;
use std::ffi::CString;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

/// Where the filter and the word about the started program go; the driver's pipes are 3 and 4.
const FILTER: &str = "5";
const INFO: &str = "6";

/// Looks for the program.
pub(super) fn find(search: &[PathBuf]) -> Option<PathBuf> {
    let usual = [PathBuf::from("/usr/bin"), PathBuf::from("/usr/local/bin")];
    search.iter().chain(&usual).map(|folder| folder.join("bwrap")).find(|path| files::is_file(path))
}

/// What bubblewrap is asked for, up to the program that it starts.
fn arguments(setup: &Setup, program: &Path) -> Vec<String> {
    let text = |path: &Path| path.to_string_lossy().into_owned();
    let user = USER.to_string();
    let mut all = vec![text(program)];
    let mut ask = |words: &[&str]| all.extend(words.iter().map(|w| (*w).to_owned()));
    ask(&["--unshare-all", "--unshare-user", "--as-pid-1", "--die-with-parent", "--new-session"]);
    ask(&["--cap-drop", "ALL", "--uid", &user, "--gid", &user]);
    for path in &setup.binds {
        ask(&["--ro-bind", &text(path), &text(path)]);
    }
    for (name, target) in &setup.links {
        ask(&["--symlink", &text(target), &text(name)]);
    }
    for device in DEVICES {
        ask(&["--dev-bind", device, device]);
    }
    ask(&["--size", "16777216", "--tmpfs", "/tmp", "--remount-ro", "/", "--chdir", "/tmp"]);
    all
}

/// Starts the interpreter of `command` inside.
pub(super) fn launch(
    setup: &Setup,
    limits: &Limits,
    pipes: Pipes,
    command: Vec<CString>,
) -> Result<Running, Failure> {
    let missing = || Failure { step: Step::Bubblewrap, errno: libc::ENOENT };
    let mut wanted = arguments(setup, setup.bubblewrap.as_deref().ok_or_else(missing)?);
    let pipe = || io::pipe().map_err(Step::Pipes.failed());
    let ((filter_out, mut filter_in), (mut info, info_in)) = (pipe()?, pipe()?);
    if let Some(program) = filter::Program::new(1, false) {
        // Some kilobytes: a pipe takes them without a reader.
        filter_in.write_all(&program.bytes()).map_err(Step::Filter.failed())?;
        wanted.extend(["--seccomp", FILTER].map(str::to_owned));
    }
    drop(filter_in);
    wanted.extend(["--info-fd", INFO, "--"].map(str::to_owned));
    let mut arguments = wanted.into_iter().map(argument).collect::<Result<Vec<_>, _>>()?;
    arguments.extend(command);

    let ends = [pipes.input.as_fd(), pipes.output.as_fd(), filter_out.as_fd(), info_in.as_fd()];
    let prepare = || {
        child::drop_rights(NOBODY).map_err(Step::Identity.failed())?;
        child::die_with_the_helper().map_err(Step::Identity.failed())?;
        child::limit(limits, false).map_err(Step::Limits.failed())?;
        child::place(&ends).map_err(Step::Descriptors.failed())
    };
    let (bwrap, bwrap_handle) = spawn(&Role { namespaces: None, prepare: &prepare, arguments: &arguments })?;
    drop(info_in);
    let started = child_of(&mut info).and_then(|pid| Ok((pid, system::handle(pid)?)));
    match started {
        Ok((pid, pidfd)) => {
            let Pipes { to, from, .. } = pipes;
            Ok(Running { pid, pidfd, to, from, parent: Parent::Bubblewrap(bwrap) })
        }
        Err(error) => {
            system::kill(bwrap_handle.as_fd());
            // It is dead or dying; why, its message to the probe says.
            let _ = system::reap(bwrap);
            Err(Step::Bubblewrap.failed()(error))
        }
    }
}

/// The number of the program that bubblewrap has started.
fn child_of(info: &mut impl Read) -> io::Result<libc::pid_t> {
    #[derive(serde::Deserialize)]
    struct Info {
        #[serde(rename = "child-pid")]
        child: libc::pid_t,
    }
    let mut told = Vec::new();
    let mut byte = [0];
    while !told.contains(&b'}') {
        if info.read(&mut byte)? == 0 {
            return Err(io::Error::from_raw_os_error(libc::EPERM));
        }
        told.push(byte[0]);
    }
    Ok(serde_json::from_slice::<Info>(&told)?.child)
}

/// How the program ended, as bubblewrap's own end tells it.
pub(super) fn ended(death: Death) -> Death {
    match death {
        Death::Code(code @ 129..=192) => Death::Signal(code - 128),
        other => other,
    }
}

/// What bubblewrap says when it does not start anything; nothing if it does.
pub(super) fn complaint(setup: &Setup) -> Option<String> {
    use std::os::unix::process::CommandExt;
    let program = setup.bubblewrap.as_deref()?;
    let mut command = std::process::Command::new(program);
    command.args(&arguments(setup, program)[1..]).arg("--").arg(&setup.python).args(["-S", "-c", "pass"]);
    if system::is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    let output = command.stdin(std::process::Stdio::null()).output();
    match output {
        Ok(output) if output.status.success() => None,
        Ok(output) => Some(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
        Err(error) => Some(error.to_string()),
    }
}
