//! `m3 inspect RECIPE`: what a recipe will do and what it will cost, before anything is done.

use super::args::Inspect;
use super::failure::Failure;
use super::inspect;
use super::output::Output;
use super::settings::Settings;
use crate::event::{Event, Observer};
use crate::experiment::ExperimentError;
use crate::merge::{Asked, Estimate, MadeFrom, NamedInput, Plan, method, read_rate};
use serde::Serialize;
use serde_json::json;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};

#[derive(Serialize)]
struct Forecast {
    made_from: MadeFrom,
    /// What the vocabularies become; empty where they are the same.
    vocabulary: Vec<String>,
    output: Written,
    estimate: Estimate,
    /// Bytes per second at which a sample of the first input was read just now.
    rate: f64,
    /// Bytes to read and to write over that rate.
    seconds: f64,
}

/// The result.
#[derive(Serialize)]
struct Written {
    tensors: usize,
    parameters: usize,
    /// Rows of the embedding.
    vocabulary: usize,
    /// Parameters by element type.
    dtypes: BTreeMap<String, usize>,
    bytes: u64,
}

/// Passes everything on, and keeps the notes.
struct Heard<'o> {
    output: &'o Output,
    notes: Mutex<Vec<String>>,
}

impl Observer for Heard<'_> {
    fn observe(&self, event: &Event<'_>) {
        match event {
            Event::Note { text } => {
                self.notes.lock().unwrap_or_else(PoisonError::into_inner).push((*text).to_owned());
            }
            _ => self.output.observe(event),
        }
    }

    fn stop_requested(&self) -> bool {
        self.output.stop_requested()
    }
}

pub(super) fn run(
    path: &Path,
    args: &Inspect,
    settings: &Settings,
    output: &Output,
) -> Result<ExitCode, Failure> {
    let wrong = |e| Failure::from(ExperimentError::from(e));
    let asked = Asked::read(path, 0).map_err(wrong)?;
    let inputs = asked.open(&settings.open(output)).map_err(wrong)?;
    let checkpoints: Vec<_> = inputs.iter().map(|input| &input.checkpoint).collect();
    let models = inspect::examine(&checkpoints, args.lineage, output)?;
    let heard = Heard { output, notes: Mutex::default() };
    let planned = asked.plan(&inputs, &heard).map_err(wrong);
    let forecast = match &planned {
        Ok(plan) => {
            let notes = heard.notes.into_inner().unwrap_or_else(PoisonError::into_inner);
            Some(forecast(asked.made_from().map_err(wrong)?, plan, &inputs, notes)?)
        }
        Err(_) => None,
    };
    if args.json {
        let said = json!({ "fits": planned.is_ok(), "models": models, "recipe": forecast });
        output.result(&format!("{said}\n"));
    } else {
        let told = forecast.map(|f| told(path, &f, &inputs)).unwrap_or_default();
        output.result(&format!("{}{told}", inspect::told(&models)));
    }
    // What the models are is said even where they cannot be merged as asked.
    planned.map(|_| ExitCode::SUCCESS)
}

fn forecast(
    made_from: MadeFrom,
    plan: &Plan,
    inputs: &[NamedInput],
    vocabulary: Vec<String>,
) -> Result<Forecast, Failure> {
    let manifest = plan.manifest();
    let estimate = plan.estimate(inputs, rayon::current_num_threads());
    let rate = match inputs {
        [first, ..] => read_rate(&first.checkpoint).map_err(ExperimentError::from)?,
        [] => 0.0,
    };
    Ok(Forecast {
        made_from,
        vocabulary,
        output: Written {
            tensors: manifest.len(),
            parameters: manifest.parameters(),
            vocabulary: plan.companions().config.vocab_size,
            dtypes: inspect::by_dtype(&manifest),
            bytes: estimate.write_bytes,
        },
        seconds: (estimate.read_bytes + estimate.write_bytes) as f64 / rate.max(1.0),
        estimate,
        rate,
    })
}

fn told(path: &Path, forecast: &Forecast, inputs: &[NamedInput]) -> String {
    let Forecast { made_from, vocabulary, output, estimate, rate, seconds } = forecast;
    let mut text = format!("{}\n", path.display());
    let mut line = |says: &str| {
        let _ = writeln!(text, "  {says}");
    };
    for says in method(made_from) {
        line(&says);
    }
    if vocabulary.is_empty() {
        line(&format!("vocabulary: the same {} rows in all models", output.vocabulary));
    }
    for says in vocabulary {
        line(says);
    }
    let dtypes: Vec<&str> = output.dtypes.keys().map(String::as_str).collect();
    line(&format!(
        "result: {} parameters in {} tensors, {}, {:.1} MB on disk",
        output.parameters,
        output.tensors,
        dtypes.join(" and "),
        output.bytes as f64 / 1e6
    ));
    let sweeps: Vec<String> = inputs
        .iter()
        .zip(&estimate.sweeps)
        .map(|(i, times)| format!("`{}` {times:.1} times", i.named))
        .collect();
    line(&format!("reads {:.1} MB: {}", estimate.read_bytes as f64 / 1e6, sweeps.join(", ")));
    line(&format!(
        "estimates: {:.0} MB of memory; {seconds:.1} s, if reading and writing go at {:.0} MB/s as a sample of the first input \
         did just now (perhaps from the system's cache)",
        estimate.memory_bytes as f64 / 1e6,
        rate / 1e6
    ));
    text
}
