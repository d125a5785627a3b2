//! Programs a second that the sandbox runs, by kind of walls, with an interpreter kept ready and with a fresh one for
//! every program.
//!
//! **Measured**: programs per second by wall clock, from the first program to the last verdict, as many at once as there
//! are processors; the best of some runs. Every program must pass.
//! **Input**: a function of one line, alone and behind the imports that programs of language models usually have.
//!
//! `cargo bench --bench sandbox`
#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

use m3::sandbox::{Ending, Job, Limits, Policy, Settings, open};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

const PROGRAMS: usize = 300;
const RUNS: usize = 3;
const IMPORTS: &str = "import math, re, collections, itertools, heapq, random, string, typing, json, functools, copy, \
                       datetime\n";

/// The program number `i`, and its tests.
fn program(head: &str, i: usize) -> (String, String) {
    (format!("{head}def f(x):\n    return x + {i}\n"), format!("assert f(1) == {}", i + 1))
}

/// The best rate of some runs; nothing if a program did not pass.
fn rate(threads: usize, passes: &(dyn Fn(usize) -> bool + Sync)) -> Option<f64> {
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
                        passed.fetch_add(usize::from(passes(i)), Ordering::Relaxed);
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

/// One line: the rate without imports and with the usual ones, of `passes(head, i)`.
fn line(name: &str, threads: usize, passes: &(dyn Fn(&str, usize) -> bool + Sync)) {
    let show = |head: &str| {
        let rate = rate(threads, &|i| passes(head, i));
        rate.map_or("a failure".to_owned(), |rate| format!("{rate:.0}"))
    };
    println!("{name:<24} {:>12} {:>20}", show(""), show(IMPORTS));
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
        line(name, settings.parallel, &|head, i| {
            let (candidate, tests) = program(head, i);
            let report = sandbox.run(&Job { candidate, tests, limits: Limits::default() });
            report.is_ok_and(|report| report.ending == Ending::Passed)
        });
    }
    // What cannot be beaten with a fresh interpreter: the interpreter itself, of the same file, with nothing around it.
    line("the interpreter alone", settings.parallel, &|head, i| {
        let (candidate, tests) = program(head, i);
        let mut python = Command::new("/usr/bin/python3");
        let python = python.args(["-s", "-S", "-B", "-c"]).arg(candidate + &tests).stdin(Stdio::null());
        python.status().is_ok_and(|status| status.success())
    });
}
