//! Markdown, aligned so that it reads well as plain text too.

use crate::report::{Cell, Column, Difference, Table};
use std::fmt::Write;

const DASH: &str = "–";

/// The notice, the table, and how the directions were chosen.
pub fn markdown(table: &Table) -> String {
    let mut text = format!("> {}\n\n", table.notice);
    let mut lines = vec![header()];
    for row in &table.rows {
        let lambda = match (row.lambda, row.published_lambda) {
            (None, None) => DASH.to_owned(),
            (ours, theirs) => format!("{} ({})", two(ours), two(theirs)),
        };
        let m3 = match row.m3 {
            None => DASH,
            Some(true) => "yes",
            Some(false) => "no",
        };
        let mut line =
            vec![row.method.to_owned(), row.models.to_owned(), m3.to_owned(), lambda, number(row.scale, 1)];
        line.extend(row.cells.iter().map(cell));
        lines.push(line);
    }
    text.push_str(&aligned(&lines));
    text.push_str(
        "\nEach cell: ours in per cent [95 % interval], n items; (published). λ: ours (published), the share of the first\n\
         model. s: θ = θ_pre + s·Σ λ_k·δ_k with Σ λ_k = 1; a sum of two deltas at scale ½ is s = 1, λ = ½.\n",
    );
    if !table.selection.is_empty() {
        text.push_str("\nHow λ was chosen: best mean of the pair's two skills on the validation split; what that is worth on the test split:\n\n");
        let mut lines = vec![
            [
                "Method",
                "Models",
                "candidates",
                "λ",
                "validation",
                "test",
                "ahead of the first alone",
                "ahead of the second alone",
                "ahead of no M³",
            ]
            .map(str::to_owned)
            .to_vec(),
        ];
        for s in &table.selection {
            lines.push(vec![
                s.method.to_owned(),
                s.models.to_owned(),
                s.candidates.to_string(),
                two(Some(s.lambda)),
                format!("{:.1}", s.validation),
                format!("{:.1} (n {})", s.test, s.n),
                difference(&s.ahead_of_first),
                difference(&s.ahead_of_second),
                difference(&s.ahead_of_baseline),
            ]);
        }
        text.push_str(&aligned(&lines));
        text.push_str("\nSkills: LM = checkable instructions; Math = GSM8K and MATH; Code = HumanEval and MBPP. Differences are paired, in points.\n");
    }
    if !table.footnotes.is_empty() {
        text.push_str("\nAbout the published figures:\n\n");
        for note in &table.footnotes {
            let _ = writeln!(text, "- {note}");
        }
    }
    text
}

fn header() -> Vec<String> {
    let mut header = ["Method", "Models", "M³", "λ", "s"].map(str::to_owned).to_vec();
    header.extend(Column::ALL.map(|c| c.title().to_owned()));
    header
}

fn cell(cell: &Cell) -> String {
    let theirs = cell.published.map_or(DASH.to_owned(), |p| format!("{p:.2}"));
    match &cell.ours {
        None => format!("{DASH} ({theirs})"),
        Some(m) => {
            let mut text = format!("{:.1} [{:.1}, {:.1}] n {} ({theirs})", m.mean, m.ci95.0, m.ci95.1, m.n);
            if m.unscored > 0 {
                let _ = write!(text, ", {} unscored", m.unscored);
            }
            text
        }
    }
}

fn difference(d: &Difference) -> String {
    format!("{:+.1} [{:+.1}, {:+.1}]", d.points, d.ci95.0, d.ci95.1)
}

fn two(x: Option<f64>) -> String {
    number(x, 2)
}

fn number(x: Option<f64>, digits: usize) -> String {
    x.map_or(DASH.to_owned(), |x| format!("{x:.digits$}"))
}

/// A Markdown table whose columns are padded to one width.
fn aligned(lines: &[Vec<String>]) -> String {
    let columns = lines.iter().map(Vec::len).max().unwrap_or(0);
    let width =
        |c: usize| lines.iter().filter_map(|l| l.get(c)).map(|t| t.chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for (number, line) in lines.iter().enumerate() {
        for (cell, width) in line.iter().zip(&widths) {
            let _ = write!(text, "| {cell}{} ", " ".repeat(width - cell.chars().count()));
        }
        text.push_str("|\n");
        if number == 0 {
            for width in &widths {
                let _ = write!(text, "|{}", "-".repeat(width + 2));
            }
            text.push_str("|\n");
        }
    }
    text
}
