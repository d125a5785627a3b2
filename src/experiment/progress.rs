//! Many evaluations, one line of progress.

use crate::event::{Event, Observer};
use std::sync::{Mutex, PoisonError};

/// Shows a whole table as one piece of work, counted in items: the parts' own beginnings and ends are not passed on, and a part
/// that counts something else, such as the survey of a merge, adds nothing.
pub(super) struct Whole<'w> {
    watch: &'w dyn Observer,
    /// Whether each part that is going on counts items, the innermost last.
    counts: Mutex<Vec<bool>>,
}

impl<'w> Whole<'w> {
    pub(super) fn new(watch: &'w dyn Observer) -> Self {
        Self { watch, counts: Mutex::default() }
    }
}

impl Observer for Whole<'_> {
    fn observe(&self, event: &Event<'_>) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let counted = counts.last().copied().unwrap_or(true);
        match event {
            Event::Started { unit, .. } => counts.push(*unit == "items"),
            Event::Finished { .. } => {
                counts.pop();
            }
            Event::Known { .. } | Event::Advanced { .. } if !counted => {}
            _ => {
                drop(counts);
                self.watch.observe(event);
            }
        }
    }

    fn stop_requested(&self) -> bool {
        self.watch.stop_requested()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};

    #[derive(Default)]
    struct Sum(AtomicU64);

    impl Observer for Sum {
        fn observe(&self, event: &Event<'_>) {
            if let Event::Known { by } | Event::Advanced { by } = event {
                self.0.fetch_add(*by, Ordering::SeqCst);
            }
        }
    }

    #[test]
    fn only_items_count() {
        let sum = Sum::default();
        let whole = Whole::new(&sum);
        let part = |unit| whole.observe(&Event::Started { work: "w", total: None, unit });
        let done = || whole.observe(&Event::Finished { took: std::time::Duration::ZERO });
        part("parameters");
        whole.observe(&Event::Advanced { by: 1000 });
        done();
        part("items");
        whole.observe(&Event::Known { by: 2 });
        part("bytes");
        whole.observe(&Event::Advanced { by: 1000 });
        done();
        whole.observe(&Event::Advanced { by: 1 });
        done();
        assert_eq!(sum.0.load(Ordering::SeqCst), 3);
    }
}
