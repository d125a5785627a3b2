//! Markdown, aligned so that it reads well as plain text too.

use super::aligned::{padded, widths};
use crate::report::{Block, Entry, Sheet};
use std::fmt::Write;

/// The notice, the table, and what goes with it.
pub fn markdown(sheet: &Sheet) -> String {
    let mut text = format!("> {}\n", sheet.notice);
    for (number, block) in sheet.blocks.iter().enumerate() {
        match (number, block.about.as_str()) {
            (0, "") => {
                let _ = writeln!(text, "\n{}\n", sheet.title);
            }
            (_, "") => text.push('\n'),
            (_, about) => {
                let _ = writeln!(text, "\n{about}\n");
            }
        }
        rows(block, &mut text);
        if !block.legend.is_empty() {
            let _ = writeln!(text, "\n{}", block.legend.join("\n"));
        }
        let remarks = block.rows.iter().filter_map(|r| r.remark.as_ref().map(|remark| (&r.id, remark)));
        let remarks: Vec<String> =
            remarks.map(|(id, remark)| format!("- {id}: {}", escaped(remark))).collect();
        if !remarks.is_empty() {
            let _ = writeln!(text, "\n{}", remarks.join("\n"));
        }
    }
    if !sheet.footnotes.is_empty() {
        text.push_str("\nAbout the published figures:\n\n");
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
        lines.push(
            row.labels
                .iter()
                .map(|l| escaped(l))
                .chain(row.cells.iter().map(|entry| cell(entry, block.publishes())))
                .collect(),
        );
    }
    let widths = widths(&lines);
    for (number, line) in lines.iter().enumerate() {
        for (cell, width) in line.iter().zip(&widths) {
            let _ = write!(text, "| {} ", padded(cell, *width));
        }
        text.push_str("|\n");
        if number == 0 {
            for width in &widths {
                let _ = write!(text, "|{}", "-".repeat(width + 2));
            }
            text.push_str("|\n");
        }
    }
}

/// `86.2 (64.22) [81.3, 90.0] n 240`.
fn cell(entry: &Entry, beside: bool) -> String {
    let (number, certainty) = entry.parts(beside);
    if certainty.is_empty() { number } else { format!("{number} {certainty}") }
}

/// A text that cannot end its cell or its line.
fn escaped(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ⏎ ")
}
