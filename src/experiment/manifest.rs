//! A suite: which models, skills, search and data make the tables. Files in `experiments/`.

use super::ExperimentError;
use crate::checkpoint::ModelRef;
use crate::files;
use crate::ids::BenchmarkId;
use crate::search::{Space, Strategy};
use crate::units::{Density, DropRate, Scale};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A suite as its file says it, with paths resolved.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Its name.
    pub name: String,
    /// The line on top of every table: what these models are.
    pub notice: String,
    /// Folder of the data sets.
    pub data: PathBuf,
    /// At most so many items of each benchmark's split; all of them when left out.
    #[serde(default)]
    pub limit: Option<usize>,
    /// The models by name; `base` is the pre-trained one. In the file they are named as everywhere; a path is looked for
    /// beside the file first.
    pub models: BTreeMap<String, String>,
    /// Which benchmarks make a model's skill.
    pub skills: BTreeMap<String, Vec<BenchmarkId>>,
    /// The candidates of a pair.
    pub search: Space,
    /// How they are measured.
    #[serde(default)]
    pub strategy: Strategy,
    /// Task arithmetic without M³.
    pub baseline: Baseline,
    /// TIES for each pair, `lm+math` and the like.
    pub ties: BTreeMap<String, Ties>,
    /// What DARE drops of each delta.
    pub dare: Dare,
}

/// θ_pre + s·Σ δ_k.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Baseline {
    /// The magnitude in the sum convention.
    pub scale: Scale,
}

/// θ_pre + s·(mean of the trimmed deltas with the elected sign).
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ties {
    /// The magnitude s, without M³ and with it.
    pub scale: Scale,
    /// Share of a model's delta that is kept (the paper's retain ratio).
    pub density: Density,
}

/// Random dropping.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dare {
    /// Share that is dropped.
    pub drop: DropRate,
    /// Seed of the decisions.
    pub seed: u64,
}

impl Manifest {
    /// Reads a suite's file.
    pub fn read(path: &Path) -> Result<Self, ExperimentError> {
        let text = files::read_text(path)?;
        let mut manifest: Self = toml::from_str(&text)
            .map_err(|e| ExperimentError::BadManifest { path: path.to_owned(), reason: e.to_string() })?;
        manifest.strategy.check()?;
        let folder = path.parent().unwrap_or(Path::new(""));
        manifest.data = folder.join(&manifest.data);
        for model in manifest.models.values_mut() {
            *model = ModelRef::parse_in(model, folder)?.to_string();
        }
        Ok(manifest)
    }

    /// What a model is, from the working folder.
    pub fn model(&self, name: &str, table: &'static str) -> Result<&str, ExperimentError> {
        self.models.get(name).map(String::as_str).ok_or_else(|| self.lacks("model", name, table))
    }

    /// The benchmarks of a skill.
    pub fn skill(&self, name: &str, table: &'static str) -> Result<&[BenchmarkId], ExperimentError> {
        self.skills
            .get(name)
            .map(Vec::as_slice)
            .filter(|s| !s.is_empty())
            .ok_or_else(|| self.lacks("skill", name, table))
    }

    /// TIES for a pair.
    pub fn ties(&self, pair: &str, table: &'static str) -> Result<Ties, ExperimentError> {
        self.ties.get(pair).copied().ok_or_else(|| self.lacks("[ties] for", pair, table))
    }

    fn lacks(&self, what: &'static str, name: &str, table: &'static str) -> ExperimentError {
        ExperimentError::Lacks { suite: self.name.clone(), what, name: name.to_owned(), table }
    }
}
