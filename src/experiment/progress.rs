//! Many evaluations, one line of progress.

use crate::event::{Event, Observer};

/// Shows a whole table as one piece of work: the parts' own beginnings and ends are not passed on.
pub(super) struct Whole<'w>(pub(super) &'w dyn Observer);

impl Observer for Whole<'_> {
    fn observe(&self, event: &Event<'_>) {
        match event {
            Event::Started { .. } | Event::Finished { .. } => {}
            _ => self.0.observe(event),
        }
    }

    fn stop_requested(&self) -> bool {
        self.0.stop_requested()
    }
}
