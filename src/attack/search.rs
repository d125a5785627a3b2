//! In which order candidates are asked, and which of them wins.

use super::AttackError;
use super::constraint::{Constraint, Modifiable};
use super::goal::{Accuracy, Victim};
use super::order::IndexSet;
use super::random::Draws;
use super::ranking;
use super::recipe::Rules;
use super::text::AttackedText;
use super::transformation::Transformation;
use super::words::WordRule;
use serde::Serialize;

/// How words are ranked by importance: by what the model makes of the text without them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WordRanking {
    /// `[UNK]` stands in their place.
    Unknown,
    /// They are left out.
    Delete,
}

impl WordRanking {
    /// The text without word `index`.
    fn without(self, text: &AttackedText, index: usize) -> AttackedText {
        match self {
            Self::Unknown => text.replace(index, "[UNK]"),
            Self::Delete => text.replace(index, ""),
        }
    }
}

/// In which order candidates are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Search {
    /// All of them, in the order of their text; of equally bad ones the first wins.
    BruteForce,
    /// All of them, in the order in which they are given.
    Listed,
    /// The words in the order of their importance; each is swapped for the best of its candidates if that is better than
    /// what there is (TextAttack's `GreedyWordSwapWIR`). The first swap is always taken, even if accuracy rises: the
    /// reference scores the unchanged prompt against an accuracy of −1.
    Greedy(WordRanking),
}

/// What a prompt was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// The prompt without an attack.
    Clean,
    /// To rank words.
    Ranking,
    /// As a candidate.
    Candidate,
}

/// A prompt that was asked.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Query {
    /// What for.
    pub stage: Stage,
    /// The prompt.
    pub prompt: String,
    /// How often the model is right under it.
    pub accuracy: Accuracy,
}

/// What an attack found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Found {
    /// Every prompt that was asked, in order; the first is the one without an attack.
    pub queries: Vec<Query>,
    /// Which of them won. The first, if the attack found nothing to change.
    pub winner: usize,
    /// Whether the budget ended the search.
    pub out_of_budget: bool,
}

impl Found {
    /// The prompt without an attack.
    pub fn clean(&self) -> &Query {
        &self.queries[0]
    }

    /// The prompt that hurts most.
    pub fn winner(&self) -> &Query {
        &self.queries[self.winner]
    }
}

/// An attack: transformation × constraints × word ranking × search, after one goal ([`Victim`]).
#[derive(Debug)]
pub struct Attack {
    /// Its name.
    pub name: &'static str,
    /// In what profiles differ.
    pub rules: Rules,
    /// What is done to a text.
    pub transformation: Box<dyn Transformation>,
    /// Which words may be changed.
    pub modifiable: Vec<Modifiable>,
    /// Which changed texts may be asked.
    pub constraints: Vec<Box<dyn Constraint>>,
    /// In which order candidates are asked.
    pub search: Search,
    /// What is left out of the reference's attack, and why.
    pub notes: Vec<String>,
}

impl Attack {
    /// Only prompts that can be asked are candidates.
    #[must_use]
    pub fn askable(mut self) -> Self {
        self.constraints.push(Box::new(super::constraint::Askable));
        self
    }

    fn read(&self, prompt: &str) -> AttackedText {
        AttackedText::new(prompt, self.rules.words)
    }

    /// The words that may be changed, in the reference's order.
    fn modifiable(&self, text: &AttackedText) -> Vec<usize> {
        let all = || 0..text.words().len();
        let mut set: IndexSet = all().collect();
        for constraint in &self.modifiable {
            set = set.intersection(&all().filter(|&index| constraint.allows(text, index)).collect());
        }
        let merged = self.transformation.merged_sets().filter(|_| text.rule() == WordRule::TextAttack037);
        let set = merged.map_or(set.clone(), |times| {
            let mut merged = IndexSet::new();
            (0..times).for_each(|_| merged.update(&set));
            merged
        });
        set.iter().collect()
    }

