//! Whole prompts from a list (PromptBench's semantic attack).

use super::Transformation;
use crate::attack::AttackError;
use crate::attack::random::Draws;
use crate::attack::text::AttackedText;
use crate::files;
use std::collections::BTreeMap;
use std::path::Path;

/// The prompts of a list, whatever the text.
#[derive(Clone, Debug)]
pub struct Listed(pub Vec<String>);

/// Reads a set of prompts: a JSON object that has a list of prompts for each language. PromptBench's sets have `{}` or
/// `{content}` where the item's text goes.
pub fn read_prompts(path: &Path) -> Result<Vec<String>, AttackError> {
    let wrong = |reason: String| AttackError::PromptSet { path: path.to_owned(), reason };
    let by_language: BTreeMap<String, Vec<String>> =
        serde_json::from_str(&files::read_text(path)?).map_err(|e| wrong(e.to_string()))?;
    let prompts: Vec<String> = by_language
        .into_values()
        .flatten()
        .map(|prompt| prompt.replace("{}", super::super::goal::CONTENT))
        .collect();
    if prompts.is_empty() { Err(wrong("it has no prompt".into())) } else { Ok(prompts) }
}

impl Transformation for Listed {
    fn candidates(
        &self,
        text: &AttackedText,
        _: &[usize],
        _: &mut Draws,
    ) -> Result<Vec<AttackedText>, AttackError> {
        Ok(self.0.iter().map(|prompt| AttackedText::new(prompt, text.rule())).collect())
    }

    fn most(&self) -> usize {
        self.0.len()
    }
}
