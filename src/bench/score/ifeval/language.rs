//! langdetect 1.0.9 on Python 3.11, with the seed 0 set before each text. The reference sets no seed of its own, so
//! that texts between two languages may come out otherwise there from one run to the next.

use super::instruction::Followed;
use langdetect::{Compat, DetectorFactory, Error, Seed};

/// The profiles of 55 languages.
#[derive(Debug)]
pub(super) struct Detector(DetectorFactory);

impl Detector {
    pub(super) fn load() -> Self {
        let mut factory = DetectorFactory::new(Compat::python(11));
        factory.seed = Seed::Int(0);
        factory
            .load_builtin(&DetectorFactory::builtin_files())
            .unwrap_or_else(|(at, e)| unreachable!("the profile number {at} comes with the crate: {e}"));
        Self(factory)
    }

    /// Whether the text is in a language. Where none can be detected, the reference says yes.
    pub(super) fn is(&self, text: &str, code: &str) -> Followed {
        match self.0.detect(text) {
            Ok(found) => (found == code).into(),
            Err(Error::LangDetect { .. }) => Followed::Yes,
            Err(_) => Followed::Raises("ZeroDivisionError: float division by zero"),
        }
    }
}
