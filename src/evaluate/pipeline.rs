//! Items → answers → verdicts. An answer is on disk before its verdict is sought, a verdict before it counts; what is
//! known already is not done again.

use super::{EvaluateError, Subject, Summary};
use crate::bench::{Benchmark, Context, Item, Tools, Verdict};
use crate::completion::{Complete, Flow, Likelihood, LikelihoodRequest, Outcome, Refusal, Request};
use crate::digest::Digest;
use crate::event::{Event, Observer};
use crate::ids::{BenchmarkId, RunId};
use crate::runs::{self, Answer, Ledger, RunError, RunManifest, Store};
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError, mpsc};
use std::time::{Duration, Instant};

/// What is to be evaluated.
pub struct Job<'a> {
    /// The benchmark.
    pub benchmark: &'a Benchmark,
    /// Its items, in the order in which results come back.
    pub items: &'a [Item],
    /// What scorers may use.
    pub tools: Tools<'a>,
    /// How programs are confined, where the benchmark runs any: part of every verdict's key.
    pub confinement: Option<String>,
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Evaluation {
    /// The benchmark.
    pub benchmark: BenchmarkId,
    /// The run that holds answers and verdicts.
    pub run: RunId,
    /// One answer for each item, in the job's order.
    pub answers: Vec<Answer>,
    /// One verdict for each item, in the job's order.
    pub verdicts: Vec<Verdict>,
    /// Their sum.
    pub summary: Summary,
}

impl Evaluation {
    /// The value of each item; an unscored one counts as nothing gained.
    pub fn values(&self) -> Vec<f64> {
        self.verdicts.iter().map(|v| v.value().unwrap_or(0.0)).collect()
    }
}

/// What the model is asked about one item.
pub(super) enum Ask {
    /// A text to continue.
    Text(Request),
    /// How likely given continuations are.
    Likelihood(LikelihoodRequest),
}

impl Ask {
    fn new(subject: &Subject<'_>, benchmark: &Benchmark, item: &Item) -> Result<Self, EvaluateError> {
        let prompt = match benchmark.context(item)? {
            Context::Text(text) => text,
            Context::Chat(turns) => subject.written(&turns)?,
        };
        Ok(match benchmark.continuations(item) {
            Some(continuations) => Self::Likelihood(LikelihoodRequest { prompt, continuations }),
            None => Self::Text(benchmark.request(prompt)),
        })
    }

    fn key(&self, subject: &Subject<'_>) -> Digest {
        let (weights, companions, numerics) = (subject.weights, subject.companions, &subject.numerics);
        match self {
            Self::Text(request) => runs::answer_key(weights, companions, numerics, request),
            Self::Likelihood(request) => runs::likelihood_key(weights, companions, numerics, request),
        }
    }
}

/// One item's way through the pipeline.
pub(super) struct Task<'a> {
    pub(super) item: &'a Item,
    pub(super) answer: Digest,
    verdict: Digest,
}

/// A job with its questions written and its run open.
pub(super) struct Begun<'a> {
    run: RunId,
    pub(super) requests: Vec<Ask>,
    pub(super) tasks: Vec<Task<'a>>,
    pub(super) ledger: Ledger,
}

/// Writes a job's questions and opens its run.
pub(super) fn begin<'a>(
    subject: &Subject<'_>,
    job: &Job<'a>,
    store: &Store,
) -> Result<Begun<'a>, EvaluateError> {
    let benchmark = job.benchmark.digest();
    let confinement = job.confinement.as_deref();
    let run = RunId::from(
        runs::run_key(subject.weights, subject.companions, &subject.numerics, benchmark, confinement).short(),
    );
    let ask = |item| Ask::new(subject, job.benchmark, item);
    let requests = job.items.iter().map(ask).collect::<Result<Vec<_>, _>>()?;
    let tasks: Vec<Task<'_>> = job
        .items
        .iter()
        .zip(&requests)
        .map(|(item, request)| {
            let answer = request.key(subject);
            let verdict = runs::verdict_key(answer, item.digest(), benchmark, confinement);
            Task { item, answer, verdict }
        })
        .collect();
    let manifest = RunManifest {
        companions: Some(subject.companions),
        card: Some(job.benchmark.card.version),
        scorer: Some(job.benchmark.scorer_version()),
        ..RunManifest::new(
            subject.about.clone(),
            subject.weights,
            job.benchmark.id().clone(),
            subject.numerics.clone(),
            job.confinement.clone(),
        )
    };
    let ledger = store.ledger(&run, &manifest)?;
    Ok(Begun { run, requests, tasks, ledger })
}

