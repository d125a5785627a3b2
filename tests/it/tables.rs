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
         \"math+code\" = {{ scale = 1.0, density = 0.5 }}\n[dare]\ndrop = 0.2\nseed = 1\n\
         [three]\np = [0.0, 1.0, 3.0]\nscales = [1.0]\n[landscape]\nsteps = 2\nscales = [0.75, 1.0]\nshare = 1.0\n\
         [judge]\nannotator = \"m3_tiny\"\ncheckpoint = {:?}\nreference = {:?}\n\
         [ood]\n\"lm+math\" = [\"humaneval\"]\n\"lm+code\" = [\"gsm8k\"]\n\"math+code\" = [\"instructions\"]\n",
        path("datasets/tiny"),
        models("base"),
        models("lm"),
        models("math"),
        models("code"),
        models("judge"),
        path("datasets/tiny/alpaca_eval/reference.jsonl"),
    );
    project.write("cut.toml", &text).to_str().unwrap().to_owned()
}

/// One after the other in one folder, as a person would: what one has asked, the next finds, and `all` asks the rest.
#[test]
fn tables_and_figures_are_made_and_nothing_is_asked_twice() {
    let project = Project::new();
    let suite = suite(&project);
    table1_has_every_cell_in_every_format_and_is_not_made_twice(&project, &suite);
    table2_has_a_drop_rate_for_each_pair_and_data_set(&project, &suite);
    figures_are_pictures_with_their_numbers_beside(&project, &suite);
    all_makes_every_file_and_a_page_with_the_items(&project, &suite);
}

