//! `m3 generate MODEL`

use super::args::{FrameName, Generate, SamplingFlags};
use super::failure::{Failure, UNSCORED};
use super::output::Output;
use super::settings::{self, Settings};
use crate::chat::Message;
use crate::completion::{Complete, Flow, Outcome, Refusal, Request, Sampling};
use crate::engine::{ChatTemplate, Frame};
use crate::event::Observer;
use crate::experiment::Model;
use crate::files;
use serde::Deserialize;
use serde_json::{Value, json};
use std::fmt;
use std::io::Read;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

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
    let sampling = sampling(&args.sampling)?;
    if args.system.is_some() && !args.chat && args.frame.is_none() {
        return Err(Failure::request("--system has no place in a prompt as it is; add --chat or --frame"));
    }
    let choice = settings::engine(args.engine, args.device.device)?;
    let prompts = prompts(args)?;
    let model = Model::open(&args.model, &settings.open(output))?;
    let texts = framed(args, &model, &prompts)?;
    let requests: Vec<Request> = texts
        .into_iter()
        .map(|prompt| Request {
            prompt,
            sampling,
            max_tokens: args.max_tokens,
            stop: args.stop.clone(),
            end_with: Vec::new(),
        })
        .collect();
    let begun = Instant::now();
    let mut engine = choice.load_within(&model, settings::limits(&args.limits), output)?;
    let mut took = Took { loading: begun.elapsed(), first: None, tokens: 0, begun: Instant::now() };
    if let ([prompt], [request]) = (&prompts[..], &requests[..])
        && !args.json
    {
        return aloud(engine.as_mut(), prompt, request, took, output);
    }
    let echo: Vec<Option<Vec<u32>>> =
        requests.iter().map(|r| if args.echo { engine.prompt_ids(&r.prompt) } else { None }).collect();
    let mut refused = 0;
    let mut answered = 0;
    engine.complete(&requests, &mut |i, outcome| {
        answered += 1;
        refused += usize::from(outcome.is_err());
        took.tokens += outcome.as_ref().map_or(0, |o| o.prompt_tokens + o.generated_tokens);
        output.result(&render(&prompts[i], echo[i].as_deref(), &outcome, args.json, prompts.len() > 1));
        if output.stop_requested() { Flow::Stop } else { Flow::Continue }
    })?;
    output.note(&took.to_string());
    Ok(match (refused, answered == prompts.len()) {
        (_, false) => ExitCode::from(4),
        (0, true) => ExitCode::SUCCESS,
        (_, true) => ExitCode::from(UNSCORED),
    })
}

/// How long it took.
struct Took {
    loading: Duration,
    /// Until there was text, where one prompt is answered.
    first: Option<Duration>,
    /// Of prompts and answers.
    tokens: usize,
    /// When the model was there.
    begun: Instant,
}

impl fmt::Display for Took {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.begun.elapsed().as_secs_f64();
        write!(f, "loaded in {:.2} s; ", self.loading.as_secs_f64())?;
        if let Some(first) = self.first {
            write!(f, "first token after {:.3} s; ", first.as_secs_f64())?;
        }
        let rate = self.tokens as f64 / seconds.max(1e-9);
        write!(f, "{} tokens, prompts included, in {seconds:.2} s: {rate:.0} a second", self.tokens)
    }
}

/// Answers one prompt, and shows the answer while it grows if somebody reads it live.
fn aloud(
    engine: &mut dyn Complete,
    prompt: &Prompt,
    request: &Request,
    mut took: Took,
    output: &Output,
) -> Result<ExitCode, Failure> {
    let (mut told, live) = (String::new(), output.is_read_live());
    let answer = engine.complete_aloud(request, &mut |text| {
        took.first.get_or_insert_with(|| took.begun.elapsed());
        if live {
            output.result(text);
            told.push_str(text);
        }
        if output.stop_requested() { Flow::Stop } else { Flow::Continue }
    })?;
    if let Some(Ok(outcome)) = &answer {
        took.tokens = outcome.prompt_tokens + outcome.generated_tokens;
    }
    let rest = told_rest(prompt, answer.as_ref(), &told);
    output.result(&rest.0);
    output.note(&took.to_string());
    Ok(rest.1)
}

