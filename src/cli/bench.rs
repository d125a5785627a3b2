//! `m3 bench list`, `m3 bench show NAME`, `m3 bench new FOLDER`, `m3 bench check NAME`

use super::args::{Bench, BenchCheck, BenchCommand};
use super::failure::Failure;
use super::output::Output;
use super::settings::{Settings, split};
use crate::bench::{Benchmark, Context, DataFile, Profile, Tools, scaffold};
use crate::sandbox;
use std::fmt::Write;
use std::process::ExitCode;

pub(super) fn run(args: &Bench, settings: &Settings, output: &Output) -> Result<ExitCode, Failure> {
    match &args.command {
        BenchCommand::List { json } => {
            let all = Benchmark::known().iter().map(|id| Benchmark::load(&(*id).into()));
            let all = all.collect::<Result<Vec<_>, _>>()?;
            output.result(&if *json { list_json(&all) } else { list(&all) });
            Ok(ExitCode::SUCCESS)
        }
        BenchCommand::Show { benchmark } => {
            output.result(&show(&Benchmark::open(benchmark)?));
            Ok(ExitCode::SUCCESS)
        }
        BenchCommand::New { folder } => {
            let files = scaffold(folder)?;
            let mut text = String::new();
            for file in files {
                let _ = writeln!(text, "wrote {}", folder.join(file).display());
            }
            let _ = writeln!(text, "change them, and then: m3 bench check {}", folder.display());
            output.result(&text);
            Ok(ExitCode::SUCCESS)
        }
        BenchCommand::Check(args) => check(args, settings, output),
    }
}

fn profiles(benchmark: &Benchmark) -> Vec<String> {
    let profiles = [Profile::Paper, Profile::Standard];
    profiles.into_iter().filter(|p| benchmark.measures(*p).is_ok()).map(|p| p.to_string()).collect()
}

fn list(all: &[Benchmark]) -> String {
    let wide = |length: fn(&Benchmark) -> usize| all.iter().map(length).max().unwrap_or(0);
    let (names, metrics) = (wide(|b| b.id().as_str().len()), wide(|b| b.card.metric().metric.len()));
    let mut text = format!(
        "{:<names$} {:<metrics$} {:<16} {:<9} title\n",
        "benchmark", "metric", "profiles", "embedded"
    );
    for b in all {
        let embedded = if b.card.dataset.embedded.is_some() { "yes" } else { "no" };
        let profiles = profiles(b).join(", ");
        let (metric, title) = (&b.card.metric().metric, &b.card.title);
        let _ = writeln!(
            text,
            "{:<names$} {metric:<metrics$} {profiles:<16} {embedded:<9} {title}",
            b.id().as_str()
        );
    }
    text
}

fn list_json(all: &[Benchmark]) -> String {
    let one = |b: &Benchmark| {
        serde_json::json!({
            "benchmark": b.id(), "title": b.card.title, "version": b.card.version, "metric": b.card.metric().metric,
            "profiles": profiles(b), "embedded": b.card.dataset.embedded.is_some(), "programs": b.needs_programs(),
        })
    };
    format!("{}\n", serde_json::json!({ "benchmarks": all.iter().map(one).collect::<Vec<_>>() }))
}

fn show(benchmark: &Benchmark) -> String {
    let card = &benchmark.card;
    let mut text = format!("{}: {}\n\n", card.id, card.title);
    let mut line = |name: &str, value: &str| {
        let _ = writeln!(text, "{name:<12} {value}");
    };
    line("version", &card.version.to_string());
    for change in &card.changes {
        line("", change);
    }
    line("source", &card.source);
    line("licence", &card.licence);
    line("homepage", card.homepage.as_deref().unwrap_or("–"));
    line("citation", card.citation.as_deref().unwrap_or("–"));
    line("metric", &card.metric().metric);
    let options = |options: &toml::Table| {
        let all: Vec<String> = options.iter().map(|(key, value)| format!("{key} = {value}")).collect();
        if all.is_empty() { String::new() } else { format!(": {}", all.join(", ")) }
    };
    line("scorer", &format!("{}{}", card.scorer.name, options(&card.scorer.options)));
    for standard in &card.standard {
        let scorer = &standard.scorer;
        line("standard", &format!("{} ({})", standard.name, standard.source));
        line("", &format!("{}{}", scorer.name, options(&scorer.options)));
    }
    line("id", card.dataset.id_field.as_deref().unwrap_or("the row's number, from 0"));
    for (theirs, ours) in &card.dataset.aliases {
        line("", &format!("`{theirs}` is read as `{ours}`"));
    }
    line("tokens", &format!("at most {}", card.generation_kwargs.max_gen_toks.0));
    let stops: Vec<_> = card.generation_kwargs.until.iter().map(|stop| format!("{stop:?}")).collect();
    line("stop", &if stops.is_empty() { "–".to_owned() } else { stops.join(", ") });
    line("embedded", card.dataset.embedded.as_deref().unwrap_or("–"));
    for file in &card.dataset.files {
        line("data", &data(file));
    }
    if card.num_fewshot > 0 {
        let from =
            card.fewshot_config.split.map_or("the card".to_owned(), |split| format!("the {split} split"));
        line("examples", &format!("{} from {from}", card.num_fewshot));
    }
    if card.apply_chat_template {
        line("chat", "in the model's own chat template");
    }
    let _ = writeln!(text, "\nprompt ({}):\n{}", card.doc_to_text, benchmark.template());
    text
}

