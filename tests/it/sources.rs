//! Where a model may come from: PyTorch's `.bin`, GGUF, a LoRA adapter on top; and what each says of broken files.

use crate::cli::{Project, home};
use crate::formats::{self, Named};
use crate::tiny_model::TinyModel;
use candle_core::quantized::GgmlDType;
use candle_core::quantized::gguf_file::Value;
use m3::checkpoint::{
    Checkpoint, CheckpointError, Folder, Gguf, ModelRef, OpenOptions, Span, TensorSource, WriteOptions,
    probe, write_checkpoint,
};
use m3::dtype::DType;
use m3::event::{Event, Observer, Silent};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

const SMALL: TinyModel = TinyModel {
    hidden: 8,
    layers: 1,
    heads: 2,
    kv_heads: 1,
    intermediate: 12,
    vocab: 284,
    context: 64,
    tied: true,
    seed: 5,
};

/// A folder with everything but weights.
fn bare(model: &TinyModel) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    model.write(dir.path(), |_, _| true);
    std::fs::remove_file(dir.path().join("model.safetensors")).unwrap();
    dir
}

/// Spans of all sizes give the bits of the whole.
fn pieces_agree(source: &dyn TensorSource) {
    for (name, info) in source.manifest().iter() {
        let whole = source.read_all(name).unwrap();
        for piece in [1, 7, 33, 300] {
            let mut start = 0;
            while start < info.elements() {
                let len = piece.min(info.elements() - start);
                let mut part = vec![0.0; len];
                source.read(name, Span { start, len }, &mut part).unwrap();
                assert_eq!(part, whole[start..start + len], "{name} {start}+{len}");
                // Not everywhere, but at every kind of boundary.
                start += piece * if start > 2000 { 97 } else { 1 };
            }
        }
    }
}

fn says(error: &impl std::fmt::Display, parts: &[&str]) {
    let text = error.to_string();
    for part in parts {
        assert!(text.contains(part), "`{part}` is not in: {text}");
    }
}

#[test]
fn a_bin_that_pytorch_wrote_reads_as_it_was_saved() {
    let dir = bare(&SMALL);
    std::fs::write(dir.path().join("pytorch_model.bin"), include_bytes!("../golden/torch_model.bin"))
        .unwrap();
    let folder = Folder::open(dir.path()).unwrap();
    for (number, (name, shape)) in SMALL.tensors().into_iter().enumerate() {
        let info = folder.manifest().get(&name.as_str().into()).unwrap();
        assert_eq!(info.shape, shape, "{name}");
        let want: Vec<f32> =
            (0..info.elements()).map(|i| ((i * 37 + 11 * number) % 64) as f32 / 64.0 - 0.5).collect();
        assert_eq!(folder.read_all(&name.as_str().into()).unwrap(), want, "{name}");
    }
    let dtype = |name: &str| folder.manifest().get(&name.into()).map(|i| i.dtype);
    assert_eq!(dtype("model.embed_tokens.weight"), Some(DType::Bf16));
    assert_eq!(dtype("model.layers.0.self_attn.q_proj.weight"), Some(DType::F16));
    assert_eq!(dtype("lm_head.weight"), None, "a tied head is the embedding");
    pieces_agree(&folder);
    // Views have the digest of what they mean, not of how they lie.
    let scratch = tempfile::tempdir().unwrap();
    let out = scratch.path().join("out");
    let nothing = || Ok::<_, CheckpointError>(Vec::new());
    write_checkpoint(&folder, folder.companions(), &out, &WriteOptions::default(), nothing, &Silent).unwrap();
    assert_eq!(Folder::open(&out).unwrap().digest().unwrap(), folder.digest().unwrap());
}

