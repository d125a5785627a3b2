//! What a search found, and what the choice is worth on items that had no say in it.

use super::Difference;
use serde::Serialize;
use std::fmt::Write;

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
    /// All candidates, in the order of the space.
    pub candidates: Vec<Entrant>,
    /// Which of them won.
    pub winner: usize,
    /// Items that were asked of all candidates together.
    pub asked: usize,
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
        text.push_str("| candidate | validation % | 95 % interval | items |\n|---|---:|---|---:|\n");
        for i in order {
            let c = &self.candidates[i];
            let mark = if i == self.winner { " ← chosen" } else { "" };
            let (low, high) = c.ci95;
            let _ = writeln!(
                text,
                "| {}{mark} | {:.1} | [{low:.1}, {high:.1}] | {} |",
                point(&c.direction, c.scale),
                c.validation,
                c.items
            );
        }
        let (low, high) = self.test_ci95;
        let _ = writeln!(
            text,
            "\n{} items asked, {:.1} times fewer than every candidate in full.\n\nChosen: {}. Validation {:.1} %, test {:.1} % \
             [{low:.1}, {high:.1}] n {}: the choice made the first figure, the second had no say in it.\n",
            self.asked,
            self.in_full as f64 / self.asked.max(1) as f64,
            point(&self.candidates[self.winner].direction, self.candidates[self.winner].scale),
            self.validation,
            self.test,
            self.test_items
        );
        text.push_str("| on the test split | test % | the chosen one is ahead by |\n|---|---:|---|\n");
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
