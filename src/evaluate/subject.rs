//! The model under test.

use super::EvaluateError;
use crate::completion::Complete;
use crate::digest::Digest;
use serde_json::Value;

type Failure = Box<dyn std::error::Error + Send + Sync>;
type Engine<'a> = Box<dyn Complete + 'a>;
type Open<'a> = Box<dyn FnMut() -> Result<Engine<'a>, Failure> + 'a>;

/// A model, known by its content before it is loaded. A finished table is printed again without loading anything.
pub struct Subject<'a> {
    /// Digest of the weights.
    pub weights: Digest,
    /// Digest of config and tokenizer.
    pub companions: Digest,
    /// How numbers will be computed ([`Complete::numerics`]).
    pub numerics: String,
    /// What it is, for people.
    pub about: Value,
    open: Open<'a>,
    engine: Option<Engine<'a>>,
}

impl<'a> Subject<'a> {
    /// A model that `open` loads when it is first needed.
    pub fn new(
        weights: Digest,
        companions: Digest,
        numerics: String,
        about: Value,
        open: impl FnMut() -> Result<Engine<'a>, Failure> + 'a,
    ) -> Self {
        Self { weights, companions, numerics, about, open: Box::new(open), engine: None }
    }

    /// Tokens that were run through the model since it was loaded, as [`Complete::tokens_run`] counts them: none before, and none
    /// where the engine does not know.
    pub fn tokens_run(&self) -> Option<u64> {
        self.engine.as_ref().map_or(Some(0), |engine| engine.tokens_run())
    }

    /// The loaded model.
    pub(super) fn engine(&mut self) -> Result<&mut (dyn Complete + 'a), EvaluateError> {
        let engine = match self.engine.take() {
            Some(engine) => engine,
            None => (self.open)().map_err(EvaluateError::Model)?,
        };
        Ok(self.engine.insert(engine).as_mut())
    }
}
