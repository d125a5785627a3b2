//! The helper process: this same binary, started again with one thread. It takes jobs from its standard input, one
//! after the other, and answers on its standard output. When the pool goes, its input closes, and it goes too, with
//! whatever it was running.

use super::super::job::{Confinement, Ending, Job, Limit, Report};
use super::bubblewrap;
use super::launch::{self, Failure, Parent, Running, Step};
use super::system::{self, Death};
use super::talk::{self, Talk};
use super::wire::{self, Reply, Setup};
use super::zygote::Zygote;
use crate::files;
use std::ffi::{CString, OsStr, OsString};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

/// The argument that makes this binary a helper.
pub(super) const MARK: &str = "__sandbox-helper";

/// Serves as a helper if the arguments (the program's own name first) say so, and says with which code to exit;
/// `None` if this is no helper invocation. To be called first thing in `main`, while there is one thread.
pub fn helper_main(arguments: impl IntoIterator<Item = OsString>) -> Option<ExitCode> {
    let mut arguments = arguments.into_iter().skip(1);
    if arguments.next()? != MARK {
        return None;
    }
    Some(match serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::from(2), // the pool sees the closed pipe and replaces this helper
    })
}

fn serve() -> io::Result<()> {
    // Unbuffered, so that what the pool has sent and its closing can be told apart by polling.
    let stdin = io::stdin().as_fd().try_clone_to_owned()?;
    let stdout = io::stdout().as_fd().try_clone_to_owned()?;
    let mut requests = io::PipeReader::from(stdin);
    let mut replies = io::PipeWriter::from(stdout);
    let Some(mut setup) = wire::receive::<Setup>(&mut requests)? else { return Ok(()) };
    // It runs one program at a time, and making a network that leads nowhere takes longer than all other namespaces together.
    setup.offline =
        setup.confinement == Confinement::Namespaces && system::is_root() && system::leave_network();
    let random = files::ReadAt::open(Path::new("/dev/urandom")).map_err(io::Error::other)?;
    let mut nursery = Nursery { zygote: None, barren: !setup.prefork };
    while let Some(job) = wire::receive::<Job>(&mut requests)? {
        let mut nonce = [0; 16];
        random.read_exact(&mut nonce, 0).map_err(io::Error::other)?;
        let Some(reply) = run(&setup, &mut nursery, &job, nonce, &requests)? else { return Ok(()) };
        wire::send(&mut replies, &reply)?;
    }
    Ok(())
}

/// The interpreter that is kept ready, if one is.
struct Nursery {
    zygote: Option<Zygote>,
    /// None can be had here. Every program then gets an interpreter of its own, with the same verdict.
    barren: bool,
}

impl Nursery {
    /// Forks the interpreter that is kept ready, after starting one if need be.
    fn launch(&mut self, setup: &Setup, job: &Job) -> Option<Running> {
        if self.barren {
            return None;
        }
        if self.zygote.as_ref().is_none_or(Zygote::is_old) {
            self.zygote = None; // the old one goes before the new one comes
            self.zygote = Zygote::start(setup).ok();
        }
        let running = self.zygote.as_mut().and_then(|zygote| zygote.launch(&job.limits).ok());
        if running.is_none() {
            self.give_up();
        }
        running
    }

    fn give_up(&mut self) {
        self.zygote = None;
        self.barren = true;
    }
}

/// A folder to start in. Where it is the program's own, it is removed with what is in it.
struct Scratch(CString);

impl Scratch {
    fn new(confinement: Confinement) -> io::Result<Self> {
        match confinement {
            Confinement::Namespaces | Confinement::Bubblewrap => Ok(Self(c"/tmp".to_owned())),
            Confinement::Landlock => Ok(Self(c"/".to_owned())),
            Confinement::None => system::make_scratch(c"/tmp/m3-program-XXXXXX").map(Self),
        }
    }

    fn remove(self, confinement: Confinement) {
        if confinement == Confinement::None {
            // What an unconfined program leaves behind cannot be controlled; litter is the least of it.
            let _ = files::remove_folder(Path::new(OsStr::from_bytes(self.0.to_bytes())));
        }
    }
}

/// Runs one job; `None` if the pool is gone.
fn run(
    setup: &Setup,
    nursery: &mut Nursery,
    job: &Job,
    nonce: [u8; 16],
    pool: &io::PipeReader,
) -> io::Result<Option<Reply>> {
    if let Some(running) = nursery.launch(setup, job) {
        match watch(setup, nursery, running, job, nonce, pool) {
            Ok(Some(Reply::NoInterpreter(_))) | Err(_) => nursery.give_up(),
            told => return told,
        }
    }
    let confinement = setup.confinement;
    let scratch = match Scratch::new(confinement) {
        Ok(scratch) => scratch,
        Err(e) => return Ok(Some(refused(Step::Scratch.failed()(e)))),
    };
    let told = match launch::launch(setup, &job.limits, &scratch.0) {
        Ok(running) => watch(setup, nursery, running, job, nonce, pool),
        Err(failure) => Ok(Some(refused(failure))),
    };
    scratch.remove(confinement);
    told
}

/// Leads a program to its end.
fn watch(
    setup: &Setup,
    nursery: &mut Nursery,
    mut running: Running,
    job: &Job,
    nonce: [u8; 16],
    pool: &io::PipeReader,
) -> io::Result<Option<Reply>> {
    let confinement = setup.confinement;
    let talked = talk::talk(job, &mut running, nonce, pool.as_fd());
    talk::end(&running, confinement == Confinement::None);
    let (death, cpu) = match running.parent {
        Parent::Helper => system::reap(running.pid)?,
        Parent::Bubblewrap(pid) => {
            let (death, cpu) = system::reap(pid)?;
            (bubblewrap::ended(death), cpu)
        }
        Parent::Zygote => match &mut nursery.zygote {
            Some(zygote) => zygote.reap()?,
            None => return Err(io::ErrorKind::BrokenPipe.into()),
        },
    };
    let (ending, wall) = match talked? {
        Talk::NotReady => return Ok(Some(Reply::NoInterpreter(talk::START.as_secs()))),
        Talk::Unwanted => return Ok(None),
        Talk::Verdict(ending, wall) => (ending, wall),
        Talk::Ended(wall) => (ended(death, cpu, job), wall),
    };
    Ok(Some(Reply::Done(Report { ending, wall, cpu, confinement })))
}

fn refused(failure: Failure) -> Reply {
    Reply::Walls { step: failure.step.text().to_owned(), errno: failure.errno }
}

/// What a death without a verdict means. Nobody but the kernel could have killed it: for its processor time, or for
/// want of memory.
fn ended(death: Death, cpu: Duration, job: &Job) -> Ending {
    match death {
        Death::Code(code) => Ending::Exited { code },
        Death::Signal(libc::SIGKILL | libc::SIGXCPU) if cpu >= job.limits.cpu => {
            Ending::TimedOut { which: Limit::Cpu }
        }
        Death::Signal(libc::SIGKILL) => Ending::OutOfMemory,
        Death::Signal(signal) => Ending::Crashed { signal },
    }
}
