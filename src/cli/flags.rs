//! The recipe that flags say: each is one field of a TOML recipe.

use super::args::RecipeFlags;
use super::failure::Failure;
use crate::experiment::ExperimentError;
use crate::merge::{Direction, DirectionLaw, MergeError, Recipe, Rescale, Sparsify};
use crate::units::Scale;

/// The recipe. `seed` is that of every draw in it.
pub(super) fn recipe(flags: &RecipeFlags, seed: Option<u64>) -> Result<Recipe, Failure> {
    let draws_direction = flags.alpha.is_some() || flags.dirichlet.is_some();
    if seed.is_some() && !draws_direction && flags.dare.is_none() {
        return Err(Failure::request(
            "`--seed` has nothing to draw: it goes with --alpha, --dirichlet or --dare, or with mergekit's YAML",
        ));
    }
    if flags.index.is_some() && !draws_direction {
        return Err(Failure::request(
            "`--index` is the number of a draw: it goes with --alpha or --dirichlet",
        ));
    }
    let combine = flags.combine.ok_or_else(|| Failure::request("`--combine` is missing"))?;
    let seed = seed.unwrap_or(0);
    let sparsify = step(flags, seed).into_iter().collect();
    let one = || Scale::new(1.0).map_err(MergeError::from);
    Ok(Recipe {
        sparsify,
        combine,
        base: flags.base.clone(),
        models: flags.models.clone(),
        proportion: proportion(flags, seed).map_err(ExperimentError::from)?,
        scale: flags.scale.map_or_else(one, Ok).map_err(ExperimentError::from)?,
        dtype: flags.dtype,
        vocabulary: flags.vocabulary.unwrap_or_default(),
    })
}

fn proportion(flags: &RecipeFlags, seed: u64) -> Result<Option<DirectionLaw>, MergeError> {
    let index = flags.index.unwrap_or(0);
    Ok(if let Some(lambda) = flags.lambda {
        Some(DirectionLaw::Lambda { lambda })
    } else if !flags.weights.is_empty() {
        Some(DirectionLaw::Fixed { weights: Direction::new(flags.weights.clone())? })
    } else if flags.uniform {
        Some(DirectionLaw::Uniform)
    } else if let Some(alpha) = flags.alpha {
        Some(DirectionLaw::Beta { alpha, seed, index })
    } else if let Some(alpha) = flags.dirichlet {
        Some(DirectionLaw::Dirichlet { alpha, seed, index })
    } else {
        flags.p_series.map(|p| DirectionLaw::PSeries { p })
    })
}

fn step(flags: &RecipeFlags, seed: u64) -> Option<Sparsify> {
    let dare = flags.dare.map(|drop| {
        let rescale = flags.rescale.unwrap_or(Rescale::Inverse);
        Sparsify::Dare { drop, rescale, seed }
    });
    dare.or_else(|| {
        let (scope, rescale) = (flags.scope.unwrap_or_default(), flags.rescale.unwrap_or(Rescale::None));
        flags.trim.map(|density| Sparsify::Trim { density, scope, rescale })
    })
}
