//! What scoring an answer says. Wrong, invalid (nothing could be extracted) and unscored (nobody could tell) are three
//! different things.

use crate::bench::extract;
use serde::{Deserialize, Serialize};
use std::fmt;

/// What an answer is worth.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "snake_case", deny_unknown_fields)]
pub enum Verdict {
    /// The answer was scored.
    Scored {
        /// 0 to 1 for what is wrong or right.
        value: f64,
        /// What was taken for the answer, at most the first 16 KiB of it; `None` if nothing could be.
        extracted: Option<String>,
        /// Why the value is what it is.
        reason: Reason,
    },
    /// Nobody could tell what the answer is worth; it counts neither as right nor as wrong.
    Unscored {
        /// What stood in the way.
        why: Unscored,
    },
}

/// Why a value is what it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case", deny_unknown_fields)]
pub enum Reason {
    /// It is the right answer.
    Correct,
    /// It is right by its tests, as it is for the reference, and has what a program needs that deceives its tests.
    SuspiciouslyCorrect {
        /// What it has.
        what: String,
    },
    /// It is an answer, and not the right one.
    Wrong,
    /// Invalid: nothing could be extracted.
    NoAnswer,
    /// Invalid: the model could not answer, for the prompt is longer than its context or its logits became NaN.
    Refused {
        /// The engine's own words.
        reason: String,
    },
    /// Invalid: the paper's program would have stopped with an exception here, and its whole run with it.
    ReferenceRaises {
        /// The exception.
        exception: String,
    },
    /// Some instructions were not followed.
    NotFollowed {
        /// Their names, in the row's order.
        instructions: Vec<String>,
    },
    /// The program ended with an exception.
    ProgramFailed {
        /// The exception.
        exception: String,
    },
    /// The program did not end in time.
    ProgramTimedOut,
    /// The program ended otherwise than by running to its end: by a signal, by leaving, by exceeding a limit.
    ProgramDied {
        /// How.
        how: String,
    },
}

/// Why nobody could tell.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case", deny_unknown_fields)]
pub enum Unscored {
    /// The reference draws at random what it compares the answer with.
    ReferenceIsRandom {
        /// What it draws.
        what: String,
    },
    /// It must be judged, by a person or by another model.
    NeedsJudge,
    /// The answer is a program, and no sandbox was given to run it in.
    NoSandbox,
    /// The sandbox could not run the program.
    SandboxFailed {
        /// The sandbox's own words.
        reason: String,
    },
}

impl fmt::Display for Unscored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ReferenceIsRandom { what } => {
                write!(f, "the reference draws {what} at random, and says something else every time")
            }
            Self::NeedsJudge => f.write_str("answers to this benchmark are judged: m3 judge"),
            Self::NoSandbox => f.write_str("the answer is a program, and there is no sandbox to run it in"),
            Self::SandboxFailed { reason } => write!(f, "the sandbox could not run the program: {reason}"),
        }
    }
}

impl Verdict {
    /// The right answer.
    pub fn correct(extracted: &str) -> Self {
        Self::scored(1.0, Some(extracted), Reason::Correct)
    }

    /// An answer, and not the right one.
    pub fn wrong(extracted: &str) -> Self {
        Self::scored(0.0, Some(extracted), Reason::Wrong)
    }

    /// Right or wrong.
    pub fn judged(right: bool, extracted: &str) -> Self {
        if right { Self::correct(extracted) } else { Self::wrong(extracted) }
    }

    /// The model could not answer at all.
    pub fn refused(reason: &str) -> Self {
        Self::scored(0.0, None, Reason::Refused { reason: reason.to_owned() })
    }

    /// Nothing could be extracted.
    pub fn no_answer() -> Self {
        Self::scored(0.0, None, Reason::NoAnswer)
    }

    /// A value with its reason.
    pub fn scored(value: f64, extracted: Option<&str>, reason: Reason) -> Self {
        Self::Scored { value, extracted: extracted.map(|text| extract::keep(text).to_owned()), reason }
    }

    /// The value, if there is one.
    pub fn value(&self) -> Option<f64> {
        match self {
            Self::Scored { value, .. } => Some(*value),
            Self::Unscored { .. } => None,
        }
    }

    /// Whether it was scored, and nothing could be extracted.
    pub fn is_invalid(&self) -> bool {
        matches!(
            self,
            Self::Scored {
                reason: Reason::NoAnswer | Reason::Refused { .. } | Reason::ReferenceRaises { .. },
                ..
            }
        )
    }

    /// Whether nobody could tell.
    pub fn is_unscored(&self) -> bool {
        matches!(self, Self::Unscored { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The spelling on disk: old ledgers must stay readable.
    #[test]
    fn verdicts_are_stored_under_these_names() {
        let spelled = [
            (
                Verdict::correct("5"),
                r#"{"verdict":"scored","value":1.0,"extracted":"5","reason":{"is":"correct"}}"#,
            ),
            (
                Verdict::wrong("6"),
                r#"{"verdict":"scored","value":0.0,"extracted":"6","reason":{"is":"wrong"}}"#,
            ),
            (
                Verdict::no_answer(),
                r#"{"verdict":"scored","value":0.0,"extracted":null,"reason":{"is":"no_answer"}}"#,
            ),
            (
                Verdict::scored(0.0, None, Reason::ProgramFailed { exception: "x".into() }),
                r#"{"verdict":"scored","value":0.0,"extracted":null,"reason":{"is":"program_failed","exception":"x"}}"#,
            ),
            (
                Verdict::Unscored { why: Unscored::NoSandbox },
                r#"{"verdict":"unscored","why":{"is":"no_sandbox"}}"#,
            ),
        ];
        for (verdict, json) in spelled {
            assert_eq!(serde_json::to_string(&verdict).unwrap(), json);
            assert_eq!(serde_json::from_str::<Verdict>(json).unwrap(), verdict);
        }
    }
}
