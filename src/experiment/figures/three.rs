//! Merges of all three models: the p-series gives the direction, in an order of dominance, and s the magnitude (paper, sections
//! 3.3 and 4.3). The point is chosen on the validation split and reported on the test split.

use super::super::table1::Bench;
use super::super::{ExperimentError, Model};
use super::{FigureName, count, entry, gain, heading};
use crate::bench::Split;
use crate::evaluate::Evaluation;
use crate::event::Event;
use crate::ids::BenchmarkId;
use crate::merge::{Combine, Direction, DirectionLaw, Inputs, Recipe, Vocabulary};
use crate::report::{
    Amount, Block, Chart, Entry, FIGURE2, FIGURE2_NOTES, FIGURE3, FIGURE3_NOTES, FIGURE4, FIGURE4_GAINS,
    FIGURE4_NOTES, FIGURE4_WEIGHTS, Heading, Line, Point, PublishedPoint, Sheet, bars, published, radar,
};
use crate::search::{Campaign, Candidate, Objective, ObjectiveError, Portion, Scores};
use crate::units::Scale;

/// The models in the order of λ, with the paper's names.
const MODELS: [(&str, &str); 3] = [("lm", "LM"), ("math", "Math"), ("code", "Code")];

/// A point of the search over all three models.
#[derive(Clone, Debug, PartialEq)]
struct Setting {
    /// The models' names, the dominant one first.
    order: [String; 3],
    p: f64,
    scale: Scale,
}

impl Setting {
    /// The shares of the p-series, in the order of [`MODELS`]: orders differ in them alone, so that p = 0 is one merge.
    fn direction(&self) -> Result<Direction, ExperimentError> {
        let ranked = Direction::p_series(self.order.len(), self.p);
        let share = |name: &str| {
            let rank = self.order.iter().position(|o| o == name);
            rank.and_then(|rank| ranked.weights().get(rank).copied()).unwrap_or(0.0)
        };
        Ok(Direction::new(MODELS.iter().map(|(name, _)| share(name)).collect())?)
    }

    fn candidate(&self) -> Result<Candidate, ExperimentError> {
        let direction = self.direction()?;
        let law = DirectionLaw::Fixed { weights: direction.clone() };
        Ok(Candidate { law, direction, scale: self.scale })
    }

    fn names(&self) -> String {
        let title = |name: &String| MODELS.iter().find(|(n, _)| n == name).map_or("?", |(_, title)| title);
        self.order.iter().map(title).collect::<Vec<_>>().join(" > ")
    }

    /// Plain averaging of the models.
    fn average() -> Self {
        let one = Scale::new(1.0).unwrap_or_else(|_| unreachable!("1 is a scale"));
        Self { order: MODELS.map(|(name, _)| name.to_owned()), p: 0.0, scale: one }
    }

    /// What it is called as the choice of M³.
    fn title(&self) -> String {
        format!("M³ ({}, p = {}, s = {})", self.names(), self.p, self.scale)
    }

    fn point(&self) -> Result<Point, ExperimentError> {
        let lambda = self.direction()?.weights().to_vec();
        Ok(Point { lambda, published_lambda: None, scale: Some(self.scale.get()) })
    }
}

/// The jobs of Figures 2, 3 and 4.
pub(super) struct Three<'a> {
    bench: &'a Bench<'a>,
    name: FigureName,
    inputs: Inputs,
    skills: Vec<(f64, BenchmarkId)>,
    settings: Vec<Setting>,
}

impl<'a> Three<'a> {
    pub(super) fn new(bench: &'a Bench<'a>, name: FigureName) -> Result<Self, ExperimentError> {
        let manifest = bench.family.manifest;
        let mut skills = Vec::new();
        for (model, _) in MODELS {
            let skill = manifest.skill(model, name.id())?;
            let share = 1.0 / (MODELS.len() * skill.len()) as f64;
            skills.extend(skill.iter().map(|id| (share, id.clone())));
        }
        let mut settings: Vec<Setting> = Vec::new();
        let mut known: Vec<(Direction, Scale)> = Vec::new();
        for order in &manifest.three.orders {
            for &p in &manifest.three.p {
                for &scale in &manifest.three.scales {
                    let setting = Setting { order: order.clone(), p, scale };
                    let place = (setting.direction()?, scale);
                    if !known.contains(&place) {
                        known.push(place);
                        settings.push(setting);
                    }
                }
            }
        }
        let inputs = Inputs {
            base: Some(bench.family.model("base").clone()),
            models: MODELS.iter().map(|(model, _)| bench.family.model(model).clone()).collect(),
        };
        Ok(Self { bench, name, inputs, skills, settings })
    }

