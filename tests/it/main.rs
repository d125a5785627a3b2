//! The one integration binary: what a user does and sees, and what the rooms promise each other.

mod bench;
mod sandbox;
