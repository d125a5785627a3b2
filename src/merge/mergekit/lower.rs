//! From a mergekit configuration to the rule of each tensor.

use super::config::{Config, Parameters};
use super::layout::{self, Layout, Output, SliceSource, Wrong};
use super::methods::{Default, Deltas, Method, Parameter, Place, Sparsifier};
use super::setting::Scalar;
use crate::checkpoint::{Companions, Folder, TensorInfo};
use crate::dtype::DType;
use crate::event::{Event, Observer};
use crate::files;
use crate::merge::MergeError;
use crate::merge::arithmetic::Arithmetic;
use crate::merge::plan::{Opened, Plan, head, stand_in};
use crate::merge::rounded::Rounded;
use crate::merge::rule::{Along, Blend, Divisor, Elect, Input, Job, Part, Rescale, Scope as Over, Sparsify};
use crate::merge::vocabulary;
use crate::units::{Density, DropRate};
use serde_saphyr::Spanned;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A mergekit configuration that was read from a file.
#[derive(Clone, Debug)]
pub struct Mergekit {
    path: PathBuf,
    text: String,
    pub(super) config: Config,
    method: Method,
    dtype: Option<DType>,
    out_dtype: Option<DType>,
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
        if method.needs_base() && config.base_model.is_none() {
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

    /// Opens the models and checks them against each other, from their headers. Methods that draw random numbers draw them
    /// from `seed`. A model is looked for beside the file first, then from the working folder.
    pub fn plan(&self, seed: u64, watch: &dyn Observer) -> Result<Plan, MergeError> {
        let names = layout::names(&self.config).map_err(|wrong| self.at(wrong))?;
        let mut opened = Vec::new();
        for name in &names {
            opened.push(self.open(name)?);
        }
        self.plan_of(&names, opened, seed, watch)
    }

    fn open(&self, name: &Spanned<String>) -> Result<Opened, MergeError> {
        let beside = self.path.parent().unwrap_or(Path::new("")).join(&name.value);
        let here = PathBuf::from(&name.value);
        let path = if files::is_folder(&beside) || !files::is_folder(&here) { beside } else { here };
        if !files::is_folder(&path) {
            let reason = format!("`{}` is no folder with a model", name.value);
            return Err(self.at((name.defined.line(), "model".into(), reason)));
        }
        Ok(Opened::folder(&Arc::new(Folder::open(&path)?)))
    }

    fn at(&self, wrong: Wrong) -> MergeError {
        at(&self.path, wrong)
    }

    /// The plan for opened models, in the order of `names`.
    pub(super) fn plan_of(
        &self,
        names: &[Spanned<String>],
        mut opened: Vec<Opened>,
        seed: u64,
        watch: &dyn Observer,
    ) -> Result<Plan, MergeError> {
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
                input.weights = Rounded::new(input.weights.clone(), dtype);
            }
        }
        let companions = self.companions(&layout, &opened);
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
        let base = self.config.base_model.as_ref().map(|_| 0);
        let (range, words) = self.method.wants();
        for slice in &layout.slices {
            let line = slice.sources.first().map_or(0, |s| s.line);
            let method = &self.config.merge_method.value;
            let has_base = slice.sources.iter().any(|s| Some(s.model) == base);
            if self.method.needs_base() && !has_base {
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
    fn companions(&self, layout: &Layout, opened: &[Opened]) -> Companions {
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

/// What torch computes in when these types meet.
fn promoted(a: DType, b: DType) -> DType {
    if a == b { a } else { DType::F32 }
}

/// What jobs are made from.
struct Lowering<'a> {
    of: &'a Mergekit,
    layout: &'a Layout,
    opened: &'a [Opened],
    seed: u64,
}

/// The parameters of one tensor.
struct Scope<'a> {
    lowering: &'a Lowering<'a>,
    output: &'a Output<'a>,
}

impl Scope<'_> {
    /// The value of a parameter: beside the model, in the slice, the module, the file, else its default.
    fn find(&self, name: &str, source: Option<&SliceSource>) -> Result<Option<Scalar>, MergeError> {
        let of = self.lowering.of;
        let scopes = [
            source.map(|s| &s.parameters),
            Some(&self.output.slice.parameters),
            Some(&self.lowering.layout.module),
            Some(&of.config.parameters),
        ];
        let (tensor, t) = (self.output.name.as_str(), self.output.t());
        let set = scopes.into_iter().flatten().filter_map(|p| p.get(name)?.value.at(tensor, t)).next();
        if set.is_some() {
            return Ok(set);
        }
        let parameter = of.method.parameters().into_iter().find(|p| p.name == name);
        match parameter.map(|p| p.default) {
            Some(Default::Flag(flag)) => Ok(Some(Scalar::Flag(flag))),
            Some(Default::Number(x)) => Ok(Some(Scalar::Number(x))),
            Some(Default::Nothing) | None => Ok(None),
            Some(Default::Required) => {
                let (line, whose) = source.map_or((0, String::new()), |s| {
                    (s.line, format!(" of `{}`", self.lowering.opened[s.model].path.display()))
                });
                let reason = format!("is missing for `{tensor}`{whose}, and has no default");
                Err(of.at((line, name.to_owned(), reason)))
            }
        }
    }

    fn wrong(&self, name: &str, source: Option<&SliceSource>, reason: String) -> MergeError {
        let of = self.lowering.of;
        let scopes = [source.map(|s| &s.parameters), Some(&of.config.parameters)];
        let line = scopes.into_iter().flatten().find_map(|p| Some(p.get(name)?.defined.line()));
        of.at((line.unwrap_or_default(), name.to_owned(), reason))
    }

    fn number(&self, name: &str, source: Option<&SliceSource>) -> Result<Option<f64>, MergeError> {
        match self.find(name, source)? {
            None => Ok(None),
            Some(Scalar::Number(x)) => Ok(Some(x)),
            Some(Scalar::Flag(flag)) => Ok(Some(f64::from(u8::from(flag)))),
            Some(Scalar::Text(text)) => {
                Err(self.wrong(name, source, format!("is `{text}`; it must be a number")))
            }
        }
    }

    fn flag(&self, name: &str) -> Result<bool, MergeError> {
        match self.find(name, None)? {
            None => Ok(false),
            Some(Scalar::Flag(flag)) => Ok(flag),
            Some(Scalar::Number(x)) if x == 0.0 || x == 1.0 => Ok(x == 1.0),
            Some(other) => Err(self.wrong(name, None, format!("is {other:?}; it must be true or false"))),
        }
    }

    /// A parameter that has a value by default or is required.
    fn of(&self, source: &SliceSource, name: &str) -> Result<f64, MergeError> {
        Ok(self.number(name, Some(source))?.unwrap_or_default())
    }
}

impl Lowering<'_> {
    /// The place of the base among the opened models.
    fn base(&self) -> Option<usize> {
        self.of.config.base_model.as_ref().map(|_| 0)
    }

