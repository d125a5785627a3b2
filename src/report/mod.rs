//! **What does the paper's table say, and what do we get?**
//!
//! - `cells`: a measured table, cell by cell, with what was published beside
//! - `paper`: the published numbers
//! - `attacks`: a measured table of attacks, with the published one
//! - `export`: the same table as Markdown, CSV and JSON
//!
//! Nothing is run here.

mod attacks;
mod cells;
pub mod export;
mod paper;

pub use attacks::{AttackRow, AttackTable, PublishedAttack, PublishedAttacks, TABLE2, TABLE5, TABLE6};
pub use cells::{Cell, Column, Difference, Measured, Row, Selection, Table};
pub use paper::{PublishedRow, TABLE1};
