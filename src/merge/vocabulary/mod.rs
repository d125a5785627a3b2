//! Which token has which row, where models' vocabularies differ.
//!
//! Embedding and head of each model are presented with the rows of one vocabulary before any tensor is merged, so kernels
//! know nothing of it. What comes from where is said before any work; no row is dropped without a word.
//!
//! - `tokenizer`: the tokens of a `tokenizer.json`, and the union of several
//! - `remapped`: a model with other rows, read row by row

mod remapped;
#[cfg(test)]
mod tests;
mod tokenizer;

use super::MergeError;
use super::plan::{Opened, head};
use crate::event::{Event, Observer};
use crate::ids::TensorName;
use remapped::{Remapped, Row};
use serde::{Deserialize, Serialize};
use std::fmt::Write;
use std::sync::Arc;
use tokenizer::Tokenizer;

/// What a recipe does when its models do not have the same tokens in the same rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Vocabulary {
    /// They must.
    #[default]
    Equal,
    /// The result has the tokens and rows of the base (or the first model). A model that lacks one of its tokens takes the
    /// base's row.
    Base,
    /// The result has every token of every model; those that the base lacks follow behind its own. A model that lacks a
    /// token takes the row of the base, of the only model that has it, or the mean over those that have it.
    Union,
    /// The same token ids everywhere, but some models have fewer rows: these take the mean of their existing rows for each
    /// that is missing, in embedding and head (what the paper's program does when it adds `[PAD]`).
    Pad,
    /// The same token ids everywhere, but some models have more rows than tokens: the rows that all have are merged.
    KeepPadding,
}

/// A policy for vocabularies, with models by their places among the inputs.
#[derive(Clone, Debug)]
pub(super) enum Policy {
    Equal,
    Pad,
    KeepPadding,
    Tokens(Tokens),
}

/// One vocabulary, and rows found by token.
#[derive(Clone, Debug, Default)]
pub(super) struct Tokens {
    /// The model whose tokens these are; none for the union.
    pub(super) vocabulary: Option<usize>,
    /// Whether the first input is the base of the merge, whose row stands in for missing ones.
    pub(super) base: bool,
    /// Whether rows behind the last token stay.
    pub(super) keep_padding: bool,
    /// Tokens with a rule of their own.
    pub(super) rules: Vec<Token>,
    /// Rows are added until their number is a multiple of this; each is the mean of the model's rows.
    pub(super) pad_to: Option<usize>,
}

/// A rule for one token.
#[derive(Clone, Debug)]
pub(super) struct Token {
    pub(super) text: String,
    pub(super) from: From,
    /// Whether models that have the token take this row too.
    pub(super) force: bool,
}

/// Where the row of a token comes from in a model that has none.
#[derive(Clone, Debug)]
pub(super) enum From {
    /// The rule for all tokens.
    Default,
    /// All zeros.
    Zero,
    /// This token's row in a model.
    Model(usize),
    /// Another token's row in a model.
    Token(usize, String),
    /// A row of a model by number.
    Row(usize, u32),
}

impl Vocabulary {
    pub(super) fn policy(self, base: bool) -> Policy {
        let tokens =
            |vocabulary| Policy::Tokens(Tokens { vocabulary, base, keep_padding: true, ..Tokens::default() });
        match self {
            Self::Equal => Policy::Equal,
            Self::Base => tokens(Some(0)),
            Self::Union => tokens(None),
            Self::Pad => Policy::Pad,
            Self::KeepPadding => Policy::KeepPadding,
        }
    }
}

/// The embedding.
fn embedding() -> TensorName {
    TensorName::from("model.embed_tokens.weight")
}

/// One model's rows of the new vocabulary.
struct Table {
    rows: Vec<Row>,
    /// Rows from here on are the mean of those before.
    mean_of: usize,
}