fn data(file: &DataFile) -> String {
    let rows = file.rows.map_or("any number of".to_owned(), |rows| rows.to_string());
    let sum = file.sha256.as_deref().unwrap_or("not known");
    let hub = file.hub.as_ref().map(|h| format!(", on a hub: {}@{}/{}", h.dataset, h.revision, h.file));
    let part = if file.part { " (a part)" } else { "" };
    let fits = file.condition.iter().map(|(key, text)| format!(" whose `{key}` is `{text}`"));
    let fits = fits.collect::<Vec<_>>().join(" and");
    let hub = hub.unwrap_or_default();
    format!("{}{part}: {}, {rows} rows{fits}, SHA-256 {sum}{hub}", file.split, file.name)
}

/// Card and template have been checked when the benchmark opens; what is left is said step by step.
fn check(args: &BenchCheck, settings: &Settings, output: &Output) -> Result<ExitCode, Failure> {
    let benchmark = Benchmark::open(&args.benchmark)?;
    let card = &benchmark.card;
    let mut text =
        format!("ok   card     {} version {}, scorer {}\n", card.id, card.version, card.scorer.name);
    let (source, split) = (settings.data(args.data.as_deref())?, split(args.split));
    let embedded = args.data.is_none();
    let items = if embedded && !benchmark.has_data() {
        let _ = writeln!(text, "–    data     none comes with the project; check it with --data DIR");
        Vec::new()
    } else {
        let items = benchmark.items(&source, split)?;
        for path in benchmark.data_files(&source, split)? {
            let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
            let ours = embedded && card.dataset.embedded.is_some();
            let file = card.dataset.files.iter().find(|f| !ours && f.name == name);
            let sum = match file.map(|f| &f.sha256) {
                Some(Some(_)) => "the published checksum",
                _ => "no checksum to hold it against",
            };
            let _ = writeln!(text, "ok   data     `{}`: {sum}", path.display());
        }
        let _ = writeln!(
            text,
            "ok   items    {} in the {split} split, each can be asked and scored",
            items.len()
        );
        items
    };
    let sandbox = if benchmark.needs_programs() {
        Some(sandbox::open(&settings.confined(&args.confining)?)?)
    } else {
        None
    };
    let cases = benchmark.run_cases(&Tools { sandbox: sandbox.as_deref() })?;
    let failed: Vec<_> = cases.iter().filter_map(|c| Some((&c.name, c.problem.as_ref()?))).collect();
    let (state, right) = (if failed.is_empty() { "ok  " } else { "FAIL" }, cases.len() - failed.len());
    let _ = if cases.is_empty() {
        writeln!(text, "–    cases    there are none: write at least a right, a wrong and an empty answer")
    } else {
        writeln!(text, "{state} cases    {right} of {} hand-made answers are scored as written", cases.len())
    };
    for (name, problem) in &failed {
        let _ = writeln!(text, "     {name}: {problem}");
    }
    for item in items.iter().take(args.prompts) {
        let context = benchmark.context(item)?;
        let prompt = context.to_string();
        let what = match context {
            Context::Text(_) => format!("prompt of item {}, {} bytes", item.id, prompt.len()),
            Context::Chat(_) => format!("what is said about item {}, for the model's chat template", item.id),
        };
        let _ = writeln!(text, "\n{what}, between the lines:\n────\n{prompt}\n────");
    }
    output.result(&text);
    Ok(if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(1) })
}
