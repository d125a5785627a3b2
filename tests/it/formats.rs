//! Writes files of weights in other formats, right and wrong ones, for tests.

use crate::tiny_model::TinyModel;
use candle_core::quantized::gguf_file::{self, Value};
use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{Device, Tensor};
use std::path::Path;

/// A tensor to write: name, shape, elements.
pub(crate) type Named = (String, Vec<usize>, Vec<f32>);

/// The tensors of a tiny model as it would write them.
pub(crate) fn tensors(model: &TinyModel) -> Vec<Named> {
    let dir = tempfile::tempdir().unwrap();
    let mut all = Vec::new();
    model.write(dir.path(), |name, weights| {
        all.push((name.to_owned(), weights.clone()));
        true
    });
    model.tensors().into_iter().zip(all).map(|((name, shape), (_, weights))| (name, shape, weights)).collect()
}

/// A safetensors file of f32.
pub(crate) fn safetensors(tensors: &[Named]) -> Vec<u8> {
    let mut header = serde_json::Map::new();
    let mut data = Vec::new();
    for (name, shape, weights) in tensors {
        let start = data.len();
        data.extend(weights.iter().flat_map(|w| w.to_le_bytes()));
        let entry =
            serde_json::json!({ "dtype": "F32", "shape": shape, "data_offsets": [start, data.len()] });
        header.insert(name.clone(), entry);
    }
    with_header(&serde_json::Value::Object(header).to_string(), &data)
}

/// A safetensors file with this header.
pub(crate) fn with_header(header: &str, data: &[u8]) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), data].concat()
}

/// A zip archive of stored members; with `wide`, sizes and offsets stand in zip64 fields.
pub(crate) fn zip(members: &[(String, Vec<u8>)], wide: bool) -> Vec<u8> {
    let le = |n: usize, len: usize| (n as u64).to_le_bytes()[..len].to_vec();
    let (mut file, mut directory) = (Vec::new(), Vec::new());
    for (name, data) in members {
        let at = file.len();
        let ones = vec![0xff; 4];
        let size = if wide { ones.clone() } else { le(data.len(), 4) };
        let mut extra = Vec::new();
        if wide {
            extra = [le(1, 2), le(24, 2), le(data.len(), 8), le(data.len(), 8), le(at, 8)].concat();
        }
        let common = [le(20, 2), le(0, 2), le(0, 2), le(0, 4), le(0, 4), size.clone(), size].concat();
        let padding = 64 - (at + 30 + name.len()) % 64;
        file.extend([b"PK\x03\x04".to_vec(), common.clone(), le(name.len(), 2), le(padding, 2)].concat());
        file.extend(name.bytes().chain(std::iter::repeat_n(0, padding)).chain(data.iter().copied()));
        directory.extend(
            [b"PK\x01\x02".to_vec(), le(20, 2), common, le(name.len(), 2), le(extra.len(), 2)].concat(),
        );
        directory.extend(
            [vec![0; 10], if wide { ones } else { le(at, 4) }, name.clone().into_bytes(), extra].concat(),
        );
    }
    let (at, count) = (file.len(), members.len());
    file.extend(&directory);
    let (mut n, mut size, mut offset) = (le(count, 2), le(directory.len(), 4), le(at, 4));
    if wide {
        let record = file.len();
        file.extend([b"PK\x06\x06".to_vec(), le(44, 8), le(45, 2), le(45, 2), le(0, 8)].concat());
        file.extend([le(count, 8), le(count, 8), le(directory.len(), 8), le(at, 8)].concat());
        file.extend([b"PK\x06\x07".to_vec(), le(0, 4), le(record, 8), le(1, 4)].concat());
        (n, size, offset) = (vec![0xff; 2], vec![0xff; 4], vec![0xff; 4]);
    }
    file.extend([b"PK\x05\x06".to_vec(), le(0, 4), n.clone(), n, size, offset, le(0, 2)].concat());
    file
}

fn text(text: &str) -> Vec<u8> {
    [b"X".to_vec(), (text.len() as u32).to_le_bytes().to_vec(), text.into()].concat()
}

fn int(n: usize) -> Vec<u8> {
    [b"J".to_vec(), (n as i32).to_le_bytes().to_vec()].concat()
}

fn tuple(parts: &[usize]) -> Vec<u8> {
    let inner: Vec<u8> = parts.iter().flat_map(|n| int(*n)).collect();
    [b"(".to_vec(), inner, b"t".to_vec()].concat()
}

/// The pickle of a dictionary of f32 tensors, as `torch.save` writes it; element storages are numbered.
pub(crate) fn pickle(tensors: &[(String, Vec<usize>, Vec<usize>, usize)]) -> Vec<u8> {
    let mut code = b"\x80\x02ccollections\nOrderedDict\nq\x00)R(".to_vec();
    for (number, (name, shape, stride, offset)) in tensors.iter().enumerate() {
        code.extend(text(name));
        code.extend(b"ctorch._utils\n_rebuild_tensor_v2\n((");
        code.extend(
            [text("storage"), b"ctorch\nFloatStorage\n".to_vec(), text(&number.to_string())].concat(),
        );
        code.extend([text("cpu"), int(shape.iter().product()), b"tQ".to_vec(), int(*offset)].concat());
        code.extend([tuple(shape), tuple(stride), b"\x89ccollections\nOrderedDict\n)RtR".to_vec()].concat());
    }
    code.extend(b"u.");
    code
}

/// Strides of row-major order.
pub(crate) fn row_major(shape: &[usize]) -> Vec<usize> {
    (0..shape.len()).map(|axis| shape[axis + 1..].iter().product()).collect()
}

