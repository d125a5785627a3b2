//! Which tensors of which models make which tensors of the result.

use super::config::{Config, Model, Parameters, Slice};
use crate::checkpoint::ModelConfig;
use crate::ids::TensorName;
use serde_saphyr::Spanned;

/// The output, slice by slice.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    pub(super) slices: Vec<OutputSlice>,
    /// Parameters of the module, where the file has modules.
    pub(super) module: Parameters,
}

/// A run of output layers with one set of sources.
#[derive(Clone, Debug)]
pub(super) struct OutputSlice {
    pub(super) sources: Vec<SliceSource>,
    /// The base: the model's place in the list of opened models. It need not be one of the sources.
    pub(super) base: Option<usize>,
    pub(super) layers: usize,
    pub(super) parameters: Parameters,
}

/// One model's part in a slice.
#[derive(Clone, Debug)]
pub(super) struct SliceSource {
    /// The model's place in the list of opened models.
    pub(super) model: usize,
    /// Its layer that goes into the first layer of the slice.
    pub(super) first: usize,
    pub(super) parameters: Parameters,
    /// Where the file names it.
    pub(super) line: u64,
}

/// A tensor of the result.
pub(super) struct Output<'a> {
    pub(super) name: TensorName,
    pub(super) slice: &'a OutputSlice,
    /// The layer inside the slice; none for embedding, final norm and head.
    pub(super) layer: Option<usize>,
}

/// Something in the file that cannot be: (line, key, what is wrong with it).
pub(super) type Wrong = (u64, String, String);

/// What names the models of a file: `models` or `slices`, at the top or in the one module.
enum Body<'a> {
    Models(&'a [Model]),
    Slices(&'a [Slice]),
}

fn body(config: &Config) -> Result<(Body<'_>, Parameters), Wrong> {
    let choose = |models: Option<&'_ Vec<Model>>, slices: Option<&'_ Vec<Slice>>| match (models, slices) {
        (Some(_), Some(_)) => Some("there are both `models` and `slices`; a merge has one of them"),
        (None, None) => Some("there is neither `models` nor `slices`; name the models in one of them"),
        _ => None,
    };
    let fail = |key: &str, reason: &str| Err((0, key.to_owned(), reason.to_owned()));
    let (models, slices, parameters) = match &config.modules {
        None => (&config.models, &config.slices, Parameters::default()),
        Some(_) if config.models.is_some() || config.slices.is_some() => {
            return fail(
                "modules",
                "there are `models` or `slices` beside `modules`; a merge has one of them",
            );
        }
        Some(modules) => match modules.iter().collect::<Vec<_>>().as_slice() {
            [(name, module)] if name.as_str() == "default" => {
                (&module.models, &module.slices, module.parameters.clone())
            }
            _ => return fail("modules", "a Llama has one module, called `default`"),
        },
    };
    if let Some(reason) = choose(models.as_ref(), slices.as_ref()) {
        return fail("models", reason);
    }
    Ok(match (models, slices) {
        (Some(models), _) => (Body::Models(models), parameters),
        (None, slices) => (Body::Slices(slices.as_deref().unwrap_or_default()), parameters),
    })
}

/// The models' names in the order of their first use, the base first.
pub(super) fn names(config: &Config) -> Result<Vec<Spanned<String>>, Wrong> {
    let (body, _) = body(config)?;
    let mut all: Vec<&Spanned<String>> = config.base_model.iter().collect();
    match body {
        Body::Models(models) => all.extend(models.iter().map(|m| &m.model)),
        Body::Slices(slices) => {
            for slice in slices {
                own_base(slice, config)?;
                all.extend(slice.sources.iter().map(|s| &s.model));
            }
        }
    }
    let mut found: Vec<Spanned<String>> = Vec::new();
    for name in all {
        if !found.iter().any(|known| known.value == name.value) {
            found.push(name.clone());
        }
    }
    if found.is_empty() {
        return Err((0, "models".into(), "names no model".into()));
    }
    Ok(found)
}

/// A slice's own base must be one of its sources, and leave alone where rows of missing tokens come from.
fn own_base(slice: &Slice, config: &Config) -> Result<(), Wrong> {
    let Some(base) = &slice.base_model else { return Ok(()) };
    let fail = |reason: String| Err((base.defined.line(), "base_model".to_owned(), reason));
    if !slice.sources.iter().any(|s| s.model.value == base.value) {
        return fail(format!("of a slice is `{}`, which is not one of its sources", base.value));
    }
    if config.tokenizer_source.is_some() || config.tokenizer.is_some() {
        return fail(
            "of a slice cannot stand beside `tokenizer_source` or `tokenizer`: rows of missing tokens come from one \
             base for the whole merge"
                .to_owned(),
        );
    }
    Ok(())
}

/// Whether every slice says its base itself.
pub(super) fn slices_have_bases(config: &Config) -> Result<bool, Wrong> {
    Ok(match body(config)?.0 {
        Body::Models(_) => false,
        Body::Slices(slices) => slices.iter().all(|slice| slice.base_model.is_some()),
    })
}

impl Layout {
    /// `names` are all models, `layers` the number of layers of each.
    pub(super) fn new(config: &Config, names: &[Spanned<String>], layers: &[usize]) -> Result<Self, Wrong> {
        let place = |name: &str| names.iter().position(|n| n.value == name).unwrap_or_default();
        let (body, module) = body(config)?;
        let base = config.base_model.as_ref().map(|base| place(&base.value));
        let slices = match body {
            Body::Models(models) => {
                let mut sources: Vec<SliceSource> = models
                    .iter()
                    .map(|m| SliceSource {
                        model: place(&m.model.value),
                        first: 0,
                        parameters: m.parameters.clone(),
                        line: m.model.defined.line(),
                    })
                    .collect();
                // A base that the list leaves out is one more source.
                if let Some(base) = &config.base_model
                    && !sources.iter().any(|s| s.model == place(&base.value))
                {
                    let (model, line) = (place(&base.value), base.defined.line());
                    sources.push(SliceSource { model, first: 0, parameters: Parameters::default(), line });
                }
                let depth = sources.first().map_or(0, |s| layers[s.model]);
                if let Some(other) = sources.iter().find(|s| layers[s.model] != depth) {
                    let reason = format!(
                        "`{}` has {} layers where the first model has {depth}; use `slices`",
                        names[other.model].value, layers[other.model]
                    );
                    return Err((other.line, "models".into(), reason));
                }
                vec![OutputSlice { sources, base, layers: depth, parameters: Parameters::default() }]
            }
            Body::Slices(slices) => {
                slices.iter().map(|s| slice(s, base, &place, layers)).collect::<Result<_, _>>()?
            }
        };
        for slice in &slices {
            for (i, source) in slice.sources.iter().enumerate() {
                if slice.sources[..i].iter().any(|s| s.model == source.model) {
                    let reason = format!("`{}` takes part twice in one slice", names[source.model].value);
                    return Err((source.line, "model".into(), reason));
                }
            }
        }
        Ok(Self { slices, module })
    }

    /// Number of layers of the result.
    pub(super) fn layers(&self) -> usize {
        self.slices.iter().map(|s| s.layers).sum()
    }

    /// Every tensor of a model of this config, whose number of layers is that of the layout.
    pub(super) fn outputs(&self, config: &ModelConfig) -> Vec<Output<'_>> {
        let mut all = Vec::new();
        for (name, _) in config.tensors() {
            let layer = layer_of(&name);
            let (slice, layer) = match layer {
                None if name.as_str().contains("embed_tokens") => (self.slices.first(), None),
                None => (self.slices.last(), None),
                Some((number, _)) => {
                    let mut before = 0;
                    let slice = self.slices.iter().find(|s| {
                        let inside = number < before + s.layers;
                        before += if inside { 0 } else { s.layers };
                        inside
                    });
                    (slice, Some(number - before))
                }
            };
            all.extend(slice.map(|slice| Output { name, slice, layer }));
        }
        all
    }
}

