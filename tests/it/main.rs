//! The one integration binary: what the crate does, seen from outside.

mod engine;
mod tiny_model;
