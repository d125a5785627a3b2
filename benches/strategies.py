#!/usr/bin/env python3
"""What each strategy finds, and what it asks for: one search in full, and the same by a race, a Gaussian process and CMA-ES, and by all but
the race on a few items of each benchmark, with both estimators.

    benches/strategies.py [SEARCH.toml] [--out DIR] [--seeds N] [--trials N] [--items N ...] [--in-full N] [--kinds KIND ...] [--limit N]

All searches share one folder, so that no answer is made twice. The strategies that propose begin with the single models and the bisector only:
`directions` of the file are left out for them. Prints for each how many items it asks, the validation figure of its choice, and how far that is
ahead of the best of the list on the same items; of those on a few items also how far the estimates say that they are off, and, for the list,
how far they are off. Results that are to be kept go to docs/performance.md with machine and date.
"""

import argparse
import json
import os
import pathlib
import re
import statistics
import subprocess

PROPOSING = ["gaussian_process", "cma_es"]
ROOT = pathlib.Path(__file__).resolve().parent.parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("search", type=pathlib.Path, nargs="?", default=ROOT / "experiments" / "search-math-code.toml")
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "target" / "strategies")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--trials", type=int, default=24)
    parser.add_argument("--items", type=int, nargs="*", default=[], help="measure on so many items of each benchmark too")
    parser.add_argument("--in-full", type=int, default=8, help="candidates of the list that are measured in full before the others")
    parser.add_argument("--kinds", nargs="*", default=["race", "full", *PROPOSING], help="only these strategies")
    parser.add_argument("--only-items", action="store_true", help="nothing on all items but the list")
    parser.add_argument("--limit", type=int, default=0)
    parser.add_argument("--program", type=pathlib.Path, help="an m3 that is built already")
    args = parser.parse_args()
    program = args.program
    if program is None:
        subprocess.run(["cargo", "build", "--release", "--quiet"], cwd=ROOT, check=True)
        program = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release" / "m3"
    plain = re.sub(r"^\[strategy\]\n(?:[^\[\n].*\n|\n|#.*\n)*", "", args.search.read_text(), flags=re.M)
    plain = re.sub(r"^(seed|limit) *=.*\n", "", plain, flags=re.M)
    few = re.sub(r"^directions = \[\n(?:.*\n)*?\]\n", "", plain, flags=re.M)
    head = f"limit = {args.limit}\n" if args.limit else ""

    def search(text: str, strategy: str) -> dict:
        """One search, from a file beside the original, whose paths are relative to it."""
        file = args.search.with_name(f".strategies-{os.getpid()}.toml")
        try:
            file.write_text(head + text + "\n[strategy]\n" + strategy)
            command = [program, "--quiet", "--home", ROOT, "search", file, "--out", args.out, "--json"]
            return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
        finally:
            file.unlink(missing_ok=True)

    full = search(plain, 'kind = "full"\n')
    print(f"full: {len(full['candidates'])} candidates, {full['asked']} items; validation {full['validation']:.2f} %, test {full['test']:.2f} %", flush=True)
    truth = {(tuple(c["direction"]), c["scale"]): c["validation"] for c in full["candidates"]}
    ways = [] if args.only_items else [("race", plain, "")] + [(kind, few, f"trials = {args.trials}\n") for kind in PROPOSING]
    for items in args.items:
        for estimator in ("anchors", "irt"):
            some = f'items = {items}\nestimator = "{estimator}"\n'
            ways += [("full", plain, f"in_full = {args.in_full}\n{some}")]
            ways += [(kind, few, f"trials = {args.trials}\n{some}") for kind in PROPOSING]
    ways = [way for way in ways if way[0] in args.kinds]
    for kind, text, rest in ways:
        asked, ahead, test, error, off = [], [], [], [], []
        for seed in range(1, args.seeds + 1):
            own = f"seed = {seed}\n"
            before, after = (own, "") if kind == "race" else ("", own)
            found = search(before + text, f'kind = "{kind}"\n{rest}{after}')
            asked.append(found["asked"])
            ahead.append(found["validation"] - full["validation"])
            test.append(found["test"])
            if found["estimate"]:
                error.append(found["estimate"]["error"])
                estimated = [c for c in found["candidates"] if c["items"] == found["estimate"]["items"]]
                pairs = [(c["validation"], truth.get((tuple(c["direction"]), c["scale"]))) for c in estimated]
                off += [(estimate - known) ** 2 for estimate, known in pairs if known is not None]
        told = f"; held-out error of estimates {statistics.mean(error):.2f} points" if error else ""
        told += f", off by {statistics.mean(off) ** 0.5:.2f} ({len(off)} known)" if off else ""
        print(f"{kind} {' '.join(rest.split())}: {statistics.mean(asked):.0f} items ({full['asked'] / statistics.mean(asked):.1f} times fewer); "
              f"choice ahead of full's by {statistics.mean(ahead):+.2f} points ({min(ahead):+.2f} to {max(ahead):+.2f}), "
              f"test {statistics.mean(test):.2f} %{told}", flush=True)


if __name__ == "__main__":
    main()
