//! Logits of small models of every kind that the engine runs, against transformers' (`scripts/golden/engine_logits.py`).

use crate::tiny_model::{random_weights, write_folder};
use base64::Engine as _;
use m3::checkpoint::Folder;
use m3::completion::Complete;
use m3::engine::{Device, Engine, EngineSettings, ReferenceEngine};
use serde_json::Value;

/// Difference allowed between two f32 implementations' logits, whose size is about 1: sums of some hundred terms in
/// another order, through two layers.
const LOGIT_TOLERANCE: f32 = 2e-5;

fn cases() -> Vec<Value> {
    let golden: Value = serde_json::from_str(include_str!("../golden/engine_logits.json")).unwrap();
    golden["cases"].as_array().unwrap().clone()
}

fn number(value: &Value) -> usize {
    usize::try_from(value.as_u64().unwrap()).unwrap()
}

/// The model of a case, in a folder.
fn write(case: &Value, folder: &std::path::Path) {
    let tensors = case["tensors"].as_array().unwrap().iter().map(|tensor| {
        let name = tensor[0].as_str().unwrap().to_owned();
        let shape: Vec<usize> = tensor[1].as_array().unwrap().iter().map(number).collect();
        let weights = random_weights(&name, tensor[2].as_u64().unwrap(), &shape);
        (name, shape, weights)
    });
    write_folder(folder, &case["config"].to_string(), tensors);
}

#[test]
fn logits_of_every_kind_of_model_are_those_of_transformers() {
    let cases = cases();
    assert_eq!(cases.len(), 12);
    for case in cases {
        let dir = tempfile::tempdir().unwrap();
        write(&case, dir.path());
        let folder = Folder::open(dir.path()).unwrap();
        let settings = EngineSettings::default();
        let engines = [
            Engine::load(&folder, folder.companions(), &settings).unwrap(),
            Engine::load_on(&Device::host(), &folder, folder.companions(), &settings).unwrap(),
        ];
        let tokens: Vec<u32> = case["tokens"].as_array().unwrap().iter().map(|t| number(t) as u32).collect();
        let bytes = base64::prelude::BASE64_STANDARD.decode(case["logits"].as_str().unwrap()).unwrap();
        let want: Vec<f32> = bytes.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
        let stride = number(&case["stride"]);
        let row = want.len() / tokens.len();
        for mut engine in engines {
            let mut farthest = 0.0f32;
            for (last, want) in want.chunks(row).enumerate() {
                let got = engine.logits(&tokens[..=last]).unwrap();
                let got = got.iter().step_by(stride);
                assert_eq!(got.len(), row);
                farthest = got.zip(want).map(|(a, b)| (a - b).abs()).fold(farthest, f32::max);
            }
            // Once more in one piece, when nothing is known of it.
            engine.exchange(&folder).unwrap();
            let again = engine.logits(&tokens).unwrap();
            let (last, again) = (want.chunks(row).last().unwrap(), again.iter().step_by(stride));
            farthest = again.zip(last).map(|(a, b)| (a - b).abs()).fold(farthest, f32::max);
            assert!(
                farthest <= LOGIT_TOLERANCE,
                "{} is {farthest} away in {}",
                case["name"],
                engine.numerics()
            );
        }
    }
}

#[test]
fn the_kinds_differ() {
    // Ropes and windows mean something within these few tokens, so that the comparison above is one.
    let cases = cases();
    let logits = |name: &str, as_if: &str| {
        let find = |name: &str| cases.iter().find(|c| c["name"] == name).unwrap().clone();
        let mut case = find(name);
        case["config"] = find(as_if)["config"].clone();
        let dir = tempfile::tempdir().unwrap();
        write(&case, dir.path());
        let folder = Folder::open(dir.path()).unwrap();
        let mut engine = Engine::load(&folder, folder.companions(), &EngineSettings::default()).unwrap();
        engine.logits(&(0..24).map(|i| i * 37 % 300).collect::<Vec<u32>>()).unwrap()
    };
    for (name, as_if) in [
        ("linear", "plain"),
        ("llama3", "plain"),
        ("yarn", "plain"),
        ("yarn_stated", "yarn"),
        ("plain", "mistral_window"),
    ] {
        let (right, wrong) = (logits(name, name), logits(name, as_if));
        let far = right.iter().zip(&wrong).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(far > 1000.0 * LOGIT_TOLERANCE, "{name} as {as_if} is {far} away");
    }
}

#[test]
fn the_reference_says_what_it_lacks() {
    for (name, lacks) in
        [("biases", "biases"), ("yarn", "ropes"), ("mistral_window", "windows"), ("wide_heads", "head_dim")]
    {
        let case = cases().into_iter().find(|c| c["name"] == name).unwrap();
        let dir = tempfile::tempdir().unwrap();
        write(&case, dir.path());
        let folder = Folder::open(dir.path()).unwrap();
        let error =
            ReferenceEngine::load(&folder, folder.companions(), &EngineSettings::default()).unwrap_err();
        assert!(error.to_string().contains(lacks), "{error}");
    }
}
