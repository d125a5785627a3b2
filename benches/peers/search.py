#!/usr/bin/env python3
"""Searching: m3 against the pipeline that one has without it, mergekit-yaml and then lm-eval on the folder, on the same items.

    benches/peers/search.py --model FOLDER --data FILE [--items N] [--new N] [--batch N] [--work DIR] [--mergekit PYTHON]
                            [--lm-eval PYTHON] [--no-peer]

Two fine-tunes of --model are made by adding small seeded noise to it. The candidates are each of them alone and their middle. The
items are the first --items questions of --data (rows of {"question", "answer"}, GSM8K's), asked with the Alpaca prompt, greedy, at
most --new new tokens; the answer is the last number. m3 evaluates the recipe of each candidate, one command for each, which writes no
checkpoint; `m3 search` does the same with base and models opened once. The peers merge each candidate into a
folder (linear, float32) and evaluate it there (transformers on the CPU, float32). Both ask --batch at a time. Prints seconds of each command,
the share of right answers of each candidate by both, and how many times as fast m3 is. mergekit and lm-eval are installed into virtual
environments under --work, unless a Python is named that has them. Nothing else should run on the machine.
"""

import argparse
import json
import os
import pathlib
import shutil
import subprocess
import sys
import time

from generate import FRAME, environment

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
MERGEKIT = ["mergekit==0.1.5"]
LM_EVAL = ["lm-eval==0.4.13", "torch==2.13.0", "transformers==5.23.0", "accelerate"]
NUMBER = r"(-?[$0-9.,]{2,})|(-?[0-9]+)"
IGNORED = [",", r"\$", r"(?s).*#### ", r"\.$"]
STOPS = ["Instruction:", "Response:"]
# The share of the first model in each candidate.
SHARES = [1.0, 0.5, 0.0]

NOISE = """
import sys, pathlib, shutil
import torch
from safetensors.torch import load_file, save_file
base, out, seed = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), int(sys.argv[3])
torch.manual_seed(seed)
tensors = {name: t + 0.02 * t.float().std() * torch.randn(t.shape) if t.dim() > 1 else t for name, t in load_file(base / "model.safetensors").items()}
out.mkdir(parents=True)
for file in base.iterdir():
    if file.suffix == ".json":
        shutil.copy(file, out)
save_file({name: t.contiguous() for name, t in tensors.items()}, out / "model.safetensors", metadata={"format": "pt"})
"""


def card(folder: pathlib.Path, rows: list, new: int) -> None:
    """The benchmark of m3: the same prompts, stop strings and reading of an answer."""
    folder.mkdir(parents=True)
    (folder / "prompt.jinja").write_text("{{ prompt }}")
    (folder / "cases.json").write_text("[]\n")
    (folder / "data").mkdir()
    (folder / "data" / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "benchmark.toml").write_text(f'''id = "peer"
title = "Questions of a bench"
version = 1
changes = ["1: first version"]
source = "benches/peers/search.py"
licence = "MIT"
doc_to_text = "prompt.jinja"
generation_kwargs = {{ until = {json.dumps(STOPS)}, max_gen_toks = {new} }}
metric_list = [{{ metric = "exact_match", aggregation = "mean", higher_is_better = true }}]

[scorer]
name = "exact_match"
doc_to_target = "answer"
filter = [{{ function = "regex", regex_pattern = '{NUMBER}', group_select = -1 }}, {{ function = "take_first" }}]
regexes_to_ignore = {json.dumps(IGNORED)}
ignore_case = true

[dataset]
id_field = "id"

[[dataset.files]]
split = "test"
name = "test.jsonl"
''')


def task(folder: pathlib.Path, rows: list, new: int) -> None:
    """The same for lm-eval."""
    folder.mkdir(parents=True)
    (folder / "items.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "peer.yaml").write_text(json.dumps({
        "task": "peer",
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(folder / "items.jsonl")}},
        "output_type": "generate_until",
        "test_split": "test",
        "doc_to_text": "{{prompt}}",
        "doc_to_target": "{{answer}}",
        "generation_kwargs": {"until": STOPS, "max_gen_toks": new, "do_sample": False},
        "filter_list": [{"name": "last", "filter": [{"function": "regex", "regex_pattern": NUMBER, "group_select": -1}, {"function": "take_first"}]}],
        "metric_list": [{"metric": "exact_match", "aggregation": "mean", "higher_is_better": True, "ignore_case": True,
                         "regexes_to_ignore": IGNORED}],
    }))