    /// The words that a greedy search swaps: those that may be changed, or the profile's positions of them.
    fn attacked(&self, text: &AttackedText) -> Vec<usize> {
        let all = self.modifiable(text);
        match self.rules.positions {
            None => all,
            Some(positions) => positions.iter().filter_map(|&at| all.get(at).copied()).collect(),
        }
    }

    /// The candidates that come from changing words of `current`, in the order in which they are asked.
    fn candidates(
        &self,
        current: &AttackedText,
        original: &AttackedText,
        indices: &[usize],
        draws: &mut Draws,
    ) -> Result<Vec<AttackedText>, AttackError> {
        let mut allowed = Vec::new();
        for candidate in self.transformation.candidates(current, indices, draws)? {
            let mut fine = candidate.text() != current.text();
            for constraint in &self.constraints {
                fine = fine && constraint.allows(&candidate, current, original)?;
            }
            if fine {
                allowed.push(candidate);
            }
        }
        if self.search != Search::Listed {
            allowed.sort_by(|a, b| a.text().cmp(b.text()));
        }
        Ok(allowed)
    }

    /// Queries at most, the clean prompt's included.
    pub fn most_queries(&self, prompt: &str) -> usize {
        let words = self.attacked(&self.read(prompt)).len();
        match self.search {
            Search::BruteForce | Search::Listed => 1 + self.transformation.most(),
            Search::Greedy(_) => 1 + words * (1 + self.transformation.most()),
        }
    }

    /// Every prompt that can be known before a model has been asked: those that rank the words, and the candidates for
    /// each word of the prompt as it is.
    pub fn preview(&self, prompt: &str, seed: u32) -> Result<Vec<(Stage, String)>, AttackError> {
        let (text, mut draws) = (self.read(prompt), Draws::new(seed));
        let mut all = Vec::new();
        let mut add = |stage, texts: Vec<AttackedText>| {
            all.extend(texts.into_iter().map(|t| (stage, t.text().to_owned())));
        };
        match self.search {
            Search::BruteForce | Search::Listed => {
                let indices = self.modifiable(&text);
                add(Stage::Candidate, self.candidates(&text, &text, &indices, &mut draws)?);
            }
            Search::Greedy(ranking) => {
                let words = self.attacked(&text);
                add(Stage::Ranking, words.iter().map(|&at| ranking.without(&text, at)).collect());
                for at in words {
                    add(Stage::Candidate, self.candidates(&text, &text, &[at], &mut draws)?);
                }
            }
        }
        Ok(all)
    }

    /// Attacks `prompt`. `seed` is that of what is drawn; at most `budget` prompts are asked.
    pub fn run(
        &self,
        prompt: &str,
        victim: &mut dyn Victim,
        seed: u32,
        budget: Option<usize>,
    ) -> Result<Found, AttackError> {
        let original = self.read(prompt);
        let mut hunt = Hunt { victim, budget: budget.unwrap_or(usize::MAX), queries: Vec::new() };
        let mut draws = Draws::new(seed);
        let winner = match self.search {
            Search::BruteForce | Search::Listed => {
                let indices = self.modifiable(&original);
                let candidates = self.candidates(&original, &original, &indices, &mut draws)?;
                if candidates.is_empty() {
                    return Err(AttackError::NoCandidate { attack: self.name });
                }
                let all = std::iter::once(&original).chain(&candidates);
                hunt.coming(all, self.rules.bounded)?;
                hunt.ask(Stage::Clean, prompt, None)?;
                let bound = self.rules.bounded.then_some(f64::INFINITY);
                hunt.best_of(&candidates, bound)?.map_or(0, |(_, query)| query)
            }
            Search::Greedy(ranking) => {
                hunt.ask(Stage::Clean, prompt, None)?;
                self.greedy(&original, ranking, &mut hunt, &mut draws)?
            }
        };
        let out_of_budget = hunt.left() == 0;
        Ok(Found { queries: hunt.queries, winner, out_of_budget })
    }

