//! What stands around a question: a description, solved examples, and the turns of a conversation. As lm-evaluation-harness
//! 0.4.13 does it (`lm_eval/api/task.py`, `fewshot_context`; `lm_eval/api/samplers.py`), so that the same card gives the same bytes.

use crate::bench::card::{Card, Fewshot, Sampler};
use crate::bench::error::BenchError;
use crate::bench::prompt::Prompt;
use crate::chat::Message;
use crate::ids::{BenchmarkId, ItemId};
use crate::twister::Twister;
use serde_json::{Map, Value};
use std::fmt;
use std::sync::Arc;

/// A row, as an example for others.
pub(super) type Example = Arc<Map<String, Value>>;

/// The seed with which the reference draws examples unless it is told another one.
const SEED: u32 = 1234;

/// What a model is told about an item.
#[derive(Clone, Debug, PartialEq)]
pub enum Context {
    /// A text, which the model continues.
    Text(String),
    /// A conversation, which the model's own chat template makes a text of.
    Chat(Vec<Message>),
}

/// The text as it is; a conversation as JSON.
impl fmt::Display for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Chat(turns) => {
                let json = serde_json::to_string_pretty(turns);
                f.write_str(&json.unwrap_or_else(|_| unreachable!("turns have string keys")))
            }
        }
    }
}

/// What a solved example answers.
#[derive(Debug)]
pub(super) enum Target {
    /// What is in a field.
    Field(String),
    /// What a template writes.
    Template(Box<Prompt>),
}

impl Target {
    /// What the card of `file` says; nothing where it has no examples.
    pub(super) fn of(file: &str, examples: &Fewshot) -> Result<Option<Self>, BenchError> {
        Ok(match &examples.doc_to_target {
            Some(text) if text.contains("{{") || text.contains("{%") => {
                let place = format!("{file}: fewshot_config.doc_to_target");
                Some(Self::Template(Box::new(Prompt::parse(&place, text.clone().into())?)))
            }
            field => field.clone().map(Self::Field),
        })
    }

    /// The answer of an example that goes before an item.
    pub(super) fn answer(
        &self,
        benchmark: &BenchmarkId,
        item: &ItemId,
        example: &Example,
    ) -> Result<String, BenchError> {
        let key = match self {
            Self::Template(template) => return template.render(benchmark, item, example),
            Self::Field(key) => key,
        };
        // Of several right answers the first.
        let value = example.get(key).map(|value| value.get(0).unwrap_or(value));
        match value {
            Some(Value::String(text)) => Ok(text.clone()),
            Some(Value::Number(number)) => Ok(number.to_string()),
            _ => Err(BenchError::NoTarget { benchmark: benchmark.clone(), key: key.clone() }),
        }
    }
}

/// Puts questions of solved examples, each with its answer, and the item's own question together.
pub(super) fn lay_out(card: &Card, examples: &[(String, String)], question: &str) -> Context {
    let written = &card.fewshot_config;
    let mut text = String::new();
    for (question, answer) in examples {
        text += question;
        if !answer.is_empty() {
            text = text + &written.target_delimiter + answer + &written.fewshot_delimiter;
        }
    }
    text += question;
    if !card.apply_chat_template {
        return Context::Text(card.description.clone() + &text);
    }
    let turn = |role: &str, content: &str| Message { role: role.to_owned(), content: content.to_owned() };
    let instruction = card.system_instruction.as_deref().unwrap_or_default();
    let system = joined(instruction, &card.description, &written.fewshot_delimiter);
    let mut turns = Vec::new();
    if !system.is_empty() {
        turns.push(turn("system", &system));
    }
    if card.fewshot_as_multiturn {
        for (question, answer) in examples {
            turns.push(turn("user", question));
            if !answer.is_empty() {
                turns.push(turn("assistant", answer));
            }
        }
        turns.push(turn("user", question));
    } else {
        turns.push(turn("user", &text));
    }
    Context::Chat(turns)
}

/// Two texts with `delimiter` between them, unless there is white space or nothing to divide.
fn joined(first: &str, second: &str, delimiter: &str) -> String {
    let white = first.ends_with(char::is_whitespace) || second.starts_with(char::is_whitespace);
    let between = if white || first.is_empty() || second.is_empty() { "" } else { delimiter };
    format!("{first}{between}{second}")
}

