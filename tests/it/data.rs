//! Data files: their forms, what is wrong with them, and where they come from.

use crate::cli::Project;
use m3::bench::{Benchmark, DataSource, Item, Split};
use m3::digest::sha256;
use parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A benchmark whose only file is `name`; `more` are lines of its entry.
fn benchmark(project: &Project, name: &str, more: &str) -> Benchmark {
    let folder = project.path("toy");
    std::fs::create_dir_all(&folder).unwrap();
    let card = format!(
        "id = \"toy\"\ntitle = \"t\"\nversion = 1\nchanges = [\"1: first\"]\nsource = \"made\"\nlicence = \"none\"\n\
         doc_to_text = \"prompt.jinja\"\ngeneration_kwargs = {{ until = [], max_gen_toks = 8 }}\n\
         metric_list = [{{ metric = \"exact_match\", aggregation = \"mean\", higher_is_better = true }}]\n\
         scorer = {{ name = \"exact\", field = \"answer\" }}\n[dataset]\nid_field = \"name\"\n[[dataset.files]]\n\
         split = \"test\"\nname = \"{name}\"\n{more}\n"
    );
    std::fs::write(folder.join("benchmark.toml"), card).unwrap();
    std::fs::write(folder.join("prompt.jinja"), "Q: {{ question }}").unwrap();
    std::fs::write(folder.join("cases.json"), "{\"item\": {}, \"cases\": []}").unwrap();
    Benchmark::from_folder(&folder).unwrap()
}

fn items(project: &Project, name: &str, more: &str, bytes: &[u8]) -> Result<Vec<Item>, String> {
    std::fs::write(project.path(name), bytes).unwrap();
    let data = DataSource::Folder(project.root().to_owned());
    benchmark(project, name, more).items(&data, Split::Test).map_err(|e| {
        let cause = std::error::Error::source(&e).map(ToString::to_string);
        format!("{e} {}", cause.unwrap_or_default())
    })
}

const ROWS: [(&str, &str, &str); 3] =
    [("a", "One, \"two\"?", "2"), ("b", "é\nline", "x"), ("c", "plain", "3")];

fn gzip(text: &str) -> Vec<u8> {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    packed.write_all(text.as_bytes()).unwrap();
    packed.finish().unwrap()
}

/// Two row groups with a text, an optional number and a list of texts.
fn parquet() -> Vec<u8> {
    let schema = "message rows { REQUIRED BYTE_ARRAY name (UTF8); REQUIRED BYTE_ARRAY question (UTF8); \
                  REQUIRED BYTE_ARRAY answer (UTF8); OPTIONAL INT64 number; \
                  OPTIONAL group tags (LIST) { REPEATED group list { OPTIONAL BYTE_ARRAY element (UTF8); } } }";
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let mut writer = SerializedFileWriter::new(Vec::new(), schema, Arc::default()).unwrap();
    for rows in [&ROWS[..2], &ROWS[2..]] {
        let mut group = writer.next_row_group().unwrap();
        for column in 0..3 {
            let of = |row: &(&str, &str, &str)| ByteArray::from([row.0, row.1, row.2][column]);
            let values: Vec<ByteArray> = rows.iter().map(of).collect();
            let mut column = group.next_column().unwrap().unwrap();
            column.typed::<ByteArrayType>().write_batch(&values, None, None).unwrap();
            column.close().unwrap();
        }
        let mut column = group.next_column().unwrap().unwrap();
        let levels: Vec<i16> = (0..rows.len()).map(|at| i16::from(at == 0)).collect();
        column.typed::<Int64Type>().write_batch(&[7], Some(&levels), None).unwrap();
        column.close().unwrap();
        let mut column = group.next_column().unwrap().unwrap();
        let tags = [ByteArray::from("u"), ByteArray::from("v")];
        let (mut defined, mut repeated) = (vec![3, 3], vec![0, 1]);
        defined.extend(vec![0; rows.len() - 1]);
        repeated.extend(vec![0; rows.len() - 1]);
        column.typed::<ByteArrayType>().write_batch(&tags, Some(&defined), Some(&repeated)).unwrap();
        column.close().unwrap();
        group.close().unwrap();
    }
    writer.into_inner().unwrap()
}

