#!/usr/bin/env python3
"""Attacking a prompt: m3 against PromptBench's way, on the same prompts and items, in one run.

    benches/peers/attack.py --model FOLDER --data sst2_dev.tsv [--limit N] [--new 2] [--prompt TEXT] [--work DIR] [--python FILE]
                            [--no-peer]

A StressTest of a prompt for SST-2: the prompt as it is and three others, each on every row of the file (GLUE's 872 rows of
validation) or on the first N. The model generates --new tokens at most for each row. The prompt is one that a small model without
instruction tuning answers; to the paper's, SmolLM2-135M says nothing.

PromptBench evaluates a prompt by one call of transformers' `generate` for every row, without a batch. This is done here with
transformers alone, greedy, in float32; its time has neither starting nor loading in it. m3 is timed as a command, with both:
`generation` reads the label in the same generated text, `likelihood` takes the label that is likelier after the prompt. Prints
seconds, the ratio, accuracy under each prompt, on how many answers the two agree that generate, and the tokens that m3 ran beside
those that one call a row runs. Without --python, torch and transformers are installed into a virtual environment under --work.
SmolLM2-135M: scripts/fetch_smollm2.py. Nothing else should run on the machine.
"""

import argparse
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
PEERS = ["torch==2.13.0", "transformers==5.23.0"]
STOPS = ["Instruction:", "Instruction", "Response:", "Response"]
LABELS = {"negative": "0", "positive": "1"}
PROMPT = "Determine whether the following text is positive or negative.\nText: {content}\nSentiment:"

PEER = """
import json, sys, time
import torch, transformers
folder, prompts, new = sys.argv[1], json.load(open(sys.argv[2])), int(sys.argv[3])
tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
answers = []
begin = time.monotonic()
with torch.inference_mode():
    for prompt in prompts:
        inputs = tokenizer(prompt, return_tensors="pt")
        out = model.generate(**inputs, max_new_tokens=new, do_sample=False, pad_token_id=tokenizer.eos_token_id)
        answers.append(tokenizer.decode(out[0, inputs["input_ids"].shape[1]:], skip_special_tokens=True))
print(json.dumps({"seconds": time.monotonic() - begin, "answers": answers}))
"""


def label(answer):
    """The last word of an answer as PromptBench takes it, or an empty text."""
    for stop in STOPS:
        answer = answer.split(stop)[0]
    bare = answer.lower().strip(",._\"'-+=!?()&^%$#@:\\|{}[]<>/`\n\t\r\v\f ").split(" ")[-1].replace("'", "")
    return bare if bare in LABELS else ""


def ours(m3, folder, data, model, prompt, limit, labels_by, out):
    """Wall seconds of the command, and its result."""
    command = [m3, "--home", ROOT, "attack", model, "--bench", folder, "--data", data, "--attack", "stresstest"]
    command += ["--prompt", prompt]
    command += ["--labels-by", labels_by, "--out", out, "--json", "--quiet", *(["--limit", limit] if limit else [])]
    begin = time.monotonic()
    done = subprocess.run([str(c) for c in command], check=True, capture_output=True, text=True)
    return time.monotonic() - begin, json.loads(done.stdout)["attacks"][0]


