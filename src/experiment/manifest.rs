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

/// The pairs of models, in the order of λ.
pub(super) const PAIRS: [[&str; 2]; 3] = [["lm", "math"], ["lm", "code"], ["math", "code"]];

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
    /// Merges of all three models (Figures 2 to 4).
    #[serde(default)]
    pub three: Three,
    /// What each pair was not fine-tuned for (Figure 5): the paper's LiveBench categories when left out.
    #[serde(default = "live_bench")]
    pub ood: BTreeMap<String, Vec<BenchmarkId>>,
    /// A pair over λ × s.
    #[serde(default)]
    pub landscape: Landscape,
    /// Who fills the column of AlpacaEval; without it, it is left out.
    #[serde(default)]
    pub judge: Option<JudgedBy>,
    /// What a forecast reckons with; without it no time is told.
    #[serde(default)]
    pub cost: Option<Cost>,
}

/// A judge in this process, and whose answers it compares a model's with.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JudgedBy {
    /// An annotator by log-likelihood: the name of one that ships, or a folder.
    pub annotator: String,
    /// The checkpoint that is asked, named as the models are.
    pub checkpoint: String,
    /// A file of answers, one for each instruction.
    pub reference: PathBuf,
}

/// The search over all three models: every order at every p and every s.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Three {
    /// Steepnesses of the p-series.
    pub p: Vec<f64>,
    /// Magnitudes.
    pub scales: Vec<Scale>,
    /// `lm`, `math` and `code` in the order of dominance.
    pub orders: Vec<[String; 3]>,
}

impl Default for Three {
    /// The paper's p and orders, and its range of s in three steps (section 4.1, Figure 3).
    fn default() -> Self {
        let order = |names: [&str; 3]| names.map(str::to_owned);
        Self {
            p: vec![0.0, 1.0, 2.0, 3.0],
            scales: scales(&[0.5, 1.0, 1.5, 2.0]),
            orders: [["math", "lm", "code"], ["math", "code", "lm"], ["lm", "math", "code"]]
                .map(order)
                .into(),
        }
    }
}

/// A pair of models by task arithmetic on a grid.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Landscape {
    /// `lm+math`, `lm+code` or `math+code`.
    pub pair: String,
    /// In so many steps from λ = 0 to λ = 1.
    pub steps: u32,
    /// Magnitudes, ascending.
    pub scales: Vec<Scale>,
    /// Share of the items of the validation split that are asked, from the start.
    pub share: f64,
}

impl Default for Landscape {
    fn default() -> Self {
        Self { pair: "math+code".into(), steps: 4, scales: scales(&[0.5, 0.75, 1.0, 1.25, 1.5]), share: 0.25 }
    }
}

fn scales(all: &[f64]) -> Vec<Scale> {
    all.iter().filter_map(|s| Scale::new(*s).ok()).collect()
}

/// Paper, section 4.5.
fn live_bench() -> BTreeMap<String, Vec<BenchmarkId>> {
    let of = |ids: &[&str]| ids.iter().map(|id| BenchmarkId::from(*id)).collect();
    [
        ("math+code", of(&["livebench_if"])),
        ("lm+math", of(&["livebench_lcb_generation", "livebench_coding_completion"])),
        ("lm+code", of(&["livebench_typos"])),
    ]
    .map(|(pair, ids)| (pair.to_owned(), ids))
    .into()
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
        if let Some(reason) = manifest.contradiction() {
            return Err(ExperimentError::BadManifest { path: path.to_owned(), reason });
        }
        Study::new(manifest.search.candidates(2)?, &manifest.strategy, Aim::Mean)?;
        let folder = path.parent().unwrap_or(Path::new(""));
        manifest.data = folder.join(&manifest.data);
        for model in manifest.models.values_mut() {
            *model = ModelRef::parse_in(model, folder)?.to_string();
        }
        if let Some(judge) = &mut manifest.judge {
            judge.checkpoint = ModelRef::parse_in(&judge.checkpoint, folder)?.to_string();
            judge.reference = folder.join(&judge.reference);
            let beside = folder.join(&judge.annotator);
            if files::is_file(&beside.join("annotator.toml")) {
                judge.annotator = beside.to_string_lossy().into_owned();
            }
        }
        Ok(manifest)
    }

    /// What cannot be meant, of what each value alone may be.
    fn contradiction(&self) -> Option<String> {
        let Three { p, scales, orders } = &self.three;
        if p.is_empty() || scales.is_empty() || orders.is_empty() {
            return Some("[three] needs at least one of `p`, of `scales` and of `orders`".into());
        }
        if let Some(p) = p.iter().find(|p| !p.is_finite() || **p < 0.0) {
            return Some(format!("`p` of [three] must be at least 0, but one is {p}"));
        }
        let whole =
            |order: &&[String; 3]| ["lm", "math", "code"].iter().all(|m| order.iter().any(|o| o == m));
        if let Some(order) = orders.iter().find(|order| !whole(order)) {
            return Some(format!(
                "an order of [three] must name lm, math and code, but one is {}",
                order.join(", ")
            ));
        }
        let Landscape { pair, steps, scales, share } = &self.landscape;
        if !PAIRS.iter().any(|known| known.join("+") == *pair) {
            return Some(format!(
                "`pair` of [landscape] is `{pair}`; it may be lm+math, lm+code or math+code"
            ));
        }
        let ascending = scales.windows(2).all(|two| two[0].get() < two[1].get());
        if scales.is_empty() || !ascending || *steps == 0 || *steps > 100 {
            return Some("[landscape] needs `steps` from 1 to 100, and `scales` that ascend".into());
        }
        if !(*share > 0.0 && *share <= 1.0) {
            return Some(format!("`share` of [landscape] must be above 0 and at most 1, but is {share}"));
        }
        None
    }

    /// The name of who fills the judged column, if anybody does.
    pub fn annotator(&self) -> Option<String> {
        let name = Path::new(&self.judge.as_ref()?.annotator).file_name()?;
        Some(name.to_string_lossy().into_owned())
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

    /// What a pair was not fine-tuned for.
    pub fn outside(&self, pair: &str, table: &'static str) -> Result<&[BenchmarkId], ExperimentError> {
        let known = self.ood.get(pair).map(Vec::as_slice).filter(|ids| !ids.is_empty());
        known.ok_or_else(|| self.lacks("[ood] for", pair, table))
    }

    /// TIES for a pair.
    pub fn ties(&self, pair: &str, table: &'static str) -> Result<Ties, ExperimentError> {
        self.ties.get(pair).copied().ok_or_else(|| self.lacks("[ties] for", pair, table))
    }

    fn lacks(&self, what: &'static str, name: &str, table: &'static str) -> ExperimentError {
        ExperimentError::Lacks { suite: self.name.clone(), what, name: name.to_owned(), table }
    }
}
