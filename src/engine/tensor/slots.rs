//! Keys and values of all sequences on the device, and who has which slot.
//!
//! A layer's keys, and its values, are one tensor `[slots, heads, length, head_dim]`: neighbouring slots are one batch of a batched
//! product, without a copy. All slots have one length, so that slots times length is what the budget buys; the length follows the
//! longest sequence that is in, and slots are moved together where gaps would be multiplied for nothing.
//!
//! Whatever lies in a slot beyond its sequence is finite (zeros, or an earlier sequence), so that a weight of 0 makes it vanish.

use crate::checkpoint::ModelConfig;
use crate::completion::Breakdown;
use crate::engine::device::Device;
use crate::engine::kv::common;
use crate::engine::runner::Slot;
use candle_core::{Result, Tensor};
use std::cmp::Reverse;

/// Lengths of slots are multiples of this.
pub(crate) const GRAIN: usize = 16;

/// A slot that was given out.
#[derive(Debug)]
pub(crate) struct Place {
    /// By which [`Slots`] knows it.
    pub(super) key: u64,
    /// What fills it.
    pub(super) tokens: Vec<u32>,
    /// Where its sequence broke down: what fills it is of no use then.
    pub(super) broken: Option<Breakdown>,
}

impl Slot for Place {
    fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    fn keep(&mut self, positions: usize) {
        self.tokens.truncate(positions);
    }
}

/// Who has a slot.
#[derive(Debug)]
enum State {
    /// Nobody; these tokens fill it.
    Free(Vec<u32>),
    /// The place with this key, which needs so many positions.
    Taken { key: u64, positions: usize },
}

/// All slots.
#[derive(Debug)]
pub(super) struct Slots {
    device: Device,
    layers: usize,
    heads: usize,
    head_dim: usize,
    /// Slots times length at most.
    budget: usize,
    /// Slots at most.
    most: usize,
    next_key: u64,
    states: Vec<State>,
    /// Positions of a slot.
    length: usize,
    /// `[slots, heads, length, head_dim]` for each layer.
    keys: Vec<Tensor>,
    values: Vec<Tensor>,
}

impl Slots {
    /// No slots yet.
    pub(super) fn new(device: &Device, config: &ModelConfig, budget: usize, most: usize) -> Self {
        Self {
            device: device.clone(),
            layers: config.layers,
            heads: config.kv_heads,
            head_dim: config.head_dim,
            budget,
            most,
            next_key: 0,
            states: Vec::new(),
            length: 0,
            keys: Vec::new(),
            values: Vec::new(),
        }
    }

    /// Keys of a layer.
    pub(super) fn keys(&self, layer: usize) -> &Tensor {
        &self.keys[layer]
    }

    /// Values of a layer.
    pub(super) fn values(&self, layer: usize) -> &Tensor {
        &self.values[layer]
    }

    /// As [`crate::engine::runner::Runner::take`].
    pub(super) fn take(&mut self, positions: usize, prefix: &[u32]) -> Result<Option<Place>> {
        let positions = positions.max(1);
        let taken: Vec<usize> = self
            .states
            .iter()
            .filter_map(|state| match state {
                State::Taken { positions, .. } => Some(*positions),
                State::Free(_) => None,
            })
            .collect();
        let all_taken = taken.len() == self.states.len();
        if positions > self.length || all_taken {
            if taken.len() >= self.most {
                return Ok(None);
            }
            let longest = taken.iter().copied().chain([positions]).max().unwrap_or(positions);
            let tight = longest.next_multiple_of(GRAIN);
            // Where slots must grow, by a quarter more than is asked for, so that they are not made again for every sequence that
            // is a little longer.
            let loose = if longest > self.length { longest + longest / 4 } else { longest };
            let within = |&length: &usize| (taken.len() + 1) * length <= self.budget;
            let mut lengths = [loose.next_multiple_of(GRAIN), tight].into_iter();
            let Some(length) = lengths.find(within).or(taken.is_empty().then_some(tight)) else {
                return Ok(None);
            };
            self.arrange(length)?;
        }
        // What begins like the prefix, or else what knows least, and of these the first.
        let free = self.states.iter().enumerate().filter_map(|(row, state)| match state {
            State::Free(tokens) => {
                let shared = common(tokens, prefix);
                Some((shared, Reverse(tokens.len()), Reverse(row)))
            }
            State::Taken { .. } => None,
        });
        let Some((shared, _, Reverse(row))) = free.max() else { return Ok(None) };
        let key = self.next_key;
        self.next_key += 1;
        self.states[row] = State::Taken { key, positions };
        Ok(Some(Place { key, tokens: prefix[..shared].to_vec(), broken: None }))
    }