#[test]
fn the_same_rows_come_from_every_form() {
    let project = Project::new();
    let objects: Vec<Value> =
        ROWS.iter().map(|(name, q, a)| json!({"name": name, "question": q, "answer": a})).collect();
    let lines: String = objects.iter().map(|row| row.to_string() + "\n").collect();
    let list = serde_json::to_string_pretty(&objects).unwrap();
    let csv = "name,question,answer\r\na,\"One, \"\"two\"\"?\",2\r\nb,\"é\nline\",x\r\n\r\nc,plain,3\r\n";
    let expected = items(&project, "rows.jsonl", "", lines.as_bytes()).unwrap();
    assert_eq!((expected.len(), expected[1].text("question")), (3, Some("é\nline")));
    assert_eq!(items(&project, "rows.json", "", list.as_bytes()).unwrap(), expected);
    assert_eq!(items(&project, "rows.csv", "", csv.as_bytes()).unwrap(), expected);
    assert_eq!(items(&project, "rows.jsonl.gz", "", &gzip(&lines)).unwrap(), expected);
    // The card's names, in place of those of the first line.
    let named = "columns = [\"name\", \"question\", \"answer\"]\nheader = true";
    let renamed = csv.replacen("name,question", "n,q", 1);
    assert_eq!(items(&project, "rows.csv", named, renamed.as_bytes()).unwrap(), expected);
    let tsv = "name\tquestion\tanswer\na\tsays \"hi\t2\n";
    let tabs = items(&project, "rows.tsv", "", tsv.as_bytes()).unwrap();
    assert_eq!(tabs[0].text("question"), Some("says \"hi"));
    let from_parquet = items(&project, "rows.parquet", "rows = 3", &parquet()).unwrap();
    for (ours, expected) in from_parquet.iter().zip(&expected) {
        for key in ["name", "question", "answer"] {
            assert_eq!(ours.text(key), expected.text(key));
        }
    }
    let (first, second) = (&from_parquet[0].fields, &from_parquet[1].fields);
    assert_eq!((&first["number"], &first["tags"]), (&json!(7), &json!(["u", "v"])));
    assert_eq!((&second["number"], &second["tags"]), (&Value::Null, &Value::Null));
}

#[test]
fn what_is_wrong_with_a_file_is_said_with_its_place() {
    let project = Project::new();
    let refused = |name: &str, more: &str, bytes: &[u8], said: &[&str]| {
        let e = items(&project, name, more, bytes).unwrap_err();
        for part in said {
            assert!(e.contains(part), "{name}: {e}");
        }
        assert!(e.contains(name), "{e}");
    };
    let good = b"{\"name\": \"a\", \"question\": \"q\", \"answer\": \"x\"}\n";
    refused("rows.jsonl", "", b"", &["has no rows"]);
    refused("rows.jsonl", "", b"\n \n", &["has no rows"]);
    refused("rows.jsonl", "", &[&good[..], b"{\"na\xff\"}\n"].concat(), &["line 2", "not UTF-8 (byte 5"]);
    refused("rows.jsonl", "", &[&good[..], b"[1]\n"].concat(), &["line 2", "not a JSON object"]);
    refused("rows.jsonl", "", &[&good[..], good].concat(), &["line 2", "is item a, and so is line 1"]);
    refused(
        "rows.jsonl",
        "",
        b"{\"name\": \"a\", \"question\": \"q\"}\n",
        &["line 1", "`answer` must be a text"],
    );
    refused("rows.jsonl", "rows = 2", good, &["has 1 rows", "says 2"]);
    let zeros = format!("sha256 = \"{}\"", "0".repeat(64));
    refused("rows.jsonl", &zeros, good, &["SHA-256", &sha256(good)]);
    refused("rows.json", "", b"{\"a\": 1}", &["not a JSON list", "line 1"]);
    refused(
        "rows.csv",
        "",
        b"name,question,answer\na,b\n",
        &["line 2", "has 2 columns", "name, question, answer"],
    );
    refused("rows.parquet", "", b"PAR1 no PAR1", &["not a Parquet file"]);
    let whole = parquet();
    refused("rows.parquet", "", &whole[..whole.len() - 9], &["not a Parquet file"]);
    refused("rows.jsonl.gz", "", b"plain", &["cannot be unpacked"]);

    // A missing file, and a prompt that a row cannot fill.
    let data = DataSource::Folder(project.path("nowhere"));
    let e = benchmark(&project, "rows.jsonl", "").items(&data, Split::Test).unwrap_err().to_string();
    assert!(e.contains("nowhere/rows.jsonl") && e.contains("made (none)"), "{e}");
    let e = items(&project, "rows.jsonl", "", b"{\"name\": \"a\", \"answer\": \"x\"}").unwrap_err();
    assert!(e.contains("item a") && e.contains("undefined"), "{e}");
}

