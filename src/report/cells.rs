//! A measured table, with what was published beside.

use super::sheet::{Amount, Block, Entry, Heading, Line, Point, Sheet};
use crate::ids::RunId;
use serde::Serialize;

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
    /// Who judged the answers to AlpacaEval's instructions, where somebody did.
    pub judge: Option<String>,
    /// Where the paper contradicts itself, or leaves open what was done.
    pub footnotes: Vec<&'static str>,
}

const DASH: &str = "–";

impl Table {
    /// The table in the shape that every format is written from.
    pub fn sheet(&self) -> Sheet {
        let mut blocks = vec![Block {
            name: "cells",
            about: String::new(),
            labels: vec!["Method", "Models", "M³", "λ", "s"],
            columns: Column::ALL.map(|c| Heading::new(c.id(), c.title())).to_vec(),
            rows: self.rows.iter().map(Row::line).collect(),
            legend: vec![
                "Each cell: ours in per cent, (published), [95 % interval], n items. λ: ours (published), the share of the first model."
                    .to_owned(),
                "s: θ = θ_pre + s·Σ λ_k·δ_k with Σ λ_k = 1; a sum of two deltas at scale ½ is s = 1, λ = ½.".to_owned(),
            ],
        }];
        if let Some(block) = blocks.first_mut() {
            block.legend.extend(self.judge.clone());
        }
        if !self.selection.is_empty() {
            blocks.push(Selection::block(&self.selection));
        }
        let number: String = self.name.chars().filter(char::is_ascii_digit).collect();
        Sheet {
            name: self.name.to_owned(),
            title: format!("Table {number}: merged models without and with M³"),
            suite: self.suite.clone(),
            notice: self.notice.clone(),
            blocks,
            footnotes: self.footnotes.iter().map(|note| (*note).to_owned()).collect(),
        }
    }
}

impl Row {
    fn line(&self) -> Line {
        let two = |x: Option<f64>| x.map_or(DASH.to_owned(), |x| format!("{x:.2}"));
        let lambda = match (self.lambda, self.published_lambda) {
            (None, None) => DASH.to_owned(),
            (ours, theirs) => format!("{} ({})", two(ours), two(theirs)),
        };
        let m3 = match self.m3 {
            None => DASH,
            Some(true) => "yes",
            Some(false) => "no",
        };
        let scale = self.scale.map_or(DASH.to_owned(), |s| format!("{s:.1}"));
        let entry = |cell: &Cell| Entry {
            ours: cell.ours.as_ref().map(Amount::from),
            published: cell.published,
            mark: None,
        };
        Line {
            id: self.id.to_owned(),
            labels: vec![self.method.to_owned(), self.models.to_owned(), m3.to_owned(), lambda, scale],
            point: Point {
                lambda: self.lambda.into_iter().collect(),
                published_lambda: self.published_lambda,
                scale: self.scale,
            },
            cells: self.cells.iter().map(entry).collect(),
            remark: None,
        }
    }
}

impl Selection {
    fn block(all: &[Self]) -> Block {
        let columns = [
            ("candidates", "candidates"),
            ("validation", "validation"),
            ("test", "test"),
            ("ahead_of_first", "ahead of the first alone"),
            ("ahead_of_second", "ahead of the second alone"),
            ("ahead_of_baseline", "ahead of no M³"),
        ];
        Block {
            name: "selection",
            about: "How λ was chosen: best mean of the pair's two skills on the validation split; what that is worth on the test \
                    split:"
                .to_owned(),
            labels: vec!["Method", "Models", "λ", "s"],
            columns: columns.map(|(id, title)| Heading::new(id, title)).to_vec(),
            rows: all.iter().map(Self::line).collect(),
            legend: vec![
                "Skills: LM = checkable instructions; Math = GSM8K and MATH; Code = HumanEval and MBPP. Differences are paired, in \
                 points."
                    .to_owned(),
            ],
        }
    }

    fn line(&self) -> Line {
        let ahead = |d: &Difference| Entry::ours(Amount::difference(d.points, d.ci95, 0));
        Line {
            id: format!("{}/{}", self.models, self.method),
            labels: vec![
                self.method.to_owned(),
                self.models.to_owned(),
                format!("{:.2}", self.lambda),
                format!("{:.1}", self.s),
            ],
            point: Point { lambda: vec![self.lambda], published_lambda: None, scale: Some(self.s) },
            cells: vec![
                Entry::ours(Amount::count(self.candidates)),
                Entry::ours(Amount::score(self.validation, None, 0)),
                Entry::ours(Amount::score(self.test, None, self.n)),
                ahead(&self.ahead_of_first),
                ahead(&self.ahead_of_second),
                ahead(&self.ahead_of_baseline),
            ],
            remark: None,
        }
    }
}
