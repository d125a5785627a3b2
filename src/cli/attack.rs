//! `m3 attack MODEL|RECIPE --bench … --attack …`, and `m3 attack preview`

use super::args::{Attack as Args, AttackCommand, AttackPreview, Attacking, LabelsByName, RulesName};
use super::failure::Failure;
use super::output::Output;
use super::settings::{Settings, split};
use crate::attack::{
    Attack, AttackError, AttackName, Resources, Rules, Stage, Synonyms, check_prompt, read_prompts,
};
use crate::bench::Benchmark;
use crate::checkpoint::{ModelRef, model_folder};
use crate::engine::{MaskedBert, SentenceBert};
use crate::event::{Event, Observer};
use crate::experiment::{Attacked, ExperimentError, Figure, Lab, LabelsBy, Model, Target, attack};
use crate::ids::BenchmarkId;
use crate::masked::MaskedLm;
use serde_json::json;
use std::fmt::Write;
use std::process::ExitCode;
use std::sync::Arc;

/// The embedded masked language model, within the project.
const MASKED_LM: &str = "models/tiny/masked";

pub(super) fn run(args: &Args, settings: &Settings, output: &Output) -> Result<ExitCode, Failure> {
    if let Some(AttackCommand::Preview(preview)) = &args.preview {
        return show(preview, settings, output);
    }
    let Some(reference) = &args.model else {
        return Err(Failure::request("name a model or a recipe file"));
    };
    // Everything that can be wrong is found before the model is opened.
    let benchmarks = args.bench.iter().map(|name| Benchmark::open(name)).collect::<Result<Vec<_>, _>>()?;
    let ids: Vec<BenchmarkId> = benchmarks.iter().map(|b| b.id().clone()).collect();
    let data = settings.data(args.data.as_deref())?;
    let limit = args.limit.map(|n| usize::try_from(n).unwrap_or(usize::MAX));
    let budget = args.budget.map(|n| usize::try_from(n).unwrap_or(usize::MAX));
    let quiet = Quiet(output);
    let lab = Lab::with(settings.lab(&args.running, data, limit)?, benchmarks, &quiet)?;
    let labels_by = match args.labels_by {
        LabelsByName::Generation => LabelsBy::Generation,
        LabelsByName::FirstLabel => LabelsBy::FirstLabel,
        LabelsByName::Likelihood => LabelsBy::Likelihood,
    };
    let targets = ids
        .iter()
        .map(|id| Target::new(&lab, id, split(args.split), args.prompt.as_deref())?.labels_by(labels_by))
        .collect::<Result<Vec<_>, _>>()?;
    let flags = &args.attacking;
    let resources = resources(flags, settings, output)?;
    let mut jobs = Vec::new();
    for target in &targets {
        let labels = known_labels(&flags.labels, &target.labels)?;
        for attack in attacks(flags, &labels, &resources)? {
            jobs.push((target, attack.askable()));
        }
    }
    let model = Model::open(reference, &settings.open(output))?;
    let mut subject = lab.subject(&model)?;
    let mut done = Vec::new();
    for (target, job) in &jobs {
        done.push(attack(&lab, &mut subject, target, job, flags.seed, budget, output)?);
    }
    let profile = profile(flags.profile);
    output.result(&if args.running.json {
        format!("{}\n", json!({ "profile": profile, "model": model.about, "attacks": done }))
    } else {
        done.iter().map(|one| told(one, profile)).collect()
    });
    Ok(ExitCode::SUCCESS)
}

/// Prints what a model would be asked.
fn show(args: &AttackPreview, settings: &Settings, output: &Output) -> Result<ExitCode, Failure> {
    let flags = &args.attacking;
    check_prompt(&args.prompt, &flags.labels)?;
    let mut all = Vec::new();
    for attack in attacks(flags, &flags.labels, &resources(flags, settings, output)?)? {
        for note in &attack.notes {
            output.note(&format!("{}: {note}", attack.name));
        }
        let name = attack.name;
        let prompts = attack.askable().preview(&args.prompt, flags.seed)?;
        if prompts.is_empty() {
            return Err(AttackError::NoCandidate { attack: name }.into());
        }
        all.extend(prompts.into_iter().map(|(stage, prompt)| (name, stage, prompt)));
    }
    let mut text = String::new();
    for (attack, stage, prompt) in &all {
        let line = if args.json {
            json!({ "attack": attack, "stage": stage, "prompt": prompt }).to_string()
        } else {
            format!("{attack}, {}: {prompt:?}", stage_name(*stage))
        };
        let _ = writeln!(text, "{line}");
    }
    output.result(&text);
    Ok(ExitCode::SUCCESS)
}

fn stage_name(stage: Stage) -> &'static str {
    match stage {
        Stage::Clean => "clean",
        Stage::Ranking => "ranking",
        Stage::Candidate => "candidate",
    }
}

fn profile(name: RulesName) -> &'static str {
    match name {
        RulesName::Paper => "paper",
        RulesName::Standard => "standard",
    }
}