#[test]
fn one_content_has_one_digest_in_every_format_and_split() {
    let model = TinyModel { tied: false, ..SMALL };
    let all = formats::tensors(&model);
    let reference = tempfile::tempdir().unwrap();
    model.write(reference.path(), |_, _| true);
    let want = Folder::open(reference.path()).unwrap().digest().unwrap();
    for wide in [false, true] {
        let dir = bare(&model);
        std::fs::write(dir.path().join("pytorch_model.bin"), formats::torch_bin(&all, wide)).unwrap();
        let folder = Folder::open(dir.path()).unwrap();
        assert_eq!(folder.digest().unwrap(), want);
    }
    let dir = bare(&model);
    let (first, second) = all.split_at(4);
    let mut map = serde_json::Map::new();
    for (number, part) in [first, second].into_iter().enumerate() {
        let name = format!("pytorch_model-0000{}-of-00002.bin", number + 1);
        std::fs::write(dir.path().join(&name), formats::torch_bin(part, false)).unwrap();
        map.extend(part.iter().map(|(tensor, ..)| (tensor.clone(), name.clone().into())));
    }
    let index = serde_json::json!({ "weight_map": map }).to_string();
    std::fs::write(dir.path().join("pytorch_model.bin.index.json"), index).unwrap();
    assert_eq!(Folder::open(dir.path()).unwrap().digest().unwrap(), want);
    std::fs::remove_file(dir.path().join("pytorch_model-00002-of-00002.bin")).unwrap();
    says(&Folder::open(dir.path()).unwrap_err(), &["pytorch_model-00002-of-00002.bin"]);
}

#[test]
fn a_pickle_runs_nothing_and_says_what_it_was_asked_to_run() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("pytorch_model.bin");
    let open = |code: &[u8]| {
        std::fs::write(&path, formats::zip(&[("archive/data.pkl".into(), code.to_vec())], false)).unwrap();
        probe::pickle(&path).unwrap_err()
    };
    let file = "pytorch_model.bin";
    says(&open(b"\x80\x02cos\nsystem\nX\x02\0\0\0ls\x85R."), &[file, "os.system"]);
    says(&open(b"\x80\x04\x8c\x05posix\x8c\x06system\x93."), &[file, "posix.system"]);
    says(&open(b"\x80\x02cbuiltins\neval\n."), &["builtins.eval"]);
    says(&open(b"\x80\x02ctorch\nload\n."), &["torch.load"]);
    // `i` is INST, an old way of calling.
    says(&open(b"\x80\x02(X\x02\0\0\0lsios\nsystem\n."), &[file, "0x69"]);
    says(&open(b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n)R."), &[file, "rebuilds"]);
    says(&open(b"\x80\x02]."), &["no dictionary"]);
    says(&open(b"\x80\x02}X\x01\0\0\0aX\x01\0\0\0bs."), &["`a` is no tensor"]);
    says(&open(b"\x80\x02X\xff\xff\xff\xffabc"), &["cut off"]);
    says(&open(b"\x80\x02ttt"), &["group"]);
    says(&open(&[b"\x80\x02".to_vec(), vec![b'N'; 1 << 21]].concat()), &["builds more"]);
    std::fs::write(&path, b"\x80\x02}q\x00.1234567890123456").unwrap();
    says(&probe::pickle(&path).unwrap_err(), &[file, "before 1.6"]);
}