    /// As [`crate::engine::runner::Runner::give_back`].
    pub(super) fn give_back(&mut self, place: Place) {
        let row = self.row(&place);
        // What a broken sequence left behind was swept out.
        self.states[row] = State::Free(if place.broken.is_some() { Vec::new() } else { place.tokens });
    }

    /// Forgets what fills free slots: the model is another one now.
    pub(super) fn forget(&mut self) {
        for state in &mut self.states {
            if let State::Free(tokens) = state {
                tokens.clear();
            }
        }
    }

    /// The row of a place in keys and values.
    pub(super) fn row(&self, place: &Place) -> usize {
        let mine = |state: &State| matches!(state, State::Taken { key, .. } if *key == place.key);
        self.states.iter().position(mine).expect("a place is known until it is given back")
    }

    /// As [`crate::engine::runner::Runner::copy`].
    pub(super) fn copy(&mut self, to: &mut Place, from: &Place, positions: usize) -> Result<()> {
        let known = to.tokens.len();
        if positions <= known {
            return Ok(());
        }
        to.broken = to.broken.or(from.broken);
        let (target, source) = (self.row(to), self.row(from));
        for tensor in self.keys.iter().chain(&self.values) {
            let copied = tensor.narrow(0, source, 1)?.narrow(2, known, positions - known)?;
            let copied = copied.force_contiguous()?;
            tensor.narrow(0, target, 1)?.slice_set(&copied, 2, known)?;
        }
        to.tokens.extend_from_slice(&from.tokens[known..positions]);
        Ok(())
    }

    /// Fills a place with zeros.
    pub(super) fn sweep(&self, place: &Place) -> Result<()> {
        let row = self.row(place);
        for tensor in self.keys.iter().chain(&self.values) {
            let place = tensor.narrow(0, row, 1)?;
            place.slice_set(&place.zeros_like()?, 2, 0)?;
        }
        Ok(())
    }

    /// Moves these places to the first rows, if their rows are far apart: what lies between them is multiplied too.
    pub(super) fn gather(&mut self, places: &[u64]) -> Result<()> {
        let has = |state: &State| matches!(state, State::Taken { key, .. } if places.contains(key));
        let first = self.states.iter().position(has).unwrap_or(0);
        let past = self.states.iter().rposition(has).map_or(0, |last| last + 1);
        if past - first <= 2 * places.len() + 8 {
            return Ok(());
        }
        let (mut rows, others): (Vec<usize>, Vec<usize>) =
            (0..self.states.len()).partition(|&row| has(&self.states[row]));
        rows.extend(others);
        self.rebuild(&rows, self.states.len(), self.length)
    }

    /// Slots of this length that the budget buys; one at least.
    fn count(&self, length: usize) -> usize {
        (self.budget / length).clamp(1, self.most)
    }

    /// Makes slots of this length, as many as the budget buys, and moves what is in the old ones: all that are taken, and of the
    /// free ones those that know something, as many as there is room for.
    fn arrange(&mut self, length: usize) -> Result<()> {
        let slots = self.count(length);
        if (slots, length) == (self.states.len(), self.length) {
            return Ok(());
        }
        let taken = |row: &usize| matches!(self.states[*row], State::Taken { .. });
        let knows = |row: &usize| matches!(&self.states[*row], State::Free(tokens) if !tokens.is_empty());
        let rows = 0..self.states.len();
        let mut order: Vec<usize> = rows.clone().filter(taken).collect();
        order.extend(rows.filter(knows));
        order.truncate(slots);
        self.rebuild(&order, slots, length)
    }

