//! A model's answers beside those that they are compared with.

use crate::bench::Item;
use crate::judge::{JudgeError, OutputsFile, Pair};
use crate::runs::Answer;
use std::collections::HashMap;

/// The fields in which a row of alpaca_eval's data keeps another model's answer, and its name.
const OUTPUT: &str = "output";
const GENERATOR: &str = "generator";

/// Another model's answer, and who that is.
type Given<'r> = (&'r str, &'r str);

/// Where answers to compare with come from: a file, or the rows themselves.
struct References<'r> {
    by_instruction: Option<HashMap<&'r str, Given<'r>>>,
}

impl<'r> References<'r> {
    fn new(file: Option<&'r OutputsFile>) -> Self {
        let given = |file: &'r OutputsFile| {
            let row = |row: &'r crate::judge::OutputRow| {
                (row.instruction.as_str(), (row.output.as_str(), row.generator.as_str()))
            };
            file.rows.iter().map(row).collect()
        };
        Self { by_instruction: file.map(given) }
    }

    fn of<'s>(&'s self, item: &'s Item, instruction: &str) -> Option<Given<'s>> {
        match &self.by_instruction {
            Some(known) => known.get(instruction).copied(),
            None => Some((item.text(OUTPUT)?, item.text(GENERATOR).unwrap_or("reference"))),
        }
    }
}

/// Makes sure that every item has an answer to compare with: in the file, or in the field `output` of its row. `field` is
/// that with the instruction.
pub fn check_references(field: &str, items: &[Item], file: Option<&OutputsFile>) -> Result<(), JudgeError> {
    let references = References::new(file);
    let lacks = |item: &&Item| references.of(item, item.text(field).unwrap_or_default()).is_none();
    let missing: Vec<&str> = items.iter().filter(lacks).filter_map(|item| item.text(field)).collect();
    match missing[..] {
        [] => Ok(()),
        _ => Err(JudgeError::no_reference(file.map(|file| file.path.clone()), items.len(), &missing)),
    }
}

/// The pairs that a judge is asked about. Blanks around an answer are no merit: a model's first token often has one. A question
/// that the model refuses has an empty answer.
pub fn pairs(
    field: &str,
    items: &[Item],
    answers: &[Answer],
    file: Option<&OutputsFile>,
    generator: &str,
) -> Result<Vec<Pair>, JudgeError> {
    check_references(field, items, file)?;
    let references = References::new(file);
    let pair = |(item, answer): (&Item, &Answer)| {
        let instruction = item.text(field).unwrap_or_default();
        let (output, from) = references.of(item, instruction)?;
        Some(Pair {
            dataset: item.text("dataset").map(str::to_owned),
            instruction: instruction.to_owned(),
            output_1: output.trim().to_owned(),
            output_2: answer.text.as_deref().unwrap_or_default().trim().to_owned(),
            generator_1: from.to_owned(),
            generator_2: generator.to_owned(),
        })
    };
    Ok(items.iter().zip(answers).filter_map(pair).collect())
}
