//! For a screen: two lines a row, the figures above and how sure they are below.

use super::aligned::{padded, widths};
use crate::report::{Block, Sheet};
use std::fmt::Write;

const GAP: &str = "  ";

/// The whole sheet.
pub fn terminal(sheet: &Sheet) -> String {
    let mut text = format!("{}\n{}\n", sheet.title, sheet.notice);
    for block in &sheet.blocks {
        text.push('\n');
        if !block.about.is_empty() {
            let _ = writeln!(text, "{}\n", block.about);
        }
        rows(block, &mut text);
        for sentence in &block.legend {
            let _ = writeln!(text, "{sentence}");
        }
    }
    if !sheet.footnotes.is_empty() {
        text.push_str("\nAbout the published figures:\n");
        for note in &sheet.footnotes {
            let _ = writeln!(text, "- {note}");
        }
    }
    text
}

fn rows(block: &Block, text: &mut String) {
    let mut header: Vec<String> = block.labels.iter().map(|l| (*l).to_owned()).collect();
    header.extend(block.columns.iter().map(|c| c.title.clone()));
    let mut lines = vec![header];
    for row in &block.rows {
        let parts: Vec<_> = row.cells.iter().map(|cell| cell.parts(block.publishes())).collect();
        lines.push(row.labels.iter().cloned().chain(parts.iter().map(|p| p.0.clone())).collect());
        if parts.iter().any(|p| !p.1.is_empty()) {
            let blank = row.labels.iter().map(|_| String::new());
            lines.push(blank.chain(parts.into_iter().map(|p| p.1)).collect());
        }
    }
    let widths = widths(&lines);
    let rule: Vec<String> = widths.iter().map(|w| "─".repeat(*w)).collect();
    lines.insert(1, rule);
    for line in lines {
        let cells: Vec<String> = line.iter().zip(&widths).map(|(cell, width)| padded(cell, *width)).collect();
        let _ = writeln!(text, "{}", cells.join(GAP).trim_end());
    }
}
