//! The one shape of a table, whatever it is about. Every table is turned into it, and every format is written from it.

use super::Measured;
use crate::ids::RunId;
use std::fmt::Write;

/// A table with everything that goes with it.
#[derive(Clone, Debug, PartialEq)]
pub struct Sheet {
    /// Its name and that of its files, such as `table1`.
    pub name: String,
    /// Its heading.
    pub title: String,
    /// The suite that was run.
    pub suite: String,
    /// The line on top: what these models are.
    pub notice: String,
    /// The table itself first, then what goes with it.
    pub blocks: Vec<Block>,
    /// Where the paper contradicts itself, or leaves open what was done.
    pub footnotes: Vec<String>,
}

/// Rows that have the same columns.
#[derive(Clone, Debug, PartialEq)]
pub struct Block {
    /// Its name in machine-readable output: `cells` for the table itself.
    pub name: &'static str,
    /// A sentence above it; empty for none.
    pub about: String,
    /// Headings of the columns that say what a row is.
    pub labels: Vec<&'static str>,
    /// The measured columns.
    pub columns: Vec<Heading>,
    /// The rows.
    pub rows: Vec<Line>,
    /// Sentences below it: how to read a cell.
    pub legend: Vec<String>,
}

/// A measured column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heading {
    /// In machine-readable output, such as `gsm8k`.
    pub id: String,
    /// For people, such as `GSM8K`.
    pub title: String,
}

/// One row.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// A name that is unique in the block.
    pub id: String,
    /// What it is, one for each of the block's labels.
    pub labels: Vec<String>,
    /// Where in the merge space it is.
    pub point: Point,
    /// One for each of the block's columns.
    pub cells: Vec<Entry>,
    /// More about the row than fits beside it, such as the worst prompt of an attack.
    pub remark: Option<String>,
}

/// A point of the merge space, θ = θ_pre + s·Σ λ_k·δ_k with Σ λ_k = 1.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Point {
    /// λ in the order of the models; of a pair only the first one's. Empty for a single model.
    pub lambda: Vec<f64>,
    /// λ of the first model as it was published.
    pub published_lambda: Option<f64>,
    /// The magnitude s.
    pub scale: Option<f64>,
}

/// One cell: ours, theirs, or neither.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Entry {
    /// Ours.
    pub ours: Option<Amount>,
    /// What was published.
    pub published: Option<f64>,
    /// A sign that the legend explains.
    pub mark: Option<&'static str>,
}

/// What kind of number it is, and so how it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Per cent.
    Score,
    /// Points, with a sign.
    Difference,
    /// A whole number.
    Count,
}

/// A measured number.
#[derive(Clone, Debug, PartialEq)]
pub struct Amount {
    /// Its kind.
    pub kind: Kind,
    /// The number.
    pub value: f64,
    /// 95 % interval.
    pub ci95: Option<(f64, f64)>,
    /// Scored items; 0 where the number is of no items of its own.
    pub n: usize,
    /// Scored items from which no answer could be extracted; they count as wrong.
    pub invalid: usize,
    /// Items without a verdict; they count for nothing.
    pub unscored: usize,
    /// The run that holds every answer and verdict.
    pub run: Option<RunId>,
}

impl Sheet {
    /// Items without a verdict, in all cells.
    pub fn unscored(&self) -> usize {
        self.amounts().map(|amount| amount.unscored).sum()
    }

    /// The runs behind its cells, each once, in the order of the cells.
    pub fn runs(&self) -> Vec<RunId> {
        let mut all: Vec<RunId> = Vec::new();
        for run in self.amounts().filter_map(|amount| amount.run.as_ref()) {
            if !all.contains(run) {
                all.push(run.clone());
            }
        }
        all
    }

    fn amounts(&self) -> impl Iterator<Item = &Amount> {
        let lines = self.blocks.iter().flat_map(|block| &block.rows);
        lines.flat_map(|line| &line.cells).filter_map(|entry| entry.ours.as_ref())
    }
}

impl Block {
    /// Whether a published number stands beside any of ours.
    pub fn publishes(&self) -> bool {
        self.rows.iter().flat_map(|row| &row.cells).any(|cell| cell.published.is_some())
    }
}

impl Heading {
    /// A column.
    pub fn new(id: &str, title: &str) -> Self {
        Self { id: id.to_owned(), title: title.to_owned() }
    }
}

impl Entry {
    /// A measured number with nothing published beside.
    pub fn ours(amount: Amount) -> Self {
        Self { ours: Some(amount), published: None, mark: None }
    }

    /// The cell in two parts: the number with the published one, and how sure it is. `beside` says whether published numbers
    /// stand in the block at all, so that a missing one is worth a dash.
    pub fn parts(&self, beside: bool) -> (String, String) {
        let published = match (&self.ours, self.published) {
            (_, None) if !beside => String::new(),
            (Some(amount), None) if amount.kind != Kind::Score => String::new(),
            (Some(amount), Some(theirs)) if amount.kind == Kind::Difference => format!(" ({theirs:+.2})"),
            (_, Some(theirs)) => format!(" ({theirs:.2})"),
            (_, None) => " (–)".to_owned(),
        };
        let mark = self.mark.map_or_else(String::new, |mark| format!(" {mark}"));
        match &self.ours {
            None => (format!("–{mark}{published}"), String::new()),
            Some(amount) => (format!("{}{mark}{published}", amount.number()), amount.certainty()),
        }
    }
}

impl Amount {
    /// A number without items of its own, such as how many candidates there were.
    pub fn count(value: usize) -> Self {
        Self { kind: Kind::Count, value: value as f64, ci95: None, n: 0, invalid: 0, unscored: 0, run: None }
    }

    /// A figure in per cent.
    pub fn score(value: f64, ci95: Option<(f64, f64)>, n: usize) -> Self {
        Self { kind: Kind::Score, value, ci95, n, invalid: 0, unscored: 0, run: None }
    }

    /// A difference in points.
    pub fn difference(value: f64, ci95: (f64, f64), n: usize) -> Self {
        Self { kind: Kind::Difference, ..Self::score(value, Some(ci95), n) }
    }

    /// The number with as many digits as it deserves.
    pub fn number(&self) -> String {
        self.written(self.value)
    }

    fn written(&self, x: f64) -> String {
        match self.kind {
            Kind::Score => format!("{x:.1}"),
            Kind::Difference => format!("{x:+.1}"),
            Kind::Count => format!("{x:.0}"),
        }
    }

    /// `[81.3, 90.0] n 240, 2 invalid`; empty where there is nothing to say.
    pub fn certainty(&self) -> String {
        let mut parts = Vec::new();
        if let Some((low, high)) = self.ci95 {
            parts.push(format!("[{}, {}]", self.written(low), self.written(high)));
        }
        if self.n > 0 {
            parts.push(format!("n {}", self.n));
        }
        let mut text = parts.join(" ");
        for (count, what) in [(self.invalid, "invalid"), (self.unscored, "unscored")] {
            if count > 0 {
                let _ = write!(text, ", {count} {what}");
            }
        }
        text
    }
}

impl From<&Measured> for Amount {
    fn from(m: &Measured) -> Self {
        Self {
            kind: Kind::Score,
            value: m.mean,
            ci95: Some(m.ci95),
            n: m.n,
            invalid: m.invalid,
            unscored: m.unscored,
            run: Some(m.run.clone()),
        }
    }
}
