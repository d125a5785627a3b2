//! A mergekit configuration as its YAML says it: typed, nothing ignored.
//!
//! Fields are those of mergekit 0.1.5. What mergekit itself would ignore, an unknown key, is an error here.

use super::setting::Setting;
use crate::merge::MergeError;
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_saphyr::Spanned;
use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

/// The whole file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Config {
    pub(super) merge_method: Spanned<String>,
    pub(super) models: Option<Vec<Model>>,
    pub(super) slices: Option<Vec<Slice>>,
    pub(super) modules: Option<BTreeMap<String, Module>>,
    pub(super) base_model: Option<Spanned<String>>,
    pub(super) dtype: Option<Spanned<String>>,
    pub(super) out_dtype: Option<Spanned<String>>,
    pub(super) tokenizer_source: Option<Spanned<String>>,
    pub(super) tokenizer: Option<Spanned<Tokenizer>>,
    pub(super) chat_template: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) parameters: Parameters,
}

/// A model that takes part with all its layers.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Model {
    pub(super) model: Spanned<String>,
    #[serde(default)]
    pub(super) parameters: Parameters,
}

/// A run of output layers.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Slice {
    pub(super) sources: Vec<Source>,
    /// The base of this slice, in place of the file's.
    pub(super) base_model: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) parameters: Parameters,
}

/// The layers of one model that take part in a slice.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Source {
    pub(super) model: Spanned<String>,
    pub(super) layer_range: Spanned<(usize, usize)>,
    #[serde(default)]
    pub(super) parameters: Parameters,
}

/// A part of a model that has several; a Llama has one.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Module {
    pub(super) models: Option<Vec<Model>>,
    pub(super) slices: Option<Vec<Slice>>,
    #[serde(default)]
    pub(super) parameters: Parameters,
}

/// How the vocabulary is made.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Tokenizer {
    pub(super) source: Option<String>,
    #[serde(default)]
    pub(super) tokens: BTreeMap<String, Token>,
    pub(super) pad_to_multiple_of: Option<usize>,
}

/// Where the embedding of one token comes from.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Token {
    pub(super) source: Option<TokenSource>,
    #[serde(default)]
    pub(super) force: bool,
}

/// A model's name, or one of mergekit's kinds.
#[derive(Clone, Debug)]
pub(super) enum TokenSource {
    Model(String),
    Kind(TokenKind),
}

/// What mergekit's `kind` can be.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum TokenKind {
    Zero,
    ModelToken { model: String, token: Option<String>, token_id: Option<u32> },
}

impl<'de> Deserialize<'de> for TokenSource {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = TokenSource;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a model, `{kind: zero}` or `{kind: model_token, model: …, token: …}`")
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<TokenSource, E> {
                Ok(TokenSource::Model(text.to_owned()))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<TokenSource, A::Error> {
                TokenKind::deserialize(serde::de::value::MapAccessDeserializer::new(map))
                    .map(TokenSource::Kind)
            }
        }
        deserializer.deserialize_any(Either)
    }
}

/// Parameters of one scope, with the line of each.
#[derive(Clone, Debug, Default)]
pub(super) struct Parameters(pub(super) Vec<(String, Spanned<Setting>)>);

impl Parameters {
    /// The setting of a name.
    pub(super) fn get(&self, name: &str) -> Option<&Spanned<Setting>> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, setting)| setting)
    }
}

impl<'de> Deserialize<'de> for Parameters {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Parameters;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("parameters by name")
            }
            fn visit_unit<E: serde::de::Error>(self) -> Result<Parameters, E> {
                Ok(Parameters::default())
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Parameters, A::Error> {
                let mut found = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    found.push(entry);
                }
                Ok(Parameters(found))
            }
        }
        deserializer.deserialize_any(Entries)
    }
}

impl Config {
    /// Parses YAML; `path` is for messages.
    pub(super) fn parse(text: &str, path: &Path) -> Result<Self, MergeError> {
        serde_saphyr::from_str(text).map_err(|e| {
            // The lines behind the first are a picture of the place.
            let said = e.to_string();
            let first = said.lines().next().unwrap_or_default();
            let reason = first.strip_prefix("error: ").unwrap_or(first).to_owned();
            MergeError::BadRecipe { path: path.to_owned(), reason }
        })
    }
}
