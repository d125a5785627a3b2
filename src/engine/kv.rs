//! Keys and values of one sequence, and the slots that sequences take and give back.
//!
//! A slot knows which tokens fill it. A sequence that begins as another one does, or as one did whose slot is free now, takes
//! over what has been computed; these are the bits that it would compute itself.
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
    /// The tokens whose keys and values fill the first positions in every layer.
    tokens: Vec<u32>,
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
            tokens: Vec::new(),
        }
    }

    /// Positions filled.
    pub(crate) fn len(&self) -> usize {
        self.tokens.len()
    }

    /// Positions that there is room for; also the distance between two panels of values.
    pub(crate) fn capacity(&self) -> usize {
        self.capacity
    }

    /// Bytes of keys and values.
    #[cfg(test)]
    pub(crate) fn bytes(&self) -> usize {
        size_of_val(&*self.keys) + size_of_val(&*self.values)
    }

    /// The next positions are filled with the keys and values of `tokens`, in every layer.
    pub(crate) fn advance(&mut self, tokens: &[u32]) {
        self.tokens.extend_from_slice(tokens);
        debug_assert!(self.len() <= self.capacity);
    }

    /// With how many of `tokens` it begins.
    pub(crate) fn shared(&self, tokens: &[u32]) -> usize {
        common(&self.tokens, tokens)
    }

    /// Takes over the first `positions` of `other`, which begins with all tokens of this one.
    pub(crate) fn copy(&mut self, other: &Self, positions: usize) {
        let (from, dim) = (self.len(), self.shape.head_dim);
        if positions <= from {
            return;
        }
        debug_assert!(self.shape == other.shape && other.shared(&self.tokens) == from);
        // Positions of one panel that are filled already are the same in both.
        let (first, past) = (from / LANES * dim, positions.div_ceil(LANES) * dim);
        let sizes = (self.capacity / LANES * dim, other.capacity / LANES * dim);
        for (to, from) in self.keys.chunks_exact_mut(sizes.0).zip(other.keys.chunks_exact(sizes.1)) {
            to[first..past].copy_from_slice(&from[first..past]);
        }
        let panels =
            self.values.chunks_exact_mut(self.capacity).zip(other.values.chunks_exact(other.capacity));
        for (to, other) in panels {
            to[from..positions].copy_from_slice(&other[from..positions]);
        }
        self.tokens.extend_from_slice(&other.tokens[from..positions]);
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

impl super::runner::Slot for Kv {
    fn tokens(&self) -> &[u32] {
        &self.tokens
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

    /// A slot with room for `positions`, if the budget has that much left, filled with as much of `prefix` as a free slot
    /// has. With nothing given out the slot is granted whatever its size: a request that alone is over the budget runs alone.
    ///
    /// A free slot of about the right size is reused, the one that begins like `prefix`, or else the smallest; without one,
    /// free slots are given up until a new one fits.
    pub(crate) fn take(&mut self, positions: usize, prefix: &[u32]) -> Option<Kv> {
        let positions = positions.max(1).next_multiple_of(LANES);
        if self.taken > 0 && self.taken + positions > self.budget {
            return None;
        }
        let fitting = |kv: &Kv| {
            (positions..=2 * positions).contains(&kv.capacity) && self.taken + kv.capacity <= self.budget
        };
        let best = self.free.iter().enumerate().filter(|(_, kv)| fitting(kv));
        let best = best.max_by_key(|(_, kv)| (kv.shared(prefix), std::cmp::Reverse(kv.capacity)));
        let mut kv = if let Some((slot, _)) = best {
            self.free.swap_remove(slot)
        } else {
            // Those go first that have least in common with the prefix.
            self.free.sort_by_key(|kv| std::cmp::Reverse(kv.shared(prefix)));
            let mut held = self.taken + self.free.iter().map(|kv| kv.capacity).sum::<usize>();
            while held + positions > self.budget {
                let Some(kv) = self.free.pop() else { break };
                held -= kv.capacity;
            }
            Kv::new(self.shape, positions)
        };
        let own = kv.shared(prefix);
        kv.tokens.truncate(own);
        if let Some(donor) = self.free.iter().max_by_key(|donor| donor.shared(prefix)) {
            kv.copy(donor, donor.shared(prefix));
        }
        self.taken += kv.capacity;
        Some(kv)
    }

    /// Forgets what the free slots are filled with: the model is another one now.
    pub(crate) fn forget(&mut self) {
        self.free.clear();
    }

    /// Takes a slot back.
    pub(crate) fn give_back(&mut self, kv: Kv) {
        self.taken -= kv.capacity;
        self.free.push(kv);
    }
}

/// How many tokens two sequences begin with alike.
pub(crate) fn common(a: &[u32], b: &[u32]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
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
        let a = pool.take(30, &[]).unwrap();
        let b = pool.take(32, &[]).unwrap();
        assert!(pool.take(1, &[]).is_none(), "the budget is used up");
        pool.give_back(a);
        let c = pool.take(20, &[]).unwrap();
        assert_eq!(c.capacity(), 32, "the free slot is reused");
        pool.give_back(b);
        pool.give_back(c);
        let large = pool.take(1000, &[]).unwrap();
        assert!(large.capacity() >= 1000 && pool.free.is_empty(), "alone, anything is granted");
        assert!(pool.take(16, &[]).is_none());
        pool.give_back(large);
        assert!(pool.take(16, &[]).is_some());
        assert!(pool.take(16, &[]).is_some(), "the oversized slot is not held against small requests");
    }

    /// A slot of a pool, filled for `tokens` with numbers that say which token, position, layer and head they belong to.
    fn filled(pool: &mut KvPool, positions: usize, tokens: &[u32]) -> Kv {
        let mut kv = pool.take(positions, tokens).unwrap();
        for (position, &token) in tokens.iter().enumerate().skip(kv.len()) {
            for (layer, head) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
                let value = numbers(token, position, layer, head);
                {
                    let mut put = kv.put_key(layer, head, position);
                    value.iter().enumerate().for_each(|(i, &v)| put(i, -v));
                }
                kv.put_value(layer, head, position, &value);
            }
        }
        let known = kv.len();
        kv.advance(&tokens[known..]);
        kv
    }

    fn numbers(token: u32, position: usize, layer: usize, head: usize) -> Vec<f32> {
        let place = (token as usize * 100 + position) * 4 + layer * 2 + head;
        (0..SHAPE.head_dim).map(|i| (place * 20 + i) as f32).collect()
    }

    fn holds(kv: &Kv, tokens: &[u32]) {
        assert_eq!(kv.tokens, tokens);
        for (position, &token) in tokens.iter().enumerate() {
            for (layer, head) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
                for (i, value) in numbers(token, position, layer, head).into_iter().enumerate() {
                    assert_eq!(kv.keys(layer, head)[position / LANES * 20 + i].0[position % LANES], -value);
                    let panel = i / LANES * kv.capacity() + position;
                    assert_eq!(kv.values(layer, head)[panel].0[i % LANES], value);
                }
            }
        }
    }

    #[test]
    fn what_a_free_slot_has_in_common_is_taken_over() {
        let mut pool = KvPool::new(SHAPE, 500);
        let story: Vec<u32> = (0..40).collect();
        let first = filled(&mut pool, 40, &story);
        pool.give_back(first);
        // In place: the slot has the right size.
        let mut other = story[..21].to_vec();
        other.push(99);
        let kv = pool.take(40, &other).unwrap();
        holds(&kv, &story[..21]);
        pool.give_back(kv);
        // By copying: the slot is too small for what is to come.
        let kv = pool.take(200, &story).unwrap();
        assert_eq!(kv.capacity(), 208);
        holds(&kv, &story[..21]);
        pool.give_back(kv);
        let kv = filled(&mut pool, 40, &other);
        holds(&kv, &other);
        pool.give_back(kv);
        pool.forget();
        assert_eq!(pool.take(40, &other).unwrap().len(), 0, "another model has other keys");
    }

    #[test]
    fn a_copy_goes_on_from_any_position() {
        let mut pool = KvPool::new(SHAPE, 500);
        let story: Vec<u32> = (0..50).collect();
        for known in [0, 1, 15, 16, 17, 33] {
            pool.forget();
            let donor = filled(&mut pool, 50, &story);
            let mut kv = filled(&mut pool, 64, &story[..known]);
            for positions in [3, 16, 18, 40, 50] {
                kv.copy(&donor, positions);
                holds(&kv, &story[..known.max(positions)]);
            }
            pool.give_back(donor);
            pool.give_back(kv);
        }
    }
}