/// The labels that stay: those that were named, which the benchmark must have, or else all of its.
fn known_labels(named: &[String], labels: &[String]) -> Result<Vec<String>, Failure> {
    if let Some(label) = named.iter().find(|label| !labels.contains(label)) {
        return Err(AttackError::UnknownLabel { label: label.clone(), labels: labels.to_vec() }.into());
    }
    Ok(if named.is_empty() { labels } else { named }.to_vec())
}

fn attacks(flags: &Attacking, labels: &[String], resources: &Resources) -> Result<Vec<Attack>, Failure> {
    let rules = match flags.profile {
        RulesName::Paper => Rules::PAPER,
        RulesName::Standard => Rules::STANDARD,
    };
    let protected = rules.protected(labels);
    let make = |name: &String| Ok(Attack::new(name.parse()?, rules, &protected, resources)?);
    flags.attacks.iter().map(make).collect()
}

/// Opens what the flags name, as far as one of the attacks uses it.
fn resources(flags: &Attacking, settings: &Settings, output: &Output) -> Result<Resources, Failure> {
    let names = flags.attacks.iter().map(|name| name.parse()).collect::<Result<Vec<AttackName>, _>>()?;
    let uses = |which: &[AttackName]| names.iter().any(|name| which.contains(name));
    let folder = |model| model_folder(model, &settings.open(output)).map_err(ExperimentError::from);
    let mut resources = Resources::default();
    if let Some(path) =
        flags.synonyms.as_ref().filter(|_| uses(&[AttackName::TextBugger, AttackName::TextFooler]))
    {
        resources.synonyms = Some(<dyn Synonyms>::open(path)?);
    }
    if uses(&[AttackName::BertAttack]) {
        resources.masked = Some(masked_lm(flags.masked_lm.as_ref(), settings, output)?);
    }
    if let Some(model) =
        flags.encoder.as_ref().filter(|_| uses(&[AttackName::BertAttack, AttackName::TextBugger]))
    {
        resources.encoder = Some(Arc::new(SentenceBert::load(&folder(model)?)?));
    }
    if let Some(path) = flags.prompts.as_ref().filter(|_| uses(&[AttackName::Semantic])) {
        resources.prompts = read_prompts(path)?;
    }
    Ok(resources)
}

/// The masked language model that was named, or else the embedded one.
pub(super) fn masked_lm(
    named: Option<&ModelRef>,
    settings: &Settings,
    output: &Output,
) -> Result<Arc<dyn MaskedLm>, Failure> {
    let folder = match named {
        Some(model) => model_folder(model, &settings.open(output)).map_err(ExperimentError::from)?,
        None => settings.home()?.join(MASKED_LM),
    };
    Ok(Arc::new(MaskedBert::load(&folder)?))
}

fn percent(x: f64) -> String {
    format!("{:.2} %", 100.0 * x)
}

fn range(ci95: Option<(f64, f64)>) -> String {
    ci95.map_or_else(String::new, |(low, high)| format!(" [{:.2}, {:.2}]", 100.0 * low, 100.0 * high))
}

fn told(one: &Attacked, profile: &str) -> String {
    let by = match one.labels_by {
        LabelsBy::Generation => "generated labels",
        LabelsBy::FirstLabel => "the first generated label",
        LabelsBy::Likelihood => "the likeliest label",
    };
    let mut text =
        format!("{} on {} ({profile} profile, {by}, seed {})\n", one.attack, one.benchmark, one.seed);
    let mut line = |says: String| {
        let _ = writeln!(text, "  {says}");
    };
    let figure = |name: &str, f: &Figure| {
        let invalid = f.invalid as f64 / f.n.max(1) as f64;
        let (accuracy, ci95) = (percent(f.accuracy), range(f.ci95));
        format!("{name:<8} {accuracy}{ci95}, n {}, {} invalid, run {}", f.n, percent(invalid), f.run)
    };
    line(figure("clean", &one.clean));
    line(figure("attacked", &one.attacked));
    match one.pdr {
        Some(pdr) => {
            line(format!("PDR      {}{}, 95 % by paired bootstrap", percent(pdr), range(one.pdr_ci95)));
        }
        None => line("PDR      none: the model is never right without an attack".into()),
    }
    if let Some(chance) = one.chance.as_ref().filter(|_| one.at_or_below_chance) {
        line(format!("warning: {chance}, so that the clean accuracy is no better and the PDR means nothing"));
    }
    line(format!(
        "{} prompts asked{}",
        one.queries.len(),
        if one.out_of_budget { ", all that the budget allows" } else { "" }
    ));
    let run = one.tokens.run.map_or_else(|| "unknown".to_owned(), |run| run.to_string());
    line(format!(
        "model tokens: {run} run by this command; the same questions one example a call: {}",
        one.tokens.one_example_a_call
    ));
    for note in &one.notes {
        line(format!("note: {note}"));
    }
    line(format!("worst prompt: {:?}", one.edits));
    text
}

/// Shows an attack as one piece of work: the evaluations behind it have none of their own.
struct Quiet<'o>(&'o Output);

impl Observer for Quiet<'_> {
    fn observe(&self, event: &Event<'_>) {
        if matches!(event, Event::Warning { .. } | Event::Note { .. }) {
            self.0.observe(event);
        }
    }

    fn stop_requested(&self) -> bool {
        self.0.stop_requested()
    }
}
