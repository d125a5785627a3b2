//! The model card of a merge: `README.md` as Hugging Face has it, and the sentences in it that say what the method is.

use super::rule::{Rescale, Scope};
use super::{Combine, DirectionLaw, MadeFrom, Mergekit, Recipe, Record, RecordedInput, Sparsify};
use crate::checkpoint::ModelRef;
use std::fmt::Write;
use std::path::Path;

/// The model card of the merge called `name`, in Markdown. It names the inputs as the recipe does; those of a hub are its
/// `base_model`s, for that list is one of hub ids.
pub fn card(name: &str, record: &Record) -> String {
    let mut text = "---\n".to_owned();
    match hub_ids(record).as_slice() {
        [] => text.push_str("base_model: []\n"),
        ids => {
            text.push_str("base_model:\n");
            for id in ids {
                let _ = writeln!(text, "- {id}");
            }
        }
    }
    text.push_str("library_name: transformers\ntags:\n- merge\n- m3\n---\n\n");
    let _ = writeln!(text, "# {}\n", plain(name));
    let _ = writeln!(text, "A merge of language models, made by m3 {}.\n\n## Method\n", record.m3);
    for line in method(&record.made_from) {
        let _ = writeln!(text, "{line}\n");
    }
    text.push_str("## Inputs\n\n");
    inputs(&mut text, record);
    text.push_str("\nThe digests are BLAKE3 of names, types, shapes and bytes of all tensors, and of the small files.\n\n");
    text.push_str("## Recipe\n\n");
    let (language, recipe) = match &record.made_from {
        MadeFrom::Recipe { asked, .. } => ("toml", asked.to_toml()),
        MadeFrom::Mergekit { text, .. } => ("yaml", text.clone()),
    };
    let fence = "`".repeat(longest_run(&recipe, '`').max(2) + 1);
    let _ = writeln!(text, "{fence}{language}\n{}\n{fence}\n", recipe.trim_end());
    let _ =
        writeln!(text, "`m3 merge {} --out DIR` makes the same weights again, byte for byte.", Record::FILE);
    text
}

/// What the merge does, in sentences of Markdown: the equation with its source, the steps before it, and what was drawn.
pub fn method(made_from: &MadeFrom) -> Vec<String> {
    match made_from {
        MadeFrom::Recipe { asked, direction, coefficients } => {
            let mut lines = vec![equation(asked)];
            lines.extend(asked.sparsify.iter().map(step));
            let mut drawn = match (&asked.proportion, direction) {
                (Some(law), Some(direction)) => {
                    format!("λ = {}, {}; ", tuple(direction.weights()), origin(law))
                }
                _ => String::new(),
            };
            if matches!(asked.combine, Combine::TaskArithmetic | Combine::Ties) {
                let _ = write!(drawn, "s = {}; coefficients s·λ_k = {}", asked.scale, tuple(coefficients));
            } else if asked.combine != Combine::ModelStock {
                let _ = write!(drawn, "weights {}", tuple(coefficients));
            }
            if !drawn.is_empty() {
                lines.push(format!("{drawn}."));
            }
            lines
        }
        MadeFrom::Mergekit { text, seed } => {
            let read = Mergekit::parse(text, Path::new(Record::FILE));
            let name = read.as_ref().map_or("", Mergekit::method_name);
            let known = MERGEKIT.iter().find(|(method, _)| *method == name).map_or("", |(_, says)| says);
            vec![
                format!("`{name}` as mergekit 0.1.5 has it: {known}."),
                format!("Seed of what is drawn at random: {seed}."),
            ]
        }
    }
}

/// The formula of a way to combine, and where it comes from.
fn equation(recipe: &Recipe) -> String {
    let directed = recipe.proportion.is_some();
    let sum = if directed { "Σ λ_k·δ_k" } else { "Σ δ_k" };
    match recipe.combine {
        Combine::Average => {
            "θ = Σ λ_k·θ_k, a weighted average (Model Soups, Wortsman et al. 2022, arXiv:2203.05482).".into()
        }
        Combine::TaskArithmetic => format!(
            "θ = θ_pre + s·{sum} with δ_k = θ_k − θ_pre: task arithmetic (Ilharco et al. 2023, arXiv:2212.04089)."
        ),
        Combine::Ties => format!(
            "θ = θ_pre + s·mean of δ_k over the models whose δ_k = θ_k − θ_pre has the elected sign{} (TIES, Yadav et al. \
             2023, arXiv:2306.01708).",
            if directed { ", weighted by λ_k" } else { "" }
        ),
        Combine::Slerp => {
            "θ on the arc from the first model to the second (spherical interpolation, Shoemake 1985).".into()
        }
        Combine::Nuslerp if recipe.base.is_some() => {
            "θ = θ_pre + a point on the arc from δ_1 to δ_2, δ_k = θ_k − θ_pre (spherical interpolation, Shoemake 1985; \
             mergekit's nuslerp)."
                .into()
        }
        Combine::Nuslerp => {
            "θ on the arc from the first model to the second (spherical interpolation, Shoemake 1985; mergekit's nuslerp)."
                .into()
        }
        Combine::ModelStock => {
            "θ = t·mean(θ_k) + (1 − t)·θ_pre with t = N·cos / (1 + (N − 1)·cos), cos the mean over the pairs of deltas (Model \
             Stock, Jang et al. 2024, arXiv:2403.19522)."
                .into()
        }
    }
}

