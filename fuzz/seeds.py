"""Writes small valid files for every fuzz target into fuzz/corpus. Needs Python alone; run from the repository root."""

import json
import shutil
import struct
from pathlib import Path

ROOT = Path(__file__).resolve().parent
D, FF, VOCAB, HEADS = 4, 2, 5, 2


def put(target, name, content):
    folder = ROOT / "corpus" / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())


def safetensors(tensors):
    header, at = {}, 0
    for name, dtype, shape, size in tensors:
        for axis in shape:
            size *= axis
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + size]}
        at += size
    text = json.dumps({"__metadata__": {"format": "pt"}, **header}, separators=(",", ":")).encode()
    return struct.pack("<Q", len(text)) + text + bytes(at)


def text(value):
    raw = value.encode()
    return struct.pack("<Q", len(raw)) + raw


def value(kind, content):
    scalars = {4: "<I", 5: "<i", 6: "<f", 7: "<?"}
    if kind == 8:
        return struct.pack("<I", 8) + text(content)
    if kind == 9:
        inner, items = content
        body = b"".join(text(x) if inner == 8 else struct.pack(scalars[inner], x) for x in items)
        return struct.pack("<IIQ", 9, inner, len(items)) + body
    return struct.pack("<I", kind) + struct.pack(scalars[kind], content)