    /// Chooses the point and measures what the figure shows. `work` is told how many items that are, at most.
    pub(super) fn figure(&self, work: &dyn Fn(f64)) -> Result<Chart, ExperimentError> {
        let of_split = |split| self.skills.iter().map(|(_, id)| count(self.bench, id, split)).sum::<usize>();
        let looks = |settings: usize| self.bench.family.manifest.strategy.looks(settings);
        let bisectors: Vec<Setting> = self.settings.iter().filter(|s| s.p == 0.0).cloned().collect();
        let centred = if self.name == FigureName::Figure2 { looks(bisectors.len().max(1)) } else { 0.0 };
        let validation = (looks(self.settings.len()) + centred) * of_split(Split::Validation) as f64;
        work(validation + 3.0 * of_split(Split::Test) as f64);
        let best = self.chosen(&self.settings)?;
        let note =
            format!("{}, p = {}, s = {} of {} points", best.names(), best.p, best.scale, self.settings.len());
        self.bench.lab.watch().observe(&Event::Note { text: &note });
        match self.name {
            FigureName::Figure3 => self.orders(&best),
            FigureName::Figure4 => self.shares(&best),
            _ => self.fixed_and_free(&best, &bisectors),
        }
    }

    /// Figure 2: plain averaging, the bisector at its best s, and M³.
    fn fixed_and_free(&self, best: &Setting, bisectors: &[Setting]) -> Result<Chart, ExperimentError> {
        let mut rows =
            vec![self.measured("average", "average (p = 0, s = 1)", &Setting::average(), FIGURE2)?];
        if !bisectors.is_empty() {
            let tuned = self.chosen(bisectors)?;
            let name = format!("fixed direction, best s (p = 0, s = {})", tuned.scale);
            rows.push(self.measured("fixed", &name, &tuned, FIGURE2)?);
        }
        rows.push(self.measured("m3", &best.title(), best, FIGURE2)?);
        let title = "Figure 2: three models merged, fixed direction and M³";
        let block = self.block(rows.into_iter().map(|(line, _)| line).collect());
        Ok(bars(self.sheet(title, vec![block], FIGURE2_NOTES), &["cells"]))
    }

    /// Figure 3: the orders of dominance at one p and one s.
    fn orders(&self, best: &Setting) -> Result<Chart, ExperimentError> {
        let p = if best.p == 0.0 { 1.0 } else { best.p };
        let mut rows = Vec::new();
        for order in &self.bench.family.manifest.three.orders {
            let setting = Setting { order: order.clone(), p, scale: best.scale };
            rows.push(self.measured(&order.join(">"), &setting.names(), &setting, FIGURE3)?.0);
        }
        let title =
            format!("Figure 3: three models merged in {} orders, p = {p}, s = {}", rows.len(), best.scale);
        Ok(radar(self.sheet(&title, vec![self.block(rows)], FIGURE3_NOTES)))
    }

    /// Figure 4: shares over p, and the chosen (p, s) against plain averaging.
    fn shares(&self, best: &Setting) -> Result<Chart, ExperimentError> {
        let (average, before) =
            self.measured("average", "average (p = 0, s = 1)", &Setting::average(), FIGURE4)?;
        let (m3, after) = self.measured("m3", &best.title(), best, FIGURE4)?;
        let gains = before.iter().zip(&after).zip(&self.skills).map(|((before, after), (_, id))| {
            gain(after, before, published(FIGURE4_GAINS, "gain", id.as_str()))
        });
        let point = best.point()?;
        let labels = m3.labels.clone();
        let gains = Line { id: "gain".into(), labels, point, cells: gains.collect(), remark: None };
        let blocks = vec![
            Block { about: "(b) per cent of the test split".into(), ..self.block(vec![average, m3]) },
            Block {
                name: "gains",
                about: "What the chosen point is ahead of plain averaging, paired:".into(),
                legend: vec!["Differences in points, (published), [95 % interval].".into()],
                ..self.block(vec![gains])
            },
            self.weights(),
        ];
        let title = "Figure 4: direction and magnitude of three merged models";
        Ok(bars(self.sheet(title, blocks, FIGURE4_NOTES), &["weights", "cells"]))
    }

