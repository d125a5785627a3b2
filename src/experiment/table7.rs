//! The jobs of Table 7: three pairs by three methods, with M³, with DARE, and with both.

use super::pairing::Pairing;
use super::table1::{Job, measure};
use super::{ExperimentError, LabSettings, Manifest};
use crate::checkpoint::OpenOptions;
use crate::event::Observer;
use crate::report::Method::{self, Average, TaskArithmetic, Ties};
use crate::report::{PublishedRow, Table};

/// M³ alone, DARE alone, both.
const USES: [(bool, bool); 3] = [(true, false), (false, true), (true, true)];

/// A pair by a method.
struct Block {
    method: Method,
    pair: [&'static str; 2],
    models: &'static str,
    /// Names of its rows, in the order of [`USES`].
    ids: [&'static str; 3],
    /// Their cells in the order of the table's columns, in per cent; none where the paper prints a dash.
    cells: [[Option<f64>; 5]; 3],
}

/// Cells of LM & Math: AlpacaEval, GSM8K, MATH.
const fn lm_math([a, b, c]: [f64; 3]) -> [Option<f64>; 5] {
    [Some(a), Some(b), Some(c), None, None]
}

/// Cells of LM & Code: AlpacaEval, HumanEval, MBPP.
const fn lm_code([a, b, c]: [f64; 3]) -> [Option<f64>; 5] {
    [Some(a), None, None, Some(b), Some(c)]
}

/// Cells of Math & Code: GSM8K, MATH, HumanEval, MBPP.
const fn math_code([a, b, c, d]: [f64; 4]) -> [Option<f64>; 5] {
    [None, Some(a), Some(b), Some(c), Some(d)]
}

/// The rows of a block: names, and published figures.
macro_rules! block {
    ($method:ident, $name:literal, $a:literal, $b:literal, $models:literal, $of:ident, $m3:expr, $dare:expr, $both:expr) => {
        Block {
            method: $method,
            pair: [$a, $b],
            models: $models,
            ids: [
                concat!($a, "+", $b, "/", $name, "/m3"),
                concat!($a, "+", $b, "/", $name, "/dare"),
                concat!($a, "+", $b, "/", $name, "/m3+dare"),
            ],
            cells: [$of($m3), $of($dare), $of($both)],
        }
    };
}

#[rustfmt::skip]
const TABLE7: [Block; 9] = [
    block!(Average, "average", "lm", "math", "LM & Math", lm_math, [44.40, 66.26, 13.80], [44.22, 66.57, 12.96], [43.53, 66.57, 14.12]),
    block!(Average, "average", "lm", "code", "LM & Code", lm_code, [43.91, 37.20, 34.40], [38.81, 31.71, 32.40], [40.31, 36.59, 37.00]),
    block!(Average, "average", "math", "code", "Math & Code", math_code, [63.61, 14.02, 8.54, 19.20], [56.18, 10.28, 6.10, 7.80], [64.97, 13.54, 9.76, 21.20]),
    block!(TaskArithmetic, "task_arithmetic", "lm", "math", "LM & Math", lm_math, [41.65, 66.34, 13.74], [49.00, 66.64, 13.02], [44.90, 67.32, 13.74]),
    block!(TaskArithmetic, "task_arithmetic", "lm", "code", "LM & Code", lm_code, [46.64, 35.37, 33.80], [41.47, 35.98, 33.00], [45.20, 35.98, 35.20]),
    block!(TaskArithmetic, "task_arithmetic", "math", "code", "Math & Code", math_code, [63.53, 13.94, 7.93, 19.00], [65.05, 13.96, 10.37, 9.80], [65.13, 14.32, 8.54, 18.00]),
    block!(Ties, "ties", "lm", "math", "LM & Math", lm_math, [38.73, 18.57, 2.48], [37.92, 18.04, 2.34], [39.93, 19.26, 2.82]),
    block!(Ties, "ties", "lm", "code", "LM & Code", lm_code, [44.96, 25.61, 30.80], [43.13, 0.0, 0.0], [45.65, 26.83, 33.20]),
    block!(Ties, "ties", "math", "code", "Math & Code", math_code, [64.75, 14.16, 9.76, 21.40], [64.82, 13.88, 10.37, 23.60], [64.75, 14.78, 9.15, 19.60]),
];

/// Where the paper contradicts itself about Table 7, or leaves open what was done.
const NOTES: [&str; 6] = [
    "Task Arithmetic with DARE is the block that Table 1 calls DARE. There, without M³, LM & Math has 13.2 on MATH (here 13.02), and \
     Math & Code 10.37 on MATH and 9.15 on HumanEval (here 13.96 and 10.37: the row of Table 1 seems to be shifted).",
    "Of the 30 pairs of cells, M³ is higher than DARE in 20 and lower in 10. Both together are higher than the better of them in 16, \
     equal in 3 and lower in 11, although the text says that they add up.",
    "An average with M³ is task arithmetic with M³ at s = 1, to the last bit. The paper has other figures for the two: other draws of λ, \
     or another s. Here their candidates are the same wherever the suite has s = 1.",
    "No row has neither M³ nor DARE. Table 1 has those of task arithmetic and TIES, and none of averages.",
    "The released program cannot make the rows of TIES with DARE: it refuses any method but task arithmetic after a mask. Here deltas are \
     dropped first, and what is left is trimmed.",
    "The drop rate is 0.2 throughout. Whether what is left is scaled up is not said, and the released program does it only on request; \
     here it is.",
];

/// The rows, and what is done for each.
pub(super) fn jobs() -> Vec<(PublishedRow, Job)> {
    let job = |block: &Block, number: usize| {
        let (m3, dare) = USES[number];
        let row = PublishedRow {
            id: block.ids[number],
            method: Some(block.method),
            models: block.models,
            m3: Some(m3),
            lambda: None,
            cells: block.cells[number],
        };
        let pairing = Pairing { method: block.method, dare, pair: block.pair };
        (row, if m3 { Job::Search(pairing) } else { Job::Baseline(pairing) })
    };
    TABLE7.iter().flat_map(|block| [0, 1, 2].map(|number| job(block, number))).collect()
}

/// Reproduces Table 7, as [`table1`](super::table1()) does Table 1.
pub fn table7(
    manifest: &Manifest,
    settings: LabSettings,
    options: &OpenOptions<'_>,
    watch: &dyn Observer,
) -> Result<Table, ExperimentError> {
    measure("table7", &jobs(), &NOTES, manifest, settings, options, watch)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In how many cells the first of two figures is higher, lower, equal.
    fn compared(figures: impl Fn(&[[Option<f64>; 5]; 3], usize) -> (Option<f64>, Option<f64>)) -> [usize; 3] {
        let all = TABLE7
            .iter()
            .flat_map(|block| (0..5).map(|column| figures(&block.cells, column)).collect::<Vec<_>>());
        let pairs: Vec<(f64, f64)> = all.filter_map(|(a, b)| Some((a?, b?))).collect();
        let count = |holds: fn(&&(f64, f64)) -> bool| pairs.iter().filter(holds).count();
        [count(|(a, b)| a > b), count(|(a, b)| a < b), count(|(a, b)| a == b)]
    }

    #[test]
    fn the_footnote_counts_what_was_published() {
        assert_eq!(compared(|rows, c| (rows[0][c], rows[1][c])), [20, 10, 0]);
        let better = |rows: &[[Option<f64>; 5]; 3], c: usize| Some(rows[0][c]?.max(rows[1][c]?));
        assert_eq!(compared(|rows, c| (rows[2][c], better(rows, c))), [16, 11, 3]);
    }

    #[test]
    fn every_row_has_a_name_of_its_own() {
        let mut ids: Vec<&str> = TABLE7.iter().flat_map(|block| block.ids).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), 27);
        assert!(ids.contains(&"math+code/ties/m3+dare"));
    }
}
