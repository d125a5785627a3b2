//! `m3 generate` on a terminal: the answer is seen while it grows. And `--device`, as a user types it.
#![expect(unsafe_code, reason = "a terminal is made by the C library")]

use crate::cli::{Project, home};
use std::fs::File;
use std::io::Read;
use std::os::fd::{FromRawFd, OwnedFd};
use std::process::{Command, Stdio};
use std::ptr::{null, null_mut};

/// Both ends of a new terminal: ours, and that of the program on it.
fn terminal() -> (File, OwnedFd) {
    let (mut ours, mut theirs) = (-1, -1);
    // SAFETY: two integers are written; what is null may be.
    let made = unsafe { libc::openpty(&raw mut ours, &raw mut theirs, null_mut(), null(), null()) };
    assert_eq!(made, 0, "{}", std::io::Error::last_os_error());
    // SAFETY: two descriptors that were just opened, and that nobody else owns.
    unsafe { (File::from_raw_fd(ours), OwnedFd::from_raw_fd(theirs)) }
}

/// What a terminal shows that `m3 generate models/math` writes to, in the pieces in which it could be read, and the exit code.
fn shown(project: &Project, args: &[&str]) -> (Vec<Vec<u8>>, Option<i32>) {
    let (mut ours, theirs) = terminal();
    let mut child = Command::new(env!("CARGO_BIN_EXE_m3"))
        .args([&["generate", "models/math", "--quiet"], args].concat())
        .arg("--home")
        .arg(home())
        .current_dir(project.root())
        .stdin(Stdio::null())
        .stdout(theirs)
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut pieces = Vec::new();
    let mut buffer = [0; 4096];
    // When the last program on it ends, Linux answers EIO.
    while let Ok(count @ 1..) = ours.read(&mut buffer) {
        pieces.push(buffer[..count].to_vec());
    }
    (pieces, child.wait().unwrap().code())
}

/// As the terminal had it, where a line ends with a carriage return too.
fn text(pieces: &[Vec<u8>]) -> String {
    String::from_utf8(pieces.concat()).unwrap().replace("\r\n", "\n")
}

#[test]
fn one_answer_is_shown_while_it_grows() {
    let project = Project::new();
    let args = ["Question: how many are there?", "--max-tokens", "200", "--temperature", "2", "--seed", "5"];
    let whole = project.m3(&[&["generate", "models/math"], &args[..]].concat()).ok();
    assert!(whole.len() > 40, "{whole}");
    // A busy machine may let everything pass before it is first read, though hardly time after time.
    let grew = (0..50).any(|_| {
        let (pieces, code) = shown(&project, &args);
        assert_eq!((text(&pieces), code), (whole.clone(), Some(0)));
        pieces.len() > 3
    });
    assert!(grew, "it came whole each time");
}

#[test]
fn what_a_stop_text_cuts_is_never_shown() {
    let project = Project::new();
    let prompt = ["Question: how many are there?", "--max-tokens", "60", "--temperature", "2", "--seed", "5"];
    let whole = project.m3(&[&["generate", "models/math"], &prompt[..]].concat()).ok();
    let (middle, _) = whole.char_indices().nth(whole.chars().count() / 2).unwrap();
    let stop: String = whole[middle..].chars().take(3).collect();
    let args = [&prompt[..], &["--stop", &stop]].concat();
    let cut = project.m3(&[&["generate", "models/math"], &args[..]].concat()).ok();
    assert!(cut.len() < whole.len());
    let (pieces, code) = shown(&project, &args);
    assert_eq!((text(&pieces), code), (cut, Some(0)));
}

#[test]
fn several_answers_and_rows_are_shown_whole() {
    let project = Project::new();
    for args in [&["1 + 1 =", "--json"][..], &["1 + 1 =", "2 + 2 ="]] {
        let args = [args, &["--max-tokens", "8"]].concat();
        let piped = project.m3(&[&["generate", "models/math"], &args[..]].concat()).ok();
        let (pieces, code) = shown(&project, &args);
        assert_eq!((text(&pieces), code), (piped, Some(0)));
    }
    let (pieces, code) = shown(&project, &[""]);
    assert_eq!((text(&pieces), code), ("── 0: the prompt has no tokens\n".to_owned(), Some(3)));
}

#[test]
fn a_device_that_is_not_there_is_said_before_anything_is_read() {
    let project = Project::new();
    let generate = |device: &str, more: &[&str]| {
        project.m3(&[&["generate", "models/math", "1 + 1 =", "--device", device], more].concat())
    };
    assert_eq!(generate("cpu", &[]).ok(), generate("auto", &[]).ok());
    assert!(generate("tpu", &[]).stderr().contains("cuda:N"));
    if !cfg!(feature = "cuda") {
        for args in [
            &["generate", "models/math", "1 + 1 =", "--device", "cuda:1"][..],
            &["eval", "models/math", "--bench", "gsm8k", "--device", "cuda"],
            &["reproduce", "table1", "--device", "cuda"],
        ] {
            assert!(project.m3(args).fails(1).contains("scripts/cuda/build.sh"));
        }
    }
    let said = generate("cuda", &["--engine", "reference"]).fails(1);
    assert!(said.contains("runs on the CPU"), "{said}");
    let said = project
        .m3(&[
            "eval",
            "NAME",
            "--engine",
            "openai",
            "--base-url",
            "http://127.0.0.1:1/v1",
            "--bench",
            "gsm8k",
            "--device",
            "cuda",
        ])
        .fails(1);
    assert!(said.contains("--device"), "{said}");
}
