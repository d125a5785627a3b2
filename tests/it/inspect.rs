//! `m3 inspect`: what models are, whether they fit together, and whether one descends from the other.

use crate::cli::Project;
use crate::tiny_model::TinyModel;
use serde_json::Value;

fn inspect(project: &Project, models: &[&str]) -> Value {
    let said = project.m3(&[&["inspect", "--lineage", "--json"], models].concat());
    serde_json::from_str(&said.ok()).unwrap()
}

#[test]
fn a_fine_tune_is_told_from_a_stranger() {
    let project = Project::new();
    let family = inspect(&project, &["models/base", "models/math", "models/base"]);
    assert_eq!(family["fits"], true);
    assert_eq!(family["models"][1]["lineage"]["descent"], "fine_tune");
    assert_eq!(family["models"][2]["lineage"]["descent"], "same");
    for seed in [1, 2] {
        let model = TinyModel { seed, ..TinyModel::default() };
        // Norm weights near one would look alike in any two models.
        model.write(&project.path(&format!("random{seed}")), |_, _| true);
    }
    let strangers = inspect(&project, &["random1", "random2"]);
    assert_eq!(strangers["fits"], true);
    assert_eq!(strangers["models"][1]["lineage"]["descent"], "stranger");
}

#[test]
fn what_does_not_fit_is_named() {
    let project = Project::new();
    TinyModel::default().write(&project.path("one"), |_, _| true);
    TinyModel { layers: 3, vocab: 310, ..TinyModel::default() }.write(&project.path("other"), |_, _| true);
    let found = inspect(&project, &["one", "other"]);
    assert_eq!(found["fits"], false);
    let agreement = &found["models"][1]["agreement"];
    assert_eq!(agreement["extra"].as_array().unwrap().len(), 9, "{agreement}");
    assert_eq!(agreement["reshaped"][0][0], "lm_head.weight", "{agreement}");
    let told = project.m3(&["inspect", "one", "other"]).ok();
    assert!(told.contains("do NOT fit together"), "{told}");
    project.m3(&["inspect", "nowhere"]).fails(1);
}
