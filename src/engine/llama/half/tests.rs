//! Every instruction set against the exact product, and against each other.

use super::*;
use crate::dtype::round_bf16;
use crate::engine::fixture::numbers;

/// A sum of `depth` products of numbers in [-1, 1] loses at most `depth` roundings of a partial sum of at most
/// `depth`; half of f32's ε each.
fn tolerance(depth: usize) -> f64 {
    (depth * depth) as f64 * f64::from(f32::EPSILON) / 2.0
}

fn pack(w: &[f32], depth: usize, columns: usize) -> Vec<Pairs> {
    let stride = pairs(depth);
    let mut packed = vec![Pairs::ZERO; columns / LANES * stride];
    for k in 0..depth {
        for column in 0..columns {
            packed[column / LANES * stride + k / 2].0[column % LANES][k % 2] =
                half_bits(w[k * columns + column]);
        }
    }
    packed
}

/// `start + x · w`, or `x · w` without a start.
fn product(
    isa: Isa,
    team: Team,
    x: &[f32],
    rows: usize,
    w: &[Pairs],
    depth: usize,
    start: Option<f32>,
) -> Vec<f32> {
    let count = w.len() / pairs(depth);
    let mut y = vec![start.unwrap_or(f32::NAN); rows * count * LANES];
    let mut rounded = Rounded::default();
    rounded.fill(isa, Rows { data: x, stride: depth, count: rows }, depth);
    let panels = HalfPanels { pairs: w, stride: pairs(depth), count, depth: pairs(depth), ahead: None };
    let store = if start.is_some() { Store::Add } else { Store::Replace };
    multiply(isa, team, &rounded, panels, &mut y, count * LANES, store);
    y
}

/// Rows, depth, columns: tiles that are full and not, one and several blocks, panels that do not come in pairs.
const SHAPES: [(usize, usize, usize); 7] =
    [(1, 1, 16), (1, 192, 320), (3, 64, 80), (16, 33, 48), (17, 64, 112), (45, 70, 144), (100, 40, 176)];

#[test]
fn every_instruction_set_is_near_the_exact_product_and_those_that_widen_or_have_tiles_have_the_same_bits() {
    for (rows, depth, columns) in SHAPES {
        let (x, w) = (numbers(1, rows * depth), numbers(2, depth * columns));
        let packed = pack(&w, depth, columns);
        for start in [None, Some(0.3)] {
            let first = product(Isa::portable(), Team::Alone, &x, rows, &packed, depth, start);
            for isa in Isa::available() {
                let got = product(isa, Team::Alone, &x, rows, &packed, depth, start);
                for (i, &got) in got.iter().enumerate() {
                    let (row, column) = (i / columns, i % columns);
                    let terms = (0..depth).map(|k| {
                        let (a, b) = (round_bf16(x[row * depth + k]), round_bf16(w[k * columns + column]));
                        f64::from(a) * f64::from(b)
                    });
                    let exact = terms.sum::<f64>() + f64::from(start.unwrap_or(0.0));
                    assert!((f64::from(got) - exact).abs() <= tolerance(depth + 1), "{isa:?} {rows}x{depth}");
                }
                #[cfg(target_arch = "x86_64")]
                if isa.halves() == Halves::Dots {
                    continue;
                }
                assert!(got == first, "{isa:?} has other bits at {rows}x{depth}x{columns}");
            }
        }
    }
}

#[test]
fn a_row_has_the_same_bits_alone_with_any_rows_beside_it_and_shared_among_threads() {
    let (rows, depth, columns) = (77, 96, 720);
    let (x, w) = (numbers(3, rows * depth), numbers(4, depth * columns));
    let packed = pack(&w, depth, columns);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
    for isa in Isa::available() {
        let all = product(isa, Team::Alone, &x, rows, &packed, depth, None);
        for row in 0..rows {
            let one = product(isa, Team::Alone, &x[row * depth..][..depth], 1, &packed, depth, None);
            assert!(one == all[row * columns..][..columns], "{isa:?} row {row}");
        }
        let shared = pool.install(|| product(isa, Team::Pool, &x, rows, &packed, depth, None));
        assert!(shared == all, "{isa:?}");
    }
}

