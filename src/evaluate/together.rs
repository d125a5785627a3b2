//! Several jobs about the same items, such as a benchmark under several prompts, asked item by item: what an item's prompts begin
//! with is then computed once.

use super::pipeline::{Ask, Begun, answer, begin, likely, prompt_lengths};
use super::{EvaluateError, Job, Subject};
use crate::completion::{Flow, LikelihoodRequest, Request};
use crate::event::{Event, Observer};
use crate::runs::{Answer, RunError, Store};
use std::collections::HashSet;
use std::time::Instant;

/// A question that is open: the job's number and the item's.
type Place = (usize, usize);

/// Asks what is not in the runs of `jobs`, the first item of every job first, and writes the answers down as they come; each is
/// told to `watch` as one item. Nothing is scored: [`super::evaluate`] finds the answers there. The jobs must differ. How many
/// questions were asked.
pub fn ask_together(
    subject: &mut Subject<'_>,
    jobs: &[Job<'_>],
    store: &Store,
    watch: &dyn Observer,
) -> Result<usize, EvaluateError> {
    let mut begun = jobs.iter().map(|job| begin(subject, job, store)).collect::<Result<Vec<_>, _>>()?;
    let most = begun.iter().map(|b| b.tasks.len()).max().unwrap_or(0);
    let mut seen = HashSet::new();
    let (mut texts, mut text_places) = (Vec::<Request>::new(), Vec::<Place>::new());
    let (mut likelihoods, mut likelihood_places) = (Vec::<LikelihoodRequest>::new(), Vec::<Place>::new());
    for item in 0..most {
        for (job, Begun { requests, tasks, ledger, .. }) in begun.iter().enumerate() {
            let Some(task) = tasks.get(item) else { continue };
            if ledger.answer(&task.answer).is_some() || !seen.insert((job, task.answer)) {
                continue;
            }
            match &requests[item] {
                Ask::Text(request) => {
                    texts.push(request.clone());
                    text_places.push((job, item));
                }
                Ask::Likelihood(request) => {
                    likelihoods.push(request.clone());
                    likelihood_places.push((job, item));
                }
            }
        }
    }
    let mut failure: Option<RunError> = None;
    let mut record = |(job, item): Place, answer: Answer| {
        let Begun { tasks, ledger, .. } = &mut begun[job];
        if let Err(e) = ledger.record_answer(tasks[item].answer, &tasks[item].item.id, answer) {
            failure.get_or_insert(e);
            return Flow::Stop;
        }
        watch.observe(&Event::Advanced { by: 1 });
        if watch.stop_requested() { Flow::Stop } else { Flow::Continue }
    };
    if !texts.is_empty() {
        let engine = subject.engine()?;
        let begun = Instant::now();
        engine.complete(&texts, &mut |ask, outcome| {
            record(text_places[ask], answer(&texts[ask], outcome, begun.elapsed()))
        })?;
    }
    if !likelihoods.is_empty() && !watch.stop_requested() {
        let engine = subject.engine()?;
        let lengths = prompt_lengths(engine, &likelihoods);
        let begun = Instant::now();
        engine.likelihoods(&likelihoods, &mut |ask, outcome| {
            record(likelihood_places[ask], likely(&likelihoods[ask], lengths[ask], outcome, begun.elapsed()))
        })?;
    }
    match failure {
        Some(failure) => Err(failure.into()),
        None if watch.stop_requested() => Err(EvaluateError::Stopped),
        None => Ok(text_places.len() + likelihood_places.len()),
    }
}
