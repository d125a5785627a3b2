use super::*;
use crate::search::{CmaEs, Directions, Estimator, GaussianProcess, Race, Skill, Space};
use crate::units::Scale;

/// The candidates that a file without laws gives: each model alone and the bisector, at each magnitude.
fn begin(models: usize, scales: &[f64]) -> Vec<Candidate> {
    let scales = scales.iter().map(|s| Scale::new(*s).unwrap()).collect();
    Space { directions: Vec::new(), scales }.candidates(models).unwrap()
}

/// Two hundred items; one is right if it is easier than the candidate is good, so that figures are in steps of 0.5 %.
fn scores(skill: f64) -> Scores {
    Scores(vec![(1.0, (0..200).map(|i| f64::from(u8::from((f64::from(i) + 0.5) / 200.0 < skill))).collect())])
}

/// Takes a study to its end, and says what was asked.
fn run(study: &mut Study, skill: &dyn Fn(&Candidate) -> f64) -> Vec<Candidate> {
    let mut asked = Vec::new();
    while let Some(ask) = study.ask() {
        assert_eq!(study.ask().as_ref(), Some(&ask), "asked twice it says the same");
        asked.push(ask.candidate.clone());
        let scores = scores(skill(&ask.candidate));
        study.tell(ask, scores);
    }
    asked
}

fn process(trials: usize, seed: u64) -> Strategy {
    Strategy::GaussianProcess(GaussianProcess { trials, seed, ..GaussianProcess::default() })
}

fn evolution(trials: usize, seed: u64) -> Strategy {
    Strategy::CmaEs(CmaEs { trials, seed, ..CmaEs::default() })
}

/// A ridge with its peak at λ = 0.37, s = 1.3.
fn hill(c: &Candidate) -> f64 {
    let (l, s) = (c.direction.weights()[0], c.scale.get());
    0.9 - 1.5 * (l - 0.37).powi(2) - 0.4 * (s - 1.3).powi(2)
}

/// Three models; the peak is on an edge, where the third has no share.
fn edge(c: &Candidate) -> f64 {
    let w = c.direction.weights();
    0.8 - (w[0] - 0.7).powi(2) - (w[1] - 0.3).powi(2) - 0.8 * w[2]
}

#[test]
fn proposals_come_near_the_optimum_of_known_functions() {
    for seed in 0..3 {
        for (strategy, near) in [(process(30, seed), 0.006), (evolution(60, seed), 0.012)] {
            let mut study = Study::new(begin(2, &[0.5, 2.0]), &strategy, Aim::Mean).unwrap();
            run(&mut study, &hill);
            let best = &study.trials()[study.winner().unwrap()].candidate;
            assert!(hill(best) > 0.9 - near, "{}, seed {seed}: {best}", strategy.name());
        }
        for (strategy, near) in [(process(30, seed), 0.012), (evolution(70, seed), 0.02)] {
            let mut study = Study::new(begin(3, &[1.0]), &strategy, Aim::Mean).unwrap();
            run(&mut study, &edge);
            let best = &study.trials()[study.winner().unwrap()].candidate;
            assert!(edge(best) > 0.8 - near, "{}, seed {seed}: {best}", strategy.name());
        }
    }
}

#[test]
fn a_process_needs_fewer_trials_than_random_draws() {
    // The best of thirty Dirichlet draws at random magnitudes, on average over seeds, is further from the peak.
    let region = Region::around(&begin(2, &[0.5, 2.0]));
    let (mut by_process, mut by_chance) = (0.0, 0.0);
    for seed in 0..4 {
        let mut study = Study::new(begin(2, &[0.5, 2.0]), &process(24, seed), Aim::Mean).unwrap();
        run(&mut study, &hill);
        by_process += hill(&study.trials()[study.winner().unwrap()].candidate);
        let mut stream = Stream::new(seed, "chance", 0);
        let draws = (0..24).map(|_| region.candidate(&region.draw(&mut stream, 1.0)).unwrap());
        by_chance += draws.map(|c| hill(&c)).fold(0.0, f64::max);
    }
    assert!(by_process > by_chance, "{by_process} {by_chance}");
}

