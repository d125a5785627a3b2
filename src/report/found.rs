//! What a search found, and what the choice is worth on items that had no say in it.

use super::Difference;
use serde::Serialize;
use std::fmt::{self, Write};

/// A figure with its 95 % interval, in per cent.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Figure {
    /// Mean.
    pub mean: f64,
    /// 95 % interval.
    pub ci95: (f64, f64),
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1} [{:.1}, {:.1}]", self.mean, self.ci95.0, self.ci95.1)
    }
}

/// Candidates that were measured on a few items which stand for all.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct EstimateNote {
    /// How many items.
    pub items: usize,
    /// How far such a mean is off, in points: the root of the mean square over candidates that the items were not chosen by.
    pub error: f64,
}

/// One candidate.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Entrant {
    /// λ, in the order of the models.
    pub direction: Vec<f64>,
    /// s.
    pub scale: f64,
    /// Its mean on the validation split, in per cent, of the items that it came to.
    pub validation: f64,
    /// 95 % interval.
    pub ci95: (f64, f64),
    /// Items behind it.
    pub items: usize,
    /// Its mean at each of the skills.
    pub skills: Vec<Figure>,
}

/// What the winner is compared with on the test split.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Rival {
    /// A model alone, or the bisector.
    pub name: String,
    /// Its mean on the test split, in per cent.
    pub test: f64,
    /// How far the winner is ahead of it, paired.
    pub ahead: Difference,
}

/// A finished search.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Found {
    /// The search.
    pub name: String,
    /// The models, in the order of λ.
    pub models: Vec<String>,
    /// How candidates were found and measured.
    pub strategy: &'static str,
    /// What was sought: `mean`, `worst_drop` or `pareto`.
    pub aim: &'static str,
    /// The skills, where the aim knows them.
    pub skills: Vec<String>,
    /// All candidates, those of the space first.
    pub candidates: Vec<Entrant>,
    /// Which of them won.
    pub winner: usize,
    /// Which of them no other one equals in every skill and betters in one, where that was sought.
    pub front: Vec<usize>,
    /// Items that were asked of all candidates together.
    pub asked: usize,
    /// How proposals were measured, where not on all items.
    pub estimate: Option<EstimateNote>,
    /// Items that every candidate in full would have taken.
    pub in_full: usize,
    /// The winner's mean on the validation split, in per cent: an optimistic figure, for the choice was made on it.
    pub validation: f64,
    /// Its mean on the test split.
    pub test: f64,
    /// 95 % interval of that.
    pub test_ci95: (f64, f64),
    /// Items behind it.
    pub test_items: usize,
    /// The winner at each of the skills on the test split.
    pub test_skills: Vec<Figure>,
    /// What it is compared with on the test split.
    pub rivals: Vec<Rival>,
    /// Answers that could not be judged; they counted as wrong, so the choice may not be fair.
    pub unscored: usize,
}

impl Found {
    /// The search for people: the best candidates first.
    pub fn text(&self) -> String {
        let mut text = format!("{}: λ over {}\n\n", self.name, self.models.join(", "));
        let mut order: Vec<usize> = (0..self.candidates.len()).collect();
        order.sort_by(|a, b| {
            let (a, b) = (&self.candidates[*a], &self.candidates[*b]);
            (b.items, b.validation).partial_cmp(&(a.items, a.validation)).unwrap_or(std::cmp::Ordering::Equal)
        });
        let heads = self.skills.iter().fold(String::new(), |all, skill| all + " " + skill + " % |");
        let rules: String = self.skills.iter().map(|_| "---|").collect();
        let _ = writeln!(
            text,
            "| candidate | {} | 95 % interval | items |{heads}\n|---|---:|---|---:|{rules}",
            self.figure("validation")
        );
        for i in order {
            let c = &self.candidates[i];
            let mark = match (i == self.winner, self.front.contains(&i)) {
                (true, _) => " ← chosen",
                (false, true) => " on the front",
                (false, false) => "",
            };
            let (low, high) = c.ci95;
            let point = point(&c.direction, c.scale);
            let skills = c.skills.iter().fold(String::new(), |all, figure| format!("{all} {figure} |"));
            let _ = writeln!(
                text,
                "| {point}{mark} | {:.1} | [{low:.1}, {high:.1}] | {} |{skills}",
                c.validation, c.items
            );
        }
        match self.aim {
            "worst_drop" => text.push_str(
                "\nkept: the mean of the skill that suffers most, in per cent of what the model that is best at it alone has.\n",
            ),
            "pareto" => {
                let _ = writeln!(
                    text,
                    "\n{} of {} candidates are on the front: no other one is as good at every skill and better at one. The order \
                     is that of the weighted mean, and the one that is highest by it counts as chosen. Candidates whose intervals \
                     overlap may have changed places by chance.",
                    self.front.len(),
                    self.candidates.len()
                );
            }
            _ => {}
        }
        let (low, high) = self.test_ci95;
        let _ = writeln!(
            text,
            "\n{} items asked, {:.1} times fewer than every candidate in full.\n\nChosen: {}. Validation {:.1} %, test {:.1} % \
             [{low:.1}, {high:.1}] n {}: the choice made the first figure, the second had no say in it.",
            self.asked,
            self.in_full as f64 / self.asked.max(1) as f64,
            point(&self.candidates[self.winner].direction, self.candidates[self.winner].scale),
            self.validation,
            self.test,
            self.test_items
        );
        if let Some(EstimateNote { items, error }) = self.estimate {
            let _ = writeln!(
                text,
                "Candidates with {items} items were measured on those that stand best for all. Such an estimate is off by {error:.1} points \
                 (root mean square over the candidates that the items were chosen by, each left out in turn), which is in their intervals."
            );
        }
        for (skill, figure) in self.skills.iter().zip(&self.test_skills) {
            let _ = writeln!(text, "On the test split {skill} {figure}.");
        }
        let _ = writeln!(
            text,
            "\n| on the test split | {} | the chosen one is ahead by |\n|---|---:|---|",
            self.figure("test")
        );
        for rival in &self.rivals {
            let Difference { points, ci95: (low, high) } = rival.ahead;
            let _ = writeln!(
                text,
                "| {} | {:.1} | {points:+.1} [{low:+.1}, {high:+.1}] |",
                rival.name, rival.test
            );
        }
        if self.unscored > 0 {
            let _ = writeln!(
                text,
                "\n{} answers could not be judged and counted as wrong: the choice may not be fair.",
                self.unscored
            );
        }
        text
    }

    /// What the figure of a candidate is called.
    fn figure(&self, split: &str) -> String {
        if self.aim == "worst_drop" { format!("{split} kept %") } else { format!("{split} %") }
    }

    /// The search for programs.
    pub fn json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self)
            .unwrap_or_else(|_| unreachable!("a search has string keys only"));
        text.push('\n');
        text
    }
}

fn point(direction: &[f64], scale: f64) -> String {
    let weights: Vec<String> = direction.iter().map(|w| format!("{w:.3}")).collect();
    format!("λ = ({}), s = {scale}", weights.join(", "))
}