#[test]
fn a_bin_whose_tensors_do_not_fit_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.bin");
    let open = |shape: &[usize], stride: &[usize], offset: usize| {
        let code = formats::pickle(&[("w".into(), shape.to_vec(), stride.to_vec(), offset)]);
        let members = [("a/data.pkl".to_owned(), code), ("a/data/0".to_owned(), vec![0u8; 24])];
        std::fs::write(&path, formats::zip(&members, false)).unwrap();
        probe::pickle(&path)
    };
    open(&[2, 3], &[3, 1], 0).unwrap();
    open(&[1, 6], &[99, 1], 0).unwrap();
    says(&open(&[2, 3], &[3, 1], 1).unwrap_err(), &["x.bin", "`w`", "outside"]);
    says(&open(&[2, 4], &[4, 1], 0).unwrap_err(), &["outside"]);
    open(&[3, 2], &[1, 3], 0).unwrap();
    open(&[2, 2], &[4, 1], 0).unwrap();
    says(&open(&[3, 2], &[1, 4], 0).unwrap_err(), &["`w`", "outside"]);
    says(&open(&[2, 2], &[4, 1], 1).unwrap_err(), &["`w`", "outside"]);
    says(&open(&[2, 2], &[3, 2], 0).unwrap_err(), &["`w`", "contiguous"]);
    says(&open(&[3, 2], &[0, 1], 0).unwrap_err(), &["`w`", "contiguous"]);
    says(&open(&[3], &[2], 0).unwrap_err(), &["`w`", "contiguous"]);
    says(&open(&[2, 2], &[usize::MAX >> 34, 1], 0).unwrap_err(), &["`w`", "outside"]);
    says(&open(&[2_000_000_000, 2_000_000_000, 2_000_000_000], &[1, 1, 1], 0).unwrap_err(), &["outside"]);
    let whole = formats::torch_bin(&[("w".into(), vec![6], vec![1.0; 6])], false);
    for cut in [0, 3, 30, whole.len() / 2, whole.len() - 1] {
        std::fs::write(&path, &whole[..cut]).unwrap();
        says(&probe::pickle(&path).unwrap_err(), &["x.bin", "damaged"]);
    }
    let at = whole.windows(4).position(|w| w == b"PK\x01\x02").unwrap();
    let mut deflated = whole.clone();
    deflated[at + 10] = 8;
    std::fs::write(&path, deflated).unwrap();
    says(&probe::pickle(&path).unwrap_err(), &["compressed"]);
}

#[test]
fn safetensors_headers_that_lie_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model.safetensors");
    let open = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        probe::safetensors_header(&path).unwrap_err()
    };
    let entry = |name: &str, start: u64, end: u64| {
        format!(r#""{name}":{{"dtype":"F32","shape":[2],"data_offsets":[{start},{end}]}}"#)
    };
    let header = |entries: &[String]| formats::with_header(&format!("{{{}}}", entries.join(",")), &[0; 16]);
    for (what, bytes) in [
        ("overlap", header(&[entry("a", 0, 8), entry("b", 4, 12)])),
        ("hole", header(&[entry("a", 0, 8), entry("b", 12, 20)])),
        ("reversed", header(&[entry("a", 8, 0)])),
        ("beyond", header(&[entry("a", 0, 8), entry("b", 8, 16), entry("c", 16, 24)])),
        ("far beyond", header(&[entry("a", 0, u64::MAX)])),
        (
            "overflow",
            formats::with_header(
                r#"{"a":{"dtype":"F32","shape":[4294967296,4294967296,4294967296],"data_offsets":[0,0]}}"#,
                &[],
            ),
        ),
        ("unused bytes", header(&[entry("a", 0, 8)])),
        ("bomb", [&u64::MAX.to_le_bytes()[..], b"{}"].concat()),
        ("large bomb", [&99_999_999u64.to_le_bytes()[..], b"{}"].concat()),
    ] {
        let text = open(&bytes).to_string();
        assert!(text.contains("model.safetensors") && text.contains("damaged"), "{what}: {text}");
    }
    for text in
        [r#"{"weight_map":{"a":"../x"}}"#, r#"{"weight_map":{"a":"/x"}}"#, r#"{"weight_map":{"a":""}}"#]
    {
        says(&probe::safetensors_index(text, &path).unwrap_err(), &["leaves the folder"]);
    }
}

/// Every encoding in turn; norms stay f32, as in real files.
fn mixed() -> impl FnMut(&str) -> GgmlDType {
    use GgmlDType::{BF16, F16, F32, Q2K, Q3K, Q4_0, Q4_1, Q4K, Q5_0, Q5_1, Q5K, Q6K, Q8_0};
    let mut turn =
        [Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, Q2K, Q3K, Q4K, Q5K, Q6K, F16, BF16, F32].into_iter().cycle();
    move |name| if name.contains("norm") { F32 } else { turn.next().unwrap() }
}

const BLOCKS: TinyModel =
    TinyModel { hidden: 256, layers: 2, heads: 4, kv_heads: 2, intermediate: 256, tied: false, ..SMALL };

#[test]
fn a_gguf_file_is_a_whole_model() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tiny.gguf");
    let meant = formats::write_gguf(&path, &BLOCKS, &formats::metadata(&BLOCKS), mixed());
    let file = Gguf::open(&path).unwrap();
    assert_eq!(file.manifest().len(), meant.len());
    for (name, values) in &meant {
        assert_eq!(&file.read_all(&name.as_str().into()).unwrap(), values, "{name}");
    }
    pieces_agree(&file);
    let folder = tempfile::tempdir().unwrap();
    BLOCKS.write(folder.path(), |_, _| true);
    let folder = Folder::open(folder.path()).unwrap();
    assert_eq!(file.companions().config, folder.companions().config);
    let load = |bytes: &[u8]| tokenizers::Tokenizer::from_bytes(bytes).unwrap();
    let (ours, theirs) = (load(&file.companions().tokenizer), load(&folder.companions().tokenizer));
    for text in ["hello the world", " and 1 + 10 = 11\n\n  stop", "<s>naïve café</s> 漢字 🦀", ""] {
        let (a, b) = (ours.encode(text, true).unwrap(), theirs.encode(text, true).unwrap());
        assert_eq!(a.get_ids(), b.get_ids(), "{text}");
        assert_eq!(ours.decode(a.get_ids(), true).unwrap(), theirs.decode(b.get_ids(), true).unwrap());
    }
    // A folder with one such file is that model; with two of them, it is a question.
    let found = Checkpoint::open_path(dir.path()).unwrap();
    assert_eq!((found.path(), found.digest().unwrap()), (path.as_path(), file.digest().unwrap()));
    std::fs::copy(&path, dir.path().join("other.gguf")).unwrap();
    says(&Checkpoint::open_path(dir.path()).unwrap_err(), &["other.gguf, tiny.gguf"]);
}