/// Evaluates `subject`. Generates what is not in the ledger, scores on other threads meanwhile, and writes everything
/// down as it comes. Stops cleanly when `watch` asks for it; the same call goes on from there.
pub fn evaluate(
    subject: &mut Subject<'_>,
    job: &Job<'_>,
    store: &Store,
    watch: &dyn Observer,
) -> Result<Evaluation, EvaluateError> {
    let Begun { run, requests, tasks, ledger } = begin(subject, job, store)?;
    let known = |t: &Task<'_>| ledger.verdict(&t.verdict).and_then(decode).is_some();
    let open: Vec<usize> = (0..tasks.len()).filter(|&i| !known(&tasks[i])).collect();
    let work = format!("{} · {}", job.benchmark.id(), run);
    watch.observe(&Event::Started { work: &work, total: Some(tasks.len() as u64), unit: "items" });
    watch.observe(&Event::Known { by: (tasks.len() - open.len()) as u64 });
    let begun = Instant::now();
    if !open.is_empty() {
        ledger.begin(tasks.len())?;
    }
    let line = Line { job, tasks: &tasks, ledger: Mutex::new(ledger), failure: Mutex::new(None), watch };
    if !open.is_empty() {
        line.run(subject, &requests, &open)?;
    }
    watch.observe(&Event::Finished { took: begun.elapsed() });
    finish(job, run, &tasks, &line.ledger.into_inner().unwrap_or_else(PoisonError::into_inner))
}

/// The verdict in a stored line. An unscored one is not final: whatever stood in the way may be gone.
fn decode(stored: &serde_json::Value) -> Option<Verdict> {
    serde_json::from_value(stored.clone()).ok().filter(|v: &Verdict| !v.is_unscored())
}

fn finish(
    job: &Job<'_>,
    run: RunId,
    tasks: &[Task<'_>],
    ledger: &Ledger,
) -> Result<Evaluation, EvaluateError> {
    ledger.sync()?;
    let verdicts: Vec<Verdict> = tasks
        .iter()
        .map(|t| ledger.verdict(&t.verdict).and_then(|v| serde_json::from_value(v.clone()).ok()))
        .collect::<Option<_>>()
        .ok_or(EvaluateError::Stopped)?;
    let answers: Vec<Answer> = tasks
        .iter()
        .map(|t| ledger.answer(&t.answer).cloned())
        .collect::<Option<_>>()
        .ok_or(EvaluateError::Stopped)?;
    ledger.end(tasks.len())?;
    let summary = Summary::of(&verdicts);
    Ok(Evaluation { benchmark: job.benchmark.id().clone(), run, answers, verdicts, summary })
}

/// The production line: the engine on this thread, scorers on others, one ledger.
struct Line<'a> {
    job: &'a Job<'a>,
    tasks: &'a [Task<'a>],
    ledger: Mutex<Ledger>,
    /// The first failure; whoever sees it stops.
    failure: Mutex<Option<EvaluateError>>,
    watch: &'a dyn Observer,
}

