//! Programs behind walls: the references' verdicts on real ones, and where ours are stricter on purpose.
#![expect(clippy::print_stdout, reason = "the parity tests report what they compared")]
#![expect(clippy::unwrap_used, reason = "the helpers of tests fail as tests do")]

use crate::bench::{Tally, in_parallel, is_right, open, reference, sandbox, sandbox_with};
use crate::cli::Project;
use m3::bench::{Item, Reason, Tools, Verdict};
use m3::files;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, HashMap};
use std::process::Command;

/// The walls that no reference has, so that a program may pass there and fail here.
const MEMORY: &str = "more than 1 GiB of memory";
const TIME: &str = "more processor time than wall time, on several cores";
const THREADS: &str = "more threads than a program may have";
const DISK: &str = "more room on the disk, or a file that may not be written";
const DENIED: &str = "files outside, the network or other processes";
const CHANNEL: &str = "descriptors that are not its own";
const WALLS: [&str; 6] = [MEMORY, TIME, THREADS, DISK, DENIED, CHANNEL];

/// The wall that made a program fail, as far as its end tells.
fn wall(reason: &Reason) -> Option<&'static str> {
    match reason {
        Reason::ProgramDied { how } => match how.as_str() {
            "out of memory" => Some(MEMORY),
            "the processor time limit" => Some(TIME),
            "too much on the verdict channel" | "it wrote to the verdict channel itself" => Some(CHANNEL),
            _ => None,
        },
        Reason::ProgramFailed { exception } => {
            let (kind, text) = exception.split_once(": ").unwrap_or((exception, ""));
            let number =
                text.strip_prefix("[Errno ").and_then(|rest| rest.split(']').next()?.parse::<i32>().ok());
            match (kind, number) {
                ("MemoryError", _) => Some(MEMORY),
                ("RuntimeError", _) if text.contains("start new thread") => Some(THREADS),
                (_, Some(libc::ENOSPC | libc::EFBIG | libc::EROFS)) => Some(DISK),
                (_, Some(libc::EPERM | libc::EACCES | libc::ENETUNREACH | libc::EAFNOSUPPORT)) => {
                    Some(DENIED)
                }
                // What is not shown is not there.
                ("FileNotFoundError", Some(libc::ENOENT)) if text.contains("'/") => Some(DENIED),
                _ => None,
            }
        }
        _ => None,
    }
}

fn no_wall_yet() -> BTreeMap<&'static str, Vec<Value>> {
    WALLS.map(|wall| (wall, Vec::new())).into()
}

fn parity_programs(id: &str, file: &str) {
    let Some(reference) = reference() else { return };
    let benchmark = open(id);
    let sandbox = sandbox(8);
    let tools = Tools { sandbox: Some(&*sandbox) };
    let mut items: HashMap<String, Item> = HashMap::new();
    // The rows of MBPP go beyond the test split.
    let name = if id == "mbpp" { "mbpp_full.jsonl" } else { "HumanEval.jsonl" };
    for line in files::read_text(&reference.datasets.join(name)).unwrap().lines() {
        let fields: Map<String, Value> = serde_json::from_str(line).unwrap();
        items.insert(fields["task_id"].to_string(), Item::new("0".into(), fields));
    }
    let (asked, left_out): (Vec<_>, Vec<_>) = reference.rows(file).into_iter().partition(|row| {
        row["stable"] == true && row["third_party_imports"].as_array().is_none_or(Vec::is_empty)
    });

    // These answers were post-processed by their own authors' script, not by the paper's program. It differs in two
    // ways: it cuts MBPP's programs at the first `assert` of a line, and it leaves white space at the end.
    let mut extraction = Tally::default();
    for row in &asked {
        if let Some(raw) = row["raw_generation"].as_str() {
            let ours = benchmark.extract_program(raw).unwrap();
            let cut = if id == "mbpp" { ours.split("\nassert").next().unwrap() } else { &ours };
            extraction.compare(row, &cut.trim(), &row["output"].as_str().unwrap().trim());
        }
    }
    let verdicts = in_parallel(8, &asked, |row| {
        let item = &items[&row["task_id"].to_string()];
        benchmark.score_program(item, row["output"].as_str().unwrap(), &tools).unwrap()
    });
    // A fresh interpreter for every program comes to the same.
    let fresh = sandbox_with(8, false);
    let tools = Tools { sandbox: Some(&*fresh) };
    let fresh = in_parallel(8, &asked, |row| {
        let item = &items[&row["task_id"].to_string()];
        benchmark.score_program(item, row["output"].as_str().unwrap(), &tools).unwrap()
    });
    let mut kept_ready = Tally::default();
    for ((row, ours), fresh) in asked.iter().zip(&verdicts).zip(&fresh) {
        kept_ready.compare(row, &ours.value(), &fresh.value());
    }
    let mut tally = Tally { skipped: left_out.len(), stricter: no_wall_yet(), ..Tally::default() };
    for (row, verdict) in asked.iter().zip(&verdicts) {
        let Verdict::Scored { reason, .. } = verdict else { panic!("{}: {verdict:?}", row["id"]) };
        tally.rows += 1;
        let passed = row["passed"] == true;
        if is_right(verdict) == passed {
            continue;
        }
        if let Some(wall) = wall(reason).filter(|_| passed) {
            tally.stricter.entry(wall).or_default().push(row["id"].clone());
        } else {
            tally.apart.push(format!("{}: ours {reason:?}, theirs {}", row["id"], row["result"]));
            tally.ids.push(row["id"].clone());
        }
    }
    extraction.demand(&format!("{id}, post-processing"));
    kept_ready.demand(&format!("{id}, interpreter kept ready and fresh"));
    tally.demand(id);
}