#[test]
fn a_gguf_file_answers_as_the_folder_does() {
    let project = Project::new();
    let model = TinyModel { hidden: 64, heads: 4, kv_heads: 2, intermediate: 96, ..SMALL };
    model.write(&project.path("folder"), |_, _| true);
    formats::write_gguf(&project.path("tiny.gguf"), &model, &formats::metadata(&model), |_| GgmlDType::F32);
    let say =
        |model: &str| project.m3(&["generate", model, "hello the", "--max-tokens", "12", "--json"]).ok();
    assert_eq!(say("tiny.gguf"), say("folder"));
}

#[test]
fn a_sentence_piece_vocabulary_becomes_merges() {
    let mut metadata = formats::metadata(&SMALL);
    metadata.retain(|(key, _)| !key.starts_with("tokenizer."));
    let mut tokens: Vec<(String, f32, i32)> =
        vec![("<unk>".into(), 0.0, 2), ("<s>".into(), 0.0, 3), ("</s>".into(), 0.0, 3)];
    tokens.extend((0..256).map(|b| (format!("<0x{b:02X}>"), 0.0, 6)));
    for (rank, token) in
        ["he", "ll", "hell", "▁hell", "▁hello", "lo", "▁", "h", "e", "l", "o"].iter().enumerate()
    {
        tokens.push(((*token).to_owned(), -(rank as f32), 1));
    }
    let array = |of: &dyn Fn(&(String, f32, i32)) -> Value| Value::Array(tokens.iter().map(of).collect());
    metadata.extend([
        ("tokenizer.ggml.model".to_owned(), Value::String("llama".into())),
        ("tokenizer.ggml.tokens".to_owned(), array(&|t| Value::String(t.0.clone()))),
        ("tokenizer.ggml.scores".to_owned(), array(&|t| Value::F32(t.1))),
        ("tokenizer.ggml.token_type".to_owned(), array(&|t| Value::I32(t.2))),
        ("tokenizer.ggml.bos_token_id".to_owned(), Value::U32(1)),
        ("tokenizer.ggml.eos_token_id".to_owned(), Value::U32(2)),
    ]);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("spm.gguf");
    formats::write_gguf(&path, &SMALL, &metadata, |_| GgmlDType::F32);
    let tokenizer =
        tokenizers::Tokenizer::from_bytes(&Gguf::open(&path).unwrap().companions().tokenizer).unwrap();
    let encoding = tokenizer.encode("hello hé", true).unwrap();
    assert_eq!(encoding.get_tokens(), ["<s>", "▁hello", "▁", "h", "<0xC3>", "<0xA9>"]);
    assert_eq!(tokenizer.decode(encoding.get_ids(), true).unwrap(), "hello hé");
}

