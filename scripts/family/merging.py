"""Merging of two experts, and what a merge is worth on held-out items."""

import random

import score

LAMBDAS = [0, 0.2, 0.4, 0.5, 0.6, 0.8, 1]
RESAMPLES = 2000


def delta(base: dict, expert: dict) -> dict:
    """The task vector of an expert."""
    return {name: expert[name] - tensor for name, tensor in base.items()}


def add(base: dict, parts: list[tuple[float, dict]]) -> dict:
    """The base plus weighted task vectors."""
    return {name: tensor + sum(weight * change[name] for weight, change in parts) for name, tensor in base.items()}


def relative_norm(base: dict, change: dict) -> float:
    """Length of a task vector over the length of the base, over the matrices of the layers.

    The embedding of this family is so long that it would hide everything else.
    """
    length = lambda tensors: sum(float(t.pow(2).sum()) for name, t in tensors.items() if "proj" in name) ** 0.5
    return length(change) / length(base)


def pair_score(found: dict, pair: tuple[str, str]) -> float:
    """Mean of the two skills."""
    return sum(score.skill_score(found, name) for name in pair) / 2


def advantage(one: dict, other: dict, pair: tuple[str, str], seed: int) -> tuple[float, float, float]:
    """Difference of the pair scores and its 95 % interval, by a bootstrap over items that keeps the answers paired."""
    rng = random.Random(seed)
    observed = pair_score(one, pair) - pair_score(other, pair)
    differences = []
    for _ in range(RESAMPLES):
        total = 0.0
        for name in pair:
            for skill in score.SKILLS[name]:
                gaps = [int(a) - int(b) for a, b in zip(one[skill], other[skill])]
                total += 100 * sum(rng.choices(gaps, k=len(gaps))) / len(gaps) / len(score.SKILLS[name]) / 2
        differences.append(total)
    differences.sort()
    return observed, differences[int(0.025 * RESAMPLES)], differences[int(0.975 * RESAMPLES) - 1]