#[test]
fn parity_humaneval() {
    parity_programs("humaneval", "code_humaneval.jsonl");
}

#[test]
fn parity_mbpp() {
    parity_programs("mbpp", "code_mbpp.jsonl");
}

/// Programs that do what they are asked, and on the way what a wall forbids: plain Python lets them pass, as the references' harnesses
/// do, and ours does not, with the wall named. The references' harnesses take away what forks, kills and renames, and nothing here uses
/// that.
#[test]
fn parity_of_walls() {
    let programs = [
        (MEMORY, "def f(x):\n    held = bytearray(3 << 29)\n    return x * x + len(held) - (3 << 29)"),
        (
            DENIED,
            "def f(x):\n    with open('/etc/passwd') as file:\n        return x * x + 0 * len(file.read())",
        ),
        (DENIED, "import os\ndef f(x):\n    return x * x + 0 * len(os.listdir('/proc/self'))"),
        (
            DENIED,
            "import socket\ndef f(x):\n    socket.socket(socket.AF_INET, socket.SOCK_STREAM).close()\n    return x * x",
        ),
        (
            DISK,
            "def f(x):\n    with open('big', 'wb') as file:\n        for _ in range(40):\n            file.write(bytes(1 << 20))\n    return x * x",
        ),
        (
            THREADS,
            "import threading\ndef f(x):\n    go = threading.Event()\n    all = [threading.Thread(target=go.wait) for _ in range(200)]\n\
             \x20   try:\n        for one in all:\n            one.start()\n    finally:\n        go.set()\n    return x * x",
        ),
    ];
    let benchmark = open("mbpp");
    let row = json!({"text": "", "task_id": 1, "test_list": ["assert f(3) == 9"]});
    let item = Item::new("0".into(), row.as_object().unwrap().clone());
    let (sandbox, plain) = (sandbox(2), Project::new());
    let tools = Tools { sandbox: Some(&*sandbox) };
    let (count, mut stricter) = (programs.len(), no_wall_yet());
    for (at, (expected, program)) in programs.into_iter().enumerate() {
        let file = plain.write("program.py", &format!("{program}\nassert f(3) == 9\n"));
        let python = Command::new("python3").arg(file).current_dir(plain.path("")).output().unwrap();
        assert!(python.status.success(), "{program}: {}", String::from_utf8_lossy(&python.stderr));
        let verdict = benchmark.score_program(&item, program, &tools).unwrap();
        let Verdict::Scored { reason, .. } = &verdict else { panic!("{verdict:?}") };
        assert!(!is_right(&verdict), "{program}");
        assert_eq!(wall(reason), Some(expected), "{program}: {reason:?}");
        stricter.entry(expected).or_default().push(json!(at));
    }
    // Each is one of the kinds, so that they agree with what is documented.
    let counts = json!({
        "set": "programs made for the walls", "rows": count, "agree": count, "left_out": 0, "disagree": [], "details": [],
        "stricter": stricter
    });
    println!("\nparity-json {counts}");
}

/// An honest mistake is no wall's doing.
#[test]
fn what_fails_by_itself_is_not_put_down_to_a_wall() {
    for exception in [
        "AssertionError",
        "FileNotFoundError: [Errno 2] No such file or directory: 'x'",
        "OSError: [Errno 9] x",
        "RuntimeError: x",
    ] {
        assert_eq!(wall(&Reason::ProgramFailed { exception: exception.to_owned() }), None, "{exception}");
    }
    assert_eq!(wall(&Reason::ProgramTimedOut), None);
    assert_eq!(wall(&Reason::ProgramDied { how: "signal 11".to_owned() }), None);
}
