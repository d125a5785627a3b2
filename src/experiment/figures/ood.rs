//! Pairs on what neither model was fine-tuned for (paper, section 4.5, Figure 5). The direction of M³ is the one that Table 1
//! chooses, on the validation split of the pair's skills.

use super::super::manifest::PAIRS;
use super::super::pairing::Pairing;
use super::super::table1::Bench;
use super::super::{ExperimentError, Model};
use super::{FigureName, count, entry, gain, heading};
use crate::bench::Split;
use crate::evaluate::Evaluation;
use crate::ids::BenchmarkId;
use crate::report::{
    Block, Chart, Entry, FIGURE5_GAINS, FIGURE5_NOTES, Heading, Line, Method, Point, Sheet, bars, published,
};

const NAME: &str = FigureName::Figure5.id();
/// The methods of the figure, with their names in row ids.
const METHODS: [(Method, &str); 2] = [(Method::TaskArithmetic, "task_arithmetic"), (Method::Ties, "ties")];

pub(super) fn figure(bench: &Bench<'_>, work: &dyn Fn(f64)) -> Result<Chart, ExperimentError> {
    let manifest = bench.family.manifest;
    let mut columns: Vec<([&'static str; 2], BenchmarkId)> = Vec::new();
    for pair in PAIRS {
        let outside = manifest.outside(&pair.join("+"), NAME)?;
        columns.extend(outside.iter().map(|id| (pair, id.clone())));
    }
    work(looks(bench, &columns)?);
    let mut rows: Vec<Line> =
        METHODS.iter().flat_map(|(method, id)| [row(*method, id, false), row(*method, id, true)]).collect();
    let mut gains = Vec::new();
    for (m, (method, method_id)) in METHODS.into_iter().enumerate() {
        for pair in PAIRS {
            let pairing = Pairing { method, dare: false, pair };
            let (recipe, s) = pairing.baseline(&bench.family)?;
            let plain = pairing.model(&bench.family, &recipe, bench.lab.watch())?;
            let campaign = bench.search(pairing)?;
            let best = &campaign.best().candidate;
            let chosen = bench.merged(pairing, best)?;
            let lambda = best.direction.weights()[0];
            for (place, (_, id)) in columns.iter().filter(|(p, _)| *p == pair).enumerate() {
                let (without, with) = (tested(bench, &plain, id)?, tested(bench, &chosen, id)?);
                // The paper has one number for a pair: it stands beside the first of its benchmarks.
                let theirs = published(FIGURE5_GAINS, method_id, &pairing.name()).filter(|_| place == 0);
                rows[2 * m].cells.push(entry(&without, None));
                rows[2 * m + 1].cells.push(entry(&with, None));
                gains.push(Line {
                    id: format!("{}/{method_id}/{id}", pairing.name()),
                    labels: vec![
                        method.title().to_owned(),
                        pairing.name(),
                        id.to_string(),
                        format!("{s:.1}"),
                        format!("{lambda:.2}"),
                        best.scale.to_string(),
                    ],
                    point: Point {
                        lambda: vec![lambda],
                        published_lambda: None,
                        scale: Some(best.scale.get()),
                    },
                    cells: vec![gain(&with, &without, theirs)],
                    remark: None,
                });
            }
        }
    }
    let title_of = |(pair, id): &([&str; 2], BenchmarkId)| {
        let name = pair.join("+");
        Heading::new(&format!("{name}/{id}"), &format!("{name} on {}", heading(id).title))
    };
    let cells = Block {
        name: "cells",
        about: String::new(),
        labels: vec!["Method"],
        columns: columns.iter().map(title_of).collect(),
        rows,
        legend: vec!["Each cell: ours in per cent, [95 % interval], n items.".to_owned()],
    };
    let gains = Block {
        name: "gains",
        about: "What M³ is ahead of the same method without it, paired:".to_owned(),
        labels: vec!["Method", "Models", "Benchmark", "s without M³", "λ", "s"],
        columns: vec![Heading::new("gain", "ahead by")],
        rows: gains,
        legend: vec![
            "Differences in points, (published), [95 % interval]; λ is the share of the first model."
                .to_owned(),
        ],
    };
    let sheet = Sheet {
        name: NAME.to_owned(),
        title: "Figure 5: merged pairs on what neither model was fine-tuned for".to_owned(),
        suite: manifest.name.clone(),
        notice: manifest.notice.clone(),
        blocks: vec![cells, gains],
        footnotes: FIGURE5_NOTES.iter().map(|note| (*note).to_owned()).collect(),
    };
    Ok(bars(sheet, &["cells"]))
}

/// A row without cells.
fn row(method: Method, id: &str, m3: bool) -> Line {
    let (with, title) = if m3 { ("/m3", " + M³") } else { ("", "") };
    Line {
        id: format!("{id}{with}"),
        labels: vec![format!("{}{title}", method.title())],
        point: Point::default(),
        cells: Vec::<Entry>::new(),
        remark: None,
    }
}

fn tested(bench: &Bench<'_>, model: &Model, id: &BenchmarkId) -> Result<Evaluation, ExperimentError> {
    let mut subject = bench.lab.subject(model)?;
    bench.lab.evaluate(&mut subject, id, &bench.items[&(id.clone(), Split::Test)])
}

/// How many items are looked at, at most: each pair's search, and its benchmarks twice.
fn looks(bench: &Bench<'_>, columns: &[([&'static str; 2], BenchmarkId)]) -> Result<f64, ExperimentError> {
    let manifest = bench.family.manifest;
    let mut total = 0.0;
    for (method, _) in METHODS {
        for pair in PAIRS {
            let looks = manifest
                .strategy
                .looks(Pairing { method, dare: false, pair }.candidates(manifest, NAME)?.len());
            for name in pair {
                let skill = manifest.skill(name, NAME)?;
                total +=
                    looks * skill.iter().map(|id| count(bench, id, Split::Validation)).sum::<usize>() as f64;
            }
        }
        total += 2.0 * columns.iter().map(|(_, id)| count(bench, id, Split::Test)).sum::<usize>() as f64;
    }
    Ok(total)
}