    fn input(&self, output: &Output<'_>, source: &SliceSource) -> Input {
        let tensor = output.source(source);
        Input { source: source.model, tensor: stand_in(&self.opened[source.model], &tensor) }
    }

    /// Element type and shape of the result, after checking that every source has the tensor in one shape.
    fn info(&self, output: &Output<'_>) -> Result<TensorInfo, MergeError> {
        let mut found: Option<(TensorInfo, usize)> = None;
        for source in &output.slice.sources {
            let (model, input) = (&self.opened[source.model], self.input(output, source));
            let Some(info) = model.weights.manifest().get(&input.tensor) else {
                let has = output.slice.sources.iter().find(|s| s.model != source.model).unwrap_or(source);
                return Err(MergeError::TensorMissing {
                    tensor: input.tensor,
                    has: self.opened[has.model].path.clone(),
                    lacks: model.path.clone(),
                });
            };
            match &mut found {
                None => found = Some((info.clone(), source.model)),
                Some((first, _)) if first.shape == info.shape => {
                    first.dtype = promoted(first.dtype, info.dtype);
                }
                Some((first, of)) => {
                    return Err(MergeError::ShapeDiffers {
                        tensor: output.name.clone(),
                        a: self.opened[*of].path.clone(),
                        a_shape: first.shape.clone(),
                        b: model.path.clone(),
                        b_shape: info.shape.clone(),
                    });
                }
            }
        }
        Ok(found.map_or(TensorInfo { dtype: DType::F32, shape: Vec::new() }, |(info, _)| info))
    }

