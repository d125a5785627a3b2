//! A prompt attack on a model: each query is the model's accuracy over a whole data set, asked through the same pipeline
//! and kept in the same store as every evaluation, so that an interrupted attack goes on and no prompt is asked twice.

use super::{ExperimentError, Lab};
use crate::attack::{self, Accuracy, Attack, AttackError, CONTENT, Found, Query, Victim, drop_rate, marked};
use crate::bench::{Benchmark, Chance, Item, Split};
use crate::evaluate::{Evaluation, Subject};
use crate::event::{Event, Observer};
use crate::ids::{BenchmarkId, RunId};
use crate::runs::Answer;
use crate::statistics::bootstrap;
use serde::Serialize;
use std::collections::{BTreeSet, HashMap};
use std::time::Instant;

/// Items that are asked before it is looked whether a candidate can still win.
const BLOCK: usize = 64;
/// Prompts that are asked together.
const AT_ONCE: usize = 64;

/// How it is told what a model answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LabelsBy {
    /// By the label that it generates, as the benchmark reads it.
    #[default]
    Generation,
    /// By the first label that it generates, behind which it is stopped.
    FirstLabel,
    /// By the label that it thinks the likeliest after the prompt: no answer is invalid.
    Likelihood,
}

/// A data set and the prompt that is attacked.
pub struct Target<'l> {
    benchmark: &'l Benchmark,
    items: Vec<Item>,
    /// The field of an item whose text stands for `{content}`.
    field: String,
    /// The prompt, with `{content}`.
    pub prompt: String,
    /// The labels that answers are.
    pub labels: Vec<String>,
    labels_by: LabelsBy,
}

impl<'l> Target<'l> {
    /// The items of a benchmark's split, with its own prompt or another one. The benchmark's answers must be labels, and
    /// its template must be one field in a text.
    pub fn new(
        lab: &'l Lab<'_>,
        id: &BenchmarkId,
        split: Split,
        prompt: Option<&str>,
    ) -> Result<Self, ExperimentError> {
        let benchmark = lab.benchmark(id)?;
        let fails = |reason| ExperimentError::NotAttackable { benchmark: id.clone(), reason };
        let labels = benchmark.labels();
        if labels.is_empty() {
            return Err(fails("its answers are no labels"));
        }
        let template = benchmark.template();
        let (before, rest) = template.split_once("{{").ok_or_else(|| fails("its template has no field"))?;
        let (field, after) = rest.split_once("}}").ok_or_else(|| fails("its template has no field"))?;
        let field = field.trim().to_owned();
        let plain = |text: &str| !text.contains(['{', '}']);
        if !plain(before) || !plain(after) || field.contains(|c: char| !(c.is_alphanumeric() || c == '_')) {
            return Err(fails("its template is more than one field in a text"));
        }
        let prompt = prompt.map_or_else(|| format!("{before}{CONTENT}{after}"), str::to_owned);
        attack::check_prompt(&prompt, &labels)?;
        let items = lab.items(id, split)?;
        if items.is_empty() {
            return Err(ExperimentError::NoItems { benchmark: id.clone(), split });
        }
        Ok(Self { benchmark, items, field, prompt, labels, labels_by: LabelsBy::default() })
    }

    /// The same with another way to tell what the model answers.
    pub fn labels_by(mut self, labels_by: LabelsBy) -> Result<Self, ExperimentError> {
        if labels_by == LabelsBy::Likelihood && self.benchmark.by_likelihood()?.is_none() {
            let reason =
                "its labels are not numbered 0, 1 and so on, so that their likelihoods cannot be compared";
            return Err(ExperimentError::NotAttackable { benchmark: self.benchmark.id().clone(), reason });
        }
        if labels_by == LabelsBy::FirstLabel && self.benchmark.by_first_label()?.is_none() {
            let reason = "its answers are not read by `label_word`, so that there is no first label";
            return Err(ExperimentError::NotAttackable { benchmark: self.benchmark.id().clone(), reason });
        }
        self.labels_by = labels_by;
        Ok(self)
    }

