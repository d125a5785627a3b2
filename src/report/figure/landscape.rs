//! A score over λ and s: a field for each cell of a sheet's first block (rows are magnitudes, columns are proportions), with
//! the candidates of its second block on it.

use super::Chart;
use super::frame::{Area, frame, tip};
use crate::report::svg::{Anchor, Svg};
use crate::report::{Block, Sheet};

const FIELD: f64 = 54.0;

/// Draws the sheet's first two blocks. `lambdas` are those of the columns; they ascend, and so do the magnitudes of the rows.
pub fn landscape(sheet: Sheet, lambdas: &[f64]) -> Chart {
    let [field, candidates] = &sheet.blocks[..] else {
        let (svg, _) = frame(&sheet, &[], 0.0, &[]);
        return Chart { sheet, svg };
    };
    let numbers = || field.rows.iter().flat_map(|row| &row.cells).filter_map(|c| c.ours.as_ref());
    let widest = numbers().filter_map(|m| m.ci95).map(|(low, high)| (high - low) / 2.0).fold(0.0, f64::max);
    let n = numbers().map(|m| m.n).max().unwrap_or(0);
    let interval = if widest > 0.0 {
        format!(", each ± {widest:.1} points at most (95 % interval)")
    } else {
        String::new()
    };
    let remark = format!(
        "Fields: per cent of n {n} items of the validation split{interval}. ○: candidates of the search; ●: the chosen one. λ is \
         the share of the first model."
    );
    let height = FIELD * field.rows.len() as f64 + 58.0;
    let (mut svg, room) = frame(&sheet, &[], height, &[remark]);
    let area =
        Area { x: room.x + 60.0, y: room.y + 12.0, w: room.w - 80.0, h: FIELD * field.rows.len() as f64 };
    fields(&mut svg, area, field);
    let scales: Vec<f64> = field.rows.iter().filter_map(|row| row.point.scale).collect();
    let width = area.w / lambdas.len().max(1) as f64;
    for line in &candidates.rows {
        let (Some(&lambda), Some(scale)) = (line.point.lambda.first(), line.point.scale) else { continue };
        let (Some(column), Some(row)) = (between(lambdas, lambda), between(&scales, scale)) else { continue };
        let centre = (area.x + width * (column + 0.5), area.y + area.h - FIELD * (row + 0.5) + 16.0);
        let tip =
            candidates.columns.first().zip(line.cells.first()).map(|(h, cell)| tip(line, &h.title, cell));
        let chosen = line.labels.last().is_some_and(|label| label == CHOSEN);
        let class = if chosen { "m3-open m3-ink m3-f2" } else { "m3-open m3-ink m3-paper" };
        svg.disc(centre, if chosen { 6.5 } else { 4.5 }, class, &tip.unwrap_or_default());
    }
    Chart { sheet, svg }
}

/// The last label of the candidate that the search chose.
pub const CHOSEN: &str = "chosen";

fn fields(svg: &mut Svg, area: Area, block: &Block) {
    let values = || block.rows.iter().flat_map(|r| &r.cells).filter_map(|c| c.ours.as_ref().map(|m| m.value));
    let (low, high) = values().fold((f64::MAX, f64::MIN), |(a, b), v| (a.min(v), b.max(v)));
    let width = area.w / block.columns.len().max(1) as f64;
    for (r, row) in block.rows.iter().enumerate() {
        let y = area.y + FIELD * (block.rows.len() - 1 - r) as f64;
        let label = row.point.scale.map_or(String::new(), |s| format!("s = {s}"));
        svg.text((area.x - 8.0, y + FIELD / 2.0 + 4.0), Anchor::End, "m3-t", &label);
        for (c, (entry, heading)) in row.cells.iter().zip(&block.columns).enumerate() {
            let Some(ours) = &entry.ours else { continue };
            let share = if high > low { (ours.value - low) / (high - low) } else { 0.5 };
            let corner = (area.x + width * c as f64 + 1.0, y + 1.0);
            let tip = tip(row, &heading.title, entry);
            svg.tinted(corner, (width - 2.0, FIELD - 2.0), "m3-f1", 0.05 + 0.55 * share, &tip);
            let middle = (corner.0 + width / 2.0 - 1.0, y + FIELD / 2.0 - 4.0);
            svg.text(middle, Anchor::Middle, "m3-t", &ours.number());
        }
    }
    for (c, heading) in block.columns.iter().enumerate() {
        let x = area.x + width * (c as f64 + 0.5);
        svg.text((x, area.y + area.h + 18.0), Anchor::Middle, "m3-t", &heading.title);
    }
}

/// Where a number lies among ascending ones, counted from the first; none outside.
fn between(steps: &[f64], x: f64) -> Option<f64> {
    let exact = steps.iter().position(|s| (s - x).abs() < 1e-9);
    exact.map(|i| i as f64).or_else(|| {
        let after = steps.iter().position(|s| *s > x).filter(|i| *i > 0)?;
        let (low, high) = (steps[after - 1], steps[after]);
        Some((after - 1) as f64 + (x - low) / (high - low))
    })
}

#[cfg(test)]
mod tests {
    use super::between;

    #[test]
    fn a_candidate_lies_between_the_fields_that_surround_it() {
        assert_eq!(between(&[0.0, 0.5, 1.0], 0.75), Some(1.5));
        assert_eq!(between(&[0.0, 0.5, 1.0], 1.0), Some(2.0));
        assert_eq!(between(&[0.0, 0.5, 1.0], 1.2), None);
        assert_eq!(between(&[1.0], 1.0), Some(0.0));
    }
}
