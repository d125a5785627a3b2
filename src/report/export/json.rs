//! JSON: the whole sheet, pretty-printed.

use crate::report::{Block, Sheet};
use serde_json::{Map, Value, json};

/// `{"table","title","suite","notice","rows":[…],"cells":[…],…,"legend":[…],"footnotes":[…]}`: the cells of each block under the block's
/// name, the first under `cells`; scores in per cent, differences in points, absent ones `null`. `rows` says what a row is.
pub fn json(sheet: &Sheet) -> String {
    let mut object = Map::new();
    object.insert("table".into(), json!(sheet.name));
    object.insert("title".into(), json!(sheet.title));
    object.insert("suite".into(), json!(sheet.suite));
    object.insert("notice".into(), json!(sheet.notice));
    object.insert("rows".into(), sheet.blocks.first().map_or(Value::Null, rows));
    for block in &sheet.blocks {
        object.insert(block.name.into(), cells(block));
    }
    let legend: Vec<&String> = sheet.blocks.iter().flat_map(|block| &block.legend).collect();
    object.insert("legend".into(), json!(legend));
    object.insert("footnotes".into(), json!(sheet.footnotes));
    let mut text = serde_json::to_string_pretty(&object)
        .unwrap_or_else(|_| unreachable!("a sheet has string keys and finite numbers"));
    text.push('\n');
    text
}

fn rows(block: &Block) -> Value {
    let row = |line: &super::super::Line| {
        let labels: Map<String, Value> =
            block.labels.iter().zip(&line.labels).map(|(k, v)| ((*k).to_owned(), json!(v))).collect();
        json!({ "row": line.id, "labels": labels, "remark": line.remark })
    };
    block.rows.iter().map(row).collect()
}

fn cells(block: &Block) -> Value {
    let of_row = |line: &super::super::Line| {
        let lambda = match line.point.lambda.as_slice() {
            [] => Value::Null,
            [one] => json!(one),
            many => json!(many),
        };
        let cell = |(heading, cell): (&super::super::Heading, &super::super::Entry)| {
            let ours = cell.ours.as_ref();
            json!({
                "row": line.id,
                "column": heading.id,
                "ours": ours.map(|m| m.value),
                "n": ours.map_or(0, |m| m.n),
                "ci95": ours.and_then(|m| m.ci95),
                "published": cell.published,
                "lambda": lambda,
                "published_lambda": line.point.published_lambda,
                "s": line.point.scale,
                "run": ours.and_then(|m| m.run.as_ref()),
                "invalid": ours.map_or(0, |m| m.invalid),
                "unscored": ours.map_or(0, |m| m.unscored),
            })
        };
        block.columns.iter().zip(&line.cells).map(cell).collect::<Vec<_>>()
    };
    block.rows.iter().flat_map(of_row).collect()
}
