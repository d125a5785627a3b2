//! Answers that were generated elsewhere: a file of JSON Lines, one object a line.
//!
//! A row is `{id, output}` and is joined to the data set by its id; or it has the fields of its item beside `output`,
//! and no data set is needed. A file has rows of one kind only. Where the card names an item by a field (`task_id`),
//! that field may stand for `id`. Of an item whose answers are programs there may be several: samples, for pass@k.

use crate::bench::benchmark::Benchmark;
use crate::bench::dataset::{self, Item, Split};
use crate::bench::error::BenchError;
use crate::bench::rows;
use crate::bench::score::BadField;
use crate::files;
use crate::ids::ItemId;
use serde_json::{Map, Value};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// The field with the answer.
const OUTPUT: &str = "output";

/// An item and what somebody's model answered.
#[derive(Clone, Debug, PartialEq)]
pub struct Answered {
    /// The question.
    pub item: Item,
    /// The raw generated text.
    pub output: String,
}

/// Answers with their items.
#[derive(Clone, Debug, PartialEq)]
pub struct Outputs {
    /// What there is to score: in the data set's order, or in the file's where rows bring their items along. The samples of an item
    /// follow each other in the first case.
    pub answered: Vec<Answered>,
    /// Items of the data set without an output.
    pub missing: Vec<ItemId>,
}

/// The rows of a file, before it is known which items they answer.
#[derive(Debug)]
pub struct OutputRows {
    path: PathBuf,
    rows: Vec<Row>,
    /// Whether an item may have several.
    samples: bool,
    /// Why the rows do not bring their items along; nothing if they do.
    lack: Option<Lack>,
}

#[derive(Debug)]
struct Row {
    line: usize,
    id: Option<ItemId>,
    /// Everything but `id` and `output`, under the card's names.
    fields: Map<String, Value>,
    output: String,
}

#[derive(Debug)]
struct Lack {
    line: usize,
    field: BadField,
    /// Whether the row has anything beside `id` and `output`.
    more: bool,
}

impl OutputRows {
    /// Reads a file of outputs.
    pub fn read(path: &Path, benchmark: &Benchmark) -> Result<Self, BenchError> {
        let bytes = files::read(path)?;
        let mut rows = Vec::new();
        let bytes = bytes.strip_prefix(rows::MARK).unwrap_or(&bytes);
        for (index, raw) in bytes.split(|b| *b == b'\n').enumerate() {
            let line = index + 1;
            let text = std::str::from_utf8(raw).map_err(|e| BenchError::NotUtf8 {
                path: path.to_owned(),
                line,
                byte: e.valid_up_to() + 1,
            })?;
            if !text.trim().is_empty() {
                rows.push(row(path, line, text, benchmark)?);
            }
        }
        if rows.is_empty() {
            return Err(BenchError::NoOutputs { path: path.to_owned() });
        }
        let lack = lack(path, &rows, benchmark)?;
        Ok(Self { path: path.to_owned(), rows, samples: benchmark.needs_programs(), lack })
    }

    /// Whether the rows bring their items along.
    pub fn have_items(&self) -> bool {
        self.lack.is_none()
    }

    /// The rows with the items that they bring along; a row without a name is named by its number, from 0.
    pub fn with_own_items(self) -> Result<Outputs, BenchError> {
        let mut seen = Seen::new(&self.path);
        let mut answered: Vec<Answered> = Vec::with_capacity(self.rows.len());
        let mut first: HashMap<ItemId, usize> = HashMap::new();
        for (number, row) in self.rows.into_iter().enumerate() {
            let id = row.id.unwrap_or_else(|| number.to_string().into());
            let before = *first.entry(id.clone()).or_insert(number);
            let sample = self.samples && before < number && answered[before].item.fields == row.fields;
            if !sample {
                seen.once(&id, row.line)?;
            }
            answered.push(Answered { item: Item::new(id, row.fields), output: row.output });
        }
        Ok(Outputs { answered, missing: Vec::new() })
    }

