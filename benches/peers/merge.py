#!/usr/bin/env python3
"""Merging: m3 against mergekit, on the same files, in one run.

    benches/peers/merge.py [--size 135m|1.1b|7b] [--work DIR] [--out DIR] [--methods linear,ties,…] [--repeat N] [--no-peer] [--empty]

Makes a base and two fine-tunes of a Llama shape with random weights (seeded, bf16), installs mergekit 0.1.5 into a virtual
environment under --work, and merges with both from one mergekit YAML per method: wall time and peak memory of the whole
command, the ratio, and how near m3 comes to the floor: the time in which this machine moves the same bytes by plain reading and writing
(inputs once for every sweep that the method needs, as `m3 inspect` tells them, output once, synced to disk). m3 syncs what it writes, mergekit does not. Every input is in the page cache before a
run. `ties_model` is the cut over the whole model with the majority sign, which the paper's program has and mergekit has not: m3
runs it, and mergekit's `ties` stands beside it. m3 reads the inputs' digests into what it writes; it has them from the bytes that it
merges the first time, and knows them when the same files are merged again: both are told. With --out on a file system in memory (/dev/shm) the disk plays no part. With --empty
the inputs are zeros that take no room on the disk: then only the peak of memory means anything, for shapes of which the disk cannot
hold three. Nothing is deleted from --work but outputs, so a second run is quick. Results that are to be kept go to
docs/performance.md with machine and date.
"""

import argparse
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
MERGEKIT = "mergekit==0.1.5"
# hidden, intermediate, layers, heads, kv heads, vocabulary
SHAPES = {
    "135m": (576, 1536, 30, 9, 3, 49152),
    "1.1b": (2048, 5632, 22, 32, 4, 32000),
    "7b": (4096, 11008, 32, 32, 32, 32000),
}
MODELS = ["base", "first", "second"]
# How often a method has to read its inputs: for cuts, norms, votes or angles first, and to merge.
SWEEPS = {"dare_ties": 2, "ties": 2, "ties_model": 3, "slerp": 3}


def recipe(method: str, folder: pathlib.Path) -> pathlib.Path:
    """The file that m3 merges."""
    if method == "ties_model":
        file = folder / "ties_model.toml"
        models = ", ".join(f'"{folder / name}"' for name in MODELS[1:])
        file.write_text(f'''base = "{folder / "base"}"
models = [{models}]
combine = "ties"
sparsify = [{{ method = "trim", density = 0.5, scope = "model" }}]
proportion = {{ law = "uniform" }}
''')
        return file
    return peer_recipe(method, folder)


def peer_recipe(method: str, folder: pathlib.Path) -> pathlib.Path:
    """The file that mergekit merges."""
    method = "ties" if method == "ties_model" else method
    file = folder / f"{method}.yml"
    file.write_text(json.dumps(config(method, folder), indent=1))
    return file


def config(method: str, folder: pathlib.Path) -> dict:
    """One method as mergekit's YAML has it (JSON is YAML)."""
    path = {name: str(folder / name) for name in MODELS}
    tuned = [path["first"], path["second"]]
    weighted = lambda **more: [{"model": m, "parameters": {"weight": 0.5, **more}} for m in tuned]
    by_method = {
        "linear": {"models": weighted()},
        "task_arithmetic": {"models": weighted(), "base_model": path["base"]},
        "ties": {"models": weighted(density=0.5), "base_model": path["base"]},
        "dare_ties": {"models": weighted(density=0.5), "base_model": path["base"]},
        "slerp": {"models": [{"model": m} for m in tuned], "base_model": path["first"], "parameters": {"t": 0.5}},
    }
    return {"merge_method": method, "dtype": "float32", "out_dtype": "bfloat16", **by_method[method]}


