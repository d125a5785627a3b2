//! The published numbers: Table 1 of *Mixup Model Merge*, the rows without TIES and DARE.

/// A row as it was published, in per cent, in the order of [`Column::ALL`](super::Column::ALL).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PublishedRow {
    /// Our name for the row.
    pub id: &'static str,
    /// The merging method.
    pub method: &'static str,
    /// The models.
    pub models: &'static str,
    /// Whether M³ chose the direction; none for a single model.
    pub m3: Option<bool>,
    /// The λ that was found.
    pub lambda: Option<f64>,
    /// The cells; none where the paper prints a dash.
    pub cells: [Option<f64>; 5],
}

const fn single(id: &'static str, models: &'static str, cells: [Option<f64>; 5]) -> PublishedRow {
    PublishedRow { id, method: "–", models, m3: None, lambda: None, cells }
}

const fn pair(
    id: &'static str,
    models: &'static str,
    lambda: Option<f64>,
    cells: [Option<f64>; 5],
) -> PublishedRow {
    PublishedRow { id, method: "Task Arithmetic", models, m3: Some(lambda.is_some()), lambda, cells }
}

/// Table 1: single models and task arithmetic. λ belongs to the first model of a pair.
pub const TABLE1: [PublishedRow; 9] = [
    single("lm", "LM", [Some(45.14), Some(2.20), Some(0.04), Some(36.59), Some(34.00)]),
    single("math", "Math", [None, Some(64.22), Some(14.02), None, None]),
    single("code", "Code", [None, None, None, Some(23.78), Some(27.60)]),
    pair("lm+math/task_arithmetic", "LM & Math", None, [Some(45.78), Some(66.34), Some(13.40), None, None]),
    pair(
        "lm+math/task_arithmetic/m3",
        "LM & Math",
        Some(0.34),
        [Some(41.65), Some(66.34), Some(13.74), None, None],
    ),
    pair("lm+code/task_arithmetic", "LM & Code", None, [Some(44.64), None, None, Some(32.93), Some(33.60)]),
    pair(
        "lm+code/task_arithmetic/m3",
        "LM & Code",
        Some(0.99),
        [Some(46.64), None, None, Some(35.37), Some(33.80)],
    ),
    pair(
        "math+code/task_arithmetic",
        "Math & Code",
        None,
        [None, Some(64.67), Some(13.98), Some(8.54), Some(8.60)],
    ),
    pair(
        "math+code/task_arithmetic/m3",
        "Math & Code",
        Some(0.98),
        [None, Some(63.53), Some(13.94), Some(7.93), Some(19.00)],
    ),
];
