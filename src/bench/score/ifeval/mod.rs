//! Instructions that a program can check: IFEval (Zhou et al. 2023, arXiv:2311.07911) as lm-evaluation-harness 0.4.13
//! checks it (`lm_eval/tasks/ifeval`), and LiveBench's instruction following, whose checker agrees with that one.
//!
//! An answer is strict if it follows an instruction as it stands; loose, if it does so after any of eight clean-ups
//! (its first or last line dropped, its asterisks removed). A blank answer follows nothing.
//!
//! - `instruction.rs`: from a row to its instructions
//! - `keywords.rs`, `length.rs`, `format.rs`, `content.rs`, `ends.rs`, `letters.rs`: one file per family
//! - `json.rs`: what Python's `json.loads` accepts
//! - `characters.rs`: what Python calls a space, a capital, a word
//! - `sentences.rs`, `words.rs`: NLTK's Punkt and Treebank tokenisers, as far as the checks need them
//! - `language.rs`: langdetect

mod characters;
mod content;
mod ends;
mod format;
mod instruction;
mod json;
mod keywords;
mod language;
mod length;
mod letters;
mod sentences;
mod words;

use super::{BadField, Scorer, Tools};
use crate::bench::dataset::Item;
use crate::bench::extract::strip;
use crate::bench::verdict::{Reason, Unscored, Verdict};
use instruction::{Followed, Instruction};
use serde::Deserialize;
use std::sync::{Arc, OnceLock};

/// The options of `ifeval`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::bench) struct Ifeval {
    /// Whether an instruction must be followed as the answer stands, or after any clean-up.
    reading: Reading,
    /// How what was followed becomes a value.
    score: Score,
    /// Whether the answer is first cleaned up as the paper's program does it.
    #[serde(default)]
    paper_clean_up: bool,
    /// What the checks share; loaded when it is first needed, for it takes some milliseconds.
    #[serde(skip)]
    language: Arc<OnceLock<Language>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Reading {
    Strict,
    Loose,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Score {
    /// 1 if every instruction is followed, else 0: IFEval's prompt-level accuracy.
    All,
    /// LiveBench's mean of that and of the share of instructions that are followed (`score_results`).
    AllAndShare,
}

/// What the checks know of languages.
#[derive(Debug)]
struct Language {
    sentences: sentences::Splitter,
    words: words::Tokenizer,
    detector: language::Detector,
}

impl Language {
    fn load() -> Self {
        Self {
            sentences: sentences::Splitter::english(),
            words: words::Tokenizer::new(),
            detector: language::Detector::load(),
        }
    }
}

impl Ifeval {
    /// Whether `answer` follows an instruction, by the reading.
    fn follows(&self, instruction: &Instruction, answer: &str) -> Followed {
        let language = self.language.get_or_init(Language::load);
        let one = |text: &str| {
            if strip(text).is_empty() { Followed::No } else { instruction.check.follows(text, language) }
        };
        match self.reading {
            Reading::Strict => one(answer),
            Reading::Loose => {
                let variants = loosened(answer);
                variants.iter().map(|text| one(text)).find(|f| *f != Followed::No).unwrap_or(Followed::No)
            }
        }
    }
}

/// The eight texts of which one must follow, the answer itself first.
fn loosened(answer: &str) -> [String; 8] {
    let without_first = answer.split_once('\n').map_or("", |(_, rest)| rest);
    let without_last = answer.rsplit_once('\n').map_or("", |(rest, _)| rest);
    let without_both = without_first.rsplit_once('\n').map_or("", |(rest, _)| rest);
    let [first, last, both] = [without_first, without_last, without_both].map(strip);
    let plain = |text: &str| text.replace('*', "");
    [
        answer.to_owned(),
        plain(answer),
        first.to_owned(),
        last.to_owned(),
        both.to_owned(),
        plain(first),
        plain(last),
        plain(both),
    ]
}

/// What the paper's program does to an answer before LiveBench scores it (MixupModelMerge,
/// `inference_llms_instruct_math_code.py`, `test_instruction_following`).
fn cleaned_up(answer: &str) -> String {
    let text = answer.replace("The answer is:", "");
    strip(text.trim_matches(|c| ".,!?;: ".contains(c)).trim_matches('\n')).to_owned()
}

impl Scorer for Ifeval {
    fn version(&self) -> u32 {
        1
    }

    fn check(&self, item: &Item) -> Result<(), BadField> {
        instruction::of(item).map(|_| ())
    }

    fn score(&self, item: &Item, answer: &str, _: &Tools<'_>) -> Verdict {
        let answer = if self.paper_clean_up { cleaned_up(answer) } else { answer.to_owned() };
        if strip(&answer).is_empty() {
            return Verdict::no_answer();
        }
        // The item has passed `check`.
        let instructions = instruction::of(item).unwrap_or_default();
        let mut broken = Vec::new();
        for instruction in &instructions {
            match self.follows(instruction, &answer) {
                Followed::Yes => {}
                Followed::No => broken.push(instruction.id.clone()),
                Followed::Raises(exception) => {
                    let reason = Reason::ReferenceRaises { exception: exception.to_owned() };
                    return Verdict::scored(0.0, None, reason);
                }
                Followed::Random(what) => {
                    return Verdict::Unscored { why: Unscored::ReferenceIsRandom { what: what.to_owned() } };
                }
            }
        }
        if broken.is_empty() {
            return Verdict::scored(1.0, None, Reason::Correct);
        }
        let share = (instructions.len() - broken.len()) as f64 / instructions.len() as f64;
        let value = match self.score {
            Score::All => 0.0,
            Score::AllAndShare => share / 2.0,
        };
        Verdict::scored(value, None, Reason::NotFollowed { instructions: broken })
    }
}
