//! A pair by task arithmetic over λ × s, on a share of the validation split, and where the search of Table 1 looked on it.

use super::super::ExperimentError;
use super::super::manifest::{Landscape, PAIRS};
use super::super::pairing::Pairing;
use super::super::table1::Bench;
use super::{FigureName, count};
use crate::bench::Split;
use crate::ids::BenchmarkId;
use crate::merge::{Direction, DirectionLaw};
use crate::report::{
    Amount, Block, CHOSEN, Chart, Entry, Heading, Line, Method, Point, Sheet, landscape as drawn,
};
use crate::search::Candidate;
use crate::statistics::{Estimate, mean_of};
use crate::units::Lambda;

const NAME: &str = FigureName::Landscape.id();

pub(super) fn figure(bench: &Bench<'_>, work: &dyn Fn(f64)) -> Result<Chart, ExperimentError> {
    let manifest = bench.family.manifest;
    let Landscape { pair, steps, scales, share } = &manifest.landscape;
    let pair = PAIRS.into_iter().find(|known| known.join("+") == *pair).unwrap_or(PAIRS[0]);
    let pairing = Pairing { method: Method::TaskArithmetic, dare: false, pair };
    let mut skills: Vec<(f64, BenchmarkId)> = Vec::new();
    for name in pair {
        let skill = manifest.skill(name, NAME)?;
        skills.extend(skill.iter().map(|id| (0.5 / skill.len() as f64, id.clone())));
    }
    let lambdas: Vec<f64> = (0..=*steps).map(|i| f64::from(i) / f64::from(*steps)).collect();
    let all = skills.iter().map(|(_, id)| count(bench, id, Split::Validation)).sum::<usize>() as f64;
    let looks = manifest.strategy.looks(pairing.candidates(manifest, NAME)?.len());
    work(all * (looks + share * (lambdas.len() * scales.len()) as f64));

    let mut rows = Vec::new();
    for scale in scales {
        let mut cells = Vec::new();
        for lambda in &lambdas {
            let Ok(lambda) = Lambda::new(*lambda) else { continue };
            let direction = Direction::pair(lambda);
            let law = DirectionLaw::Fixed { weights: direction.clone() };
            let model = bench.merged(pairing, &Candidate { law, direction, scale: *scale })?;
            let mut subject = bench.lab.subject(&model)?;
            let mut values = Vec::new();
            for (weight, id) in &skills {
                let items = &bench.items[&(id.clone(), Split::Validation)];
                let first = &items[..(share * items.len() as f64).ceil() as usize];
                values.push((*weight, bench.lab.evaluate(&mut subject, id, first)?.values()));
            }
            let parts: Vec<(f64, &[f64])> = values.iter().map(|(w, v)| (*w, v.as_slice())).collect();
            let found = per_cent(mean_of(&parts));
            // One item alone says nothing of how items differ.
            let ci95 = found.ci95.filter(|_| parts.iter().all(|(_, values)| values.len() > 1));
            cells.push(Entry::ours(Amount { ci95, ..found }));
        }
        rows.push(Line {
            id: format!("s={scale}"),
            labels: vec![scale.to_string()],
            point: Point { lambda: Vec::new(), published_lambda: None, scale: Some(scale.get()) },
            cells,
            remark: None,
        });
    }
    let heading = |lambda: &f64| Heading::new(&format!("lambda={lambda}"), &format!("λ = {lambda:.2}"));
    let field = Block {
        name: "cells",
        about: String::new(),
        labels: vec!["s"],
        columns: lambdas.iter().map(heading).collect(),
        rows,
        legend: vec![format!(
            "Mean of the skills of {} in per cent, [95 % interval], n items: the first {:.0} % of the validation split.",
            pairing.name(),
            100.0 * share
        )],
    };
    let sheet = Sheet {
        name: NAME.to_owned(),
        title: format!("Landscape: {} by task arithmetic over direction λ and magnitude s", pairing.name()),
        suite: manifest.name.clone(),
        notice: manifest.notice.clone(),
        blocks: vec![field, candidates(bench, pairing)?],
        footnotes: Vec::new(),
    };
    Ok(drawn(sheet, &lambdas))
}

/// What the search measured.
fn candidates(bench: &Bench<'_>, pairing: Pairing) -> Result<Block, ExperimentError> {
    let campaign = bench.search(pairing)?;
    let row = |(place, measured): (usize, &crate::search::Measured)| {
        let (lambda, scale) = (measured.candidate.direction.weights()[0], measured.candidate.scale);
        let fitness = measured.fitness;
        let found = Estimate { value: fitness.value, half_width: fitness.half_width, n: fitness.items };
        let mark = if place == campaign.winner { CHOSEN } else { "" };
        Line {
            id: format!("candidate{}", place + 1),
            labels: vec![format!("{lambda:.3}"), scale.to_string(), mark.to_owned()],
            point: Point { lambda: vec![lambda], published_lambda: None, scale: Some(scale.get()) },
            cells: vec![Entry::ours(per_cent(found))],
            remark: None,
        }
    };
    Ok(Block {
        name: "candidates",
        about: "The candidates of the search, on as many items as each came to:".to_owned(),
        labels: vec!["λ", "s", ""],
        columns: vec![Heading::new("validation", "validation")],
        rows: campaign.measured.iter().enumerate().map(row).collect(),
        legend: Vec::new(),
    })
}

fn per_cent(found: Estimate) -> Amount {
    let range = ((found.value - found.half_width).max(0.0), (found.value + found.half_width).min(1.0));
    Amount::score(100.0 * found.value, Some((100.0 * range.0, 100.0 * range.1)), found.n)
}
