#!/usr/bin/env python3
"""Attacking a prompt: m3 against PromptBench's way, on the same prompts and items, in one run.

    benches/peers/attack.py --model FOLDER --data FILE [--bench sst2|cola] [--attack NAME] [--limit N] [--peer-limit N] [--new 20]
                            [--prompt TEXT] [--masked-lm FOLDER] [--by WAYS] [--work DIR] [--python FILE] [--no-peer]

An attack (StressTest by default: the prompt as it is and three others) on every row of the file, GLUE's rows of validation
(sst2_dev.tsv, cola_dev_721_322.tsv), or on the first --limit. The model generates --new tokens at most for each row; 20 is
PromptBench's default. The prompt for SST-2 is that of PromptBench's own example.

PromptBench evaluates a prompt by one call of transformers' `generate` for every row, without a batch. This is done here with
transformers alone, greedy, in float32, on the first --peer-limit rows, for it is slow; its time has neither starting nor loading in
it. m3 is timed as a command, with both, on all rows: `generation` reads the label in the same generated text, `first-label` stops
behind the first label, `likelihood` takes the label that is likelier after the prompt. Prints for each seconds, accuracy under each
prompt, and the tokens that m3 ran beside those that one call a row runs, which is the same for all three: that of `generation`, whose
questions, generated to their end, are the peer's. On the rows that the peer was asked its own count is printed beside m3's, how
often the two name the same label, and how much faster m3 is for each row. Without --python, torch and transformers are installed
into a virtual environment under --work. SmolLM2-135M: scripts/fetch_smollm2.py. Nothing else should run on the machine.
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
# By benchmark: the labels in the order of their numbers, the columns of label and sentence, whether there is a header, a prompt.
SETS = {
    "sst2": (["negative", "positive"], 0, 1, True,
             "As a sentiment classifier, determine whether the following text is 'positive' or 'negative'. Please classify: \n"
             "Question: {content}\nAnswer:"),
    "cola": (["unacceptable", "acceptable"], 1, 3, False,
             "As a grammar identification system, determine whether the following sentence is 'acceptable' or 'unacceptable'. "
             "Please classify: \nQuestion: {content}\nAnswer:"),
}

PEER = """
import json, sys, time
import torch, transformers
folder, prompts, new = sys.argv[1], json.load(open(sys.argv[2])), int(sys.argv[3])
tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
answers, tokens = [], 0
begin = time.monotonic()
with torch.inference_mode():
    for prompt in prompts:
        inputs = tokenizer(prompt, return_tensors="pt")
        out = model.generate(**inputs, max_new_tokens=new, do_sample=False, pad_token_id=tokenizer.eos_token_id)
        tokens += out.shape[1]
        answers.append(tokenizer.decode(out[0, inputs["input_ids"].shape[1]:], skip_special_tokens=True))
