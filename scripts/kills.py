#!/usr/bin/env python3
"""Kills a real run again and again, and sees that it ends in the same table.

    scripts/kills.py --work DIR [--m3 FILE] [--kills 100] [--limit 40] [--longest 2.0] [--seed 0]

Table 1 of the embedded suite, on --limit items of each split, is made once undisturbed. In another folder the same command is killed (SIGKILL,
the whole process group) after a random time of at most --longest seconds, --kills times, and then left alone. The script ends
with 1 unless both tables are the same byte for byte and the ledgers hold the same answers, each once. Items of AlpacaEval are
judged, programs are run in the sandbox: all that a kill can tear.
"""

import argparse
import collections
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def suite(work: Path, limit: int) -> Path:
    """The embedded suite, cut down."""
    text = (ROOT / "experiments/tiny.toml").read_text()
    text = text.replace('"../', f'"{ROOT}/').replace("[models]", f"limit = {limit}\n[models]", 1)
    file = work / "cut.toml"
    file.write_text(text)
    return file


def answers(out: Path) -> collections.Counter:
    """How often each answer of each run is in the ledger, without what depends on the clock."""
    found = collections.Counter()
    for ledger in out.glob("runs/*/records.jsonl"):
        for line in ledger.read_text().splitlines():
            row = json.loads(line, object_hook=lambda row: {key: value for key, value in row.items() if key != "seconds"})
            found[ledger.parent.name, json.dumps(row, sort_keys=True)] += 1
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--m3", type=Path, default=ROOT / "target/release/m3")
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--limit", type=int, default=40)
    parser.add_argument("--longest", type=float, default=2.0)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    work = args.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    whole, torn = work / "whole", work / "torn"
    for folder in (whole, torn):
        shutil.rmtree(folder, ignore_errors=True)

    def command(out: Path) -> list[str]:
        words = [args.m3.resolve(), "--quiet", "--home", ROOT, "reproduce", "table1", "--suite", suite(work, args.limit), "--out", out]
        return [str(word) for word in words]

    begin = time.monotonic()
    subprocess.run(command(whole), check=True, stdout=subprocess.DEVNULL)
    print(f"undisturbed: {time.monotonic() - begin:.1f} s", flush=True)
    chance, killed, sizes = random.Random(args.seed), 0, []
    for number in range(args.kills):
        process = subprocess.Popen(command(torn), stdout=subprocess.DEVNULL, start_new_session=True)
        try:
            process.wait(timeout=chance.uniform(0.0, args.longest))
            print(f"the run ended by itself after {number} kills; take a smaller --longest or a larger --limit")
            break
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            killed += 1
            sizes.append(sum(path.stat().st_size for path in torn.glob("runs/*/records.jsonl")))
    subprocess.run(command(torn), check=True, stdout=subprocess.DEVNULL)
    print(f"killed {killed} times; the ledger grew in {sum(a < b for a, b in zip([0, *sizes], sizes))} of these spans")
    same = (whole / "table1.json").read_bytes() == (torn / "table1.json").read_bytes()
    before, after = answers(whole), answers(torn)
    twice, lost = sum(n - 1 for n in after.values()), sum((before - after).values())
    print(f"tables {'the same' if same else 'DIFFER'}; {len(after)} answers, {lost} lost, {sum((after - before).values()) - twice} others, {twice} twice")
    sys.exit(0 if same and before == after and killed == args.kills else 1)


if __name__ == "__main__":
    main()
