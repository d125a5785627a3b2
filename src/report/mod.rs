//! **What does the paper's table say, and what do we get?**
//!
//! - `cells`: a measured table, cell by cell, with what was published beside
//! - `found`: what a search found, and what it is worth
//! - `paper`: the published numbers
//! - `attacks`: a measured table of attacks, with the published one
//! - `export`: the same table as Markdown, CSV and JSON
//!
//! Nothing is run here.

mod attacks;
mod cells;
pub mod export;
mod found;
mod paper;

pub use attacks::{AttackRow, AttackTable, PublishedAttack, PublishedAttacks, TABLE2, TABLE5, TABLE6};
pub use cells::{Cell, Column, Difference, Measured, Row, Selection, Table};
pub use found::{Entrant, EstimateNote, Figure, Found, Rival};
pub use paper::{Method, PublishedRow, TABLE1, TABLE1_NOTES};
