//! `report.html`: tables, figures and every item behind them in one file that needs nothing else and opens from disk.
//!
//! - `detail`: a run with its items, and the data that the page's program reads
//! - `tables`: a sheet as HTML
//! - `page.css`, `page.js`: how it looks, and what it does

mod detail;
mod tables;

pub use detail::{ItemDetail, Preference, RunDetail};

use super::svg::{Theme, escaped};
use super::{Sheet, Svg};
use std::fmt::Write;

const STYLE: &str = include_str!("page.css");
const PROGRAM: &str = include_str!("page.js");

/// A part of the page: a sheet, with its picture if it has one.
pub struct Section<'a> {
    /// The numbers.
    pub sheet: &'a Sheet,
    /// The picture.
    pub svg: Option<&'a Svg>,
}

/// The page. `runs` are those that cells name; a cell whose run is not among them has no link.
pub fn page(title: &str, sections: &[Section<'_>], runs: &[RunDetail]) -> String {
    let mut body = String::new();
    let mut contents = String::new();
    for Section { sheet, svg } in sections {
        let (name, heading) = (escaped(&sheet.name), escaped(&sheet.title));
        let _ = write!(contents, "<li><a href=\"#{name}\">{heading}</a></li>");
        let _ = write!(body, "<section id=\"{name}\"><h2>{heading}</h2>");
        if let Some(svg) = svg {
            let _ = write!(
                body,
                "<div class=\"picture\" tabindex=\"0\" role=\"group\" aria-label=\"{heading}\">{}</div>",
                svg.markup(Theme::Screen)
            );
        }
        tables::tables(sheet, runs, &mut body);
        body.push_str("</section>\n");
    }
    let notice = sections.first().map_or("", |section| section.sheet.notice.as_str());
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; script-src \
         'unsafe-inline'\">\n<title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n\
         <header><h1>{title}</h1><p class=\"notice\">{}</p>\n<nav aria-label=\"Contents\"><ul>{contents}\
         <li><a href=\"#runs\">Runs</a></li></ul></nav></header>\n<main>\n{body}{}</main>\n\
         <script type=\"application/json\" id=\"data\">{}</script>\n<script>\n{PROGRAM}</script>\n</body>\n</html>\n",
        escaped(notice),
        RUNS,
        detail::data(runs),
        title = escaped(title),
    )
}

/// Where the program shows a run and its items.
const RUNS: &str = "<section id=\"runs\"><h2>Runs</h2>\n\
    <p>A run is one model on one benchmark. Choose one here, or by the number of a table's cell.</p>\n\
    <noscript><p>The runs are shown by a program that is part of this page; this browser does not run it.</p></noscript>\n\
    <form id=\"controls\">\
    <label>Run <select id=\"run\"></select></label>\
    <label>Items <select id=\"filter\"><option value=\"all\">all</option><option value=\"wrong\">wrong</option>\
    <option value=\"invalid\">invalid: no answer could be extracted</option><option value=\"unscored\">unscored</option>\
    <option value=\"right\">right</option><option value=\"flipped\">flipped against the other run</option></select></label>\
    <label>Other run <select id=\"other\"></select></label>\
    <label>Text <input id=\"text\" type=\"search\" placeholder=\"in prompt or answer\"></label></form>\n\
    <details id=\"settings\"><summary>Settings of the run</summary><pre></pre></details>\n\
    <p id=\"count\" role=\"status\"></p>\n<div id=\"items\"></div></section>\n";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::Verdict;
    use crate::report::{Amount, Block, Entry, Heading, Line, Point};

    const HOSTILE: &str = "</script><script>alert(1)</script><!--<img src=x onerror=alert(2)>&amp;\"'";

    fn sheet() -> Sheet {
        let amount = Amount { run: Some("r1".into()), ..Amount::score(50.0, Some((20.0, 80.0)), 2) };
        let row = Line {
            id: "a".into(),
            labels: vec![HOSTILE.into()],
            point: Point::default(),
            cells: vec![Entry { ours: Some(amount), published: Some(1.5), mark: None }],
            remark: Some(HOSTILE.into()),
        };
        let block = Block {
            name: "cells",
            about: HOSTILE.into(),
            labels: vec!["Model"],
            columns: vec![Heading::new("x", HOSTILE)],
            rows: vec![row],
            legend: vec![HOSTILE.into()],
        };
        Sheet {
            name: "table1".into(),
            title: HOSTILE.into(),
            suite: HOSTILE.into(),
            notice: HOSTILE.into(),
            blocks: vec![block],
            footnotes: vec![HOSTILE.into()],
        }
    }

    fn run() -> RunDetail {
        let item = |id: &str, verdict| ItemDetail {
            item: id.into(),
            prompt: Some(HOSTILE.into()),
            answer: Ok(HOSTILE.into()),
            verdict,
            judged: None,
        };
        RunDetail {
            run: "r1".into(),
            benchmark: "x".into(),
            settings: serde_json::json!({ "model": HOSTILE }),
            items: vec![item("1", Verdict::correct(HOSTILE)), item("2", Verdict::no_answer())],
        }
    }

    #[test]
    fn nothing_that_a_model_wrote_is_markup() {
        let sheet = sheet();
        let html = page(HOSTILE, &[Section { sheet: &sheet, svg: None }], &[run()]);
        assert_eq!(html.matches("<script").count(), 2, "the data and the program alone");
        assert_eq!(html.matches("</script").count(), 2);
        assert!(!html.contains("<img") && !html.contains("<!--"));
        // The data is still what the model wrote.
        let begin = html.find("id=\"data\">").unwrap() + "id=\"data\">".len();
        let data = &html[begin..begin + html[begin..].find("</script").unwrap()];
        let data: serde_json::Value = serde_json::from_str(data).unwrap();
        assert_eq!(data["runs"][0]["items"][0]["answer"], HOSTILE);
        assert_eq!(data["prompts"], serde_json::json!([HOSTILE]), "a prompt is kept once");
        assert_eq!(data["runs"][0]["items"][1]["kind"], "invalid");
    }

    #[test]
    fn the_page_asks_nobody_for_anything() {
        let sheet = sheet();
        let html = page("t", &[Section { sheet: &sheet, svg: None }], &[run()]);
        for outside in ["http://", "https://", "src=\"", "@import", "url(", "fetch(", "innerHTML"] {
            let found = html.replace(&escaped(HOSTILE), "").contains(outside);
            assert!(!found, "{outside}");
        }
        assert!(html.contains("href=\"#run-r1\""), "a cell leads to its run");
    }
}
