//! The one integration binary: what a user does and sees, and what the rooms promise each other.

mod bench;
mod cli;
mod engine;
mod layers;
mod merge;
mod resume;
mod sandbox;
mod tables;
mod tiny_model;
