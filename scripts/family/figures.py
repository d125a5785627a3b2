"""Measuring the finished family and writing FIGURES.md."""

import json
from pathlib import Path

import corpus
import judge
import llama
import merging
import pairs
import score
import tokens

PAIRS = [("lm", "math"), ("lm", "code"), ("math", "code")]
SCALES = [0.5, 1.0]
# Items of each validation set that choose λ; the rest is spare.
VALIDATION_ITEMS = 120


class Marks:
    """Marks by name, kept in a JSON file so that an interrupted measurement goes on where it stopped."""

    def __init__(self, path: Path):
        self.path = path
        self.found = json.loads(path.read_text()) if path.exists() else {}

    def get(self, name: str, part: str, skills: list[str], weights: dict, ask) -> dict:
        """The marks of a model on some sets; sets already marked are not asked again."""
        kept = self.found.setdefault(f"{name}|{part}", {})
        missing = [skill for skill in skills if skill not in kept]
        if missing:
            kept |= ask(weights(), part, missing)
            self.path.write_text(json.dumps(self.found))
            print(name, part, {skill: round(score.percent(kept[skill]), 1) for skill in missing}, flush=True)
        return {skill: kept[skill] for skill in skills}


def pair_name(pair, share) -> str:
    """The name of a merged pair; at the ends it is the expert itself."""
    if share in (0, 1):
        return pair[0] if share else pair[1]
    return f"{share} {pair[0]} + {round(1 - share, 1)} {pair[1]}"


def pair_skills(pair) -> list[str]:
    """The sets that a pair is scored on."""
    return [skill for name in pair for skill in score.SKILLS[name]]


def measure(models: Path, datasets: Path, marks_file: Path) -> None:
    """Marks of the base, the experts, the pairs and the three-way sums."""
    shape, tokenizer = llama.read_shape(models / "base"), tokens.load(models / "base")
    weights = {name: llama.read_weights(models / name) for name in ("base", *corpus.FINE_TUNES)}
    base = weights["base"]
    deltas = {name: merging.delta(base, weights[name]) for name in corpus.FINE_TUNES}
    marks = Marks(marks_file)
    marks.found["norms"] = {name: merging.relative_norm(base, change) for name, change in deltas.items()}

    def ask(tensors, part, skills):
        limit = VALIDATION_ITEMS if part == "validation" else None
        return score.examine(llama.build(shape, tensors), tokenizer, datasets, part, skills, limit)

    def merged(pair, share):
        if share in (0, 1):
            return weights[pair_name(pair, share)]
        return merging.add(base, [(share, deltas[pair[0]]), (1 - share, deltas[pair[1]])])

    for name in weights:
        marks.get(name, "test", corpus.SETS, lambda: weights[name], ask)
    for pair in PAIRS:
        for share in merging.LAMBDAS:
            marks.get(pair_name(pair, share), "validation", pair_skills(pair), lambda: merged(pair, share), ask)
        best = best_share(marks.found, pair)
        marks.get(pair_name(pair, best), "test", pair_skills(pair), lambda: merged(pair, best), ask)
    for scale in SCALES:
        marks.get(f"base + {scale} (lm + math + code)", "test", corpus.SETS,
                  lambda: merging.add(base, [(scale, change) for change in deltas.values()]), ask)
    for pair in PAIRS:
        for share in merging.LAMBDAS:
            marks.get(pair_name(pair, share), "test", pair_skills(pair), lambda: merged(pair, share), ask)


def pair_value(found: dict, pair, share, part: str) -> float:
    """The pair score of a merge."""
    return merging.pair_score(found[f"{pair_name(pair, share)}|{part}"], pair)


def best_share(found: dict, pair) -> float:
    """The λ that is best on the validation part."""
    return max(merging.LAMBDAS, key=lambda share: pair_value(found, pair, share, "validation"))


