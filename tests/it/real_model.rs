//! A real checkpoint against what transformers said with the same weights. Runs where `M3_SHARED` has the reference data and
//! `scripts/fetch_smollm2.py` has fetched the model into `models/real/smollm2-135m`; says so elsewhere.
#![expect(clippy::print_stderr, reason = "says what was measured, or why nothing was")]

use m3::checkpoint::Folder;
use m3::engine::{Engine, EngineSettings, Precision};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// transformers' margin between the two largest logits under which another order of summation may turn them round.
const NEAR_TIE: f64 = 0.05;

/// The reference rows and the model, where both are there.
fn material() -> Option<(Vec<Value>, PathBuf)> {
    let rows = PathBuf::from(std::env::var_os("M3_SHARED")?).join("parity/smollm2_greedy_visible.json");
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/real/smollm2-135m");
    if !rows.exists() || !model.exists() {
        return None;
    }
    let text = std::fs::read_to_string(rows).unwrap();
    let parsed: Value = serde_json::from_str(&text).unwrap();
    Some((parsed["rows"].as_array().unwrap().clone(), model))
}

fn ids(row: &Value, key: &str) -> Vec<u32> {
    row[key].as_array().unwrap().iter().map(|id| u32::try_from(id.as_u64().unwrap()).unwrap()).collect()
}

/// Of the tokens that transformers chose, in the contexts that it chose them in: how many we choose too, of how many; and how
/// often we differ although it had no near-tie.
fn agreement(precision: Precision) -> Option<(usize, usize, usize)> {
    let (rows, model) = material()?;
    let folder = Folder::open(&model).unwrap();
    let settings = EngineSettings { precision, ..EngineSettings::default() };
    let mut engine = Engine::load(&folder, folder.companions(), &settings).unwrap();
    let (mut same, mut all, mut odd) = (0, 0, 0);
    for row in rows {
        let mut context = ids(&row, "prompt_token_ids");
        let margins = row["margin"].as_array().unwrap();
        for (token, margin) in ids(&row, "tokens").into_iter().zip(margins) {
            let logits = engine.logits(&context).unwrap();
            let top = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let agrees = logits.iter().position(|&l| l == top) == Some(token as usize);
            all += 1;
            same += usize::from(agrees);
            odd += usize::from(!agrees && margin.as_f64().unwrap() >= NEAR_TIE);
            context.push(token);
        }
    }
    Some((same, all, odd))
}

#[test]
fn tokens_are_those_of_transformers_but_for_near_ties() {
    let Some((same, all, odd)) = agreement(Precision::Source) else {
        eprintln!("skipped: M3_SHARED or models/real/smollm2-135m is not there");
        return;
    };
    eprintln!("{same} of {all} tokens");
    assert!(all >= 1000 && odd == 0, "{odd} of {all} tokens differ without a near-tie, {same} agree");
}

#[test]
fn weights_in_bfloat16_seldom_change_a_token() {
    let Some((same, all, _)) = agreement(Precision::Bf16) else {
        eprintln!("skipped: M3_SHARED or models/real/smollm2-135m is not there");
        return;
    };
    eprintln!("{same} of {all} tokens");
    assert!(same * 100 >= all * 95, "{same} of {all} tokens agree");
}
