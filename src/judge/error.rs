//! What can be wrong with a judgement.

use crate::completion::CompleteError;
use crate::files::FileError;
use std::path::PathBuf;
use thiserror::Error;

/// A judgement that cannot be made.
#[derive(Debug, Error)]
pub enum JudgeError {
    /// A file.
    #[error(transparent)]
    File(#[from] FileError),
    /// A file of outputs that does not parse.
    #[error(
        "`{}` is not a file of outputs: {reason}; a JSON array (or JSON lines) of objects with `instruction`, `output` and \
         `generator` is needed",
        path.display()
    )]
    BadOutputs {
        /// The file.
        path: PathBuf,
        /// Where and why.
        reason: String,
    },
    /// A file of annotations that does not parse.
    #[error(
        "`{}` is not a file of annotations: {reason}; what is needed is alpaca_eval's annotations.json, a JSON array of \
         objects with `instruction`, `output_1`, `output_2`, `generator_1`, `generator_2` and `preference`",
        path.display()
    )]
    BadAnnotations {
        /// The file.
        path: PathBuf,
        /// Where and why.
        reason: String,
    },
    /// The same instruction twice with different outputs.
    #[error("`{}` has more than one output for {count} of its instructions: {shown}; keep one for each", path.display())]
    Twice {
        /// The file.
        path: PathBuf,
        /// How many instructions.
        count: usize,
        /// The first of them.
        shown: String,
    },
    /// Outputs that do not belong together.
    #[error(
        "`{}` and `{}` are not about the same instructions: {missing} of the second are not in the first{shown_missing}; \
         {extra} of the first are not in the second{shown_extra}; give whole files, or --partial to judge what both have",
        outputs.display(), reference.display()
    )]
    Mismatch {
        /// The model's outputs.
        outputs: PathBuf,
        /// The reference's.
        reference: PathBuf,
        /// Instructions that only the reference has.
        missing: usize,
        /// Them.
        shown_missing: String,
        /// Instructions that only the model has.
        extra: usize,
        /// Them.
        shown_extra: String,
    },
    /// Nothing that both have.
    #[error("`{}` and `{}` have no instruction in common", outputs.display(), reference.display())]
    NothingInCommon {
        /// The model's outputs.
        outputs: PathBuf,
        /// The reference's.
        reference: PathBuf,
    },
    /// Instructions without an answer to compare with.
    #[error(
        "{missing} of {all} instructions have no answer to compare with in {place} ({shown}); name a file that has one for each \
         with --reference"
    )]
    NoReference {
        /// The file, or the data.
        place: String,
        /// Instructions.
        all: usize,
        /// Those without one.
        missing: usize,
        /// Them.
        shown: String,
    },
    /// Two models, references or annotators in one file.
    #[error("`{}` has more than one {what}: {found}; a file is about one", path.display())]
    Several {
        /// The file.
        path: PathBuf,
        /// What there should be one of.
        what: &'static str,
        /// Those that there are.
        found: String,
    },
    /// No annotator of this name.
    #[error("there is no annotator `{name}`; known are {known}, or name a folder with an annotator.toml")]
    UnknownAnnotator {
        /// What was asked for.
        name: String,
        /// Those that there are.
        known: String,
    },
    /// An annotator's card that does not parse, or makes no sense.
    #[error("`{file}` is not an annotator: {reason}")]
    BadAnnotator {
        /// The card.
        file: String,
        /// Where and why.
        reason: String,
    },
    /// Difficulties of instructions and the gamed baselines, for the length-controlled win rate.
    #[error("`{}` is not alpaca_eval's df_gamed.csv: {reason}", path.display())]
    BadGamed {
        /// The file.
        path: PathBuf,
        /// Where and why.
        reason: String,
    },
    /// Fewer difficulties than instructions.
    #[error(
        "`{}` has the difficulty of {known} instructions, but {needed} were judged; it belongs to another set of instructions",
        path.display()
    )]
    FewDifficulties {
        /// The file.
        path: PathBuf,
        /// Rows that it has.
        known: usize,
        /// Rows that are needed.
        needed: usize,
    },
    /// Who judges broke down.
    #[error("the judge failed; what it said so far is kept, and the same command goes on from there")]
    Complete(#[from] CompleteError),
}

impl JudgeError {
    /// Instructions for which `path`, or the data itself, has no answer to compare with.
    pub fn no_reference(path: Option<PathBuf>, all: usize, missing: &[&str]) -> Self {
        let place = path.map_or_else(
            || "the field `output` of the data".to_owned(),
            |path| format!("`{}`", path.display()),
        );
        Self::NoReference { place, all, missing: missing.len(), shown: shown(missing) }
    }
}

/// The first few of some texts, shortened, for an error.
pub(super) fn shown(texts: &[&str]) -> String {
    const MOST: usize = 5;
    let short = |text: &&str| {
        let mut line: String = text.chars().take(60).collect();
        if text.chars().count() > 60 {
            line.push('…');
        }
        format!("{line:?}")
    };
    let mut all: Vec<String> = texts.iter().take(MOST).map(short).collect();
    if texts.len() > MOST {
        all.push(format!("and {} more", texts.len() - MOST));
    }
    all.join(", ")
}
