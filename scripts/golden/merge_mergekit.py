"""Golden numbers of mergekit itself on tiny Llamas with awkward tensors: one row, one column, vectors, deltas that are all
zero, all equal, or cancel.

    pip install mergekit==0.1.5
    python3 scripts/golden/merge_mergekit.py > tests/golden/merge_mergekit.json

The file holds the models (f32 numbers that bf16 holds too) and, per case, mergekit's configuration and what it wrote.
Methods that draw random numbers are not here: their draws are mergekit's own.
"""

import json
import random
import sys
import tempfile
from pathlib import Path

import numpy
import torch
import yaml
from mergekit.config import MergeConfiguration
from mergekit.merge import run_merge
from mergekit.options import MergeOptions
from safetensors.torch import load_file, save_file

CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 4,
    "intermediate_size": 1,
    "vocab_size": 5,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "rms_norm_eps": 1e-5,
    "max_position_embeddings": 16,
    "tie_word_embeddings": False,
    "hidden_act": "silu",
    "torch_dtype": "float32",
}
LAYER = {
    "input_layernorm": [4],
    "post_attention_layernorm": [4],
    "self_attn.q_proj": [4, 4],
    "self_attn.k_proj": [2, 4],
    "self_attn.v_proj": [2, 4],
    "self_attn.o_proj": [4, 4],
    "mlp.gate_proj": [1, 4],
    "mlp.up_proj": [1, 4],
    "mlp.down_proj": [4, 1],
}


def shapes(config=CONFIG):
    vocab = config["vocab_size"]
    found = {"model.embed_tokens.weight": [vocab, 4], "model.norm.weight": [4], "lm_head.weight": [vocab, 4]}
    for layer in range(config["num_hidden_layers"]):
        for part, shape in LAYER.items():
            found[f"model.layers.{layer}.{part}.weight"] = shape
    return found


def made(seed, base=None):
    """A base, or a fine-tune of one: some deltas are all zero, all equal, or equal in size."""
    draw = random.Random(seed)
    tensors = {}
    for name, shape in shapes().items():
        n = 1
        for size in shape:
            n *= size
        if base is None:
            values = [draw.uniform(-1, 1) for _ in range(n)]
        else:
            delta = [draw.uniform(-0.25, 0.25) for _ in range(n)]
            if "layers.0.self_attn.k_proj" in name:
                delta = [0.0] * n
            if "layers.0.self_attn.v_proj" in name:
                delta = [0.125] * n
            if "layers.1.self_attn.k_proj" in name:
                delta = [0.125 if (i + seed) % 2 else -0.125 for i in range(n)]
            values = [float(b) + d for b, d in zip(base[name].flatten().tolist(), delta)]
        tensors[name] = torch.tensor(values, dtype=torch.float32).to(torch.bfloat16).float().reshape(shape)
    return tensors


def save(folder, tensors, config=CONFIG, dtype=torch.float32):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    save_file({k: v.to(dtype).contiguous() for k, v in tensors.items()}, folder / "model.safetensors",
              metadata={"format": "pt"})


def merged(root, config):
    """What mergekit writes for a configuration whose models are folders in `root`."""
    def rooted(node):
        if isinstance(node, dict):
            return {k: str(root / v) if k in ("model", "base_model") and isinstance(v, str) else rooted(v)
                    for k, v in node.items()}
        return [rooted(x) for x in node] if isinstance(node, list) else node

    parsed = MergeConfiguration.model_validate(yaml.safe_load(yaml.safe_dump(rooted(config))))
    with tempfile.TemporaryDirectory() as out:
        run_merge(parsed, out, MergeOptions(copy_tokenizer=False, quiet=True, random_seed=0))
        found = {}
        for shard in sorted(Path(out).glob("*.safetensors")):
            found.update(load_file(shard))
        return found


def models(*parameters, names=("a", "b", "c")):
    return [{"model": name, "parameters": p} if p else {"model": name} for name, p in zip(names, parameters)]


def slices(*runs, **more):
    return [{"sources": [{"model": m, "layer_range": r, **p} for m, r, p in sources], **more} for sources in runs]


