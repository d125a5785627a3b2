//! `m3 reproduce`, on a cut-down suite: what it prints, writes, and does not do twice.

use crate::cli::{Project, home};

fn suite(project: &Project) -> String {
    let path = |name: &str| home().join(name).to_str().unwrap().to_owned();
    let models = |name: &str| path(&format!("models/tiny/{name}"));
    let text = format!(
        "name = \"cut\"\nnotice = \"stand-in\"\ndata = {:?}\nlimit = 4\n\
         [models]\nbase = {:?}\nlm = {:?}\nmath = {:?}\ncode = {:?}\n\
         [skills]\nlm = [\"instructions\"]\nmath = [\"gsm8k\", \"math\"]\ncode = [\"humaneval\", \"mbpp\"]\n\
         [search]\ndirections = [{{ law = \"beta\", alphas = [0.5], draws = 1, seed = 3 }}]\nscales = [1.0]\n[baseline]\nscale = 0.5\n\
         [ties]\n\"lm+math\" = {{ scale = 0.5, density = 0.5 }}\n\"lm+code\" = {{ scale = 1.0, density = 0.7 }}\n\
         \"math+code\" = {{ scale = 1.0, density = 0.5 }}\n[dare]\ndrop = 0.2\nseed = 1\n",
        path("datasets/tiny"),
        models("base"),
        models("lm"),
        models("math"),
        models("code"),
    );
    project.write("cut.toml", &text).to_str().unwrap().to_owned()
}

#[test]
fn table1_has_every_cell_in_every_format_and_is_not_made_twice() {
    let project = Project::new();
    let suite = suite(&project);
    let args = ["reproduce", "table1", "--suite", &suite, "--out", "out"];
    let markdown = project.m3(&args).ok();
    assert!(markdown.starts_with("> stand-in"), "{markdown}");
    for wanted in ["Math & Code", "66.34", "HumanEval", "validation"] {
        assert!(markdown.contains(wanted), "{wanted}: {markdown}");
    }
    let json = project.m3(&[&args[..], &["--json"]].concat()).ok();
    assert_eq!(json, std::fs::read_to_string(project.path("out/table1.json")).unwrap());
    let table: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(table["table"], "table1");
    assert_eq!(table["suite"], "cut");
    let cells = table["cells"].as_array().unwrap();
    assert_eq!(cells.len(), 21 * 5);
    for cell in cells {
        let column = cell["column"].as_str().unwrap();
        if column == "alpaca_eval" {
            assert!(cell["ours"].is_null() && cell["n"] == 0, "{cell}");
            continue;
        }
        let (ours, low, high) = (
            cell["ours"].as_f64().unwrap(),
            cell["ci95"][0].as_f64().unwrap(),
            cell["ci95"][1].as_f64().unwrap(),
        );
        assert!(cell["n"] == 4 && (0.0..=100.0).contains(&ours) && low <= ours && ours <= high, "{cell}");
        let run = project.path("out/runs").join(cell["run"].as_str().unwrap());
        assert!(run.join("records.jsonl").is_file(), "{cell}");
    }
    let find = |row: &str, column: &str| {
        cells.iter().find(|c| c["row"] == row && c["column"] == column).unwrap().clone()
    };
    assert_eq!(find("math", "gsm8k")["published"], 64.22);
    assert_eq!(find("lm+math/task_arithmetic/m3", "math")["published"], 13.74);
    assert_eq!(find("lm+math/task_arithmetic", "gsm8k")["lambda"], 0.5);
    assert!(find("math", "humaneval")["published"].is_null());
    // The paper's Table 4: TIES of LM & Math at s = 0.5, with M³ too.
    for row in ["lm+math/ties", "lm+math/ties/m3"] {
        assert_eq!(find(row, "gsm8k")["s"], 0.5);
    }
    assert_eq!(find("math+code/dare/m3", "mbpp")["published"], 18.0);
    assert_eq!(table["selection"].as_array().unwrap().len(), 9);
    let csv = std::fs::read_to_string(project.path("out/table1.csv")).unwrap();
    assert_eq!(csv.lines().count(), 1 + 21 * 5);
    // The second run printed from the ledger: the models were not even opened for weights.
    let before: u64 = total_size(&project.path("out/runs"));
    project.m3(&args).ok();
    assert_eq!(total_size(&project.path("out/runs")), before);
}

#[test]
fn table2_has_a_drop_rate_for_each_pair_and_data_set() {
    let project = Project::new();
    let suite = suite(&project);
    let args = ["reproduce", "table2", "--suite", &suite, "--out", "out"];
    let markdown = project.m3(&args).ok();
    for wanted in ["> stand-in", "stresstest", "(98.53)", "LM & Code without M³", "[95 % interval]"] {
        assert!(markdown.contains(wanted), "{wanted}: {markdown}");
    }
    let json = project.m3(&[&args[..], &["--json"]].concat()).ok();
    assert_eq!(json, std::fs::read_to_string(project.path("out/table2.json")).unwrap());
    let table: serde_json::Value = serde_json::from_str(&json).unwrap();
    let rows = table["rows"].as_array().unwrap();
    assert_eq!((rows.len(), rows[3]["published"]["pdr"].as_f64()), (12, Some(6.42)));
    for row in rows {
        assert_eq!(row["n"], 4, "{row}");
        let clean = project.path("out/runs").join(row["runs"][0].as_str().unwrap());
        assert!(clean.join("records.jsonl").is_file(), "{row}");
    }
    // The embedded masked language model makes the candidates of Table 6.
    let args = ["reproduce", "table6", "--suite", &suite, "--out", "out", "--json"];
    let table: serde_json::Value = serde_json::from_str(&project.m3(&args).ok()).unwrap();
    let rows = table["rows"].as_array().unwrap();
    assert!(rows.len() == 12 && rows.iter().all(|row| row["n"] == 4), "{table}");
}

fn total_size(folder: &std::path::Path) -> u64 {
    std::fs::read_dir(folder)
        .unwrap()
        .map(|e| e.unwrap().path())
        .map(|p| if p.is_dir() { total_size(&p) } else { p.metadata().unwrap().len() })
        .sum()
}

#[test]
fn an_unknown_suite_or_table_is_named() {
    let project = Project::new();
    let said = project.m3(&["reproduce", "table1", "--suite", "huge"]).fails(1);
    assert!(said.contains("huge") && said.contains("tiny"), "{said}");
    project.m3(&["reproduce", "table99"]).fails(1);
    let broken = project.write("broken.toml", "name = \"x\"\nnotes = 1\n");
    let said = project.m3(&["reproduce", "table1", "--suite", broken.to_str().unwrap()]).fails(1);
    assert!(said.contains("broken.toml") && said.contains("notes"), "{said}");
}
