//! `m3 runs list`, `m3 runs show KEY`, `m3 runs gc`, `m3 runs export [KEY…]`

use super::args::{ReasonName, RunStore, Runs, RunsCommand};
use super::failure::Failure;
use super::output::Output;
use crate::bench::{Benchmark, Verdict};
use crate::digest::Digest;
use crate::engine::{Engine, ReferenceEngine};
use crate::evaluate::Summary;
use crate::files::{self, Staged};
use crate::ids::ItemId;
use crate::merge::{MadeFrom, method};
use crate::remote::Remote;
use crate::runs::{self, Content, Held, Present, Reason, StoredItem, StoredRun, reason};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::fmt::Write;
use std::path::Path;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

pub(super) fn run(args: &Runs, output: &Output) -> Result<ExitCode, Failure> {
    let text = match &args.command {
        RunsCommand::List { store } => list(store)?,
        RunsCommand::Show { key, items, store } => show(&runs::find(&store.out, key)?, *items, store.json)?,
        RunsCommand::Gc { only, yes, store } => gc(only, *yes, store)?,
        RunsCommand::Export { keys, to, store } => export(keys, to.as_deref(), store)?,
    };
    output.result(&text);
    Ok(ExitCode::SUCCESS)
}

fn list(store: &RunStore) -> Result<String, Failure> {
    let mut all = runs::stored_runs(&store.out)?;
    all.sort_by_key(|run| run.changed);
    if store.json {
        let rows: Vec<Value> = all.iter().map(facts).collect();
        return Ok(format!("{}\n", json!({ "runs": rows })));
    }
    let mut text = format!(
        "{:<16}  {:<16} {:>6} {:>8} {:>9}  {:<20}  {:<11} model\n",
        "run", "benchmark", "n", "mean %", "size", "written", "state"
    );
    for run in &all {
        let (benchmark, n, mean, model) = match &run.content {
            Ok(content) => {
                let summary = summary(content);
                let mean = summary.mean.filter(|_| several_sets(content).is_none());
                let mean = mean.map_or("–".to_owned(), |mean| format!("{:.2}", 100.0 * mean));
                (content.manifest.benchmark.to_string(), summary.n, mean, model(&content.manifest.model))
            }
            Err(e) => ("–".to_owned(), 0, "–".to_owned(), e.to_string()),
        };
        let (size, when) = (size(run.bytes), timestamp(run.changed));
        let _ = writeln!(
            text,
            "{:<16}  {benchmark:<16} {n:>6} {mean:>8} {size:>9}  {when:<20}  {:<11} {model}",
            run.id.as_str(),
            state(run)
        );
    }
    let mixed = |run: &StoredRun| run.content.as_ref().is_ok_and(|content| several_sets(content).is_some());
    let _ = writeln!(text, "\nover everything in a run, whatever split, limit or data it was asked with");
    if all.iter().any(mixed) {
        let _ = writeln!(
            text,
            "– where that is the questions of several data sets: `m3 eval` tells the figure of each"
        );
    }
    if all.is_empty() {
        text = format!("`{}` holds no runs yet\n", store.out.display());
    }
    Ok(text)
}

