//! The verdict protocol with `driver.py`, under a clock. The program is never waited for: every read and write is
//! non-blocking, and the deadline rules all of them.

use super::super::job::{Ending, Job, Limit};
use super::launch::Running;
use super::system::{For, cpu_time, kill, wait_any};
use crate::files;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// How long an interpreter may take to come up. It is not the program's time.
pub(super) const START: Duration = Duration::from_secs(30);
/// How far waiting for a processor may stretch the wall limit.
const STRETCH: u32 = 4;
/// Bytes of a nonce.
const NONCE: usize = 16;

/// What was said before the process was ended.
pub(super) enum Talk {
    /// The interpreter never got ready.
    NotReady,
    /// A verdict or a limit; the process may still live.
    Verdict(Ending, Duration),
    /// The process ended by itself: how, its exit status tells.
    Ended(Duration),
    /// The pool is gone: nobody wants the verdict.
    Unwanted,
}

enum Stage {
    Start,
    Candidate,
    Tests,
    Nonce,
}

/// Leads the conversation to its end. `pool` is the descriptor that closes when nobody waits for the verdict.
pub(super) fn talk(
    job: &Job,
    running: &mut Running,
    nonce: [u8; NONCE],
    pool: BorrowedFd<'_>,
) -> io::Result<Talk> {
    let mut stage = Stage::Start;
    let mut heard: Vec<u8> = Vec::new();
    let mut to_say: Vec<u8> = Vec::new();
    let mut clock = Clock::start(running.pid, START);
    let mut deaf = false;
    loop {
        let left = match (clock.left(), cpu_left(running.pid, job.limits.cpu), &stage) {
            (Some(wall), _, Stage::Start) => wall,
            (None, _, Stage::Start) => return Ok(Talk::NotReady),
            (_, None, _) => {
                return Ok(Talk::Verdict(Ending::TimedOut { which: Limit::Cpu }, clock.elapsed()));
            }
            (None, _, _) => {
                return Ok(Talk::Verdict(Ending::TimedOut { which: Limit::Wall }, clock.elapsed()));
            }
            (Some(wall), Some(cpu), _) => wall.min(cpu),
        };
        let [hangup, ended, readable, writable] = wait_any(
            [
                Some((pool, For::Hangup)),
                Some((running.pidfd.as_fd(), For::Input)),
                (!deaf).then(|| (running.from.as_fd(), For::Input)),
                (!to_say.is_empty()).then(|| (running.to.as_fd(), For::Output)),
            ],
            left,
        )?;
        if hangup {
            return Ok(Talk::Unwanted);
        }
        if writable {
            match running.to.write(&to_say) {
                Ok(n) => drop(to_say.drain(..n)),
                Err(e) if waits(&e) => {}
                // It closed its ear; its mouth or its death will tell the rest.
                Err(_) => to_say.clear(),
            }
        }
        if readable || ended {
            deaf = hear(running, &mut heard, job.limits.output)?;
        }
        // Everything that it said before it ended counts.
        loop {
            let next = match (&stage, heard.first()) {
                (_, None) => break,
                (Stage::Start, Some(b'R')) => {
                    clock = Clock::start(running.pid, job.limits.wall);
                    say(&mut to_say, job.candidate.as_bytes())?;
                    Stage::Candidate
                }
                (Stage::Candidate, Some(b'L')) => {
                    say(&mut to_say, job.tests.as_bytes())?;
                    Stage::Tests
                }
                (Stage::Tests, Some(b'D')) => {
                    say(&mut to_say, &nonce)?;
                    Stage::Nonce
                }
                (Stage::Nonce, Some(b'P')) if heard.len() <= NONCE => break,
                (Stage::Nonce, Some(b'P')) if heard[1..] == nonce => {
                    return Ok(Talk::Verdict(Ending::Passed, clock.elapsed()));
                }
                (Stage::Candidate | Stage::Tests, Some(b'F')) => match failure(&heard[1..]) {
                    Some(ending) => return Ok(Talk::Verdict(ending, clock.elapsed())),
                    None => break,
                },
                _ => return Ok(Talk::Verdict(Ending::Tampered, clock.elapsed())),
            };
            stage = next;
            heard.remove(0);
        }
        if heard.len() as u64 > job.limits.output {
            return Ok(Talk::Verdict(Ending::OutputFlood, clock.elapsed()));
        }
        if ended {
            return Ok(match stage {
                Stage::Start => Talk::NotReady,
                _ => Talk::Ended(clock.elapsed()),
            });
        }
    }
}