#[test]
fn the_same_seed_asks_the_same_and_another_one_something_else() {
    for of in [process, evolution] {
        let asked =
            |seed| run(&mut Study::new(begin(3, &[1.0, 1.5]), &of(30, seed), Aim::Mean).unwrap(), &hill);
        assert_eq!(asked(1), asked(1));
        assert_ne!(asked(1), asked(2));
        let all = asked(1);
        assert!(all.iter().enumerate().all(|(i, c)| !all[..i].iter().any(|d| same(c, d))), "nothing twice");
    }
}

#[test]
fn written_down_after_any_answer_it_asks_what_it_would_have_asked() {
    let full = Strategy::default();
    for strategy in [process(16, 3), evolution(24, 3), Strategy::Race(Race::default()), full] {
        let grid =
            Space { directions: vec![Directions::Grid { steps: 8 }], scales: vec![Scale::new(1.0).unwrap()] };
        let candidates = grid.candidates(2).unwrap();
        let whole = run(&mut Study::new(candidates.clone(), &strategy, Aim::Mean).unwrap(), &hill);
        let mut study = Study::new(candidates, &strategy, Aim::Mean).unwrap();
        let mut asked = Vec::new();
        while let Some(ask) = study.ask() {
            asked.push(ask.candidate.clone());
            let scores = scores(hill(&ask.candidate));
            study.tell(ask, scores);
            let text = serde_json::to_string(&study).unwrap();
            study = serde_json::from_str(&text).unwrap();
        }
        assert_eq!(asked, whole, "{}", strategy.name());
    }
}

#[test]
fn a_front_is_looked_for_along_its_whole_length() {
    let skill = |name: &str, part| Skill { name: name.into(), parts: vec![part], best: 1.0 };
    let aim = Aim::Pareto(vec![skill("a", 0), skill("b", 1)]);
    let mut study = Study::new(begin(2, &[1.0]), &process(24, 1), aim.clone()).unwrap();
    while let Some(ask) = study.ask() {
        // The more of one, the less of the other: every λ is on the front.
        let l = ask.candidate.direction.weights()[0];
        let both = [l.sqrt(), (1.0 - l).sqrt()].map(|skill| scores(skill).0.remove(0)).to_vec();
        study.tell(ask, Scores(both));
    }
    let all: Vec<Option<&Scores>> = study.trials().iter().map(|trial| Some(&trial.scores)).collect();
    let mut front: Vec<f64> =
        aim.front(&all).iter().map(|i| study.trials()[*i].candidate.direction.weights()[0]).collect();
    front.sort_by(f64::total_cmp);
    assert!(front.len() > 12, "{front:?}");
    let gap = front.windows(2).map(|pair| pair[1] - pair[0]).fold(0.0, f64::max);
    assert!(gap < 0.3, "{front:?}");
}

/// Takes a study to its end, and says on how many items each answer was; written down after each.
fn run_on_some(mut study: Study, skill: &dyn Fn(&Candidate) -> f64) -> (Study, Vec<(Candidate, usize)>) {
    let mut asked = Vec::new();
    while let Some(ask) = study.ask() {
        let values = ask.portion.of(0, &scores(skill(&ask.candidate)).0[0].1);
        asked.push((ask.candidate.clone(), values.len()));
        study.tell(ask, Scores(vec![(1.0, values)]));
        study = serde_json::from_str(&serde_json::to_string(&study).unwrap()).unwrap();
    }
    (study, asked)
}

#[test]
fn candidates_on_some_items_ask_a_fraction_and_the_winner_has_a_full_figure() {
    let grid =
        Space { directions: vec![Directions::Grid { steps: 20 }], scales: vec![Scale::new(1.3).unwrap()] };
    for estimator in [Estimator::Anchors, Estimator::Irt] {
        let process = GaussianProcess { trials: 24, seed: 2, items: 30, estimator };
        let evolution = CmaEs { trials: 40, seed: 2, items: 30, estimator, ..CmaEs::default() };
        for (strategy, candidates, whole) in [
            (Strategy::GaussianProcess(process), begin(2, &[0.5, 2.0]), 6),
            (Strategy::CmaEs(evolution), begin(2, &[0.5, 2.0]), 6),
            (
                Strategy::Full(Full { items: 30, estimator, in_full: 5, seed: 1 }),
                grid.candidates(2).unwrap(),
                5,
            ),
        ] {
            let new = || Study::new(candidates.clone(), &strategy, Aim::Mean).unwrap();
            let (study, asked) = run_on_some(new(), &hill);
            let trials = study.trials().len();
            let some = asked.iter().filter(|(_, items)| *items == 30).count();
            assert!(asked[..whole].iter().all(|(_, items)| *items == 200), "{asked:?}");
            assert_eq!(some, trials - whole);
            assert!(asked.len() - some - whole <= CONFIRMED, "{asked:?}");
            let winner = &study.trials()[study.winner().unwrap()];
            assert!(!winner.estimated && hill(&winner.candidate) > 0.85, "{}", winner.candidate);
            assert_eq!(winner.scores, scores(hill(&winner.candidate)));
            assert!(study.reduction().unwrap().error() < 0.1);
            // Never written down it asks the same.
            let mut whole = new();
            for (candidate, _) in &asked {
                let ask = whole.ask().unwrap();
                assert_eq!(ask.candidate, *candidate, "{}", strategy.name());
                let values = ask.portion.of(0, &scores(hill(candidate)).0[0].1);
                whole.tell(ask, Scores(vec![(1.0, values)]));
            }
            assert_eq!(whole.ask(), None);
            assert_eq!(whole, study);
        }
    }
}