print(json.dumps({"seconds": time.monotonic() - begin, "answers": answers, "tokens": tokens}))
"""


def label(answer, labels):
    """The last word of an answer as PromptBench takes it, or an empty text."""
    for stop in STOPS:
        answer = answer.split(stop)[0]
    bare = answer.lower().strip(",._\"'-+=!?()&^%$#@:\\|{}[]<>/`\n\t\r\v\f ").split(" ")[-1].replace("'", "")
    return bare if bare in labels else ""


def ours(m3, folder, data, args, labels_by, out):
    """Wall seconds of the command, and its result."""
    command = [m3, "--home", ROOT, "attack", args.model.resolve(), "--bench", folder, "--data", data, "--attack", args.attack]
    command += ["--prompt", args.prompt, *(["--masked-lm", args.masked_lm.resolve()] if args.masked_lm else [])]
    command += ["--labels-by", labels_by, "--out", out, "--json", "--quiet", *(["--limit", args.limit] if args.limit else [])]
    begin = time.monotonic()
    done = subprocess.run([str(c) for c in command], check=False, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(done.stderr)
    return time.monotonic() - begin, json.loads(done.stdout)["attacks"][0]


def generated(out, run):
    """The answers that m3 generated in a run, in the order of the rows; the ledger has them as they were ready."""
    rows = [json.loads(line) for line in (out / "runs" / run / "records.jsonl").read_text().splitlines()]
    found = {int(re.search(r"\d+$", row["item"])[0]): row["answer"] for row in rows if row["kind"] == "answer"}
    return [found[number] for number in sorted(found)]


def percent(accuracies):
    shown = accuracies if len(accuracies) <= 4 else [accuracies[0], min(accuracies)]
    return ", ".join(f"{100 * a:.2f}" for a in shown) + (" %" if len(accuracies) <= 4 else " % clean and worst")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, type=pathlib.Path, help="a folder with safetensors")
    parser.add_argument("--data", required=True, type=pathlib.Path, help="sst2_dev.tsv or cola_dev_721_322.tsv")
    parser.add_argument("--bench", choices=list(SETS), default="sst2")
    parser.add_argument("--attack", default="stresstest")
    parser.add_argument("--limit", type=int, help="at most so many rows, from the start")
    parser.add_argument("--peer-limit", type=int, default=40, help="so many rows of them for transformers")
    parser.add_argument("--new", type=int, default=20)
    parser.add_argument("--prompt", help="with {content} where the text goes")
    parser.add_argument("--masked-lm", type=pathlib.Path)
    parser.add_argument("--work", type=pathlib.Path, default=ROOT / "target" / "peers")
    parser.add_argument("--python", help="a Python that has torch and transformers")
    parser.add_argument("--by", type=lambda text: text.split(","), default=["generation", "first-label", "likelihood"],
                        help="of these ways the ones to time, generation first: it makes the prompts for the peer")
    parser.add_argument("--no-peer", action="store_true", help="m3 alone")
    args = parser.parse_args()
    labels, label_column, text_column, header, prompt = SETS[args.bench]
    args.prompt = args.prompt or prompt

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
    lines = args.data.read_text().splitlines()[int(header):]
    rows = [(parts[label_column], parts[text_column]) for parts in (line.split("\t") for line in lines)][: args.limit]

    with tempfile.TemporaryDirectory() as work:
        work = pathlib.Path(work)
        # The same benchmark with the number of new tokens that both are given.
        folder, data = work / args.bench, work / "data"
        shutil.copytree(ROOT / "benchmarks" / args.bench, folder)
        card = (folder / "benchmark.toml").read_text()
        (folder / "benchmark.toml").write_text(card.replace("max_gen_toks = 1024", f"max_gen_toks = {args.new}"))
        data.mkdir()
        shutil.copy(args.data, data / args.data.name)

        print(f"{args.model.name}, {args.attack} on {len(rows)} rows of {args.bench}, {args.new} new tokens at most, "
              f"{os.cpu_count()} cores", flush=True)
        runs, peer_tokens = {}, None
        for labels_by in args.by:
            out = work / labels_by
            seconds, found = ours(m3, folder, data, args, labels_by, out)
            runs[f"m3 {labels_by}"] = seconds / len(found["queries"]) / len(rows)
            accuracies = [next(iter(query["accuracy"].values())) for query in found["queries"]]
            # What each question is if it is asked alone and generated to its end.
            peer_tokens = peer_tokens or found["tokens"]["one_example_a_call"]
            run = found["tokens"]["run"]
            print(f"m3 {labels_by}: {seconds:.1f} s for {len(found['queries'])} prompts; accuracy {percent(accuracies)}, "
                  f"{found['clean']['invalid']} invalid under the clean one; {run} tokens run, {peer_tokens} one row a call "
                  f"({peer_tokens / run:.1f} times as many)", flush=True)
            if labels_by == "generation":
                prompts = [query["prompt"] for query in found["queries"]]
                clean = generated(out, found["clean"]["run"])
        if args.no_peer:
            return
        count = min(args.peer_limit, len(rows))
        prompts = prompts[:4]
        asked = [prompt.replace("{content}", sentence) for prompt in prompts for _, sentence in rows[:count]]
        file = work / "prompts.json"
        file.write_text(json.dumps(asked))
        done = subprocess.run([python, "-c", PEER, str(args.model), str(file), str(args.new)], check=True, capture_output=True,
                              text=True, env={**os.environ, "HF_HUB_OFFLINE": "1"})
        peer = json.loads(done.stdout.splitlines()[-1])
        a_row = peer["seconds"] / len(asked)
        right = [labels.index(said) == int(rows[at % count][0]) if (said := label(answer, labels)) else False
                 for at, answer in enumerate(peer["answers"])]
        print(f"transformers, one row a call, {len(prompts)} prompts on the first {count} rows: {peer['seconds']:.1f} s, "
              f"{1000 * a_row:.0f} ms a call, {peer['tokens']} tokens; accuracy "
              f"{percent([sum(right[at: at + count]) / count for at in range(0, len(right), count)])}")
        print(f"all {len(prompts)} × {len(rows)} calls would take {a_row * len(prompts) * len(rows):.0f} s at that rate")
        same = sum(label(mine["text"].get("Ok", ""), labels) == label(theirs, labels)
                   for mine, theirs in zip(clean[:count], peer["answers"]))
        print(f"labels under the clean prompt on which m3 generation and transformers agree: {same} of {count}")
        for who, seconds in runs.items():
            print(f"{who}: {a_row / seconds:.1f} times as fast as one row a call")


if __name__ == "__main__":
    main()
