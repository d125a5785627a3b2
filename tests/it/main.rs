//! The one integration binary: what a user does and sees, and what the rooms promise each other.
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test may fail where it stands, and makes its files without the crate's own wrapper"
)]

mod adding;
mod aloud;
mod attack;
mod bench;
mod cli;
mod compare;
mod data;
mod engine;
mod fewshot;
mod formats;
mod golden_logits;
#[cfg(feature = "hub")]
mod hub;
mod inspect;
mod judge;
mod layers;
mod math;
mod merge;
mod mergekit;
mod pieces;
mod programs;
mod real_model;
mod recipes;
mod refusals;
mod remote;
mod resume;
mod runs;
mod sandbox;
mod score;
mod search;
mod sources;
mod suites;
mod tables;
mod tiny_model;
