"""Fine-tuning of the base into one expert: few small steps, loss on the answers alone, averaged weights."""

import random
import time

import torch
from torch.nn import functional

import corpus
import llama
import tokens

AVERAGE = 0.96
WARM_UP = 10
# Rows of each batch by set.
SHARES = {"lm": {"alpaca_eval": 16, "sst2": 4, "cola": 4}, "math": {"gsm8k": 8, "math": 8},
          "code": {"humaneval": 8, "mbpp": 8}}
STEPS = {"lm": 160, "math": 100, "code": 80}
RATES = {"lm": 7e-4, "math": 7e-4, "code": 7e-4}


def _batch(tokenizer, pairs):
    """Ids and targets; positions of the prompt and of the padding have no target."""
    # Prompt and answer are encoded apart, as they are when the model answers.
    encoded = [(tokenizer.encode(prompt).ids, tokenizer.encode(answer).ids + [tokens.EOS_ID]) for prompt, answer in pairs]
    width = max(len(asked) + len(answer) for asked, answer in encoded)
    ids = torch.full((len(pairs), width), tokens.PAD_ID)
    targets = torch.full((len(pairs), width), -100)
    for row, (asked, answer) in enumerate(encoded):
        ids[row, : len(asked) + len(answer)] = torch.tensor(asked + answer)
        targets[row, len(asked) : len(asked) + len(answer)] = torch.tensor(answer)
    return ids[:, :-1], targets[:, 1:]


def train(base: dict, shape: llama.Shape, tokenizer, name: str, seed: int) -> dict:
    """The averaged weights of the expert `name`."""
    rng = random.Random(f"{name}|{seed}")
    lessons = {skill: corpus.lessons(skill, seed) for skill in SHARES[name]}
    model = llama.build(shape, base).train()
    average = {key: tensor.clone() for key, tensor in base.items()}
    adam = torch.optim.AdamW(model.parameters(), lr=RATES[name], betas=(0.9, 0.98), weight_decay=0.0)
    rate, begin = RATES[name], time.monotonic()
    for step in range(1, STEPS[name] + 1):
        pairs = [pair for skill, share in SHARES[name].items() for pair in rng.sample(lessons[skill], share)]
        ids, targets = _batch(tokenizer, pairs)
        loss = functional.cross_entropy(model(ids).flatten(0, 1), targets.flatten())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        adam.param_groups[0]["lr"] = rate * min(1.0, step / WARM_UP)
        adam.step()
        model.zero_grad(set_to_none=True)
        with torch.no_grad():
            for key, tensor in model.state_dict().items():
                average[key].lerp_(tensor, 1 - AVERAGE)
        if step % 20 == 0:
            print(f"{name} step {step} loss {loss.item():.4f} {time.monotonic() - begin:.0f} s", flush=True)
    return average
