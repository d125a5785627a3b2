//! The rule of each tensor, from the parameters that hold for it.

use super::file::Mergekit;
use super::layout::{Layout, Output, SliceSource};
use super::methods::{Default, Deltas, Method, Sparsifier};
use super::setting::Scalar;
use crate::checkpoint::TensorInfo;
use crate::dtype::DType;
use crate::merge::MergeError;
use crate::merge::arithmetic::Arithmetic;
use crate::merge::plan::{Opened, stand_in};
use crate::merge::rule::{Along, Blend, Divisor, Elect, Input, Job, Part, Rescale, Scope as Over, Sparsify};
use crate::units::{Density, DropRate};

/// What torch computes in when these types meet.
fn promoted(a: DType, b: DType) -> DType {
    if a == b { a } else { DType::F32 }
}

/// What jobs are made from.
pub(super) struct Lowering<'a> {
    pub(super) of: &'a Mergekit,
    pub(super) layout: &'a Layout,
    pub(super) opened: &'a [Opened],
    pub(super) seed: u64,
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
        let set = scopes.into_iter().flatten().find_map(|p| p.get(name)?.value.at(tensor, t));
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
    pub(super) fn job(
        &self,
        output: &Output<'_>,
        idle: &mut Vec<(usize, String)>,
    ) -> Result<Job, MergeError> {
        let scope = Scope { lowering: self, output };
        let mut info = self.info(output)?;
        let computed = info.dtype;
        info.dtype = self.of.out_dtype.unwrap_or(computed);
        let method = self.of.method;
        let sources = &output.slice.sources;
        let is_base = |model: usize| Some(model) == output.slice.base;
        let base = sources.iter().find(|s| is_base(s.model));
        let others: Vec<&SliceSource> =
            sources.iter().filter(|s| method.base_takes_part() || !is_base(s.model)).collect();
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
                parts.sort_by_key(|p| !is_base(p.model));
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
                    if !(0.0..=1.0).contains(&density) {
                        let reason = format!("is {density}; it must be between 0 and 1");
                        return Err(scope.wrong("density", Some(source), reason));
                    }
                    if density == 0.0 && deltas.sparsify != Sparsifier::None {
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
    if density == 1.0 || deltas.sparsify == Sparsifier::None {
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