    /// New slots, the first of them with what is in `rows`, as far as there are positions for it.
    fn rebuild(&mut self, rows: &[usize], slots: usize, length: usize) -> Result<()> {
        let shape = (slots, self.heads, length, self.head_dim);
        let (dtype, device) = (self.device.dtype, &self.device.inner);
        let kept = length.min(self.length);
        let ids: Vec<u32> = rows.iter().map(|&row| row as u32).collect();
        let ids = if ids.is_empty() { None } else { Some(Tensor::from_vec(ids, rows.len(), device)?) };
        for tensors in [&mut self.keys, &mut self.values] {
            // Tensor by tensor, so that old and new are not all there at once.
            for layer in 0..self.layers {
                let new = Tensor::zeros(shape, dtype, device)?;
                if let (Some(ids), Some(old)) = (&ids, tensors.get(layer)) {
                    let moved = old.index_select(ids, 0)?.narrow(2, 0, kept)?.contiguous()?;
                    new.narrow(0, 0, rows.len())?.slice_set(&moved, 2, 0)?;
                }
                match tensors.get_mut(layer) {
                    Some(old) => *old = new,
                    None => tensors.push(new),
                }
            }
        }
        let mut old: Vec<Option<State>> = self.states.drain(..).map(Some).collect();
        let moved = rows.iter().filter_map(|&row| old[row].take());
        self.states = moved
            .map(|state| match state {
                State::Free(mut tokens) => {
                    tokens.truncate(length);
                    State::Free(tokens)
                }
                taken @ State::Taken { .. } => taken,
            })
            .collect();
        self.states.resize_with(slots, || State::Free(Vec::new()));
        self.length = length;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::fixture;

    /// Slots on the CPU.
    fn slots(budget: usize, most: usize) -> Slots {
        Slots::new(&Device::host(), &fixture::config(), budget, most)
    }

    fn take(slots: &mut Slots, positions: usize, prefix: &[u32]) -> Option<Place> {
        slots.take(positions, prefix).unwrap()
    }

    /// Fills a place for `tokens` with a number that says whose it is.
    fn fill(slots: &Slots, place: &mut Place, tokens: &[u32], number: f32) {
        let row = slots.row(place);
        for tensor in slots.keys.iter().chain(&slots.values) {
            let (_, heads, _, dim) = tensor.dims4().unwrap();
            let all = Tensor::full(number, (1, heads, tokens.len(), dim), tensor.device()).unwrap();
            tensor.narrow(0, row, 1).unwrap().slice_set(&all, 2, place.tokens.len()).unwrap();
        }
        place.tokens.extend_from_slice(tokens);
    }

    /// The numbers of a place's first position and of its last, in every tensor.
    fn holds(slots: &Slots, place: &Place, first: f32, last: f32) {
        let row = slots.row(place);
        for tensor in slots.keys.iter().chain(&slots.values) {
            let filled = tensor.narrow(0, row, 1).unwrap().narrow(2, 0, place.tokens.len()).unwrap();
            let filled: Vec<Vec<Vec<f32>>> = filled.squeeze(0).unwrap().to_vec3().unwrap();
            assert!(filled.iter().all(|head| head[0].iter().all(|&x| x == first)));
            assert!(filled.iter().all(|head| head[place.tokens.len() - 1].iter().all(|&x| x == last)));
        }
    }

    #[test]
    fn the_budget_is_kept_and_lengths_follow_what_is_in() {
        let mut slots = slots(64, 3);
        let mut a = take(&mut slots, 30, &[]).unwrap();
        assert_eq!((slots.states.len(), slots.length), (1, 48), "a quarter more than asked for");
        fill(&slots, &mut a, &[5; 30], 1.0);
        let mut b = take(&mut slots, 32, &[]).unwrap();
        assert_eq!((slots.states.len(), slots.length), (2, 32), "as short as they may be, for two to fit");
        fill(&slots, &mut b, &[6; 32], 2.0);
        holds(&slots, &a, 1.0, 1.0);
        assert!(take(&mut slots, 1, &[]).is_none(), "the budget is used up");
        slots.give_back(a);
        assert!(take(&mut slots, 33, &[]).is_none(), "two of this length are too much");
        slots.give_back(b);
        let large = take(&mut slots, 1000, &[6; 40]).unwrap();
        assert_eq!(slots.states.len(), 1, "alone, anything is granted");
        assert!(take(&mut slots, 1, &[]).is_none());
        slots.give_back(large);
        let three: Vec<Place> = (0..3).map(|_| take(&mut slots, 16, &[]).unwrap()).collect();
        assert_eq!(slots.length, 16);
        assert!(take(&mut slots, 16, &[]).is_none(), "no more than three");
        for place in three {
            slots.give_back(place);
        }
    }

    #[test]
    fn what_a_place_begins_with_is_taken_over() {
        let mut slots = slots(400, 4);
        let story: Vec<u32> = (0..40).collect();
        let mut first = take(&mut slots, 50, &[]).unwrap();
        fill(&slots, &mut first, &story, 3.0);
        // From a sequence that is in.
        let mut second = take(&mut slots, 50, &story).unwrap();
        assert!(second.tokens.is_empty());
        fill(&slots, &mut second, &story[..2], 4.0);
        slots.copy(&mut second, &first, 20).unwrap();
        assert_eq!(second.tokens, &story[..20]);
        holds(&slots, &second, 4.0, 3.0);
        slots.copy(&mut second, &first, 10).unwrap();
        assert_eq!(second.tokens.len(), 20, "less is nothing new");
        // From a free slot, also after slots were made longer.
        slots.give_back(first);
        let long = take(&mut slots, 90, &[7]).unwrap();
        let again = take(&mut slots, 60, &story[..30]).unwrap();
        assert_eq!(again.tokens, &story[..30]);
        holds(&slots, &again, 3.0, 3.0);
        // What broke is of no use.
        slots.give_back(Place { broken: Some(Breakdown::Embedding), ..again });
        assert!(take(&mut slots, 60, &story).unwrap().tokens.is_empty());
        slots.give_back(long);
        slots.give_back(second);
        slots.forget();
        assert!(take(&mut slots, 60, &story).unwrap().tokens.is_empty(), "another model has other keys");
    }

    #[test]
    fn places_that_are_far_apart_are_gathered() {
        let mut slots = slots(40 * 16, 40);
        let mut places: Vec<Place> = (0..40).map(|_| take(&mut slots, 16, &[]).unwrap()).collect();
        for (number, place) in places.iter_mut().enumerate() {
            fill(&slots, place, &[number as u32; 3], number as f32);
        }
        let rows = |slots: &Slots, places: &[Place]| -> Vec<usize> {
            places.iter().map(|place| slots.row(place)).collect()
        };
        let near: Vec<u64> = places[3..9].iter().map(|place| place.key).collect();
        slots.gather(&near).unwrap();
        assert_eq!(rows(&slots, &places), (0..40).collect::<Vec<_>>());
        slots.gather(&[places[1].key, places[30].key]).unwrap();
        assert_eq!((slots.row(&places[1]), slots.row(&places[30])), (0, 1));
        for (number, place) in places.iter().enumerate() {
            holds(&slots, place, number as f32, number as f32);
        }
        slots.gather(&[]).unwrap();
        slots.sweep(&places[4]).unwrap();
        holds(&slots, &places[4], 0.0, 0.0);
        holds(&slots, &places[5], 5.0, 5.0);
    }
}