#[test]
fn a_gguf_file_that_is_broken_or_foreign_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tiny.gguf");
    let full = formats::metadata(&SMALL);
    let with = |key: &str, value: Option<Value>| {
        let mut changed = full.clone();
        changed.retain(|(k, _)| k != key);
        changed.extend(value.map(|v| (key.to_owned(), v)));
        formats::write_gguf(&path, &SMALL, &changed, |_| GgmlDType::F32);
        Gguf::open(&path).unwrap_err()
    };
    let text = |t: &str| Some(Value::String(t.to_owned()));
    says(&with("general.architecture", text("mamba")), &["tiny.gguf", "general.architecture", "mamba"]);
    says(&with("llama.block_count", None), &["llama.block_count"]);
    says(&with("llama.block_count", Some(Value::U32(2))), &["model.layers.1."]);
    says(&with("llama.block_count", Some(Value::U32(u32::MAX))), &["num_hidden_layers"]);
    says(&with("tokenizer.ggml.model", text("bert")), &["tokenizer.ggml.model", "bert"]);
    says(&with("tokenizer.ggml.pre", text("falcon")), &["tokenizer.ggml.pre", "falcon", "llama-bpe"]);
    says(&with("llama.rope.scaling.type", text("yarn")), &["llama.rope.scaling.type", "yarn"]);
    says(&with("split.count", Some(Value::U16(3))), &["split.count"]);
    formats::write_gguf(&path, &SMALL, &full, |_| GgmlDType::F32);
    let whole = std::fs::read(&path).unwrap();
    for cut in [0, 3, 20, 5000, whole.len() - 64] {
        std::fs::write(&path, &whole[..cut]).unwrap();
        says(&Gguf::open(&path).unwrap_err(), &["tiny.gguf", "damaged"]);
    }
    let patched = |at: usize, bytes: &[u8]| {
        let mut file = whole.clone();
        file[at..at + bytes.len()].copy_from_slice(bytes);
        std::fs::write(&path, file).unwrap();
        Gguf::open(&path).unwrap_err()
    };
    says(&patched(4, &9u32.to_le_bytes()), &["version 9"]);
    says(&patched(8, &u64::MAX.to_le_bytes()), &["18446744073709551615 tensors"]);
    says(&patched(16, &u64::MAX.to_le_bytes()), &["metadata entries"]);
    says(&patched(24, &u64::MAX.to_le_bytes()), &["cut off"]);
    // The type and the offset of the first tensor: name, axes, two lengths, type, offset.
    let at = whole.windows(17).position(|w| w == b"token_embd.weight").unwrap() + 17 + 4 + 16;
    says(&patched(at, &99u32.to_le_bytes()), &["tiny.gguf", "token_embd.weight", "GGUF type 99", "Q4_0"]);
    says(&patched(at + 4, &(1u64 << 40).to_le_bytes()), &["token_embd.weight", "outside"]);
}

/// Watches for warnings.
#[derive(Default)]
struct Warnings(Mutex<Vec<String>>);

impl Observer for Warnings {
    fn observe(&self, event: &Event<'_>) {
        if let Event::Warning { text } = event {
            self.0.lock().unwrap().push((*text).to_owned());
        }
    }
}

/// One term of B·A: row, column, and which of the rank's.
type Product<'a> = Box<dyn Fn(usize, usize, usize) -> f64 + 'a>;

/// Deterministic numbers of some size.
fn numbers(count: usize, seed: usize) -> Vec<f32> {
    (0..count).map(|i| ((i * 2_654_435 + seed * 97) % 1009) as f32 / 1009.0 - 0.5).collect()
}

const Q: &str = "model.layers.0.self_attn.q_proj";
const DOWN: &str = "model.layers.0.mlp.down_proj";

fn adapter(folder: &Path, config: &str, tensors: &[Named]) -> PathBuf {
    let folder = folder.join("lora");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("adapter_config.json"), config).unwrap();
    std::fs::write(folder.join("adapter_model.safetensors"), formats::safetensors(tensors)).unwrap();
    folder
}

