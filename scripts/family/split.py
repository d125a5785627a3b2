"""The one place that decides which part of the parameter space an item belongs to.

The part is a pure function of what an item asks, never of the order in which items were drawn.  Base text, fine-tuning
sets and benchmark sets all come from the same generators, so a test item cannot appear in any training text.
"""

import hashlib

PARTS = ("train", "validation", "test")

# Percent of the compositions (for example "keep even, add, sum") that belong to validation and to test as a whole.
HELD_OUT_COMPOSITIONS = 12
# Percent of the parameter combinations inside the remaining compositions that belong to validation and to test.
HELD_OUT_PARAMETERS = 6


def bucket(text: str) -> int:
    """A stable number in 0..99 for a text."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") % 100


def _side(number: int, share: int) -> str:
    if number < share:
        return "validation"
    if number < 2 * share:
        return "test"
    return "train"


def part_of_composition(composition: str) -> str:
    """The part that a whole composition is held out for, or train."""
    return _side(bucket("composition|" + composition), HELD_OUT_COMPOSITIONS) if composition else "train"


def part_of(composition: str, parameters: str) -> str:
    """The part of an item.

    `composition` names the sequence of operations, or is empty where an item has just one operation and holding it out
    would take the whole skill away.  `parameters` is everything else that makes the item what it is.
    """
    side = part_of_composition(composition)
    if side != "train":
        return side
    return _side(bucket(f"parameters|{composition}|{parameters}"), HELD_OUT_PARAMETERS)
