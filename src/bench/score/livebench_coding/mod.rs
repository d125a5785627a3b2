//! LiveBench's coding tasks, `LCB_generation` and `coding_completion`: does the program pass all of its public and
//! private tests? Which part of the answer is the program: LiveBench, `lcb_runner/utils/extraction_utils.py`. How it
//! is judged: LiveBench, `process_results/coding/utils.py`, and LiveCodeBench, `testing_util.py`, retold in `judge.py`.
//!
//! Where LiveCodeBench's versions differ about standard input, a program may use what any of them has: some have
//! `sys.stdin.buffer` and cannot be iterated over, others the reverse.
//!
//! - `judge.py`: what runs in the sandbox
//! - `packed.rs`: tests as LiveCodeBench packs them

mod packed;

use super::program::{Options, Programs};
use super::{BadField, Scorer, Tools, need};
use crate::bench::dataset::Item;
use crate::bench::extract::is_python_space;
use crate::bench::verdict::Verdict;
use crate::sandbox::{Job, Limits};
use serde::Deserialize;
use serde_json::{Map, Value};
use std::time::Duration;

const JUDGE: &str = include_str!("judge.py");
const PUBLIC: &str = "public_test_cases";
const PRIVATE: &str = "private_test_cases";
const PARTIAL: &str = "partial_solution";
const METADATA: &str = "original_json";

/// LiveBench's scorer for programs.
#[derive(Clone, Debug, Deserialize)]
#[serde(transparent)]
pub(in crate::bench) struct LivebenchCoding(Options);

/// One test of a row.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Test {
    input: String,
    output: String,
    #[serde(rename = "testtype")]
    _kind: Kind,
}

/// Is checked and not used: whether a row has a function's name decides, as in the reference.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Stdin,
    Functional,
}

/// The tests of a row, the public ones first. There is at least one.
fn tests(item: &Item) -> Result<Vec<Test>, BadField> {
    const LIST: &str = "the JSON text of a list of tests, each with `input`, `output` and `testtype`";
    let list =
        |key: &str, text: &str| serde_json::from_str::<Vec<Test>>(text).map_err(|_| BadField::new(key, LIST));
    let mut tests = list(PUBLIC, need(item, PUBLIC)?)?;
    let private = need(item, PRIVATE)?;
    if serde_json::from_str::<Value>(private).is_ok() {
        tests.extend(list(PRIVATE, private)?);
    } else {
        let text = packed::unpack(private).map_err(|wanted| BadField::new(PRIVATE, wanted))?;
        tests.extend(list(PRIVATE, &text)?);
    }
    if tests.is_empty() {
        return Err(BadField::new(PUBLIC, "a list of tests that is not empty, where the private one is"));
    }
    Ok(tests)
}

/// The name of the function to call; nothing where the program reads and writes.
fn function(item: &Item) -> Result<Option<String>, BadField> {
    let bad = || BadField::new(METADATA, "an object whose `metadata` is the JSON text of an object");
    let metadata = item.fields.get(METADATA).and_then(|m| m.get("metadata")).and_then(Value::as_str);
    let metadata: Map<String, Value> = serde_json::from_str(metadata.ok_or_else(bad)?).map_err(|_| bad())?;
    match metadata.get("func_name") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(name)) => Ok(Some(name.clone())),
        Some(_) => Err(BadField::new(METADATA, "an object whose metadata has a text as its `func_name`")),
    }
}

/// The beginning of the program that the row gives; empty where it gives none.
fn partial(item: &Item) -> Result<&str, BadField> {
    match item.fields.get(PARTIAL) {
        None | Some(Value::Null) => Ok(""),
        Some(Value::String(text)) => Ok(text),
        Some(_) => Err(BadField::new(PARTIAL, "a text, null, or left out")),
    }
}

/// What is between the last two lines with a fence; with fewer fences, about everything.
fn extract(answer: &str) -> String {
    let whole = answer.trim_end_matches(is_python_space);
    let lines: Vec<&str> = whole.split('\n').collect();
    let fences: Vec<usize> = (0..lines.len()).filter(|i| lines[*i].contains("```")).collect();
    match *fences.as_slice() {
        [.., from, to] => lines[from + 1..to].join("\n"),
        _ if answer.len() > 1 && answer.starts_with('`') && answer.ends_with('`') => {
            answer[1..answer.len() - 1].to_owned()
        }
        [only] if only + 1 == lines.len() => lines[..only].join("\n"),
        _ => whole.to_owned(),
    }
}

/// A text as a Python literal, which JSON's is too.
fn literal(text: &str) -> String {
    Value::from(text).to_string()
}

impl Scorer for LivebenchCoding {
    fn version(&self) -> u32 {
        1
    }

    fn programs(&self) -> Option<&dyn Programs> {
        Some(self)
    }

    fn check(&self, item: &Item) -> Result<(), BadField> {
        tests(item)?;
        function(item)?;
        partial(item)?;
        Ok(())
    }

    fn score(&self, item: &Item, answer: &str, tools: &Tools<'_>) -> Verdict {
        let programs: &dyn Programs = self;
        programs.score(item, &programs.extract(answer), tools)
    }
}

impl Programs for LivebenchCoding {
    fn extract(&self, answer: &str) -> String {
        extract(answer)
    }

    fn job(&self, item: &Item, code: &str) -> Option<Job> {
        let (tests, function, partial) = (tests(item).ok()?, function(item).ok()?, partial(item).ok()?);
        let program = if code.starts_with(partial) { code.to_owned() } else { format!("{partial}\n{code}") };
        let function = function.map_or("None".to_owned(), |name| literal(&name));
        let seconds = self.0.timeout().as_secs_f64();
        let candidate = format!("{JUDGE}\n\nrun = judge({}, {function}, {seconds:?})\n", literal(&program));
        let tests: Vec<(String, String)> = tests.into_iter().map(|t| (t.input, t.output)).collect();
        // The reference gives each test so long, all of them together one second more for each and five at the end, and
        // sets no limit to memory; here it is 4 GiB.
        let each = self.0.timeout() + Duration::from_secs(1);
        let wall = each.saturating_mul(u32::try_from(tests.len()).ok()?) + Duration::from_secs(5);
        let limits =
            Limits { wall, cpu: wall + Duration::from_secs(1), memory: 4 << 30, ..Limits::default() };
        let tests = format!("run({})", literal(&serde_json::to_string(&tests).ok()?));
        Some(Job { candidate, tests, limits })
    }
}

#[cfg(test)]
mod tests {
    use super::extract;

    #[test]
    fn the_program_is_between_the_last_two_fences() {
        let cases = [
            ("a\n```python\nb\n```\nc", "b"),
            ("```\na\n```\n```python\nb\nc\n```", "b\nc"),
            // A closing fence and the next opening one are two fences as well.
            ("```\na\n```\ntext\n```python\nb", "text"),
            ("a ``` b\nc\n ```d", "c"),
            ("a\nb\n```", "a\nb"),
            ("a\nb\n``` \n\n", "a\nb"),
            ("```python\na\n", "```python\na"),
            ("a \n", "a"),
            ("`a`", "a"),
            ("``", ""),
            ("`", "`"),
            ("`é\n", "`é"),
            ("", ""),
            ("```\n```", ""),
        ];
        for (answer, program) in cases {
            assert_eq!(extract(answer), program, "{answer:?}");
        }
    }
}
