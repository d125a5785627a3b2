//! The model under test.

use super::EvaluateError;
use crate::chat::Message;
use crate::completion::Complete;
use crate::digest::Digest;
use serde_json::Value;

type Failure = Box<dyn std::error::Error + Send + Sync>;
type Engine<'a> = Box<dyn Complete + 'a>;
type Open<'a> = Box<dyn FnMut() -> Result<Engine<'a>, Failure> + 'a>;
type Template<'a> = Box<dyn Fn(&[Message]) -> Result<String, Failure> + 'a>;

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
    template: Template<'a>,
    engine: Option<Engine<'a>>,
}

impl<'a> Subject<'a> {
    /// A model that `open` loads when it is first needed, and whose chat template is `template`.
    pub fn new(
        weights: Digest,
        companions: Digest,
        numerics: String,
        about: Value,
        open: impl FnMut() -> Result<Engine<'a>, Failure> + 'a,
        template: impl Fn(&[Message]) -> Result<String, Failure> + 'a,
    ) -> Self {
        let (open, template) = (Box::new(open), Box::new(template));
        Self { weights, companions, numerics, about, open, template, engine: None }
    }

    /// A conversation as the text to which the assistant's next turn is the continuation.
    pub(super) fn written(&self, turns: &[Message]) -> Result<String, EvaluateError> {
        (self.template)(turns).map_err(EvaluateError::Template)
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
