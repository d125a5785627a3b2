//! Progress and warnings as values. Rooms report; only the command line prints.

use std::time::Duration;

/// What a room tells whoever watches.
#[derive(Clone, Debug, PartialEq)]
pub enum Event<'a> {
    /// A piece of work begins. `total` counts `unit`s.
    Started {
        /// What is being done, in a few words.
        work: &'a str,
        /// How much there is, where that is known.
        total: Option<u64>,
        /// What is counted: "items", "bytes", …
        unit: &'a str,
    },
    /// `by` units were there already, from an earlier run.
    Known {
        /// How many.
        by: u64,
    },
    /// `by` more units are done.
    Advanced {
        /// How many.
        by: u64,
    },
    /// The piece of work that was started last is over.
    Finished {
        /// Wall time it took.
        took: Duration,
    },
    /// Something the user should know, and that did not stop the work.
    Warning {
        /// One sentence.
        text: &'a str,
    },
    /// A milestone worth a line: "λ = 0.34 chosen".
    Note {
        /// One sentence.
        text: &'a str,
    },
}

/// Watches the work, and can ask it to stop.
pub trait Observer: Send + Sync {
    /// Takes note of an event. Called from any thread; must be quick.
    fn observe(&self, event: &Event<'_>);

    /// Whether the user asked to stop (Ctrl-C). Long work asks between items and stops cleanly.
    fn stop_requested(&self) -> bool {
        false
    }
}

/// Watches nothing.
#[derive(Debug, Default, Clone, Copy)]
pub struct Silent;

impl Observer for Silent {
    fn observe(&self, _: &Event<'_>) {}
}