#[test]
fn a_list_on_some_items_begins_with_each_model_alone_and_ends_with_the_best_of_all() {
    let grid = Space {
        directions: vec![Directions::Grid { steps: 20 }],
        scales: [0.5, 1.3].map(|s| Scale::new(s).unwrap()).to_vec(),
    };
    let full = Full { items: 40, in_full: 6, ..Full::default() };
    let study = Study::new(grid.candidates(2).unwrap(), &Strategy::Full(full), Aim::Mean).unwrap();
    let (study, asked) = run_on_some(study, &hill);
    assert_eq!(study.trials().len(), 2 * 21, "no other candidates");
    let first: Vec<(f64, f64)> =
        asked[..4].iter().map(|(c, _)| (c.direction.weights()[0], c.scale.get())).collect();
    assert_eq!(first, [(1.0, 0.5), (0.0, 1.3), (0.0, 0.5), (1.0, 1.3)], "the corners");
    let best = study.trials().iter().map(|t| hill(&t.candidate)).fold(0.0, f64::max);
    let won = hill(&study.trials()[study.winner().unwrap()].candidate);
    assert!(won > best - 0.02, "{won} {best}");
    // Few enough are all measured in full, and no items are chosen.
    let all = Full { items: 40, in_full: 42, ..Full::default() };
    let study = Study::new(grid.candidates(2).unwrap(), &Strategy::Full(all), Aim::Mean).unwrap();
    let (study, asked) = run_on_some(study, &hill);
    assert!(asked.iter().all(|(_, items)| *items == 200) && study.reduction().is_none());
}

#[test]
fn what_cannot_be_searched_is_refused() {
    let new = |candidates, strategy, aim| Study::new(candidates, &strategy, aim).unwrap_err().to_string();
    assert!(new(begin(1, &[1.0]), process(9, 0), Aim::Mean).contains("nothing to look for"));
    assert!(new(begin(3, &[1.0]), process(3, 0), Aim::Mean).contains("`trials` of the strategy is 3"));
    assert!(new(begin(2, &[1.0]), process(0, 0), Aim::Mean).contains("between 1 and 300"));
    let sigma = Strategy::CmaEs(CmaEs { sigma: 0.0, ..CmaEs::default() });
    assert!(new(begin(2, &[1.0]), sigma, Aim::Mean).contains("`sigma`"));
    let few = Strategy::GaussianProcess(GaussianProcess { items: 5, ..GaussianProcess::default() });
    assert!(new(begin(1, &[1.0, 2.0]), few, Aim::Mean).contains("`items`"));
    let few = Strategy::Full(Full { items: 5, ..Full::default() });
    assert!(new(begin(1, &[1.0, 2.0]), few, Aim::Mean).contains("`items`"));
    let few = Strategy::Full(Full { items: 5, in_full: 2, ..Full::default() });
    assert!(
        new(begin(2, &[1.0, 2.0]), few, Aim::Mean).contains("`in_full` of the strategy must be at least 3")
    );
    let race = Strategy::Race(Race { items: 5, ..Race::default() });
    assert!(new(begin(2, &[1.0]), race, Aim::Mean).contains("`race` does not go with `items`"));
    for strategy in [Strategy::Race(Race::default()), evolution(9, 0)] {
        assert!(new(begin(2, &[1.0]), strategy, Aim::Pareto(Vec::new())).contains("a front has none"));
    }
}