fn show(run: &StoredRun, items: bool, as_json: bool) -> Result<String, Failure> {
    let Ok(content) = &run.content else { return Err(unreadable(run)) };
    if items {
        return Ok(content.items.iter().map(|item| line(run, content, item)).collect());
    }
    if as_json {
        return Ok(format!("{}\n", facts(run)));
    }
    let (manifest, summary) = (&content.manifest, summary(content));
    let mut text = format!("run {} in `{}`, {}\n\n", run.id, run.folder.display(), state(run));
    let said = |version: Option<u32>| version.map_or("not said".to_owned(), |version| version.to_string());
    let settings = [
        ("model", model(&manifest.model)),
        ("weights", manifest.weights.hex()),
        ("config, tokenizer", manifest.companions.map_or("not said".into(), Digest::hex)),
        ("benchmark", manifest.benchmark.to_string()),
        ("card", format!("version {}; scorer {}", said(manifest.card), said(manifest.scorer))),
        ("numerics", manifest.numerics.clone()),
        ("confinement", manifest.confinement.clone().unwrap_or_else(|| "runs no programs".into())),
        ("begun by", format!("m3 {}", manifest.m3)),
        ("written", format!("{}, {}", timestamp(run.changed), size(run.bytes))),
    ];
    for (name, value) in settings {
        let _ = writeln!(text, "{name:<18} {value}");
    }
    if let Ok(made) = made_from(&manifest.model) {
        let _ = writeln!(text, "{:<18} {}", "merge", method(&made).join(" "));
    }
    let mean = match (several_sets(content), summary.mean, summary.ci95) {
        (Some(id), ..) => format!(
            "no mean, for it has the questions of several data sets (two of them are named {id}): `m3 eval` tells each"
        ),
        (None, Some(mean), Some((low, high))) => {
            format!("{:.2} % [{:.2}, {:.2}]", 100.0 * mean, 100.0 * low, 100.0 * high)
        }
        (None, Some(mean), None) => format!("{:.2} %", 100.0 * mean),
        (None, None, _) => "–".to_owned(),
    };
    let _ = writeln!(
        text,
        "\n{} items scored: {mean}; {} right, {} wrong, {} invalid; {} unscored; {} answered only\n\
         (everything in the run, whatever split, limit or data it was asked with)",
        summary.n,
        summary.right,
        summary.wrong,
        summary.invalid,
        summary.unscored,
        waiting(content)
    );
    Ok(text)
}

fn gc(only: &[ReasonName], yes: bool, store: &RunStore) -> Result<String, Failure> {
    let all = runs::stored_runs(&store.out)?;
    let present = present()?;
    let wanted = |reason: Reason| only.is_empty() || only.iter().any(|name| named(*name) == reason);
    let mut rows = Vec::new();
    let (mut text, mut freed) = (String::new(), 0);
    for run in &all {
        let Some(why) = reason(run, &all, &present).filter(|why| wanted(*why)) else { continue };
        let done = if yes { remove(run, &all, &present)? } else { Removal::Planned };
        if done != Removal::Held {
            freed += run.bytes;
        }
        rows.push(json!({ "run": run.id, "reason": why, "bytes": run.bytes, "removal": done.name() }));
        let about = match &run.content {
            Ok(content) => format!("{} · {}", content.manifest.benchmark, model(&content.manifest.model)),
            Err(e) => e.to_string(),
        };
        let _ = writeln!(
            text,
            "{:<16}  {:<14} {:>9}  {:<13} {about}",
            run.id.as_str(),
            why.title(),
            size(run.bytes),
            done.name()
        );
    }
    if store.json {
        return Ok(format!("{}\n", json!({ "dry_run": !yes, "bytes": freed, "runs": rows })));
    }
    let kept = all.len() - rows.len();
    let _ = match (rows.is_empty(), yes) {
        (true, _) => writeln!(text, "nothing to remove; {kept} runs stay"),
        (false, true) => writeln!(text, "{} freed; {kept} other runs stay", size(freed)),
        (false, false) => writeln!(
            text,
            "{} would be freed, and {kept} runs would stay; nothing was changed: give --yes to delete these",
            size(freed)
        ),
    };
    Ok(text)
}

/// What became of a run that may go.
#[derive(Clone, Copy, PartialEq)]
enum Removal {
    Planned,
    Done,
    /// Another process has it, or it was used since it was listed.
    Held,
}

impl Removal {
    fn name(self) -> &'static str {
        match self {
            Self::Planned => "would go",
            Self::Done => "deleted",
            Self::Held => "in use, stays",
        }
    }
}

