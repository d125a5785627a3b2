//! A table in the formats that people and programs read.
//!
//! - `markdown`: for the terminal, a README, a pull request
//! - `csv`: for a spreadsheet, one cell a line
//! - `json`: for programs

mod csv;
mod json;
mod markdown;

pub use csv::csv;
pub use json::json;
pub use markdown::markdown;