impl Line<'_> {
    fn run(&self, subject: &mut Subject<'_>, requests: &[Ask], open: &[usize]) -> Result<(), EvaluateError> {
        let (answered, unanswered): (Vec<usize>, Vec<usize>) =
            open.iter().partition(|&&i| lock(&self.ledger).answer(&self.tasks[i].answer).is_some());
        let (send, receive) = mpsc::channel::<usize>();
        let receive = Mutex::new(receive);
        std::thread::scope(|scope| {
            // Dropped at the end of this block, which lets the scorers go home.
            let send = send;
            // Only programs take real time to score; they run in processes of their own.
            let scorers = if self.job.benchmark.needs_programs() {
                std::thread::available_parallelism().map_or(2, usize::from)
            } else {
                1
            };
            for _ in 0..scorers {
                let receive = &receive;
                scope.spawn(move || {
                    loop {
                        let next = lock(receive).recv();
                        match next {
                            Ok(i) => self.score(i),
                            Err(mpsc::RecvError) => break,
                        }
                    }
                });
            }
            for i in answered {
                // The receiver outlives this block.
                let _ = send.send(i);
            }
            if !unanswered.is_empty() {
                self.generate(subject, requests, &unanswered, &send)?;
            }
            Ok::<(), EvaluateError>(())
        })?;
        match lock(&self.failure).take() {
            Some(failure) => Err(failure),
            None if self.watch.stop_requested() => Err(EvaluateError::Stopped),
            None => Ok(()),
        }
    }

    fn generate(
        &self,
        subject: &mut Subject<'_>,
        requests: &[Ask],
        unanswered: &[usize],
        send: &mpsc::Sender<usize>,
    ) -> Result<(), EvaluateError> {
        // Items with the same prompt share one answer.
        let mut groups: Vec<Vec<usize>> = Vec::new();
        let mut group_of = HashMap::new();
        for &i in unanswered {
            let group = *group_of.entry(self.tasks[i].answer).or_insert(groups.len());
            if group == groups.len() {
                groups.push(Vec::new());
            }
            groups[group].push(i);
        }
        let record = |group: &Vec<usize>, answer: Answer| {
            let task = &self.tasks[group[0]];
            if let Err(e) = lock(&self.ledger).record_answer(task.answer, &task.item.id, answer) {
                self.fail(e);
            }
            for &i in group {
                let _ = send.send(i);
            }
            if self.stopping() { Flow::Stop } else { Flow::Continue }
        };
        let (mut texts, mut text_groups) = (Vec::new(), Vec::new());
        let (mut likelihoods, mut likelihood_groups) = (Vec::new(), Vec::new());
        for group in groups {
            match &requests[group[0]] {
                Ask::Text(request) => {
                    texts.push(request.clone());
                    text_groups.push(group);
                }
                Ask::Likelihood(request) => {
                    likelihoods.push(request.clone());
                    likelihood_groups.push(group);
                }
            }
        }
        if !texts.is_empty() {
            let engine = subject.engine()?;
            let begun = Instant::now();
            engine.complete(&texts, &mut |ask, outcome| {
                record(&text_groups[ask], answer(&texts[ask], outcome, begun.elapsed()))
            })?;
        }
        if !likelihoods.is_empty() && !self.stopping() {
            let engine = subject.engine()?;
            let lengths = prompt_lengths(engine, &likelihoods);
            let begun = Instant::now();
            engine.likelihoods(&likelihoods, &mut |ask, outcome| {
                record(
                    &likelihood_groups[ask],
                    likely(&likelihoods[ask], lengths[ask], outcome, begun.elapsed()),
                )
            })?;
        }
        Ok(())
    }

    fn score(&self, i: usize) {
        if self.stopping() {
            return;
        }
        let task = &self.tasks[i];
        let Some(answer) = lock(&self.ledger).answer(&task.answer).cloned() else { return };
        let begun = Instant::now();
        let verdict = match &answer.text {
            Ok(text) => self.job.benchmark.score(task.item, text, &self.job.tools),
            Err(refusal) => Verdict::refused(refusal),
        };
        let stored =
            serde_json::to_value(&verdict).unwrap_or_else(|_| unreachable!("verdicts have string keys only"));
        let content = task.item.digest();
        let (key, item, answer) = (task.verdict, &task.item.id, task.answer);
        if let Err(e) = lock(&self.ledger).record_verdict(key, item, content, answer, stored, begun.elapsed())
        {
            self.fail(e);
        }
        self.watch.observe(&Event::Advanced { by: 1 });
    }

    fn stopping(&self) -> bool {
        self.watch.stop_requested() || lock(&self.failure).is_some()
    }

    fn fail(&self, failure: RunError) {
        lock(&self.failure).get_or_insert(failure.into());
    }
}

pub(super) fn answer(request: &Request, outcome: Result<Outcome, Refusal>, took: Duration) -> Answer {
    let prompt = Digest::of_bytes(request.prompt.as_bytes());
    match outcome {
        Ok(o) => Answer {
            prompt,
            text: Ok(o.text),
            prompt_tokens: o.prompt_tokens,
            generated_tokens: o.generated_tokens,
            finish: Some(o.finish),
            seconds: Some(took.as_secs_f64()),
        },
        Err(refusal) => refused(prompt, &refusal, took),
    }
}

/// The answer to a question of likelihoods: their list as JSON. Nothing is generated. The prompt's tokens are counted where the
/// engine knows them.
pub(super) fn likely(
    request: &LikelihoodRequest,
    prompt_tokens: usize,
    outcome: Result<Vec<Likelihood>, Refusal>,
    took: Duration,
) -> Answer {
    let prompt = Digest::of_bytes(request.prompt.as_bytes());
    match outcome {
        Ok(likelihoods) => Answer {
            prompt,
            text: Ok(serde_json::to_string(&likelihoods).unwrap_or_else(|_| unreachable!("keys are strings"))),
            prompt_tokens,
            generated_tokens: 0,
            finish: None,
            seconds: Some(took.as_secs_f64()),
        },
        Err(refusal) => refused(prompt, &refusal, took),
    }
}

/// Tokens of the prompts, where the engine knows them.
pub(super) fn prompt_lengths(engine: &dyn Complete, requests: &[LikelihoodRequest]) -> Vec<usize> {
    requests.iter().map(|r| engine.prompt_ids(&r.prompt).map_or(0, |ids| ids.len())).collect()
}

fn refused(prompt: Digest, refusal: &Refusal, took: Duration) -> Answer {
    let (text, seconds) = (Err(refusal.to_string()), Some(took.as_secs_f64()));
    Answer { prompt, text, prompt_tokens: 0, generated_tokens: 0, finish: None, seconds }
}

/// A panic of another thread leaves these values whole: every change of theirs is one call.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