/// Deletes a run, unless another process has it, or has meanwhile made it one that should stay.
fn remove(run: &StoredRun, all: &[StoredRun], present: &Present) -> Result<Removal, Failure> {
    let Some(held) = Held::take(&run.folder)? else { return Ok(Removal::Held) };
    if reason(&StoredRun::read(&run.folder)?, all, present).is_none() {
        return Ok(Removal::Held);
    }
    held.remove()?;
    Ok(Removal::Done)
}

fn export(keys: &[String], to: Option<&Path>, store: &RunStore) -> Result<String, Failure> {
    let chosen = if keys.is_empty() {
        runs::stored_runs(&store.out)?
    } else {
        keys.iter().map(|key| runs::find(&store.out, key)).collect::<Result<_, _>>()?
    };
    let mut whole = Vec::new();
    for run in &chosen {
        let Ok(content) = &run.content else { return Err(unreadable(run)) };
        let lines: String = content.items.iter().map(|item| line(run, content, item)).collect();
        whole.push((run, content.items.len(), lines));
    }
    let Some(to) = to else {
        return Ok(whole.into_iter().map(|(_, _, lines)| lines).collect());
    };
    let staged = Staged::new(to)?;
    let list: Vec<Value> = chosen.iter().map(facts).collect();
    files::write(&staged.path().join("runs.json"), format!("{:#}\n", json!({ "runs": list })).as_bytes())?;
    let mut items = 0;
    for (run, count, lines) in &whole {
        files::write(&staged.path().join(format!("{}.jsonl", run.id)), lines.as_bytes())?;
        items += count;
    }
    staged.commit()?;
    Ok(if store.json {
        format!("{}\n", json!({ "folder": to, "runs": whole.len(), "items": items }))
    } else {
        format!("wrote `{}`: runs.json and {} runs with {items} items\n", to.display(), whole.len())
    })
}

/// One item as a line of JSON.
fn line(run: &StoredRun, content: &Content, item: &StoredItem) -> String {
    let row = json!({
        "run": run.id,
        "benchmark": content.manifest.benchmark,
        "item": item.item,
        "content": item.content,
        "answer": item.answer,
        "verdict": item.verdict,
    });
    format!("{row}\n")
}

/// A run for programs.
fn facts(run: &StoredRun) -> Value {
    let mut row = json!({
        "run": run.id,
        "folder": run.folder,
        "state": state(run),
        "bytes": run.bytes,
        "written": timestamp(run.changed),
    });
    let more = match &run.content {
        Ok(content) => json!({
            "complete": content.is_complete(),
            "several_data_sets": several_sets(content).is_some(),
            "asked": content.open,
            "answered_only": waiting(content),
            "figures": summary(content),
            "settings": content.manifest,
        }),
        Err(e) => json!({ "complete": false, "error": e.to_string() }),
    };
    if let (Some(row), Value::Object(more)) = (row.as_object_mut(), more) {
        row.extend(more);
    }
    row
}

fn unreadable(run: &StoredRun) -> Failure {
    let why = run.content.as_ref().err().map(ToString::to_string).unwrap_or_default();
    Failure::request(format!("the run {} cannot be read: {why}", run.id))
}

fn state(run: &StoredRun) -> &'static str {
    match &run.content {
        Ok(content) if content.is_complete() => "complete",
        Ok(_) => "incomplete",
        Err(_) => "unreadable",
    }
}

fn waiting(content: &Content) -> usize {
    content.items.iter().filter(|item| item.verdict.is_none()).count()
}

/// A name that two different questions of a run have: it was asked on several data sets, of which a mean says nothing.
fn several_sets(content: &Content) -> Option<&ItemId> {
    let mut seen = HashMap::new();
    content.items.iter().find_map(|item| {
        let first = *seen.entry(&item.item).or_insert(item.content);
        (first != item.content).then_some(&item.item)
    })
}

/// The figures over everything in a run. A verdict that this version does not know is none.
fn summary(content: &Content) -> Summary {
    let verdict = |item: &StoredItem| serde_json::from_value::<Verdict>(item.verdict.clone()?).ok();
    Summary::of(&content.items.iter().filter_map(verdict).collect::<Vec<_>>())
}

