//! Elected signs (TIES, Yadav et al. 2023): only deltas with the sign that most of the mass has take part.

use super::{Facts, Room, Slice};
use crate::merge::arithmetic::Real;
use crate::merge::rule::Divisor;

/// How the sign is elected and what is done with the survivors.
#[derive(Clone, Copy)]
pub(super) struct Rule {
    /// Deltas vote with their weights (mergekit), or as they are (the paper's program).
    pub(super) weighted: bool,
    /// Sign of an element where the votes are even.
    pub(super) zero_is_plus: bool,
    pub(super) divisor: Divisor,
    pub(super) scale: f64,
}

pub(super) fn blend<F: Real>(
    facts: &Facts,
    rule: Rule,
    slice: &Slice<'_>,
    room: &mut Room<F>,
    out: &mut [f32],
) {
    for (k, term) in facts.terms.iter().enumerate() {
        slice.delta(k, term, &mut room.deltas[k][..out.len()]);
    }
    let n = out.len();
    if rule.weighted {
        for (deltas, term) in room.deltas.iter_mut().zip(&facts.terms) {
            let w = F::from_f64(term.weight);
            deltas[..n].iter_mut().for_each(|d| *d = *d * w);
        }
    }
    elect(rule.zero_is_plus, room, n);
    if rule.weighted {
        by_weight(facts, rule.divisor, room, n);
    } else {
        by_survivors(facts, rule.divisor, room, n);
    }
    for ((o, b), merged) in out.iter_mut().zip(slice.base).zip(&room.merged) {
        *o = (F::from_f32(*b) + merged.times(rule.scale)).to_f32();
    }
}

/// The elected sign of each element, as a factor 1 or −1: a delta agrees where delta · sign is above zero.
fn elect<F: Real>(zero_is_plus: bool, room: &mut Room<F>, n: usize) {
    let (plus, minus) = (F::from_f64(1.0), F::from_f64(-1.0));
    let votes = &mut room.sums[..n];
    votes.fill(F::Sum::ZERO);
    for deltas in &room.deltas {
        for (vote, d) in votes.iter_mut().zip(&deltas[..n]) {
            *vote = *vote + d.widen();
        }
    }
    let even = if zero_is_plus { plus } else { minus };
    for (sign, vote) in room.signs.iter_mut().zip(votes) {
        let vote = F::narrow(*vote);
        let unequal = if vote > F::ZERO { plus } else { minus };
        *sign = if vote == F::ZERO { even } else { unequal };
    }
}

/// mergekit: Σ w_k·δ_k over those whose weighted delta has the sign, over the sum of their weights; that sum 0 counts as 1.
fn by_weight<F: Real>(facts: &Facts, divisor: Divisor, room: &mut Room<F>, n: usize) {
    let (sums, masses) = (&mut room.sums[..n], &mut room.masses[..n]);
    sums.fill(F::Sum::ZERO);
    masses.fill(F::Sum::ZERO);
    for (deltas, term) in room.deltas.iter().zip(&facts.terms) {
        let w = F::from_f64(term.weight).widen();
        for (((sum, mass), d), sign) in sums.iter_mut().zip(&mut *masses).zip(&deltas[..n]).zip(&room.signs) {
            let agrees = *d * *sign > F::ZERO;
            *sum = *sum + if agrees { d.widen() } else { F::Sum::ZERO };
            *mass = *mass + if agrees { w } else { F::Sum::ZERO };
        }
    }
    let one = F::from_f64(1.0);
    for ((merged, sum), mass) in room.merged.iter_mut().zip(sums).zip(masses) {
        let mass = F::narrow(*mass);
        let by = if divisor == Divisor::One || mass == F::ZERO { one } else { mass };
        *merged = F::narrow(*sum) / by;
    }
}

/// The paper: the weighted mean of the survivors, where a single survivor keeps its value (Figure 6, Appendix H).
fn by_survivors<F: Real>(facts: &Facts, divisor: Divisor, room: &mut Room<F>, n: usize) {
    let sums = &mut room.sums[..n];
    sums.fill(F::Sum::ZERO);
    room.weights[..n].fill(0.0);
    room.survivors[..n].fill(0.0);
    for (deltas, term) in room.deltas.iter().zip(&facts.terms) {
        let w = F::from_f64(term.weight);
        let places = sums.iter_mut().zip(&mut room.weights).zip(&mut room.survivors).zip(&mut room.merged);
        for ((((sum, weight), survivors), last), (d, sign)) in places.zip(deltas[..n].iter().zip(&room.signs))
        {
            let agrees = *d * *sign > F::ZERO;
            *sum = *sum + if agrees { (*d * w).widen() } else { F::Sum::ZERO };
            *weight += if agrees { term.weight } else { 0.0 };
            *survivors += if agrees { 1.0 } else { 0.0 };
            *last = if agrees { *d } else { *last };
        }
    }
    for (((merged, sum), weight), survivors) in
        room.merged.iter_mut().zip(sums).zip(&room.weights).zip(&room.survivors)
    {
        let by = if *weight == 0.0 { 1.0 } else { *weight };
        let mean = F::narrow(*sum) / F::from_f64(if divisor == Divisor::One { 1.0 } else { by });
        let alone = divisor == Divisor::Weights && *survivors == 1.0;
        *merged = if alone { *merged } else { mean };
    }
}
