//! A suite: which models, skills, search and data make the tables. Files in `experiments/`.

use super::ExperimentError;
use crate::bench::DataSource;
use crate::checkpoint::ModelRef;
use crate::digest::Canonical;
use crate::files;
use crate::ids::{BenchmarkId, ItemId};
use crate::merge::Vocabulary;
use crate::search::{Aim, Space, Strategy, Study};
use crate::units::{Density, DropRate, Scale};
use serde::{Deserialize, Serialize};
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
    /// Whether these are the published files, under the names of the benchmarks' cards, and not a suite of our own.
    #[serde(default)]
    pub published: bool,
    /// Published data has no split to choose on: part of the test split becomes one.
    #[serde(default)]
    pub holdout: Option<Holdout>,
    /// At most so many items of each benchmark's split; all of them when left out.
    #[serde(default)]
    pub limit: Option<usize>,
    /// The models by name; `base` is the pre-trained one. In the file they are named as everywhere; a path is looked for
    /// beside the file first.
    pub models: BTreeMap<String, String>,
    /// What is done when vocabularies differ.
    #[serde(default)]
    pub vocabulary: Vocabulary,
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
    /// What a forecast reckons with; without it no time is told.
    #[serde(default)]
    pub cost: Option<Cost>,
}

/// A part of each test split that λ is chosen on; the report is on the rest.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Holdout {
    /// Share of the items that is held out.
    pub share: DropRate,
    /// Seed of the choice.
    pub seed: u64,
}

impl Holdout {
    /// Whether an item is held out: by its name alone, so that a longer data set moves none.
    pub fn holds(&self, benchmark: &BenchmarkId, item: &ItemId) -> bool {
        let form =
            Canonical::new("holdout/1").number("seed", self.seed).text("benchmark", benchmark.as_str());
        let key = form.text("item", item.as_str()).finish();
        let [a, b, c, d, ..] = *key.as_bytes();
        f64::from(u32::from_le_bytes([a, b, c, d])) < self.share.get() * 2f64.powi(32)
    }
}

/// What a forecast reckons with. All are the suite's own assumptions.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Cost {
    /// Parameters of each model.
    pub parameters: f64,
    /// Bytes of each on disk, for a parameter.
    pub bytes: f64,
    /// Tokens of a prompt with its answer, on average.
    pub tokens: f64,
    /// Floating point operations a second that the machine sustains.
    pub flops: f64,
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
        Study::new(manifest.search.candidates(2)?, &manifest.strategy, Aim::Mean)?;
        let folder = path.parent().unwrap_or(Path::new(""));
        manifest.data = folder.join(&manifest.data);
        for model in manifest.models.values_mut() {
            *model = ModelRef::parse_in(model, folder)?.to_string();
        }
        Ok(manifest)
    }

    /// Where data is read from.
    pub fn source(&self) -> DataSource {
        if self.published {
            DataSource::Folder(self.data.clone())
        } else {
            DataSource::Embedded(self.data.clone())
        }
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