#[test]
fn a_split_is_its_parts_or_a_whole_file_and_where_chooses_its_rows() {
    let project = Project::new();
    let row = |name: &str, task: &str| {
        json!({"name": name, "task": task, "question": "q", "answer": "x"}).to_string() + "\n"
    };
    let more = "part = true\n[[dataset.files]]\nsplit = \"test\"\nname = \"b.jsonl\"\npart = true\n\
                [[dataset.files]]\nsplit = \"test\"\nname = \"all.jsonl\"\nrows = 2\nwhere = { task = \"sums\" }";
    let toy = benchmark(&project, "a.jsonl", more);
    let data = DataSource::Folder(project.root().to_owned());
    let names = || -> Result<Vec<String>, String> {
        let items = toy.items(&data, Split::Test).map_err(|e| e.to_string())?;
        Ok(items.iter().map(|item| item.id.to_string()).collect())
    };
    let write = |file: &str, text: String| std::fs::write(project.path(file), text).unwrap();

    let nothing = names().unwrap_err();
    assert!(nothing.contains("a.jsonl` and `") && nothing.contains("b.jsonl`, or `"), "{nothing}");
    assert!(nothing.contains("all.jsonl`. Put one copy there"), "{nothing}");
    // One part is not enough; the whole file is, and of its rows those that the card takes.
    write("a.jsonl", row("a", "sums"));
    write("all.jsonl", row("1", "sums") + &row("2", "words") + &row("3", "sums"));
    assert_eq!(names().unwrap(), ["1", "3"]);
    let shown = project.m3(&["bench", "show", "toy"]).ok();
    assert!(shown.contains("test (a part): b.jsonl"), "{shown}");
    assert!(shown.contains("all.jsonl, 2 rows whose `task` is `sums`"), "{shown}");
    // The number of rows is that of those.
    write("all.jsonl", row("1", "sums") + &row("2", "words"));
    let counted = names().unwrap_err();
    assert!(counted.contains("all.jsonl` has 1 rows") && counted.contains("says 2"), "{counted}");
    write("all.jsonl", row("1", "words"));
    let none = names().unwrap_err();
    assert!(none.contains("all.jsonl` has no row whose `task` is `sums`"), "{none}");
    // All parts are looked for first.
    write("b.jsonl", row("b", "words"));
    assert_eq!(names().unwrap(), ["a", "b"]);
}

const COMMIT: &str = "89abcdef0123456789abcdef0123456789abcdef";

/// Serves one file as `org/set`, revision `main`; announces `announced` as its SHA-256.
#[cfg(feature = "hub")]
fn serve(file: &'static str, bytes: Vec<u8>, announced: String) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            count.fetch_add(1, Ordering::SeqCst);
            answer(&mut stream.unwrap(), file, &bytes, &announced);
        }
    });
    (address, asked)
}

#[cfg(feature = "hub")]
fn answer(stream: &mut TcpStream, file: &str, bytes: &[u8], announced: &str) {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
    let Some(Ok(request)) = lines.next() else { return };
    let mut range = (0, bytes.len());
    for line in lines.by_ref().map_while(Result::ok).take_while(|line| !line.is_empty()) {
        if let Some(asked) = line.to_ascii_lowercase().strip_prefix("range: bytes=") {
            let (first, last) = asked.split_once('-').unwrap();
            let last = last.parse::<usize>().map_or(bytes.len(), |last| (last + 1).min(bytes.len()));
            range = (first.parse().unwrap(), last);
        }
    }
    let path = request.split(' ').nth(1).unwrap();
    let (status, headers, body) = if path == "/api/datasets/org/set/revision/main" {
        let info = json!({"sha": COMMIT, "siblings": [{"rfilename": file}, {"rfilename": "README.md"}]});
        ("200 OK", String::new(), info.to_string().into_bytes())
    } else if path == format!("/datasets/org/set/resolve/{COMMIT}/{file}") {
        let (first, last) = range;
        let headers = format!(
            "etag: \"{announced}\"\r\nx-repo-commit: {COMMIT}\r\ncontent-range: bytes {first}-{}/{}\r\n",
            last.max(1) - 1,
            bytes.len()
        );
        ("206 Partial Content", headers, bytes[first..last].to_vec())
    } else {
        ("404 Not Found", String::new(), Vec::new())
    };
    let head =
        format!("HTTP/1.1 {status}\r\n{headers}content-length: {}\r\nconnection: close\r\n\r\n", body.len());
    // The client may have gone.
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body));
}

#[cfg(feature = "hub")]
fn pull(project: &Project, address: &str, more: &[(&str, &str)]) -> crate::cli::Said {
    let cache = project.path("cache");
    let environment = [
        &[
            ("HF_ENDPOINT", address),
            ("HF_HOME", cache.to_str().unwrap()),
            ("HF_HUB_OFFLINE", "0"),
            ("HTTP_PROXY", ""),
            ("http_proxy", ""),
        ],
        more,
    ]
    .concat();
    project.m3_with(&["data", "pull", "toy", "--data", "sets", "--json"], &environment)
}

