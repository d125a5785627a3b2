//! Which benchmarks and which kinds of scorers there are. Adding a benchmark with a known kind of scorer is a folder
//! under `benchmarks/` and a line here.

use crate::bench::card::ScorerChoice;
use crate::bench::error::BenchError;
use crate::bench::score::{
    Exact, ExactMatch, Gsm8k, HumanEval, Ifeval, Judged, LabelWord, LivebenchCoding, Matches, Math,
    MathValue, Mbpp, MultipleChoice, Numeric, Scorer, Typos,
};
use serde::de::DeserializeOwned;

/// An adapter, embedded in the binary.
pub(super) struct Adapter {
    /// The folder under `benchmarks/`.
    pub(super) id: &'static str,
    /// Its `benchmark.toml`.
    pub(super) card: &'static str,
    /// Its prompt template: the text of `prompt.jinja`.
    pub(super) prompt: &'static str,
    /// Its `cases.json`.
    pub(super) cases: &'static str,
}

/// The name of every embedded template.
pub(super) const PROMPT_FILE: &str = "prompt.jinja";

macro_rules! adapters {
    ($($id:literal),* $(,)?) => {
        /// Every benchmark's name, in the order in which people list them.
        pub(super) const NAMES: &[&str] = &[$($id),*];

        /// Every adapter, in the same order.
        pub(super) const ADAPTERS: &[Adapter] = &[$(Adapter {
            id: $id,
            card: include_str!(concat!("../../benchmarks/", $id, "/benchmark.toml")),
            prompt: include_str!(concat!("../../benchmarks/", $id, "/prompt.jinja")),
            cases: include_str!(concat!("../../benchmarks/", $id, "/cases.json")),
        }),*];
    };
}

adapters! {
    "gsm8k",
    "math",
    "humaneval",
    "mbpp",
    "instructions",
    "sst2",
    "cola",
    "livebench_typos",
    "livebench_if",
    "livebench_lcb_generation",
    "livebench_coding_completion",
    "ifeval",
    "alpaca_eval",
}

type Make = fn(toml::Table) -> Result<Box<dyn Scorer>, toml::de::Error>;

/// Every kind of scorer.
const SCORERS: &[(&str, Make)] = &[
    ("gsm8k", make::<Gsm8k>),
    ("math", make::<Math>),
    ("math_value", make::<MathValue>),
    ("humaneval", make::<HumanEval>),
    ("mbpp", make::<Mbpp>),
    ("exact", make::<Exact>),
    ("exact_match", make::<ExactMatch>),
    ("numeric", make::<Numeric>),
    ("regex", make::<Matches>),
    ("label_word", make::<LabelWord>),
    ("multiple_choice", make::<MultipleChoice>),
    ("judged", make::<Judged>),
    ("typos", make::<Typos>),
    ("ifeval", make::<Ifeval>),
    ("livebench_coding", make::<LivebenchCoding>),
];

fn make<S: Scorer + DeserializeOwned + 'static>(
    options: toml::Table,
) -> Result<Box<dyn Scorer>, toml::de::Error> {
    options.try_into::<S>().map(|scorer| Box::new(scorer) as Box<dyn Scorer>)
}

/// The scorer that the card of `file` chooses in a table, `[scorer]` or one of `[[standard]]`.
pub(super) fn scorer(file: &str, table: &str, choice: &ScorerChoice) -> Result<Box<dyn Scorer>, BenchError> {
    let Some((_, make)) = SCORERS.iter().find(|(name, _)| *name == choice.name) else {
        let accepted: Vec<_> = SCORERS.iter().map(|(name, _)| format!("`{name}`")).collect();
        return Err(BenchError::CardValue {
            file: file.to_owned(),
            key: "scorer.name",
            got: format!("`{}`", choice.name),
            accepted: format!("one of {}", accepted.join(", ")),
        });
    };
    make(choice.options.clone()).map_err(|source| BenchError::Options {
        file: file.to_owned(),
        table: table.to_owned(),
        scorer: choice.name.clone(),
        source: Box::new(source),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::error::Error as _;

    #[test]
    fn an_unknown_scorer_or_option_is_named() {
        let choice = |text: &str| ScorerChoice::from(text.parse::<toml::Table>().unwrap());
        let e = scorer("x.toml", "[scorer]", &choice("name = \"gsm9k\"")).unwrap_err().to_string();
        assert!(e.contains("`gsm9k`") && e.contains("`gsm8k`"), "{e}");
        let failed = |text| scorer("x.toml", "[[standard]] strict", &choice(text)).unwrap_err();
        let e = failed("name = \"mbpp\"\ntimeout = 3.0").to_string();
        assert!(e.contains("x.toml") && e.contains("[[standard]] strict") && e.contains("`mbpp`"), "{e}");
        let source = |text| failed(text).source().unwrap().to_string();
        let e = source("name = \"mbpp\"\ntimeout = 3.0");
        assert!(e.contains("`timeout`") && e.contains("`timeout_seconds`"), "{e}");
        let e = source("name = \"mbpp\"\ntimeout_seconds = 0.0");
        assert!(e.contains("above 0"), "{e}");
    }
}