/// A step that is done to each delta first.
fn step(step: &Sparsify) -> String {
    let scaled = |rescale: Rescale| match rescale {
        Rescale::None => "",
        Rescale::Inverse => ", what stays is divided by the share that is kept",
        Rescale::L1 => ", what stays is scaled to the old L1 norm",
    };
    let first = match step {
        Sparsify::Dare { drop, seed, .. } => {
            format!(
                "each element is dropped with probability {drop}, seed {seed} (DARE, Yu et al. 2024, arXiv:2311.03099)"
            )
        }
        Sparsify::Trim { density, scope, .. } => {
            let of = match scope {
                Scope::Tensor => "of each tensor",
                Scope::Model => "of the whole model",
            };
            format!(
                "the share {density} {of} stays, by magnitude (TIES, Yadav et al. 2023, arXiv:2306.01708)"
            )
        }
        Sparsify::Breadcrumbs { density, gamma, .. } => format!(
            "the share {gamma} of the largest elements and the smallest ones are dropped, {density} stay (Model Breadcrumbs, \
             Davari & Belilovsky 2023, arXiv:2312.06795)"
        ),
        Sparsify::Della { density, epsilon, seed, .. } => format!(
            "each element stays with a probability that rises with the rank of its magnitude, {density} ± {epsilon}, seed \
             {seed} (DELLA, Deep et al. 2024, arXiv:2406.11617)"
        ),
    };
    format!("Done to each δ_k first: {first}{}.", scaled(step.rescale()))
}

/// How a direction came about.
fn origin(law: &DirectionLaw) -> String {
    match law {
        DirectionLaw::Uniform => "the bisector".into(),
        DirectionLaw::Fixed { .. } | DirectionLaw::Lambda { .. } => "given".into(),
        DirectionLaw::Beta { alpha, seed, index } => {
            format!("drawn from Beta({alpha}, {alpha}), seed {seed}, draw {index} (Mixup Model Merge)")
        }
        DirectionLaw::Dirichlet { alpha, seed, index } => {
            format!("drawn from Dirichlet({alpha}), seed {seed}, draw {index} (Mixup Model Merge)")
        }
        DirectionLaw::PSeries { p } => format!("∝ 1/k^{p} (Mixup Model Merge, equation 4)"),
    }
}

/// What mergekit's methods do, in terms of its base_model θ₀, its models θ_k with `weight` w_k, and δ_k = θ_k − θ₀.
const MERGEKIT: [(&str, &str); 14] = [
    ("linear", "θ = Σ w_k·θ_k / Σ w_k (Wortsman et al. 2022, arXiv:2203.05482)"),
    ("task_arithmetic", "θ = θ₀ + λ·Σ w_k·δ_k (Ilharco et al. 2023, arXiv:2212.04089)"),
    (
        "ties",
        "θ₀ + λ times the sum over trimmed deltas of the elected sign (Yadav et al. 2023, arXiv:2306.01708)",
    ),
    (
        "dare_linear",
        "θ = θ₀ + λ·Σ w_k·δ_k over deltas with random elements dropped (Yu et al. 2024, arXiv:2311.03099)",
    ),
    ("dare_ties", "as ties, over deltas with random elements dropped (Yu et al. 2024, arXiv:2311.03099)"),
    ("della_linear", "θ = θ₀ + λ·Σ w_k·δ_k over deltas dropped by rank (Deep et al. 2024, arXiv:2406.11617)"),
    ("della", "as ties, over deltas dropped by rank (Deep et al. 2024, arXiv:2406.11617)"),
    (
        "breadcrumbs",
        "θ = θ₀ + λ·Σ w_k·δ_k without the largest and smallest elements (Davari & Belilovsky 2023, arXiv:2312.06795)",
    ),
    (
        "breadcrumbs_ties",
        "as ties, without the largest and smallest elements (Davari & Belilovsky 2023, arXiv:2312.06795)",
    ),
    ("slerp", "a point on the arc from θ₀ to θ_1 (Shoemake 1985)"),
    ("nuslerp", "a point on the arc between two models, or between their deltas (Shoemake 1985)"),
    ("nearswap", "θ = θ₀ + min(1, t/|δ|)·δ"),
    (
        "model_stock",
        "θ = t·mean(θ_k) + (1 − t)·θ₀, t by the angles between the deltas (Jang et al. 2024, arXiv:2403.19522)",
    ),
    ("passthrough", "each tensor is that of one model"),
];

