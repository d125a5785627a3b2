//! **What happened when we ran this program?**
//!
//! Answers to HumanEval, MBPP and LiveBench's coding tasks are programs that a language model wrote: untrusted. This room runs one beside the
//! tests that judge it, behind [walls](Confinement), and says how it [ended](Ending).
//!
//! ```text
//! open(settings) ─► pool ──frames──► helper process ──clone or fork──► Python, walled in
//!                  (many threads)    (single-threaded)                 (one program each)
//! ```
//!
//! The engine's process has many threads, and between clone and exec such a process may do next to nothing. So the
//! pool starts this same binary again as a helper ([`helper_main`]), which has one thread and may build the walls at
//! leisure. Exit code 0 is never success: see `driver.py` for the two-stage protocol behind [`Ending::Passed`].
//!
//! - `job.rs`: the contract: jobs, endings, reports, the [`Sandbox`] trait
//! - `error.rs`: what can go wrong that is not the program's fault, each with its fix
//! - `attacks.rs`: hostile programs, for the self-test and the integration test alike
//! - `doctor.rs`: is this machine able to run programs safely?
//! - `linux/`: the implementation (other systems get [`SandboxUnavailable::Platform`])

mod attacks;
mod doctor;
mod error;
mod job;
#[cfg(target_os = "linux")]
mod linux;

pub use attacks::{ATTACKS, Attack, Expected};
pub use doctor::{Check, doctor};
pub use error::{SandboxError, SandboxUnavailable};
pub use job::{Confinement, Ending, Job, Limit, Limits, Policy, Report, Sandbox, Settings};
#[cfg(target_os = "linux")]
pub use linux::{helper_main, open};
#[cfg(not(target_os = "linux"))]
pub use other::{helper_main, open};

#[cfg(not(target_os = "linux"))]
mod other {
    use super::{Sandbox, SandboxUnavailable, Settings};
    use std::ffi::OsString;
    use std::process::ExitCode;

    /// Refuses: the walls are made of Linux namespaces.
    pub fn open(_: &Settings) -> Result<Box<dyn Sandbox>, SandboxUnavailable> {
        Err(SandboxUnavailable::Platform)
    }

    /// There are no helpers here.
    pub fn helper_main(_: impl IntoIterator<Item = OsString>) -> Option<ExitCode> {
        None
    }
}
