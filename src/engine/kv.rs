//! Keys and values of one sequence, and the slots that sequences take and give back.
//!
//! Both are kept as packed panels (see `llama::simd`), so that attention is the same product as a linear layer: scores
//! are queries times keys with positions as columns, the answer is weights times values with positions as the depth.

use super::llama::{LANES, Lanes};
use crate::checkpoint::ModelConfig;

/// What of a config decides the shape of keys and values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KvShape {
    /// Decoder layers.
    pub(crate) layers: usize,
    /// Key and value heads.
    pub(crate) heads: usize,
    /// Width of a head.
    pub(crate) head_dim: usize,
}

impl KvShape {
    /// The shape that a config asks for.
    pub(crate) fn of(config: &ModelConfig) -> Self {
        Self { layers: config.layers, heads: config.kv_heads, head_dim: config.head_dim }
    }

    /// Width of a head in panels.
    pub(crate) fn panels(self) -> usize {
        self.head_dim.div_ceil(LANES)
    }
}

/// Keys and values of one sequence.
#[derive(Debug)]
pub(crate) struct Kv {
    shape: KvShape,
    /// `[layer, head, position / 16, head_dim]`, each 16 positions.
    keys: Vec<Lanes>,
    /// `[layer, head, head_dim / 16, position]`, each 16 elements of the head.
    values: Vec<Lanes>,
    /// Positions that there is room for, a multiple of 16.
    capacity: usize,
    /// Positions that are filled in every layer.
    len: usize,
}

impl Kv {
    fn new(shape: KvShape, capacity: usize) -> Self {
        let capacity = capacity.next_multiple_of(LANES);
        let heads = shape.layers * shape.heads;
        Self {
            shape,
            keys: vec![Lanes::ZERO; heads * capacity / LANES * shape.head_dim],
            values: vec![Lanes::ZERO; heads * shape.panels() * capacity],
            capacity,
            len: 0,
        }
    }

    /// Positions filled.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Positions that there is room for; also the distance between two panels of values.
    pub(crate) fn capacity(&self) -> usize {
        self.capacity
    }

    /// `tokens` more positions are filled, in every layer.
    pub(crate) fn advance(&mut self, tokens: usize) {
        self.len += tokens;
        debug_assert!(self.len <= self.capacity);
    }

    /// Keys of one head, `[position / 16, head_dim]`.
    pub(crate) fn keys(&self, layer: usize, head: usize) -> &[Lanes] {
        let size = self.capacity / LANES * self.shape.head_dim;
        &self.keys[(layer * self.shape.heads + head) * size..][..size]
    }

    /// Values of one head, `[head_dim / 16, position]`.
    pub(crate) fn values(&self, layer: usize, head: usize) -> &[Lanes] {
        let size = self.shape.panels() * self.capacity;
        &self.values[(layer * self.shape.heads + head) * size..][..size]
    }

    /// The keys of one position, to be written element by element through the returned function.
    pub(crate) fn put_key(&mut self, layer: usize, head: usize, position: usize) -> impl FnMut(usize, f32) {
        let head_dim = self.shape.head_dim;
        let start = (layer * self.shape.heads + head) * (self.capacity / LANES) + position / LANES;
        let panel = &mut self.keys[start * head_dim..][..head_dim];
        move |element, value| panel[element].0[position % LANES] = value
    }

    /// Writes the values `[head_dim]` of one position.
    pub(crate) fn put_value(&mut self, layer: usize, head: usize, position: usize, value: &[f32]) {
        let first = (layer * self.shape.heads + head) * self.shape.panels();
        for (panel, part) in value.chunks(LANES).enumerate() {
            self.values[(first + panel) * self.capacity + position].0[..part.len()].copy_from_slice(part);
        }
    }
}

/// Slots of keys and values within a budget of positions.
#[derive(Debug)]
pub(crate) struct KvPool {
    shape: KvShape,
    /// Positions that may be held at once.
    budget: usize,
    /// Positions of the slots that are given out.
    taken: usize,
    free: Vec<Kv>,
}

impl KvPool {
    /// An empty pool.
    pub(crate) fn new(shape: KvShape, budget: usize) -> Self {
        Self { shape, budget, taken: 0, free: Vec::new() }
    }

    /// A slot with room for `positions`, if the budget has that much left. With nothing given out the slot is granted
    /// whatever its size: a request that alone is over the budget runs alone.
    ///
    /// The smallest free slot of about the right size is reused; else free ones are given up until a new one fits.
    pub(crate) fn take(&mut self, positions: usize) -> Option<Kv> {
        let positions = positions.max(1).next_multiple_of(LANES);
        if self.taken > 0 && self.taken + positions > self.budget {
            return None;
        }
        let fitting = |kv: &Kv| {
            (positions..=2 * positions).contains(&kv.capacity) && self.taken + kv.capacity <= self.budget
        };
        let best =
            self.free.iter().enumerate().filter(|(_, kv)| fitting(kv)).min_by_key(|(_, kv)| kv.capacity);
        let kv = if let Some((slot, _)) = best {
            let mut kv = self.free.swap_remove(slot);
            kv.len = 0;
            kv
        } else {
            let mut held = self.taken + self.free.iter().map(|kv| kv.capacity).sum::<usize>();
            while held + positions > self.budget {
                let Some(kv) = self.free.pop() else { break };
                held -= kv.capacity;
            }
            Kv::new(self.shape, positions)
        };
        self.taken += kv.capacity;
        Some(kv)
    }

    /// Takes a slot back.
    pub(crate) fn give_back(&mut self, kv: Kv) {
        self.taken -= kv.capacity;
        self.free.push(kv);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: KvShape = KvShape { layers: 2, heads: 2, head_dim: 20 };

    #[test]
    fn what_is_put_is_found_in_its_panel() {
        let mut kv = Kv::new(SHAPE, 40);
        assert_eq!(kv.capacity(), 48);
        let value: Vec<f32> = (0..20).map(|i| i as f32).collect();
        {
            let mut put = kv.put_key(1, 1, 37);
            value.iter().enumerate().for_each(|(i, &v)| put(i, v));
        }
        kv.put_value(1, 1, 37, &value);
        for (i, &v) in value.iter().enumerate() {
            assert_eq!(kv.keys(1, 1)[37 / LANES * 20 + i].0[37 % LANES], v);
            assert_eq!(kv.values(1, 1)[i / LANES * 48 + 37].0[i % LANES], v);
        }
        assert!(kv.keys(0, 1).iter().all(|l| *l == Lanes::ZERO), "other layers are untouched");
    }

    #[test]
    fn the_budget_is_kept_and_slots_are_reused() {
        let mut pool = KvPool::new(SHAPE, 64);
        let a = pool.take(30).unwrap();
        let b = pool.take(32).unwrap();
        assert!(pool.take(1).is_none(), "the budget is used up");
        pool.give_back(a);
        let c = pool.take(20).unwrap();
        assert_eq!(c.capacity(), 32, "the free slot is reused");
        pool.give_back(b);
        pool.give_back(c);
        let large = pool.take(1000).unwrap();
        assert!(large.capacity() >= 1000 && pool.free.is_empty(), "alone, anything is granted");
        assert!(pool.take(16).is_none());
        pool.give_back(large);
        assert!(pool.take(16).is_some());
        assert!(pool.take(16).is_some(), "the oversized slot is not held against small requests");
    }
}
