//! MBPP: does the program pass its tests? The answer's code comes from the paper's chain (see `program.rs`), which
//! differs from HumanEval's in three places; the program is that of bigcode-evaluation-harness' `mbpp` task with
//! `--load_generations_path`: `completion + "\n" + "\n".join(test_list)`. Like there, `test_setup_code` and the
//! challenge tests are not used.

use super::program::{Chained, Dialect, Programs};
use super::{BadField, Scorer, Tools, need};
use crate::bench::dataset::Item;
use crate::bench::verdict::Verdict;
use crate::sandbox::Job;
use serde::Deserialize;
use serde_json::Value;

/// MBPP's scorer.
#[derive(Clone, Debug, Deserialize)]
#[serde(transparent)]
pub(in crate::bench) struct Mbpp(Chained);

const DIALECT: Dialect = Dialect {
    drop_carriage_returns: false,
    closing_fence: "\n```",
    example_marks: &["# Example usage", "# Test examples"],
};

impl Scorer for Mbpp {
    fn version(&self) -> u32 {
        2
    }

    fn programs(&self) -> Option<&dyn Programs> {
        Some(self)
    }

    fn check(&self, item: &Item) -> Result<(), BadField> {
        need(item, "text")?;
        let tests = item.fields.get("test_list").and_then(Value::as_array);
        match tests {
            Some(tests) if !tests.is_empty() && tests.iter().all(Value::is_string) => Ok(()),
            _ => Err(BadField::new("test_list", "a list of one or more texts")),
        }
    }

    fn score(&self, item: &Item, answer: &str, tools: &Tools<'_>) -> Verdict {
        let programs: &dyn Programs = self;
        programs.score(item, &programs.extract(answer), tools)
    }
}

impl Programs for Mbpp {
    fn extract(&self, answer: &str) -> String {
        self.0.extract(answer, &DIALECT)
    }

    fn job(&self, item: &Item, code: &str) -> Option<Job> {
        let tests = item.fields.get("test_list").and_then(Value::as_array);
        let tests: Vec<&str> = tests.into_iter().flatten().filter_map(Value::as_str).collect();
        Some(Job { candidate: format!("{code}\n"), tests: tests.join("\n"), limits: self.0.limits() })
    }
}

#[cfg(test)]
mod tests {
    use super::super::program;
    use super::*;

    #[test]
    fn mbpp_differs_in_three_places() {
        let cases = [
            ("a\r\nb", "a\r\nb"),
            ("```python\nf('```')\n```", "f('```')"),
            ("f()\n# Test examples:\nf()", "f()"),
        ];
        for (answer, code) in cases {
            assert_eq!(program::extract(answer, &DIALECT), code, "{answer:?}");
        }
    }
}
