//! A measured table of attacks (Tables 2, 5 and 6), with what was published beside.

use super::sheet::{Amount, Block, Entry, Heading, Line, Point, Sheet};
use crate::ids::RunId;
use serde::Serialize;

/// A row as it was published, in per cent.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct PublishedAttack {
    /// The models, such as `math+code`.
    pub models: &'static str,
    /// The data set.
    pub benchmark: &'static str,
    /// Whether M³ chose the direction.
    pub m3: bool,
    /// Accuracy without an attack.
    pub clean: Option<f64>,
    /// Accuracy under the attack; Table 2 does not print it.
    pub attacked: Option<f64>,
    /// The drop rate.
    pub pdr: Option<f64>,
}

/// The tables of attacks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PublishedAttacks {
    /// `table2`.
    pub name: &'static str,
    /// PromptBench's name of the attack.
    pub attack: &'static str,
    /// In the paper's order.
    pub rows: [PublishedAttack; 12],
    /// What does not fit together in the published table.
    pub footnotes: &'static [&'static str],
}

type Printed = (Option<f64>, Option<f64>, Option<f64>);

/// The rows in the paper's order: for each pair and data set, without and with M³.
const fn rows(printed: &[Printed; 12]) -> [PublishedAttack; 12] {
    let pairs = ["math+code", "lm+math", "lm+code"];
    let mut all =
        [PublishedAttack { models: "", benchmark: "", m3: false, clean: None, attacked: None, pdr: None };
            12];
    let mut at = 0;
    while at < 12 {
        let (clean, attacked, pdr) = printed[at];
        let benchmark = if at % 4 < 2 { "sst2" } else { "cola" };
        all[at] = PublishedAttack { models: pairs[at / 4], benchmark, m3: at % 2 == 1, clean, attacked, pdr };
        at += 1;
    }
    all
}

const fn two(clean: f64, pdr: f64) -> Printed {
    (Some(clean), None, Some(pdr))
}

const fn three(clean: f64, attacked: f64, pdr: f64) -> Printed {
    (Some(clean), Some(attacked), Some(pdr))
}

const CLEAN_DIFFERS: &str = "The paper's clean accuracies differ between its tables for the same model and data set: Math & Code on CoLA 45.54 \
    (Tables 2, 6) and 72.87 (Table 5); with M³ on SST2 86.24 (Table 2) and 78.21 (Tables 5, 6), on CoLA 71.72 (Table 2) and 74.02 \
    (Table 5); LM & Code with M³ on CoLA 74.78 (Table 2) and 73.92 (Tables 5, 6).";
const BELOW_CHANCE: &str = "LM & Code without M³ is right about 10.55 % of SST2, below chance: its answers name no label, and a drop rate of that \
    means nothing.";
const THREE_WORDS: &str =
    "The paper's program attacks three words of the prompt, not all of them as PromptBench does.";
const METHOD: &str = "The paper says that these models are merged by task arithmetic; its program accepts two folders alone, both of average \
    merging with λ = 0.9236.";

/// Table 2: StressTest.
pub const TABLE2: PublishedAttacks = PublishedAttacks {
    name: "table2",
    attack: "stresstest",
    rows: rows(&[
        two(57.68, 38.97),
        two(86.24, 35.77),
        two(45.54, 98.53),
        two(71.72, 6.42),
        two(92.78, 29.05),
        two(91.28, 34.55),
        two(79.19, 8.84),
        two(80.54, 4.52),
        two(10.55, 38.04),
        two(73.17, 7.68),
        two(74.21, 47.42),
        two(74.78, 31.67),
    ]),
    footnotes: &[
        "The paper prints one accuracy for each row, which is the clean one: with the printed rate the attacked one follows.",
        "M³ raises the drop rate of LM & Math on SST2, from 29.05 to 34.55.",
        BELOW_CHANCE,
        CLEAN_DIFFERS,
        METHOD,
    ],
};

/// Table 5: DeepWordBug.
pub const TABLE5: PublishedAttacks = PublishedAttacks {
    name: "table5",
    attack: "deepwordbug",
    rows: rows(&[
        three(57.68, 50.92, 11.73),
        three(78.21, 49.20, 37.10),
        three(72.87, 31.35, 56.97),
        three(74.02, 30.39, 58.94),
        three(92.78, 90.37, 2.60),
        three(91.28, 87.84, 3.77),
        three(79.19, 75.26, 4.96),
        three(80.54, 79.67, 1.07),
        three(10.55, 0.11, 98.91),
        three(73.17, 1.72, 97.65),
        three(74.21, 67.69, 8.79),
        three(73.922, 65.68, 11.15),
    ]),
    footnotes: &[
        "M³ raises the drop rate in four of the six pairs of rows: Math & Code on both sets, LM & Math on SST2, LM & Code on CoLA.",
        THREE_WORDS,
        "The reference draws letters without a seed: two of its runs ask different prompts.",
        BELOW_CHANCE,
        CLEAN_DIFFERS,
        METHOD,
    ],
};

