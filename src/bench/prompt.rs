//! Prompt templates, rendered as lm-evaluation-harness renders `doc_to_text`: Jinja, a trailing newline of the template
//! kept, an undefined name an error, nothing escaped.

use crate::bench::dataset::Item;
use crate::bench::error::BenchError;
use crate::ids::BenchmarkId;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{Environment, UndefinedBehavior};

/// The name of the one template; without an extension for which minijinja would escape anything.
const NAME: &str = "prompt";

/// A template that has been parsed.
#[derive(Debug)]
pub(super) struct Prompt {
    environment: Environment<'static>,
    source: &'static str,
}

impl Prompt {
    /// Parses the template of `file`.
    pub(super) fn parse(file: &str, source: &'static str) -> Result<Self, BenchError> {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        SyntaxConfig::builder()
            .keep_trailing_newline(true)
            .build()
            .and_then(|syntax| {
                environment.set_syntax(syntax);
                environment.add_template(NAME, source)
            })
            .map_err(|source| BenchError::Template { file: file.to_owned(), source: Box::new(source) })?;
        Ok(Self { environment, source })
    }

    /// The template's text.
    pub(super) fn source(&self) -> &'static str {
        self.source
    }

    /// Fills in an item.
    pub(super) fn render(&self, benchmark: &BenchmarkId, item: &Item) -> Result<String, BenchError> {
        self.environment.get_template(NAME).and_then(|template| template.render(Serde(&item.fields))).map_err(
            |source| BenchError::Prompt {
                benchmark: benchmark.clone(),
                item: item.id.clone(),
                source: Box::new(source),
            },
        )
    }
}