#[test]
fn a_folded_product_is_the_product_folded() {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
    let fold = |sums: &[f32], out: &mut [f32]| {
        for (out, two) in out.chunks_mut(LANES).zip(sums.chunks(2 * LANES)) {
            let (a, b) = two.split_at(LANES);
            out.iter_mut().zip(a).zip(b).for_each(|((out, a), b)| *out = a - 2.0 * b);
        }
    };
    // Of the result: one block and a part of one, several groups of blocks, a last block with one panel.
    let shapes: [(usize, usize, usize); 5] =
        [(1, 40, 30), (37, 64, 100), (250, 32, 1000), (70, 96, 2000), (3, 32, 16)];
    for (rows, depth, to_depth) in shapes {
        let columns = to_depth.div_ceil(LANES) * 2 * LANES;
        let (x, w) = (numbers(7, rows * depth), numbers(8, depth * columns));
        let packed = pack(&w, depth, columns);
        for isa in Isa::available() {
            let sums = product(isa, Team::Alone, &x, rows, &packed, depth, None);
            let mut folded = vec![0.0; rows * to_depth];
            for (out, sums) in folded.chunks_mut(to_depth).zip(sums.chunks(columns)) {
                fold(sums, out);
            }
            let (mut want, mut rounded) = (Rounded::default(), Rounded::default());
            want.fill(isa, Rows { data: &folded, stride: to_depth, count: rows }, to_depth);
            rounded.fill(isa, Rows { data: &x, stride: depth, count: rows }, depth);
            let w = HalfPanels {
                pairs: &packed,
                stride: pairs(depth),
                count: columns / LANES,
                depth: pairs(depth),
                ahead: None,
            };
            for team in [Team::Alone, Team::Pool] {
                let mut got = Rounded::default();
                pool.install(|| {
                    multiply_folded(isa, team, &rounded, w, to_depth, &mut got, |column, sums, out| {
                        assert!(column % (4 * LANES) == 0 && sums.len() >= 2 * out.len());
                        fold(sums, out);
                    });
                });
                let rows_of = |r: &Rounded| -> Vec<Block> {
                    let at = |row: usize, block: usize| (row / TILE * r.blocks + block) * TILE + row % TILE;
                    (0..rows)
                        .flat_map(|row| (0..r.blocks).map(move |block| (row, block)))
                        .map(|(row, block)| r.data[at(row, block)])
                        .collect()
                };
                assert_eq!((got.blocks, got.count), (want.blocks, want.count));
                assert!(rows_of(&got) == rows_of(&want), "{isa:?} {team:?} {rows}x{depth}x{to_depth}");
            }
        }
    }
}

#[test]
fn zeros_behind_the_last_number_change_nothing_and_nan_spreads_within_its_row() {
    let (rows, depth, columns) = (5, 50, 64);
    let (mut x, w) = (numbers(5, rows * depth), numbers(6, depth * columns));
    let packed = pack(&w, depth, columns);
    let mut longer = w.clone();
    longer.resize(130 * columns, 0.5);
    let longer = pack(&longer, 130, columns);
    let padded: Vec<f32> =
        x.chunks(depth).flat_map(|row| row.iter().copied().chain(std::iter::repeat_n(0.0, 80))).collect();
    for isa in Isa::available() {
        let short = product(isa, Team::Alone, &x, rows, &packed, depth, None);
        assert!(short == product(isa, Team::Alone, &padded, rows, &longer, 130, None), "{isa:?}");
    }
    x[depth + 7] = f32::NAN;
    for isa in Isa::available() {
        let y = product(isa, Team::Alone, &x, rows, &packed, depth, None);
        for (row, y) in y.chunks(columns).enumerate() {
            assert!(y.iter().all(|y| y.is_nan() == (row == 1)), "{isa:?} row {row}");
        }
    }
}