def ours(args, work: pathlib.Path, models: list, rows: list) -> tuple[list, list]:
    """Seconds for each candidate, and the share of its right answers."""
    bench, out = work / "peer", work / "runs"
    for old in (bench, out):
        shutil.rmtree(old, ignore_errors=True)
    card(bench, rows, args.new)
    m3 = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release" / "m3"
    seconds, right = [], []
    for number, share in enumerate(SHARES):
        recipe = work / f"recipe-{number}.toml"
        recipe.write_text(f'''base = "{args.model.resolve()}"
models = {json.dumps([str(m) for m in models])}
combine = "task_arithmetic"
proportion = {{ law = "fixed", weights = [{share}, {1 - share}] }}
''')
        command = [m3, "--home", ROOT, "eval", recipe, "--bench", bench, "--batch", args.batch, "--out", out, "--json"]
        begin = time.monotonic()
        done = subprocess.run([str(c) for c in command], check=True, stdout=subprocess.PIPE)
        seconds.append(time.monotonic() - begin)
        right.append(100 * json.loads(done.stdout)["results"][0]["mean"])
        print(f"m3, {share:.1f}: {seconds[-1]:.1f} s to merge and to evaluate, {right[-1]:.1f} % right", flush=True)
    return seconds, right


def theirs(args, work: pathlib.Path, models: list, rows: list) -> tuple[list, list]:
    """Seconds of merging and of evaluating for each candidate, and the share of its right answers."""
    mergekit = pathlib.Path(args.mergekit or environment(work / "mergekit", MERGEKIT))
    lm_eval = pathlib.Path(args.lm_eval or environment(work / "lm-eval", LM_EVAL))
    shutil.rmtree(work / "task", ignore_errors=True)
    task(work / "task", rows, args.new)
    quiet = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_DATASETS_CACHE": str(work / "datasets"), "TOKENIZERS_PARALLELISM": "false"}
    seconds, right = [], []
    for share in SHARES:
        recipe, merged, results = work / "merge.yml", work / "merged", work / "results"
        for old in (merged, results):
            shutil.rmtree(old, ignore_errors=True)
        weights = [{"model": str(model), "parameters": {"weight": w}} for model, w in zip(models, (share, 1 - share))]
        recipe.write_text(json.dumps({"merge_method": "linear", "dtype": "float32", "models": weights}))
        commands = [
            [mergekit.parent / "mergekit-yaml", recipe, merged],
            [lm_eval, "-m", "lm_eval", "--model", "hf", "--model_args", f"pretrained={merged},dtype=float32", "--tasks", "peer",
             "--include_path", work / "task", "--batch_size", args.batch, "--device", "cpu", "--output_path", results],
        ]
        took = []
        for command in commands:
            begin = time.monotonic()
            done = subprocess.run([str(c) for c in command], capture_output=True, text=True, env=quiet)
            took.append(time.monotonic() - begin)
            if done.returncode:
                sys.exit(f"a peer failed: {' '.join(map(str, command))}\n{done.stderr[-3000:]}")
        seconds.append(took)
        found = json.loads(next(results.rglob("results_*.json")).read_text())
        right.append(100 * found["results"]["peer"]["exact_match,last"])
        print(f"mergekit and lm-eval, {share:.1f}: {took[0]:.1f} s to merge, {took[1]:.1f} s to evaluate, {right[-1]:.1f} % right", flush=True)
    return seconds, right


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, type=pathlib.Path, help="a folder with one file of safetensors")
    parser.add_argument("--data", required=True, type=pathlib.Path, help='rows of {"question", "answer"}')
    parser.add_argument("--items", type=int, default=64)
    parser.add_argument("--new", type=int, default=64)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--work", type=pathlib.Path, default=ROOT / "target" / "peers" / "search")
    parser.add_argument("--mergekit", help="a Python that has mergekit")
    parser.add_argument("--lm-eval", help="a Python that has lm-eval")
    parser.add_argument("--no-peer", action="store_true", help="m3 alone")
    args = parser.parse_args()
    work = args.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    rows = []
    for number, line in enumerate(args.data.read_text().splitlines()[: args.items]):
        row = json.loads(line)
        rows.append({"id": str(number), "prompt": FRAME.format(row["question"]), "answer": row["answer"].rsplit("#### ")[-1]})
    models = [work / "first", work / "second"]
    python = args.lm_eval or environment(work / "lm-eval", LM_EVAL)
    for seed, model in enumerate(models):
        if not model.exists():
            subprocess.run([python, "-c", NOISE, args.model, model, str(seed)], check=True)
    print(f"{args.model.name} and two fine-tunes, {len(rows)} items, {args.new} new tokens, {os.cpu_count()} cores")
    seconds, right = ours(args, work, models, rows)
    taken = sum(seconds)
    print(f"m3: {taken:.1f} s; {', '.join(f'{r:.1f}' for r in right)} % right", flush=True)
    if args.no_peer:
        return
    seconds, peer = theirs(args, work, models, rows)
    whole = sum(map(sum, seconds))
    print(f"mergekit and lm-eval: {whole:.1f} s; {', '.join(f'{r:.1f}' for r in peer)} % right")
    print(f"m3 is {whole / taken:.1f} times as fast; merging alone takes the peers {sum(s[0] for s in seconds) / taken:.2f} times as long as all of m3's")


if __name__ == "__main__":
    main()
