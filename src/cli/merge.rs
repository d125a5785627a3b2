//! `m3 merge RECIPE --out DIR`

use super::args::Merge;
use super::failure::Failure;
use super::output::Output;
use super::settings::Settings;
use crate::checkpoint::{CheckpointError, WriteOptions};
use crate::experiment::{ExperimentError, Model};
use crate::files;
use crate::merge::Mergekit;
use std::process::ExitCode;

pub(super) fn run(args: &Merge, settings: &Settings, output: &Output) -> Result<ExitCode, Failure> {
    if files::is_folder(&args.recipe) {
        return Err(Failure::request(format!(
            "`{}` is a folder; a recipe is a TOML file, or mergekit's YAML",
            args.recipe.display()
        )));
    }
    if files::exists(&args.out) {
        return Err(ExperimentError::from(CheckpointError::OutputExists { path: args.out.clone() }).into());
    }
    let model = if Mergekit::is_named(&args.recipe) {
        let recipe = Mergekit::read(&args.recipe).map_err(ExperimentError::from)?;
        Model::mergekit(&recipe, args.seed.unwrap_or(0), settings.hub(), output)?
    } else if args.seed.is_some() {
        return Err(Failure::request("`--seed` is for mergekit's YAML; a TOML recipe has its seeds inside"));
    } else {
        Model::recipe(&args.recipe, settings.hub(), output)?
    };
    let options = WriteOptions { shard_bytes: args.shard_size, allow_nan: args.allow_nan };
    model.write(&args.out, &options, output)?;
    let manifest = model.weights.manifest();
    if args.json {
        let record = serde_json::json!({
            "out": args.out,
            "tensors": manifest.len(),
            "parameters": manifest.parameters(),
            "made_from": model.about,
        });
        output.result(&format!("{record}\n"));
    } else {
        let coefficients = match model.about.get("coefficients") {
            Some(coefficients) => format!(", coefficients {coefficients}"),
            None => String::new(),
        };
        output.result(&format!(
            "{}: {} tensors, {} parameters{coefficients}\n",
            args.out.display(),
            manifest.len(),
            manifest.parameters()
        ));
    }
    Ok(ExitCode::SUCCESS)
}