/// What is left to be shown of an answer of which some was, and the exit code.
fn told_rest(prompt: &Prompt, answer: Option<&Result<Outcome, Refusal>>, told: &str) -> (String, ExitCode) {
    match answer {
        None => (if told.is_empty() { "" } else { "\n" }.to_owned(), ExitCode::from(4)),
        Some(Ok(outcome)) => {
            // A tokenizer that reads all tokens together otherwise than one after the other has the answer printed again.
            let rest = outcome.text.strip_prefix(told).map(|rest| format!("{rest}\n"));
            (rest.unwrap_or_else(|| format!("\n{}\n", outcome.text)), ExitCode::SUCCESS)
        }
        Some(refused @ Err(_)) => {
            let line = if told.is_empty() { "" } else { "\n" };
            (line.to_owned() + &render(prompt, None, refused, false, false), ExitCode::from(UNSCORED))
        }
    }
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

fn render(
    prompt: &Prompt,
    ids: Option<&[u32]>,
    outcome: &Result<Outcome, Refusal>,
    as_json: bool,
    several: bool,
) -> String {
    let mut row = match (outcome, as_json) {
        (Ok(o), true) => {
            json!({ "id": prompt.id, "text": o.text, "tokens": o.generated_tokens, "finish": o.finish })
        }
        (Err(e), true) => json!({ "id": prompt.id, "error": e.to_string() }),
        (Ok(o), false) if several => return format!("── {}\n{}\n", prompt.id, o.text),
        (Ok(o), false) => return format!("{}\n", o.text),
        (Err(e), false) => return format!("── {}: {e}\n", prompt.id),
    };
    if let Some(ids) = ids {
        row["prompt_ids"] = json!(ids);
    }
    format!("{row}\n")
}

/// The prompts as the model sees them.
fn framed(args: &Generate, model: &Model, prompts: &[Prompt]) -> Result<Vec<String>, Failure> {
    let system = args.system.as_deref();
    if let Some(frame) = args.frame {
        let frame = match frame {
            FrameName::Alpaca => Frame::Alpaca,
            FrameName::Vicuna => Frame::Vicuna,
            FrameName::Llama2 => Frame::Llama2,
            FrameName::Wizardlm => Frame::WizardLm,
        };
        return Ok(prompts.iter().map(|p| frame.render(system, &p.prompt)).collect());
    }
    if !args.chat {
        return Ok(prompts.iter().map(|p| p.prompt.clone()).collect());
    }
    let template = ChatTemplate::of(&model.companions)?;
    let message = |role: &str, content: &str| Message { role: role.to_owned(), content: content.to_owned() };
    let turns = |user: &str| {
        let system = system.map(|text| message("system", text));
        system.into_iter().chain([message("user", user)]).collect::<Vec<_>>()
    };
    Ok(prompts.iter().map(|p| template.render(&turns(&p.prompt))).collect::<Result<_, _>>()?)
}

/// How tokens are chosen, checked before anything is loaded.
fn sampling(flags: &SamplingFlags) -> Result<Sampling, Failure> {
    let SamplingFlags { temperature, top_k, top_p, seed } = *flags;
    if temperature == Some(0.0) && (top_k.is_some() || top_p.is_some() || seed.is_some()) {
        return Err(Failure::request(
            "--temperature 0 takes the most probable token; leave --top-k, --top-p and --seed out, or raise it",
        ));
    }
    let greedy = temperature.map_or(top_k.is_none() && top_p.is_none() && seed.is_none(), |t| t == 0.0);
    if greedy {
        return Ok(Sampling::Greedy);
    }
    let sampling =
        Sampling::Sample { temperature: temperature.unwrap_or(1.0), top_k, top_p, seed: seed.unwrap_or(0) };
    match sampling.check() {
        Ok(()) => Ok(sampling),
        Err(refusal) => Err(Failure::request(format!("the sampling flags do not do: {refusal}"))),
    }
}
