//! The order in which words are looked at where the reference leaves it to a Python `set` of their numbers. CPython hashes
//! a small number to itself, so that a set of numbers below its table's size comes out in ascending order, and a small set
//! of large numbers does not. The paper's profile takes positions of that order, so that it decides which words are
//! attacked. (CPython 3.11, `Objects/setobject.c`.)

/// A set of small numbers with CPython's order. Nothing is ever removed.
#[derive(Clone, Debug)]
pub(super) struct IndexSet {
    table: Vec<Option<usize>>,
    used: usize,
}

/// Neighbouring places that are tried before a jump.
const LINEAR_PROBES: usize = 9;

impl IndexSet {
    pub(super) fn new() -> Self {
        Self { table: vec![None; 8], used: 0 }
    }

    fn mask(&self) -> usize {
        self.table.len() - 1
    }

    /// The place of `key`, or the free one where it would go.
    fn place(&self, key: usize) -> usize {
        let (mask, mut at, mut perturb) = (self.mask(), key & self.mask(), key);
        loop {
            let probes = if at + LINEAR_PROBES <= mask { LINEAR_PROBES } else { 0 };
            let free = |place: &usize| self.table[*place].is_none_or(|held| held == key);
            if let Some(place) = (at..=at + probes).find(free) {
                return place;
            }
            perturb >>= 5;
            at = (5 * at + 1 + perturb) & mask;
        }
    }

    fn put(&mut self, key: usize) -> bool {
        let place = self.place(key);
        let new = self.table[place].is_none();
        self.table[place] = Some(key);
        self.used += usize::from(new);
        new
    }

    /// A table of more than `least` places, a power of two.
    fn resize(&mut self, least: usize) {
        let old = std::mem::take(&mut self.table);
        self.table = vec![None; (least + 1).next_power_of_two().max(8)];
        self.used = 0;
        for key in old.into_iter().flatten() {
            self.put(key);
        }
    }

    pub(super) fn add(&mut self, key: usize) {
        if self.put(key) && self.used * 5 >= self.mask() * 3 {
            self.resize(self.used * 4);
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = usize> {
        self.table.iter().copied().flatten()
    }

    fn contains(&self, key: usize) -> bool {
        self.table[self.place(key)].is_some()
    }

    /// `self & other`: the smaller one is walked through; of equal ones, `other`.
    pub(super) fn intersection(&self, other: &Self) -> Self {
        let (walked, tested) = if other.used > self.used { (self, other) } else { (other, self) };
        walked.iter().filter(|key| tested.contains(*key)).collect()
    }

    /// `self.update(other)`.
    pub(super) fn update(&mut self, other: &Self) {
        if (self.used + other.used) * 5 >= self.mask() * 3 {
            self.resize((self.used + other.used) * 2);
        }
        let clean = self.used == 0;
        for key in other.iter() {
            if clean {
                self.put(key);
            } else {
                self.add(key);
            }
        }
    }
}

impl FromIterator<usize> for IndexSet {
    fn from_iter<I: IntoIterator<Item = usize>>(keys: I) -> Self {
        let mut set = Self::new();
        keys.into_iter().for_each(|key| set.add(key));
        set
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_is_that_of_cpython() {
        let order = |keys: &[usize]| keys.iter().copied().collect::<IndexSet>().iter().collect::<Vec<_>>();
        // What CPython 3.11 says to `list` of sets to which these were added.
        assert_eq!(order(&[3, 10, 17]), [17, 10, 3]);
        assert_eq!(order(&[1, 9, 17, 25]), [1, 25, 9, 17]);
        assert_eq!(order(&[7, 15, 23]), [15, 23, 7]);
        assert_eq!(order(&[0, 5, 12, 19, 33, 40]), [0, 33, 5, 40, 12, 19]);
        let all: IndexSet = (0..30).collect();
        let some: IndexSet = [3, 10, 17].into_iter().collect();
        assert_eq!(all.intersection(&some).iter().collect::<Vec<_>>(), [17, 10, 3]);
        let mut merged = IndexSet::new();
        merged.update(&all);
        merged.update(&some);
        assert_eq!(merged.iter().collect::<Vec<_>>(), (0..30).collect::<Vec<_>>());
    }
}
