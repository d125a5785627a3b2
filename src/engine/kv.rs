//! Keys and values of one sequence, and the slots that sequences take and give back.
//!
//! A slot knows which tokens fill it. A sequence that begins as another one does, or as one did whose slot is free now, takes
//! over what has been computed; these are the bits that it would compute itself.
//!
//! Both are kept as packed panels (see `llama::simd`), so that attention is the same product as a linear layer: scores
//! are queries times keys with positions as columns, the answer is weights times values with positions as the depth.

use super::llama::{BLOCK, LANES, Lanes, Pairs, fetch};
use super::settings::Precision;
use crate::checkpoint::ModelConfig;
use crate::dtype::half_bits;

/// What decides the shape of keys and values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KvShape {
    /// Decoder layers.
    pub(crate) layers: usize,
    /// Key and value heads.
    pub(crate) heads: usize,
    /// Width of a head.
    pub(crate) head_dim: usize,
    /// In f32, or rounded to bfloat16.
    pub(crate) precision: Precision,
}

impl KvShape {
    /// The shape that a config asks for.
    pub(crate) fn of(config: &ModelConfig, precision: Precision) -> Self {
        Self { layers: config.layers, heads: config.kv_heads, head_dim: config.head_dim, precision }
    }

    /// Width of a head in panels.
    fn panels(self) -> usize {
        self.head_dim.div_ceil(LANES)
    }

    /// Capacities are multiples of this: whole panels of keys, and whole blocks of the sums over values.
    pub(crate) fn granule(self) -> usize {
        match self.precision {
            Precision::Source => LANES,
            Precision::Bf16 => BLOCK,
        }
    }

    /// Bytes of the keys and values of one position.
    pub(crate) fn position_bytes(self) -> usize {
        let (width, size) = match self.precision {
            Precision::Source => (self.head_dim, size_of::<f32>()),
            Precision::Bf16 => (self.head_dim.next_multiple_of(BLOCK), size_of::<u16>()),
        };
        self.layers * self.heads * (width + self.panels() * LANES) * size
    }
}

/// Keys and values of one sequence.
#[derive(Debug)]
pub(crate) struct Kv {
    shape: KvShape,
    numbers: Numbers,
    /// Positions that there is room for, whole granules.
    capacity: usize,
    /// The tokens whose keys and values fill the first positions in every layer.
    tokens: Vec<u32>,
    /// Between the last token and here, values are 0.
    clean: usize,
}

/// Packed keys and values of every layer and head.
#[derive(Debug)]
enum Numbers {
    Full(Sides<Lanes>),
    Half(Sides<Pairs>),
}

/// Both in slots of one kind.
#[derive(Debug)]
struct Sides<T> {
    /// `[layer, head, position / 16, slots of a head]`, each 16 positions.
    keys: Vec<T>,
    /// `[layer, head, head_dim / 16, slots of the positions]`, each 16 elements of the head.
    values: Vec<T>,
    /// Slots of a head in a panel of keys.
    key: usize,
    /// Slots of a panel of values.
    value: usize,
}

impl<T: Copy> Sides<T> {
    /// Room for `capacity` positions; `terms` of them, or of the elements of a head, share a slot.
    fn new(shape: KvShape, capacity: usize, key: usize, terms: usize, zero: T) -> Self {
        let heads = shape.layers * shape.heads;
        let value = capacity / terms;
        let (keys, values) = (heads * capacity / LANES * key, heads * shape.panels() * value);
        Self { keys: vec![zero; keys], values: vec![zero; values], key, value }
    }

    /// Takes over the positions `from .. past` of `other`, and those that share a slot with them.
    fn copy(&mut self, other: &Self, (from, past): (usize, usize), capacities: (usize, usize)) {
        // Positions of one panel that are filled already are the same in both.
        let (first, end) = (from / LANES * self.key, past.div_ceil(LANES) * self.key);
        let sizes = (capacities.0 / LANES * self.key, capacities.1 / LANES * self.key);
        for (to, from) in self.keys.chunks_exact_mut(sizes.0).zip(other.keys.chunks_exact(sizes.1)) {
            to[first..end].copy_from_slice(&from[first..end]);
        }
        let terms = capacities.0 / self.value;
        let (first, end) = (from / terms, past.div_ceil(terms));
        let panels = self.values.chunks_exact_mut(self.value).zip(other.values.chunks_exact(other.value));
        for (to, other) in panels {
            to[first..end].copy_from_slice(&other[first..end]);
        }
    }

