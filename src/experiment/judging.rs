//! Pairs of answers, put to a judge once each: every reply is on disk before it counts, and what is known is not asked again.

use super::ExperimentError;
use crate::chat::{Chat, ChatReply, ChatRequest};
use crate::completion::{Complete, CompleteError, Flow, Likelihood, LikelihoodRequest, Refusal};
use crate::digest::{Canonical, Digest};
use crate::evaluate::EvaluateError;
use crate::event::{Event, Observer};
use crate::judge::{Annotation, Annotator, JudgeError, Order, Pair, Question};
use crate::runs::{Replies, RunError};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::time::Instant;

/// What is kept of a question's answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Said {
    /// By a chat model.
    Chat {
        /// What came back.
        reply: ChatReply,
    },
    /// By a model whose likelihoods are compared.
    Likelihoods {
        /// Of the verdict for the answer shown first, and for the one shown second.
        values: Vec<Likelihood>,
    },
}

/// One question about one pair.
struct Task {
    pair: usize,
    swapped: bool,
    question: Question,
    key: Digest,
}

/// Takes up what was said to one question.
type Deliver<'d> = dyn FnMut(usize, Result<Said, Refusal>) -> Flow + 'd;
/// Puts all open questions to somebody.
type Put<'p> = dyn FnMut(&mut Deliver<'_>) -> Result<(), CompleteError> + 'p;

/// All questions about some pairs, with what is known of their answers.
pub struct Judging<'a> {
    annotator: &'a Annotator,
    pairs: &'a [Pair],
    tasks: Vec<Task>,
    replies: Replies,
    refused: HashMap<usize, String>,
    watch: &'a dyn Observer,
}

impl<'a> Judging<'a> {
    /// Writes the questions. `identity` says who is asked: the same question to another judge is another one. Answers that
    /// are equal are a draw, and nobody is asked about them.
    pub fn new(
        annotator: &'a Annotator,
        order: Order,
        pairs: &'a [Pair],
        identity: &str,
        replies: Replies,
        watch: &'a dyn Observer,
    ) -> Self {
        let mut tasks = Vec::new();
        for (at, pair) in pairs.iter().enumerate().filter(|(_, p)| p.output_1 != p.output_2) {
            for &swapped in Annotator::swaps(order, pair) {
                let question = annotator.question(pair, swapped);
                let key = key(&question, identity);
                tasks.push(Task { pair: at, swapped, question, key });
            }
        }
        Self { annotator, pairs, tasks, replies, refused: HashMap::new(), watch }
    }

    /// The conversations that are still to be asked for.
    pub fn open_chats(&self) -> Vec<ChatRequest> {
        let chat = |at: &usize| match &self.tasks[*at].question {
            Question::Chat(request) => Some(request.clone()),
            Question::Likelihood(_) => None,
        };
        self.open().iter().filter_map(chat).collect()
    }

    /// Puts what is open to a chat model.
    pub fn ask_chat(&mut self, judge: &mut dyn Chat) -> Result<(), ExperimentError> {
        if self.annotator.by_likelihood() {
            return Err(self.wrong("compares likelihoods; name a checkpoint with --judge, or a server"));
        }
        let (open, requests) = (self.open(), self.open_chats());
        let said = |reply: ChatReply| Said::Chat { reply };
        self.ask(&open, &mut |deliver| judge.chat(&requests, &mut |i, reply| deliver(i, reply.map(said))))
    }

