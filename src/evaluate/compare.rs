//! Two models on the same items: is one better, and where do they differ? Everything is paired by item.

use super::{CompareError, VerdictRow};
use crate::ids::ItemId;
use crate::statistics::bootstrap;
use serde::Serialize;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::PathBuf;

/// The verdicts of one model, and where they were read.
#[derive(Clone, Debug)]
pub struct Side {
    /// The file or folder.
    pub path: PathBuf,
    /// Its verdicts.
    pub rows: Vec<VerdictRow>,
}

/// One figure of two models on the items that are scored in both. Values are in [0, 1].
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// Which of the profile's figures.
    pub metric: String,
    /// Items scored in both.
    pub n: usize,
    /// Items that are unscored in one of them, and left out.
    pub unscored: usize,
    /// Items of A that B does not have.
    pub only_in_a: usize,
    /// Items of B that A does not have.
    pub only_in_b: usize,
    /// Mean of A.
    pub mean_a: f64,
    /// Mean of B.
    pub mean_b: f64,
    /// Mean of B less mean of A.
    pub difference: f64,
    /// 95 % percentile interval of the difference from [`RESAMPLES`](crate::statistics::RESAMPLES) resamples of the items (Efron 1979).
    pub ci95: (f64, f64),
    /// McNemar's test, exact and two-sided: the chance of flips at least as one-sided as these, if each were as likely
    /// one way as the other.
    pub mcnemar_p: f64,
    /// Items that are wholly right in A and not in B.
    pub right_in_a_only: Vec<ItemId>,
    /// Items that are wholly right in B and not in A.
    pub right_in_b_only: Vec<ItemId>,
}

/// Compares every figure that the two have. `seed` is that of the resamples.
pub fn compare(a: &Side, b: &Side, seed: u64) -> Result<Vec<Comparison>, CompareError> {
    let (in_a, in_b) = (by_metric(a)?, by_metric(b)?);
    same("the benchmark", a, b, |row| row.benchmark.to_string())?;
    same("the profile", a, b, |row| row.profile.to_string())?;
    same("the metric", a, b, |row| row.metric.clone())?;
    in_a.iter().map(|(metric, rows)| one(metric, rows, &in_b[metric], seed)).collect()
}

/// The rows of one figure, with their order.
struct Figure<'s> {
    order: Vec<&'s ItemId>,
    rows: HashMap<&'s ItemId, &'s VerdictRow>,
}

/// The figures by name; where a side has both profiles, a name begins with its profile.
fn by_metric(side: &Side) -> Result<BTreeMap<String, Figure<'_>>, CompareError> {
    let mut found: BTreeMap<String, Figure<'_>> = BTreeMap::new();
    let both = side.rows.iter().any(|row| row.profile != side.rows[0].profile);
    for row in &side.rows {
        let name = if both { format!("{} {}", row.profile, row.metric) } else { row.metric.clone() };
        let figure = found.entry(name).or_insert_with(|| Figure { order: Vec::new(), rows: HashMap::new() });
        figure.order.push(&row.id);
        if figure.rows.insert(&row.id, row).is_some() {
            return Err(CompareError::Twice {
                path: side.path.clone(),
                id: row.id.clone(),
                metric: row.metric.clone(),
            });
        }
    }
    Ok(found)
}

fn same(
    what: &'static str,
    a: &Side,
    b: &Side,
    of: impl Fn(&VerdictRow) -> String,
) -> Result<(), CompareError> {
    let names = |side: &Side| -> Vec<String> {
        let mut seen = HashSet::new();
        side.rows.iter().map(&of).filter(|name| seen.insert(name.clone())).collect()
    };
    let (mut in_a, mut in_b) = (names(a), names(b));
    in_a.sort();
    in_b.sort();
    if in_a == in_b {
        return Ok(());
    }
    Err(CompareError::Different { what, a: in_a.join(", "), b: in_b.join(", ") })
}

fn one(metric: &str, a: &Figure<'_>, b: &Figure<'_>, seed: u64) -> Result<Comparison, CompareError> {
    let mut pairs: Vec<(&ItemId, f64, f64)> = Vec::new();
    let (mut unscored, mut only_in_a) = (0, 0);
    for id in &a.order {
        if let (Some(in_a), Some(in_b)) = (a.rows[id].item, b.rows.get(id).and_then(|row| row.item))
            && in_a != in_b
        {
            return Err(CompareError::OtherItem { id: (*id).clone() });
        }
        match (a.rows[id].verdict.value(), b.rows.get(id).map(|row| row.verdict.value())) {
            (_, None) => only_in_a += 1,
            (Some(in_a), Some(Some(in_b))) => pairs.push((id, in_a, in_b)),
            _ => unscored += 1,
        }
    }
    let only_in_b = b.order.iter().filter(|id| !a.rows.contains_key(*id)).count();
    let n = pairs.len();
    if n == 0 {
        return Err(CompareError::NothingInCommon { a: a.order.len(), b: b.order.len() });
    }
    let mean = |of: fn(&(&ItemId, f64, f64)) -> f64| pairs.iter().map(of).sum::<f64>() / n as f64;
    let (mean_a, mean_b) = (mean(|p| p.1), mean(|p| p.2));
    let differences: Vec<f64> = pairs.iter().map(|(_, a, b)| b - a).collect();
    let flipped = |from: fn(&(&ItemId, f64, f64)) -> (f64, f64)| -> Vec<ItemId> {
        let right = |pair: &&(&ItemId, f64, f64)| matches!(from(pair), (x, y) if x == 1.0 && y != 1.0);
        pairs.iter().filter(right).map(|(id, ..)| (*id).clone()).collect()
    };
    let (right_in_a_only, right_in_b_only) = (flipped(|p| (p.1, p.2)), flipped(|p| (p.2, p.1)));
    Ok(Comparison {
        metric: metric.to_owned(),
        n,
        unscored,
        only_in_a,
        only_in_b,
        mean_a,
        mean_b,
        difference: differences.iter().sum::<f64>() / n as f64,
        ci95: interval(&differences, seed),
        mcnemar_p: mcnemar(right_in_a_only.len(), right_in_b_only.len()),
        right_in_a_only,
        right_in_b_only,
    })
}

