//! CSV (RFC 4180): one cell a line, empty where there is no number.

use crate::report::Sheet;

const HEADER: [&str; 16] = [
    "table",
    "block",
    "row",
    "column",
    "ours",
    "n",
    "ci95_low",
    "ci95_high",
    "invalid",
    "unscored",
    "published",
    "lambda",
    "published_lambda",
    "s",
    "run",
    "suite",
];

/// Every cell of every block; scores in per cent, differences in points. λ of several models is separated by blanks.
pub fn csv(sheet: &Sheet) -> String {
    let number = |x: Option<f64>| x.map(|x| x.to_string()).unwrap_or_default();
    let mut writer = ::csv::Writer::from_writer(Vec::new());
    let mut lines = vec![HEADER.map(str::to_owned)];
    for block in &sheet.blocks {
        for row in &block.rows {
            for (heading, cell) in block.columns.iter().zip(&row.cells) {
                let ours = cell.ours.as_ref();
                let lambda: Vec<String> = row.point.lambda.iter().map(f64::to_string).collect();
                lines.push([
                    sheet.name.clone(),
                    block.name.to_owned(),
                    row.id.clone(),
                    heading.id.clone(),
                    number(ours.map(|m| m.value)),
                    ours.map_or(0, |m| m.n).to_string(),
                    number(ours.and_then(|m| m.ci95).map(|c| c.0)),
                    number(ours.and_then(|m| m.ci95).map(|c| c.1)),
                    ours.map_or(0, |m| m.invalid).to_string(),
                    ours.map_or(0, |m| m.unscored).to_string(),
                    number(cell.published),
                    lambda.join(" "),
                    number(row.point.published_lambda),
                    number(row.point.scale),
                    ours.and_then(|m| m.run.as_ref()).map_or("", |run| run.as_str()).to_owned(),
                    sheet.suite.clone(),
                ]);
            }
        }
    }
    for line in &lines {
        // Writing into memory, with as many fields in each line.
        writer.write_record(line).unwrap_or_else(|_| unreachable!("memory takes every line"));
    }
    let bytes = writer.into_inner().unwrap_or_else(|_| unreachable!("memory takes every line"));
    String::from_utf8_lossy(&bytes).into_owned()
}