/// What is left of the processor time; `None` when it is over. Asked again after that much wall time, so that a
/// program on one processor is stopped on the spot, and one on several a little later. (The kernel's own limit,
/// `RLIMIT_CPU`, counts by ticks and can be a fifth off on a busy machine: it is only the belt behind this.)
fn cpu_left(pid: libc::pid_t, limit: Duration) -> Option<Duration> {
    let left = limit.checked_sub(cpu_time(pid).unwrap_or_default())?;
    (!left.is_zero()).then(|| left.max(Duration::from_millis(5)))
}

fn waits(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

/// Appends what there is to read, a little over the limit at most. Says whether nothing will ever come again.
fn hear(running: &mut Running, heard: &mut Vec<u8>, limit: u64) -> io::Result<bool> {
    let mut chunk = [0; 4096];
    while heard.len() as u64 <= limit {
        match running.from.read(&mut chunk) {
            Ok(0) => return Ok(true),
            Ok(n) => heard.extend_from_slice(&chunk[..n]),
            Err(e) if waits(&e) => return Ok(false),
            Err(e) => return Err(e),
        }
    }
    Ok(false)
}

fn say(queue: &mut Vec<u8>, message: &[u8]) -> io::Result<()> {
    let len = u32::try_from(message.len()).map_err(|_| io::Error::from(io::ErrorKind::FileTooLarge))?;
    queue.extend_from_slice(&len.to_le_bytes());
    queue.extend_from_slice(message);
    Ok(())
}

/// An `F` message's kind and text; `None` while it is not all there.
fn failure(mut rest: &[u8]) -> Option<Ending> {
    let mut part = || {
        let (len, after) = rest.split_first_chunk::<4>()?;
        let (text, after) = after.split_at_checked(u32::from_le_bytes(*len) as usize)?;
        rest = after;
        Some(String::from_utf8_lossy(text).into_owned())
    };
    let kind = part()?;
    let exception = part()?;
    Some(Ending::Failed { exception, kind })
}

/// A limit on the time during which a program ran or slept by its own will. Time on the run queue is the machine's.
struct Clock {
    schedule: PathBuf,
    start: Instant,
    queued_before: Duration,
    limit: Duration,
}

impl Clock {
    fn start(pid: libc::pid_t, limit: Duration) -> Self {
        let schedule = PathBuf::from(format!("/proc/{pid}/schedstat"));
        let queued_before = queued(&schedule);
        Self { schedule, start: Instant::now(), queued_before, limit }
    }

    fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    /// What is left of the limit; looks at the run queue only when the wall clock says that it is over.
    fn left(&self) -> Option<Duration> {
        let elapsed = self.elapsed();
        let counted = if elapsed < self.limit {
            elapsed
        } else if elapsed < self.limit.saturating_mul(STRETCH) {
            elapsed.saturating_sub(queued(&self.schedule).saturating_sub(self.queued_before))
        } else {
            return None;
        };
        self.limit.checked_sub(counted).filter(|left| !left.is_zero())
    }
}

/// Time that the main thread has been ready to run without running: the second number of `schedstat`. Zero where the
/// kernel does not say.
fn queued(schedule: &std::path::Path) -> Duration {
    let text = files::read_text(schedule).unwrap_or_default();
    let nanos = text.split_ascii_whitespace().nth(1).and_then(|n| n.parse().ok());
    Duration::from_nanos(nanos.unwrap_or(0))
}

/// Ends the process and all that it started.
pub(super) fn end(running: &Running, group: bool) {
    if group {
        super::system::kill_group(running.pid);
    }
    kill(running.pidfd.as_fd());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_message_is_read_when_it_is_whole() {
        let whole = b"\x03\0\0\0Abc\x02\0\0\0hi";
        for cut in 0..whole.len() {
            assert_eq!(failure(&whole[..cut]), None, "{cut} bytes");
        }
        let ending = Ending::Failed { exception: "hi".into(), kind: "Abc".into() };
        assert_eq!(failure(whole), Some(ending));
    }
}
