//! The order of words by importance, as NumPy's `argsort` gives it on a processor with AVX2 or AVX-512: a bitonic sorting
//! network (Batcher 1968), which leaves equal scores in an order of its own. Up to 256 words that is NumPy's order number by
//! number; above, it is the same network.

/// The places of `scores` from the highest on.
pub(super) fn descending(scores: &[f64]) -> Vec<usize> {
    let whole = scores.len().next_power_of_two();
    let mut places: Vec<(f64, usize)> = scores.iter().map(|score| -score).zip(0..).collect();
    // What fills up the network stays behind.
    places.extend((scores.len()..whole).map(|place| (f64::INFINITY, place)));
    let exchange = |places: &mut [(f64, usize)], a: usize, b: usize| {
        if places[a].0 > places[b].0 {
            places.swap(a, b);
        }
    };
    let mut size = 2;
    while size <= whole {
        for block in places.chunks_exact_mut(size) {
            (0..size / 2).for_each(|i| exchange(block, i, size - 1 - i));
        }
        let mut apart = size / 4;
        while apart > 0 {
            for block in places.chunks_exact_mut(2 * apart) {
                (0..apart).for_each(|i| exchange(block, i, i + apart));
            }
            apart /= 2;
        }
        size *= 2;
    }
    places.into_iter().map(|(_, place)| place).take(scores.len()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_is_numpys() {
        assert_eq!(descending(&[0.1, 0.3, 0.2]), [1, 2, 0]);
        assert_eq!(descending(&[]), [0; 0]);
        assert_eq!(descending(&[0.0; 20]), (0..20).collect::<Vec<_>>());
        // (-numpy.array([…])).argsort() with NumPy 2.4.6 on a processor with AVX2.
        let quarters = [0, 3, 1, 2, 0, 2, 2, 2, 1, 2, 2, 1, 1, 1, 0, 2, 0, -1, 1, -1];
        let scores = quarters.map(|q| f64::from(q) / 4.0);
        assert_eq!(
            descending(&scores),
            [1, 3, 6, 5, 7, 15, 10, 9, 11, 12, 2, 8, 13, 18, 4, 0, 14, 16, 17, 19]
        );
    }
}
