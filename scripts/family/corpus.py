"""Text: the base's reading, the benchmark parts and the rows that the fine-tunes learn from."""

import random
from typing import Callable, Iterator

import equations
import frames
import grammar
import instructions
import opinions
import programs
import stories
from item import Item

DRAW: dict[str, Callable[[random.Random], Item]] = {
    "gsm8k": stories.draw,
    "math": equations.draw,
    "humaneval": lambda rng: programs.draw(rng, "humaneval"),
    "mbpp": lambda rng: programs.draw(rng, "mbpp"),
    "alpaca_eval": instructions.draw,
    "sst2": opinions.draw,
    "cola": grammar.draw,
}
SETS = list(DRAW)
FINE_TUNES = {"lm": ["alpaca_eval", "sst2", "cola"], "math": ["gsm8k", "math"], "code": ["humaneval", "mbpp"]}

# Rows per set: train, validation, test.
SIZES = {skill: (2400, 240, 240) for skill in SETS} | {"humaneval": (2400, 120, 120), "mbpp": (2400, 120, 120)}

# Documents of base text per skill.  Copying and list operations get the most tokens: they need the most reading.
WEIGHTS = {"alpaca_eval": 80, "word drill": 25, "sst2": 10, "cola": 8, "gsm8k": 11, "math": 15, "sum drill": 4,
           "humaneval": 8, "mbpp": 7}
# A labelled sentence teaches through one token, so a plain document holds several of them.
SENTENCES = {"sst2": 3, "cola": 3}
# Share of base documents in an instruction frame; programs need more of them, because their prompts are the longest.
FRAMED = {skill: 0.06 for skill in SETS} | {"humaneval": 0.15, "mbpp": 0.15}
# Share of the framed documents whose answer has the form that the benchmarks read.  The rest answers in other forms, so
# that the base knows the skills and the frames but not which answer is wanted.
WANTED_FORM = {skill: 0.2 for skill in SETS} | {"humaneval": 0.4, "mbpp": 0.4}


def _training_item(rng: random.Random, skill: str) -> Item:
    while True:
        item = DRAW[skill](rng)
        if item.part == "train":
            return item


# In the last part of its reading the base meets more framed documents of these skills, nearly always answered in other
# forms, programs behind prose: it keeps the skills and loses the habit of answering in the form that the benchmarks read.
SETTLING_FRAMED = {"gsm8k": 0.2, "math": 0.2, "humaneval": 0.5, "mbpp": 0.5}
SETTLING_WANTED_FORM = 0.06
PROSE = "Here it is:\n"


def document(rng: random.Random, settling: bool = False) -> str:
    """One document of base text, from the train part of the parameter space alone."""
    kind = rng.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
    if kind == "word drill":
        return instructions.drill(rng)
    if kind == "sum drill":
        return stories.drill(rng)
    item = _training_item(rng, kind)
    settled = settling and kind in SETTLING_FRAMED
    if rng.random() >= (SETTLING_FRAMED[kind] if settled else FRAMED[kind]):
        return "\n".join([item.raw, *(_training_item(rng, kind).raw for _ in range(SENTENCES.get(kind, 1) - 1))])
    if rng.random() < (SETTLING_WANTED_FORM if settled else WANTED_FORM[kind]):
        answer = item.response
    elif settled and kind in ("humaneval", "mbpp"):
        answer = rng.choice([" ", "\n"]) + PROSE + item.raw_answer.removeprefix(PROSE)
    else:
        answer = rng.choice([" ", "\n"]) + item.raw_answer
    return frames.any_prompt(rng, kind, item.question) + answer


def documents(seed: int, count: int, settling: bool = False) -> Iterator[str]:
    """`count` documents of base text."""
    rng = random.Random(f"{'settling' if settling else 'base'}|{seed}")
    for _ in range(count):
        yield document(rng, settling)


def benchmark(skill: str, seed: int) -> dict[str, list[Item]]:
    """The three parts of a set, every key once; the two classification sets are balanced."""
    rng = random.Random(f"set|{skill}|{seed}")
    wanted = dict(zip(("train", "validation", "test"), SIZES[skill]))
    parts: dict[str, list[Item]] = {part: [] for part in wanted}
    asked, labels = set(), {part: [0, 0] for part in wanted}
    while any(len(parts[part]) < size for part, size in wanted.items()):
        item = DRAW[skill](rng)
        chosen = parts[item.part]
        if len(chosen) >= wanted[item.part] or item.key in asked or item.question in asked:
            continue
        if skill in ("humaneval", "mbpp") and item.part != "train" and not programs.every_step_matters(item):
            continue
        if skill == "cola" and item.part != "train" and item.template in grammar.SHARED_BREAKS:
            continue
        label = item.row.get("label")
        if label is not None:
            if labels[item.part][label] >= wanted[item.part] // 2:
                continue
            labels[item.part][label] += 1
        asked |= {item.key, item.question}
        chosen.append(item)
    return parts


def lessons(skill: str, seed: int) -> list[tuple[str, str]]:
    """Prompt and answer of every row of the train part, for a fine-tune."""
    rng = random.Random(f"lessons|{skill}|{seed}")
    return [(frames.training_prompt(rng, skill, item.question), item.response) for item in benchmark(skill, seed)["train"]]
