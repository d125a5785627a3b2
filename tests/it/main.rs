//! The one integration binary: what the crate does, seen from outside.
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test may fail where it stands, and makes its files without the crate's own wrapper"
)]

mod engine;
mod tiny_model;