fn table1_has_every_cell_in_every_format_and_is_not_made_twice(project: &Project, suite: &str) {
    let args = ["reproduce", "table1", "--suite", suite, "--out", "out"];
    let screen = project.m3(&args).ok();
    let file = |ending: &str| std::fs::read_to_string(project.path(&format!("out/table1.{ending}"))).unwrap();
    assert!(screen.starts_with("Table 1") && file("md").starts_with("> stand-in"), "{screen}");
    let mut latex = file("tex");
    assert!(latex.contains("\\toprule") && latex.contains("stand-in") && !latex.contains('λ'), "{latex}");
    latex = latex.replace("\\&", "&");
    for text in [&screen, &file("md"), &latex] {
        // What kind of judge it is stands where its figures stand.
        assert!(text.replace("\\_", "_").contains("by the annotator m3_tiny"), "{text}");
        for wanted in ["Math & Code", "66.34", "HumanEval", "validation", "n 4"] {
            assert!(text.contains(wanted), "{wanted}: {text}");
        }
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
        if column == "alpaca_eval" && cell["published"].is_null() {
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
    // Six figures for each of the nine searches.
    assert_eq!(table["selection"].as_array().unwrap().len(), 9 * 6);
    assert_eq!(table["rows"].as_array().unwrap().len(), 21);
    let legend = table["legend"].as_array().unwrap().iter().filter_map(|s| s.as_str());
    assert!(legend.clone().any(|s| s.contains("m3_tiny") && s.contains("over those of `base`")), "{json}");
    let judged = project.path("out/runs").join(find("lm", "alpaca_eval")["run"].as_str().unwrap());
    let verdicts = std::fs::read_to_string(judged.join("judge/m3_tiny/annotations.json")).unwrap();
    let verdicts: serde_json::Value = serde_json::from_str(&verdicts).unwrap();
    let preferences = verdicts.as_array().unwrap().iter().map(|v| v["preference"].as_f64().unwrap() - 1.0);
    let rate = 100.0 * preferences.sum::<f64>() / 4.0;
    assert!((rate - find("lm", "alpaca_eval")["ours"].as_f64().unwrap()).abs() < 1e-9, "{verdicts}");
    let csv = file("csv");
    assert_eq!(csv.lines().count(), 1 + 21 * 5 + 9 * 6);
    let line = csv.lines().find(|l| l.starts_with("table1,cells,math,gsm8k,")).unwrap();
    let cell = find("math", "gsm8k");
    let fields: Vec<&str> = line.split(',').collect();
    assert_eq!(fields[4].parse::<f64>().ok(), cell["ours"].as_f64());
    assert_eq!((fields[10], Some(fields[14])), ("64.22", cell["run"].as_str()));
    // The second run printed from the ledger: the models were not even opened for weights.
    let before: u64 = total_size(&project.path("out/runs"));
    project.m3(&args).ok();
    assert_eq!(total_size(&project.path("out/runs")), before);
}

fn table2_has_a_drop_rate_for_each_pair_and_data_set(project: &Project, suite: &str) {
    let args = ["reproduce", "table2", "--suite", suite, "--out", "out"];
    let screen = project.m3(&args).ok();
    for wanted in ["stand-in", "stresstest", "(98.53)", "LM & Code without M³", "[95 % interval]"] {
        assert!(screen.contains(wanted), "{wanted}: {screen}");
    }
    for ending in ["md", "csv", "tex"] {
        let text = std::fs::read_to_string(project.path(&format!("out/table2.{ending}"))).unwrap();
        assert!(text.contains("98.53"), "{ending}: {text}");
    }
    let json = project.m3(&[&args[..], &["--json"]].concat()).ok();
    assert_eq!(json, std::fs::read_to_string(project.path("out/table2.json")).unwrap());
    let table: serde_json::Value = serde_json::from_str(&json).unwrap();
    let cells = table["cells"].as_array().unwrap();
    assert_eq!(cells.len(), 12 * 3);
    let pdr = |row: &str| cells.iter().find(|c| c["row"] == row && c["column"] == "pdr").unwrap();
    assert_eq!(pdr("math+code/cola/m3")["published"], 6.42);
    for cell in cells {
        assert_eq!(cell["n"].as_u64(), Some(if cell["ours"].is_null() { 0 } else { 4 }), "{cell}");
        if let Some(run) = cell["run"].as_str() {
            assert!(project.path("out/runs").join(run).join("records.jsonl").is_file(), "{cell}");
        }
    }
    for row in table["rows"].as_array().unwrap() {
        assert!(row["remark"].as_str().unwrap().contains("worst prompt"), "{row}");
    }
    // The embedded masked language model makes the candidates of Table 6.
    let args = ["reproduce", "table6", "--suite", suite, "--out", "out", "--json"];
    let table: serde_json::Value = serde_json::from_str(&project.m3(&args).ok()).unwrap();
    let cells = table["cells"].as_array().unwrap();
    assert_eq!(cells.len(), 12 * 3);
    assert!(cells.iter().all(|cell| cell["ours"].is_null() || cell["n"] == 4), "{table}");
    assert!(cells.iter().any(|cell| cell["ours"].is_number()), "{table}");
}

/// The picture's numbers are those of the sheet beside it, and text of the picture is text.
fn figures_are_pictures_with_their_numbers_beside(project: &Project, suite: &str) {
    for (name, wanted) in [
        ("figure2", ["fixed direction", "58.52", "M³"]),
        ("figure3", ["Math &gt; LM &gt; Code", "63.08", "95 %"]),
        ("figure4", ["p = 3", "86.1", "average"]),
        ("figure5", ["TIES-Merging + M³", "n 4", "stand-in"]),
        ("landscape", ["λ = 0.50", "s = 1", "candidates"]),
    ] {
        let args = ["reproduce", name, "--suite", suite, "--out", "out", "--json"];
        let sheet: serde_json::Value = serde_json::from_str(&project.m3(&args).ok()).unwrap();
        assert_eq!((&sheet["table"], &sheet["suite"]), (&name.into(), &"cut".into()));
        let svg = std::fs::read_to_string(project.path(&format!("out/{name}.svg"))).unwrap();
        for text in wanted {
            assert!(svg.contains(text), "{name}: {text}");
        }
        assert!(svg.contains("prefers-color-scheme: dark"), "{name}");
        for cell in sheet["cells"].as_array().unwrap() {
            let shown = format!(">{:.1}<", cell["ours"].as_f64().unwrap());
            assert!(name == "figure3" || svg.contains(&shown), "{name}: {shown}");
            if let Some(run) = cell["run"].as_str() {
                assert!(project.path("out/runs").join(run).join("records.jsonl").is_file(), "{cell}");
            }
        }
        let png = std::fs::read(project.path(&format!("out/{name}.png"))).unwrap();
        assert!(png.starts_with(b"\x89PNG") && png.len() > 10_000, "{name}: {} bytes", png.len());
        let before = total_size(&project.path("out/runs"));
        project.m3(&args).ok();
        assert_eq!(total_size(&project.path("out/runs")), before, "{name} is not made twice");
    }
    // p = 0 is one merge in whatever order, so that the average of figures 2 and 4 is one run.
    let average = |name: &str| {
        let text = std::fs::read_to_string(project.path(&format!("out/{name}.json"))).unwrap();
        let sheet: serde_json::Value = serde_json::from_str(&text).unwrap();
        sheet["cells"].as_array().unwrap().iter().find(|c| c["row"] == "average").unwrap()["run"].clone()
    };
    assert_eq!(average("figure2"), average("figure4"));
}

fn all_makes_every_file_and_a_page_with_the_items(project: &Project, suite: &str) {
    let said = project.m3(&["reproduce", "all", "--suite", suite, "--out", "out", "--json"]).ok();
    let said: serde_json::Value = serde_json::from_str(&said).unwrap();
    let files: Vec<&str> = said["files"].as_array().unwrap().iter().filter_map(|f| f.as_str()).collect();
    // Five tables in four formats, five figures in six, and the page.
    assert_eq!(files.len(), 5 * 4 + 5 * 6 + 1, "{files:?}");
    for file in &files {
        assert!(project.path(file).is_file(), "{file}");
    }
    let html = std::fs::read_to_string(project.path("out/report.html")).unwrap();
    assert!(html.contains("by the annotator m3_tiny"), "the page says who judged");
    let begin = html.find("id=\"data\">").unwrap() + "id=\"data\">".len();
    let data = &html[begin..begin + html[begin..].find("</script").unwrap()];
    let data: serde_json::Value = serde_json::from_str(data).unwrap();
    let table: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(project.path("out/table1.json")).unwrap()).unwrap();
    let cell = table["cells"]
        .as_array()
        .unwrap()
        .iter()
        .find(|c| c["row"] == "math" && c["column"] == "gsm8k")
        .unwrap();
    let run = data["runs"].as_array().unwrap().iter().find(|r| r["run"] == cell["run"]).unwrap();
    let items = run["items"].as_array().unwrap();
    let right = items.iter().filter(|i| i["kind"] == "right").count();
    assert_eq!(items.len(), 4);
    assert!((25.0 * right as f64 - cell["ours"].as_f64().unwrap()).abs() < 1e-9, "{right} {cell}");
    for item in items {
        let prompt = data["prompts"][usize::try_from(item["prompt"].as_u64().unwrap()).unwrap()].as_str();
        assert!(prompt.unwrap().contains("### Instruction") && item["answer"].is_string(), "{item}");
    }
    assert_eq!(run["settings"]["benchmark"], "gsm8k");
    // Judged items show whose answer is preferred.
    let judged = data["runs"].as_array().unwrap().iter().find(|r| r["benchmark"] == "alpaca_eval").unwrap();
    for item in judged["items"].as_array().unwrap() {
        let reason = item["reason"].as_str().unwrap();
        assert!(
            item["kind"] != "unscored" && item["value"].is_number() && reason.contains("answer of base"),
            "{item}"
        );
    }
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
