//! What an attack is after: the prompt under which the model is right least often.

use super::AttackError;
use super::words::WordRule;
use serde::Serialize;

/// Where the item's text goes.
pub const CONTENT: &str = "{content}";

/// How often the model is right under a prompt, in [0, 1].
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Accuracy {
    /// Over all items.
    Exact(f64),
    /// Over all items it is at least this: asking the others was of no use any more.
    AtLeast(f64),
}

impl Accuracy {
    /// The number.
    pub fn value(self) -> f64 {
        match self {
            Self::Exact(value) | Self::AtLeast(value) => value,
        }
    }
}

/// The model under attack, on one data set.
pub trait Victim {
    /// How often the model is right under `prompt`. Once it is certain to reach `hopeless`, it may stop and say
    /// [`Accuracy::AtLeast`] of a number that is no smaller.
    fn accuracy(&mut self, prompt: &str, hopeless: Option<f64>) -> Result<Accuracy, AttackError>;

    /// Says that all of these prompts will be asked next, so that what they have in common can be computed once. If `bounded`,
    /// some of them may be given up.
    fn coming(&mut self, prompts: &[&str], bounded: bool) -> Result<(), AttackError> {
        let _ = (prompts, bounded);
        Ok(())
    }
}

/// The performance drop rate (clean − attacked) / clean (PromptBench, Zhu et al. 2023, equation 2); none where the model
/// is never right without an attack. Below 0 where the attack helps.
pub fn drop_rate(clean: f64, attacked: f64) -> Option<f64> {
    (clean > 0.0).then(|| (clean - attacked) / clean)
}

/// Makes sure that a prompt can be asked: `{content}` once, no other brace, and every label.
pub fn check_prompt(prompt: &str, labels: &[String]) -> Result<(), AttackError> {
    let found = prompt.matches(CONTENT).count();
    let without = prompt.replace(CONTENT, "\0\0\0\0\0\0\0\0\0");
    if let Some((at, brace)) = without.chars().enumerate().find(|(_, c)| matches!(c, '{' | '}')) {
        return Err(AttackError::Brace { brace, at: at + 1 });
    }
    if found != 1 {
        return Err(AttackError::Content { found });
    }
    let words = WordRule::TextAttack0311.words(prompt);
    let named = |label: &&String| words.iter().any(|word| word.to_lowercase() == label.to_lowercase());
    match labels.iter().find(|label| !named(label)) {
        Some(label) => Err(AttackError::NoLabel { label: label.clone(), labels: labels.to_vec() }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prompt_that_cannot_be_asked_is_refused_with_its_reason() {
        let labels = ["positive".to_owned(), "negative".to_owned()];
        let said = |prompt: &str| check_prompt(prompt, &labels).map_err(|e| e.to_string());
        assert_eq!(said("Positive or 'negative'? {content}"), Ok(()));
        assert!(said("positive or negative?").unwrap_err().contains("0 times"));
        assert!(said("{content}{content} positive negative").unwrap_err().contains("2 times"));
        assert!(said("positive or negative: {content").unwrap_err().contains("`{` at character 23"));
        assert!(said("positive or negative: {content}}").unwrap_err().contains("`}`"));
        assert!(said("positive or {other}: {content}").unwrap_err().contains("`{` at character 13"));
        assert!(said("Is it positive? {content}").unwrap_err().contains("`negative`"));
    }

    #[test]
    fn the_drop_rate_may_be_negative_and_is_none_at_zero() {
        assert_eq!(drop_rate(0.5, 0.25), Some(0.5));
        assert_eq!(drop_rate(0.5, 0.75), Some(-0.5));
        assert_eq!(drop_rate(0.0, 0.0), None);
    }
}
