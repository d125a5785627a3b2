//! JSON: the whole table with its selection, pretty-printed.

use crate::report::Table;

/// `{"table","suite","notice","cells":[…],"selection":[…],"footnotes":[…]}`; figures in per cent, absent ones `null`.
pub fn json(table: &Table) -> String {
    let mut text =
        serde_json::to_string_pretty(table).unwrap_or_else(|_| unreachable!("a table has string keys only"));
    text.push('\n');
    text
}
