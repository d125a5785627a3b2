//! Which of the row's choices does the model think the likeliest? As lm-evaluation-harness' `multiple_choice` (0.4.13,
//! `api/task.py`): the choice with the largest log-likelihood (`acc`), or with the largest one for each of its characters
//! (`acc_norm`); of equal ones the first.

use super::{BadField, Scorer, Tools};
use crate::bench::dataset::Item;
use crate::bench::verdict::Verdict;
use crate::completion::Likelihood;
use serde::Deserialize;
use serde_json::Value;

/// The options of `multiple_choice`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::bench) struct MultipleChoice {
    /// The choices, the same for every row; or the field with a row's list of them.
    doc_to_choice: Choices,
    /// The field with the right one: its number from 0, or its text.
    doc_to_target: String,
    /// What stands between the prompt and a choice.
    #[serde(default = "blank")]
    target_delimiter: String,
    /// Whether a long choice may be less likely as a whole.
    #[serde(default)]
    normalised: bool,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum Choices {
    These(Vec<String>),
    Field(String),
}

fn blank() -> String {
    " ".to_owned()
}

impl MultipleChoice {
    fn choices<'a>(&'a self, item: &'a Item) -> Vec<&'a str> {
        match &self.doc_to_choice {
            Choices::These(choices) => choices.iter().map(String::as_str).collect(),
            Choices::Field(field) => match item.fields.get(field) {
                Some(Value::Array(choices)) => choices.iter().filter_map(Value::as_str).collect(),
                _ => Vec::new(),
            },
        }
    }

    /// The number of the right choice.
    fn target(&self, item: &Item) -> Option<usize> {
        let choices = self.choices(item);
        let at = match item.fields.get(&self.doc_to_target)? {
            Value::Number(number) => number.as_u64()? as usize,
            Value::String(text) => match choices.iter().position(|choice| choice == text) {
                Some(at) => at,
                None => text.parse().ok()?,
            },
            _ => return None,
        };
        (at < choices.len()).then_some(at)
    }
}

impl Scorer for MultipleChoice {
    fn version(&self) -> u32 {
        1
    }

    fn check(&self, item: &Item) -> Result<(), BadField> {
        if let Choices::Field(field) = &self.doc_to_choice {
            let all_text =
                matches!(item.fields.get(field), Some(Value::Array(all)) if all.iter().all(Value::is_string));
            if !all_text || self.choices(item).len() < 2 {
                return Err(BadField::new(field, "a list of two texts or more"));
            }
        }
        match self.target(item) {
            Some(_) => Ok(()),
            None => Err(BadField::new(
                &self.doc_to_target,
                "the number of one of the choices, from 0, or its text",
            )),
        }
    }

    fn continuations(&self, item: &Item) -> Option<Vec<String>> {
        Some(self.choices(item).iter().map(|choice| format!("{}{choice}", self.target_delimiter)).collect())
    }

    fn form(&self) -> Option<&'static str> {
        Some(
            "the list of the choices' likelihoods, as JSON in a text: one {\"log_likelihood\": -1.5, \"tokens\": 2, \"greedy\": \
             false} for each choice, in their order",
        )
    }

    fn gold_label(&self, item: &Item) -> Option<&str> {
        match &self.doc_to_choice {
            Choices::These(choices) => choices.get(self.target(item)?).map(String::as_str),
            Choices::Field(_) => None,
        }
    }

    /// `answer` is the JSON list of the likelihoods of the continuations.
    fn score(&self, item: &Item, answer: &str, _: &Tools<'_>) -> Verdict {
        let choices = self.choices(item);
        let Some(likelihoods) =
            serde_json::from_str::<Vec<Likelihood>>(answer).ok().filter(|l| l.len() == choices.len())
        else {
            return Verdict::no_answer();
        };
        let weight = |choice: &str| if self.normalised { choice.chars().count().max(1) as f64 } else { 1.0 };
        let scores = likelihoods.iter().zip(&choices).map(|(l, choice)| l.log_likelihood / weight(choice));
        let best = scores.enumerate().fold(None, |best: Option<(usize, f64)>, (at, score)| match best {
            Some((_, highest)) if score <= highest || score.is_nan() => best,
            _ => Some((at, score)),
        });
        match best {
            Some((at, _)) => Verdict::judged(self.target(item) == Some(at), choices[at]),
            None => Verdict::no_answer(),
        }
    }
}
