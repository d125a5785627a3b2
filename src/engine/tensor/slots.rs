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

/// Lengths of slots are multiples of this.
const GRAIN: usize = 16;

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
        // What begins like the prefix, or else the first that is free.
        let free = self.states.iter().enumerate().filter_map(|(row, state)| match state {
            State::Free(tokens) => Some((common(tokens, prefix), std::cmp::Reverse(row))),
            State::Taken { .. } => None,
        });
        let Some((shared, std::cmp::Reverse(row))) = free.max() else { return Ok(None) };
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
