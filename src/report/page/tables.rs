//! A sheet as HTML. What sorts a column stands in `data-v`; a number leads to its run.

use super::RunDetail;
use crate::report::svg::escaped;
use crate::report::{Block, Entry, Sheet};
use std::fmt::Write;

pub(super) fn tables(sheet: &Sheet, runs: &[RunDetail], out: &mut String) {
    for block in &sheet.blocks {
        if !block.about.is_empty() {
            let _ = write!(out, "<h3>{}</h3>", escaped(&block.about));
        }
        table(sheet, block, runs, out);
        for sentence in &block.legend {
            let _ = write!(out, "<p class=\"legend\">{}</p>", escaped(sentence));
        }
    }
    if !sheet.footnotes.is_empty() {
        out.push_str("<details class=\"notes\"><summary>About the published figures</summary><ul>");
        for note in &sheet.footnotes {
            let _ = write!(out, "<li>{}</li>", escaped(note));
        }
        out.push_str("</ul></details>");
    }
}

fn table(sheet: &Sheet, block: &Block, runs: &[RunDetail], out: &mut String) {
    let caption =
        format!("{}: {}", sheet.title, if block.about.is_empty() { block.name } else { &block.about });
    let _ = write!(
        out,
        "<div class=\"wide\" tabindex=\"0\" role=\"group\" aria-label=\"{0}\"><table><caption>{0}</caption><thead><tr>",
        escaped(&caption)
    );
    let heads = block.labels.iter().copied().chain(block.columns.iter().map(|c| c.title.as_str()));
    for (place, head) in heads.enumerate() {
        let class = if place < block.labels.len() { "" } else { " class=\"number\"" };
        let _ =
            write!(out, "<th scope=\"col\"{class}><button type=\"button\">{}</button></th>", escaped(head));
    }
    out.push_str("</tr></thead><tbody>\n");
    for row in &block.rows {
        out.push_str("<tr>");
        for (place, label) in row.labels.iter().enumerate() {
            let tag = if place == 0 { "th scope=\"row\"" } else { "td" };
            let close = if place == 0 { "th" } else { "td" };
            let _ = write!(out, "<{tag}>{}", escaped(label));
            if let Some(remark) = row.remark.as_ref().filter(|_| place == 0) {
                let _ = write!(
                    out,
                    "<details><summary>more</summary><span class=\"remark\">{}</span></details>",
                    escaped(remark)
                );
            }
            let _ = write!(out, "</{close}>");
        }
        for entry in &row.cells {
            cell(entry, block.publishes(), runs, out);
        }
        out.push_str("</tr>\n");
    }
    out.push_str("</tbody></table></div>");
}

fn cell(entry: &Entry, beside: bool, runs: &[RunDetail], out: &mut String) {
    let (number, certainty) = entry.parts(beside);
    let value = entry.ours.as_ref().map_or(String::new(), |m| m.value.to_string());
    let known =
        entry.ours.as_ref().and_then(|m| m.run.as_ref()).filter(|run| runs.iter().any(|r| r.run == **run));
    let _ = write!(out, "<td class=\"number\" data-v=\"{value}\">");
    let _ = match known {
        Some(run) => write!(out, "<a href=\"#run-{}\">{}</a>", escaped(run.as_str()), escaped(&number)),
        None => write!(out, "{}", escaped(&number)),
    };
    if !certainty.is_empty() {
        let _ = write!(out, "<small>{}</small>", escaped(&certainty));
    }
    out.push_str("</td>");
}
