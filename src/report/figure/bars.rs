//! Groups of bars: a group for each column of a block, a bar for each row.

use super::Chart;
use super::frame::{Area, fill, frame, items, name, reach, series, tip};
use crate::report::svg::{Anchor, Svg};
use crate::report::{Block, Sheet};

/// Height of a panel without what is written below it.
const PANEL: f64 = 250.0;
/// What is written below a panel.
const BELOW: f64 = 44.0;
/// A panel's heading.
const ABOVE: f64 = 34.0;

/// A panel for each of the sheet's blocks that are named, in this order. Rows of one name have one colour.
pub fn bars(sheet: Sheet, panels: &[&str]) -> Chart {
    let blocks: Vec<&Block> =
        panels.iter().filter_map(|name| sheet.blocks.iter().find(|block| block.name == *name)).collect();
    let cells = || blocks.iter().flat_map(|b| &b.rows).flat_map(|row| &row.cells);
    let mut remark = "Bars: ours".to_owned();
    if cells().any(|c| c.ours.as_ref().is_some_and(|m| m.ci95.is_some())) {
        remark.push_str(", with 95 % intervals");
    }
    if cells().any(|c| c.published.is_some()) {
        remark.push_str("; ◇: published");
    }
    let names = series(&blocks);
    let height = blocks.len() as f64 * (ABOVE + PANEL + BELOW);
    let (mut svg, room) = frame(&sheet, &names, height, &[format!("{remark}.")]);
    for (i, block) in blocks.iter().enumerate() {
        let top = room.y + i as f64 * (ABOVE + PANEL + BELOW);
        let heading = if block.about.is_empty() { "per cent" } else { block.about.as_str() };
        svg.text((room.x, top + 16.0), Anchor::Start, "m3-t", heading);
        let area = Area { x: room.x + 30.0, y: top + ABOVE, w: room.w - 30.0, h: PANEL };
        panel(&mut svg, area, block, &names);
    }
    Chart { sheet, svg }
}

fn panel(svg: &mut Svg, area: Area, block: &Block, names: &[String]) {
    let most = reach(block);
    let at = |value: f64| area.y + area.h * (1.0 - value.clamp(0.0, most) / most);
    for step in 0..=5 {
        let value = most * f64::from(step) / 5.0;
        let class = if step == 0 { "m3-thin m3-axis" } else { "m3-thin m3-grid" };
        svg.line((area.x, at(value)), (area.x + area.w, at(value)), class);
        svg.text((area.x - 6.0, at(value) + 4.0), Anchor::End, "m3-small m3-q", &format!("{value:.0}"));
    }
    let group = area.w / block.columns.len().max(1) as f64;
    let bar = (group * 0.78 / block.rows.len().max(1) as f64).min(46.0);
    for (c, heading) in block.columns.iter().enumerate() {
        let middle = area.x + group * (c as f64 + 0.5);
        let left = middle - bar * block.rows.len() as f64 / 2.0;
        for (r, row) in block.rows.iter().enumerate() {
            let Some(entry) = row.cells.get(c) else { continue };
            let colour = names.iter().position(|n| n == name(row)).unwrap_or(0);
            let (x, tip) = (left + bar * r as f64, tip(row, &heading.title, entry));
            let centre = x + bar / 2.0;
            if let Some(ours) = &entry.ours {
                let y = at(ours.value);
                let mut above = y;
                svg.rect((x + 1.5, y), (bar - 3.0, at(0.0) - y), &fill(colour), &tip);
                if let Some((low, high)) = ours.ci95 {
                    above = at(high);
                    for class in ["m3-halo", "m3-thin m3-ink"] {
                        svg.line((centre, at(low)), (centre, above), class);
                        for end in [at(low), above] {
                            svg.line((centre - 4.0, end), (centre + 4.0, end), class);
                        }
                    }
                }
                if let Some(theirs) = entry.published.map(at) {
                    // Not behind the sign of the published value.
                    above = if (theirs - above + 8.0).abs() < 14.0 { above.min(theirs - 5.0) } else { above };
                }
                let text = ours.number();
                svg.text((centre, above - 4.0), Anchor::Middle, "m3-small m3-t", &text);
            }
            if let Some(theirs) = entry.published {
                svg.diamond((centre, at(theirs)), 4.5, "m3-open m3-ink m3-paper", &tip);
            }
        }
        svg.text((middle, area.y + area.h + 17.0), Anchor::Middle, "m3-t", &heading.title);
        svg.text((middle, area.y + area.h + 32.0), Anchor::Middle, "m3-small m3-q", &items(block, c));
    }
}