    fn greedy(
        &self,
        original: &AttackedText,
        ranking: WordRanking,
        hunt: &mut Hunt<'_>,
        draws: &mut Draws,
    ) -> Result<usize, AttackError> {
        let words = self.attacked(original);
        let without: Vec<AttackedText> = words.iter().map(|&at| ranking.without(original, at)).collect();
        hunt.coming(&without, false)?;
        let mut scores = Vec::with_capacity(words.len());
        for text in without.iter().take(hunt.left()) {
            scores.push(hunt.ask(Stage::Ranking, text.text(), None)?);
        }
        let (mut current, mut query, mut score) = (original.clone(), 0, None);
        for at in ranking::descending(&scores) {
            if hunt.left() == 0 {
                break;
            }
            let candidates = self.candidates(&current, original, &[words[at]], draws)?;
            // A candidate that is no worse for the model than what there is cannot be taken.
            let bound = self.rules.bounded.then(|| score.map_or(f64::INFINITY, |_| hunt.accuracy(query)));
            hunt.coming(&candidates, self.rules.bounded)?;
            let Some((best, asked)) = hunt.best_of(&candidates, bound)? else { continue };
            let found = hunt.score(asked);
            if score.is_none_or(|score| found > score) {
                (current, query, score) = (candidates[best].clone(), asked, Some(found));
            }
        }
        Ok(query)
    }
}

/// The prompts that were asked.
struct Hunt<'v> {
    victim: &'v mut dyn Victim,
    budget: usize,
    queries: Vec<Query>,
}

impl Hunt<'_> {
    fn left(&self) -> usize {
        self.budget.saturating_sub(self.queries.len())
    }

    fn accuracy(&self, query: usize) -> f64 {
        self.queries[query].accuracy.value()
    }

    /// What the reference maximises: the accuracy that is lost.
    fn score(&self, query: usize) -> f64 {
        self.accuracy(0) - self.accuracy(query)
    }

    /// Announces as many of these as the budget allows.
    fn coming<'t>(
        &mut self,
        texts: impl IntoIterator<Item = &'t AttackedText>,
        bounded: bool,
    ) -> Result<(), AttackError> {
        let prompts: Vec<&str> = texts.into_iter().take(self.left()).map(AttackedText::text).collect();
        if prompts.len() > 1 { self.victim.coming(&prompts, bounded) } else { Ok(()) }
    }

    fn ask(&mut self, stage: Stage, prompt: &str, hopeless: Option<f64>) -> Result<f64, AttackError> {
        let accuracy = self.victim.accuracy(prompt, hopeless)?;
        self.queries.push(Query { stage, prompt: prompt.to_owned(), accuracy });
        Ok(self.score(self.queries.len() - 1))
    }

    /// Asks as many candidates as the budget allows; the place of the first with the highest score, and its query. With a
    /// bound, a candidate is given up once it is certain to be no worse for the model than the bound or than one before it.
    fn best_of(
        &mut self,
        candidates: &[AttackedText],
        mut bound: Option<f64>,
    ) -> Result<Option<(usize, usize)>, AttackError> {
        let mut best: Option<(usize, usize)> = None;
        for (place, candidate) in candidates.iter().enumerate().take(self.left()) {
            let score = self.ask(Stage::Candidate, candidate.text(), bound.filter(|b| b.is_finite()))?;
            let query = self.queries.len() - 1;
            let complete = matches!(self.queries[query].accuracy, Accuracy::Exact(_));
            if best.is_none_or(|(_, held)| complete && score > self.score(held)) {
                best = Some((place, query));
            }
            if let Some(bound) = bound.as_mut().filter(|_| complete) {
                *bound = bound.min(self.accuracy(query));
            }
        }
        Ok(best)
    }
}
