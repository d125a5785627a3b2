//! A mergekit configuration as a recipe: read, checked, and planned for opened models.

use super::config::{Config, Parameters};
use super::layout::{self, Layout, Wrong};
use super::lower::Lowering;
use super::methods::{Method, Parameter, Place};
use crate::checkpoint::{Checkpoint, CheckpointError, Companions, ModelRef, OpenOptions};
use crate::dtype::DType;
use crate::event::{Event, Observer};
use crate::files;
use crate::ids::TensorName;
use crate::merge::MergeError;
use crate::merge::plan::{OTHER_MODELS, Opened, Plan, head};
use crate::merge::rounded::Rounded;
use crate::merge::vocabulary;
use serde_saphyr::Spanned;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// A mergekit configuration that was read from a file.
#[derive(Clone, Debug)]
pub struct Mergekit {
    path: PathBuf,
    text: String,
    pub(super) config: Config,
    pub(super) method: Method,
    dtype: Option<DType>,
    pub(super) out_dtype: Option<DType>,
}

impl Mergekit {
    /// Whether a file of this name is read as mergekit's YAML.
    pub fn is_named(path: &Path) -> bool {
        path.extension().is_some_and(|e| e == "yml" || e == "yaml")
    }

    /// Reads and checks a configuration. Opens no model.
    pub fn read(path: &Path) -> Result<Self, MergeError> {
        Self::parse(&files::read_text(path)?, path)
    }

    /// The same for a text; models and messages are relative to `path`.
    pub fn parse(text: &str, path: &Path) -> Result<Self, MergeError> {
        let config = Config::parse(text, path)?;
        let at = |wrong: Wrong| at(path, wrong);
        let line = config.merge_method.defined.line();
        let method = Method::named(&config.merge_method.value)
            .map_err(|reason| at((line, "merge_method".into(), reason)))?;
        if method.needs_base()
            && config.base_model.is_none()
            && !layout::slices_have_bases(&config).map_err(at)?
        {
            let reason = format!("`{}` needs a base_model", config.merge_method.value);
            return Err(at((line, "base_model".into(), reason)));
        }
        let dtype =
            |key: &str, name: &Option<Spanned<String>>| name.as_ref().map(|n| dtype(key, n)).transpose();
        let (dtype, out_dtype) =
            (dtype("dtype", &config.dtype).map_err(at)?, dtype("out_dtype", &config.out_dtype).map_err(at)?);
        layout::names(&config).map_err(at)?;
        let read = Self { path: path.to_owned(), text: text.to_owned(), config, method, dtype, out_dtype };
        read.check_parameters().map_err(at)?;
        Ok(read)
    }

    /// The file as it is.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Every parameter must be one of the method's, where the method looks for it.
    fn check_parameters(&self) -> Result<(), Wrong> {
        let config = &self.config;
        let mut scopes: Vec<(&Parameters, bool)> = vec![(&config.parameters, false)];
        for module in config.modules.iter().flat_map(BTreeMap::values) {
            scopes.push((&module.parameters, false));
            scopes.extend(module.models.iter().flatten().map(|m| (&m.parameters, true)));
            for slice in module.slices.iter().flatten() {
                scopes.push((&slice.parameters, false));
                scopes.extend(slice.sources.iter().map(|s| (&s.parameters, true)));
            }
        }
        scopes.extend(config.models.iter().flatten().map(|m| (&m.parameters, true)));
        for slice in config.slices.iter().flatten() {
            scopes.push((&slice.parameters, false));
            scopes.extend(slice.sources.iter().map(|s| (&s.parameters, true)));
        }
        let (method, known) = (&config.merge_method.value, self.method.parameters());
        for (parameters, of_model) in scopes {
            for (key, setting) in &parameters.0 {
                let reason = match known.iter().find(|p| p.name == key) {
                    None => {
                        let names: Vec<&str> = known.iter().map(|p| p.name).collect();
                        format!("is no parameter of `{method}`, which has {}", names.join(", "))
                    }
                    Some(Parameter { place: Place::Shared, .. }) if of_model => {
                        format!("belongs to the whole merge in `{method}`: set it outside of the models")
                    }
                    Some(_) => continue,
                };
                return Err((setting.defined.line(), key.clone(), reason));
            }
        }
        Ok(())
    }

