//! Figures: a sheet and its picture. Every number of a picture is in its sheet.
//!
//! - `frame`: what all pictures have: title, notice, legend, remarks
//! - `bars`: groups of bars with intervals
//! - `radar`: one axis for each benchmark
//! - `landscape`: a score over λ and s
//! - `published`: what the paper says of its figures in numbers

mod bars;
mod frame;
mod landscape;
mod published;
mod radar;

pub use bars::bars;
pub use landscape::{CHOSEN, landscape};
pub use published::{
    FIGURE2, FIGURE2_NOTES, FIGURE3, FIGURE3_NOTES, FIGURE4, FIGURE4_GAINS, FIGURE4_NOTES, FIGURE4_WEIGHTS,
    FIGURE5_GAINS, FIGURE5_NOTES, PublishedPoint, published,
};
pub use radar::radar;

use super::Sheet;
use super::svg::Svg;

/// A figure.
#[derive(Clone, Debug, PartialEq)]
pub struct Chart {
    /// Its numbers.
    pub sheet: Sheet,
    /// Its picture.
    pub svg: Svg,
}