    /// Shares of the models over p, for the first order.
    fn weights(&self) -> Block {
        let manifest = self.bench.family.manifest;
        let ranks = manifest.three.orders.first().into_iter().flatten().enumerate();
        let id = |p: &f64| format!("p={p}");
        let row = |(rank, name): (usize, &String)| {
            let title = MODELS.iter().find(|(n, _)| n == name).map_or(name.as_str(), |(_, title)| title);
            let cell = |p: &f64| {
                let share = Direction::p_series(MODELS.len(), *p).weights().get(rank).copied().unwrap_or(0.0);
                let row = format!("rank{}", rank + 1);
                Entry {
                    ours: Some(Amount::score(100.0 * share, None, 0)),
                    published: published(FIGURE4_WEIGHTS, &row, &id(p)),
                    mark: None,
                }
            };
            Line {
                id: format!("rank{}", rank + 1),
                labels: vec![title.to_owned()],
                point: Point::default(),
                cells: manifest.three.p.iter().map(cell).collect(),
                remark: None,
            }
        };
        Block {
            name: "weights",
            about: "(a) share of each model in the direction over p, in per cent".into(),
            labels: vec!["Model"],
            columns: manifest.three.p.iter().map(|p| Heading::new(&id(p), &format!("p = {p}"))).collect(),
            rows: ranks.map(row).collect(),
            legend: Vec::new(),
        }
    }

    /// The best of some points, on the validation split.
    fn chosen(&self, settings: &[Setting]) -> Result<Setting, ExperimentError> {
        let candidates: Vec<Candidate> =
            settings.iter().map(Setting::candidate).collect::<Result<_, ExperimentError>>()?;
        let strategy = &self.bench.family.manifest.strategy;
        let campaign = Campaign::run::<ExperimentError>(&candidates, strategy, &mut Mean(self))?;
        Ok(settings[campaign.winner].clone())
    }

    fn merged(&self, candidate: &Candidate) -> Result<Model, ExperimentError> {
        let recipe = Recipe {
            sparsify: Vec::new(),
            combine: Combine::TaskArithmetic,
            base: Some(self.bench.family.model("base").origin().to_string()),
            models: MODELS
                .iter()
                .map(|(name, _)| self.bench.family.model(name).origin().to_string())
                .collect(),
            proportion: Some(DirectionLaw::Fixed { weights: candidate.direction.clone() }),
            scale: candidate.scale,
            dtype: None,
            vocabulary: Vocabulary::Equal,
        };
        Model::merged(&recipe, &self.inputs, &self.bench.family.surveys, self.bench.lab.watch())
    }

    fn evaluations(
        &self,
        candidate: &Candidate,
        split: Split,
        portion: &Portion,
    ) -> Result<Vec<Evaluation>, ExperimentError> {
        let mut subject = self.bench.lab.subject(&self.merged(candidate)?)?;
        let one = |(place, (_, id)): (usize, &(f64, BenchmarkId))| {
            let items = portion.of(place, &self.bench.items[&(id.clone(), split)]);
            self.bench.lab.evaluate(&mut subject, id, &items)
        };
        self.skills.iter().enumerate().map(one).collect()
    }

    /// A row of the test split.
    fn measured(
        &self,
        id: &str,
        name: &str,
        setting: &Setting,
        theirs: &[PublishedPoint],
    ) -> Result<(Line, Vec<Evaluation>), ExperimentError> {
        let found = self.evaluations(&setting.candidate()?, Split::Test, &Portion::Share(1.0))?;
        let cells = found.iter().map(|e| entry(e, published(theirs, id, e.benchmark.as_str()))).collect();
        let point = setting.point()?;
        let lambda: Vec<String> = point.lambda.iter().map(|l| format!("{l:.2}")).collect();
        let labels = vec![name.to_owned(), lambda.join(" "), setting.scale.to_string()];
        Ok((Line { id: id.to_owned(), labels, point, cells, remark: None }, found))
    }

    fn block(&self, rows: Vec<Line>) -> Block {
        Block {
            name: "cells",
            about: String::new(),
            labels: vec!["Merge", "λ of LM, Math, Code", "s"],
            columns: self.skills.iter().map(|(_, id)| heading(id)).collect(),
            rows,
            legend: vec![
                "Each cell: ours in per cent, (published), [95 % interval], n items. p and s are chosen by the mean of the three skills \
                 on the validation split."
                    .to_owned(),
            ],
        }
    }

    fn sheet(&self, title: &str, blocks: Vec<Block>, notes: &[&str]) -> Sheet {
        let manifest = self.bench.family.manifest;
        Sheet {
            name: self.name.id().to_owned(),
            title: title.to_owned(),
            suite: manifest.name.clone(),
            notice: manifest.notice.clone(),
            blocks,
            footnotes: notes.iter().map(|note| (*note).to_owned()).collect(),
        }
    }
}

/// The mean of the three skills on the validation split.
struct Mean<'a>(&'a Three<'a>);

impl Objective for Mean<'_> {
    fn measure(&mut self, candidate: &Candidate, portion: &Portion) -> Result<Scores, ObjectiveError> {
        let found = self.0.evaluations(candidate, Split::Validation, portion);
        let found = found.map_err(|e| ObjectiveError(Box::new(e)))?;
        Ok(Scores(self.0.skills.iter().zip(&found).map(|((weight, _), e)| (*weight, e.values())).collect()))
    }
}
