//! Two models of a suite and a method of the paper: which recipes that means, without M³ and with it.

use super::manifest::Dare;
use super::{ExperimentError, Manifest, Model};
use crate::checkpoint::{Checkpoint, OpenOptions};
use crate::event::Observer;
use crate::merge::{Combine, DirectionLaw, Inputs, MergeError, Recipe, Rescale, Scope, Sparsify, Surveys};
use crate::report::Method;
use crate::search::Candidate;
use crate::units::Scale;
use std::collections::BTreeMap;

/// The models of a suite, opened once.
pub(super) struct Family<'a> {
    /// The suite.
    pub(super) manifest: &'a Manifest,
    /// Which table needs them, for what is said about missing ones.
    pub(super) table: &'static str,
    models: BTreeMap<&'static str, Checkpoint>,
    /// What merges of them found out, for the next ones.
    pub(super) surveys: Surveys,
}

impl<'a> Family<'a> {
    /// Opens models of a suite by their names.
    pub(super) fn open(
        manifest: &'a Manifest,
        names: &[&'static str],
        table: &'static str,
        options: &OpenOptions<'_>,
    ) -> Result<Self, ExperimentError> {
        let open = |name: &&'static str| {
            Ok((*name, Checkpoint::open(&manifest.model(name, table)?.parse()?, options)?))
        };
        let models = names.iter().map(open).collect::<Result<_, ExperimentError>>()?;
        Ok(Self { manifest, table, models, surveys: Surveys::default() })
    }

    /// One of those that were opened.
    pub(super) fn model(&self, name: &str) -> &Checkpoint {
        &self.models[name]
    }
}

/// A method on a pair.
#[derive(Clone, Copy, PartialEq)]
pub(super) struct Pairing {
    /// How they are merged.
    pub(super) method: Method,
    /// Whether deltas are dropped at random first, whatever the method. [`Method::Dare`] does so by itself.
    pub(super) dare: bool,
    /// The models as the suite names them, in the order of λ.
    pub(super) pair: [&'static str; 2],
}

impl Pairing {
    /// What stands in a table.
    pub(super) fn title(self) -> &'static str {
        match (self.method, self.dare) {
            (Method::Average, true) => "Average Merging, DARE",
            (Method::TaskArithmetic, true) => "Task Arithmetic, DARE",
            (Method::Ties, true) => "TIES-Merging, DARE",
            (method, _) => method.title(),
        }
    }

    /// The pair as a suite names it: `lm+math`.
    pub(super) fn name(self) -> String {
        self.pair.join("+")
    }

    /// θ of the pair in a proportion and at a magnitude.
    pub(super) fn recipe(
        self,
        family: &Family<'_>,
        proportion: Option<DirectionLaw>,
        scale: Scale,
    ) -> Result<Recipe, ExperimentError> {
        let named = |name: &str| family.model(name).origin().to_string();
        let manifest = family.manifest;
        let mut sparsify = Vec::new();
        if self.dare || self.method == Method::Dare {
            let Dare { drop, seed } = manifest.dare;
            sparsify.push(Sparsify::Dare { drop, rescale: Rescale::Inverse, seed });
        }
        let combine = match self.method {
            Method::TaskArithmetic | Method::Dare | Method::Average => Combine::TaskArithmetic,
            Method::Ties => {
                let density = manifest.ties(&self.name(), family.table)?.density;
                sparsify.push(Sparsify::Trim { density, scope: Scope::Model, rescale: Rescale::None });
                Combine::Ties
            }
        };
        Ok(Recipe {
            sparsify,
            combine,
            base: Some(named("base")),
            models: self.pair.map(named).to_vec(),
            proportion,
            scale,
            dtype: None,
            vocabulary: manifest.vocabulary,
        })
    }

    /// The method without M³, and its s in the convention of the table.
    pub(super) fn baseline(self, family: &Family<'_>) -> Result<(Recipe, f64), ExperimentError> {
        if self.method == Method::Ties {
            let scale = family.manifest.ties(&self.name(), family.table)?.scale;
            return Ok((self.recipe(family, Some(DirectionLaw::Uniform), scale)?, scale.get()));
        }
        if self.method == Method::Average {
            return Ok((self.recipe(family, Some(DirectionLaw::Uniform), one()?)?, 1.0));
        }
        // A sum of N deltas at s is their bisector at N·s.
        let scale = family.manifest.baseline.scale;
        Ok((self.recipe(family, None, scale)?, 2.0 * scale.get()))
    }

    /// Where M³ looks: for TIES at the magnitude that the suite gives it (the paper's Table 4), for averages at s = 1.
    pub(super) fn candidates(
        self,
        manifest: &Manifest,
        table: &'static str,
    ) -> Result<Vec<Candidate>, ExperimentError> {
        let mut space = manifest.search.clone();
        match self.method {
            Method::Ties => space.scales = vec![manifest.ties(&self.name(), table)?.scale],
            Method::Average => space.scales = vec![one()?],
            Method::TaskArithmetic | Method::Dare => {}
        }
        Ok(space.candidates(2)?)
    }

    /// The recipe of a point of the search, with the drawn numbers in it.
    pub(super) fn point(self, family: &Family<'_>, candidate: &Candidate) -> Result<Recipe, ExperimentError> {
        let proportion = Some(DirectionLaw::Fixed { weights: candidate.direction.clone() });
        self.recipe(family, proportion, candidate.scale)
    }

    /// The merge of a recipe of this pair.
    pub(super) fn model(
        self,
        family: &Family<'_>,
        recipe: &Recipe,
        watch: &dyn Observer,
    ) -> Result<Model, ExperimentError> {
        let inputs = Inputs {
            base: Some(family.model("base").clone()),
            models: self.pair.map(|name| family.model(name).clone()).to_vec(),
        };
        Model::merged(recipe, &inputs, &family.surveys, watch)
    }
}

fn one() -> Result<Scale, ExperimentError> {
    Ok(Scale::new(1.0).map_err(MergeError::from)?)
}