/// The 2.5 % and 97.5 % points of the mean of a resample of one item or more.
fn interval(differences: &[f64], seed: u64) -> (f64, f64) {
    let n = differences.len();
    let mean =
        |items: &mut dyn Iterator<Item = usize>| Some(items.map(|i| differences[i]).sum::<f64>() / n as f64);
    bootstrap(n, seed, "paired bootstrap", mean).unwrap_or_else(|| unreachable!("every resample has a mean"))
}

/// Twice the tail of Binomial(b + c, ½) at min(b, c), at most 1 (McNemar 1947 in its exact form).
fn mcnemar(b: usize, c: usize) -> f64 {
    let n = (b + c) as f64;
    // ln of C(n, k)/2^n, from one k to the next.
    let mut term = -n * std::f64::consts::LN_2;
    let mut tail = 0.0;
    for k in 0..=b.min(c) {
        tail += term.exp();
        let k = k as f64;
        term += ((n - k) / (k + 1.0)).ln();
    }
    (2.0 * tail).min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::{Profile, Unscored, Verdict};

    fn rows(values: &[(&str, Option<f64>)]) -> Side {
        let row = |(id, value): &(&str, Option<f64>)| VerdictRow {
            benchmark: "x".into(),
            profile: Profile::Paper,
            metric: "m".into(),
            id: (*id).into(),
            item: None,
            verdict: match value {
                Some(1.0) => Verdict::correct(""),
                Some(_) => Verdict::wrong(""),
                None => Verdict::Unscored { why: Unscored::NoSandbox },
            },
        };
        Side { path: "x".into(), rows: values.iter().map(row).collect() }
    }

    #[test]
    fn mcnemar_by_hand() {
        // (C(9,0) + C(9,1)) · 2 / 2^9, and the boundary cases.
        assert!((mcnemar(1, 8) - 20.0 / 512.0).abs() < 1e-12);
        assert!((mcnemar(8, 1) - 20.0 / 512.0).abs() < 1e-12);
        assert!((mcnemar(0, 5) - 0.0625).abs() < 1e-12);
        assert!((mcnemar(0, 0) - 1.0).abs() < 1e-12);
        assert!((mcnemar(3, 3) - 1.0).abs() < 1e-12);
        // Far too small for 2^-n as a float.
        assert!(mcnemar(0, 3000) < 1e-300 && mcnemar(1500, 1500) == 1.0);
    }

    #[test]
    fn items_are_paired_by_name_whatever_their_order() {
        let a = rows(&[("1", Some(1.0)), ("2", Some(0.0)), ("3", Some(1.0)), ("4", None), ("5", Some(1.0))]);
        let b =
            rows(&[("4", Some(1.0)), ("3", Some(0.0)), ("2", Some(1.0)), ("1", Some(1.0)), ("6", Some(1.0))]);
        let [c] = compare(&a, &b, 0).unwrap().try_into().unwrap();
        assert_eq!((c.n, c.unscored, c.only_in_a, c.only_in_b), (3, 1, 1, 1));
        assert_eq!((c.right_in_a_only, c.right_in_b_only), (vec!["3".into()], vec!["2".into()]));
        assert_eq!((c.difference, c.mcnemar_p), (0.0, 1.0));
    }

    #[test]
    fn items_of_two_data_sets_are_not_paired_by_name() {
        let with = |what: &str| {
            let mut side = rows(&[("1", Some(1.0))]);
            side.rows[0].item = Some(crate::digest::Canonical::new("item").text("what", what).finish());
            side
        };
        let e = compare(&with("a"), &with("b"), 0).unwrap_err().to_string();
        assert!(e.contains("item 1") && e.contains("same data"), "{e}");
        compare(&with("a"), &with("a"), 0).unwrap();
        compare(&with("a"), &rows(&[("1", Some(1.0))]), 0).unwrap();
    }

    /// Of n differences that are 1 with the share p, the interval is nearly p ± 1.96·√(p(1−p)/n).
    #[test]
    fn the_bootstrap_interval_has_the_width_of_theory() {
        let differences: Vec<f64> = (0..400).map(|i| f64::from(u8::from(i % 4 == 0))).collect();
        let (low, high) = interval(&differences, 7);
        let half = 1.96 * (0.25_f64 * 0.75 / 400.0).sqrt();
        assert!((low - (0.25 - half)).abs() < 0.006 && (high - (0.25 + half)).abs() < 0.006, "{low} {high}");
        assert_eq!(interval(&differences, 7), (low, high));
    }

    #[test]
    fn what_cannot_be_compared_is_said() {
        let a = rows(&[("1", Some(1.0))]);
        let e = compare(&a, &rows(&[("2", Some(1.0))]), 0).unwrap_err().to_string();
        assert!(e.contains("no item is scored in both"), "{e}");
        let mut other = a.clone();
        other.rows[0].benchmark = "y".into();
        let e = compare(&a, &other, 0).unwrap_err().to_string();
        assert!(e.contains("the benchmark x") && e.contains("the benchmark y"), "{e}");
        let e = compare(&a, &rows(&[("1", None), ("1", None)]), 0).unwrap_err().to_string();
        assert!(e.contains("two verdicts for item 1"), "{e}");
    }
}
