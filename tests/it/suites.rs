//! Suites: Table 7 on a cut-down one, and what a dry run says of one that is not on this machine.

use crate::cli::{Project, home};
use serde_json::Value;
use std::collections::BTreeSet;

/// The embedded suite with two items of each split and few candidates.
fn cut(project: &Project) -> String {
    let text = std::fs::read_to_string(home().join("experiments/tiny.toml")).unwrap();
    let here = |text: &str, folder: &str| {
        text.replace(&format!("\"../{folder}"), &format!("\"{}", home().join(folder).display()))
    };
    let text = here(&here(&text, "models"), "datasets").replace("[models]", "limit = 2\n[models]");
    let text = text.replace("alphas = [0.5, 2.0], draws = 4", "alphas = [0.5], draws = 1");
    project.write("cut.toml", &text).to_str().unwrap().to_owned()
}

#[test]
fn table7_has_m3_dare_and_both_beside_what_was_published() {
    let project = Project::new();
    let suite = cut(&project);
    let said = project.m3(&["reproduce", "table7", "--suite", &suite, "--out", "out", "--json"]).ok();
    let table: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(table["table"], "table7");
    let cells = table["cells"].as_array().unwrap();
    assert_eq!(cells.len(), 27 * 5);
    let cell = |row: &str, column: &str| {
        cells.iter().find(|c| c["row"] == row && c["column"] == column).unwrap().clone()
    };
    assert_eq!(cell("math+code/average/m3", "mbpp")["published"], 19.2);
    assert_eq!(cell("lm+code/ties/dare", "humaneval")["published"], 0.0);
    assert!(cell("lm+code/ties/dare", "gsm8k")["published"].is_null());
    // An average is at s = 1; without M³ it is the bisector.
    assert_eq!(cell("lm+math/average/dare", "gsm8k")["s"], 1.0);
    assert_eq!(cell("lm+math/average/dare", "gsm8k")["lambda"], 0.5);
    assert_eq!(cell("lm+math/ties/m3+dare", "gsm8k")["s"], 0.5);
    for cell in cells.iter().filter(|c| c["column"] != "alpaca_eval") {
        assert!(cell["n"] == 2 && cell["ours"].is_number() && cell["run"].is_string(), "{cell}");
    }
    // At s = 1 an average with M³ is task arithmetic with M³.
    for column in ["gsm8k", "math", "humaneval", "mbpp"] {
        let of = |method: &str| cell(&format!("math+code/{method}/m3"), column)["run"].clone();
        assert_eq!(of("average"), of("task_arithmetic"));
    }
    // DARE changes what is merged.
    let run = |row: &str| cell(row, "gsm8k")["run"].clone();
    assert_ne!(run("lm+math/ties/m3+dare"), run("lm+math/ties/m3"));
    let found: BTreeSet<&str> =
        table["selection"].as_array().unwrap().iter().map(|cell| cell["row"].as_str().unwrap()).collect();
    assert_eq!(found.len(), 18);
    let text = project.m3(&["reproduce", "table7", "--suite", &suite, "--out", "out"]).ok();
    for wanted in ["TIES-Merging, DARE", "(23.60)", "20 and lower in 10", "About the published figures"] {
        assert!(text.contains(wanted), "{wanted}: {text}");
    }
}

#[test]
fn a_dry_run_says_what_a_table_takes_and_does_nothing() {
    let project = Project::new();
    let text =
        project.m3(&["reproduce", "table1", "--suite", "llama2-13b", "--dry-run", "--out", "out"]).ok();
    for wanted in
        ["meta-llama/Llama-2-13b-hf", "to be fetched", "104.0 GB", "missing", "10 % of each test split"]
    {
        assert!(text.contains(wanted), "{wanted}: {text}");
    }
    assert!(!project.path("out").exists(), "it writes nothing");
    let json = project.m3(&["reproduce", "table7", "--suite", "llama2-13b", "--dry-run", "--json"]).ok();
    let plan: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(plan["rows"].as_array().unwrap().len(), 27);
    let data = plan["data"].as_array().unwrap();
    let of = |id: &str| data.iter().find(|d| d["benchmark"] == id).unwrap().clone();
    // As the cards say: nine tenths of 1,319 are reported, a tenth is chosen on.
    assert_eq!((&of("gsm8k")["test"], &of("gsm8k")["validation"]), (&1187.into(), &132.into()));
    let rows = plan["rows"].as_array().unwrap();
    let row = |id: &str| rows.iter().find(|r| r["row"] == id).unwrap().clone();
    // 14 draws, both ends and the bisector, at four magnitudes; an average has one.
    assert_eq!(row("lm+math/task_arithmetic/m3")["candidates"], 17 * 4);
    assert_eq!(row("lm+math/average/m3")["candidates"], 17);
    assert_eq!(row("lm+math/average/dare")["candidates"], 0);
    let sum: u64 = rows.iter().map(|r| r["items"].as_u64().unwrap()).sum();
    assert_eq!(plan["items"], sum);
    let hours = 2.0 * 13.0e9 * 500.0 * sum as f64 / 1.0e14 / 3600.0;
    assert!((plan["hours"].as_f64().unwrap() / hours - 1.0).abs() < 1e-9);
    // What is here needs no fetching, and its items are counted.
    let suite = cut(&project);
    let here: Value = serde_json::from_str(
        &project.m3(&["reproduce", "table1", "--suite", &suite, "--dry-run", "--json"]).ok(),
    )
    .unwrap();
    assert!(here["models"].as_array().unwrap().iter().all(|m| m["here"] == true), "{here}");
    assert!(here["data"].as_array().unwrap().iter().all(|d| d["here"] == true && d["test"] == 2), "{here}");
    assert!(here["hours"].is_null());
    let said = project.m3(&["reproduce", "table2", "--suite", &suite, "--dry-run"]).fails(1);
    assert!(said.contains("table1 and table7"), "{said}");
}

/// The published data sets, if they are on this machine.
#[test]
fn held_out_items_are_a_tenth_and_in_no_other_split() {
    let Some(shared) = std::env::var_os("M3_SHARED") else { return };
    let data = std::path::Path::new(&shared).join("datasets");
    let project = Project::new();
    let text = std::fs::read_to_string(home().join("experiments/llama2-13b.toml")).unwrap();
    let text = text.replace("../datasets/published", data.to_str().unwrap());
    let file = project.write("real.toml", &text);
    let json =
        project.m3(&["reproduce", "table1", "--suite", file.to_str().unwrap(), "--dry-run", "--json"]).ok();
    let plan: Value = serde_json::from_str(&json).unwrap();
    for (id, all) in [("gsm8k", 1319), ("math", 5000), ("humaneval", 164), ("mbpp", 500), ("ifeval", 541)] {
        let data = plan["data"].as_array().unwrap();
        let need = data.iter().find(|d| d["benchmark"] == id).unwrap();
        assert_eq!(need["here"], true, "{need}");
        let (test, validation) = (need["test"].as_u64().unwrap(), need["validation"].as_u64().unwrap());
        assert_eq!(test + validation, all, "{need}");
        let share = validation as f64 / all as f64;
        // Within four standard errors of a tenth.
        assert!((share - 0.1).abs() < 4.0 * (0.09 / all as f64).sqrt(), "{need}");
    }
}
