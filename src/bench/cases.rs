//! `cases.json`: answers that somebody wrote by hand, with what they should be worth. Every adapter has some; they are
//! run by the tests and by `m3 bench check`.

use crate::bench::benchmark::Benchmark;
use crate::bench::dataset::Item;
use crate::bench::error::BenchError;
use crate::bench::profile::Profile;
use crate::bench::score::Tools;
use crate::bench::verdict::{Unscored, Verdict};
use serde::Deserialize;
use serde_json::{Map, Value};

/// The file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Cases {
    /// The row of every case that has none of its own.
    item: Map<String, Value>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    #[serde(default)]
    item: Option<Map<String, Value>>,
    answer: Answer,
    /// A metric of the standard profile; without it the paper's rules apply.
    #[serde(default)]
    metric: Option<String>,
    /// The reason of the verdict, as it is stored; `needs_judge` where nothing is scored.
    is: String,
    /// The value, where it is not 1 for `correct` and 0 for everything else.
    #[serde(default)]
    value: Option<f64>,
    /// What is extracted; left out where that is not looked at, null for nothing.
    #[serde(default)]
    extracted: Extracted,
}

/// What should be extracted.
#[derive(Default, Deserialize)]
#[serde(from = "Option<String>")]
enum Extracted {
    /// That is not looked at.
    #[default]
    Anything,
    Nothing,
    Text(String),
}

impl From<Option<String>> for Extracted {
    fn from(given: Option<String>) -> Self {
        given.map_or(Self::Nothing, Self::Text)
    }
}

/// A text, or one that is too long to be written out.
#[derive(Deserialize)]
#[serde(untagged)]
enum Answer {
    Text(String),
    Long(Long),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Long {
    before: String,
    repeat: String,
    times: usize,
    after: String,
}

/// How a hand-made case went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaseResult {
    /// The case.
    pub name: String,
    /// What is not as written; nothing if all is.
    pub problem: Option<String>,
}

/// Scores every case of `text`, the contents of `file`.
pub(super) fn run(
    benchmark: &Benchmark,
    file: &str,
    text: &str,
    tools: &Tools<'_>,
) -> Result<Vec<CaseResult>, BenchError> {
    let cases: Cases =
        serde_json::from_str(text).map_err(|source| BenchError::Cases { file: file.to_owned(), source })?;
    let run = |case: Case| {
        let fields = case.item.as_ref().unwrap_or(&cases.item).clone();
        let problem = problem(benchmark, &case, &Item::new("0".into(), fields), tools);
        CaseResult { name: case.name, problem }
    };
    Ok(cases.cases.into_iter().map(run).collect())
}

fn problem(benchmark: &Benchmark, case: &Case, item: &Item, tools: &Tools<'_>) -> Option<String> {
    let answer = match &case.answer {
        Answer::Text(text) => text.clone(),
        Answer::Long(long) => long.before.clone() + &long.repeat.repeat(long.times) + &long.after,
    };
    let verdict = match &case.metric {
        None => benchmark.score(item, &answer, tools),
        Some(name) => {
            let measures = match benchmark.measures(Profile::Standard) {
                Ok(measures) => measures,
                Err(e) => return Some(e.to_string()),
            };
            match measures.iter().find(|m| m.name == name) {
                Some(measure) => measure.score(item, &answer, tools),
                None => return Some(format!("there is no metric `{name}`")),
            }
        }
    };
    if let (Verdict::Unscored { why: Unscored::NeedsJudge }, "needs_judge") = (&verdict, case.is.as_str()) {
        return None;
    }
    let Verdict::Scored { value, extracted, reason } = &verdict else {
        return Some(format!("unscored: {verdict:?}"));
    };
    let is = serde_json::to_value(reason).map_or(Value::Null, |r| r["is"].clone());
    let expected = case.value.unwrap_or(if case.is == "correct" { 1.0 } else { 0.0 });
    if is != case.is.as_str() {
        let is = is.as_str().unwrap_or_default();
        return Some(format!("the verdict is `{is}` and should be `{}`", case.is));
    }
    if *value != expected {
        return Some(format!("the value is {value} and should be {expected}"));
    }
    let wanted = match &case.extracted {
        Extracted::Anything => return None,
        Extracted::Nothing => None,
        Extracted::Text(text) => Some(text),
    };
    let said = |text: Option<&String>| text.map_or("nothing".to_owned(), |text| format!("{text:?}"));
    (extracted.as_ref() != wanted)
        .then(|| format!("{} is extracted and should be {}", said(extracted.as_ref()), said(wanted)))
}