fn pair(module: &str, inner: usize, outer: usize, rank: usize) -> [Named; 2] {
    let name = |part: &str| format!("base_model.model.{module}.{part}.weight");
    [
        (name("lora_A"), vec![rank, inner], numbers(rank * inner, 1)),
        (name("lora_B"), vec![outer, rank], numbers(outer * rank, 2)),
    ]
}

const CONFIG: &str = r#"{"peft_type":"LORA","r":2,"lora_alpha":6,"target_modules":["q_proj","down_proj","embed_tokens"],
    "alpha_pattern":{"down_proj":1},"modules_to_save":["norm"],"base_model_name_or_path":"someone/else","bias":"none"}"#;

/// An adapter of every kind of change, for [`SMALL`].
fn all_changes() -> Vec<Named> {
    let mut tensors = [pair(Q, 8, 8, 2), pair(DOWN, 12, 8, 2)].concat();
    tensors.push((
        "base_model.model.model.embed_tokens.lora_embedding_A".into(),
        vec![2, 284],
        numbers(568, 3),
    ));
    tensors.push(("base_model.model.model.embed_tokens.lora_embedding_B".into(), vec![8, 2], numbers(16, 4)));
    tensors.push(("base_model.model.model.norm.weight".into(), vec![8], numbers(8, 5)));
    tensors
}