    /// Keys and values of head `number`, counted over all layers, of `heads` in all.
    fn head(&self, number: usize, heads: usize) -> (&[T], &[T]) {
        let (keys, values) = (self.keys.len() / heads, self.values.len() / heads);
        (&self.keys[number * keys..][..keys], &self.values[number * values..][..values])
    }
}

/// Keys and values of one head, to be multiplied.
pub(crate) enum Head<'a> {
    /// `[position / 16, head_dim]` and `[head_dim / 16, position]`.
    Full(&'a [Lanes], &'a [Lanes]),
    /// `[position / 16, head_dim / 2 in whole blocks]` and `[head_dim / 16, position / 2]`.
    Half(&'a [Pairs], &'a [Pairs]),
}

impl Kv {
    fn new(shape: KvShape, capacity: usize) -> Self {
        let capacity = capacity.next_multiple_of(shape.granule());
        let numbers = match shape.precision {
            Precision::Source => Numbers::Full(Sides::new(shape, capacity, shape.head_dim, 1, Lanes::ZERO)),
            Precision::Bf16 => {
                let key = shape.head_dim.next_multiple_of(BLOCK) / 2;
                Numbers::Half(Sides::new(shape, capacity, key, 2, Pairs::ZERO))
            }
        };
        Self { shape, numbers, capacity, tokens: Vec::new(), clean: capacity }
    }

    /// Positions filled.
    pub(crate) fn len(&self) -> usize {
        self.tokens.len()
    }

    /// Positions that there is room for.
    pub(crate) fn capacity(&self) -> usize {
        self.capacity
    }

    /// `positions` in whole granules.
    pub(crate) fn whole(&self, positions: usize) -> usize {
        positions.next_multiple_of(self.shape.granule())
    }

    /// Bytes of keys and values.
    #[cfg(test)]
    pub(crate) fn bytes(&self) -> usize {
        match &self.numbers {
            Numbers::Full(sides) => size_of_val(&*sides.keys) + size_of_val(&*sides.values),
            Numbers::Half(sides) => size_of_val(&*sides.keys) + size_of_val(&*sides.values),
        }
    }

    /// The next positions are filled with the keys and values of `tokens`, in every layer.
    pub(crate) fn advance(&mut self, tokens: &[u32]) {
        self.tokens.extend_from_slice(tokens);
        self.clean = self.clean.max(self.len().next_multiple_of(self.shape.granule()));
        debug_assert!(self.len() <= self.capacity);
    }

    /// With how many of `tokens` it begins.
    pub(crate) fn shared(&self, tokens: &[u32]) -> usize {
        common(&self.tokens, tokens)
    }

    /// Keeps the first `positions`.
    fn truncate(&mut self, positions: usize) {
        if positions < self.len() {
            self.tokens.truncate(positions);
            self.clean = positions;
        }
    }

    /// Takes over the first `positions` of `other`, which begins with all tokens of this one.
    pub(crate) fn copy(&mut self, other: &Self, positions: usize) {
        let from = self.len();
        if positions <= from {
            return;
        }
        debug_assert!(self.shape == other.shape && other.shared(&self.tokens) == from);
        let capacities = (self.capacity, other.capacity);
        match (&mut self.numbers, &other.numbers) {
            (Numbers::Full(to), Numbers::Full(other)) => to.copy(other, (from, positions), capacities),
            (Numbers::Half(to), Numbers::Half(other)) => to.copy(other, (from, positions), capacities),
            // Slots of one pool have one precision.
            _ => return,
        }
        self.tokens.extend_from_slice(&other.tokens[from..positions]);
        self.clean = positions;
    }

