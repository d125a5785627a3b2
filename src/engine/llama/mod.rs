//! **The Llama model on packed rows.** All tokens of a step, whatever their sequences, are the rows of one matrix; only
//! attention looks at which row belongs to whom.
//!
//! - `buffer`: room for rows; `simd`: the packed matrix product; `half`: the same in bfloat16; `elementwise`: functions of one row
//! - `packing`: weights in panels; `linear`, `norm`, `rope`, `attention`, `mlp`: the layers
//! - `model`: the whole; `floors`: what the machine could do at best

mod attention;
mod buffer;
mod elementwise;
mod floors;
mod half;
mod linear;
mod mlp;
mod model;
mod norm;
mod packing;
mod rope;
mod simd;

pub(crate) use attention::Attention;
pub(crate) use elementwise::log_sum_exp;
pub use floors::Floors;
pub(crate) use half::{BLOCK, Pairs, fetch};
pub(crate) use linear::Linear;
pub use linear::matmul_gflops;
pub(crate) use mlp::Mlp;
pub(crate) use model::{Layer, Llama, Piece, Room};
pub(crate) use norm::Norm;
pub(crate) use packing::{Matrices, packed_bytes};
pub(crate) use rope::Rope;
pub(crate) use simd::{LANES, Lanes, Team};
