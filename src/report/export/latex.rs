//! LaTeX with booktabs: one `tabular` for each block, to be taken into a paper with `\input`.

use crate::report::{Block, Sheet};
use std::fmt::Write;

/// Needs the packages `booktabs` and `graphicx`, and an encoding that has the letters of model and benchmark names.
pub fn latex(sheet: &Sheet) -> String {
    let mut text = String::from("% Needs \\usepackage{booktabs,graphicx}.\n");
    for (number, block) in sheet.blocks.iter().enumerate() {
        text.push_str("\\begin{table}[htbp]\n\\centering\n");
        let caption =
            if number == 0 { format!("{}. {}", sheet.title, sheet.notice) } else { block.about.clone() };
        let _ = writeln!(text, "\\caption{{{}}}", escaped(&caption));
        text.push_str("\\resizebox{\\textwidth}{!}{%\n");
        tabular(block, &mut text);
        text.push_str("}\n");
        if !block.legend.is_empty() {
            let _ = writeln!(text, "\\par\\smallskip\\footnotesize {}", escaped(&block.legend.join(" ")));
        }
        text.push_str("\\end{table}\n");
    }
    if !sheet.footnotes.is_empty() {
        text.push_str("{\\footnotesize About the published figures:\n\\begin{itemize}\n");
        for note in &sheet.footnotes {
            let _ = writeln!(text, "\\item {}", escaped(note));
        }
        text.push_str("\\end{itemize}}\n");
    }
    text
}

fn tabular(block: &Block, text: &mut String) {
    let columns = "l".repeat(block.labels.len()) + &"r".repeat(block.columns.len());
    let _ = writeln!(text, "\\begin{{tabular}}{{{columns}}}\n\\toprule");
    let heads = block.labels.iter().copied().chain(block.columns.iter().map(|c| c.title.as_str()));
    let heads: Vec<String> = heads.map(escaped).collect();
    let _ = writeln!(text, "{} \\\\\n\\midrule", heads.join(" & "));
    for row in &block.rows {
        let mut cells: Vec<String> = row.labels.iter().map(|l| escaped(l)).collect();
        cells.extend(row.cells.iter().map(|entry| {
            let (number, certainty) = entry.parts(block.publishes());
            let small = if certainty.is_empty() {
                String::new()
            } else {
                format!(" {{\\scriptsize {}}}", escaped(&certainty))
            };
            format!("{}{small}", escaped(&number))
        }));
        let _ = writeln!(text, "{} \\\\", cells.join(" & "));
    }
    text.push_str("\\bottomrule\n\\end{tabular}");
}

/// Text that LaTeX sets as it is, with the signs of our own sentences as formulas.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\textbackslash{}"),
            '&' | '%' | '$' | '#' | '_' | '{' | '}' => {
                out.push('\\');
                out.push(c);
            }
            '~' => out.push_str("\\textasciitilde{}"),
            '^' => out.push_str("\\textasciicircum{}"),
            '<' => out.push_str("\\textless{}"),
            '>' => out.push_str("\\textgreater{}"),
            '|' => out.push_str("\\textbar{}"),
            '"' => out.push_str("''"),
            '–' => out.push_str("--"),
            '…' => out.push_str("\\ldots{}"),
            '\n' => out.push(' '),
            other => match formula(other) {
                Some(sign) => {
                    let _ = write!(out, "\\ensuremath{{{sign}}}");
                }
                None => out.push(other),
            },
        }
    }
    out
}

fn formula(c: char) -> Option<&'static str> {
    Some(match c {
        'λ' => "\\lambda",
        'θ' => "\\theta",
        'δ' => "\\delta",
        'Σ' => "\\sum",
        'α' => "\\alpha",
        '·' => "\\cdot",
        '×' => "\\times",
        '±' => "\\pm",
        '≥' => "\\ge",
        '≤' => "\\le",
        '→' => "\\rightarrow",
        '³' => "^3",
        '²' => "^2",
        '½' => "\\frac12",
        '†' => "\\dagger",
        '∈' => "\\in",
        '−' => "-",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::escaped;

    #[test]
    fn what_latex_would_take_for_a_command_is_set_as_text() {
        assert_eq!(escaped("5 % of a_b & {M³}"), "5 \\% of a\\_b \\& \\{M\\ensuremath{^3}\\}");
        assert_eq!(escaped("\\input{x}"), "\\textbackslash{}input\\{x\\}");
        assert_eq!(escaped("λ – s"), "\\ensuremath{\\lambda} -- s");
    }
}
