//! The value of a parameter at one place of the model: a number, a gradient over the layers, or a list of cases by tensor
//! name.

use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// One value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Scalar {
    Flag(bool),
    Number(f64),
    Text(String),
}

/// A parameter as it is written.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Setting {
    /// The same everywhere.
    Scalar(Scalar),
    /// Numbers are support points of a piecewise linear function of the layer; anything else is taken in steps.
    Gradient(Vec<Scalar>),
    /// The first case that fits the tensor's name.
    Cases(Vec<Case>),
}

/// A value for the tensors that a filter takes.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Case {
    /// A part of the tensor's name; `*` and none take every tensor.
    filter: Option<String>,
    value: Setting,
}

impl Setting {
    /// The value for a tensor at `t`: 0 at the first layer, 1 at the last. `None` where no case fits.
    pub(super) fn at(&self, tensor: &str, t: f64) -> Option<Scalar> {
        match self {
            Self::Scalar(value) => Some(value.clone()),
            Self::Gradient(points) => gradient(points, t),
            Self::Cases(cases) => cases.iter().find(|case| case.takes(tensor))?.value.at(tensor, t),
        }
    }
}

impl Case {
    fn takes(&self, tensor: &str) -> bool {
        self.filter.as_deref().is_none_or(|filter| filter == "*" || tensor.contains(filter))
    }
}

/// Linear interpolation between the support points, which are spread evenly over t from 0 to 1.
fn gradient(points: &[Scalar], t: f64) -> Option<Scalar> {
    let last = points.len().checked_sub(1)?;
    let place = t * last as f64;
    let below = (place as usize).min(last);
    match (&points[below], &points[last.min(below + 1)]) {
        (Scalar::Number(a), Scalar::Number(b)) if points.iter().all(|p| matches!(p, Scalar::Number(_))) => {
            let share = place - below as f64;
            Some(Scalar::Number((1.0 - share) * a + share * b))
        }
        (step, _) => Some(step.clone()),
    }
}

struct AnySetting;

impl<'de> Visitor<'de> for AnySetting {
    type Value = Setting;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value, a list of values, or a list of `{filter, value}`")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Setting, E> {
        Ok(Setting::Scalar(Scalar::Flag(value)))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Setting, E> {
        self.visit_f64(value as f64)
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Setting, E> {
        self.visit_f64(value as f64)
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Setting, E> {
        if value.is_finite() {
            Ok(Setting::Scalar(Scalar::Number(value)))
        } else {
            Err(E::custom("a parameter must be a finite number"))
        }
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Setting, E> {
        Ok(Setting::Scalar(Scalar::Text(value.to_owned())))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Setting, A::Error> {
        let (mut filter, mut value) = (None, None);
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "filter" => filter = map.next_value::<Option<String>>()?,
                "value" => value = Some(map.next_value()?),
                other => return Err(A::Error::unknown_field(other, &["filter", "value"])),
            }
        }
        let value = value.ok_or_else(|| A::Error::missing_field("value"))?;
        Ok(Setting::Cases(vec![Case { filter, value }]))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Setting, A::Error> {
        let (mut points, mut cases) = (Vec::new(), Vec::new());
        while let Some(element) = seq.next_element::<Setting>()? {
            match element {
                Setting::Scalar(value) => points.push(value),
                Setting::Cases(more) => cases.extend(more),
                Setting::Gradient(_) => {
                    return Err(A::Error::custom("a list inside a list means nothing here"));
                }
            }
        }
        match (points.is_empty(), cases.is_empty()) {
            (true, true) => Err(A::Error::custom("an empty list is no value")),
            (false, true) => Ok(Setting::Gradient(points)),
            (true, false) => Ok(Setting::Cases(cases)),
            (false, false) => {
                Err(A::Error::custom("a list holds either values or `{filter, value}`, not both"))
            }
        }
    }
}

impl<'de> Deserialize<'de> for Setting {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnySetting)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(yaml: &str, tensor: &str, t: f64) -> Option<f64> {
        match serde_saphyr::from_str::<Setting>(yaml).unwrap().at(tensor, t) {
            Some(Scalar::Number(x)) => Some(x),
            None => None,
            Some(other) => panic!("{other:?}"),
        }
    }

    #[test]
    fn gradients_interpolate_and_cases_take_the_first_that_fits() {
        assert_eq!(at("0.5", "x", 0.3), Some(0.5));
        assert_eq!(at("[0, 1, 0.5]", "x", 0.25), Some(0.5));
        assert_eq!(at("[0, 1, 0.5]", "x", 1.0), Some(0.5));
        assert_eq!(at("[0.25]", "x", 0.7), Some(0.25));
        let cases = "[{filter: mlp, value: [0, 1]}, {filter: attn, value: 0.25}]";
        assert_eq!(at(cases, "layers.1.mlp.up", 0.5), Some(0.5));
        assert_eq!(at(cases, "layers.1.self_attn.q", 0.5), Some(0.25));
        assert_eq!(at(cases, "norm", 0.5), None);
        assert_eq!(at("[{filter: mlp, value: 1}, {value: 2}]", "norm", 0.5), Some(2.0));
        assert_eq!(at("[{filter: '*', value: 3}, {value: 2}]", "norm", 0.5), Some(3.0));
        assert_eq!(at("{filter: norm, value: 3}", "norm", 0.5), Some(3.0));
    }

    #[test]
    fn what_is_no_setting_is_refused() {
        for bad in ["[]", "[[1, 2]]", "[1, {value: 2}]", "[{filter: mlp}]", "[{value: 1, when: x}]", ".nan"] {
            assert!(serde_saphyr::from_str::<Setting>(bad).is_err(), "{bad}");
        }
    }
}