/// Table 6: BERT-Attack.
pub const TABLE6: PublishedAttacks = PublishedAttacks {
    name: "table6",
    attack: "bertattack",
    rows: rows(&[
        three(57.68, 49.66, 13.92),
        three(78.21, 75.00, 4.11),
        (Some(45.54), Some(39.41), None),
        (None, None, None),
        three(92.78, 90.71, 2.22),
        three(91.28, 91.28, 0.0),
        (Some(79.19), Some(69.70), None),
        three(80.54, 75.84, 5.83),
        three(10.55, 0.46, 95.65),
        (Some(73.17), Some(32.91), None),
        three(74.21, 68.84, 7.24),
        (Some(73.92), Some(68.36), None),
    ]),
    footnotes: &[
        "The labels of the published rows are damaged: they are given here to the rows whose clean accuracies they have. The row of Math & \
         Code on CoLA with M³ is missing.",
        "The paper's program lets the masked language model offer two words in each place, of which the likeliest is mostly the word itself.",
        THREE_WORDS,
        BELOW_CHANCE,
        CLEAN_DIFFERS,
        METHOD,
    ],
};

/// One row. Figures are in per cent.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AttackRow {
    /// What was published.
    pub published: PublishedAttack,
    /// λ of the first model.
    pub lambda: f64,
    /// The magnitude, under the convention θ = θ_pre + s·Σ λ_k·δ_k with Σ λ_k = 1.
    pub scale: f64,
    /// Items.
    pub n: usize,
    /// Accuracy without an attack, with its 95 % interval.
    pub clean: f64,
    /// Its interval.
    pub clean_ci95: Option<(f64, f64)>,
    /// Items whose answer to the clean prompt names no label.
    pub invalid: usize,
    /// Accuracy under the worst prompt.
    pub attacked: f64,
    /// Its interval.
    pub attacked_ci95: Option<(f64, f64)>,
    /// The drop rate; none where the model is never right without an attack.
    pub pdr: Option<f64>,
    /// Its interval, by paired bootstrap.
    pub pdr_ci95: Option<(f64, f64)>,
    /// Whether the clean accuracy is no better than a constant answer's: then the drop rate means nothing.
    pub at_or_below_chance: bool,
    /// The worst prompt, with its edits marked.
    pub edits: String,
    /// The runs of the clean and of the worst prompt.
    pub runs: [RunId; 2],
}

/// A table of attacks.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AttackTable {
    /// `table2`.
    pub table: &'static str,
    /// The suite that was run.
    pub suite: String,
    /// The line on top: what these models are.
    pub notice: String,
    /// The attack.
    pub attack: &'static str,
    /// The rows.
    pub rows: Vec<AttackRow>,
    /// What does not fit together in the published table.
    pub footnotes: &'static [&'static str],
}

impl AttackTable {
    /// The table in the shape that every format is written from.
    pub fn sheet(&self) -> Sheet {
        let mut legend = vec![
            "Each cell: ours in per cent, (published), [95 % interval]. The interval of the drop rate is a paired bootstrap's."
                .to_owned(),
        ];
        if self.rows.iter().any(|row| row.at_or_below_chance) {
            legend.push(
                "† The clean accuracy is no better than that of a constant answer: the drop rate means nothing."
                    .to_owned(),
            );
        }
        let number: String = self.table.chars().filter(char::is_ascii_digit).collect();
        let columns = [("clean", "clean"), ("attacked", "attacked"), ("pdr", "PDR")];
        Sheet {
            name: self.table.to_owned(),
            title: format!("Table {number}: performance drop rate under {}", self.attack),
            suite: self.suite.clone(),
            notice: self.notice.clone(),
            blocks: vec![Block {
                name: "cells",
                about: String::new(),
                labels: vec!["Models", "Data", "M³", "λ", "s"],
                columns: columns.map(|(id, title)| Heading::new(id, title)).to_vec(),
                rows: self.rows.iter().map(AttackRow::line).collect(),
                legend,
            }],
            footnotes: self.footnotes.iter().map(|note| (*note).to_owned()).collect(),
        }
    }
}

impl AttackRow {
    fn line(&self) -> Line {
        let theirs = &self.published;
        let with = if theirs.m3 { "/m3" } else { "" };
        let amount = |value, ci95, invalid, run: Option<&RunId>| Amount {
            invalid,
            run: run.cloned(),
            ..Amount::score(value, ci95, self.n)
        };
        let [clean, attacked] = &self.runs;
        let entry = |ours, published| Entry { ours, published, mark: None };
        Line {
            id: format!("{}/{}{with}", theirs.models, theirs.benchmark),
            labels: vec![
                theirs.models.to_owned(),
                theirs.benchmark.to_owned(),
                if theirs.m3 { "yes" } else { "no" }.to_owned(),
                format!("{:.2}", self.lambda),
                format!("{:.1}", self.scale),
            ],
            point: Point { lambda: vec![self.lambda], published_lambda: None, scale: Some(self.scale) },
            cells: vec![
                entry(Some(amount(self.clean, self.clean_ci95, self.invalid, Some(clean))), theirs.clean),
                entry(Some(amount(self.attacked, self.attacked_ci95, 0, Some(attacked))), theirs.attacked),
                Entry {
                    mark: self.at_or_below_chance.then_some("†"),
                    ..entry(self.pdr.map(|pdr| amount(pdr, self.pdr_ci95, 0, None)), theirs.pdr)
                },
            ],
            remark: Some(format!("worst prompt: {}", self.edits)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_all_three_are_printed_the_rate_follows_from_the_accuracies() {
        for table in [TABLE5, TABLE6] {
            for row in table.rows {
                if let (Some(clean), Some(attacked), Some(pdr)) = (row.clean, row.attacked, row.pdr) {
                    assert!((100.0 * (clean - attacked) / clean - pdr).abs() < 0.06, "{row:?}");
                }
            }
        }
    }
}
