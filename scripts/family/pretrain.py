"""Training of the base on generated text, within a time budget."""

import time
from pathlib import Path

import numpy
import torch
from torch.nn import functional

import corpus
import llama
import optimise
import tokens

LENGTH = 256
BATCH = 8
MATRIX_RATE, EMBEDDING_RATE, OTHER_RATE = 0.008, 0.05, 2e-3
WARM_UP = 100
# Part of the time budget at the end in which the rate falls linearly to zero.
DECAY = 0.5
# First rate of the settling, as a part of the base's.
SETTLING_RATE = 0.4


def write_tokens(tokenizer, path: Path, seed: int, count: int, settling: bool = False) -> int:
    """Tokenise `count` documents into one flat file of 16-bit numbers and return how many there are."""
    total, batch = 0, []
    with path.open("wb") as file:
        for number, text in enumerate(corpus.documents(seed, count, settling), 1):
            batch.append(text)
            if len(batch) == 4000 or number == count:
                ids = [i for one in tokenizer.encode_batch(batch) for i in (*one.ids, tokens.EOS_ID)]
                numpy.array(ids, dtype=numpy.uint16).tofile(file)
                total, batch = total + len(ids), []
    return total


def rows(path: Path) -> torch.Tensor:
    """The token file cut into rows that begin where a document begins.

    The benchmarks ask from position 0, so the model must know what a text looks like there.  A document that the end of
    a row cuts is read again, whole, at the start of the next row.
    """
    flat = numpy.fromfile(path, dtype=numpy.uint16).astype(numpy.int64)
    starts = numpy.concatenate([[0], numpy.flatnonzero(flat == tokens.EOS_ID) + 1])
    cut, document = [], 0
    while (place := int(starts[document])) + LENGTH + 1 <= len(flat):
        cut.append(flat[place : place + LENGTH + 1])
        document = max(document + 1, int(numpy.searchsorted(starts, place + LENGTH, side="right")) - 1)
    return torch.from_numpy(numpy.stack(cut))


def rate_scale(step: int, progress: float, settling: bool) -> float:
    """Warm-up, constant, linear decay; `progress` is the used part of the budget. Settling begins low and only decays."""
    if settling:
        return SETTLING_RATE * (1 - progress)
    return min(1.0, (step + 1) / WARM_UP) * min(1.0, max(0.0, (1 - progress) / DECAY))


def train(shape: llama.Shape, tokenizer, token_file: Path, folder: Path, log: Path, minutes: float,
          seed: int, compiled: bool, settling: bool = False) -> None:
    """Train for `minutes`, from random weights or, settling, from those in `folder`, and leave a checkpoint folder there,
    renewed every few minutes."""
    torch.manual_seed(seed)
    data = rows(token_file)
    order = torch.randperm(len(data))
    model = llama.Llama(shape)
    if settling:
        model.load_state_dict(llama.read_weights(folder))
    forward = torch.compile(model) if compiled else model
    matrices, rest = optimise.split_parameters(model)
    muon = optimise.Muon(matrices, MATRIX_RATE)
    embedding = model.model.embed_tokens.weight
    rates = [EMBEDDING_RATE, OTHER_RATE]
    adam = torch.optim.AdamW([{"params": [embedding]}, {"params": [p for p in rest if p is not embedding]}],
                             betas=(0.9, 0.95), weight_decay=0.0)
    log.write_text("")

    def note(text):
        print(text, flush=True)
        with log.open("a") as file:
            file.write(text + "\n")

    note(f"{sum(p.numel() for p in model.parameters())} parameters, {len(data)} rows")

    begin = saved = time.monotonic()
    step, mean = 0, None
    while (progress := (time.monotonic() - begin) / (60 * minutes)) < 1:
        chosen = data[order[torch.arange(step * BATCH, (step + 1) * BATCH) % len(data)]]
        scale = rate_scale(step, progress, settling)
        loss = functional.cross_entropy(forward(chosen[:, :-1]).flatten(0, 1), chosen[:, 1:].flatten())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(rest, 1.0)
        muon.step(scale)
        for group, rate in zip(adam.param_groups, rates):
            group["lr"] = rate * scale
        adam.step()
        model.zero_grad(set_to_none=True)
        mean = loss.item() if mean is None else 0.97 * mean + 0.03 * loss.item()
        step += 1
        if step % 20 == 0:
            seconds = time.monotonic() - begin
            note(f"step {step} minute {seconds / 60:.1f} loss {mean:.4f} rate {scale:.2f} "
                 f"tokens/s {step * BATCH * LENGTH / seconds:.0f}")
        if time.monotonic() - saved > 240:
            llama.save(model.state_dict(), shape, tokenizer, folder)
            saved = time.monotonic()
    llama.save(model.state_dict(), shape, tokenizer, folder)
    note(f"done: {step} steps, {step * BATCH * LENGTH} tokens, {minutes:g} minutes")
