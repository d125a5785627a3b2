//! Taking a program out of an answer and running it: what the scorers of programs have in common.

use super::{Tools, suspicion};
use crate::bench::dataset::Item;
use crate::bench::extract::{before_first, strip};
use crate::bench::verdict::{Reason, Unscored, Verdict};
use crate::sandbox::{Ending, Job, Limit, Limits};
use serde::Deserialize;
use std::error::Error;
use std::time::Duration;

/// The options of every scorer that runs programs.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::bench) struct Options {
    /// Wall time that a program may use, or one of its tests where each has its own: the reference harness's.
    timeout_seconds: Seconds,
}

impl Options {
    /// The time limit.
    pub(super) fn timeout(&self) -> Duration {
        self.timeout_seconds.0
    }

    /// The limits of a program that has this time for everything.
    pub(super) fn limits(&self) -> Limits {
        let wall = self.timeout();
        // The processor limit is the belt behind the wall limit: a second more, for the interpreter's start.
        Limits { wall, cpu: wall + Duration::from_secs(1), ..Limits::default() }
    }
}

/// The options of a scorer that knows the paper's chain of post-processing.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::bench) struct Chained {
    /// As in [`Options`].
    timeout_seconds: Seconds,
    /// What is done to an answer before it is run.
    #[serde(default)]
    post_processing: PostProcessing,
}

/// How a program is taken out of an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum PostProcessing {
    /// By the paper's chain ([`extract`]).
    #[default]
    Paper,
    /// Not at all: the answer is the program, as the benchmarks' own harnesses run it.
    None,
}

impl Chained {
    /// The limits of a program.
    pub(super) fn limits(&self) -> Limits {
        Options { timeout_seconds: self.timeout_seconds }.limits()
    }

    /// The program in a raw answer.
    pub(super) fn extract(&self, answer: &str, dialect: &Dialect) -> String {
        match self.post_processing {
            PostProcessing::Paper => extract(answer, dialect),
            PostProcessing::None => answer.to_owned(),
        }
    }
}

/// A duration above zero, and at most an hour.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "f64")]
struct Seconds(Duration);

impl TryFrom<f64> for Seconds {
    type Error = &'static str;
    fn try_from(seconds: f64) -> Result<Self, Self::Error> {
        if seconds > 0.0 && seconds <= 3600.0 {
            Ok(Self(Duration::from_secs_f64(seconds)))
        } else {
            Err("a number of seconds above 0 and at most 3600")
        }
    }
}

/// A scorer whose answers are programs.
pub(in crate::bench) trait Programs {
    /// The program in a raw answer.
    fn extract(&self, answer: &str) -> String;

    /// What runs first, with `code` in it, the tests that must run after it, and under which limits. Nothing only if the
    /// row has not passed [`Scorer::check`](super::Scorer::check).
    fn job(&self, item: &Item, code: &str) -> Option<Job>;
}

impl dyn Programs + '_ {
    /// What a program is worth that has been taken out of its answer.
    pub(in crate::bench) fn score(&self, item: &Item, code: &str, tools: &Tools<'_>) -> Verdict {
        run(self.job(item, code), code, tools)
    }
}

/// The exception with which a judge that runs in the sandbox itself ends a test that takes too long.
const TIMEOUT: &str = "TimeoutException";

/// Where the two chains of post-processing differ.
pub(in crate::bench) struct Dialect {
    /// Remove every carriage return first.
    pub(super) drop_carriage_returns: bool,
    /// What closes a fenced block.
    pub(super) closing_fence: &'static str,
    /// Comments that open the part with the examples; the program ends before them.
    pub(super) example_marks: &'static [&'static str],
}

/// The program in a raw answer: MixupModelMerge, `inference_llms_instruct_math_code.py`, `test_human_eval` and
/// `test_mbpp`. Each step works on what the one before left, in this order.
pub(super) fn extract(answer: &str, dialect: &Dialect) -> String {
    let mut code = answer.rsplit("### Response:").next().unwrap_or_default().replace('\t', "    ");
    if dialect.drop_carriage_returns {
        code = code.replace('\r', "");
    }
    let mut code = strip(&code).to_owned();

    // From the first Python fence to the next closing one. Without a closing one, only the opening marks go.
    if let Some(fence) = code.find("```python") {
        let opened = strip(&code[fence..]).replace("```python", "");
        code = before_first(&opened, dialect.closing_fence).map(str::to_owned).unwrap_or(opened);
    }
    for mark in ["if __name__ == \"__main__\":"].iter().chain(dialect.example_marks) {
        if let Some(kept) = before_first(&code, mark) {
            code = kept.to_owned();
        }
    }
    // "to deal with the outputs of code-alpaca", as the program says.
    for phrase in ["The solution is:", "The answer is:"] {
        if let Some(at) = code.find(phrase) {
            let said = strip(&code[at..]).replace(phrase, "");
            before_first(&said, "\n\nThe answer is:").unwrap_or_else(|| strip(&said)).clone_into(&mut code);
        }
    }
    code
}

/// Runs a job, and says what its ending makes the answer worth. `code` is what was extracted.
fn run(job: Option<Job>, code: &str, tools: &Tools<'_>) -> Verdict {
    let Some(sandbox) = tools.sandbox else {
        return Verdict::Unscored { why: Unscored::NoSandbox };
    };
    let failed = |reason| Verdict::Unscored { why: Unscored::SandboxFailed { reason } };
    let Some(job) = job else { return failed("the tests in the row cannot be read".to_owned()) };
    let report = match sandbox.run(&job) {
        Ok(report) => report,
        Err(error) => return failed(chain(&error)),
    };
    let died = |how: String| Reason::ProgramDied { how };
    let reason = match report.ending {
        Ending::Passed => match suspicion::of(code) {
            None => return Verdict::correct(code),
            Some(what) => {
                let reason = Reason::SuspiciouslyCorrect { what: what.to_owned() };
                return Verdict::scored(1.0, Some(code), reason);
            }
        },
        // An empty program is run all the same, for the reference does; that it fails is then no news.
        _ if code.is_empty() => return Verdict::no_answer(),
        Ending::Failed { kind, .. } if kind == TIMEOUT => Reason::ProgramTimedOut,
        Ending::Failed { exception, kind } => {
            let exception = if exception.is_empty() { kind } else { format!("{kind}: {exception}") };
            Reason::ProgramFailed { exception }
        }
        Ending::TimedOut { which: Limit::Wall } => Reason::ProgramTimedOut,
        Ending::TimedOut { which: Limit::Cpu } => died("the processor time limit".to_owned()),
        Ending::OutOfMemory => died("out of memory".to_owned()),
        Ending::Crashed { signal } => died(format!("signal {signal}")),
        Ending::Exited { code } => died(format!("it left with exit code {code} before its tests were done")),
        Ending::OutputFlood => died("too much on the verdict channel".to_owned()),
        Ending::Tampered => died("it wrote to the verdict channel itself".to_owned()),
    };
    Verdict::scored(0.0, Some(code), reason)
}

/// An error with its causes, in one line.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
