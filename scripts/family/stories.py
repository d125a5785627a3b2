"""Word problems in the schema of GSM8K: a count of goods goes through a chain of events."""

import random

from item import Item
from vocabulary import GOODS, NAMES

LARGEST = 99


class _Dead(Exception):
    """The drawn numbers leave the small range that the family computes in."""


def _add(total, amount, steps):
    if total + amount > LARGEST:
        raise _Dead
    steps.append(f"{total} + {amount} = {total + amount}.")
    return total + amount


def _subtract(total, amount, steps):
    if amount >= total:
        raise _Dead
    steps.append(f"{total} - {amount} = {total - amount}.")
    return total - amount


def _multiply(total, factor, steps):
    if total * factor > LARGEST or (total > 12 and factor > 3):
        raise _Dead
    steps.append(f"{total} * {factor} = {total * factor}.")
    return total * factor


def _divide(total, divisor, steps):
    if total % divisor or total // divisor > 12 or total == divisor:
        raise _Dead
    steps.append(f"{total} / {divisor} = {total // divisor}.")
    return total // divisor


# Every event: name -> (wordings, what it does to the running total).  {he} is the pronoun, {k} and {m} are numbers.
EVENTS = {
    "buy": (["{he} buys {k} more.", "Then {he} buys another {k} {goods}."], lambda t, k, m, s: _add(t, k, s)),
    "find": (["{he} finds {k} {goods} at home.", "A friend brings {k} {goods}."], lambda t, k, m, s: _add(t, k, s)),
    "give": (["{he} gives {k} to {friend}.", "{friend} gets {k} of them."], lambda t, k, m, s: _subtract(t, k, s)),
    "lose": (["{he} loses {k} of them.", "After that {k} {goods} are lost."], lambda t, k, m, s: _subtract(t, k, s)),
    "boxes": (
        ["{he} gets {k} boxes with {m} {goods} each.", "{k} boxes with {m} {goods} in each arrive."],
        lambda t, k, m, s: _add(t, _multiply(k, m, s), s),
    ),
    "double": (["Then the number doubles.", "Soon {he} has twice as many."], lambda t, k, m, s: _multiply(t, 2, s)),
}

STARTS = {
    "has": (["{name} has {a} {goods}.", "There are {a} {goods} on the table of {name}."], lambda a, b, s: a * b),
    "rows": (["{name} has {a} rows of {b} {goods}.", "{name} puts {b} {goods} on each of {a} plates."],
             lambda a, b, s: _multiply(a, b, s)),
}

ENDS = {
    "now": (["How many {goods} does {name} have now?", "How many {goods} are there in the end?"],
            lambda t, k, s: t),
    "price": (["If each costs {k} dollars, how many dollars are all of them?"], _multiply),
    "share": (["They go into {k} equal boxes. How many are in each box?"], _divide),
}


def _attempt(rng: random.Random) -> Item:
    name, he = rng.choice(NAMES)
    friend = rng.choice([other for other, _ in NAMES if other != name])
    goods = rng.choice(GOODS)
    start, end = rng.choice(["has", "has", "rows"]), rng.choice(["now", "now", "now", "now", "price", "share"])
    chain = [rng.choice(list(EVENTS)) for _ in range(rng.choice([1, 1, 2, 2, 2]))]

    steps, sentences = [], []
    if start == "has":
        first, second = rng.randint(4, 30), 1
    else:
        first, second = rng.randint(2, 9), rng.randint(2, 9)
    total = STARTS[start][1](first, second, steps)
    numbers = [f"{first},{second}"]
    fill = dict(name=name, friend=friend, goods=goods)
    sentences.append(rng.choice(STARTS[start][0]).format(a=first, b=second, **fill))
    for event in chain:
        wordings, act = EVENTS[event]
        several = event == "boxes"
        k, m = rng.randint(2, 6 if several else 20), rng.randint(2, 6)
        total = act(total, k, m, steps)
        text = rng.choice(wordings)
        pronoun = he if text.startswith("{he}") else he.lower()
        sentences.append(text.format(he=pronoun, k=k, m=m, **fill))
        numbers.append("" if event == "double" else f"{k},{m}" if several else f"{k}")
    wordings, finish = ENDS[end]
    k = rng.randint(2, 9)
    total = finish(total, k, steps)
    if end != "now":
        numbers.append(str(k))
    sentences.append(rng.choice(wordings).format(k=k, **fill))

    question = " ".join(sentences)
    reasoning = " ".join(steps)
    composition = "-".join(["story", start, *chain, end])
    raw_answer = f"{reasoning} {rng.choice(['Result:', 'So it is', 'In all'])} {total}."
    return Item(
        skill="gsm8k",
        template=composition,
        composition=composition,
        parameters=";".join(numbers),
        question=question,
        response=f" {reasoning} The answer is: {total}",
        raw=f"{rng.choice(['Problem: ', 'Q: ', ''])}{question}\n{raw_answer}",
        raw_answer=raw_answer,
        row={"question": question, "answer": f"{reasoning}\n#### {total}"},
    )


def draw(rng: random.Random) -> Item:
    """One word problem; draws whose numbers get too large are thrown away."""
    while True:
        try:
            return _attempt(rng)
        except _Dead:
            continue


def drill(rng: random.Random) -> str:
    """Plain sums, which the base reads so that the chains above have something to stand on."""
    lines = []
    for _ in range(rng.randint(4, 8)):
        sign = rng.choice("++--**/")
        if sign == "+":
            a = rng.randint(1, 60)
            b = rng.randint(1, 20)
            lines.append(f"{a} + {b} = {a + b}.")
        elif sign == "-":
            a = rng.randint(2, 60)
            b = rng.randint(1, min(a - 1, 20))
            lines.append(f"{a} - {b} = {a - b}.")
        else:
            if rng.random() < 0.7:
                a, b = rng.randint(2, 12), rng.randint(2, 9)
            else:
                b = rng.choice([2, 3])
                a = rng.randint(4, LARGEST // b)
            if a * b > LARGEST:
                continue
            lines.append(f"{a} * {b} = {a * b}." if sign == "*" else f"{a * b} / {b} = {a}.")
    return " ".join(lines)
