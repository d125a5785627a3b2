//! The verdicts of a run that is on disk, for the items of one split.

use super::{CompareError, EvaluateError, VerdictRow};
use crate::bench::{Benchmark, Item, Profile};
use crate::digest::Digest;
use crate::ids::ItemId;
use crate::runs;
use std::collections::{HashMap, HashSet};
use std::path::Path;

/// The verdicts of the run in `folder` for `items`, in their order. A run holds every split that was evaluated in it,
/// so that items are told apart by their content; a record that does not say it goes by its item's name, if that is
/// the only one.
pub fn run_verdicts(
    folder: &Path,
    benchmark: &Benchmark,
    items: &[Item],
) -> Result<Vec<VerdictRow>, EvaluateError> {
    let mut by_content: HashMap<Digest, serde_json::Value> = HashMap::new();
    let mut by_name: HashMap<ItemId, serde_json::Value> = HashMap::new();
    let mut ambiguous: HashSet<ItemId> = HashSet::new();
    for stored in runs::stored_verdicts(folder)? {
        match stored.content {
            Some(content) => {
                by_content.insert(content, stored.verdict);
            }
            None => {
                if by_name.insert(stored.item.clone(), stored.verdict).is_some() {
                    ambiguous.insert(stored.item);
                }
            }
        }
    }
    let metric = &benchmark.card.metric().metric;
    let mut rows = Vec::new();
    for item in items {
        let stored = match by_content.remove(&item.digest()) {
            Some(stored) => Some(stored),
            None if ambiguous.contains(&item.id) => {
                let (path, id) = (folder.to_owned(), item.id.clone());
                return Err(CompareError::Twice { path, id, metric: metric.clone() }.into());
            }
            None => by_name.remove(&item.id),
        };
        if let Some(verdict) = stored.and_then(|v| serde_json::from_value(v).ok()) {
            rows.push(VerdictRow {
                benchmark: benchmark.id().clone(),
                profile: Profile::Paper,
                metric: metric.clone(),
                id: item.id.clone(),
                item: Some(item.digest()),
                verdict,
            });
        }
    }
    Ok(rows)
}