#[test]
fn an_adapter_adds_its_product_to_what_is_read() {
    let dir = tempfile::tempdir().unwrap();
    SMALL.write(&dir.path().join("base"), |_, _| true);
    let lora = adapter(dir.path(), CONFIG, &all_changes());
    let base = Folder::open(&dir.path().join("base")).unwrap();
    let reference: ModelRef = format!("{}+{}", base.path().display(), lora.display()).parse().unwrap();
    let watch = Warnings::default();
    let merged =
        Checkpoint::open(&reference, &OpenOptions { watch: &watch, ..OpenOptions::default() }).unwrap();
    says(&watch.0.lock().unwrap().join("\n"), &["someone/else", "trained on", "output head"]);
    assert_eq!(merged.manifest(), base.manifest());
    assert_ne!(merged.digest().unwrap(), base.digest().unwrap());
    // (module, rows, columns, what stands at row and column of A and B, scale α/r)
    let (qa, qb) = (numbers(16, 1), numbers(16, 2));
    let (da, db) = (numbers(24, 1), numbers(16, 2));
    let (ea, eb) = (numbers(568, 3), numbers(16, 4));
    let term = |a: f32, b: f32| f64::from(a) * f64::from(b);
    let products: [(&str, usize, f64, Product<'_>); 3] = [
        (Q, 8, 3.0, Box::new(|o, i, k| term(qb[o * 2 + k], qa[k * 8 + i]))),
        (DOWN, 12, 0.5, Box::new(|o, i, k| term(db[o * 2 + k], da[k * 12 + i]))),
        ("model.embed_tokens", 8, 3.0, Box::new(|o, i, k| term(eb[i * 2 + k], ea[k * 284 + o]))),
    ];
    for (name, _) in base.manifest().iter() {
        let (was, is) = (base.read_all(name).unwrap(), merged.read_all(name).unwrap());
        let module = name.as_str().trim_end_matches(".weight");
        if module == "model.norm" {
            assert_eq!(is, numbers(8, 5));
        } else if let Some((_, columns, scale, product)) = products.iter().find(|p| p.0 == module) {
            for (at, (was, is)) in was.iter().zip(&is).enumerate() {
                let (row, column) = (at / columns, at % columns);
                let sum: f64 = (0..2).map(|k| product(row, column, k)).sum();
                assert_eq!((f64::from(*was) + scale * sum) as f32, *is, "{name}[{at}]");
            }
        } else {
            assert_eq!(was, is, "{name}");
        }
    }
    pieces_agree(&merged);
}

#[test]
fn an_adapter_rounds_to_the_element_type_of_its_base() {
    let dir = bare(&SMALL);
    std::fs::write(dir.path().join("pytorch_model.bin"), include_bytes!("../golden/torch_model.bin"))
        .unwrap();
    let config = r#"{"r":2,"lora_alpha":1,"target_modules":"all-linear"}"#;
    let lora = adapter(dir.path(), config, &pair(DOWN, 12, 8, 2));
    let reference = format!("{}+{}", dir.path().display(), lora.display()).parse().unwrap();
    let merged = Checkpoint::open(&reference, &OpenOptions::default()).unwrap();
    let values = merged.read_all(&format!("{DOWN}.weight").into()).unwrap();
    assert!(values.iter().all(|x| x.to_bits().is_multiple_of(1 << 16)), "bf16 has 16 bits");
}

#[test]
fn an_adapter_for_another_model_is_refused() {
    let project = Project::new();
    SMALL.write(&project.path("base"), |_, _| true);
    let run = |config: &str, tensors: &[Named]| {
        adapter(project.root(), config, tensors);
        project.m3(&["generate", "base+lora", "x", "--max-tokens", "1"])
    };
    run(CONFIG, &all_changes()).ok();
    let q = r#"{"r":2,"lora_alpha":6,"target_modules":["q_proj"]}"#;
    says(&run(q, &pair(Q, 16, 8, 2)).fails(1), &["adapter_model.safetensors", "lora_A", "[2, 16]", "[2, 8]"]);
    says(&run(q, &pair(Q, 8, 8, 3)).fails(1), &["lora_A", "[3, 8]"]);
    let far = "model.layers.7.self_attn.q_proj";
    says(&run(q, &[pair(Q, 8, 8, 2), pair(far, 8, 8, 2)].concat()).fails(1), &["another model", "layers.7"]);
    says(&run(q, &pair(Q, 8, 8, 2)[..1]).fails(1), &["lacks", Q]);
    says(&run(q, &pair(DOWN, 12, 8, 2)).fails(1), &["target_modules", DOWN]);
    let two = r#"{"r":2,"lora_alpha":6,"target_modules":["q_proj","v_proj"]}"#;
    says(&run(two, &pair(Q, 8, 8, 2)).fails(1), &["lacks", "v_proj"]);
    says(&run(&q.replace("\"r\"", "\"use_dora\":true,\"r\""), &pair(Q, 8, 8, 2)).fails(1), &["use_dora"]);
    let whole = ("base_model.model.model.norm.weight".to_owned(), vec![8], numbers(8, 1));
    says(&run(q, &[pair(Q, 8, 8, 2).to_vec(), vec![whole]].concat()).fails(1), &["model.norm"]);
    std::fs::remove_file(project.path("lora/adapter_config.json")).unwrap();
    let said = project.m3(&["generate", "base+lora", "x", "--max-tokens", "1"]).fails(1);
    says(&said, &["adapter_config.json"]);
    says(&project.m3(&["generate", "base+a+b", "x"]).fails(1), &["more than one `+`"]);
    says(&project.m3(&["generate", "base@v1", "x"]).fails(1), &["base", "leave `@v1` out"]);
}

/// Opens the file that was damaged.
type Open<'a> = &'a dyn Fn() -> bool;

/// splitmix64 (Steele, Lea & Flood 2014).
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) % n as u64) as usize
    }
}

/// Damages a file in one of the ways in which files get damaged, within its first `within` bytes or its last 200.
fn damage(whole: &[u8], within: usize, random: &mut Random) -> Vec<u8> {
    let mut file = whole.to_vec();
    for _ in 0..=random.below(3) {
        let end = within.min(file.len()).max(1);
        let at = if random.below(5) == 0 {
            file.len() - 1 - random.below(200.min(file.len()))
        } else {
            random.below(end)
        };
        match random.below(6) {
            0 => file[at] ^= 1 << random.below(8),
            1 => file[at] = random.below(256) as u8,
            2 => file[at..].iter_mut().take(8).for_each(|b| *b = 0xff),
            3 => file[at..].iter_mut().take(4).for_each(|b| *b = 0),
            4 => drop(file.drain(at..(at + 1 + random.below(8)).min(file.len()))),
            _ => file.truncate(at.max(1)),
        }
    }
    file
}