    /// How many items there are.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Never: a target has items.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// The benchmark under `prompt`. Whatever braces an attack brought are text.
    fn under(&self, prompt: &str) -> Result<Benchmark, ExperimentError> {
        let literal = |text: &str| -> String {
            text.chars()
                .map(|c| if matches!(c, '{' | '}') { format!("{{{{ \"{c}\" }}}}") } else { c.to_string() })
                .collect()
        };
        let (before, after) = prompt.split_once(CONTENT).unwrap_or((prompt, ""));
        let template = format!("{}{{{{ {} }}}}{}", literal(before), self.field, literal(after));
        let asked = self.benchmark.with_template(template)?;
        match self.labels_by {
            LabelsBy::Generation => Ok(asked),
            LabelsBy::FirstLabel => Ok(asked.by_first_label()?.unwrap_or(asked)),
            LabelsBy::Likelihood => Ok(asked.by_likelihood()?.unwrap_or(asked)),
        }
    }
}

/// How often the model is right under one prompt.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Figure {
    /// The prompt, with `{content}`.
    pub prompt: String,
    /// The share of items that are right, in [0, 1].
    pub accuracy: f64,
    /// Items.
    pub n: usize,
    /// 95 % interval of the accuracy.
    pub ci95: Option<(f64, f64)>,
    /// Items whose answer names no label; they count as wrong.
    pub invalid: usize,
    /// The run that holds every answer.
    pub run: RunId,
}

/// What the questions of an attack cost, in tokens of the model: those of prompts, and those that were generated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct TokensRun {
    /// What this command ran through the model, where the engine knows it. What prompts begin with alike is run once, and what was
    /// known before is not run.
    pub run: Option<u64>,
    /// What the same questions are if each is asked alone, as PromptBench asks them. Of a candidate that was given up, those
    /// questions that it was asked.
    pub one_example_a_call: u64,
}

/// What an attack found, and what it costs the model.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Attacked {
    /// The data set.
    pub benchmark: BenchmarkId,
    /// The attack.
    pub attack: &'static str,
    /// Seed of what was drawn.
    pub seed: u32,
    /// The prompt as it is.
    pub clean: Figure,
    /// The prompt that hurts most.
    pub attacked: Figure,
    /// The performance drop rate (clean − attacked) / clean; none where the model is never right without an attack.
    pub pdr: Option<f64>,
    /// Its 95 % interval from a paired bootstrap over the items (Efron 1979).
    pub pdr_ci95: Option<(f64, f64)>,
    /// What a model that always says the same is right about.
    pub chance: Option<Chance>,
    /// Whether the clean accuracy is no better than that: then the drop rate means nothing.
    pub at_or_below_chance: bool,
    /// The prompt that hurts most, with its edits marked as wdiff does.
    pub edits: String,
    /// How it was told what the model answers.
    pub labels_by: LabelsBy,
    /// What the questions cost.
    pub tokens: TokensRun,
    /// Every prompt that was asked, in order.
    pub queries: Vec<Query>,
    /// Whether the budget ended the search.
    pub out_of_budget: bool,
    /// What is left out of the reference's attack, and why.
    pub notes: Vec<String>,
}

