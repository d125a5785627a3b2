#!/usr/bin/env python3
"""What a race saves, and what it misses: one search in full, and the same as a race for many orders of the items.

    benches/race.py [SEARCH.toml] [--out DIR] [--seeds N]

Runs `m3 search` in full and then, in the same folder (so that no answer is made twice), as a race with seeds 1 … N. Prints how many times
fewer items the race asks and tokens it generates, how often it chooses the same candidate, how far the candidate that it chose is behind
the best one on all validation items, and how often by more than half the width of the best one's 95 % interval. Results that are to be kept go to docs/performance.md with machine and date.
"""

import argparse
import json
import os
import pathlib
import re
import statistics
import subprocess

ROOT = pathlib.Path(__file__).resolve().parent.parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("search", type=pathlib.Path, nargs="?", default=ROOT / "experiments" / "search-64.toml")
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "target" / "race")
    parser.add_argument("--seeds", type=int, default=20)
    args = parser.parse_args()
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    subprocess.run(["cargo", "build", "--release", "--quiet"], cwd=ROOT, check=True)
    plain = re.sub(r"^\[strategy\]\n(?:[^\[\n].*\n|\n|#.*\n)*", "", args.search.read_text(), flags=re.M)
    plain = re.sub(r"^seed *=.*\n", "", plain, flags=re.M)

    def search(head: str, tail: str) -> dict:
        """One search, from a file beside the original, whose paths are relative to it."""
        file = args.search.with_name(f".race-{os.getpid()}.toml")
        try:
            file.write_text(head + plain + tail)
            command = [target / "release" / "m3", "--home", ROOT, "search", file, "--out", args.out, "--json"]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            tokens = re.search(r"(\d+) generated tokens", done.stderr)
            return json.loads(done.stdout) | {"generated": int(tokens[1])}
        finally:
            file.unlink(missing_ok=True)

    full = search("", "")
    value = [c["validation"] for c in full["candidates"]]
    best = value[full["winner"]]
    width = best - full["candidates"][full["winner"]]["ci95"][0]
    saved, tokens, same, behind = [], [], 0, []
    for seed in range(1, args.seeds + 1):
        race = search(f"seed = {seed}\n", '\n[strategy]\nkind = "race"\n')
        saved.append(full["asked"] / race["asked"])
        tokens.append(full["generated"] / race["generated"])
        same += race["winner"] == full["winner"]
        behind.append(best - value[race["winner"]])
    print(f"{len(value)} candidates, {full['asked']} items and {full['generated']} generated tokens in full; best {best:.1f} % on validation, {full['test']:.1f} % on test")
    print(f"race, {args.seeds} orders: {min(saved):.1f} to {max(saved):.1f} times fewer items (mean {statistics.mean(saved):.1f}), "
          f"{min(tokens):.1f} to {max(tokens):.1f} times fewer generated tokens (mean {statistics.mean(tokens):.1f})")
    print(f"same candidate {same} of {args.seeds}; behind the best by {statistics.mean(behind):.2f} points on average, "
          f"{max(behind):.2f} at most; by more than the best one's own uncertainty ({width:.1f} points) {sum(b > width for b in behind)} times")


if __name__ == "__main__":
    main()
