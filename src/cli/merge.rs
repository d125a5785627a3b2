//! `m3 merge RECIPE --out DIR`, or with the recipe on flags

use super::args::Merge;
use super::failure::Failure;
use super::flags;
use super::output::Output;
use super::settings::Settings;
use crate::checkpoint::{CheckpointError, WriteOptions};
use crate::experiment::{Bounds, ExperimentError, Model};
use crate::files;
use crate::merge::{Asked, MadeFrom, Mergekit, Provenance};
use std::path::Path;
use std::process::ExitCode;

pub(super) fn run(args: &Merge, settings: &Settings, output: &Output) -> Result<ExitCode, Failure> {
    let asked = if let Some(path) = &args.recipe {
        read(path, args.seed)?
    } else {
        let recipe = flags::recipe(&args.flags, args.seed)?;
        if args.flags.print_recipe {
            output.result(&recipe.to_toml());
            return Ok(ExitCode::SUCCESS);
        }
        Asked::recipe(recipe)
    };
    let out = args.out.as_deref().ok_or_else(|| Failure::request("`--out` is missing"))?;
    if files::exists(out) {
        return Err(ExperimentError::from(CheckpointError::OutputExists { path: out.to_owned() }).into());
    }
    let model = Model::asked(&asked, Bounds { out: Some(out), memory: args.memory }, &settings.open(output))?;
    let options = WriteOptions { shard_bytes: args.shard_size, allow_nan: args.allow_nan };
    model.write(out, &options, output)?;
    let manifest = model.weights.manifest();
    if args.json {
        let record = serde_json::json!({
            "out": out,
            "tensors": manifest.len(),
            "parameters": manifest.parameters(),
            "made_from": model.about,
        });
        output.result(&format!("{record}\n"));
    } else {
        let coefficients = match &model.provenance {
            Some(Provenance { made_from: MadeFrom::Recipe { coefficients, .. }, .. }) => {
                format!(", coefficients {coefficients:?}")
            }
            _ => String::new(),
        };
        output.result(&format!(
            "{}: {} tensors, {} parameters{coefficients}\n",
            out.display(),
            manifest.len(),
            manifest.parameters()
        ));
    }
    Ok(ExitCode::SUCCESS)
}

fn read(path: &Path, seed: Option<u64>) -> Result<Asked, Failure> {
    if files::is_folder(path) {
        return Err(Failure::request(format!(
            "`{}` is a folder; a recipe is a TOML file, mergekit's YAML, or the m3_recipe.json of a merge",
            path.display()
        )));
    }
    if seed.is_some() && !Mergekit::is_named(path) {
        return Err(Failure::request(
            "`--seed` is for mergekit's YAML and for recipes on flags; a file of ours has its seeds inside",
        ));
    }
    Ok(Asked::read(path, seed.unwrap_or(0)).map_err(ExperimentError::from)?)
}
