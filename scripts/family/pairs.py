"""Pairs of answers to an instruction whose better side is known by construction, for the judge.

An instruction has exactly one right output, so every answer has a grade: right; right but with other words around it, which
was not asked for; wrong.  A pair holds two answers of different grades.  Neither the place of an answer nor its length says
which one is better: every pair is asked in both orders, and wrong answers are drawn as often shorter as longer.
"""

import json
import random
import re
from dataclasses import dataclass
from pathlib import Path

import instructions
import split
from item import Item
from vocabulary import WORDS

WRONG, WRAPPED, RIGHT = 0, 1, 2
# The kinds of pairs and how often each is drawn.
KINDS = {"near miss": 50, "other task": 10, "gross": 10, "wrapped": 8, "wrapped against wrong": 7, "models": 15}
WRAPPINGS = ["Here it is: {a}", "{a} - done", "Sure: {a}", "Result: {a}", "The answer is: {a}", "Answer: {a}"]
# Longest rest of an answer that still counts as words around the right output.
AROUND = 40
ATTEMPTS = 12

_WORD = re.compile(r"[A-Za-z]+")
_KNOWN = set(WORDS)


@dataclass(frozen=True)
class Pair:
    """An instruction with a better and a worse answer."""

    instruction: str
    better: str
    worse: str
    kind: str
    template: str
    # Whether the instruction's kind (its composition of operations) is in no text that the family has read.
    new_kind: bool
    output: str


def grade(answer: str, right: str) -> int:
    """Right, right with other words around it, or wrong; blanks at the ends do not count."""
    answer = answer.strip()
    if answer == right:
        return RIGHT
    found = re.search(r"(?<![\w,-])" + re.escape(right) + r"(?![\w,-])", answer)
    if found is None:
        return WRONG
    rest = answer[: found.start()] + answer[found.end() :]
    bare = len(rest) <= AROUND and not re.search(r"\d", rest) and not any(w.lower() in _KNOWN for w in _WORD.findall(rest))
    return WRAPPED if bare else WRONG


def _joined(pieces: list[str], like: str) -> str:
    """The pieces in the layout of another answer."""
    if like.startswith("- "):
        return instructions.LAYOUTS["bullets"][1](pieces)
    if like.startswith("1. "):
        return instructions.LAYOUTS["numbers"][1](pieces)
    for separator in (", ", "-"):
        if separator in like:
            return separator.join(pieces)
    return " ".join(pieces)


def _pieces(answer: str) -> list[str]:
    return re.findall(r"[A-Za-z]+", answer) or [answer]


def _asked(item: Item) -> list[str]:
    """The words that the instruction gives."""
    return [word for word in _pieces(item.parameters) if word in _KNOWN] or ["apple"]


def _like(rng, word: str, item: Item) -> str:
    """Another word in the form of this one."""
    others = [w for w in (_asked(item) if rng.random() < 0.6 else WORDS) if w != word.lower()] or WORDS
    other = rng.choice(others)
    other = other.upper() if word.isupper() else other
    return other[0] if len(word) == 1 else other


def _drop(rng, item, pieces):
    place = rng.randrange(len(pieces))
    return pieces[:place] + pieces[place + 1 :]


def _insert(rng, item, pieces):
    place = rng.randrange(len(pieces) + 1)
    model = pieces[min(place, len(pieces) - 1)]
    return [*pieces[:place], _like(rng, model, item), *pieces[place:]]


def _replace(rng, item, pieces):
    place = rng.randrange(len(pieces))
    return [*pieces[:place], _like(rng, pieces[place], item), *pieces[place + 1 :]]


def _swap(rng, item, pieces):
    first, second = sorted(rng.sample(range(len(pieces)), 2)) if len(pieces) > 1 else (0, 0)
    pieces = list(pieces)
    pieces[first], pieces[second] = pieces[second], pieces[first]
    return pieces


def _double(rng, item, pieces):
    place = rng.randrange(len(pieces))
    return pieces[: place + 1] + pieces[place:]


def _one_case(rng, item, pieces):
    place = rng.randrange(len(pieces))
    return [piece.swapcase() if i == place else piece for i, piece in enumerate(pieces)]


def _case(rng, item, pieces):
    return [piece.swapcase() for piece in pieces]


_CHANGES = [_drop, _drop, _insert, _insert, _replace, _replace, _replace, _swap, _swap, _double, _one_case, _case]


def _near_miss(rng: random.Random, item: Item) -> str:
    """The right output with one or two changes, or in another layout."""
    right = item.row["output"]
    if right.isdigit():
        return str(max(0, int(right) + rng.choice([-3, -2, -1, -1, 1, 1, 2, 3])))
    pieces = _pieces(right)
    if rng.random() < 0.15:
        return instructions.LAYOUTS[rng.choice(list(instructions.LAYOUTS))][1](pieces)
    for _ in range(rng.choice([1, 1, 1, 2])):
        pieces = rng.choice(_CHANGES)(rng, item, pieces)
        if not pieces:
            return ""
    return _joined(pieces, right)


def _other_task(rng: random.Random, item: Item) -> str:
    """What another instruction makes of the same words."""
    words = _asked(item)
    layout = rng.choice(["plain", "plain", "plain", *instructions.LAYOUTS])
    done = list(words)
    for name in rng.sample(list(instructions.LIST_OPERATIONS), rng.choice([0, 1, 1, 1, 2])):
        if len(done) > 1:
            done = instructions.LIST_OPERATIONS[name][1](done)
    if rng.random() < 0.2:
        return rng.choice([rng.choice(words), str(len(words)), words[-1], words[0]])
    return instructions.LAYOUTS[layout][1](done)