    /// Puts what is open to a model whose likelihoods are compared; `load` makes it ready if anything is open.
    pub fn ask_likelihoods<'e>(
        &mut self,
        load: &mut dyn FnMut() -> Result<Box<dyn Complete + 'e>, ExperimentError>,
    ) -> Result<(), ExperimentError> {
        if !self.annotator.by_likelihood() {
            return Err(self.wrong("asks a chat model; name its server with --base-url"));
        }
        let open = self.open();
        let request = |at: &usize| match &self.tasks[*at].question {
            Question::Likelihood(request) => Some(request.clone()),
            Question::Chat(_) => None,
        };
        let requests: Vec<LikelihoodRequest> = open.iter().filter_map(request).collect();
        let said = |values: Vec<Likelihood>| Said::Likelihoods { values };
        let mut judge = if open.is_empty() { None } else { Some(load()?) };
        self.ask(&open, &mut |deliver| match &mut judge {
            Some(judge) => judge.likelihoods(&requests, &mut |i, reply| deliver(i, reply.map(said))),
            None => Ok(()),
        })
    }

    fn wrong(&self, needs: &'static str) -> ExperimentError {
        ExperimentError::WrongJudge { annotator: self.annotator.name.clone(), needs }
    }

    /// Questions without an answer.
    fn open(&self) -> Vec<usize> {
        (0..self.tasks.len()).filter(|at| self.said(*at).is_none()).collect()
    }

    fn said(&self, at: usize) -> Option<Said> {
        serde_json::from_value(self.replies.get(&self.tasks[at].key)?.clone()).ok()
    }

    fn ask(&mut self, open: &[usize], put: &mut Put<'_>) -> Result<(), ExperimentError> {
        let work = format!("{} · {} pairs", self.annotator.name, self.pairs.len());
        let total = Some(self.tasks.len() as u64);
        self.watch.observe(&Event::Started { work: &work, total, unit: "questions" });
        self.watch.observe(&Event::Known { by: (self.tasks.len() - open.len()) as u64 });
        let begun = Instant::now();
        let mut failure: Option<RunError> = None;
        let asked = if open.is_empty() {
            Ok(())
        } else {
            put(&mut |index, said| {
                let at = open[index];
                match said {
                    Ok(said) => {
                        if let Err(e) = self.replies.record(self.tasks[at].key, json!(said)) {
                            failure.get_or_insert(e);
                        }
                    }
                    // A refusal is not kept: the next run asks again.
                    Err(refusal) => {
                        self.refused.insert(at, refusal.to_string());
                    }
                }
                self.watch.observe(&Event::Advanced { by: 1 });
                if failure.is_some() || self.watch.stop_requested() { Flow::Stop } else { Flow::Continue }
            })
        };
        self.watch.observe(&Event::Finished { took: begun.elapsed() });
        self.replies.sync()?;
        if let Some(e) = failure {
            return Err(e.into());
        }
        asked.map_err(JudgeError::Complete)?;
        if self.open().iter().any(|at| !self.refused.contains_key(at)) {
            return Err(EvaluateError::Stopped.into());
        }
        Ok(())
    }

    /// The verdict on every pair. Where one of two orders has no verdict, the pair has none.
    pub fn annotations(&self) -> Vec<Annotation> {
        let mut of_pair: Vec<Vec<usize>> = vec![Vec::new(); self.pairs.len()];
        for (at, task) in self.tasks.iter().enumerate() {
            of_pair[task.pair].push(at);
        }
        self.pairs.iter().zip(&of_pair).map(|(pair, tasks)| self.annotation(pair, tasks)).collect()
    }

    fn annotation(&self, pair: &Pair, tasks: &[usize]) -> Annotation {
        let name = &self.annotator.name;
        if tasks.is_empty() {
            return Annotation::of(pair, name, Some(1.5), Value::Null);
        }
        let verdicts: Vec<Option<f64>> = tasks.iter().map(|at| self.preference(*at)).collect();
        let whole: Option<Vec<f64>> = verdicts.iter().copied().collect();
        let preference = whole.map(|all| all.iter().sum::<f64>() / all.len() as f64);
        let mut words: Vec<Value> = tasks.iter().map(|at| self.words(*at)).collect();
        let raw = if words.len() == 1 { words.remove(0) } else { Value::Array(words) };
        let mut annotation = Annotation::of(pair, name, preference, raw);
        if let [in_order, swapped] = verdicts[..] {
            (annotation.preference_in_order, annotation.preference_swapped) = (in_order, swapped);
        }
        if let Some(reason) = tasks.iter().find_map(|at| self.refused.get(at)) {
            annotation.rest.insert("refused".into(), json!(reason));
        }
        annotation
    }

    /// The preference in one answer: 1 for the reference, 2 for the model, whichever was shown first.
    fn preference(&self, at: usize) -> Option<f64> {
        let shown = match self.said(at)? {
            Said::Chat { reply } => self.annotator.reading().of_reply(&reply)?,
            Said::Likelihoods { values } => match &values[..] {
                [first, second] => self.annotator.reading().of_likelihoods(first, second)?,
                _ => return None,
            },
        };
        Some(if self.tasks[at].swapped { 3.0 - shown } else { shown })
    }

    /// What was said, for people and for `annotations.json`.
    fn words(&self, at: usize) -> Value {
        match self.said(at) {
            Some(Said::Chat { reply }) => json!(reply.text),
            Some(Said::Likelihoods { values }) => {
                json!(values.iter().map(|v| v.log_likelihood).collect::<Vec<_>>())
            }
            None => Value::Null,
        }
    }
}

fn key(question: &Question, identity: &str) -> Digest {
    match question {
        Question::Chat(request) => request.key(identity),
        Question::Likelihood(request) => request
            .continuations
            .iter()
            .fold(
                Canonical::new("likelihoods/1").text("identity", identity).text("prompt", &request.prompt),
                |form, continuation| form.text("continuation", continuation),
            )
            .finish(),
    }
}
