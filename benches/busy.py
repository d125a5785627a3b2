"""Do verdicts about programs stay the same when the machine is busy?

Scores the same answers with `m3 score` twice, with the machine as it is and with two busy loops on every core, and
compares the verdicts row by row. Any difference is printed, and the exit code is 1.

    python3 benches/busy.py --m3 target/release/m3 --sandbox auto ANSWERS.jsonl DATA.jsonl BENCH [...]

ANSWERS.jsonl has `task_id` and `output` (a program) in each row, DATA.jsonl the rows of the data set BENCH with the same
`task_id`; more triples may follow. With --against KIND the second pass uses another kind of walls instead of a busy
machine.
"""

import argparse
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time


def spin():
    while True:
        pass


def rows(path):
    with open(path, encoding="utf-8") as lines:
        return [json.loads(line) for line in lines if line.strip()]


def joined(answers, data, path):
    """Answers with their items, one name for each; how many."""
    items = {str(item["task_id"]): item for item in rows(data)}
    count = 0
    with open(path, "w", encoding="utf-8") as out:
        for number, answer in enumerate(rows(answers)):
            item = items[str(answer["task_id"])]
            output = f"```python\n{answer['output']}\n```"
            out.write(json.dumps({**item, "id": f"row-{number}", "output": output}) + "\n")
            count += 1
    return count


def score(m3, bench, outputs, verdicts, sandbox):
    start = time.time()
    command = [m3, "--quiet", "score", bench, "--outputs", outputs, "--verdicts", verdicts, "--sandbox", sandbox]
    done = subprocess.run(command, stdout=subprocess.DEVNULL)
    if done.returncode not in (0, 3):
        sys.exit(f"{' '.join(command)} failed")
    return rows(verdicts), time.time() - start


def value(row):
    return row["verdict"].get("value") if isinstance(row["verdict"], dict) else row.get("value")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--m3", default="target/release/m3")
    parser.add_argument("--sandbox", default="auto")
    parser.add_argument("--against")
    parser.add_argument("triples", nargs="+", metavar="ANSWERS DATA BENCH")
    args = parser.parse_args()
    apart = 0
    for at in range(0, len(args.triples), 3):
        answers, data, bench = args.triples[at : at + 3]
        with tempfile.TemporaryDirectory() as folder:
            outputs = os.path.join(folder, "outputs.jsonl")
            count = joined(answers, data, outputs)
            first, calm = score(args.m3, bench, outputs, os.path.join(folder, "a"), args.sandbox)
            load = [] if args.against else [multiprocessing.Process(target=spin, daemon=True) for _ in range(2 * os.cpu_count())]
            for process in load:
                process.start()
            second, busy = score(args.m3, bench, outputs, os.path.join(folder, "b"), args.against or args.sandbox)
            for process in load:
                process.kill()
        differ = [(a, b) for a, b in zip(first, second) if value(a) != value(b)]
        for a, b in differ:
            print(f"{bench}: {json.dumps(a)}\n  became {json.dumps(b)}")
        apart += len(differ) + abs(len(first) - len(second))
        right = sum(value(a) == 1.0 for a in first)
        how = args.against or "busy"
        print(f"{bench}: {count} programs, {right} pass, {len(differ)} verdicts differ; {calm:.1f} s, {how} {busy:.1f} s")
    sys.exit(1 if apart else 0)


if __name__ == "__main__":
    main()