fn inputs(text: &mut String, record: &Record) {
    let base = match &record.made_from {
        MadeFrom::Recipe { asked, .. } => asked.base.is_some(),
        MadeFrom::Mergekit { .. } => false,
    };
    text.push_str("| input | coefficient | digest of the weights | digest of config and tokenizer |\n|---|---|---|---|\n");
    for (k, RecordedInput { named, weights, companions, .. }) in record.inputs.iter().enumerate() {
        let role = match &record.made_from {
            MadeFrom::Recipe { .. } if base && k == 0 => "θ_pre".to_owned(),
            MadeFrom::Recipe { coefficients, .. } => {
                coefficients.get(k - usize::from(base)).map(f64::to_string).unwrap_or_default()
            }
            MadeFrom::Mergekit { .. } => "see the recipe".to_owned(),
        };
        let _ = writeln!(text, "| {} | {role} | `{weights}` | `{companions}` |", code(named));
    }
}

/// The ids of the inputs, adapters included, that come from a hub: whose place is no absolute path.
fn hub_ids(record: &Record) -> Vec<String> {
    let mut ids: Vec<String> = Vec::new();
    for input in &record.inputs {
        let Ok(reference) = input.place.parse::<ModelRef>() else { continue };
        for location in [Some(reference.base), reference.adapter].into_iter().flatten() {
            if !location.place.starts_with('/') && !ids.contains(&location.place) {
                ids.push(location.place);
            }
        }
    }
    ids
}

fn tuple(numbers: &[f64]) -> String {
    let numbers: Vec<String> = numbers.iter().map(f64::to_string).collect();
    format!("({})", numbers.join(", "))
}

fn longest_run(text: &str, of: char) -> usize {
    let (longest, _) = text.chars().fold((0, 0), |(longest, run), c| {
        let run = if c == of { run + 1 } else { 0 };
        (longest.max(run), run)
    });
    longest
}

/// A text as code inside a table: whatever it holds, it is shown as it is.
fn code(text: &str) -> String {
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let fence = "`".repeat(longest_run(&text, '`') + 1);
    let blank = if fence.len() > 1 { " " } else { "" };
    format!("{fence}{blank}{}{blank}{fence}", text.replace('|', "\\|"))
}

/// A text as one line without markup.
fn plain(text: &str) -> String {
    let mut plain = String::new();
    for c in text.chars() {
        if c.is_ascii_punctuation() && !"-.".contains(c) {
            plain.push('\\');
        }
        plain.push(if c.is_control() { ' ' } else { c });
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Digest;

    fn record(made_from: &MadeFrom, inputs: &[(&str, &str)]) -> Record {
        let digest = Digest::of_bytes(b"x");
        let input = |(named, place): &(&str, &str)| RecordedInput {
            named: (*named).to_owned(),
            place: (*place).to_owned(),
            weights: digest,
            companions: digest,
        };
        let inputs: Vec<RecordedInput> = inputs.iter().map(input).collect();
        let value = serde_json::json!({
            "format": 1, "m3": "0", "made_from": made_from, "inputs": inputs, "digest": digest,
        });
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn a_card_lists_the_hubs_models_once_and_shows_any_name_as_it_is() {
        let asked: Recipe = toml::from_str(
            "base = \"o/base@main\"\nmodels = [\"a|b`c\", \"o/base+p/lora\"]\ncombine = \"task_arithmetic\"\nscale = 1.5\n\
             proportion = { law = \"beta\", alpha = 0.5, seed = 7 }\nsparsify = [{ method = \"dare\", drop = 0.2 }]",
        )
        .unwrap();
        let (direction, coefficients) = (asked.direction().unwrap(), asked.coefficients().unwrap());
        let lambda = direction.as_ref().unwrap().weights()[0];
        let made_from = MadeFrom::Recipe { asked: Box::new(asked), direction, coefficients };
        let inputs = [
            ("o/base@main", "o/base@abc"),
            ("a|b`c", "/models/a|b`c"),
            ("o/base+p/lora", "o/base@abc+p/lora@d"),
        ];
        let card = card("my_merge*", &record(&made_from, &inputs));
        assert!(card.starts_with(
            "---\nbase_model:\n- o/base\n- p/lora\nlibrary_name: transformers\ntags:\n- merge\n"
        ));
        for part in [
            "# my\\_merge\\*\n",
            "Ilharco",
            "DARE, Yu et al.",
            "Beta(0.5, 0.5), seed 7, draw 0",
            &format!("λ = ({lambda}, {})", 1.0 - lambda),
            "| `` a\\|b`c `` |",
            "```toml\n",
            "drop = 0.2",
        ] {
            assert!(card.contains(part), "no {part} in\n{card}");
        }
    }

    #[test]
    fn every_method_of_mergekit_is_described_and_its_text_fenced() {
        for (name, says) in MERGEKIT {
            let base = if matches!(name, "linear" | "passthrough") { "" } else { "base_model: b\n" };
            let text = format!("# ```` a comment\nmerge_method: {name}\n{base}models: [{{model: x}}]\n");
            let made_from = MadeFrom::Mergekit { text: text.clone(), seed: 3 };
            let card = card("m", &record(&made_from, &[("x", "/x")]));
            assert!(card.starts_with("---\nbase_model: []\n"), "{card}");
            assert!(card.contains(says) && card.contains(&format!("`{name}` as mergekit")), "{card}");
            assert!(card.contains(&format!("`````yaml\n{text}`````\n")), "{card}");
        }
    }
}
