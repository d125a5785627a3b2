//! `m3 search`: what it finds, keeps and refuses.

use crate::cli::{Project, home};
use serde_json::Value;

/// A search over the embedded family with this space and strategy.
fn quest(project: &Project, rest: &str) -> String {
    let model = |name: &str| home().join("models/tiny").join(name).to_str().unwrap().to_owned();
    let text = format!(
        "name = \"mix\"\nbase = {:?}\nmodels = [{:?}, {:?}]\nlimit = 8\n[objective]\ngsm8k = 1.0\nhumaneval = 3.0\n{rest}",
        model("base"),
        model("math"),
        model("code"),
    );
    project.write("mix.toml", &text).to_str().unwrap().to_owned()
}

const SPACE: &str = "[space]\ndirections = [{ law = \"grid\", steps = 4 }]\nscales = [1.0]\n";

fn found(project: &Project, file: &str, out: &str) -> Value {
    serde_json::from_str(&project.m3(&["search", file, "--out", out, "--json"]).ok()).unwrap()
}

#[test]
fn the_choice_is_made_on_one_split_and_reported_on_another() {
    let project = Project::new();
    let file = quest(&project, SPACE);
    let text = project.m3(&["search", &file, "--out", "out"]).ok();
    assert!(text.contains("← chosen") && text.contains("math alone") && text.contains("bisector"), "{text}");
    // Again it answers nothing, and says the same.
    let again = found(&project, &file, "out");
    assert_eq!(again, serde_json::from_str::<Value>(&project.read("out/search.json")).unwrap());
    assert_eq!(text, project.read("out/search.md"));
    let candidates = again["candidates"].as_array().unwrap();
    assert_eq!(candidates.len(), 5, "four quarters, with both ends and the bisector among them");
    let best = candidates[again["winner"].as_u64().unwrap() as usize].clone();
    for c in candidates {
        assert!(c["validation"].as_f64() <= best["validation"].as_f64(), "{c} {best}");
        assert_eq!(c["items"], 16, "every candidate in full: {c}");
    }
    assert_eq!((again["asked"].as_u64(), again["in_full"].as_u64()), (Some(80), Some(80)));
    assert_eq!(again["test_items"], 16);
    assert_eq!(again["unscored"], 0);
    // The recipe of the winner is one that the other commands take, and the test figure is what they get.
    let eval =
        ["eval", "out/winner.toml", "--bench", "gsm8k,humaneval", "--limit", "8", "--out", "out", "--json"];
    let eval: Value = serde_json::from_str(&project.m3(&eval).ok()).unwrap();
    let mean = |i: usize| eval["results"][i]["mean"].as_f64().unwrap();
    let want = 100.0 * (0.25 * mean(0) + 0.75 * mean(1));
    assert!((again["test"].as_f64().unwrap() - want).abs() < 1e-9, "{again} {eval}");
}

#[test]
fn a_race_asks_fewer_items_in_an_order_that_its_seed_gives() {
    let project = Project::new();
    let race = |seed: u64| {
        let text = format!("{SPACE}[strategy]\nkind = \"race\"\nfirst = 0.25\n");
        let file = quest(&project, &text);
        let text = project.read("mix.toml").replace("limit = 8", &format!("limit = 8\nseed = {seed}"));
        project.write("mix.toml", &text);
        found(&project, &file, "out")
    };
    let one = race(1);
    assert!(one["asked"].as_u64() < one["in_full"].as_u64(), "{one}");
    let winner = &one["candidates"][one["winner"].as_u64().unwrap() as usize];
    assert_eq!(winner["items"], 16, "the winner has a full figure");
    assert!(one["candidates"].as_array().unwrap().iter().any(|c| c["items"] == 4), "{one}");
    assert_eq!(one, race(1));
}

#[test]
fn a_search_that_cannot_be_made_is_refused_before_a_model_runs() {
    let project = Project::new();
    let refused = |text: &str| {
        let file = quest(&project, text);
        let said = project.m3(&["search", &file, "--out", "out"]).fails(1);
        assert!(!project.path("out/runs").exists(), "{said}");
        said
    };
    let law = |law: &str| refused(&format!("[space]\ndirections = [{{ {law} }}]\nscales = [1.0]\n"));
    assert!(refused("[space]\nscales = []\n").contains("scales"));
    assert!(refused("[space]\nscales = [0.0]\n").contains("scale"));
    assert!(refused("[space]\nscales = [1.0]\nalphas = [1.0]\n").contains("alphas"));
    assert!(law("law = \"p_series\", p = [-1.0]").contains("at least 0"));
    assert!(law("law = \"beta\", alphas = [], draws = 1, seed = 1").contains("alphas"));
    assert!(law("law = \"beta\", alphas = [0.0], draws = 1, seed = 1").contains('α'));
    let strategy = |text: &str| refused(&format!("{SPACE}[strategy]\n{text}"));
    assert!(strategy("kind = \"race\"\ngrowth = 1.0\n").contains("growth"));
    assert!(strategy("kind = \"guess\"\n").contains("guess"));
    let file = project.write(
        "none.toml",
        &project.read("mix.toml").replace("gsm8k = 1.0\nhumaneval = 3.0\n", "").replace("guess", "full"),
    );
    let none = project.m3(&["search", file.to_str().unwrap(), "--out", "out"]).fails(1);
    assert!(none.contains("[objective]"), "{none}");
    let file = project
        .write("bench.toml", &project.read("none.toml").replace("[objective]", "[objective]\nno_such = 1.0"));
    let none = project.m3(&["search", file.to_str().unwrap(), "--out", "out"]).fails(1);
    assert!(none.contains("no_such"), "{none}");
}
