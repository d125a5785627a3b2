//! `m3 inspect MODEL…`: what checkpoints are and whether they fit together. A recipe goes on to `forecast`.

use super::args::Inspect;
use super::failure::Failure;
use super::forecast;
use super::output::Output;
use super::settings::Settings;
use crate::checkpoint::{Checkpoint, Manifest, TensorSource};
use crate::experiment::{ExperimentError, recipe_file};
use crate::merge::{Agreement, Descent, Lineage, lineage};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::process::ExitCode;

/// Names of differing tensors that are shown to a person; `--json` has all.
const SHOWN: usize = 3;

/// What the headers of a model say.
#[derive(Serialize)]
pub(super) struct Inspected {
    model: String,
    parameters: usize,
    tensors: usize,
    /// Stored bytes.
    bytes: usize,
    /// Parameters by element type.
    dtypes: BTreeMap<String, usize>,
    layers: usize,
    hidden_size: usize,
    intermediate_size: usize,
    heads: usize,
    kv_heads: usize,
    head_dim: usize,
    context: usize,
    /// Rows of the embedding.
    vocabulary: usize,
    /// Whether the output head is the embedding.
    tied_head: bool,
    /// Whether the tokenizer is byte for byte that of the first model.
    same_tokenizer: bool,
    /// How its tensors compare with those of the first model.
    #[serde(skip_serializing_if = "Option::is_none")]
    agreement: Option<Agreement>,
    /// Whether its weights descend from those of the first model.
    #[serde(skip_serializing_if = "Option::is_none")]
    lineage: Option<Lineage>,
}

pub(super) fn run(args: &Inspect, settings: &Settings, output: &Output) -> Result<ExitCode, Failure> {
    match (args.models.as_slice(), args.models.iter().find_map(recipe_file)) {
        (_, None) => {}
        ([_], Some(recipe)) => return forecast::run(recipe, args, settings, output),
        (_, Some(recipe)) => {
            return Err(Failure::request(format!(
                "`{}` is a recipe, which names its models; inspect it alone",
                recipe.display()
            )));
        }
    }
    let options = settings.open(output);
    let opened = args
        .models
        .iter()
        .map(|reference| Checkpoint::open(reference, &options).map_err(ExperimentError::from))
        .collect::<Result<Vec<_>, _>>()?;
    let found = examine(&opened.iter().collect::<Vec<_>>(), args.lineage, output)?;
    let fits = found.iter().all(|m| m.agreement.as_ref().is_none_or(Agreement::whole));
    if args.json {
        output.result(&format!("{}\n", serde_json::json!({ "fits": fits, "models": found })));
    } else {
        let mut text = told(&found);
        if found.len() > 1 {
            text.push_str(if fits {
                "the models fit together\n"
            } else {
                "the models do NOT fit together as they are\n"
            });
        }
        output.result(&text);
    }
    Ok(ExitCode::SUCCESS)
}

/// What each model is, and how it compares with the first.
pub(super) fn examine(
    models: &[&Checkpoint],
    with_lineage: bool,
    output: &Output,
) -> Result<Vec<Inspected>, Failure> {
    let mut found = Vec::new();
    for (number, model) in models.iter().enumerate() {
        let first = models[0];
        let mut one = headers(model, first);
        if number > 0 {
            one.agreement = Some(Agreement::of(first, *model));
            if with_lineage {
                one.lineage = Some(lineage(first, *model, output).map_err(ExperimentError::from)?);
            }
        }
        found.push(one);
    }
    Ok(found)
}

/// Parameters by element type.
pub(super) fn by_dtype(manifest: &Manifest) -> BTreeMap<String, usize> {
    let mut dtypes = BTreeMap::new();
    for (_, info) in manifest.iter() {
        *dtypes.entry(info.dtype.to_string()).or_insert(0) += info.elements();
    }
    dtypes
}

