//! The jobs of Tables 2, 5 and 6: three pairs, without and with M³, attacked on SST-2 and CoLA. The direction of M³ is the one
//! that Table 1 chooses, on the validation split of the pair's skills.

use super::attack::{Attacked, Target, attack};
use super::pairing::{Family, Pairing};
use super::progress::Whole;
use super::table1::Bench;
use super::{ExperimentError, Lab, LabSettings, Manifest, Model};
use crate::attack::{Attack, Resources, Rules};
use crate::bench::Split;
use crate::checkpoint::OpenOptions;
use crate::event::{Event, Observer, Silent};
use crate::ids::BenchmarkId;
use crate::report::{AttackRow, AttackTable, Method, PublishedAttack, PublishedAttacks};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::time::Instant;

const DATA: [&str; 2] = ["sst2", "cola"];

/// Reproduces a table of attacks by the paper's profile. `resources` are what the attack uses beside the prompt.
pub fn attack_table(
    published: &PublishedAttacks,
    manifest: &Manifest,
    settings: LabSettings,
    options: &OpenOptions<'_>,
    resources: &Resources,
    watch: &dyn Observer,
) -> Result<AttackTable, ExperimentError> {
    // Everything that can be wrong is found before the first model runs.
    let name = published.attack.parse()?;
    let family = Family::open(manifest, &["base", "lm", "math", "code"], published.name, options)?;
    let mut ids: Vec<BenchmarkId> = manifest.skills.values().flatten().cloned().collect();
    ids.extend(DATA.map(BenchmarkId::from));
    let whole = Whole::new(watch);
    let lab = Lab::open(settings, &ids, &whole)?;
    let mut jobs = BTreeMap::new();
    for data in DATA {
        let target = Target::new(&lab, &data.into(), Split::Test, None)?;
        let protected = Rules::PAPER.protected(&target.labels);
        jobs.insert(data, (Attack::new(name, Rules::PAPER, &protected, resources)?.askable(), target));
    }
    let mut items = BTreeMap::new();
    for id in manifest.skills.values().flatten() {
        items.insert((id.clone(), Split::Validation), lab.items(id, Split::Validation)?);
    }
    let looks = manifest.strategy.looks(manifest.search.candidates(2)?.len());
    // Clean and worst prompt are looked up once more at the end of each attack.
    let asked: usize =
        jobs.values().map(|(attack, target)| (attack.most_queries(&target.prompt) + 2) * target.len()).sum();
    let chosen: usize = items.values().map(Vec::len).sum();
    let total = published.rows.len() / DATA.len() * asked + (2.0 * looks * chosen as f64) as usize;
    let bench = Bench { family, lab: &lab, items, referee: None };
    let begun = Instant::now();
    watch.observe(&Event::Started { work: published.name, total: Some(total as u64), unit: "items" });
    let mut merged: BTreeMap<(&str, bool), (Model, f64, f64)> = BTreeMap::new();
    let mut rows = Vec::new();
    for row in &published.rows {
        let (model, lambda, scale) = match merged.entry((row.models, row.m3)) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(open) => open.insert(direction(&bench, row)?),
        };
        let (job, target) = &jobs[row.benchmark];
        let mut subject = lab.subject(model)?;
        let found = attack(&lab, &mut subject, target, job, 0, None, &Silent)?;
        rows.push(in_per_cent(row, found, *lambda, *scale));
    }
    watch.observe(&Event::Finished { took: begun.elapsed() });
    Ok(AttackTable {
        table: published.name,
        suite: manifest.name.clone(),
        notice: manifest.notice.clone(),
        attack: published.attack,
        rows,
        footnotes: published.footnotes,
    })
}

/// The merge of a row, with its λ and s: all tables of attacks are of task arithmetic (paper, appendix F).
fn direction(bench: &Bench<'_>, row: &PublishedAttack) -> Result<(Model, f64, f64), ExperimentError> {
    let (a, b) = row.models.split_once('+').unwrap_or((row.models, row.models));
    let pairing = Pairing { method: Method::TaskArithmetic, dare: false, pair: [a, b] };
    if row.m3 {
        let campaign = bench.search(pairing)?;
        let best = &campaign.best().candidate;
        return Ok((bench.merged(pairing, best)?, best.direction.weights()[0], best.scale.get()));
    }
    let (recipe, s) = pairing.baseline(&bench.family)?;
    Ok((pairing.model(&bench.family, &recipe, bench.lab.watch())?, 0.5, s))
}

fn in_per_cent(published: &PublishedAttack, found: Attacked, lambda: f64, scale: f64) -> AttackRow {
    let percent = |x: f64| 100.0 * x;
    let range = |ci: Option<(f64, f64)>| ci.map(|(low, high)| (percent(low), percent(high)));
    AttackRow {
        published: *published,
        lambda,
        scale,
        n: found.clean.n,
        clean: percent(found.clean.accuracy),
        clean_ci95: range(found.clean.ci95),
        invalid: found.clean.invalid,
        attacked: percent(found.attacked.accuracy),
        attacked_ci95: range(found.attacked.ci95),
        pdr: found.pdr.map(percent),
        pdr_ci95: range(found.pdr_ci95),
        at_or_below_chance: found.at_or_below_chance,
        edits: found.edits,
        runs: [found.clean.run, found.attacked.run],
    }
}
