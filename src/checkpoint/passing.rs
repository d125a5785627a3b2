//! The BLAKE3 hash of bytes that are read in pieces, by any thread and in any order: what is read anyway is hashed on its
//! way, and only the rest is read for the hash alone.

use blake3::Hash;
use blake3::hazmat::{
    ChainingValue, HasherExt, Mode, left_subtree_len, merge_subtrees_non_root, merge_subtrees_root,
};
use rayon::prelude::*;
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Bytes that are hashed together: a subtree of BLAKE3, as large as the smallest read of a merge.
const GROUP: usize = 1 << 15;

/// What is known of the hash of some bytes.
#[derive(Debug)]
pub(super) struct Passing {
    len: usize,
    state: Mutex<State>,
}

#[derive(Debug)]
enum State {
    /// The subtrees that have passed, by group; empty before the first.
    Some(Vec<Option<ChainingValue>>, usize),
    All(Hash),
}

impl Passing {
    /// Of `len` bytes nothing has passed yet.
    pub(super) fn new(len: usize) -> Self {
        Self { len, state: Mutex::new(State::Some(Vec::new(), len.div_ceil(GROUP))) }
    }

    /// Bytes of a group.
    fn group(&self, number: usize) -> Range<usize> {
        number * GROUP..self.len.min((number + 1) * GROUP)
    }

    // A panic elsewhere leaves no half-made state: it is changed by single assignments.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Groups within `range` that have not passed.
    fn missing(&self, range: Range<usize>) -> Vec<usize> {
        let last = if range.end == self.len { self.len.div_ceil(GROUP) } else { range.end / GROUP };
        match &*self.state() {
            State::All(_) => Vec::new(),
            State::Some(known, _) => (range.start.div_ceil(GROUP)..last)
                .filter(|group| known.get(*group).is_none_or(Option::is_none))
                .collect(),
        }
    }

    /// Takes note of the bytes from `start` on, which were just read.
    pub(super) fn pass(&self, start: usize, bytes: &[u8]) {
        for group in self.missing(start..start + bytes.len()) {
            let range = self.group(group);
            self.take(group, &bytes[range.start - start..range.end - start]);
        }
    }

    fn take(&self, group: usize, bytes: &[u8]) {
        if self.len <= GROUP {
            *self.state() = State::All(blake3::hash(bytes));
            return;
        }
        let mut hasher = blake3::Hasher::new();
        let value = hasher.set_input_offset((group * GROUP) as u64).update(bytes).finalize_non_root();
        let mut state = self.state();
        let State::Some(known, missing) = &mut *state else { return };
        known.resize(self.len.div_ceil(GROUP), None);
        if known[group].replace(value).is_none() {
            *missing -= 1;
        }
        if *missing == 0 {
            let values: Vec<ChainingValue> = known.iter().flatten().copied().collect();
            let left = left_subtree_len(self.len as u64) as usize;
            let (left, right) = (subtree(&values, 0..left), subtree(&values, left..self.len));
            *state = State::All(merge_subtrees_root(&left, &right, Mode::Hash));
        }
    }

    /// The hash; `read` fills a buffer with the bytes from an offset on, where they have not passed.
    pub(super) fn hash<E: Send>(
        &self,
        read: impl Fn(usize, &mut [u8]) -> Result<(), E> + Sync,
    ) -> Result<Hash, E> {
        if self.len == 0 {
            return Ok(blake3::hash(&[]));
        }
        loop {
            if let State::All(hash) = *self.state() {
                return Ok(hash);
            }
            self.missing(0..self.len).par_iter().try_for_each_init(
                || vec![0u8; GROUP.min(self.len)],
                |buffer, &group| {
                    let range = self.group(group);
                    let bytes = &mut buffer[..range.len()];
                    read(range.start, bytes)?;
                    self.take(group, bytes);
                    Ok(())
                },
            )?;
        }
    }
}

/// The value of the subtree over a range of bytes.
fn subtree(groups: &[ChainingValue], range: Range<usize>) -> ChainingValue {
    if range.len() <= GROUP {
        return groups[range.start / GROUP];
    }
    let middle = range.start + left_subtree_len(range.len() as u64) as usize;
    let (left, right) = (subtree(groups, range.start..middle), subtree(groups, middle..range.end));
    merge_subtrees_non_root(&left, &right, Mode::Hash)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::convert::Infallible;

    proptest! {
        #[test]
        fn it_is_the_hash_of_the_whole(
            len in prop_oneof![0usize..3, Just(GROUP), Just(GROUP + 1), Just(8 * GROUP), 0..12 * GROUP],
            reads in prop::collection::vec((0.0f64..1.0, 0.0f64..1.0), 0..12),
        ) {
            let bytes: Vec<u8> = (0..len).map(|i| (i * i / 7) as u8).collect();
            let passing = Passing::new(len);
            for (a, b) in reads {
                let place = |x: f64| (x * (len + 1) as f64) as usize;
                let (a, b) = (place(a).min(place(b)), place(a).max(place(b)));
                passing.pass(a, &bytes[a..b]);
            }
            let hash = passing.hash(|start, out| {
                out.copy_from_slice(&bytes[start..][..out.len()]);
                Ok::<_, Infallible>(())
            });
            prop_assert_eq!(hash.unwrap(), blake3::hash(&bytes));
        }

        #[test]
        fn what_has_passed_is_not_read_again(len in 1usize..10 * GROUP) {
            let bytes = vec![7u8; len];
            let passing = Passing::new(len);
            for start in (0..len).step_by(2 * GROUP) {
                passing.pass(start, &bytes[start..len.min(start + 2 * GROUP)]);
            }
            prop_assert_eq!(passing.hash(|_, _| Err("read")), Ok(blake3::hash(&bytes)));
        }
    }
}