/// Attacks a model. `budget` is the number of prompts that may be asked, `seed` that of what is drawn.
pub fn attack(
    lab: &Lab<'_>,
    subject: &mut Subject<'_>,
    target: &Target<'_>,
    attack: &Attack,
    seed: u32,
    budget: Option<usize>,
    watch: &dyn Observer,
) -> Result<Attacked, ExperimentError> {
    let id = target.benchmark.id();
    let most = attack.most_queries(&target.prompt).min(budget.unwrap_or(usize::MAX));
    let work = format!("{} · {id}", attack.name);
    let total = (most * target.len()) as u64;
    watch.observe(&Event::Started { work: &work, total: Some(total), unit: "questions" });
    let begun = Instant::now();
    let before = subject.tokens_run();
    let mut asked = Asked::new(lab, subject, target, watch);
    let found = attack.run(&target.prompt, &mut asked, seed, budget).map_err(|e| match e {
        AttackError::Model(source) => match source.downcast::<ExperimentError>() {
            Ok(known) => *known,
            Err(other) => AttackError::Model(other).into(),
        },
        other => other.into(),
    })?;
    watch.observe(&Event::Finished { took: begun.elapsed() });
    // Both are in the store.
    let clean = asked.evaluate(&found.clean().prompt, target.len())?;
    let worst = asked.evaluate(&found.winner().prompt, target.len())?;
    let alone = asked.alone;
    let run = subject.tokens_run().zip(before).map(|(now, before)| now - before);
    let tokens = TokensRun { run, one_example_a_call: alone };
    Ok(report(target, attack, seed, found, tokens, &clean, &worst))
}

fn report(
    target: &Target<'_>,
    attack: &Attack,
    seed: u32,
    found: Found,
    tokens: TokensRun,
    clean: &Evaluation,
    worst: &Evaluation,
) -> Attacked {
    let figure = |query: &Query, evaluation: &Evaluation| {
        let summary = &evaluation.summary;
        Figure {
            prompt: query.prompt.clone(),
            accuracy: summary.mean.unwrap_or(0.0),
            n: summary.n,
            ci95: summary.ci95,
            invalid: summary.invalid,
            run: evaluation.run.clone(),
        }
    };
    let (was, is) = (figure(found.clean(), clean), figure(found.winner(), worst));
    let chance = target.benchmark.chance(&target.items);
    Attacked {
        benchmark: target.benchmark.id().clone(),
        attack: attack.name,
        seed,
        pdr: drop_rate(was.accuracy, is.accuracy),
        pdr_ci95: interval(&clean.values(), &worst.values()),
        at_or_below_chance: chance.as_ref().is_some_and(|chance| was.accuracy <= chance.share),
        chance,
        edits: marked(&was.prompt, &is.prompt),
        clean: was,
        attacked: is,
        labels_by: target.labels_by,
        tokens,
        queries: found.queries,
        out_of_budget: found.out_of_budget,
        notes: attack.notes.clone(),
    }
}

/// The 2.5 % and 97.5 % points of the drop rate of a resample of the items; resamples without a right answer have none.
fn interval(clean: &[f64], attacked: &[f64]) -> Option<(f64, f64)> {
    bootstrap(clean.len(), 0, "paired bootstrap of a drop rate", |items| {
        let (was, is) = items.fold((0.0, 0.0), |(was, is), item| (was + clean[item], is + attacked[item]));
        drop_rate(was, is)
    })
}

/// The model on the data set.
struct Asked<'a, 's, 'l, 'w> {
    lab: &'a Lab<'w>,
    subject: &'a mut Subject<'s>,
    target: &'a Target<'l>,
    watch: &'a dyn Observer,
    /// Whether no prompt was asked yet.
    first: bool,
    /// Questions of each prompt that were asked together with those of others, and are told as done already.
    ahead: HashMap<String, usize>,
    /// Tokens of all questions, each asked alone.
    alone: u64,
}

impl<'a, 's, 'l, 'w> Asked<'a, 's, 'l, 'w> {
    fn new(
        lab: &'a Lab<'w>,
        subject: &'a mut Subject<'s>,
        target: &'a Target<'l>,
        watch: &'a dyn Observer,
    ) -> Self {
        Self { lab, subject, target, watch, first: true, ahead: HashMap::new(), alone: 0 }
    }

    /// Evaluates the first `count` items under `prompt`.
    fn evaluate(&mut self, prompt: &str, count: usize) -> Result<Evaluation, ExperimentError> {
        let benchmark = self.target.under(prompt)?;
        self.lab.evaluate_as(self.subject, &benchmark, &self.target.items[..count])
    }