fn slice(
    slice: &Slice,
    base: Option<usize>,
    place: &impl Fn(&str) -> usize,
    layers: &[usize],
) -> Result<OutputSlice, Wrong> {
    let base = slice.base_model.as_ref().map(|own| place(&own.value)).or(base);
    let mut depth = None;
    let mut sources = Vec::new();
    for source in &slice.sources {
        let (first, end) = source.layer_range.value;
        let (model, line) = (place(&source.model.value), source.layer_range.defined.line());
        let wrong = |reason: String| Err((line, "layer_range".to_owned(), reason));
        if first >= end {
            return wrong(format!("[{first}, {end}] holds no layer; the end is not part of the range"));
        }
        if end > layers[model] {
            let has = layers[model];
            return wrong(format!(
                "[{first}, {end}] leaves `{}`, which has {has} layers",
                source.model.value
            ));
        }
        if *depth.get_or_insert(end - first) != end - first {
            return wrong(format!("[{first}, {end}] is not as long as that of the slice's first source"));
        }
        sources.push(SliceSource { model, first, parameters: source.parameters.clone(), line });
    }
    match depth {
        Some(layers) => Ok(OutputSlice { sources, base, layers, parameters: slice.parameters.clone() }),
        None => Err((0, "sources".into(), "a slice names no source".into())),
    }
}

/// The number of the layer that a tensor belongs to, and what follows it in the name.
fn layer_of(name: &TensorName) -> Option<(usize, &str)> {
    let (number, part) = name.as_str().strip_prefix("model.layers.")?.split_once('.')?;
    Some((number.parse().ok()?, part))
}

impl Output<'_> {
    /// The name of the tensor of a source that goes into this one.
    pub(super) fn source(&self, from: &SliceSource) -> TensorName {
        match (self.layer, layer_of(&self.name)) {
            (Some(layer), Some((_, part))) => format!("model.layers.{}.{part}", from.first + layer).into(),
            _ => self.name.clone(),
        }
    }

    /// Where it lies for gradients: 0 at the slice's first layer, 1 at its last; 1 in a slice of one layer, 0 outside the
    /// layers.
    pub(super) fn t(&self) -> f64 {
        match self.layer {
            None => 0.0,
            Some(_) if self.slice.layers == 1 => 1.0,
            Some(layer) => layer as f64 / (self.slice.layers - 1) as f64,
        }
    }
}
