//! Many requests under way at once, and what they cost.

use super::RemoteError;
use super::settings::Budget;
use crate::completion::Flow;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, mpsc};

/// The answer to one of several questions; nothing if it was told to stop, which it asks its second argument.
type Work<'w, R> = dyn Fn(usize, &dyn Fn() -> bool) -> Result<Option<R>, RemoteError> + Sync + 'w;

/// Works on `0..count` with so many threads, and delivers each result on this one. `work` gives nothing when it was told to
/// stop. After a failure, or when `deliver` or `stop` wants it, nothing new is begun; what is under way is still delivered,
/// for it is paid for.
pub(super) fn in_flight<R: Send>(
    threads: usize,
    count: usize,
    stop: &(dyn Fn() -> bool + Sync),
    work: &Work<'_, R>,
    deliver: &mut dyn FnMut(usize, R) -> Flow,
) -> Result<(), RemoteError> {
    let next = AtomicUsize::new(0);
    let stopping = AtomicBool::new(false);
    let (send, receive) = mpsc::channel();
    let mut failure = None;
    std::thread::scope(|scope| {
        for _ in 0..threads.clamp(1, count.max(1)) {
            let send = send.clone();
            let (next, stopping) = (&next, &stopping);
            scope.spawn(move || {
                let stop = || stopping.load(Ordering::Relaxed) || stop();
                while !stop() {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    if at >= count {
                        break;
                    }
                    let result = work(at, &stop).transpose();
                    let Some(result) = result else { break };
                    if result.is_err() {
                        stopping.store(true, Ordering::Relaxed);
                    }
                    // The receiver lives until all senders are gone.
                    let _ = send.send((at, result));
                }
            });
        }
        drop(send);
        for (at, result) in receive {
            match result {
                Ok(result) => {
                    if deliver(at, result) == Flow::Stop {
                        stopping.store(true, Ordering::Relaxed);
                    }
                }
                Err(e) => {
                    failure.get_or_insert(e);
                }
            }
        }
    });
    failure.map_or(Ok(()), Err)
}

/// What was spent, and what requests under way may cost at most.
#[derive(Debug, Default)]
pub(super) struct Spending {
    budget: Budget,
    sums: Mutex<Sums>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    spent: f64,
    reserved: f64,
}

/// Money set aside for one request; given back when dropped.
pub(super) struct Reserved<'s> {
    spending: &'s Spending,
    most: f64,
}

impl Spending {
    pub(super) fn new(budget: Budget) -> Self {
        Self { budget, sums: Mutex::default() }
    }

    /// Sets aside what a request may cost at most, or says that this is too much.
    pub(super) fn reserve(&self, input: usize, output: usize) -> Result<Reserved<'_>, RemoteError> {
        let most = self.budget.cost(input, output);
        let mut sums = self.sums();
        if let Some(limit) = self.budget.limit.filter(|limit| sums.spent + sums.reserved + most > *limit) {
            return Err(RemoteError::TooExpensive { limit, spent: sums.spent });
        }
        sums.reserved += most;
        Ok(Reserved { spending: self, most })
    }

    /// US dollars spent so far.
    pub(super) fn spent(&self) -> f64 {
        self.sums().spent
    }

    fn sums(&self) -> MutexGuard<'_, Sums> {
        self.sums.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reserved<'_> {
    /// Notes what the request did use.
    pub(super) fn used(&self, input: usize, output: usize) {
        self.spending.sums().spent += self.spending.budget.cost(input, output);
    }
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        self.spending.sums().reserved -= self.most;
    }
}

/// Tokens of a text, guessed from above: models of English have about four characters to a token.
pub(super) fn guess_tokens(text: &str) -> usize {
    text.chars().count().div_ceil(3) + 8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_under_way_when_one_fails_is_still_delivered() {
        let fail = |at: usize, _: &dyn Fn() -> bool| {
            std::thread::sleep(std::time::Duration::from_millis(if at == 0 { 5 } else { 40 }));
            match at {
                0 => Err(RemoteError::TooExpensive { limit: 1.0, spent: 1.0 }),
                at => Ok(Some(at)),
            }
        };
        let mut seen = Vec::new();
        let result = in_flight(4, 100, &|| false, &fail, &mut |at, value| {
            assert_eq!(at, value);
            seen.push(at);
            Flow::Continue
        });
        assert!(matches!(result, Err(RemoteError::TooExpensive { .. })));
        seen.sort_unstable();
        assert_eq!(seen, [1, 2, 3]);
    }

    #[test]
    fn no_more_than_the_limit_is_set_aside() {
        let spending = Spending::new(Budget { input: 1e6, output: 2e6, limit: Some(10.0) });
        let first = spending.reserve(2, 2).unwrap();
        assert!(spending.reserve(5, 0).is_err());
        first.used(2, 1);
        drop(first);
        assert_eq!(spending.spent(), 4.0);
        assert!(spending.reserve(6, 0).is_ok());
        assert!(spending.reserve(7, 0).is_err());
    }
}