def make_inputs(folder: pathlib.Path, size: str, empty: bool) -> None:
    """Base and fine-tunes with random weights; a fine-tune is the base plus noise of 3 % of its size."""
    import numpy

    hidden, inner, layers, heads, kv, vocabulary = SHAPES[size]
    shapes = {"model.embed_tokens.weight": (vocabulary, hidden), "model.norm.weight": (hidden,),
              "lm_head.weight": (vocabulary, hidden)}
    for layer in range(layers):
        at = f"model.layers.{layer}."
        shapes |= {
            at + "input_layernorm.weight": (hidden,), at + "post_attention_layernorm.weight": (hidden,),
            at + "self_attn.q_proj.weight": (hidden, hidden), at + "self_attn.o_proj.weight": (hidden, hidden),
            at + "self_attn.k_proj.weight": (hidden // heads * kv, hidden),
            at + "self_attn.v_proj.weight": (hidden // heads * kv, hidden),
            at + "mlp.gate_proj.weight": (inner, hidden), at + "mlp.up_proj.weight": (inner, hidden),
            at + "mlp.down_proj.weight": (hidden, inner),
        }
    for number, name in enumerate(MODELS):
        out = folder / name
        if (out / "model.safetensors").exists():
            continue
        out.mkdir(parents=True, exist_ok=True)
        header, end = {}, 0
        for tensor, shape in shapes.items():
            length = 2 * int(numpy.prod(shape))
            header[tensor] = {"dtype": "BF16", "shape": list(shape), "data_offsets": [end, end + length]}
            end += length
        text = json.dumps(header).encode()
        text += b" " * (-len(text) % 8)
        with (out / "model.safetensors.part").open("wb") as file:
            file.write(len(text).to_bytes(8, "little") + text)
            if empty:
                file.truncate(8 + len(text) + end)
            for place, shape in enumerate([] if empty else shapes.values()):
                values = numpy.random.default_rng(place).standard_normal(shape, dtype=numpy.float32) * 0.02
                if number:
                    noise = numpy.random.default_rng([number, place]).standard_normal(shape, dtype=numpy.float32)
                    values += noise * 0.0006
                bits = values.view(numpy.uint32)
                file.write((bits + 0x7FFF + ((bits >> 16) & 1) >> 16).astype(numpy.uint16).tobytes())
        (out / "config.json").write_text(json.dumps({
            "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": hidden,
            "intermediate_size": inner, "num_hidden_layers": layers, "num_attention_heads": heads,
            "num_key_value_heads": kv, "vocab_size": vocabulary, "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
            "max_position_embeddings": 2048, "hidden_act": "silu", "tie_word_embeddings": False,
            "torch_dtype": "bfloat16", "bos_token_id": 1, "eos_token_id": 2,
        }))
        for file in ("tokenizer.json", "tokenizer_config.json"):
            source = ROOT / "models" / "tiny" / "base" / file
            if source.exists():
                shutil.copy(source, out / file)
        (out / "model.safetensors.part").rename(out / "model.safetensors")


def warm(folder: pathlib.Path) -> int:
    """Reads the inputs, so that they are in the page cache; returns their bytes."""
    total = 0
    for name in MODELS:
        with (folder / name / "model.safetensors").open("rb") as file:
            while block := file.read(1 << 24):
                total += len(block)
    return total


def floor(folder: pathlib.Path, inputs: list[str], out: pathlib.Path) -> float:
    """Seconds to read the inputs one after the other and to write the last of them, synced."""
    begin = time.monotonic()
    target = out / "copy.tmp"
    buffer = bytearray(1 << 22)
    for number, name in enumerate(inputs, start=1):
        last = number == len(inputs)
        with (folder / name / "model.safetensors").open("rb", buffering=0) as source, target.open("wb", buffering=0) as sink:
            while count := source.readinto(buffer):
                if last:
                    sink.write(memoryview(buffer)[:count])
            os.fsync(sink.fileno())
    taken = time.monotonic() - begin
    target.unlink()
    return taken


def timed(command: list[str], environment: dict) -> tuple[float, float, float]:
    """Wall seconds, processor seconds and peak resident gigabytes of a command."""
    begin = time.monotonic()
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=errors)
        peak = 0
        # The kernel's own sum (ru_maxrss) would count this script, from which the command was forked.
        while True:
            done, status, usage = os.wait4(process.pid, os.WNOHANG)
            if done:
                break
            try:
                with open(f"/proc/{process.pid}/status") as file:
                    peak = max([peak, *(int(line.split()[1]) for line in file if line.startswith("VmHWM"))])
            except FileNotFoundError:
                pass
            time.sleep(0.01)
        taken = time.monotonic() - begin
        if status != 0:
            errors.seek(0)
            sys.exit(f"{' '.join(command)} failed:\n{errors.read().decode()[-2000:]}")
    return taken, usage.ru_utime + usage.ru_stime, peak * 1024 / 1e9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=list(SHAPES), default="135m")
    parser.add_argument("--work", type=pathlib.Path, default=ROOT / "target" / "peers")
    parser.add_argument("--out", type=pathlib.Path, help="where outputs go [default: the work folder]")
    parser.add_argument("--methods", default="linear,task_arithmetic,ties,ties_model,dare_ties,slerp")
    parser.add_argument("--repeat", type=int, default=1, help="runs of m3, first and again; the best counts")
    parser.add_argument("--no-peer", action="store_true", help="m3 alone")
    parser.add_argument("--empty", action="store_true", help="inputs of zeros, to measure memory alone")
    args = parser.parse_args()

    work = args.work.resolve()
    folder = work / (f"{args.size}-empty" if args.empty else args.size)
    venv = work / "venv"
    python = venv / "bin" / "python"
    if not (venv / "ready").exists():
        subprocess.run([sys.executable, "-m", "venv", venv], check=True)
        wanted = ["numpy"] if args.no_peer else ["numpy", MERGEKIT]
        subprocess.run([python, "-m", "pip", "install", "--quiet", *wanted], check=True)
        if not args.no_peer:
            (venv / "ready").touch()
    if pathlib.Path(sys.prefix) != venv:
        os.execv(python, [str(python), __file__, *sys.argv[1:], "--work", str(work)])

    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    subprocess.run(["cargo", "build", "--release", "--quiet"], cwd=ROOT, check=True)
    m3 = target / "release" / "m3"
    make_inputs(folder, args.size, args.empty)
    read = sum((folder / name / "model.safetensors").stat().st_size for name in MODELS) if args.empty else warm(folder)
    print(f"{args.size}: {read / 1e9:.2f} GB of inputs, {os.cpu_count()} cores\n")
    print("| method | m3 s | m3 cpu s | again s | again cpu s | m3 peak GB | floor s | of the floor | mergekit s | mergekit peak GB | ratio | ratio again |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|")
    cache = work / "m3-cache"
    offline = {**os.environ, "HF_HUB_OFFLINE": "1", "M3_CACHE": str(cache)}
    place = (args.out or folder).resolve()
    for method in args.methods.split(","):
        file = recipe(method, folder)
        out = place / f"out-{method}"
        command = [str(m3), "merge", str(file), "--out", str(out), "--quiet"]
        first, again = [], []
        for _ in range(args.repeat):
            shutil.rmtree(cache, ignore_errors=True)
            for runs in (first, again):
                shutil.rmtree(out, ignore_errors=True)
                runs.append(timed(command, offline))
        ours, later = min(first), min(again)
        shutil.rmtree(out, ignore_errors=True)
        reads = MODELS[1:] if method in ("linear", "slerp") else MODELS
        if args.empty:
            print(f"| {method} | – | – | – | – | {ours[2]:.3f} | – | – | – | – | – | – |", flush=True)
            continue
        least = floor(folder, reads * SWEEPS.get(method, 1), place)
        peer = None
        if not args.no_peer:
            command = [str(venv / "bin" / "mergekit-yaml"), str(peer_recipe(method, folder)), str(out), "--allow-crimes"]
            peer = timed(command, offline)
            shutil.rmtree(out, ignore_errors=True)
        ratios = f"{peer[0] / ours[0]:.1f}× | {peer[0] / later[0]:.1f}×" if peer else "– | –"
        told = f"{peer[0]:.1f} | {peer[2]:.2f} | {ratios}" if peer else f"– | – | {ratios}"
        spent = f"{ours[0]:.2f} | {ours[1]:.2f} | {later[0]:.2f} | {later[1]:.2f} | {max(ours[2], later[2]):.3f}"
        print(f"| {method} | {spent} | {least:.2f} | {100 * least / ours[0]:.0f} % | {told} |", flush=True)


if __name__ == "__main__":
    main()
