//! DELLA's MagPrune (Deep et al. 2024): the larger its magnitude among those of its row, the likelier an element stays.

use super::{below, key};
use crate::merge::arithmetic::Real;
use crate::random::Draws;

/// Drops elements of one row: the element with rank r of n, counted from 0 at the smallest magnitude, stays with
/// probability density − ε + 2ε·r/(n − 1). Equal magnitudes rank in their order; the one element of a row of one has
/// rank 0 of 1 and stays with probability `density`.
pub(super) fn drop<F: Real>(density: f64, epsilon: f64, draws: &dyn Draws, start: u64, row: &mut [F]) {
    let mut order: Vec<u32> = (0..row.len() as u32).collect();
    order.sort_by_key(|i| key(row[*i as usize].to_f32()));
    let mut drawn = vec![0u32; row.len()];
    draws.fill(start, &mut drawn);
    let last = (row.len() - 1) as f64;
    for (rank, i) in order.into_iter().enumerate() {
        let p = if last == 0.0 { density } else { density - epsilon + 2.0 * epsilon * (rank as f64 / last) };
        if u64::from(drawn[i as usize]) >= below(p) {
            row[i as usize] = F::ZERO;
        }
    }
}
