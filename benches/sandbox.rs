//! Programs a second that the sandbox runs, by kind of walls, with an interpreter kept ready and with a fresh one for
//! every program.
//!
//! **Measured**: programs per second by wall clock, from the first program to the last verdict, as many at once as there
//! are processors; the best of some runs. Every program must pass.
//! **Input**: a function of one line, alone and behind the imports that programs of language models usually have.
//!
//! `cargo bench --bench sandbox`
#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

use m3::sandbox::{Ending, Job, Limits, Policy, Sandbox, Settings, open};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

const PROGRAMS: usize = 300;
const RUNS: usize = 3;
const IMPORTS: &str = "import math, re, collections, itertools, heapq, random, string, typing, json, functools, copy, \
                       datetime\n";

/// The best rate of some runs; nothing if a program did not pass.
fn rate(sandbox: &dyn Sandbox, threads: usize, head: &str) -> Option<f64> {
    let mut best = 0.0_f64;
    for _ in 0..RUNS {
        let (next, passed, start) = (AtomicUsize::new(0), AtomicUsize::new(0), Instant::now());
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    loop {
                        let i = next.fetch_add(1, Ordering::Relaxed);
                        if i >= PROGRAMS {
                            break;
                        }
                        let candidate = format!("{head}def f(x):\n    return x + {i}\n");
                        let tests = format!("assert f(1) == {}", i + 1);
                        let report = sandbox.run(&Job { candidate, tests, limits: Limits::default() });
                        if report.is_ok_and(|report| report.ending == Ending::Passed) {
                            passed.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                });
            }
        });
        let seconds = start.elapsed().as_secs_f64();
        if passed.into_inner() != PROGRAMS {
            return None;
        }
        best = best.max(PROGRAMS as f64 / seconds);
    }
    Some(best)
}

fn main() {
    let settings = Settings::new(PathBuf::from(env!("CARGO_BIN_EXE_m3")), Vec::new());
    let kinds = [
        ("namespaces, kept ready", Policy::Namespaces, true),
        ("namespaces, fresh", Policy::Namespaces, false),
        ("bubblewrap, fresh", Policy::Bubblewrap, false),
        ("landlock, fresh", Policy::Landlock, false),
        ("no walls, fresh", Policy::None { accepted_arbitrary_code_execution: () }, false),
    ];
    println!("{:<24} {:>12} {:>20}", "programs/s", "no imports", "the usual imports");
    for (name, policy, prefork) in kinds {
        let sandbox = match open(&Settings { policy, prefork, ..settings.clone() }) {
            Ok(sandbox) => sandbox,
            Err(error) => {
                println!("{name:<24} {error}");
                continue;
            }
        };
        let show = |rate: Option<f64>| rate.map_or("a failure".to_owned(), |rate| format!("{rate:.0}"));
        let (bare, usual) =
            (rate(&*sandbox, settings.parallel, ""), rate(&*sandbox, settings.parallel, IMPORTS));
        println!("{name:<24} {:>12} {:>20}", show(bare), show(usual));
    }
}
