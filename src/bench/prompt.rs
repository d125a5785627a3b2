//! Prompt templates, rendered as lm-evaluation-harness renders `doc_to_text`: Jinja, a trailing newline of the template
//! kept, an undefined name an error, nothing escaped.

use crate::bench::error::BenchError;
use crate::ids::{BenchmarkId, ItemId};
use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{Environment, Error, Template, UndefinedBehavior};
use serde_json::{Map, Value};
use std::borrow::Cow;

/// The name of the one template; without an extension for which minijinja would escape anything.
const NAME: &str = "prompt";

/// Steps that a template may take: a loop that would not end, or fill the memory, is an error.
const STEPS: u64 = 1_000_000;

/// Where in a template something is wrong, as far as that is known: its line and column, from 1.
fn place(text: &str, error: &Error) -> String {
    let Some(before) = error.range().and_then(|range| text.get(..range.start)) else { return String::new() };
    let line = before.matches('\n').count() + 1;
    let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
    format!(": line {line}, column {column}")
}

/// A template that parses.
#[derive(Debug)]
pub(super) struct Prompt {
    file: String,
    environment: Environment<'static>,
    source: Cow<'static, str>,
}

impl Prompt {
    /// Takes the template of `file`, and makes sure that it parses.
    pub(super) fn parse(file: &str, source: Cow<'static, str>) -> Result<Self, BenchError> {
        let text = source.clone();
        let failed = |source: Error| BenchError::Template {
            file: file.to_owned(),
            place: place(&text, &source),
            source: Box::new(source),
        };
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_fuel(Some(STEPS));
        let syntax = SyntaxConfig::builder().keep_trailing_newline(true).build().map_err(failed)?;
        environment.set_syntax(syntax);
        let prompt = Self { file: file.to_owned(), environment, source };
        prompt.template().map_err(failed)?;
        Ok(prompt)
    }

    fn template(&self) -> Result<Template<'_, '_>, Error> {
        self.environment.template_from_named_str(NAME, &self.source)
    }

    /// The template's text.
    pub(super) fn source(&self) -> &str {
        &self.source
    }

    /// Fills in the fields of an item, or those of an example that goes before it.
    pub(super) fn render(
        &self,
        benchmark: &BenchmarkId,
        item: &ItemId,
        fields: &Map<String, Value>,
    ) -> Result<String, BenchError> {
        self.template().and_then(|template| template.render(Serde(fields))).map_err(|source| {
            BenchError::Prompt {
                benchmark: benchmark.clone(),
                item: item.clone(),
                file: self.file.clone(),
                place: place(&self.source, &source),
                fields: fields.keys().map(|key| format!("`{key}`")).collect(),
                source: Box::new(source),
            }
        })
    }
}