/// Gives all inputs one vocabulary. The first input's companions become those of the result.
pub(super) fn align(inputs: &mut [Opened], policy: &Policy, watch: &dyn Observer) -> Result<(), MergeError> {
    let Some(donor) = inputs.first() else { return Ok(()) };
    let rows: Vec<usize> = inputs.iter().map(Opened::rows).collect();
    let same_rows = rows.iter().all(|r| *r == rows[0]);
    let other_file = inputs.iter().find(|o| o.companions.tokenizer != donor.companions.tokenizer);
    let plain = match policy {
        Policy::Tokens(t) => t.rules.is_empty() && t.pad_to.is_none(),
        _ => true,
    };
    if same_rows && other_file.is_none() && plain {
        return Ok(());
    }
    let tokenizers = inputs.iter().map(Tokenizer::read).collect::<Result<Vec<_>, _>>()?;
    let other_tokens = tokenizers.iter().position(|t| t.ids != tokenizers[0].ids);
    if same_rows && other_tokens.is_none() && plain {
        if let Some(other) = other_file {
            let text = format!(
                "the tokenizer of `{}` differs from that of `{}`, which the merge will have; both have the same tokens",
                other.path.display(),
                donor.path.display()
            );
            watch.observe(&Event::Warning { text: &text });
        }
        return Ok(());
    }
    let (tables, source) = match policy {
        Policy::Equal => {
            let k = other_tokens.or(rows.iter().position(|r| *r != rows[0])).unwrap_or_default();
            return Err(differ(inputs, &tokenizers, &rows, k));
        }
        Policy::Pad => {
            let (tables, widest) = padded(inputs, &tokenizers, &rows)?;
            (tables, Some(widest))
        }
        Policy::KeepPadding => {
            let (tables, widest) = common(inputs, &tokenizers, &rows)?;
            (tables, Some(widest))
        }
        Policy::Tokens(tokens) => (by_token(inputs, &tokenizers, &rows, tokens)?, tokens.vocabulary),
    };
    let text = plan_text(inputs, &tables, &rows);
    watch.observe(&Event::Note { text: &text });
    set_companions(inputs, &tokenizers, source, tables[0].rows.len(), watch)?;
    let models: Arc<[_]> = inputs.iter().map(|o| o.weights.clone()).collect();
    for (own, (input, table)) in inputs.iter_mut().zip(tables).enumerate() {
        input.weights = Arc::new(Remapped::new(models.clone(), own, table.rows, table.mean_of));
    }
    Ok(())
}

fn differ(inputs: &[Opened], tokenizers: &[Tokenizer], rows: &[usize], k: usize) -> MergeError {
    let lacking = |a: usize, b: usize| {
        let mut lacks =
            tokenizers[a].ids.iter().filter(|(text, id)| tokenizers[b].ids.get(*text) != Some(id));
        let first = lacks.next()?.0;
        Some(format!("{} tokens, `{first}` for one, that are not the same there", 1 + lacks.count()))
    };
    let tokens = lacking(k, 0).or(lacking(0, k)).unwrap_or_else(|| "the same tokens".to_owned());
    MergeError::Vocabulary {
        a: inputs[k].path.clone(),
        b: inputs[0].path.clone(),
        difference: format!("{} rows against {}, and {tokens}", rows[k], rows[0]),
    }
}

/// The input with the most tokens, after checking that all others have a part of them under the same ids.
fn widest(inputs: &[Opened], tokenizers: &[Tokenizer]) -> Result<usize, MergeError> {
    let most = tokenizers.iter().map(|t| t.ids.len()).max().unwrap_or_default();
    let widest = tokenizers.iter().position(|t| t.ids.len() == most).unwrap_or_default();
    for (k, tokenizer) in tokenizers.iter().enumerate() {
        let other = tokenizer.ids.iter().find(|(text, id)| tokenizers[widest].ids.get(*text) != Some(id));
        if let Some((text, id)) = other {
            return Err(MergeError::Vocabulary {
                a: inputs[k].path.clone(),
                b: inputs[widest].path.clone(),
                difference: format!("`{text}` has id {id} only in the first, which rules out rows by number"),
            });
        }
    }
    Ok(widest)
}