    /// The name of the method.
    pub fn method_name(&self) -> &str {
        &self.config.merge_method.value
    }

    /// The models as the file names them, each once: the base first, then in the order of their first use.
    pub fn names(&self) -> Result<Vec<String>, MergeError> {
        let names = layout::names(&self.config).map_err(|wrong| self.at(wrong))?;
        Ok(names.into_iter().map(|name| name.value).collect())
    }

    /// Opens the models in the order of [`Mergekit::names`]. Each is looked for beside the file first, then from the
    /// working folder, then on the hub.
    pub fn open(&self, options: &OpenOptions<'_>) -> Result<Vec<Checkpoint>, MergeError> {
        let beside = self.path.parent().unwrap_or(Path::new(""));
        let open = |name: &Spanned<String>| {
            ModelRef::parse_in(&name.value, beside)
                .and_then(|reference| Checkpoint::open(&reference, options))
                .map_err(|e| self.unknown(name, e))
        };
        layout::names(&self.config).map_err(|wrong| self.at(wrong))?.iter().map(open).collect()
    }

    /// Checks the opened models against each other, from their headers. Methods that draw random numbers draw them from
    /// `seed`.
    pub fn plan(&self, seed: u64, inputs: &[Checkpoint], watch: &dyn Observer) -> Result<Plan, MergeError> {
        let names = layout::names(&self.config).map_err(|wrong| self.at(wrong))?;
        if names.len() != inputs.len() {
            return Err(MergeError::Contradiction { what: OTHER_MODELS });
        }
        self.plan_of(&names, inputs.iter().map(Opened::checkpoint).collect(), seed, watch)
    }

    /// The same with models from `open`, which is asked once for each name in the order of their first use, the base first.
    pub(in crate::merge) fn plan_with(
        &self,
        seed: u64,
        watch: &dyn Observer,
        mut open: impl FnMut(&str) -> Result<Opened, CheckpointError>,
    ) -> Result<Plan, MergeError> {
        let names = layout::names(&self.config).map_err(|wrong| self.at(wrong))?;
        let mut opened = Vec::new();
        for name in &names {
            opened.push(open(&name.value).map_err(|e| self.unknown(name, e))?);
        }
        self.plan_of(&names, opened, seed, watch)
    }

    fn unknown(&self, name: &Spanned<String>, source: CheckpointError) -> MergeError {
        if source.is_stop() {
            return source.into();
        }
        MergeError::MergekitModel {
            path: self.path.clone(),
            line: name.defined.line(),
            model: name.value.clone(),
            source: Box::new(source),
        }
    }

    pub(super) fn at(&self, wrong: Wrong) -> MergeError {
        at(&self.path, wrong)
    }

