//! `m3` merges Llama fine-tunes, searches the merge space as *Mixup Model Merge* (M³) does, evaluates every candidate
//! in-process on the paper's benchmarks, and prints the paper's tables with what was measured beside what was published.
//!
//! ```text
//! recipe ─► direction ─► merged weights ─► engine ─► outcomes ─► verdicts ─► ledger ─► tables
//! (asked)    (drawn)      (a view)        (answers)   (text)      (scores)   (facts)   (paper)
//! ```
//!
//! Each arrow is a plain value; nobody reaches back. The only loop is [`search`]: ledger → next candidate → the same
//! street again. `docs/architecture.md` is the plan of the house.

// The ground floor: std and leaf crates only.
pub mod chat;
pub mod completion;
pub mod digest;
pub mod dtype;
pub mod event;
pub mod files;
pub mod ids;
mod isa;
pub mod masked;
pub mod random;
pub mod statistics;
mod twister;
pub mod units;

// The rooms, in the order of the street.
pub mod checkpoint;
pub mod merge;

pub mod engine;

pub mod sandbox;

pub mod remote;

pub mod judge;

pub mod attack;
pub mod bench;
pub mod runs;

pub mod evaluate;

pub mod search;

pub mod report;

pub mod experiment;

pub mod cli;
