//! mergekit's methods: which parameters each has, and with what default (mergekit 0.1.5).

/// A method that is supported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    Linear,
    Slerp,
    Nuslerp,
    Nearswap,
    ModelStock,
    Passthrough,
    /// Sums of deltas: "generalised task arithmetic".
    Deltas(Deltas),
}

/// What tells the methods on deltas apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Deltas {
    /// What is done to each delta first.
    pub(super) sparsify: Sparsifier,
    /// Whether only deltas with the elected sign take part.
    pub(super) consensus: bool,
    normalize: bool,
    rescale: bool,
}

/// mergekit's ways to make a delta sparse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sparsifier {
    None,
    /// `magnitude`.
    Trim,
    /// `random`.
    Dare,
    /// `magnitude_outliers`.
    Breadcrumbs,
    /// `della_magprune`.
    Della,
}

/// Where a parameter may stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// For the merge as a whole: never beside a model.
    Shared,
    /// For each model, and as a default of all models in the wider scopes.
    Model,
}

/// The value where a parameter is left out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Default {
    Required,
    Flag(bool),
    Number(f64),
    /// The method does without.
    Nothing,
}

/// A parameter of a method.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Parameter {
    pub(super) name: &'static str,
    pub(super) place: Place,
    pub(super) default: Default,
}

const fn shared(name: &'static str, default: Default) -> Parameter {
    Parameter { name, place: Place::Shared, default }
}

const fn each(name: &'static str, default: Default) -> Parameter {
    Parameter { name, place: Place::Model, default }
}

const fn deltas(sparsify: Sparsifier, consensus: bool, normalize: bool, rescale: bool) -> Method {
    Method::Deltas(Deltas { sparsify, consensus, normalize, rescale })
}

/// The methods by their names in mergekit. Flags of the sums of deltas: consensus, `normalize`, `rescale`.
const METHODS: [(&str, Method); 14] = [
    ("linear", Method::Linear),
    ("task_arithmetic", deltas(Sparsifier::None, false, false, false)),
    ("ties", deltas(Sparsifier::Trim, true, true, false)),
    ("dare_ties", deltas(Sparsifier::Dare, true, false, true)),
    ("dare_linear", deltas(Sparsifier::Dare, false, false, true)),
    ("della", deltas(Sparsifier::Della, true, true, true)),
    ("della_linear", deltas(Sparsifier::Della, false, false, true)),
    ("breadcrumbs", deltas(Sparsifier::Breadcrumbs, false, false, false)),
    ("breadcrumbs_ties", deltas(Sparsifier::Breadcrumbs, true, false, false)),
    ("slerp", Method::Slerp),
    ("nuslerp", Method::Nuslerp),
    ("nearswap", Method::Nearswap),
    ("model_stock", Method::ModelStock),
    ("passthrough", Method::Passthrough),
];

impl Method {
    /// The method of this name, or the names that there are.
    pub(super) fn named(name: &str) -> Result<Self, String> {
        METHODS.iter().find(|(known, _)| *known == name).map(|(_, method)| *method).ok_or_else(|| {
            let known: Vec<&str> = METHODS.iter().map(|(known, _)| *known).collect();
            format!("is `{name}`; supported are {}", known.join(", "))
        })
    }

    /// What can be set.
    pub(super) fn parameters(self) -> Vec<Parameter> {
        match self {
            Self::Linear => {
                vec![each("weight", Default::Required), shared("normalize", Default::Flag(true))]
            }
            Self::Slerp | Self::Nearswap => vec![shared("t", Default::Required)],
            Self::Nuslerp => vec![
                each("weight", Default::Required),
                shared("nuslerp_flatten", Default::Flag(true)),
                shared("nuslerp_row_wise", Default::Flag(false)),
            ],
            Self::ModelStock => vec![shared("filter_wise", Default::Flag(false))],
            Self::Passthrough => vec![each("scale", Default::Nothing)],
            Self::Deltas(Deltas { sparsify, normalize, rescale, .. }) => {
                let mut all = vec![
                    shared("int8_mask", Default::Flag(false)),
                    shared("normalize", Default::Flag(normalize)),
                    shared("rescale", Default::Flag(rescale)),
                    shared("lambda", Default::Number(1.0)),
                    each("weight", Default::Required),
                    each("density", Default::Number(1.0)),
                ];
                match sparsify {
                    Sparsifier::Breadcrumbs => all.push(each("gamma", Default::Number(0.01))),
                    Sparsifier::Della => all.push(each("epsilon", Default::Number(0.15))),
                    Sparsifier::None | Sparsifier::Trim | Sparsifier::Dare => {}
                }
                all
            }
        }
    }

    /// Whether it works on what the models have beyond a base.
    pub(super) fn needs_base(self) -> bool {
        matches!(self, Self::Slerp | Self::Nearswap | Self::ModelStock | Self::Deltas(_))
    }

    /// Whether a base makes a difference.
    pub(super) fn uses_base(self) -> bool {
        self.needs_base() || self == Self::Nuslerp
    }

    /// Whether the base is a model like the others.
    pub(super) fn base_takes_part(self) -> bool {
        matches!(self, Self::Linear | Self::Passthrough | Self::Slerp)
    }

    /// How many models there must be beside the base (or with it, where the base is a model like the others), in words.
    pub(super) fn wants(self) -> (std::ops::RangeInclusive<usize>, &'static str) {
        match self {
            Self::Linear => (1..=usize::MAX, "at least one model"),
            Self::Passthrough => (1..=1, "exactly one model for each layer"),
            Self::Slerp => (2..=2, "exactly two models, one of them the base_model"),
            Self::Nuslerp => (2..=2, "exactly two models beside the base_model"),
            Self::Nearswap => (1..=1, "exactly one model beside the base_model"),
            Self::ModelStock => (2..=usize::MAX, "at least two models beside the base_model"),
            Self::Deltas(_) => (1..=usize::MAX, "at least one model beside the base_model"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_method_lists_the_known_ones() {
        let said = Method::named("sce").unwrap_err();
        assert!(
            said.contains("`sce`") && said.contains("dare_ties") && said.contains("model_stock"),
            "{said}"
        );
    }

    #[test]
    fn the_defaults_are_mergekits() {
        let default = |method: &str, name: &str| {
            Method::named(method)
                .unwrap()
                .parameters()
                .into_iter()
                .find(|p| p.name == name)
                .map(|p| p.default)
        };
        assert_eq!(default("ties", "normalize"), Some(Default::Flag(true)));
        assert_eq!(default("dare_ties", "normalize"), Some(Default::Flag(false)));
        assert_eq!(default("dare_linear", "rescale"), Some(Default::Flag(true)));
        assert_eq!(default("della", "normalize"), Some(Default::Flag(true)));
        assert_eq!(default("della_linear", "epsilon"), Some(Default::Number(0.15)));
        assert_eq!(default("breadcrumbs", "gamma"), Some(Default::Number(0.01)));
        assert_eq!(default("linear", "lambda"), None);
        assert_eq!(default("linear", "weight"), Some(Default::Required));
    }
}