    /// Keys and values of one head.
    pub(crate) fn head(&self, layer: usize, head: usize) -> Head<'_> {
        let (number, heads) = (layer * self.shape.heads + head, self.shape.layers * self.shape.heads);
        match &self.numbers {
            Numbers::Full(sides) => {
                let (keys, values) = sides.head(number, heads);
                Head::Full(keys, values)
            }
            Numbers::Half(sides) => {
                let (keys, values) = sides.head(number, heads);
                Head::Half(keys, values)
            }
        }
    }

    /// Has the places fetched into which the keys and values of the next position are put, in every head of a layer: a key is
    /// scattered over as many cache lines as it has pairs of numbers.
    pub(crate) fn fetch(&self, layer: usize) {
        let Numbers::Half(Sides { keys, values, key: slots, value: stride }) = &self.numbers else { return };
        let (position, panels) = (self.len(), self.shape.panels());
        for number in layer * self.shape.heads..(layer + 1) * self.shape.heads {
            let panel = number * (self.capacity / LANES) + position / LANES;
            fetch(keys.get(panel * *slots..(panel + 1) * *slots).unwrap_or_default());
            for panel in number * panels..(number + 1) * panels {
                let value = panel * *stride + position / 2;
                fetch(values.get(value..=value).unwrap_or_default());
            }
        }
    }

    /// Writes the key and the value `[head_dim]` of one position, rounded to the shape's precision. Always inlined, so that it
    /// is compiled inside its caller's instruction set.
    #[inline(always)]
    pub(crate) fn put(&mut self, layer: usize, head: usize, position: usize, key: &[f32], value: &[f32]) {
        let number = layer * self.shape.heads + head;
        let (panel, lane) = (number * (self.capacity / LANES) + position / LANES, position % LANES);
        let first = number * self.shape.panels();
        match &mut self.numbers {
            Numbers::Full(Sides { keys, values, key: slots, value: stride }) => {
                for (slot, &key) in keys[panel * *slots..].iter_mut().zip(key) {
                    slot.0[lane] = key;
                }
                for (panel, part) in (first..).zip(value.chunks(LANES)) {
                    values[panel * *stride + position].0[..part.len()].copy_from_slice(part);
                }
            }
            Numbers::Half(Sides { keys, values, key: slots, value: stride }) => {
                // Rounded together, then put where they belong one by one.
                let round = |part: &[f32]| {
                    let mut bits = [0; LANES];
                    bits.iter_mut().zip(part).for_each(|(bits, &number)| *bits = half_bits(number));
                    bits
                };
                for (slots, part) in keys[panel * *slots..].chunks_mut(LANES / 2).zip(key.chunks(LANES)) {
                    for (slot, pair) in slots.iter_mut().zip(round(part).as_chunks().0) {
                        slot.0[lane] = *pair;
                    }
                }
                for (panel, part) in (first..).zip(value.chunks(LANES)) {
                    let slot = &mut values[panel * *stride + position / 2];
                    for (slot, bits) in slot.0.iter_mut().zip(round(part)) {
                        slot[position % 2] = bits;
                    }
                }
            }
        }
    }

    /// Makes the values of a layer 0 from position `past` on, as far as a sum over the positions before it reads them: a block
    /// of positions is summed whole, and 0 times what a former sequence left there need not be 0.
    pub(crate) fn clear(&mut self, layer: usize, past: usize) {
        let Numbers::Half(Sides { values, value: stride, .. }) = &mut self.numbers else { return };
        if past <= self.clean {
            return;
        }
        let panels = self.shape.heads * self.shape.panels();
        let end = past.next_multiple_of(BLOCK);
        for panel in values[layer * panels * *stride..].chunks_exact_mut(*stride).take(panels) {
            if past % 2 == 1 {
                panel[past / 2].0.iter_mut().for_each(|pair| pair[1] = 0);
            }
            panel[past.div_ceil(2)..end / 2].fill(Pairs::ZERO);
        }
    }
}

impl super::runner::Slot for Kv {
    fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    fn keep(&mut self, positions: usize) {
        self.truncate(positions);
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
        let positions = positions.max(1).next_multiple_of(self.shape.granule());
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
        kv.truncate(own);
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
mod tests;