def generated(out, run):
    """The texts that m3 generated in a run, in the order of the rows; the ledger has them as they were ready."""
    rows = [json.loads(line) for line in (out / "runs" / run / "records.jsonl").read_text().splitlines()]
    texts = {int(re.search(r"\d+$", row["item"])[0]): row["answer"]["text"].get("Ok", "") for row in rows if row["kind"] == "answer"}
    return [texts[number] for number in sorted(texts)]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, type=pathlib.Path, help="a folder with safetensors")
    parser.add_argument("--data", required=True, type=pathlib.Path, help="GLUE's sst2_dev.tsv: label and sentence, with a header")
    parser.add_argument("--limit", type=int, help="at most so many rows, from the start")
    parser.add_argument("--new", type=int, default=2)
    parser.add_argument("--prompt", default=PROMPT, help="with {content} where the text goes")
    parser.add_argument("--work", type=pathlib.Path, default=ROOT / "target" / "peers")
    parser.add_argument("--python", help="a Python that has torch and transformers")
    parser.add_argument("--no-peer", action="store_true", help="m3 alone")
    args = parser.parse_args()

    python = args.python
    if python is None and not args.no_peer:
        venv = args.work.resolve() / "generate"
        python = str(venv / "bin" / "python")
        if not (venv / "ready").exists():
            subprocess.run([sys.executable, "-m", "venv", venv], check=True)
            subprocess.run([python, "-m", "pip", "install", "--quiet", *PEERS], check=True)
            (venv / "ready").touch()
    m3 = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release" / "m3"
    if not m3.exists():
        sys.exit(f"{m3} is not there; run cargo build --release")
    rows = [line.split("\t") for line in args.data.read_text().splitlines()[1:]][: args.limit]

    with tempfile.TemporaryDirectory() as work:
        work = pathlib.Path(work)
        # The same benchmark with the number of new tokens that both are given.
        folder, data = work / "sst2", work / "data"
        shutil.copytree(ROOT / "benchmarks" / "sst2", folder)
        card = (folder / "benchmark.toml").read_text()
        (folder / "benchmark.toml").write_text(card.replace("max_gen_toks = 1024", f"max_gen_toks = {args.new}"))
        data.mkdir()
        shutil.copy(args.data, data / "sst2_dev.tsv")

        print(f"{args.model}, StressTest on {len(rows)} rows, {args.new} new tokens, {os.cpu_count()} cores", flush=True)
        runs = {}
        for labels_by in ["generation", "likelihood"]:
            out = work / labels_by
            seconds, found = ours(m3, folder, data, args.model.resolve(), args.prompt, args.limit, labels_by, out)
            runs[f"m3 {labels_by}"] = seconds
            accuracies = [next(iter(query["accuracy"].values())) for query in found["queries"]]
            tokens = found["tokens"]
            print(f"m3 {labels_by}: {seconds:.1f} s; accuracy {', '.join(f'{100 * a:.2f}' for a in accuracies)} %; "
                  f"{tokens['run']} tokens run, {tokens['one_example_a_call']} one example a call "
                  f"({tokens['one_example_a_call'] / tokens['run']:.1f} times as many)", flush=True)
            if labels_by == "generation":
                prompts = [query["prompt"] for query in found["queries"]]
                clean = generated(out, found["clean"]["run"])
        if args.no_peer:
            return
        asked = [prompt.replace("{content}", sentence) for prompt in prompts for _, sentence in rows]
        file = work / "prompts.json"
        file.write_text(json.dumps(asked))
        done = subprocess.run([python, "-c", PEER, str(args.model), str(file), str(args.new)], check=True, capture_output=True,
                              text=True, env={**os.environ, "HF_HUB_OFFLINE": "1"})
        peer = json.loads(done.stdout.splitlines()[-1])
        right = [LABELS.get(label(answer)) == rows[at % len(rows)][0] for at, answer in enumerate(peer["answers"])]
        accuracies = [sum(right[at : at + len(rows)]) / len(rows) for at in range(0, len(right), len(rows))]
        print(f"transformers, one row a call: {peer['seconds']:.1f} s; accuracy {', '.join(f'{100 * a:.2f}' for a in accuracies)} %")
        same = sum(label(mine) == label(theirs) for mine, theirs in zip(clean, peer["answers"]))
        print(f"labels under the prompt as it is on which m3 generation and transformers agree: {same} of {len(rows)}")
        for who, seconds in runs.items():
            print(f"{who}: {peer['seconds'] / seconds:.1f} times as fast as one row a call")


if __name__ == "__main__":
    main()
