//! `m3 generate MODEL`

use super::args::Generate;
use super::failure::{Failure, UNSCORED};
use super::output::Output;
use super::settings::{self, Settings};
use crate::completion::{Flow, Outcome, Refusal, Request, Sampling};
use crate::event::Observer;
use crate::experiment::Model;
use crate::files;
use serde::Deserialize;
use serde_json::{Value, json};
use std::io::Read;
use std::path::Path;
use std::process::ExitCode;

/// A line of `--prompts`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Prompt {
    id: Value,
    prompt: String,
}

pub(super) fn run(args: &Generate, settings: &Settings, output: &Output) -> Result<ExitCode, Failure> {
    if args.stop.iter().any(String::is_empty) {
        return Err(Failure::request("a --stop text is empty; it would end every answer before it began"));
    }
    let prompts = prompts(args)?;
    let model = Model::open(&args.model, settings.hub(), output)?;
    let mut engine = settings::engine(args.engine)?.load(&model)?;
    let requests: Vec<Request> = prompts
        .iter()
        .map(|p| Request {
            prompt: p.prompt.clone(),
            sampling: Sampling::Greedy,
            max_tokens: args.max_tokens,
            stop: args.stop.clone(),
        })
        .collect();
    let mut refused = 0;
    let mut answered = 0;
    engine.complete(&requests, &mut |i, outcome| {
        answered += 1;
        refused += usize::from(outcome.is_err());
        output.result(&render(&prompts[i], &outcome, args.json, prompts.len() > 1));
        if output.stop_requested() { Flow::Stop } else { Flow::Continue }
    })?;
    Ok(match (refused, answered == prompts.len()) {
        (_, false) => ExitCode::from(4),
        (0, true) => ExitCode::SUCCESS,
        (_, true) => ExitCode::from(UNSCORED),
    })
}

fn prompts(args: &Generate) -> Result<Vec<Prompt>, Failure> {
    if let Some(path) = &args.prompts {
        return read_prompts(path);
    }
    if !args.prompt.is_empty() {
        return Ok(args
            .prompt
            .iter()
            .zip(0..)
            .map(|(p, i)| Prompt { id: json!(i), prompt: p.clone() })
            .collect());
    }
    let mut prompt = String::new();
    std::io::stdin().read_to_string(&mut prompt).map_err(|e| Failure::Request(Box::new(e)))?;
    Ok(vec![Prompt { id: json!(0), prompt }])
}

fn read_prompts(path: &Path) -> Result<Vec<Prompt>, Failure> {
    let text = files::read_text(path)?;
    text.lines()
        .zip(1..)
        .filter(|(line, _)| !line.trim().is_empty())
        .map(|(line, number)| {
            serde_json::from_str(line).map_err(|e| {
                Failure::request(format!(
                    "`{}` line {number} is not {{\"id\", \"prompt\"}}: {e}",
                    path.display()
                ))
            })
        })
        .collect()
}

fn render(prompt: &Prompt, outcome: &Result<Outcome, Refusal>, as_json: bool, several: bool) -> String {
    match (outcome, as_json) {
        (Ok(o), true) => format!(
            "{}\n",
            json!({ "id": prompt.id, "text": o.text, "tokens": o.generated_tokens, "finish": o.finish })
        ),
        (Err(e), true) => format!("{}\n", json!({ "id": prompt.id, "error": e.to_string() })),
        (Ok(o), false) if several => format!("── {}\n{}\n", prompt.id, o.text),
        (Ok(o), false) => format!("{}\n", o.text),
        (Err(e), false) => format!("── {}: {e}\n", prompt.id),
    }
}