/// Chooses the examples of every row, in the rows' order. A row is no example for itself: that can only be where both are of
/// the `same` split.
pub(super) fn choose<'r>(
    card: &Card,
    pool: &[Example],
    rows: impl Iterator<Item = &'r Map<String, Value>>,
    same: bool,
) -> Result<Vec<Vec<Example>>, BenchError> {
    let wanted = card.num_fewshot;
    let needed = wanted + usize::from(same);
    if pool.len() < needed {
        let benchmark = card.id.clone();
        return Err(BenchError::FewExamples { benchmark, wanted, needed, found: pool.len() });
    }
    let mut twister = Twister::from_number(SEED);
    // A data set has fewer rows than 2^32.
    let mut draw = |from: &[Example], count: usize| -> Vec<Example> {
        let drawn = twister.sample(from.len() as u32, count as u32);
        drawn.into_iter().map(|at| Arc::clone(&from[at as usize])).collect()
    };
    let mut chosen = Vec::new();
    for row in rows {
        let another = |example: &&Example| !same || ***example != *row;
        chosen.push(match card.fewshot_config.sampler {
            Sampler::FirstN => pool.iter().filter(another).take(wanted).cloned().collect(),
            Sampler::Default => {
                let mut drawn = draw(pool, needed);
                drawn.retain(|example| another(&example));
                drawn.truncate(wanted);
                if drawn.len() < wanted {
                    // The row is there several times.
                    let others: Vec<Example> = pool.iter().filter(another).cloned().collect();
                    drawn = draw(&others, wanted.min(others.len()));
                }
                drawn
            }
        });
    }
    Ok(chosen)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn card(more: &str) -> Card {
        let card = include_str!("../../benchmarks/gsm8k/benchmark.toml");
        let more =
            format!("fewshot_config = {{ split = \"train\", doc_to_target = \"answer\" }}\n{more}\nscorer =");
        Card::parse("x.toml", "gsm8k", &card.replacen("scorer =", &more, 1)).unwrap()
    }

    fn said(card: &Card) -> Vec<(String, String)> {
        let examples = [("Q1:", "a1"), ("Q2:", "a2")].map(|(q, a)| (q.to_owned(), a.to_owned()));
        match lay_out(card, &examples, "Q3:") {
            Context::Text(text) => vec![("text".to_owned(), text)],
            Context::Chat(turns) => turns.into_iter().map(|turn| (turn.role, turn.content)).collect(),
        }
    }

    /// The expected texts are those of lm-evaluation-harness 0.4.13 for the same parts.
    #[test]
    fn parts_are_put_together_as_the_reference_does() {
        let of = |more: &str| -> Vec<String> {
            said(&card(more)).into_iter().map(|(role, content)| format!("{role}|{content}")).collect()
        };
        let described = "description = \"Solve.\\n\\n\"\n";
        assert_eq!(of(described), ["text|Solve.\n\nQ1: a1\n\nQ2: a2\n\nQ3:"]);
        let chat = format!("{described}apply_chat_template = true\n");
        assert_eq!(of(&chat), ["system|Solve.\n\n", "user|Q1: a1\n\nQ2: a2\n\nQ3:"]);
        let turns = format!("{chat}fewshot_as_multiturn = true\nsystem_instruction = \"Be brief.\"\n");
        assert_eq!(
            of(&turns),
            [
                "system|Be brief.\n\nSolve.\n\n",
                "user|Q1:",
                "assistant|a1",
                "user|Q2:",
                "assistant|a2",
                "user|Q3:"
            ]
        );
        assert_eq!(of("apply_chat_template = true"), ["user|Q1: a1\n\nQ2: a2\n\nQ3:"]);
    }

    #[test]
    fn no_row_is_an_example_for_itself() {
        let row = |n: usize| Arc::new(Map::from_iter([("q".to_owned(), Value::from(n))]));
        let pool: Vec<Example> = (0..6).map(row).collect();
        for sampler in ["default", "first_n"] {
            let mut card = card("num_fewshot = 3");
            card.fewshot_config.sampler =
                if sampler == "default" { Sampler::Default } else { Sampler::FirstN };
            let rows = || pool.iter().map(|row| &**row);
            let chosen = choose(&card, &pool, rows(), true).unwrap();
            for (row, examples) in pool.iter().zip(&chosen) {
                assert!(examples.len() == 3 && !examples.contains(row), "{sampler}: {examples:?}");
            }
            // Of another split, equal rows may be examples.
            let free = choose(&card, &pool, rows(), false).unwrap();
            assert!(pool.iter().zip(&free).any(|(row, examples)| examples.contains(row)), "{sampler}");
            card.num_fewshot = 6;
            assert!(choose(&card, &pool, rows(), false).is_ok());
            let few = choose(&card, &pool, rows(), true).unwrap_err().to_string();
            assert!(few.contains("6 solved examples") && few.contains("has 6"), "{few}");
        }
    }
}
