//! The only place that prints: results on stdout, progress, warnings and errors on stderr.
#![expect(clippy::print_stderr, reason = "this file is where printing is done")]

use crate::event::{Event, Observer};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Without a terminal, a line of progress comes at most this often.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// Prints results, and shows progress as an [`Observer`].
pub(super) struct Output {
    show: Show,
    stop: Arc<AtomicBool>,
    now: Mutex<Option<Work>>,
}

#[derive(Clone, Copy, PartialEq)]
enum Show {
    Nothing,
    Lines,
    Bars,
}

/// The piece of work that is going on.
struct Work {
    name: String,
    bar: ProgressBar,
    total: Option<u64>,
    unit: String,
    known: u64,
    done: u64,
    begun: Instant,
    told: Instant,
}

impl Output {
    pub(super) fn new(quiet: bool) -> Self {
        let show = match (quiet, io::stderr().is_terminal()) {
            (true, _) => Show::Nothing,
            (false, true) => Show::Bars,
            (false, false) => Show::Lines,
        };
        let stop = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&stop);
        // The first Ctrl-C asks the work to stop between two items, a second one ends the process at once. Without a
        // handler Ctrl-C simply kills, and the store survives that too, so a failure to install one is no error.
        let _ = ctrlc::set_handler(move || {
            if flag.swap(true, Ordering::SeqCst) {
                // The user insists.
                std::process::exit(4);
            }
            eprintln!("\nstopping; once more to stop at once");
        });
        Self { show, stop, now: Mutex::new(None) }
    }

    /// A result, on stdout.
    #[expect(clippy::unused_self, reason = "printing belongs to the one who prints")]
    pub(super) fn result(&self, text: &str) {
        let mut out = io::stdout().lock();
        // A reader that went away (`| head`) has what it wanted.
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    }

    /// Whether somebody reads stdout as it comes.
    #[expect(clippy::unused_self, reason = "as `result`")]
    pub(super) fn is_read_live(&self) -> bool {
        io::stdout().is_terminal()
    }

    /// An error.
    pub(super) fn error(&self, text: &str) {
        self.clear();
        eprintln!("error: {text}");
    }

    /// A remark that is not part of the result.
    pub(super) fn note(&self, text: &str) {
        self.observe(&Event::Note { text });
    }

    fn clear(&self) {
        if let Some(work) = self.work().take() {
            work.bar.finish_and_clear();
        }
    }

    fn work(&self) -> std::sync::MutexGuard<'_, Option<Work>> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn line(&self, text: &str) {
        match (&*self.work(), self.show) {
            (_, Show::Nothing) => {}
            (Some(work), Show::Bars) => work.bar.suspend(|| eprintln!("{text}")),
            _ => eprintln!("{text}"),
        }
    }
}

impl Work {
    fn begin(name: &str, total: Option<u64>, unit: &str, show: Show) -> Self {
        let bar = match total {
            Some(total) => ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::hidden()),
            None => ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden()),
        };
        if show == Show::Bars {
            bar.set_draw_target(ProgressDrawTarget::stderr());
        }
        let pattern = match unit {
            "bytes" => "{msg} {wide_bar} {bytes}/{total_bytes}, {bytes_per_sec}, {eta} left",
            _ => "{msg} {wide_bar} {pos}/{len}, {per_sec}, {eta} left",
        };
        if let Ok(style) = ProgressStyle::with_template(pattern) {
            bar.set_style(style);
        }
        bar.set_message(name.to_owned());
        let now = Instant::now();
        Self {
            name: name.to_owned(),
            bar,
            total,
            unit: unit.to_owned(),
            known: 0,
            done: 0,
            begun: now,
            told: now,
        }
    }

    /// Progress in a line: how much, how fast, how long still.
    fn line(&self) -> String {
        let rate = (self.done - self.known) as f64 / self.begun.elapsed().as_secs_f64().max(1e-3);
        let (scale, unit) = if self.unit == "bytes" { (1e-6, "MB") } else { (1.0, self.unit.as_str()) };
        let of = self.total.map_or_else(String::new, |t| format!("/{:.0}", t as f64 * scale));
        let left = match self.total {
            Some(total) if rate > 0.0 => {
                format!(", {:.0} s left", (total.saturating_sub(self.done)) as f64 / rate)
            }
            _ => String::new(),
        };
        format!(
            "{}: {:.0}{of} {unit}, {:.1} {unit}/s{left}",
            self.name,
            self.done as f64 * scale,
            rate * scale
        )
    }
}

impl Observer for Output {
    fn observe(&self, event: &Event<'_>) {
        match event {
            Event::Started { work, total, unit } => {
                *self.work() = Some(Work::begin(work, *total, unit, self.show));
            }
            Event::Known { by } => {
                if let Some(work) = self.work().as_mut() {
                    work.known += by;
                    work.done += by;
                    work.bar.inc(*by);
                    work.bar.reset_eta();
                }
            }
            Event::Advanced { by } => {
                let mut slot = self.work();
                let Some(work) = slot.as_mut() else { return };
                work.done += by;
                work.bar.inc(*by);
                if self.show == Show::Lines && work.told.elapsed() >= LINE_EVERY {
                    work.told = Instant::now();
                    eprintln!("{}", work.line());
                }
            }
            Event::Finished { took } => {
                let Some(work) = self.work().take() else { return };
                work.bar.finish_and_clear();
                if self.show != Show::Nothing {
                    eprintln!("{}; took {:.1} s", work.line(), took.as_secs_f64());
                }
            }
            Event::Warning { text } => self.line(&format!("warning: {text}")),
            Event::Note { text } => self.line(text),
        }
    }

    fn stop_requested(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }
}
