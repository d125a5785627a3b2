//! What all pictures have: the title, the suite's notice, a legend above, remarks below.

use crate::report::svg::{Anchor, Svg, wrapped};
use crate::report::{Block, Line, Sheet};

/// Width of a picture.
pub(super) const WIDTH: f64 = 900.0;
/// Blank space on the left and on the right.
pub(super) const MARGIN: f64 = 24.0;
/// From line to line of small text.
const LEADING: f64 = 15.0;
/// Width of a letter of small text, on average and rather too wide.
const LETTER: f64 = 6.3;
/// There are so many colours.
const COLOURS: usize = 6;

/// A part of the picture.
#[derive(Clone, Copy)]
pub(super) struct Area {
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) w: f64,
    pub(super) h: f64,
}

/// Begins a picture with room of `height` for what it shows. Returns where the room begins.
pub(super) fn frame(sheet: &Sheet, series: &[String], height: f64, remarks: &[String]) -> (Svg, Area) {
    let letters = ((WIDTH - 2.0 * MARGIN) / LETTER) as usize;
    let title = wrapped(&sheet.title, 84);
    let notice = wrapped(&sheet.notice, letters);
    let legend = legend(series);
    let remarks: Vec<String> = remarks.iter().flat_map(|remark| wrapped(remark, letters)).collect();
    let lines = |n: usize| n as f64 * LEADING;
    let heading = 12.0 + 22.0 * title.len() as f64;
    let top = heading + lines(notice.len()) + 10.0 + 20.0 * legend.len() as f64 + 6.0;
    let total = top + height + lines(remarks.len()) + 14.0;
    let mut svg = Svg::new(WIDTH, total, &sheet.title, &sheet.notice);
    for (i, line) in title.iter().enumerate() {
        svg.text((MARGIN, 28.0 + 22.0 * i as f64), Anchor::Start, "m3-big m3-t", line);
    }
    for (i, line) in notice.iter().enumerate() {
        svg.text((MARGIN, heading + lines(i) + 10.0), Anchor::Start, "m3-small m3-q", line);
    }
    for (i, row) in legend.iter().enumerate() {
        let y = heading + lines(notice.len()) + 10.0 + 20.0 * i as f64 + 12.0;
        for (x, colour, name) in row {
            svg.rect((*x, y - 9.0), (11.0, 11.0), &fill(*colour), "");
            svg.text((x + 17.0, y + 1.0), Anchor::Start, "m3-t", name);
        }
    }
    for (i, line) in remarks.iter().enumerate() {
        svg.text((MARGIN, top + height + lines(i) + 10.0), Anchor::Start, "m3-small m3-q", line);
    }
    (svg, Area { x: MARGIN, y: top, w: WIDTH - 2.0 * MARGIN, h: height })
}

/// Places, colours and names, row by row.
fn legend(series: &[String]) -> Vec<Vec<(f64, usize, String)>> {
    let mut rows: Vec<Vec<(f64, usize, String)>> = Vec::new();
    let mut x = WIDTH;
    for (colour, name) in series.iter().enumerate() {
        let width = 17.0 + 7.4 * name.chars().count() as f64 + 22.0;
        if x + width > WIDTH - MARGIN || rows.is_empty() {
            rows.push(Vec::new());
            x = MARGIN;
        }
        if let Some(row) = rows.last_mut() {
            row.push((x, colour, name.clone()));
        }
        x += width;
    }
    rows
}

/// What the rows of some blocks are called in a picture, each name once: its place is its colour.
pub(super) fn series(blocks: &[&Block]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for line in blocks.iter().flat_map(|block| &block.rows) {
        if !names.iter().any(|known| known == name(line)) {
            names.push(name(line).to_owned());
        }
    }
    names
}

/// What a row is called in a picture.
pub(super) fn name(line: &Line) -> &str {
    line.labels.first().map_or(line.id.as_str(), String::as_str)
}

/// The colour of a series, for areas.
pub(super) fn fill(series: usize) -> String {
    format!("m3-f{}", series % COLOURS + 1)
}

/// The colour of a series, for lines.
pub(super) fn stroke(series: usize) -> String {
    format!("m3-l{}", series % COLOURS + 1)
}

/// The end of an axis that begins at 0: a round number that is not below any number of the block.
pub(super) fn reach(block: &Block) -> f64 {
    let cells = block.rows.iter().flat_map(|row| &row.cells);
    let numbers = cells.flat_map(|cell| {
        let ours = cell.ours.as_ref();
        [ours.map(|m| m.value), ours.and_then(|m| m.ci95).map(|c| c.1), cell.published]
    });
    let most = numbers.flatten().fold(0.0, f64::max);
    let steps = [5.0, 10.0, 20.0, 40.0, 60.0, 80.0];
    steps.into_iter().find(|step| most <= *step).unwrap_or(100.0)
}

/// How many items there are behind a column: `n 240`, or a range.
pub(super) fn items(block: &Block, column: usize) -> String {
    let counts = block.rows.iter().filter_map(|row| row.cells.get(column)?.ours.as_ref().map(|m| m.n));
    let counts: Vec<usize> = counts.filter(|n| *n > 0).collect();
    match (counts.iter().min(), counts.iter().max()) {
        (Some(low), Some(high)) if low == high => format!("n {low}"),
        (Some(low), Some(high)) => format!("n {low} to {high}"),
        _ => String::new(),
    }
}

/// What a pointer that rests on a cell is told.
pub(super) fn tip(line: &Line, column: &str, entry: &crate::report::Entry) -> String {
    let (number, certainty) = entry.parts(false);
    format!("{}, {column}: {number} {certainty}", line.labels.join(", ")).trim_end().to_owned()
}
