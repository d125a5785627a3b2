//! Keys and values in f32 and in bfloat16: where they lie, and what is taken over.

use super::*;
use crate::dtype::round_bf16;

const SHAPE: KvShape = KvShape { layers: 2, heads: 2, head_dim: 20, precision: Precision::Source };
const HALF: KvShape = KvShape { precision: Precision::Bf16, ..SHAPE };

/// The key and the value of an element of a head at a position.
fn stored(kv: &Kv, layer: usize, head: usize, position: usize, element: usize) -> (f32, f32) {
    let (panel, lane) = (position / LANES, position % LANES);
    let (value_panel, value_lane) = (element / LANES, element % LANES);
    let widen = |bits: u16| f32::from_bits(u32::from(bits) << 16);
    match kv.head(layer, head) {
        Head::Full(keys, values) => (
            keys[panel * kv.shape.head_dim + element].0[lane],
            values[value_panel * kv.capacity + position].0[value_lane],
        ),
        Head::Half(keys, values) => (
            widen(keys[panel * BLOCK / 2 + element / 2].0[lane][element % 2]),
            widen(values[value_panel * kv.capacity / 2 + position / 2].0[value_lane][position % 2]),
        ),
    }
}

fn rounded(shape: KvShape, x: f32) -> f32 {
    if shape == HALF { round_bf16(x) } else { x }
}

#[test]
fn what_is_put_is_found_in_its_panel() {
    for shape in [SHAPE, HALF] {
        let mut kv = Kv::new(shape, 40);
        assert_eq!(kv.capacity(), if shape == HALF { 64 } else { 48 });
        let value: Vec<f32> = (0..20).map(|i| i as f32).collect();
        let key: Vec<f32> = value.iter().map(|v| -v).collect();
        kv.put(1, 1, 37, &key, &value);
        for (i, &v) in value.iter().enumerate() {
            assert_eq!(stored(&kv, 1, 1, 37, i), (-v, v));
            assert_eq!(stored(&kv, 0, 1, 37, i), (0.0, 0.0), "other layers are untouched");
            assert_eq!(stored(&kv, 1, 1, 36, i), (0.0, 0.0), "other positions are untouched");
        }
    }
}

#[test]
fn what_a_former_sequence_left_behind_the_last_position_is_cleared() {
    let mut pool = KvPool::new(HALF, 500);
    let mut kv = pool.take(64, &[]).unwrap();
    for position in 0..64 {
        for (layer, head) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
            kv.put(layer, head, position, &[f32::NAN; 20], &[f32::NAN; 20]);
        }
    }
    kv.advance(&[7; 64]);
    pool.give_back(kv);
    let mut kv = pool.take(64, &[8, 9, 10, 11, 12]).unwrap();
    for past in [5, 6, 32, 33] {
        for layer in [0, 1] {
            for position in kv.len()..past {
                (0..2).for_each(|head| kv.put(layer, head, position, &[1.0; 20], &[2.0; 20]));
            }
            kv.clear(layer, past);
            for (position, head, element) in
                (0..past.next_multiple_of(BLOCK)).flat_map(|p| [(p, 0, 0), (p, 1, 19)])
            {
                let want = if position < past { 2.0 } else { 0.0 };
                assert_eq!(stored(&kv, layer, head, position, element).1, want, "{position} of {past}");
            }
        }
        kv.advance(&vec![8; past - kv.len()]);
    }
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
            let key: Vec<f32> = value.iter().map(|v| -v).collect();
            kv.put(layer, head, position, &key, &value);
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
                let value = rounded(kv.shape, value);
                assert_eq!(stored(kv, layer, head, position, i), (-value, value));
            }
        }
    }
}

#[test]
fn what_a_free_slot_has_in_common_is_taken_over() {
    [SHAPE, HALF].into_iter().for_each(taken_over);
}

fn taken_over(shape: KvShape) {
    let mut pool = KvPool::new(shape, 500);
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
    assert_eq!(kv.capacity(), if shape == HALF { 224 } else { 208 });
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
    [SHAPE, HALF].into_iter().for_each(goes_on);
}

fn goes_on(shape: KvShape) {
    let mut pool = KvPool::new(shape, 500);
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
