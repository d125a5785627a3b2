"""Greedy generation in batches, with a cache."""

import torch

import llama
import tokens

BATCH = 60
NEW_TOKENS = 96


@torch.no_grad()
def _batch(model, tokenizer, prompts):
    encoded = [one.ids for one in tokenizer.encode_batch(prompts)]
    width = max(map(len, encoded))
    ids = torch.tensor([[tokens.PAD_ID] * (width - len(one)) + one for one in encoded])
    start = torch.tensor([width - len(one) for one in encoded])
    place = torch.arange(width)
    positions = (place[None] - start[:, None]).clamp(min=0)
    visible = (place[None, None, :] >= start[:, None, None]) & (place[None, None, :] <= place[None, :, None])
    # A padding row sees itself, because attention over nothing is not a number.
    visible |= torch.eye(width, dtype=torch.bool)
    cache = llama.Cache()
    logits = model(ids, positions, visible[:, None], cache)[:, -1]
    answers = [[] for _ in prompts]
    rows = list(range(len(prompts)))
    for step in range(NEW_TOKENS):
        chosen = logits.argmax(-1)
        going = [i for i, token in enumerate(chosen.tolist()) if token != tokens.EOS_ID]
        if not going:
            break
        if len(going) < len(rows):
            keep = torch.tensor(going)
            cache.select(keep)
            chosen, start, rows = chosen[keep], start[keep], [rows[i] for i in going]
        for row, token in zip(rows, chosen.tolist()):
            answers[row].append(token)
        now = width + step
        visible = torch.arange(now + 1)[None] >= start[:, None]
        logits = model(chosen[:, None], (now - start)[:, None], visible[:, None, None], cache)[:, -1]
    return [tokenizer.decode(answer) for answer in answers]


def answers(model, tokenizer, prompts: list[str]) -> list[str]:
    """The continuation of every prompt; prompts of like length are read together."""
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    found = [""] * len(prompts)
    for begin in range(0, len(order), BATCH):
        chosen = order[begin : begin + BATCH]
        for i, answer in zip(chosen, _batch(model, tokenizer, [prompts[i] for i in chosen])):
            found[i] = answer
    return found