/// A `.bin` of f32 tensors.
pub(crate) fn torch_bin(tensors: &[Named], wide: bool) -> Vec<u8> {
    let listed: Vec<_> = tensors.iter().map(|(n, s, _)| (n.clone(), s.clone(), row_major(s), 0)).collect();
    let mut members = vec![("archive/data.pkl".to_owned(), pickle(&listed))];
    for (number, (.., weights)) in tensors.iter().enumerate() {
        members
            .push((format!("archive/data/{number}"), weights.iter().flat_map(|w| w.to_le_bytes()).collect()));
    }
    zip(&members, wide)
}

/// The metadata that describes a tiny model and the tokenizer of the tests.
pub(crate) fn metadata(model: &TinyModel) -> Vec<(String, Value)> {
    let json: serde_json::Value =
        serde_json::from_str(include_str!("../golden/engine_tokenizer.json")).unwrap();
    let mut tokens: Vec<(u64, String)> = json["model"]["vocab"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(token, id)| (id.as_u64().unwrap(), token.clone()))
        .collect();
    tokens.sort();
    let kinds = tokens.iter().map(|(id, _)| Value::I32(if *id < 2 { 3 } else { 1 })).collect();
    let merges = json["model"]["merges"].as_array().unwrap().iter();
    let merges =
        merges.map(|m| Value::String(format!("{} {}", m[0].as_str().unwrap(), m[1].as_str().unwrap())));
    let count = |n: usize| Value::U32(n as u32);
    [
        ("general.architecture", Value::String("llama".into())),
        ("llama.block_count", count(model.layers)),
        ("llama.context_length", count(model.context)),
        ("llama.embedding_length", count(model.hidden)),
        ("llama.feed_forward_length", count(model.intermediate)),
        ("llama.attention.head_count", count(model.heads)),
        ("llama.attention.head_count_kv", count(model.kv_heads)),
        ("llama.attention.layer_norm_rms_epsilon", Value::F32(1e-5)),
        ("llama.rope.freq_base", Value::F32(10_000.0)),
        ("tokenizer.ggml.model", Value::String("gpt2".into())),
        ("tokenizer.ggml.pre", Value::String("gpt-2".into())),
        ("tokenizer.ggml.tokens", Value::Array(tokens.into_iter().map(|(_, t)| Value::String(t)).collect())),
        ("tokenizer.ggml.token_type", Value::Array(kinds)),
        ("tokenizer.ggml.merges", Value::Array(merges.collect())),
        ("tokenizer.ggml.bos_token_id", count(0)),
        ("tokenizer.ggml.eos_token_id", count(1)),
    ]
    .into_iter()
    .map(|(key, value)| (key.to_owned(), value))
    .collect()
}

/// llama.cpp's name of one of Hugging Face's tensors.
pub(crate) fn gguf_name(name: &str) -> String {
    let name = name
        .replace("model.embed_tokens", "token_embd")
        .replace("model.norm", "output_norm")
        .replace("lm_head", "output")
        .replace("model.layers.", "blk.")
        .replace("input_layernorm", "attn_norm")
        .replace("post_attention_layernorm", "ffn_norm")
        .replace("self_attn.o_proj", "attn_output")
        .replace("_proj", "");
    name.replace("self_attn.", "attn_").replace("mlp.", "ffn_")
}

/// Rows of rotary heads as llama.cpp stores them: row `j` of half `k` becomes `2 j + k`.
fn interleaved(weights: &[f32], columns: usize, head: usize) -> Vec<f32> {
    let mut out = vec![0.0; weights.len()];
    for (row, values) in weights.chunks(columns).enumerate() {
        let (first, within) = (row / head * head, row % head);
        let to = first + 2 * (within % (head / 2)) + within / (head / 2);
        out[to * columns..][..columns].copy_from_slice(values);
    }
    out
}

/// The way back.
fn halves(weights: &[f32], columns: usize, head: usize) -> Vec<f32> {
    let mut out = vec![0.0; weights.len()];
    for (row, values) in weights.chunks(columns).enumerate() {
        let (first, within) = (row / head * head, row % head);
        let to = first + (within % 2) * (head / 2) + within / 2;
        out[to * columns..][..columns].copy_from_slice(values);
    }
    out
}

/// Writes a GGUF file with candle, and says what its tensors mean: Hugging Face's name, elements.
pub(crate) fn write_gguf(
    path: &Path,
    model: &TinyModel,
    metadata: &[(String, Value)],
    mut encoding: impl FnMut(&str) -> GgmlDType,
) -> Vec<(String, Vec<f32>)> {
    let head = model.hidden / model.heads;
    let rotary = |name: &str| name.contains("q_proj") || name.contains("k_proj");
    let mut stored = Vec::new();
    let mut meant = Vec::new();
    for (name, shape, weights) in tensors(model) {
        let columns = *shape.last().unwrap();
        let weights = if rotary(&name) { interleaved(&weights, columns, head) } else { weights };
        let tensor = Tensor::from_vec(weights, shape, &Device::Cpu).unwrap();
        let tensor = QTensor::quantize(&tensor, encoding(&name)).unwrap();
        let values =
            tensor.dequantize(&Device::Cpu).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        meant.push((name.clone(), if rotary(&name) { halves(&values, columns, head) } else { values }));
        stored.push((gguf_name(&name), tensor));
    }
    let metadata: Vec<(&str, &Value)> = metadata.iter().map(|(k, v)| (k.as_str(), v)).collect();
    let stored: Vec<(&str, &QTensor)> = stored.iter().map(|(n, t)| (n.as_str(), t)).collect();
    let mut file = std::fs::File::create(path).unwrap();
    gguf_file::write(&mut file, &metadata, &stored).unwrap();
    meant
}