#[test]
fn damaged_files_are_errors_and_never_panics() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    let tiny = TinyModel { hidden: 4, heads: 1, ..SMALL };
    formats::write_gguf(&path, &tiny, &formats::metadata(&tiny), |_| GgmlDType::F32);
    let gguf = std::fs::read(&path).unwrap();
    let all = formats::tensors(&tiny);
    let index =
        format!(r#"{{"metadata":{{"total_size":8}},"weight_map":{{"a":"b","{Q}":"c.safetensors"}}}}"#);
    let (plain, wide) = (formats::torch_bin(&all, false), formats::torch_bin(&all, true));
    let torch = include_bytes!("../golden/torch_model.bin");
    let read_one = |source: &dyn TensorSource| {
        source.manifest().iter().for_each(|(name, _)| drop(source.read_all(name)));
    };
    let cases: [(&[u8], usize, Open<'_>); 6] = [
        (&formats::safetensors(&all), 1500, &|| probe::safetensors_header(&path).is_ok()),
        (index.as_bytes(), 500, &|| {
            std::fs::read_to_string(&path).is_ok_and(|text| probe::safetensors_index(&text, &path).is_ok())
        }),
        (&gguf, 12_000, &|| Gguf::open(&path).map(|file| read_one(&file)).is_ok()),
        (&plain, 3000, &|| probe::pickle(&path).is_ok()),
        (&wide, 3000, &|| probe::pickle(&path).is_ok()),
        (torch, 2000, &|| probe::pickle(&path).is_ok()),
    ];
    let mut random = Random(7);
    for (number, (whole, within, open)) in cases.into_iter().enumerate() {
        std::fs::write(&path, whole).unwrap();
        assert!(open(), "case {number} is sound before it is damaged");
        let sound = (0..2000)
            .filter(|_| {
                std::fs::write(&path, damage(whole, within, &mut random)).unwrap();
                open()
            })
            .count();
        assert!(sound < 1800, "case {number}: {sound} of 2000 damaged files were accepted");
    }
}

#[test]
fn weights_that_did_not_change_are_not_read_again_for_their_digest() {
    let project = Project::new();
    let (model, known) = (project.path("model"), project.path("digests"));
    std::fs::create_dir(&model).unwrap();
    for file in std::fs::read_dir(home().join("models/tiny/math")).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), model.join(file.file_name())).unwrap();
    }
    let weights = model.join("model.safetensors");
    let open = || {
        let options = OpenOptions { digests: Some(known.clone()), ..OpenOptions::default() };
        Checkpoint::open(&model.to_str().unwrap().parse().unwrap(), &options).unwrap()
    };
    let kept = || std::fs::read_dir(&known).map_or(0, Iterator::count);
    // A file that was written a moment ago may be written again without its time moving.
    let first = open().digest().unwrap();
    assert_eq!((kept(), first), (0, Checkpoint::open_path(&model).unwrap().digest().unwrap()));
    std::thread::sleep(std::time::Duration::from_millis(2100));
    assert_eq!((open().digest().unwrap(), kept()), (first, 1));
    // What is kept is believed, so nothing was read.
    let other = m3::digest::Digest::of_bytes(b"another");
    let entry = std::fs::read_dir(&known).unwrap().next().unwrap().unwrap().path();
    std::fs::write(&entry, format!("\"{other}\"\n")).unwrap();
    let opened = open();
    assert_eq!(opened.digest().unwrap(), other);
    // One byte changes and the file's time is set back: it is another file all the same.
    let before = std::fs::metadata(&weights).unwrap().modified().unwrap();
    let mut bytes = std::fs::read(&weights).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&weights, bytes).unwrap();
    std::fs::File::options().write(true).open(&weights).unwrap().set_modified(before).unwrap();
    let changed = open().digest().unwrap();
    assert!(changed != other && changed != first);
    let error = opened.digest().unwrap_err().to_string();
    assert!(error.contains("model.safetensors` was changed while it was in use"), "{error}");
    // A kept digest that is damaged is none.
    std::fs::write(&entry, "?").unwrap();
    assert_eq!(open().digest().unwrap(), changed);
}
