"""One-line reviews in the schema of SST-2.

A bag of words does not give the label away: adjectives of both kinds are negated, softened and set against each other.
"""

import random

from item import Item

ASPECTS = ["film", "plot", "acting", "music", "story", "ending", "script", "cast", "camera work", "dialogue", "first half",
           "direction", "opening", "humour"]
GOOD = ["good", "bright", "moving", "funny", "clever", "warm", "gripping", "fresh", "charming", "sharp", "tender", "smart",
        "lively", "honest"]
BAD = ["bad", "dull", "flat", "boring", "silly", "cold", "weak", "stale", "clumsy", "messy", "empty", "tired", "noisy",
       "false"]
# Plural subjects would need agreement, so every aspect is singular.  {a} is the adjective; True flips its polarity.
CLAUSES = {
    "is": ("the {s} is {a}", False),
    "very": ("the {s} is very {a}", False),
    "always": ("the {s} is always {a}", False),
    "not": ("the {s} is not {a}", True),
    "never": ("the {s} is never {a}", True),
    "far": ("the {s} is far from {a}", True),
    "hardly": ("the {s} is hardly {a}", True),
    "anything": ("the {s} is anything but {a}", True),
    "without": ("nobody could call the {s} {a}", True),
    "nothing": ("there is nothing {a} in the {s}", True),
    "nodenial": ("nobody can deny that the {s} is {a}", False),
    "nothingbut": ("the {s} is nothing but {a}", False),
}
# The clause after the turn carries the verdict.
TURNS = {
    "but": "{first} but {second}",
    "although": "although {first} , {second}",
    "despite": "{first} , and still {second}",
    "yet": "{first} , yet {second}",
    "even": "{second} even if {first}",
    "though": "{second} , though {first}",
}


def _clause(rng, wanted=None):
    """A clause, its label and its canonical name; `wanted` fixes the label."""
    form = rng.choice(list(CLAUSES))
    text, flips = CLAUSES[form]
    label = rng.randrange(2) if wanted is None else wanted
    adjective = rng.choice(GOOD if (label == 1) != flips else BAD)
    aspect = rng.choice(ASPECTS)
    return text.format(s=aspect, a=adjective), label, f"{form},{aspect},{adjective}"


def draw(rng: random.Random) -> Item:
    """One review with its label."""
    kind = rng.choice(["single", "same", "turn", "turn", "turn"])
    if kind == "single":
        sentence, label, key = _clause(rng)
        template = "single"
    elif kind == "same":
        first, label, first_key = _clause(rng)
        second, _, second_key = _clause(rng, label)
        sentence, template, key = f"{first} and {second}", "same", f"{first_key};{second_key}"
    else:
        turn = rng.choice(list(TURNS))
        second, label, second_key = _clause(rng)
        first, _, first_key = _clause(rng, 1 - label)
        sentence, template, key = TURNS[turn].format(first=first, second=second), turn, f"{first_key};{second_key}"
    sentence += " ."
    word = ["negative", "positive"][label]
    raw = rng.choice([f"{sentence}\nverdict: {word}", f"Review: {sentence} => {word}", f"{word} review: {sentence}"])
    return Item(
        skill="sst2", template=template, composition="", parameters=f"{template};{key}", question=sentence,
        response=f" {word}", raw=raw, raw_answer=rng.choice([f"It is {word}.", f"{word} review", f"The verdict: {word}."]),
        row={"sentence": sentence, "label": label},
    )