    /// The plan for opened models, in the order of `names`.
    fn plan_of(
        &self,
        names: &[Spanned<String>],
        mut opened: Vec<Opened>,
        seed: u64,
        watch: &dyn Observer,
    ) -> Result<Plan, MergeError> {
        for model in &opened {
            known_tensors(model)?;
        }
        let layers: Vec<usize> = opened.iter().map(|o| o.companions.config.layers).collect();
        let layout = Layout::new(&self.config, names, &layers).map_err(|wrong| self.at(wrong))?;
        self.check_counts(&layout)?;
        let policy = super::tokens::policy(&self.config, names).map_err(|wrong| self.at(wrong))?;
        vocabulary::align(&mut opened, &policy, watch)?;
        if let Some(template) = &self.config.chat_template {
            super::tokens::set_template(template, &mut opened).map_err(|wrong| self.at(wrong))?;
        }
        if let Some(dtype) = self.dtype {
            for input in &mut opened {
                input.weights = Rounded::load(input.weights.clone(), dtype);
            }
        }
        let companions = Self::companions(&layout, &opened);
        let mut jobs = BTreeMap::new();
        let lowering = Lowering { of: self, layout: &layout, opened: &opened, seed };
        let mut idle = Vec::new();
        for output in layout.outputs(&companions.config) {
            jobs.insert(output.name.clone(), lowering.job(&output, &mut idle)?);
        }
        for (model, key) in idle {
            let text = format!(
                "`{}`: `{key}` of `{}` has no effect, for it is the base_model",
                self.path.display(),
                names[model].value
            );
            watch.observe(&Event::Warning { text: &text });
        }
        Ok(Plan::of_jobs(opened.into_iter().map(|o| o.weights).collect(), jobs, companions))
    }

    /// How many models each slice must have.
    fn check_counts(&self, layout: &Layout) -> Result<(), MergeError> {
        let (range, words) = self.method.wants();
        for slice in &layout.slices {
            let line = slice.sources.first().map_or(0, |s| s.line);
            let method = &self.config.merge_method.value;
            let has_base = slice.sources.iter().any(|s| Some(s.model) == slice.base);
            if !has_base && (self.method.needs_base() || slice.base.is_some() && self.method.uses_base()) {
                let reason = format!("`{method}` needs the base_model among the sources of each slice");
                return Err(self.at((line, "sources".into(), reason)));
            }
            let beside = usize::from(has_base && !self.method.base_takes_part());
            if !range.contains(&(slice.sources.len() - beside)) {
                return Err(self.at((line, "models".into(), format!("`{method}` takes {words}"))));
            }
        }
        Ok(())
    }

    /// Config and tokenizer of the result: those of the base, or without one of the first model.
    fn companions(layout: &Layout, opened: &[Opened]) -> Companions {
        let mut companions = opened[0].companions.clone();
        let layers = layout.layers();
        if layers != companions.config.layers {
            companions.config.layers = layers;
            companions.config_json.insert("num_hidden_layers".into(), layers.into());
        }
        // A head of its own in one source of the last slice makes one in the result.
        let last = layout.slices.last().into_iter().flat_map(|s| &s.sources);
        let own_head = last.into_iter().any(|s| opened[s.model].weights.manifest().get(&head()).is_some());
        if own_head == companions.config.tied_head {
            companions.config.tied_head = !own_head;
            companions.config_json.insert("tie_word_embeddings".into(), (!own_head).into());
        }
        companions
    }
}

/// What a config does not ask for would be left out of every merge without a word. An output head beside a tied embedding is
/// allowed for.
fn known_tensors(model: &Opened) -> Result<(), MergeError> {
    let known: BTreeSet<TensorName> =
        model.companions.config.tensors().into_iter().map(|(name, _)| name).collect();
    let unknown =
        model.weights.manifest().iter().map(|(name, _)| name).find(|n| !known.contains(*n) && **n != head());
    match unknown {
        Some(tensor) => Err(MergeError::TensorUnknown { path: model.path.clone(), tensor: tensor.clone() }),
        None => Ok(()),
    }
}

fn at(path: &Path, (line, key, reason): Wrong) -> MergeError {
    MergeError::Mergekit { path: path.to_owned(), line, key, reason }
}

fn dtype(key: &str, name: &Spanned<String>) -> Result<DType, Wrong> {
    match name.value.as_str() {
        "float32" => Ok(DType::F32),
        "float16" => Ok(DType::F16),
        "bfloat16" => Ok(DType::Bf16),
        other => {
            let reason = format!("is `{other}`; supported are float32, float16 and bfloat16");
            Err((name.defined.line(), key.to_owned(), reason))
        }
    }
}