    /// The rows joined to the items of a split by their ids. Some items may be without output only if `partial`.
    pub fn join(
        self,
        benchmark: &Benchmark,
        split: Split,
        items: Vec<Item>,
        partial: bool,
    ) -> Result<Outputs, BenchError> {
        let mut seen = Seen::new(&self.path);
        let mut outputs: HashMap<ItemId, Vec<String>> = HashMap::with_capacity(self.rows.len());
        let mut order = Vec::with_capacity(self.rows.len());
        for row in self.rows {
            let id = row.id.ok_or_else(|| {
                let wanted = "a text or a number that names an item";
                dataset::field(&self.path, row.line, &row.fields, "id", wanted)
            })?;
            if !self.samples {
                seen.once(&id, row.line)?;
            }
            if !outputs.contains_key(&id) {
                order.push(id.clone());
            }
            outputs.entry(id).or_default().push(row.output);
        }
        let known: Vec<ItemId> = items.iter().take(3).map(|item| item.id.clone()).collect();
        let of = items.len();
        let (mut answered, mut missing) = (Vec::new(), Vec::new());
        for item in items {
            match outputs.remove(&item.id) {
                Some(samples) => {
                    let answer = |output| Answered { item: item.clone(), output };
                    answered.extend(samples.into_iter().map(answer));
                }
                None => missing.push(item.id),
            }
        }
        let id = || benchmark.card.id.clone();
        if !outputs.is_empty() {
            let ids = order.into_iter().filter(|id| outputs.contains_key(id)).collect();
            let hint = self.lack.filter(|lack| lack.more).map(|Lack { line, field, .. }| {
                format!("in line {line}, `{}` must be {}", field.key, field.wanted)
            });
            return Err(BenchError::UnknownItems {
                path: self.path,
                benchmark: id(),
                split,
                ids,
                known,
                hint,
            });
        }
        if !missing.is_empty() && !partial {
            return Err(BenchError::MissingOutputs { path: self.path, benchmark: id(), missing, of });
        }
        Ok(Outputs { answered, missing })
    }
}

fn row(path: &Path, line: usize, text: &str, benchmark: &Benchmark) -> Result<Row, BenchError> {
    let mut raw = rows::object(path, line, text)?;
    let bad = |raw: &Map<String, Value>, key: &str, wanted| Err(dataset::field(path, line, raw, key, wanted));
    let output = match raw.get(OUTPUT) {
        Some(Value::String(output)) => output.clone(),
        _ => return bad(&raw, OUTPUT, "a text, the model's answer"),
    };
    let id = match raw.get("id") {
        None => None,
        Some(value) => match dataset::name_in(value) {
            Some(id) => Some(id),
            None => return bad(&raw, "id", "a text or a number"),
        },
    };
    raw.retain(|key, _| key != OUTPUT && key != "id");
    let fields = dataset::renamed(&benchmark.card, raw);
    let by_field = || fields.get(benchmark.card.dataset.id_field.as_deref()?).and_then(dataset::name_in);
    Ok(Row { line, id: id.or_else(by_field), output, fields })
}

/// Why the rows do not bring their items along, or nothing if all of them do.
fn lack(path: &Path, rows: &[Row], benchmark: &Benchmark) -> Result<Option<Lack>, BenchError> {
    let check = |row: &Row| {
        let item = Item::new(row.id.clone().unwrap_or_else(|| "".into()), row.fields.clone());
        benchmark.check(&item).err()
    };
    let mut with = None;
    let mut without: Option<Lack> = None;
    for row in rows {
        match check(row) {
            None => {
                with.get_or_insert(row.line);
            }
            Some(field) if without.is_none() => {
                without = Some(Lack { line: row.line, field, more: !row.fields.is_empty() });
            }
            Some(_) => {}
        }
        if let (Some(with), Some(lack)) = (with, &without) {
            return Err(BenchError::Mixed {
                path: path.to_owned(),
                with,
                without: lack.line,
                key: lack.field.key.clone(),
                wanted: lack.field.wanted,
            });
        }
    }
    Ok(without)
}

/// Ids and the lines that have them.
struct Seen<'p> {
    path: &'p Path,
    lines: HashMap<ItemId, usize>,
}

impl<'p> Seen<'p> {
    fn new(path: &'p Path) -> Self {
        Self { path, lines: HashMap::new() }
    }

    fn once(&mut self, id: &ItemId, line: usize) -> Result<(), BenchError> {
        match self.lines.insert(id.clone(), line) {
            None => Ok(()),
            Some(first) => Err(BenchError::Duplicate {
                path: self.path.to_owned(),
                line,
                first,
                first_path: self.path.to_owned(),
                id: id.clone(),
            }),
        }
    }
}
