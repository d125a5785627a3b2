//! A radar: an axis for each column of a sheet's first block, a closed line for each row.

use super::Chart;
use super::frame::{fill, frame, items, reach, series, stroke, tip};
use crate::report::svg::{Anchor, Svg};
use crate::report::{Block, Sheet};
use std::f64::consts::TAU;

const HEIGHT: f64 = 460.0;
const RADIUS: f64 = 175.0;
/// From one row's points to the next one's, across an axis.
const ASIDE: f64 = 7.0;

/// Draws the sheet's first block.
pub fn radar(sheet: Sheet) -> Chart {
    let Some(block) = sheet.blocks.first().cloned() else {
        let (svg, _) = frame(&sheet, &[], 0.0, &[]);
        return Chart { sheet, svg };
    };
    let most = reach(&block);
    let mut remark =
        format!("From 0 in the middle to {most:.0} per cent; strokes along an axis are 95 % intervals");
    if block.rows.iter().flat_map(|row| &row.cells).any(|c| c.published.is_some()) {
        remark.push_str("; ◇: published");
    }
    let (mut svg, area) = frame(&sheet, &series(&[&block]), HEIGHT, &[format!("{remark}.")]);
    let (cx, cy) = (area.x + area.w / 2.0, area.y + HEIGHT / 2.0 + 8.0);
    let at = |axis: usize, value: f64| {
        let angle = TAU * axis as f64 / block.columns.len() as f64 - TAU / 4.0;
        let r = RADIUS * value.clamp(0.0, most * 1.2) / most;
        (cx + r * angle.cos(), cy + r * angle.sin())
    };
    let ring = |share: f64| (0..block.columns.len()).map(|a| at(a, share * most)).collect::<Vec<_>>();
    for step in 1..=4 {
        let share = f64::from(step) / 4.0;
        svg.path(&ring(share), true, "m3-thin m3-grid");
        let (x, y) = at(0, share * most);
        svg.text((x + 4.0, y - 2.0), Anchor::Start, "m3-small m3-q", &format!("{:.0}", share * most));
    }
    for (axis, heading) in block.columns.iter().enumerate() {
        svg.line((cx, cy), at(axis, most), "m3-thin m3-grid");
        let (x, y) = at(axis, 1.13 * most);
        let anchor = match x - cx {
            d if d > 20.0 => Anchor::Start,
            d if d < -20.0 => Anchor::End,
            _ => Anchor::Middle,
        };
        // Above the highest ring's number.
        let y = if anchor == Anchor::Middle && y < cy { y - 14.0 } else { y };
        svg.text((x, y), anchor, "m3-t", &heading.title);
        svg.text((x, y + 14.0), anchor, "m3-small m3-q", &items(&block, axis));
    }
    for (r, row) in block.rows.iter().enumerate() {
        let value = |axis: usize| row.cells.get(axis).and_then(|c| c.ours.as_ref()).map_or(0.0, |m| m.value);
        let corners: Vec<_> = (0..block.columns.len()).map(|axis| at(axis, value(axis))).collect();
        svg.path(&corners, true, &format!("m3-faint {}", fill(r)));
        // Of lines that lie on each other the lower ones are wider.
        let width = match block.rows.len() - r {
            1 => "m3-wide",
            2 => "m3-wider",
            _ => "m3-widest",
        };
        svg.path(&corners, true, &format!("{width} {}", stroke(r)));
    }
    let aside = |axis: usize, value: f64, r: usize| {
        let angle = TAU * axis as f64 / block.columns.len() as f64;
        let shift = ASIDE * (r as f64 - (block.rows.len() - 1) as f64 / 2.0);
        let (x, y) = at(axis, value);
        (x + shift * angle.cos(), y + shift * angle.sin())
    };
    points(&mut svg, &block, &aside);
    Chart { sheet, svg }
}

/// Intervals, corners and published values in front of all areas, those of each row a little aside from the others'.
fn points(svg: &mut Svg, block: &Block, at: &dyn Fn(usize, f64, usize) -> (f64, f64)) {
    for (r, row) in block.rows.iter().enumerate() {
        for (axis, (entry, heading)) in row.cells.iter().zip(&block.columns).enumerate() {
            let tip = tip(row, &heading.title, entry);
            if let Some(ours) = &entry.ours {
                if let Some((low, high)) = ours.ci95 {
                    svg.line(at(axis, low, r), at(axis, high, r), &format!("m3-wide {}", stroke(r)));
                }
                svg.disc(at(axis, ours.value, r), 3.5, &fill(r), &tip);
            }
            if let Some(theirs) = entry.published {
                svg.diamond(at(axis, theirs, r), 5.0, &format!("m3-open m3-paper {}", stroke(r)), &tip);
            }
        }
    }
}
