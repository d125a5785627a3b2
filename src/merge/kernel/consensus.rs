//! Elected signs (TIES, Yadav et al. 2023): only deltas with the sign that most of the mass has take part.

use super::{Facts, LANES, Room, Slice, Term};
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

/// The deltas of one model in a block, lane by lane.
type Deltas<F> = [[F; LANES]];

#[inline(always)]
pub(super) fn blend<F: Real>(
    facts: &Facts,
    rule: Rule,
    slice: &Slice<'_>,
    room: &mut Room<F>,
    out: &mut [f32],
) {
    for (k, term) in facts.terms.iter().enumerate() {
        slice.delta(k, term, &mut room.deltas[k].as_flattened_mut()[..out.len()]);
    }
    for (at, merged) in room.merged.iter_mut().enumerate() {
        *merged = match (&facts.terms[..], &room.deltas[..]) {
            (terms, deltas) if rule.weighted => by_weight(terms, rule, deltas, at),
            ([first, second], [a, b]) if rule.divisor == Divisor::Weights => {
                of_two([first.weight, second.weight], rule, &a[at], &b[at])
            }
            (terms, deltas) => by_survivors(terms, rule, deltas, at),
        };
    }
    for ((o, b), merged) in out.iter_mut().zip(slice.base).zip(room.merged.as_flattened()) {
        *o = (F::from_f32(*b) + merged.times(rule.scale)).to_f32();
    }
}

/// The elected sign of each lane, as a factor 1 or −1: a delta agrees where delta · sign is above zero.
#[inline(always)]
fn elect<F: Real>(rule: Rule, votes: &[F::Sum; LANES]) -> [F; LANES] {
    let (plus, minus) = (F::from_f64(1.0), F::from_f64(-1.0));
    let even = if rule.zero_is_plus { plus } else { minus };
    let mut signs = [even; LANES];
    for (sign, vote) in signs.iter_mut().zip(votes) {
        let vote = F::narrow(*vote);
        let unequal = if vote > F::ZERO { plus } else { minus };
        *sign = if vote == F::ZERO { even } else { unequal };
    }
    signs
}

// In both: one choice for each element, and arithmetic with its 0 or 1 for the rest. With more choices the compiler makes
// branches of them and no vectors.

/// mergekit: Σ w_k·δ_k over those whose weighted delta has the sign, over the sum of their weights; that sum 0 counts as 1.
#[inline(always)]
fn by_weight<F: Real>(terms: &[Term], rule: Rule, deltas: &[Box<Deltas<F>>], at: usize) -> [F; LANES] {
    let mut votes = [F::Sum::ZERO; LANES];
    for (deltas, term) in deltas.iter().zip(terms) {
        let w = F::from_f64(term.weight);
        for (vote, d) in votes.iter_mut().zip(&deltas[at]) {
            *vote = *vote + (*d * w).widen();
        }
    }
    let signs = elect::<F>(rule, &votes);
    let one = F::from_f64(1.0);
    let (mut sums, mut masses) = ([F::Sum::ZERO; LANES], [F::Sum::ZERO; LANES]);
    for (deltas, term) in deltas.iter().zip(terms) {
        let (w, deltas) = (F::from_f64(term.weight), &deltas[at]);
        for i in 0..LANES {
            let d = deltas[i] * w;
            let agrees = d * signs[i] > F::ZERO;
            let (kept, counts) = (if agrees { d } else { F::ZERO }, if agrees { one } else { F::ZERO });
            sums[i] = sums[i] + kept.widen();
            masses[i] = masses[i] + (counts * w).widen();
        }
    }
    let mut merged = [F::ZERO; LANES];
    for i in 0..LANES {
        let mass = F::narrow(masses[i]);
        let by = if rule.divisor == Divisor::One || mass == F::ZERO { one } else { mass };
        merged[i] = F::narrow(sums[i]) / by;
    }
    merged
}