def _row(cells) -> str:
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def write(marks_file: Path, base_log: Path, report: Path, seed: int) -> None:
    """FIGURES.md from the marks."""
    found = json.loads(marks_file.read_text())
    sizes = {skill: corpus.SIZES[skill][2] for skill in corpus.SETS}
    lines = ["# Figures of the embedded family", "",
             "Written by `make.py figures`. Greedy answers in fp32 from the bf16 files. One seed "
             f"({seed}), a family of under two million parameters: the mechanics of merging, no evidence about large models.", "",
             "## Percent right on the test part", "",
             _row(["model", *(f"{skill} (n = {n})" for skill, n in sizes.items())]), _row(["---", *["---:"] * len(sizes)])]
    for name in ["base", *corpus.FINE_TUNES, *(f"base + {scale} (lm + math + code)" for scale in SCALES)]:
        if f"{name}|test" in found:
            marks = found[f"{name}|test"]
            lines.append(_row([name, *(f"{score.percent(marks[skill]):.1f}" if skill in marks else "" for skill in corpus.SETS)]))
    lines += ["", "## Length of the task vectors relative to the base (matrices of the layers)", "", _row(["expert", "norm"]), _row(["---", "---:"])]
    lines += [_row([name, f"{norm:.3f}"]) for name, norm in found["norms"].items()]
    lines += ["", "## Pairs", "",
              "The merged model is base + λ · first + (1 − λ) · second; the score is the mean of the two skills, where lm is "
              "alpaca_eval, math the mean of gsm8k and math, code the mean of humaneval and mbpp. The validation part is its "
              f"first {VALIDATION_ITEMS} items of each set.", "",
              _row(["pair", "part", *(f"λ = {share}" for share in merging.LAMBDAS)]),
              _row(["---", "---", *["---:"] * len(merging.LAMBDAS)])]
    for pair in PAIRS:
        for part in ("validation", "test"):
            lines.append(_row([" + ".join(pair), part,
                               *(f"{pair_value(found, pair, share, part):.1f}" if f"{pair_name(pair, share)}|{part}" in found
                                 else "" for share in merging.LAMBDAS)]))
    lines += ["", "λ is chosen on the validation part. The last two columns are the lead of that λ over the end points on the test "
              "part, with the 95 % interval of a paired bootstrap over items.", "",
              _row(["pair", "λ", "test score", "lead over λ = 0 (second alone)", "lead over λ = 1 (first alone)"]),
              _row(["---", "---:", "---:", "---:", "---:"])]
    for pair in PAIRS:
        best = best_share(found, pair)
        test = {share: {skill: found[f"{pair_name(pair, share)}|test"][skill] for skill in pair_skills(pair)}
                for share in (best, 0, 1)}
        leads = ["{:.1f} [{:.1f}, {:.1f}]".format(*merging.advantage(test[best], test[end], pair, seed)) for end in (0, 1)]
        lines.append(_row([" + ".join(pair), best, f"{merging.pair_score(test[best], pair):.1f}", *leads]))
    lines += ["", "## Training of the base", "", "```", *base_log.read_text().splitlines()[-2:], "```", ""]
    kept = report.read_text().partition(JUDGE)[1:] if report.exists() else ()
    report.write_text("\n".join(lines) + "".join(("\n", *kept) if any(kept) else ()))


JUDGE = "## The judge\n"


def write_judge(report: Path, held_out: list[pairs.Pair], found: list[tuple[float, float]], trained: str) -> None:
    """The judge's figures as the last part of FIGURES.md."""
    longer = sum(len(one.better) > len(one.worse) for one in held_out)
    shorter = sum(len(one.better) < len(one.worse) for one in held_out)
    lines = ["", "How often `models/tiny/judge` agrees with the truth on `datasets/tiny/judge`: pairs of answers to instructions of the test "
             "part, one of which is better by construction. Written by `make.py measure-judge`, in fp32 from the bf16 file.", "",
             f"In {longer} of the {len(held_out)} pairs the better answer is the longer one, in {shorter} the shorter one. The judge was trained "
             "on this kind of pair alone: its figures say nothing about other instructions, about answers of other models, or about "
             "judges of large models.", "",
             _row(["pairs", "n", "agreement %", "95 % interval", "better first %", "better second %", "position bias, points"]),
             _row(["---", *["---:"] * 6])]
    groups = {"all": lambda one: True, "instructions of a new kind": lambda one: one.new_kind,
              "better is longer": lambda one: len(one.better) > len(one.worse),
              "better is shorter": lambda one: len(one.better) < len(one.worse)}
    groups |= {kind: lambda one, kind=kind: one.kind == kind for kind in pairs.KINDS}
    for name, belongs in groups.items():
        some = [leaning for one, leaning in zip(held_out, found) if belongs(one)]
        if some:
            rates = judge.agreement(some)
            share, n = rates["pairs"] / 100, len(some)
            middle, half = (share + 1.92 / n) / (1 + 3.84 / n), 1.96 * ((share * (1 - share) + 0.96 / n) / n) ** 0.5 / (1 + 3.84 / n)
            lines.append(_row([name, n, f"{rates['pairs']:.1f}", f"[{100 * (middle - half):.1f}, {100 * (middle + half):.1f}]",
                               f"{rates['better first']:.1f}", f"{rates['better second']:.1f}", f"{rates['bias']:+.1f}"]))
    lines += ["", "Agreement: the mean preference of both orders is for the better answer. Better first, better second: the preference in that "
              "order alone. Position bias: the mean preference for the answer shown first less one half, as `m3 judge` reports it. "
              "Interval: Wilson.", "", "```", trained, "```", ""]
    report.write_text(report.read_text().partition(JUDGE)[0].rstrip("\n") + "\n\n" + JUDGE + "\n".join(lines))
