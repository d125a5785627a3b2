#!/usr/bin/env python3
"""What a race saves, and what it misses: one search in full, and the same as a race for many orders of the items.

    benches/race.py [SEARCH.toml] [--out DIR] [--seeds N]

Runs `m3 search` in full and then, in the same folder (so that no answer is made twice), as a race with seeds 1 … N. Prints how many times
fewer items the race asks and tokens it generates, how often it chooses the same candidate, how far the candidate that it chose is behind
the best one on all validation items, and how often it is worse by a paired test: the items' differences, weighted as the benchmarks are, and
their standard error, two-sided at 5 %. Results that are to be kept go to docs/performance.md with machine and date.
"""

import argparse
import json
import os
import pathlib
import re
import shutil
import statistics
import subprocess
import tomllib

ROOT = pathlib.Path(__file__).resolve().parent.parent


Values = dict[str, dict[str, float]]


def verdicts(out: pathlib.Path) -> dict[tuple[float, ...], Values]:
    """The value of each item's answer, by candidate (its coefficients s·λ), benchmark and item, from the ledger of a search."""
    found: dict[tuple[float, ...], Values] = {}
    for folder in (out / "runs").iterdir():
        run = json.loads((folder / "run.json").read_text())
        if "recipe" not in run["model"]:
            continue
        rows = (json.loads(line) for line in (folder / "records.jsonl").open())
        values = {row["content"]: row["verdict"]["value"] for row in rows if row["kind"] == "verdict"}
        point = tuple(round(c, 9) for c in run["model"]["recipe"]["coefficients"])
        found.setdefault(point, {})[run["benchmark"]] = values
    return found


def behind_of(best: Values, other: Values, shared: dict[str, set[str]], weights: dict[str, float]) -> tuple[float, float]:
    """How far one candidate is behind another on the same items, in points, and the standard error of that."""
    mean, variance = 0.0, 0.0
    for benchmark, weight in weights.items():
        gaps = [best[benchmark][item] - other[benchmark][item] for item in sorted(shared[benchmark])]
        mean += weight * statistics.fmean(gaps)
        variance += weight**2 * statistics.variance(gaps) / len(gaps)
    return 100 * mean, 100 * variance**0.5


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

    # A search that is over counts no tokens; from the ledger it counts them again.
    shutil.rmtree(args.out / "search", ignore_errors=True)
    full = search("", "")
    value = [c["validation"] for c in full["candidates"]]
    best = value[full["winner"]]
    known = verdicts(args.out)
    objective = tomllib.loads(plain)["objective"]
    weights = {name: weight / sum(objective.values()) for name, weight in objective.items()}
    points = [tuple(round(c["scale"] * part, 9) for part in c["direction"]) for c in full["candidates"]]
    # The report has asked some of them the test split too; all of them were asked the validation split and no other.
    shared = {name: set.intersection(*(set(known[point][name]) for point in points)) for name in weights}
    saved, tokens, same, behind, worse = [], [], 0, [], 0
    for seed in range(1, args.seeds + 1):
        race = search(f"seed = {seed}\n", '\n[strategy]\nkind = "race"\n')
        saved.append(full["asked"] / race["asked"])
        tokens.append(full["generated"] / race["generated"])
        same += race["winner"] == full["winner"]
        gap, error = behind_of(known[points[full["winner"]]], known[points[race["winner"]]], shared, weights)
        if abs(gap - (best - value[race["winner"]])) > 1e-6:
            raise SystemExit(f"seed {seed}: the ledger says {gap} points, the search {best - value[race['winner']]}")
        behind.append(gap)
        worse += gap > 1.96 * error
    print(f"{len(value)} candidates, {full['asked']} items and {full['generated']} generated tokens in full; best {best:.1f} % on validation, {full['test']:.1f} % on test")
    print(f"race, {args.seeds} orders: {min(saved):.1f} to {max(saved):.1f} times fewer items (mean {statistics.mean(saved):.1f}), "
          f"{min(tokens):.1f} to {max(tokens):.1f} times fewer generated tokens (mean {statistics.mean(tokens):.1f})")
    print(f"same candidate {same} of {args.seeds}; behind the best by {statistics.mean(behind):.2f} points on average, "
          f"{max(behind):.2f} at most; worse by a paired test {worse} of {args.seeds} times")


if __name__ == "__main__":
    main()
