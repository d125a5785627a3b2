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
    let weights: Vec<F> = facts.terms.iter().map(|t| F::from_f64(t.weight)).collect();
    for (i, (o, b)) in out.iter_mut().zip(slice.base).enumerate() {
        let mut votes = F::Sum::ZERO;
        for (deltas, w) in room.deltas.iter().zip(&weights) {
            let vote = if rule.weighted { deltas[i] * *w } else { deltas[i] };
            votes = votes + vote.widen();
        }
        let votes = F::narrow(votes);
        let plus = votes > F::ZERO || (votes == F::ZERO && rule.zero_is_plus);
        let merged = if rule.weighted {
            by_weight(&room.deltas, &weights, i, plus, rule.divisor)
        } else {
            by_survivors(facts, &room.deltas, i, plus, rule.divisor)
        };
        *o = (F::from_f32(*b) + merged.times(rule.scale)).to_f32();
    }
}

fn agrees<F: Real>(x: F, plus: bool) -> bool {
    if plus { x > F::ZERO } else { x < F::ZERO }
}

/// mergekit: Σ w_k·δ_k over those whose weighted delta has the sign, over the sum of their weights; that sum 0 counts as 1.
fn by_weight<F: Real>(deltas: &[Vec<F>], weights: &[F], i: usize, plus: bool, divisor: Divisor) -> F {
    let (mut sum, mut mass) = (F::Sum::ZERO, F::Sum::ZERO);
    for (deltas, w) in deltas.iter().zip(weights) {
        let weighted = deltas[i] * *w;
        if agrees(weighted, plus) {
            sum = sum + weighted.widen();
            mass = mass + w.widen();
        }
    }
    let (sum, mass) = (F::narrow(sum), F::narrow(mass));
    if divisor == Divisor::One || mass == F::ZERO { sum } else { sum / mass }
}

/// The paper: the weighted mean of the survivors, where a single survivor keeps its value (Figure 6, Appendix H).
fn by_survivors<F: Real>(facts: &Facts, deltas: &[Vec<F>], i: usize, plus: bool, divisor: Divisor) -> F {
    let (mut sum, mut mass, mut survivors, mut last) = (F::Sum::ZERO, 0.0, 0, F::ZERO);
    for (deltas, term) in deltas.iter().zip(&facts.terms) {
        let d = deltas[i];
        if agrees(d, plus) {
            sum = sum + (d * F::from_f64(term.weight)).widen();
            mass += term.weight;
            survivors += 1;
            last = d;
        }
    }
    match divisor {
        Divisor::One => F::narrow(sum),
        Divisor::Weights if survivors == 1 => last,
        Divisor::Weights if mass == 0.0 => F::ZERO,
        Divisor::Weights => F::narrow(sum) / F::from_f64(mass),
    }
}