    /// The rule of one tensor. `idle` takes parameters that mergekit does not look at: (model, key).
    fn job(&self, output: &Output<'_>, idle: &mut Vec<(usize, String)>) -> Result<Job, MergeError> {
        let scope = Scope { lowering: self, output };
        let mut info = self.info(output)?;
        let computed = info.dtype;
        info.dtype = self.of.out_dtype.unwrap_or(computed);
        let method = self.of.method;
        let sources = &output.slice.sources;
        let base = sources.iter().find(|s| Some(s.model) == self.base());
        let others: Vec<&SliceSource> =
            sources.iter().filter(|s| method.base_takes_part() || Some(s.model) != self.base()).collect();
        if let Some(base) = base.filter(|_| !method.base_takes_part()) {
            for (key, _) in &base.parameters.0 {
                if !idle.contains(&(base.model, key.clone())) {
                    idle.push((base.model, key.clone()));
                }
            }
        }
        let part = |source: &SliceSource, weight, steps| {
            Part::new(self.input(output, source), weight, steps, source.model)
        };
        let mut arithmetic = Arithmetic::In(computed);
        let mut with_base = base.map(|s| self.input(output, s));
        let plain = |weight: &dyn Fn(&SliceSource) -> Result<f64, MergeError>| {
            others.iter().map(|s| Ok(part(s, weight(s)?, Vec::new()))).collect::<Result<Vec<_>, MergeError>>()
        };
        let (parts, blend) = match method {
            Method::Linear => {
                with_base = None;
                arithmetic = Arithmetic::In(DType::F32);
                let parts = plain(&|s| scope.of(s, "weight"))?;
                let normalise = scope.flag("normalize")?;
                if normalise && parts.iter().map(|p| p.weight).sum::<f64>() == 0.0 {
                    let reason = format!("sums to 0 for `{}`, which `normalize` divides by", output.name);
                    return Err(scope.wrong("weight", others.first().copied(), reason));
                }
                (parts, Blend::Models { divisor: divisor(normalise), fused: true })
            }
            Method::Passthrough => {
                with_base = None;
                let parts = plain(&|s| Ok(scope.number("scale", Some(s))?.unwrap_or(1.0)))?;
                (parts, Blend::Models { divisor: Divisor::One, fused: false })
            }
            Method::Slerp => {
                with_base = None;
                arithmetic = Arithmetic::In(DType::F32);
                let t = scope.number("t", None)?.unwrap_or_default();
                let mut parts = plain(&|_| Ok(1.0))?;
                // The base is the end at t = 0.
                parts.sort_by_key(|p| Some(p.model) != self.base());
                (parts, Blend::Slerp { t })
            }
            Method::Nuslerp => {
                let parts = plain(&|s| scope.of(s, "weight"))?;
                let sum: f64 = parts.iter().map(|p| p.weight).sum();
                let t = if sum.abs() < NO_WEIGHT { 0.5 } else { parts[1].weight / sum };
                let along = match (scope.flag("nuslerp_flatten")?, scope.flag("nuslerp_row_wise")?) {
                    (true, _) => Along::Whole,
                    (false, true) => Along::Columns,
                    (false, false) => Along::Rows,
                };
                (parts, Blend::NuSlerp { t, along })
            }
            Method::Nearswap => {
                let t = scope.number("t", None)?.unwrap_or_default();
                (plain(&|_| Ok(1.0))?, Blend::NearSwap { t })
            }
            Method::ModelStock => {
                let rows = scope.flag("filter_wise")?;
                (plain(&|_| Ok(1.0))?, Blend::ModelStock { rows })
            }
            Method::Deltas(deltas) => {
                let normalise = scope.flag("normalize")?;
                let rescale = if scope.flag("rescale")? { Rescale::L1 } else { Rescale::None };
                let scale = scope.number("lambda", None)?.unwrap_or(1.0);
                let mut parts = Vec::new();
                for source in &others {
                    let weight = scope.of(source, "weight")?;
                    let density = scope.of(source, "density")?;
                    if density <= 0.0 && deltas.sparsify != Sparsifier::None {
                        // Nothing is kept: a delta of the base to itself.
                        parts.extend(base.map(|base| part(base, weight, Vec::new())));
                        continue;
                    }
                    let step = step(&scope, source, deltas, density, rescale, self.seed)?;
                    parts.push(part(source, weight, step.into_iter().collect()));
                }
                let divisor = divisor(normalise);
                let blend = if deltas.consensus {
                    Blend::Consensus { elect: Elect::Weighted, divisor, scale }
                } else {
                    Blend::Deltas { divisor, scale }
                };
                (parts, blend)
            }
        };
        Ok(Job { info, base: with_base, parts, blend, arithmetic, through: Some(computed) })
    }
}

/// Sums of weights nearer to zero than this make mergekit's `nuslerp` go half way.
const NO_WEIGHT: f64 = 1e-6;

fn divisor(normalise: bool) -> Divisor {
    if normalise { Divisor::Weights } else { Divisor::One }
}

/// What is done to a delta before it is combined.
fn step(
    scope: &Scope<'_>,
    source: &SliceSource,
    deltas: Deltas,
    density: f64,
    rescale: Rescale,
    seed: u64,
) -> Result<Option<Sparsify>, MergeError> {
    if density >= 1.0 || deltas.sparsify == Sparsifier::None {
        return Ok(None);
    }
    let kept = Density::new(density).map_err(|e| scope.wrong("density", Some(source), e.to_string()))?;
    Ok(Some(match deltas.sparsify {
        Sparsifier::None => return Ok(None),
        Sparsifier::Trim => Sparsify::Trim { density: kept, scope: Over::Tensor, rescale },
        Sparsifier::Dare => {
            let drop = DropRate::new(1.0 - density)
                .map_err(|e| scope.wrong("density", Some(source), e.to_string()))?;
            Sparsify::Dare { drop, rescale, seed }
        }
        Sparsifier::Breadcrumbs => {
            let gamma = DropRate::new(scope.of(source, "gamma")?)
                .map_err(|e| scope.wrong("gamma", Some(source), e.to_string()))?;
            Sparsify::Breadcrumbs { density: kept, gamma, rescale }
        }
        Sparsifier::Della => {
            let epsilon = scope.of(source, "epsilon")?;
            if !(epsilon >= 0.0 && density - epsilon > 0.0 && density + epsilon < 1.0) {
                let reason = format!("is {epsilon}: density {density} ± epsilon must lie between 0 and 1");
                return Err(scope.wrong("epsilon", Some(source), reason));
            }
            Sparsify::Della { density: kept, epsilon, rescale, seed }
        }
    }))
}