fn own(model: usize, rows: std::ops::Range<usize>) -> impl Iterator<Item = Row> {
    rows.map(move |row| Row::Of(model as u32, row as u32))
}

fn padded(
    inputs: &[Opened],
    tokenizers: &[Tokenizer],
    rows: &[usize],
) -> Result<(Vec<Table>, usize), MergeError> {
    let widest = widest(inputs, tokenizers)?;
    let most = rows.iter().copied().max().unwrap_or_default();
    let table = |(k, have): (usize, &usize)| {
        let mean = (*have..most).map(|_| Row::Mean);
        Table { rows: own(k, 0..*have).chain(mean).collect(), mean_of: *have }
    };
    Ok((rows.iter().enumerate().map(table).collect(), widest))
}

fn common(
    inputs: &[Opened],
    tokenizers: &[Tokenizer],
    rows: &[usize],
) -> Result<(Vec<Table>, usize), MergeError> {
    let widest = widest(inputs, tokenizers)?;
    let least = rows.iter().copied().min().unwrap_or_default();
    if let Some((text, id)) = tokenizers[widest].ids.iter().find(|(_, id)| **id as usize >= least) {
        let short = rows.iter().position(|r| *r == least).unwrap_or_default();
        return Err(MergeError::Vocabulary {
            a: inputs[widest].path.clone(),
            b: inputs[short].path.clone(),
            difference: format!("`{text}` has id {id}, but the second has {least} rows: that is no padding"),
        });
    }
    let table = |k| Table { rows: own(k, 0..least).collect(), mean_of: least };
    Ok(((0..rows.len()).map(table).collect(), widest))
}

/// Rows by token (mergekit's rules).
fn by_token(
    inputs: &[Opened],
    tokenizers: &[Tokenizer],
    rows: &[usize],
    tokens: &Tokens,
) -> Result<Vec<Table>, MergeError> {
    let union;
    let ids = if let Some(model) = tokens.vocabulary {
        &tokenizers[model].ids
    } else {
        union = tokenizer::union_ids(tokenizers);
        &union
    };
    let last = ids.values().max().map_or(0, |id| *id as usize + 1);
    let padding = tokens.vocabulary.unwrap_or(0);
    let wide = if tokens.keep_padding { last.max(rows[padding]) } else { last };
    let count = tokens.pad_to.map_or(wide, |multiple| wide.next_multiple_of(multiple));
    let row = |model: usize, text: &str| {
        let id = *tokenizers[model].ids.get(text)?;
        ((id as usize) < rows[model]).then_some(Row::Of(model as u32, id))
    };
    // A row without a token is padding: that of the model whose vocabulary this is, where it has one.
    let blank = |i: usize| if i < rows[padding] { Row::Of(padding as u32, i as u32) } else { Row::Zero };
    let mut tables: Vec<Table> = (0..inputs.len())
        .map(|_| Table {
            rows: (0..count).map(|i| if i < wide { blank(i) } else { Row::Mean }).collect(),
            mean_of: wide,
        })
        .collect();
    for special in &tokens.rules {
        if !ids.contains_key(&special.text) {
            return Err(MergeError::Token {
                token: special.text.clone(),
                reason: "is not in the vocabulary of the result",
            });
        }
    }
    for (text, id) in ids {
        let special = tokens.rules.iter().find(|t| t.text == *text);
        let have: Vec<Row> = (0..inputs.len()).filter_map(|k| row(k, text)).collect();
        let known = |found: Option<Row>| {
            found.ok_or(MergeError::Token {
                token: text.clone(),
                reason: "is to come from a model that does not have it",
            })
        };
        let default = match special.map(|s| &s.from) {
            Some(From::Zero) => Row::Zero,
            Some(From::Model(model)) => known(row(*model, text))?,
            Some(From::Token(model, token)) => known(row(*model, token))?,
            Some(From::Row(model, id)) => {
                known(((*id as usize) < rows[*model]).then_some(Row::Of(*model as u32, *id)))?
            }
            Some(From::Default) | None => match (have.as_slice(), row(0, text)) {
                ([], _) => Row::Zero,
                ([one], _) => one.clone(),
                (_, Some(base)) if tokens.base => base,
                (several, _) => Row::MeanOf(several.iter().filter_map(Row::place).collect()),
            },
        };
        let force = special.is_some_and(|s| s.force);
        for (k, table) in tables.iter_mut().enumerate() {
            let own = row(k, text).filter(|_| !force);
            table.rows[*id as usize] = own.unwrap_or_else(|| default.clone());
        }
    }
    Ok(tables)
}