W = {"weight": 1.0}
CASES = {
    "linear": dict(merge_method="linear", models=models({"weight": 0.3}, {"weight": 0.9})),
    "linear-sum": dict(merge_method="linear", models=models(W, {"weight": -0.5}), parameters={"normalize": False}),
    "linear-gradient": dict(merge_method="linear", models=models({"weight": [0, 0.3, 1]}, {"weight": 0.5})),
    "linear-filters": dict(merge_method="linear", models=models(
        {"weight": [{"filter": "mlp", "value": [0.1, 0.7]}, {"filter": "norm", "value": 0.25}, {"value": 1.0}]}, W)),
    "linear-fallthrough": dict(merge_method="linear", models=models(
        {"weight": [{"filter": "self_attn", "value": 0.125}]}, {"weight": 0.5}), parameters={"weight": 0.75}),
    "arithmetic": dict(merge_method="task_arithmetic", base_model="base",
                       models=models({"weight": 0.4}, {"weight": 0.7}, {"weight": 0.2}), parameters={"lambda": 0.3}),
    "arithmetic-normalised": dict(merge_method="task_arithmetic", base_model="base",
                                  models=models({"weight": 0.4}, {"weight": 0.7}), parameters={"normalize": True}),
    "arithmetic-no-weight": dict(merge_method="task_arithmetic", base_model="base",
                                 models=models({"weight": 0.5}, {"weight": -0.5}), parameters={"normalize": True}),
    "ties": dict(merge_method="ties", base_model="base",
                 models=models({"weight": 1.0, "density": 0.5}, {"weight": 0.5, "density": 0.3})),
    "ties-base-listed": dict(merge_method="ties", base_model="base",
                             models=[{"model": "base"}] + models({"weight": 1, "density": [0.2, 1.0]}, {"weight": 0.5})),
    "ties-sum-rescaled": dict(merge_method="ties", base_model="base",
                              models=models({"weight": 1.0, "density": 0.5}, {"weight": 0.5, "density": 0.3}),
                              parameters={"normalize": False, "rescale": True, "lambda": 0.7, "int8_mask": True}),
    "breadcrumbs": dict(merge_method="breadcrumbs", base_model="base",
                        models=models({"weight": 1, "density": 0.5, "gamma": 0.3}, {"weight": 0.5, "density": 0.6, "gamma": 0.3})),
    "slerp": dict(merge_method="slerp", base_model="a", models=models({}, {}), parameters={"t": 0.34}),
    "slerp-reversed": dict(merge_method="slerp", base_model="b", models=models({}, {}), parameters={"t": 0.34}),
    "slerp-filters": dict(merge_method="slerp", base_model="a",
                          slices=slices([("a", [0, 3], {}), ("b", [0, 3], {})]), parameters={"t": [
                              {"filter": "self_attn", "value": [0, 0.5, 0.3]}, {"filter": "mlp", "value": [1, 0.25]},
                              {"value": 0.5}]}),
    "nuslerp": dict(merge_method="nuslerp", models=models({"weight": 0.3}, {"weight": 0.9})),
    # Not a and b: opposite deltas have no arc, and what mergekit makes of them is rounding noise.
    "nuslerp-base": dict(merge_method="nuslerp", base_model="base",
                         models=models({"weight": 0.3}, {"weight": 0.9}, names=("a", "c"))),
    "nuslerp-rows": dict(merge_method="nuslerp", models=models({"weight": 0.3}, {"weight": 0.9}),
                         parameters={"nuslerp_flatten": False, "nuslerp_row_wise": True}),
    "nuslerp-columns": dict(merge_method="nuslerp", models=models({"weight": 0.3}, {"weight": 0.9}),
                            parameters={"nuslerp_flatten": False}),
    "nuslerp-no-weight": dict(merge_method="nuslerp", models=models({"weight": 0.5}, {"weight": -0.5})),
    "nearswap": dict(merge_method="nearswap", base_model="base", models=models({}), parameters={"t": 0.05}),
    "model_stock": dict(merge_method="model_stock", base_model="base", models=models({}, {}, {})),
    "model_stock-rows": dict(merge_method="model_stock", base_model="base", models=models({}, {}),
                             parameters={"filter_wise": True}),
    "passthrough-scale": dict(merge_method="passthrough", models=models({"scale": [
        {"filter": "o_proj", "value": 0.0}, {"value": 1.0}]})),
    "frankenmerge": dict(merge_method="passthrough", slices=slices(
        [("a", [0, 2], {})], [("b", [1, 3], {})], [("a", [2, 3], {"parameters": {"scale": 0.5}})])),
    "slices-linear": dict(merge_method="linear", slices=slices(
        [("a", [0, 2], {"parameters": {"weight": [0.2, 0.6]}}), ("b", [1, 3], {})], [("b", [2, 3], {})],
        parameters={"weight": [0.5, 0.8]})),
    # A slice may have a base of its own.
    "slice-bases": dict(merge_method="ties", parameters={"weight": 0.6, "density": 0.5}, slices=(
        slices([("base", [0, 2], {}), ("a", [0, 2], {}), ("b", [1, 3], {"parameters": {"weight": 0.3}})], base_model="base")
        + slices([("c", [2, 3], {}), ("b", [1, 2], {})], base_model="b"))),
    "slice-base-instead": dict(merge_method="slerp", base_model="a", parameters={"t": 0.34}, slices=(
        slices([("a", [0, 1], {}), ("b", [0, 1], {})])
        + slices([("a", [1, 3], {}), ("b", [1, 3], {})], base_model="b"))),
    "bf16": dict(merge_method="task_arithmetic", base_model="base", dtype="bfloat16",
                 models=models({"weight": 0.4}, {"weight": 0.7}, {"weight": 0.2}), parameters={"lambda": 0.3, "normalize": True}),
    "bf16-ties": dict(merge_method="ties", base_model="base", dtype="bfloat16",
                      models=models({"weight": 0.4, "density": 0.5}, {"weight": 0.7, "density": 0.5}, {"weight": 0.2}),
                      parameters={"lambda": 0.3, "rescale": True}),
    "bf16-linear": dict(merge_method="linear", dtype="bfloat16", models=models({"weight": 0.3}, {"weight": 0.9})),
    "f16-out-f32": dict(merge_method="linear", dtype="float16", out_dtype="float32",
                        models=models({"weight": 0.3}, {"weight": 0.9})),
    "bf16-slerp": dict(merge_method="slerp", base_model="a", dtype="bfloat16", out_dtype="float32",
                       models=models({}, {}), parameters={"t": 0.3}),
    "bf16-stock": dict(merge_method="model_stock", base_model="base", dtype="bfloat16", models=models({}, {}, {})),
    "bf16-nuslerp": dict(merge_method="nuslerp", base_model="base", dtype="bfloat16",
                         models=models({"weight": 0.3}, {"weight": 0.9})),
    "bf16-nearswap": dict(merge_method="nearswap", base_model="base", dtype="bfloat16", models=models({}),
                          parameters={"t": 0.05}),
}


def family():
    base = made(0)
    return {"base": base, **{name: made(1 + i, base) for i, name in enumerate("abc")}}


def numbers(tensor):
    """The shortest decimals that are these f32 again."""
    return [float(numpy.format_float_positional(x, unique=True, trim="0")) for x in tensor.float().flatten().numpy()]


def main():
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        tensors = family()
        for name, model in tensors.items():
            save(root / name, model)
        golden = {
            "script": "scripts/golden/merge_mergekit.py",
            "mergekit": "0.1.5",
            "config": CONFIG,
            "models": {m: {k: numbers(v) for k, v in t.items()} for m, t in tensors.items()},
            "shapes": shapes(),
            "cases": [],
        }
        for name, config in CASES.items():
            out = merged(root, config)
            golden["cases"].append({
                "id": name,
                "config": config,
                "tensors": {k: {"dtype": str(v.dtype).removeprefix("torch."), "values": numbers(v)}
                            for k, v in sorted(out.items())},
            })
        json.dump(golden, sys.stdout, separators=(",", ":"))
        print()


if __name__ == "__main__":
    main()