    fn ask(&mut self, prompt: &str, hopeless: Option<f64>) -> Result<Accuracy, ExperimentError> {
        let all = self.target.len();
        let blocks = hopeless.iter().flat_map(|_| (BLOCK..all).step_by(BLOCK));
        for count in blocks {
            let part = self.evaluate(prompt, count)?;
            // So many are right whatever the rest is.
            let certain = part.summary.right as f64 / all as f64;
            if hopeless.is_some_and(|hopeless| certain >= hopeless) {
                self.count(&part);
                return Ok(Accuracy::AtLeast(certain));
            }
        }
        let whole = self.evaluate(prompt, all)?;
        self.count(&whole);
        if self.first && whole.summary.invalid == all {
            let benchmark = self.target.benchmark.id().clone();
            return Err(ExperimentError::AnswersNothing { benchmark, n: all });
        }
        Ok(Accuracy::Exact(whole.summary.mean.unwrap_or(0.0)))
    }

    fn count(&mut self, evaluation: &Evaluation) {
        let tokens = |answer: &Answer| (answer.prompt_tokens + answer.generated_tokens) as u64;
        self.alone += evaluation.answers.iter().map(tokens).sum::<u64>();
    }

    /// Asks the first items under all of these prompts, item by item.
    fn together(&mut self, prompts: &[&str], bounded: bool) -> Result<(), ExperimentError> {
        let all = self.target.len();
        // A model that answers nothing is found out before many prompts are asked.
        let some = all.min(BLOCK);
        if self.first && self.evaluate(prompts[0], some)?.summary.invalid == some {
            return Ok(());
        }
        // A candidate that may be given up is asked so many items in any case.
        let items = &self.target.items[..if bounded { some } else { all }];
        let mut named = BTreeSet::new();
        let different: Vec<&str> = prompts.iter().copied().filter(|prompt| named.insert(*prompt)).collect();
        // Every prompt has a file of its own open.
        for part in different.chunks(AT_ONCE) {
            let benchmarks = part.iter().map(|p| self.target.under(p)).collect::<Result<Vec<_>, _>>()?;
            let asked = self.lab.ask_together(self.subject, &benchmarks, items, self.watch)?;
            self.watch.observe(&Event::Known { by: (part.len() * items.len() - asked) as u64 });
            self.ahead.extend(part.iter().map(|prompt| ((*prompt).to_owned(), items.len())));
        }
        Ok(())
    }
}

impl Victim for Asked<'_, '_, '_, '_> {
    fn accuracy(&mut self, prompt: &str, hopeless: Option<f64>) -> Result<Accuracy, AttackError> {
        let accuracy = self.ask(prompt, hopeless).map_err(|e| AttackError::Model(Box::new(e)))?;
        self.first = false;
        let told = self.ahead.remove(prompt).unwrap_or(0);
        self.watch.observe(&Event::Advanced { by: (self.target.len() - told) as u64 });
        Ok(accuracy)
    }

    fn coming(&mut self, prompts: &[&str], bounded: bool) -> Result<(), AttackError> {
        self.together(prompts, bounded).map_err(|e| AttackError::Model(Box::new(e)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_is_paired_and_holds_the_rate() {
        let clean: Vec<f64> = (0..200).map(|i| f64::from(u8::from(i % 4 != 0))).collect();
        let attacked: Vec<f64> = (0..200).map(|i| f64::from(u8::from(i % 4 == 1))).collect();
        let (low, high) = interval(&clean, &attacked).unwrap();
        let rate = drop_rate(150.0, 50.0).unwrap();
        assert!(low < rate && rate < high && high - low < 0.2, "{low} {high}");
        // Where both are right about the same items, there is no drop in any resample.
        assert_eq!(interval(&clean, &clean), Some((0.0, 0.0)));
        assert_eq!(interval(&[0.0; 5], &[0.0; 5]), None);
    }
}
