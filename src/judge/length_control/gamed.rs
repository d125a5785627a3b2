//! alpaca_eval's `df_gamed.csv`: verdicts on two deliberately long or short baselines, and how difficult each instruction
//! is. The file is published in the data set `tatsu-lab/alpaca_eval`; it does not ship with this project.

use crate::digest::sha256;
use crate::files;
use crate::judge::JudgeError;
use serde::Deserialize;
use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// A line of the file.
#[derive(Clone, Debug, Deserialize, PartialEq)]
pub(super) struct GamedRow {
    /// Share of the preference for the gamed baseline, 0..=1.
    pub(super) preference: f64,
    /// Position of the instruction in the evaluation set.
    index: usize,
    /// Standardised difference of lengths.
    pub(super) std_delta_len: f64,
    /// Difficulty of the instruction.
    #[serde(rename = "instruction_difficulty")]
    pub(super) difficulty: f64,
    /// 1 for the model under test, 0 for a gamed baseline.
    #[serde(rename = "not_gamed_baseline", deserialize_with = "python_bool")]
    pub(super) not_gamed: bool,
}

fn python_bool<'de, D: serde::Deserializer<'de>>(from: D) -> Result<bool, D::Error> {
    match String::deserialize(from)?.as_str() {
        "True" | "true" | "1" => Ok(true),
        "False" | "false" | "0" => Ok(false),
        other => Err(serde::de::Error::custom(format!("`{other}` is neither True nor False"))),
    }
}

/// What the full length-controlled model needs from outside.
#[derive(Clone, Debug)]
pub struct Gamed {
    path: PathBuf,
    /// SHA-256 of the file, for reports: the published file has no checksum in alpaca_eval's code that it could be held against.
    pub sha256: String,
    pub(super) rows: Vec<GamedRow>,
    /// Difficulty by position in the evaluation set.
    pub(super) difficulties: Vec<f64>,
}

impl Gamed {
    /// Where alpaca_eval 0.6.6 takes it from (`metrics/glm_winrate.py`): data set of the Hugging Face hub, revision, file.
    pub const PUBLISHED: (&str, &str, &str) = ("tatsu-lab/alpaca_eval", "main", "df_gamed.csv");

    /// Reads the file.
    pub fn read(path: &Path) -> Result<Self, JudgeError> {
        let bad = |reason: String| JudgeError::BadGamed { path: path.to_owned(), reason };
        let text = files::read_text(path)?;
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        let rows: Vec<GamedRow> =
            reader.deserialize().collect::<Result<_, _>>().map_err(|e| bad(e.to_string()))?;
        let usable = |r: &GamedRow| {
            (0.0..=1.0).contains(&r.preference) && r.std_delta_len.is_finite() && r.difficulty.is_finite()
        };
        if let Some(at) = rows.iter().position(|r| !usable(r)) {
            return Err(bad(format!("line {} holds a number that is out of range", at + 2)));
        }
        // alpaca_eval takes the first line of each instruction and then looks it up by its place in the file.
        let mut seen = HashSet::new();
        let first: Vec<&GamedRow> = rows.iter().filter(|r| seen.insert(r.index)).collect();
        if first.is_empty() || first.iter().enumerate().any(|(at, r)| r.index != at) {
            return Err(bad("the first lines do not count the instructions up from 0".into()));
        }
        let difficulties = first.iter().map(|r| r.difficulty).collect();
        Ok(Self { path: path.to_owned(), sha256: sha256(text.as_bytes()), rows, difficulties })
    }

    /// Makes sure that there are difficulties for `needed` instructions.
    pub(super) fn covers(&self, needed: usize) -> Result<(), JudgeError> {
        let known = self.difficulties.len();
        if needed <= known {
            return Ok(());
        }
        Err(JudgeError::FewDifficulties { path: self.path.clone(), known, needed })
    }
}
