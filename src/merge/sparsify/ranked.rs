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
    // Each step is rounded to the type of the probabilities.
    let chance = |x: f64| F::Chance::from_f64(x);
    let (last, least) = (chance((row.len() - 1) as f64), chance(density - epsilon));
    for (rank, i) in order.into_iter().enumerate() {
        let p = if row.len() == 1 {
            chance(density)
        } else {
            least + (chance(rank as f64) / last).times(2.0 * epsilon)
        };
        if u64::from(drawn[i as usize]) >= below(p.to_f64()) {
            row[i as usize] = F::ZERO;
        }
    }
}