def gguf(model, quantised):
    """A Llama of one layer; `quantised` stores the feed-forward matrices as Q8_0, whose rows are blocks of 32."""
    width, inner = (32, 32) if quantised else (D, FF)
    pieces = ["<s>", "</s>", "a", "b", "ab"]
    metadata = [
        ("general.architecture", 8, "llama"),
        ("llama.block_count", 4, 1),
        ("llama.context_length", 4, 16),
        ("llama.embedding_length", 4, width),
        ("llama.feed_forward_length", 4, inner),
        ("llama.attention.head_count", 4, HEADS),
        ("llama.attention.head_count_kv", 4, 1),
        ("llama.attention.layer_norm_rms_epsilon", 6, 1e-5),
        ("llama.rope.freq_base", 6, 1e4),
        ("tokenizer.ggml.model", 8, model),
        ("tokenizer.ggml.tokens", 9, (8, pieces)),
        ("tokenizer.ggml.token_type", 9, (5, [3, 3, 1, 1, 1])),
        ("tokenizer.ggml.bos_token_id", 4, 0),
        ("tokenizer.ggml.eos_token_id", 4, 1),
        ("tokenizer.chat_template", 8, "{{ messages }}"),
    ]
    if model == "gpt2":
        metadata += [("tokenizer.ggml.pre", 8, "gpt-2"), ("tokenizer.ggml.merges", 9, (8, ["a b"]))]
    else:
        metadata += [("tokenizer.ggml.scores", 9, (6, [0.0, 0.0, -1.0, -2.0, -3.0])), ("tokenizer.ggml.add_bos_token", 7, True)]
    half = width // HEADS
    matrices = {
        "token_embd.weight": (VOCAB, width), "output_norm.weight": (width,), "output.weight": (VOCAB, width),
        "blk.0.attn_norm.weight": (width,), "blk.0.ffn_norm.weight": (width,), "blk.0.attn_q.weight": (width, width),
        "blk.0.attn_k.weight": (half, width), "blk.0.attn_v.weight": (half, width),
        "blk.0.attn_output.weight": (width, width), "blk.0.ffn_gate.weight": (inner, width),
        "blk.0.ffn_up.weight": (inner, width), "blk.0.ffn_down.weight": (width, inner),
    }
    if model == "gpt2":
        matrices["rope_freqs.weight"] = (half // 2,)
    head, data = b"", b""
    for key, kind, content in metadata:
        head += text(key) + value(kind, content)
    for name, shape in matrices.items():
        count = 1
        for axis in shape:
            count *= axis
        kind, size = (8, count // 32 * 34) if quantised and "ffn_" in name and len(shape) == 2 else (0, 4 * count)
        head += text(name) + struct.pack("<I", len(shape)) + b"".join(struct.pack("<Q", n) for n in reversed(shape))
        head += struct.pack("<IQ", kind, len(data))
        data += (struct.pack("<f", 1.0) * count if kind == 0 else bytes(size)) + bytes(-size % 32)
    head = b"GGUF" + struct.pack("<IQQ", 3, len(matrices), len(metadata)) + head
    return head + bytes(-len(head) % 32) + data


ADAPTERS = [
    {"peft_type": "LORA", "r": 8, "lora_alpha": 16, "target_modules": ["q_proj", "v_proj"], "bias": "none",
     "base_model_name_or_path": "org/base", "modules_to_save": ["embed_tokens"], "task_type": "CAUSAL_LM"},
    {"r": 16, "lora_alpha": 0.5, "use_rslora": True, "target_modules": ".*\\.(q|k)_proj", "fan_in_fan_out": True},
    {"r": 2, "lora_alpha": 1, "target_modules": "all-linear", "init_lora_weights": "gaussian",
     "rank_pattern": {"layers.3.q_proj": 4, "^model.layers.\\d+.k_proj": 1}, "alpha_pattern": {"q_proj": 2.5}},
]
RECIPE = 'base = "b"\nmodels = ["x", "y"]\ncombine = "{}"\n'
RECIPES = [
    RECIPE.format("average") + 'proportion = { law = "lambda", lambda = 0.25 }\n',
    RECIPE.format("task_arithmetic") + 'scale = 1.3\ndtype = "bf16"\nvocabulary = "union"\n',
    RECIPE.format("ties") + 'sparsify = [{ method = "trim", density = 0.3, scope = "model" }]\n',
    RECIPE.format("task_arithmetic") + '[[sparsify]]\nmethod = "dare"\ndrop = 0.2\nrescale = "l1"\nseed = 7\n'
    '[[sparsify]]\nmethod = "della"\ndensity = 0.5\nepsilon = 0.1\n',
    RECIPE.format("ties") + 'sparsify = [{ method = "breadcrumbs", density = 0.5, gamma = 0.1 }]\n',
    RECIPE.format("slerp") + 'proportion = { law = "beta", alpha = 0.4, seed = 3, index = 2 }\n',
    RECIPE.format("nuslerp") + 'proportion = { law = "dirichlet", alpha = 2.0, seed = 3 }\n',
    RECIPE.format("model_stock"),
    RECIPE.format("average") + 'proportion = { law = "p_series", p = 3.0 }\nvocabulary = "keep-padding"\n',
    RECIPE.format("average") + 'proportion = { law = "fixed", weights = [0.25, 0.75] }\n',
]
CONFIGS = [
    "merge_method: linear\nmodels:\n- {model: a, parameters: {weight: 0.3}}\n- {model: b, parameters: {weight: [0, 0.5, 1]}}\n",
    "merge_method: ties\nbase_model: b\nmodels:\n- model: b\n- model: x\n  parameters:\n    density: [1, 0.5]\n    weight:\n"
    "    - {filter: mlp, value: 0.5}\n    - value: 0.2\nparameters: {normalize: true, int8_mask: true, lambda: 0.7}\n"
    "dtype: bfloat16\nout_dtype: float32\n",
    "merge_method: della\nbase_model: b\nmodels:\n- {model: x, parameters: {weight: 1, density: 0.5, epsilon: 0.1}}\n",
    "merge_method: breadcrumbs\nbase_model: b\nmodels:\n- {model: x, parameters: {weight: 1, density: 0.5, gamma: 0.1}}\n",
    "merge_method: slerp\nbase_model: a\nslices:\n- sources:\n  - {model: a, layer_range: [0, 2]}\n"
    "  - {model: b, layer_range: [0, 2]}\nparameters:\n  t:\n  - {filter: self_attn, value: [0, 1]}\n  - value: 0.5\n",
    "merge_method: passthrough\nslices:\n- sources: [{model: a, layer_range: [0, 2]}]\n"
    "- sources: [{model: b, layer_range: [1, 2], parameters: {scale: 0.5}}]\n  base_model: b\n",
    "merge_method: task_arithmetic\nbase_model: b\nmodels: [{model: other, parameters: {weight: 1}}]\ntokenizer_source: union\n",
    "merge_method: nuslerp\nmodels: [{model: a}, {model: other}]\nparameters: {weight: 1, nuslerp_flatten: false}\n"
    "tokenizer:\n  source: union\n  pad_to_multiple_of: 8\n  tokens:\n    x: {source: {kind: zero}, force: true}\n"
    "    d: {source: {kind: model_token, model: a, token_id: 1}}\n    a: {source: other}\n",
    "merge_method: model_stock\nbase_model: b\nmodules:\n  default:\n    models: [{model: x}, {model: org/y@main+org/lora}]\n"
    "    parameters: {filter_wise: true}\nchat_template: '{{ x }}'\n",
    "merge_method: nearswap\nbase_model: b\nmodels: [{model: x}]\nparameters: {t: 0.01}\nchat_template: auto\n",
]


def main():
    three = [("a", "F32", [2, 3], 4), ("b.rotary_emb.inv_freq", "F64", [2], 8), ("c", "BF16", [0], 2), ("d", "F16", [], 2)]
    put("safetensors_header", "three", safetensors(three))
    put("safetensors_header", "none", safetensors([]))
    index = {"metadata": {"total_size": 8}, "weight_map": {"a": "model-00001-of-00002.safetensors", "b": "x"}}
    put("safetensors_index", "two", json.dumps(index))
    for model in ("gpt2", "llama"):
        for quantised in (False, True):
            put("gguf", f"{model}-{'q8_0' if quantised else 'f32'}", gguf(model, quantised))
    (ROOT / "corpus/pickle").mkdir(parents=True, exist_ok=True)
    shutil.copy(ROOT.parent / "tests/golden/torch_model.bin", ROOT / "corpus/pickle/torch_model.bin")
    for target, all_of_it in (("adapter_config", map(json.dumps, ADAPTERS)), ("recipe", RECIPES), ("mergekit", CONFIGS)):
        for number, content in enumerate(all_of_it):
            put(target, str(number), content)


if __name__ == "__main__":
    main()
