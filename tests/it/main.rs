//! The one integration binary: what a user does and sees, and what the rooms promise each other.
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test may fail where it stands, and makes its files without the crate's own wrapper"
)]

mod adding;
mod bench;
mod cli;
mod compare;
mod data;
mod engine;
mod formats;
#[cfg(feature = "hub")]
mod hub;
mod inspect;
mod layers;
mod math;
mod merge;
mod mergekit;
mod pieces;
mod recipes;
mod refusals;
mod resume;
mod sandbox;
mod score;
mod sources;
mod tables;
mod tiny_model;
