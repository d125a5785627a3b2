//! The one integration binary: what a user does and sees, and what the rooms promise each other.

mod cli;
mod layers;
mod merge;
mod resume;
mod tables;
