//! How are the walls built on Linux?
//!
//! - `python.rs`: which interpreter, and which folders must it see?
//! - `pool.rs`: the [`Sandbox`](super::Sandbox) that many threads share; starts and replaces helpers
//! - `wire.rs`: frames between pool and helper
//! - `helper.rs`: the helper process: one job after the other
//! - `launch.rs`: from a job to a running interpreter behind walls
//! - `child.rs`: the last steps of a child before it becomes the interpreter
//! - `zygote.rs`: an interpreter that is kept ready and forks itself for every program
//! - `bubblewrap.rs`: the same with walls that bubblewrap builds
//! - `root.rs`: the private, read-only root
//! - `rules.rs`: which files may be touched (Landlock)
//! - `filter.rs`: which system calls are refused
//! - `talk.rs`: the verdict protocol with `driver.py`, under a clock
//! - `system.rs`: system calls that the standard library lacks

mod bubblewrap;
mod child;
mod filter;
mod helper;
mod launch;
mod pool;
mod python;
mod root;
mod rules;
mod system;
mod talk;
mod wire;
mod zygote;

pub use helper::helper_main;
pub use pool::open;
pub(super) use python::find as find_python;
