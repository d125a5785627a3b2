//! A measured table, with what was published beside.

use crate::ids::RunId;
use serde::{Serialize, Serializer};

/// The columns of Table 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Column {
    /// Instruction following, judged.
    AlpacaEval,
    /// Grade-school word problems.
    Gsm8k,
    /// Competition problems.
    Math,
    /// Functions from docstrings, executed.
    Humaneval,
    /// Functions from descriptions, executed.
    Mbpp,
}

impl Column {
    /// In the paper's order.
    pub const ALL: [Self; 5] = [Self::AlpacaEval, Self::Gsm8k, Self::Math, Self::Humaneval, Self::Mbpp];

    /// The heading.
    pub const fn title(self) -> &'static str {
        match self {
            Self::AlpacaEval => "AlpacaEval",
            Self::Gsm8k => "GSM8K",
            Self::Math => "MATH",
            Self::Humaneval => "HumanEval",
            Self::Mbpp => "MBPP",
        }
    }

    /// The name in machine-readable output, which is the benchmark's id.
    pub const fn id(self) -> &'static str {
        match self {
            Self::AlpacaEval => "alpaca_eval",
            Self::Gsm8k => "gsm8k",
            Self::Math => "math",
            Self::Humaneval => "humaneval",
            Self::Mbpp => "mbpp",
        }
    }
}

/// What was measured for one cell. Figures are in per cent.
#[derive(Clone, Debug, PartialEq)]
pub struct Measured {
    /// Mean.
    pub mean: f64,
    /// Scored items.
    pub n: usize,
    /// 95 % interval.
    pub ci95: (f64, f64),
    /// Scored items from which no answer could be extracted; they count as wrong.
    pub invalid: usize,
    /// Items without a verdict; they count for nothing.
    pub unscored: usize,
    /// The run that holds every answer and verdict.
    pub run: RunId,
}

/// One cell: ours, theirs, or neither.
#[derive(Clone, Debug, PartialEq)]
pub struct Cell {
    /// Which column.
    pub column: Column,
    /// Ours.
    pub ours: Option<Measured>,
    /// The paper's, in per cent.
    pub published: Option<f64>,
}

/// One row.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// A name that is unique in the table, such as `lm+math/task_arithmetic/m3`.
    pub id: &'static str,
    /// The merging method, "–" for a single model.
    pub method: &'static str,
    /// The models.
    pub models: &'static str,
    /// Whether M³ chose the direction; none for a single model.
    pub m3: Option<bool>,
    /// λ that we found.
    pub lambda: Option<f64>,
    /// λ that the paper found.
    pub published_lambda: Option<f64>,
    /// The magnitude, under the convention θ = θ_pre + s·Σ λ_k·δ_k with Σ λ_k = 1.
    pub scale: Option<f64>,
    /// In the order of [`Column::ALL`].
    pub cells: Vec<Cell>,
}

/// How a pair's λ was chosen, and what the choice was worth on items that had no say in it. In per cent.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Selection {
    /// The merging method.
    pub method: &'static str,
    /// The pair.
    pub models: &'static str,
    /// How many candidates were measured on the validation split.
    pub candidates: usize,
    /// The winner's λ.
    pub lambda: f64,
    /// The winner's s.
    pub s: f64,
    /// The winner's mean of the two skills on the validation split.
    pub validation: f64,
    /// The same on the test split.
    pub test: f64,
    /// Items behind the test figure.
    pub n: usize,
    /// What the winner is ahead of the first model alone (λ = 1), on the test split.
    pub ahead_of_first: Difference,
    /// What the winner is ahead of the second model alone (λ = 0), on the test split.
    pub ahead_of_second: Difference,
    /// What the winner is ahead of the same method without M³, on the test split.
    pub ahead_of_baseline: Difference,
}

/// A paired difference, in points, with its 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// Mean difference.
    pub points: f64,
    /// 95 % interval.
    pub ci95: (f64, f64),
}

/// A table.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    /// `table1`.
    pub name: &'static str,
    /// The suite that was run.
    pub suite: String,
    /// The line on top: what these models are.
    pub notice: String,
    /// The rows.
    pub rows: Vec<Row>,
    /// How the directions were chosen.
    pub selection: Vec<Selection>,
    /// Where the paper contradicts itself, or leaves open what was done.
    pub footnotes: Vec<&'static str>,
}

/// One cell as the machine-readable output has it.
#[derive(Serialize)]
struct FlatCell<'a> {
    row: &'a str,
    column: Column,
    ours: Option<f64>,
    n: usize,
    ci95: Option<(f64, f64)>,
    published: Option<f64>,
    lambda: Option<f64>,
    s: Option<f64>,
    run: Option<&'a RunId>,
    invalid: usize,
    unscored: usize,
}

impl Serialize for Table {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct;
        let cells: Vec<FlatCell<'_>> = self
            .rows
            .iter()
            .flat_map(|row| {
                row.cells.iter().map(|cell| {
                    let ours = cell.ours.as_ref();
                    FlatCell {
                        row: row.id,
                        column: cell.column,
                        ours: ours.map(|m| m.mean),
                        n: ours.map_or(0, |m| m.n),
                        ci95: ours.map(|m| m.ci95),
                        published: cell.published,
                        lambda: row.lambda,
                        s: row.scale,
                        run: ours.map(|m| &m.run),
                        invalid: ours.map_or(0, |m| m.invalid),
                        unscored: ours.map_or(0, |m| m.unscored),
                    }
                })
            })
            .collect();
        let mut object = serializer.serialize_struct("Table", 6)?;
        object.serialize_field("table", self.name)?;
        object.serialize_field("suite", &self.suite)?;
        object.serialize_field("notice", &self.notice)?;
        object.serialize_field("cells", &cells)?;
        object.serialize_field("selection", &self.selection)?;
        object.serialize_field("footnotes", &self.footnotes)?;
        object.end()
    }
}
