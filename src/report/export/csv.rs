//! CSV (RFC 4180): one cell a line, empty where there is no number.

use crate::report::Table;
use std::fmt::Write;

/// Columns `row,column,ours,n,ci95_low,ci95_high,published,lambda,s,run`; figures in per cent.
pub fn csv(table: &Table) -> String {
    let mut text = String::from("row,column,ours,n,ci95_low,ci95_high,published,lambda,s,run\n");
    let number = |x: Option<f64>| x.map(|x| x.to_string()).unwrap_or_default();
    for row in &table.rows {
        for cell in &row.cells {
            let ours = cell.ours.as_ref();
            // None of these fields can hold a comma or a quote.
            let _ = writeln!(
                text,
                "{},{},{},{},{},{},{},{},{},{}",
                row.id,
                cell.column.id(),
                number(ours.map(|m| m.mean)),
                ours.map_or(0, |m| m.n),
                number(ours.map(|m| m.ci95.0)),
                number(ours.map(|m| m.ci95.1)),
                number(cell.published),
                number(row.lambda),
                number(row.scale),
                ours.map_or("", |m| m.run.as_str()),
            );
        }
    }
    text
}