#[cfg(feature = "hub")]
#[test]
fn data_is_pulled_once_and_never_put_in_place_with_other_bytes() {
    let project = Project::new();
    let rows = b"{\"name\": \"a\", \"question\": \"q\", \"answer\": \"x\"}\n".to_vec();
    let hub = "hub = { dataset = \"org/set\", revision = \"main\", file = \"data/rows.jsonl\" }";
    benchmark(&project, "rows.jsonl", &format!("sha256 = \"{}\"\n{hub}", sha256(&rows)));
    let (address, asked) = serve("data/rows.jsonl", rows.clone(), sha256(&rows));
    let offline = pull(&project, &address, &[("HF_HUB_OFFLINE", "1")]).fails(1);
    assert!(offline.contains("HF_HUB_OFFLINE") && asked.load(Ordering::SeqCst) == 0, "{offline}");
    let said: Value = serde_json::from_str(&pull(&project, &address, &[]).ok()).unwrap();
    assert_eq!(
        (&said["files"][0]["state"], &said["files"][0]["file"]),
        (&json!("right"), &json!("rows.jsonl"))
    );
    assert_eq!(std::fs::read(project.path("sets/rows.jsonl")).unwrap(), rows);
    assert!(project.path("cache/hub/datasets--org--set").is_dir());
    let before = asked.load(Ordering::SeqCst);
    pull(&project, &address, &[]).ok();
    std::fs::remove_file(project.path("sets/rows.jsonl")).unwrap();
    pull(&project, &address, &[("HF_HUB_OFFLINE", "1")]).ok();
    assert_eq!(asked.load(Ordering::SeqCst), before, "the cache has it");
    // What lies there with other bytes is named, and left alone.
    std::fs::write(project.path("sets/rows.jsonl"), "changed").unwrap();
    let wrong = pull(&project, &address, &[]).fails(1);
    assert!(wrong.contains(&sha256(b"changed")) && wrong.contains("rows.jsonl"), "{wrong}");
    let list = project.m3(&["data", "list", "toy", "--data", "sets"]).ok();
    assert!(list.contains("WRONG") && list.contains(&sha256(&rows)), "{list}");
    assert_eq!(std::fs::read(project.path("sets/rows.jsonl")).unwrap(), b"changed");

    // Bytes that are not those of the card, and bytes that are not those that the hub announced.
    for (announced, said) in
        [(sha256(b"other"), "SHA-256"), (sha256(&rows), "not those that the hub announced")]
    {
        let project = Project::new();
        benchmark(&project, "rows.jsonl", &format!("sha256 = \"{}\"\n{hub}", sha256(&rows)));
        let (address, _) = serve("data/rows.jsonl", b"other".to_vec(), announced);
        let refused = pull(&project, &address, &[]).fails(1);
        assert!(refused.contains(said), "{refused}");
        assert!(!project.path("sets/rows.jsonl").exists());
    }
    // A file that the data set does not have.
    let project = Project::new();
    benchmark(&project, "rows.jsonl", &hub.replace("rows.jsonl", "none.jsonl"));
    let refused = pull(&project, &address, &[]).fails(1);
    assert!(refused.contains("org/set@main") && refused.contains("no file `data/none.jsonl`"), "{refused}");
}

#[test]
fn what_each_benchmark_needs_is_listed() {
    let project = Project::new();
    let list = project.m3(&["data", "list"]).ok();
    for part in ["gsm8k: openai/grade-school-math", "gsm8k_test.jsonl", "datasets/tiny/gsm8k", "--data DIR"] {
        assert!(list.contains(part), "{list}");
    }
    let json: Value =
        serde_json::from_str(&project.m3(&["data", "list", "mbpp", "--json", "--data", "."]).ok()).unwrap();
    let states: Vec<_> = json["files"].as_array().unwrap().iter().map(|file| &file["state"]).collect();
    assert!(states.len() >= 2 && states.iter().all(|state| **state == "missing"), "{json}");
    benchmark(&project, "rows.jsonl", "");
    let nothing = project.m3(&["data", "pull", "toy", "--data", "sets"]).fails(1);
    assert!(
        nothing.contains("no file of its data is known to be on a hub") && nothing.contains("made"),
        "{nothing}"
    );
    assert!(!Path::new(&project.path("sets")).exists());
    // What the paper and the references use can be fetched, and its bytes are known.
    let all: Value = serde_json::from_str(&project.m3(&["data", "list", "--json"]).ok()).unwrap();
    let files = all["files"].as_array().unwrap();
    let on_hub: Vec<&Value> = files.iter().filter(|file| file["hub"].is_string()).collect();
    assert!(on_hub.iter().all(|file| file["sha256"].is_string()), "{on_hub:?}");
    let name = |file: &Value| file["benchmark"].as_str().unwrap().to_owned();
    let of = |files: &[&Value]| files.iter().map(|file| name(file)).collect::<BTreeSet<_>>();
    assert_eq!(of(&on_hub), of(&files.iter().collect::<Vec<_>>()));
}
