//! What is counted while candidates are measured.

use crate::bench::Item;
use crate::evaluate::Evaluation;
use crate::ids::RunId;
use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;

/// Counts of one command's evaluations.
#[derive(Default)]
pub(super) struct Tally {
    /// Answers without a verdict; they counted as nothing gained.
    pub(super) unscored: Cell<usize>,
    counted: RefCell<BTreeSet<(RunId, String)>>,
    generated: Cell<u64>,
}

impl Tally {
    /// Adds up what was generated for answers that were not counted before: a race asks again what it knows.
    pub(super) fn count(&self, evaluation: &Evaluation, items: &[Item]) {
        let mut counted = self.counted.borrow_mut();
        for (answer, item) in evaluation.answers.iter().zip(items) {
            if counted.insert((evaluation.run.clone(), item.id.to_string())) {
                self.generated.set(self.generated.get() + answer.generated_tokens as u64);
            }
        }
    }

    /// Tokens that were generated for the counted answers: those that this command asked for or found in the ledger, each once;
    /// none of those before it, where a search went on.
    pub(super) fn generated(&self) -> u64 {
        self.generated.get()
    }
}
