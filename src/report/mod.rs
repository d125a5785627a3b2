//! **What does the paper's table say, and what do we get?**
//!
//! - `sheet`: the one shape of a table, from which every format is written
//! - `cells`: a measured table, cell by cell, with what was published beside
//! - `found`: what a search found, and what it is worth
//! - `paper`: the published numbers
//! - `attacks`: a measured table of attacks, with the published one
//! - `export`: a sheet for the terminal, as Markdown, CSV, LaTeX and JSON
//! - `figure`: pictures of a sheet
//! - `svg`: shapes and texts by class
//! - `png`: a picture as a bitmap
//! - `page`: a file with all of them and every item behind them
//! - `error`: what can go wrong with a report
//!
//! Nothing is run here.

mod attacks;
mod cells;
mod error;
pub mod export;
mod figure;
mod found;
mod page;
mod paper;
mod png;
mod sheet;
mod svg;

pub use attacks::{AttackRow, AttackTable, PublishedAttack, PublishedAttacks, TABLE2, TABLE5, TABLE6};
pub use cells::{Cell, Column, Difference, Measured, Row, Selection, Table};
pub use error::ReportError;
pub use figure::{
    CHOSEN, Chart, FIGURE2, FIGURE2_NOTES, FIGURE3, FIGURE3_NOTES, FIGURE4, FIGURE4_GAINS, FIGURE4_NOTES,
    FIGURE4_WEIGHTS, FIGURE5_GAINS, FIGURE5_NOTES, PublishedPoint, bars, landscape, published, radar,
};
pub use found::{Entrant, EstimateNote, Figure, Found, Rival};
pub use page::{ItemDetail, Preference, RunDetail, Section, page};
pub use paper::{Method, PublishedRow, TABLE1, TABLE1_NOTES};
pub use png::png;
pub use sheet::{Amount, Block, Entry, Heading, Kind, Line, Point, Sheet};
pub use svg::{Svg, Theme};