fn headers(model: &Checkpoint, first: &Checkpoint) -> Inspected {
    let (manifest, config) = (model.manifest(), &model.companions().config);
    Inspected {
        model: model.origin().to_string(),
        parameters: manifest.parameters(),
        tensors: manifest.len(),
        bytes: manifest.iter().map(|(_, info)| info.bytes()).sum(),
        dtypes: by_dtype(manifest),
        layers: config.layers,
        hidden_size: config.hidden_size,
        intermediate_size: config.intermediate_size,
        heads: config.heads,
        kv_heads: config.kv_heads,
        head_dim: config.head_dim,
        context: config.context,
        vocabulary: config.vocab_size,
        tied_head: config.tied_head,
        same_tokenizer: model.companions().tokenizer == first.companions().tokenizer,
        agreement: None,
        lineage: None,
    }
}

/// The same for a person.
pub(super) fn told(found: &[Inspected]) -> String {
    let mut text = String::new();
    for m in found {
        let dtypes: Vec<&str> = m.dtypes.keys().map(String::as_str).collect();
        let _ = writeln!(text, "{}", m.model);
        let _ = writeln!(
            text,
            "  {} parameters in {} tensors, {}, {:.1} MB",
            m.parameters,
            m.tensors,
            dtypes.join(" and "),
            m.bytes as f64 / 1e6
        );
        let _ = writeln!(
            text,
            "  {} layers, width {}, feed-forward {}, {} heads ({} for keys) of {}, context {}",
            m.layers, m.hidden_size, m.intermediate_size, m.heads, m.kv_heads, m.head_dim, m.context
        );
        let head = if m.tied_head { "tied to the embedding" } else { "of its own" };
        let _ = writeln!(text, "  vocabulary {}, output head {head}", m.vocabulary);
        if let Some(agreement) = &m.agreement {
            let _ = writeln!(text, "  beside the first: {}", agreed(agreement));
            let same = if m.same_tokenizer { "the same tokenizer" } else { "ANOTHER tokenizer" };
            let _ = writeln!(text, "  {same}");
        }
        if let Some(lineage) = &m.lineage {
            let _ = writeln!(text, "  {}", descended(lineage));
            for kin in lineage.groups.iter().chain([&lineage.all]) {
                let _ = writeln!(
                    text,
                    "    {:<12} {:>13} parameters   ‖δ‖/‖θ‖ {:.4}   cosine {:.5}",
                    kin.group, kin.parameters, kin.relative_delta, kin.cosine
                );
            }
        }
    }
    text
}

fn agreed(agreement: &Agreement) -> String {
    if agreement.whole() {
        return format!("the same {} tensors in the same shapes", agreement.shared);
    }
    let some = |names: Vec<String>| {
        let more = names.len().saturating_sub(SHOWN);
        let shown = names[..names.len().min(SHOWN)].join(", ");
        if more > 0 { format!("{shown} and {more} more") } else { shown }
    };
    let mut parts = vec![format!("{} tensors agree", agreement.shared)];
    let names = |list: &[crate::ids::TensorName]| list.iter().map(|n| n.as_str().to_owned()).collect();
    if !agreement.missing.is_empty() {
        parts.push(format!("missing: {}", some(names(&agreement.missing))));
    }
    if !agreement.extra.is_empty() {
        parts.push(format!("more: {}", some(names(&agreement.extra))));
    }
    if !agreement.reshaped.is_empty() {
        let shapes = agreement.reshaped.iter().map(|(n, a, b)| format!("{} {a:?} → {b:?}", n.as_str()));
        parts.push(format!("other shape: {}", some(shapes.collect())));
    }
    parts.join("; ")
}

fn descended(lineage: &Lineage) -> &'static str {
    match lineage.descent {
        Descent::Same => "its weights are those of the first",
        Descent::FineTune => "a fine-tune of the first",
        Descent::Far => "FAR from the first: long training, or a merge with something else",
        Descent::Stranger => "NOT made from the first: deltas between the two mean nothing",
    }
}