fn made_from(model: &Value) -> Result<MadeFrom, serde_json::Error> {
    serde_json::from_value(model.clone())
}

/// What was evaluated, in a few words.
fn model(about: &Value) -> String {
    let text = |key: &str| about.get(key).and_then(Value::as_str);
    let last = |path: &str| path.trim_end_matches('/').rsplit('/').next().unwrap_or(path).to_owned();
    match made_from(about) {
        Ok(MadeFrom::Recipe { asked, direction, .. }) => {
            let names: Vec<String> = asked.models.iter().map(|name| last(name)).collect();
            let combine = serde_json::to_value(asked.combine).unwrap_or_default();
            let lambda = direction.map_or(String::new(), |direction| {
                let weights: Vec<String> = direction.weights().iter().map(|w| format!("{w:.3}")).collect();
                format!(" λ = ({}),", weights.join(", "))
            });
            let steps = if asked.sparsify.is_empty() { "" } else { " of sparsified deltas" };
            let combine = combine.as_str().unwrap_or_default();
            format!("{} by {combine}{steps},{lambda} s = {}", names.join(" & "), asked.scale)
        }
        Ok(MadeFrom::Mergekit { .. }) => "a merge by a configuration of mergekit".to_owned(),
        Err(_) => match (text("checkpoint"), text("served"), text("address")) {
            (Some(checkpoint), ..) => last(checkpoint),
            (None, Some(served), Some(address)) => format!("{served} at {address}"),
            _ => about.to_string(),
        },
    }
}

fn named(name: ReasonName) -> Reason {
    match name {
        ReasonName::Incomplete => Reason::Incomplete,
        ReasonName::OtherVersion => Reason::OtherVersion,
        ReasonName::Superseded => Reason::Superseded,
        ReasonName::Damaged => Reason::Damaged,
    }
}

/// What this m3 would key a run by.
fn present() -> Result<Present, Failure> {
    let mut present = Present::default();
    for id in Benchmark::known() {
        let benchmark = Benchmark::load(&(*id).into())?;
        present
            .benchmarks
            .insert(benchmark.id().clone(), (benchmark.card.version, benchmark.scorer_version()));
    }
    let of_engine =
        [Engine::NUMERICS, Engine::NUMERICS_BF16, Engine::NUMERICS_BF16_DOTS, Engine::NUMERICS_GPU];
    let others = [ReferenceEngine::NUMERICS, Remote::NUMERICS];
    present.numerics = of_engine.into_iter().chain(others).map(str::to_owned).collect();
    Ok(present)
}

fn size(bytes: u64) -> String {
    match bytes {
        0..1000 => format!("{bytes} B"),
        1000..1_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        _ => format!("{:.1} MB", bytes as f64 / 1e6),
    }
}

/// A time in UTC, as RFC 3339 writes it. The days are counted in years that begin in March, so that a leap day ends one.
fn timestamp(time: SystemTime) -> String {
    let seconds = time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let (days, clock) = (seconds / 86_400, seconds % 86_400);
    // Days since 1 March of the year 0, in cycles of 400 years with 146,097 days each.
    let day = days + 719_468;
    let (cycle, day) = (day / 146_097, day % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let of_year = day - (365 * year + year / 4 - year / 100);
    let march = (5 * of_year + 2) / 153;
    let date = of_year - (153 * march + 2) / 5 + 1;
    let month = if march < 10 { march + 3 } else { march - 9 };
    let year = 400 * cycle + year + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{date:02}T{:02}:{:02}:{:02}Z", clock / 3600, clock / 60 % 60, clock % 60)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn times_are_those_of_the_calendar() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_704_067_199, "2023-12-31T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(timestamp(UNIX_EPOCH + Duration::from_secs(seconds)), text);
        }
    }
}
