//! A table in the formats that people and programs read. Each is written once, for every table.
//!
//! - `terminal`: two lines a row, for a screen
//! - `markdown`: for a README, a pull request
//! - `csv`: for a spreadsheet, one cell a line
//! - `latex`: for a paper, with booktabs
//! - `json`: for programs
//! - `aligned`: columns of one width

mod aligned;
mod csv;
mod json;
mod latex;
mod markdown;
mod terminal;

pub use csv::csv;
pub use json::json;
pub use latex::latex;
pub use markdown::markdown;
pub use terminal::terminal;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{Amount, Block, Entry, Heading, Line, Point, Sheet};

    fn sheet() -> Sheet {
        let score =
            Amount { invalid: 3, run: Some("r1".into()), ..Amount::score(12.5, Some((10.0, 15.0)), 40) };
        let entry = |ours, published| Entry { ours, published, mark: None };
        let line = |id: &str, cells| Line {
            id: id.into(),
            labels: vec![format!("{id}, \"a|b\" & c_d")],
            point: Point { lambda: vec![0.25, 0.75], published_lambda: None, scale: Some(1.5) },
            cells,
            remark: None,
        };
        Sheet {
            name: "t".into(),
            title: "T".into(),
            suite: "s".into(),
            notice: "stand-in".into(),
            blocks: vec![Block {
                name: "cells",
                about: String::new(),
                labels: vec!["Model"],
                columns: vec![Heading::new("x", "X")],
                rows: vec![
                    line("one", vec![entry(Some(score), Some(2.0))]),
                    line("two", vec![entry(None, None)]),
                    line("three", vec![entry(Some(Amount::difference(-1.0, (-2.0, 0.5), 7)), Some(3.0))]),
                ],
                legend: Vec::new(),
            }],
            footnotes: vec!["5 % of it".into()],
        }
    }

    #[test]
    fn every_format_says_the_same_of_a_cell() {
        let sheet = sheet();
        for text in [terminal(&sheet), markdown(&sheet), latex(&sheet)] {
            for wanted in
                ["12.5 (2.00)", "[10.0, 15.0] n 40, 3 invalid", "– (–)", "-1.0 (+3.00)", "[-2.0, +0.5] n 7"]
            {
                let wanted =
                    if text.contains("toprule") { wanted.replace('–', "--") } else { wanted.into() };
                assert!(text.contains(&wanted), "{wanted}: {text}");
            }
        }
        assert!(markdown(&sheet).contains("a\\|b") && latex(&sheet).contains("\\& c\\_d"));
        assert!(latex(&sheet).contains("5 \\% of it"));
    }

    #[test]
    fn a_spreadsheet_reads_what_was_written() {
        let text = csv(&sheet());
        let mut reader = ::csv::Reader::from_reader(text.as_bytes());
        let rows: Vec<::csv::StringRecord> = reader.records().map(Result::unwrap).collect();
        assert_eq!(rows.len(), 3);
        let first: Vec<&str> = rows[0].iter().collect();
        assert_eq!(
            first,
            [
                "t",
                "cells",
                "one",
                "x",
                "12.5",
                "40",
                "10",
                "15",
                "3",
                "0",
                "2",
                "0.25 0.75",
                "",
                "1.5",
                "r1",
                "s"
            ]
        );
    }

    #[test]
    fn a_program_reads_what_was_written() {
        let read: serde_json::Value = serde_json::from_str(&json(&sheet())).unwrap();
        assert_eq!(read["cells"][0]["ours"], 12.5);
        assert_eq!(read["cells"][0]["lambda"], serde_json::json!([0.25, 0.75]));
        assert!(read["cells"][1]["ours"].is_null() && read["cells"][1]["n"] == 0);
        assert_eq!(read["rows"][2]["labels"]["Model"], "three, \"a|b\" & c_d");
    }
}
