//! mergekit's YAML as a recipe, unchanged.
//!
//! - `config`: the file, typed; an unknown key is an error
//! - `setting`: the value of a parameter at one tensor and layer
//! - `methods`: which parameters each method has
//! - `layout`: which tensors of which models make which tensors of the result
//! - `tokens`: what it says of the vocabulary
//! - `lower`: the rule of each tensor
//! - `file`: the whole, from a file to a plan
//!
//! Behaviour is that of mergekit 0.1.5, found by running it; where ours differs on purpose, `docs/merging.md` says so.

mod config;
mod file;
mod layout;
mod lower;
mod methods;
#[cfg(test)]
mod parity;
mod setting;
#[cfg(test)]
mod tests;
mod tokens;

pub use file::Mergekit;