/// What is said before any work: for each model how many rows come from where.
fn plan_text(inputs: &[Opened], tables: &[Table], rows: &[usize]) -> String {
    let mut text = format!("vocabulary: {} rows", tables[0].rows.len());
    for (k, (input, table)) in inputs.iter().zip(tables).enumerate() {
        let count = |test: &dyn Fn(&Row) -> bool| table.rows.iter().filter(|r| test(r)).count();
        let own = count(&|r| matches!(r, Row::Of(model, _) if *model as usize == k));
        let left = rows[k].saturating_sub(own);
        let _ = write!(text, "; `{}`: {own} of its {} rows", input.path.display(), rows[k]);
        let mut also = |n: usize, what: &str| {
            if n > 0 {
                let _ = write!(text, ", {n} {what}");
            }
        };
        also(left, "of its own unused");
        also(count(&|r| matches!(r, Row::Of(model, _) if *model as usize != k)), "of another model");
        also(count(&|r| matches!(r, Row::MeanOf(_))), "means over the models that have the token");
        also(count(&|r| matches!(r, Row::Mean)), "means of its rows");
        also(count(&|r| matches!(r, Row::Zero)), "zeros");
    }
    text
}

/// Files that say what the tokens are beside `tokenizer.json`, and would contradict another one.
const TOKEN_FILES: [&str; 6] = [
    "tokenizer_config.json",
    "special_tokens_map.json",
    "tokenizer.model",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
];

fn set_companions(
    inputs: &mut [Opened],
    tokenizers: &[Tokenizer],
    source: Option<usize>,
    rows: usize,
    watch: &dyn Observer,
) -> Result<(), MergeError> {
    let (bytes, files) = if let Some(k) = source {
        let from = &inputs[k].companions;
        let files = from.others.iter().filter(|(name, _)| TOKEN_FILES.contains(&name.as_str()));
        (from.tokenizer.clone(), files.cloned().collect::<Vec<_>>())
    } else {
        // The older formats cannot hold the union; what configures a tokenizer stays.
        let stays = ["tokenizer_config.json", "special_tokens_map.json"];
        let (files, dropped): (Vec<_>, Vec<_>) = inputs[0]
            .companions
            .others
            .iter()
            .filter(|(name, _)| TOKEN_FILES.contains(&name.as_str()))
            .cloned()
            .partition(|(name, _)| stays.contains(&name.as_str()));
        if !dropped.is_empty() {
            let names: Vec<&str> = dropped.iter().map(|(name, _)| name.as_str()).collect();
            let text = format!(
                "the union of the vocabularies is written as tokenizer.json; {} would contradict it and are left out",
                names.join(", ")
            );
            watch.observe(&Event::Warning { text: &text });
        }
        (tokenizer::union_json(inputs, tokenizers)?, files)
    };
    let companions = &mut inputs[0].companions;
    companions.tokenizer = bytes;
    companions.others.retain(|(name, _)| !TOKEN_FILES.contains(&name.as_str()));
    companions.others.extend(files);
    companions.config.vocab_size = rows;
    companions.config_json.insert("vocab_size".into(), rows.into());
    Ok(())
}

impl Opened {
    /// Rows of the embedding.
    fn rows(&self) -> usize {
        let info = self.weights.manifest().get(&embedding());
        info.and_then(|i| i.shape.first().copied()).unwrap_or_default()
    }
}

/// Whether a tensor has a row for each token.
fn by_rows(name: &TensorName) -> bool {
    *name == embedding() || *name == head()
}
