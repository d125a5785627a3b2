//! What a mergekit configuration says of the vocabulary.

use super::config::{Config, TokenKind, TokenSource};
use super::layout::Wrong;
use crate::merge::plan::Opened;
use crate::merge::vocabulary::{From, Policy, Token, Tokens};
use serde_saphyr::Spanned;

/// Largest number of rows that a vocabulary is rounded up to a multiple of: kernels ask for some hundred at most.
const MAX_MULTIPLE: usize = 1 << 16;

/// The policy that `tokenizer_source` or `tokenizer` asks for; without either vocabularies must be equal.
pub(super) fn policy(config: &Config, names: &[Spanned<String>]) -> Result<Policy, Wrong> {
    let place = |name: &str, line: u64| {
        names.iter().position(|n| n.value == name).ok_or_else(|| {
            (line, "source".to_owned(), format!("`{name}` is not one of the models of the merge"))
        })
    };
    let source = |name: &str, line: u64| match name {
        "union" => Ok(None),
        "base" => Ok(Some(0)),
        model => place(model, line).map(Some),
    };
    let base = config.base_model.is_some();
    match (&config.tokenizer_source, &config.tokenizer) {
        (None, None) => Ok(Policy::Equal),
        (Some(both), Some(_)) => Err((
            both.defined.line(),
            "tokenizer_source".into(),
            "says the same as `tokenizer`; a configuration has one of them".into(),
        )),
        (Some(name), None) => {
            let line = name.defined.line();
            Ok(Policy::Tokens(Tokens { vocabulary: source(&name.value, line)?, base, ..Tokens::default() }))
        }
        (None, Some(tokenizer)) => {
            let (line, tokenizer) = (tokenizer.defined.line(), &tokenizer.value);
            let vocabulary = source(tokenizer.source.as_deref().unwrap_or("union"), line)?;
            if let Some(multiple) = tokenizer.pad_to_multiple_of.filter(|n| !(1..=MAX_MULTIPLE).contains(n)) {
                let reason = format!("is {multiple}; it must be between 1 and {MAX_MULTIPLE}");
                return Err((line, "pad_to_multiple_of".into(), reason));
            }
            let mut rules = Vec::new();
            for (text, token) in &tokenizer.tokens {
                let from = match &token.source {
                    None => From::Default,
                    Some(TokenSource::Model(model)) => From::Model(place(model, line)?),
                    Some(TokenSource::Kind(TokenKind::Zero)) => From::Zero,
                    Some(TokenSource::Kind(TokenKind::ModelToken { model, token, token_id })) => {
                        let model = place(model, line)?;
                        match (token, token_id) {
                            (Some(token), None) => From::Token(model, token.clone()),
                            (None, Some(id)) => From::Row(model, *id),
                            _ => {
                                let reason = "has exactly one of `token` and `token_id`";
                                return Err((line, "model_token".into(), reason.into()));
                            }
                        }
                    }
                };
                rules.push(Token { text: text.clone(), from, force: token.force });
            }
            Ok(Policy::Tokens(Tokens {
                vocabulary,
                base,
                keep_padding: false,
                rules,
                pad_to: tokenizer.pad_to_multiple_of,
            }))
        }
    }
}

/// Sets the chat template of the result: a Jinja text, or with `auto` the one that most models have.
pub(super) fn set_template(template: &Spanned<String>, opened: &mut [Opened]) -> Result<(), Wrong> {
    let text = if template.value == "auto" {
        let all: Vec<String> = opened.iter().filter_map(own_template).collect();
        let votes = |t: &String| all.iter().filter(|other| *other == t).count();
        // Of equally many the first, in the order of the models.
        all.iter().rev().max_by_key(|t| votes(t)).cloned()
    } else if template.value.contains("{{") || template.value.contains("{%") {
        Some(template.value.clone())
    } else {
        let reason =
            format!("is `{}`; supported are `auto` and the text of a Jinja template", template.value);
        return Err((template.defined.line(), "chat_template".into(), reason));
    };
    let (Some(text), Some(donor)) = (text, opened.first_mut()) else { return Ok(()) };
    let others = &mut donor.companions.others;
    others.retain(|(name, _)| name != "chat_template.jinja");
    if let Some((_, bytes)) = others.iter_mut().find(|(name, _)| name == "tokenizer_config.json")
        && let Ok(serde_json::Value::Object(mut config)) = serde_json::from_slice(bytes)
    {
        config.insert("chat_template".into(), text.clone().into());
        *bytes = format!("{:#}\n", serde_json::Value::Object(config)).into_bytes();
    }
    others.push(("chat_template.jinja".to_owned(), text.into_bytes()));
    Ok(())
}

fn own_template(opened: &Opened) -> Option<String> {
    let file = |name: &str| opened.companions.others.iter().find(|(n, _)| n == name).map(|(_, bytes)| bytes);
    if let Some(bytes) = file("chat_template.jinja") {
        return String::from_utf8(bytes.clone()).ok();
    }
    let config: serde_json::Value = serde_json::from_slice(file("tokenizer_config.json")?).ok()?;
    config.get("chat_template")?.as_str().map(str::to_owned)
}