/// The paper: the weighted mean of the survivors, where a single survivor keeps its value (Figure 6, Appendix H).
#[inline(always)]
fn by_survivors<F: Real>(terms: &[Term], rule: Rule, deltas: &[Box<Deltas<F>>], at: usize) -> [F; LANES] {
    let mut votes = [F::Sum::ZERO; LANES];
    for deltas in deltas {
        for (vote, d) in votes.iter_mut().zip(&deltas[at]) {
            *vote = *vote + d.widen();
        }
    }
    let signs = elect::<F>(rule, &votes);
    let (mut sums, mut plain) = ([F::Sum::ZERO; LANES], [F::Sum::ZERO; LANES]);
    let (mut weights, mut survivors) = ([0.0f64; LANES], [0.0f64; LANES]);
    for (deltas, term) in deltas.iter().zip(terms) {
        let (w, deltas) = (F::from_f64(term.weight), &deltas[at]);
        for i in 0..LANES {
            let agrees = deltas[i] * signs[i] > F::ZERO;
            let (kept, counts) = (if agrees { deltas[i] } else { F::ZERO }, if agrees { 1.0 } else { 0.0 });
            sums[i] = sums[i] + (kept * w).widen();
            plain[i] = plain[i] + kept.widen();
            weights[i] += counts * term.weight;
            survivors[i] += counts;
        }
    }
    let mut merged = [F::ZERO; LANES];
    for i in 0..LANES {
        let by = if rule.divisor == Divisor::One || weights[i] == 0.0 { 1.0 } else { weights[i] };
        let mean = F::narrow(sums[i]) / F::from_f64(by);
        let alone = rule.divisor == Divisor::Weights && survivors[i] == 1.0;
        merged[i] = if alone { F::narrow(plain[i]) } else { mean };
    }
    merged
}

/// [`by_survivors`] of two models over the sum of the weights: where both survive their weighted mean, else the survivor. The
/// same bits with a third of the arithmetic.
#[inline(always)]
fn of_two<F: Real>(weights: [f64; 2], rule: Rule, a: &[F; LANES], b: &[F; LANES]) -> [F; LANES] {
    let mut votes = [F::Sum::ZERO; LANES];
    for ((vote, a), b) in votes.iter_mut().zip(a).zip(b) {
        *vote = a.widen() + b.widen();
    }
    let signs = elect::<F>(rule, &votes);
    let [first, second] = weights.map(F::from_f64);
    let sum = weights[0] + weights[1];
    let by = F::from_f64(if sum == 0.0 { 1.0 } else { sum });
    let mut merged = [F::ZERO; LANES];
    for i in 0..LANES {
        let (a, b) = (a[i], b[i]);
        let (first_agrees, second_agrees) = (a * signs[i] > F::ZERO, b * signs[i] > F::ZERO);
        // From zero on, as sums of any number begin: what is left of -0 and -0 is 0.
        let mean = F::narrow(F::Sum::ZERO + (a * first).widen() + (b * second).widen()) / by;
        let (kept_a, kept_b) =
            (if first_agrees { a } else { F::ZERO }, if second_agrees { b } else { F::ZERO });
        // One of the two is zero.
        let alone = F::narrow(kept_a.widen() + kept_b.widen());
        merged[i] = if first_agrees & second_agrees { mean } else { alone };
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Stream;

    #[test]
    fn two_models_are_merged_as_any_number_is() {
        fn agree<F: Real>() {
            let bits = |x: F| x.to_f64().to_bits();
            let mut stream = Stream::new(1, "consensus", 0);
            // Few different magnitudes, so that votes are often even, and one delta or both are often zero.
            let mut number = || F::from_f64(f64::from((stream.unit() * 9.0) as i32 - 4) * 0.3);
            for weights in [[0.5, 0.5], [0.3, 0.7], [1.0, 0.0], [0.0, 0.0], [0.1, 0.3]] {
                for zero_is_plus in [false, true] {
                    let rule = Rule { weighted: false, zero_is_plus, divisor: Divisor::Weights, scale: 1.0 };
                    let (a, b): ([F; LANES], [F; LANES]) =
                        (std::array::from_fn(|_| number()), std::array::from_fn(|_| number()));
                    let terms = weights.map(|weight| Term { weight, keeps: Vec::new(), draws: Vec::new() });
                    let deltas = [Box::new([a]) as Box<Deltas<F>>, Box::new([b])];
                    let want = by_survivors(&terms, rule, &deltas, 0).map(bits);
                    assert_eq!(of_two(weights, rule, &a, &b).map(bits), want, "{weights:?} {zero_is_plus}");
                }
            }
        }
        agree::<f32>();
        agree::<f64>();
        agree::<crate::merge::arithmetic::Brain>();
    }
}