def _gross(rng: random.Random, item: Item) -> str:
    """The answer to something else, the instruction again, one word for ever, other words, or nothing."""
    kind = rng.choice(["elsewhere", "elsewhere", "echo", "loop", "noise", "noise", "empty"])
    if kind == "elsewhere":
        return instructions.draw(rng).row["output"]
    if kind == "echo":
        return item.question
    if kind == "loop":
        return " ".join([rng.choice(_asked(item))] * rng.randint(3, 9))
    if kind == "noise":
        return _joined(rng.sample(WORDS, rng.randint(1, 6)), item.row["output"])
    return ""


def _wrong(rng: random.Random, item: Item, make) -> str | None:
    """A wrong answer, as often shorter as longer than the right one where that can be had."""
    right, wanted = item.row["output"], rng.choice([-1, 0, 1])
    fallback = None
    for _ in range(ATTEMPTS):
        answer = make(rng, item).strip()
        if grade(answer, right) != WRONG:
            continue
        fallback = answer
        longer = (len(answer) > len(right)) - (len(answer) < len(right))
        if longer == wanted:
            return answer
    return fallback


def _wrapped(rng: random.Random, right: str) -> str:
    return rng.choice(WRAPPINGS).format(a=right)


def new_kind(item: Item) -> bool:
    """Whether the composition of the instruction's operations is held out as a whole."""
    return split.part_of_composition(item.composition) != "train"


def pair(rng: random.Random, item: Item, kind: str) -> Pair | None:
    """A pair of the given kind about an instruction, or none if this one allows none."""
    right = item.row["output"]
    if kind == "wrapped":
        better, worse = right, _wrapped(rng, right)
    elif kind == "wrapped against wrong":
        better, worse = _wrapped(rng, right), _wrong(rng, item, rng.choice([_near_miss, _near_miss, _other_task, _gross]))
        if worse is not None and rng.random() < 0.5:
            worse = _wrapped(rng, worse)
    else:
        better, worse = right, _wrong(rng, item, {"near miss": _near_miss, "other task": _other_task, "gross": _gross}[kind])
    if worse is None or grade(better, right) <= grade(worse, right):
        return None
    return Pair(item.question, better, worse, kind, item.template, new_kind(item), right)


def of_models(rng: random.Random, row: dict) -> Pair | None:
    """Two answers that models of the family gave to an instruction, or one of them and the right output."""
    right = row["output"]
    graded: dict[int, list[str]] = {}
    for answer in {*(answer.strip() for answer in row["answers"]), right}:
        graded.setdefault(grade(answer, right), []).append(answer)
    if len(graded) < 2:
        return None
    low, high = sorted(rng.sample(sorted(graded), 2))
    better, worse = rng.choice(sorted(graded[high])), rng.choice(sorted(graded[low]))
    return Pair(row["instruction"], better, worse, "models", row["template"], row["new_kind"], right)


def stream(rng: random.Random, part: str, answered: list[dict]):
    """Pairs without end, about instructions of one part of the parameter space; `answered` are answers of models there."""
    kinds, weights = list(KINDS), list(KINDS.values())
    while True:
        kind = rng.choices(kinds, weights)[0]
        if kind == "models":
            drawn = of_models(rng, rng.choice(answered)) if answered else None
        else:
            item = instructions.draw(rng)
            drawn = pair(rng, item, kind) if item.part == part else None
        if drawn is not None:
            yield drawn


def held_out(seed: int, part: str, answered: list[dict], count: int) -> list[Pair]:
    """`count` pairs or one more, each about another instruction; among those of unequal length the better answer is the longer
    one in exactly one half."""
    rng = random.Random(f"pairs|{part}|{seed}")
    found: dict[str, Pair] = {}
    longer = {True: 0, False: 0}
    for drawn in stream(rng, part, answered):
        if drawn.instruction in found:
            continue
        if len(drawn.better) != len(drawn.worse):
            side = len(drawn.better) > len(drawn.worse)
            if longer[side] > longer[not side]:
                continue
            longer[side] += 1
        found[drawn.instruction] = drawn
        if len(found) >= count and longer[True] == longer[False]:
            return list(found.values())
    return []


SIDES = ("better", "worse")


def write(folder: Path, pairs: list[Pair]) -> None:
    """Two files as alpaca_eval has them, with the better and with the worse answers: whoever lets a judge compare the one with the
    other reads its agreement off the win rate."""
    folder.mkdir(parents=True, exist_ok=True)
    for side in SIDES:
        rows = [{"dataset": one.kind, "instruction": one.instruction, "output": getattr(one, side), "generator": side,
                 "template": one.template, "new_kind": one.new_kind, "right": one.output} for one in pairs]
        (folder / f"{side}.jsonl").write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def read(folder: Path) -> list[Pair]:
    """The pairs of a folder."""
    better, worse = ([json.loads(line) for line in (folder / f"{side}.jsonl").read_text().splitlines()] for side in SIDES)
    return [Pair(a["instruction"], a["output"], b["output"], a["dataset"], a["template"], a["new_kind"], a["right"])
            for a, b in zip(better, worse)]
