"""Training of the judge: it reads an instruction and two answers, and says which one is better.

It begins as the expert in instructions with two more layers on top, which pass everything on at first.  The verdict alone is
one bit for a whole text; so while it learns, a second head, which is not kept, must also tell after every token of an answer
whether the answer is right so far, and at its end how good it is.
"""

import random
import signal
import time
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional

import llama
import optimise
import pairs
import tokens

# What the judge is asked, and the two verdicts: the prompt and the card of the annotator `m3_tiny`.
PROMPT = "Task: {instruction}\nResult: {output_1}\nResult: {output_2}\nBetter:"
VERDICTS = [" first", " second"]
MORE_LAYERS = 2
# Pairs of a batch, each in both orders.
BATCH = 16
LONGEST = 128
# Batches that are drawn at once and cut by length.
POOL = 48
MATRIX_RATE, EMBEDDING_RATE, OTHER_RATE = 0.004, 0.01, 1e-3
# What the losses count: the choice of the verdict, its word among all words, what is right so far, the grades.
SHARES = torch.tensor([1.0, 0.03, 1.0, 1.0])
WARM_UP = 50
DECAY = 0.6
LOOK_EVERY, SAVE_EVERY = 180, 120


def grown(shape: llama.Shape, weights: dict, layers: int) -> tuple[llama.Shape, dict]:
    """The shape and the weights with more layers on top that change nothing yet."""
    count = shape.num_hidden_layers
    larger = llama.Shape(**{**shape.__dict__, "num_hidden_layers": count + layers})
    fresh = llama.Llama(larger).state_dict()
    for name in fresh:
        if name in weights:
            fresh[name] = weights[name]
        elif name.endswith(("o_proj.weight", "down_proj.weight")):
            fresh[name] = torch.zeros_like(fresh[name])
    return larger, fresh


def asked(one: pairs.Pair, swapped: bool) -> tuple[str, list[tuple[int, str]]]:
    """The prompt, and where in it the two answers stand; swapped shows the worse one first."""
    first, second = (one.worse, one.better) if swapped else (one.better, one.worse)
    head, middle, tail = PROMPT.format(instruction="\0", output_1="\0", output_2="\1").replace("\0", one.instruction, 1) \
        .partition("\0")[0], "\nResult: ", "\nBetter:"
    text = head + first + middle + second + tail
    return text, [(len(head), first), (len(head) + len(first) + len(middle), second)]


class Batch:
    """Prompts with what is known at their tokens."""

    def __init__(self, tokenizer, texts):
        encoded = tokenizer.encode_batch([text for text, *_ in texts])
        width = max(len(one.ids) for one in encoded)
        width += -width % 8
        self.ids = torch.full((len(texts), width), tokens.PAD_ID)
        # Right so far: 1 or 0, or -1 where there is nothing to tell. Grade: 0, 1, 2, or -1.
        self.so_far = torch.full((len(texts), width), -1.0)
        self.grades = torch.full((len(texts), width), -1)
        self.ends = torch.tensor([len(one.ids) - 1 for one in encoded])
        self.verdicts = torch.tensor([verdict for _, _, _, verdict in texts])
        for row, (one, (text, answers, right, _)) in enumerate(zip(encoded, texts)):
            self.ids[row, : len(one.ids)] = torch.tensor(one.ids)
            for begin, answer in answers:
                end = begin + len(answer)
                for place, (start, stop) in enumerate(one.offsets):
                    if stop > begin and start < end:
                        self.so_far[row, place] = float(right.startswith(text[begin:stop]))
                    elif start <= end < stop:
                        self.grades[row, place] = pairs.grade(answer, right)


def batches(tokenizer, seed: int, answered: list[dict]):
    """Batches without end; texts of like length stand together."""
    rng = random.Random(seed)
    stream = pairs.stream(rng, "train", answered)
    while True:
        pool = []
        while len(pool) < POOL * BATCH:
            one = next(stream)
            both = [(*asked(one, swapped), one.output, int(swapped)) for swapped in (False, True)]
            if len(tokenizer.encode(both[0][0]).ids) <= LONGEST:
                pool.append(both)
        pool.sort(key=lambda both: len(both[0][0]))
        cut = [pool[i : i + BATCH] for i in range(0, len(pool), BATCH)]
        rng.shuffle(cut)
        for chosen in cut:
            yield Batch(tokenizer, [text for both in chosen for text in both])


class Reader(nn.Module):
    """The judge with the head that is not kept."""

    def __init__(self, model: llama.Llama):
        super().__init__()
        self.llama = model
        self.second = nn.Linear(model.shape.hidden_size, 4)
        nn.init.zeros_(self.second.weight)

    def forward(self, ids):
        decoder = self.llama.model
        x = decoder.embed_tokens(ids)
        cos, sin = self.llama.cos[: ids.shape[1]], self.llama.sin[: ids.shape[1]]
        for layer in decoder.layers:
            x = layer(x, cos, sin, None, None)
        return decoder.norm(x)


def loss_of(reader: Reader, forward, batch: Batch):
    """Losses of the choice between the two verdicts, of saying either at all, of what is right so far, and of the grades."""
    hidden = forward(batch.ids)
    at_end = hidden[torch.arange(len(hidden)), batch.ends]
    names = reader.llama.verdict_ids
    words = reader.llama.lm_head(at_end)
    verdict = functional.cross_entropy(words[:, names], batch.verdicts)
    word = functional.cross_entropy(words, names[batch.verdicts])
    told, graded = batch.so_far >= 0, batch.grades >= 0
    second = reader.second(hidden[told | graded])
    so_far, grades = batch.so_far[told | graded], batch.grades[told | graded]
    right = functional.binary_cross_entropy_with_logits(second[so_far >= 0, 0], so_far[so_far >= 0])
    grade = functional.cross_entropy(second[grades >= 0, 1:], grades[grades >= 0])
    return verdict, word, right, grade


@torch.no_grad()
def leanings(model: llama.Llama, tokenizer, chosen: list[pairs.Pair]) -> list[tuple[float, float]]:
    """For every pair, log-likelihood of the verdict for the better answer less that of the other, with the better one
    shown first and second."""
    ids = torch.tensor([tokenizer.encode(verdict).ids[0] for verdict in VERDICTS])
    texts = [(at, swapped, asked(one, swapped)[0]) for at, one in enumerate(chosen) for swapped in (False, True)]
    texts.sort(key=lambda text: len(text[2]))
    found: dict[tuple[int, bool], float] = {}
    for begin in range(0, len(texts), 64):
        some = texts[begin : begin + 64]
        batch = Batch(tokenizer, [(text, [], "", 0) for _, _, text in some])
        logits = model(batch.ids)[torch.arange(len(some)), batch.ends][:, ids]
        for (at, swapped, _), (first, second) in zip(some, logits.tolist()):
            found[at, swapped] = second - first if swapped else first - second
    return [(found[at, False], found[at, True]) for at in range(len(chosen))]


def agreement(found: list[tuple[float, float]]) -> dict[str, float]:
    """Percent of the questions in both orders, of those with the better answer first and second, of pairs whose mean
    preference is right; and the position bias in points as `m3 judge` reports it."""
    share = lambda flags: 100 * sum(flags) / len(flags)
    chance = lambda leaning: float(torch.sigmoid(torch.tensor(leaning, dtype=torch.float64)))
    first, second = [a > 0 for a, _ in found], [b > 0 for _, b in found]
    both = [chance(a) + chance(b) > 1 for a, b in found]
    bias = sum((chance(a) + 1 - chance(b)) / 2 - 0.5 for a, b in found) / len(found)
    return {"questions": share(first + second), "better first": share(first), "better second": share(second), "pairs": share(both),
            "bias": 100 * bias}


def scale_of(step: int, progress: float) -> float:
    """Warm-up, constant, linear decay."""
    return min(1.0, (step + 1) / WARM_UP) * min(1.0, max(0.0, (1 - progress) / DECAY))


def train(expert: Path, tokenizer, folder: Path, work: Path, minutes: float, seed: int, compiled: bool,
          answered: dict[str, list[dict]]) -> None:
    """Train for `minutes` of processor time, going on where an earlier call was stopped, and leave a checkpoint folder."""
    torch.manual_seed(seed)
    shape, weights = grown(llama.read_shape(expert), llama.read_weights(expert), MORE_LAYERS)
    model = llama.build(shape, weights).train()
    model.verdict_ids = torch.tensor([tokenizer.encode(verdict).ids[0] for verdict in VERDICTS])
    reader = Reader(model)
    forward = torch.compile(reader, dynamic=True) if compiled else reader
    matrices, rest = optimise.split_parameters(model)
    muon = optimise.Muon(matrices, MATRIX_RATE)
    embedding = model.model.embed_tokens.weight
    rates = [EMBEDDING_RATE, OTHER_RATE]
    rest = [p for p in rest if p is not embedding] + list(reader.second.parameters())
    adam = torch.optim.AdamW([{"params": [embedding]}, {"params": rest}], betas=(0.9, 0.98), weight_decay=0.0)
    step, used, means = 0, 0.0, None
    kept = work / "judge.pt"
    if kept.exists():
        state = torch.load(kept)
        reader.load_state_dict(state["reader"])
        adam.load_state_dict(state["adam"])
        muon.kept, step, used, means = state["muon"], state["step"], state["used"], state["means"]
    source = batches(tokenizer, seed + step, answered["train"])
    looked_at = pairs.held_out(seed, "validation", answered["validation"], 400)
    work.mkdir(parents=True, exist_ok=True)

    def note(text):
        print(text, flush=True)
        with (work / "judge.log").open("a") as file:
            file.write(text + "\n")

    def keep():
        state = {"reader": reader.state_dict(), "adam": adam.state_dict(), "muon": muon.kept, "step": step, "used": used,
                 "means": means}
        torch.save(state, kept.with_suffix(".new"))
        kept.with_suffix(".new").rename(kept)
        llama.save(model.state_dict(), shape, tokenizer, folder)

    stopped = []
    signal.signal(signal.SIGTERM, lambda *_: stopped.append(True))
    note(f"{sum(p.numel() for p in model.parameters())} parameters, from step {step}, {used / 60:.1f} minutes used")
    before, saved, looked = time.process_time(), used, used
    while (progress := used / (60 * minutes)) < 1 and not stopped:
        batch = next(source)
        scale = scale_of(step, progress)
        losses = torch.stack(loss_of(reader, forward, batch))
        (losses * SHARES).sum().backward()
        torch.nn.utils.clip_grad_norm_(rest, 1.0)
        muon.step(scale)
        for group, rate in zip(adam.param_groups, rates):
            group["lr"] = rate * scale
        adam.step()
        reader.zero_grad(set_to_none=True)
        means = losses.detach() if means is None else means.lerp(losses.detach(), 0.03)
        step += 1
        now = time.process_time()
        used, before = used + now - before, now
        if step % 50 == 0:
            note(f"step {step} minute {used / 60:.1f} verdict {means[0]:.3f} word {means[1]:.2f} so far {means[2]:.3f} "
                 f"grade {means[3]:.3f} "
                 f"rate {scale:.2f}")
        if used - looked > LOOK_EVERY:
            looked = used
            found = agreement(leanings(model, tokenizer, looked_at))
            note("validation " + " ".join(f"{name} {value:.1f}" for name, value in found.items()))
        if used - saved > SAVE_EVERY:
            keep()
            saved = used
    keep()
    if stopped:
        return note(f"stopped at step {step}, minute {used / 60:.1f}; the same command goes on from there")
    note(f"done: {step} steps of {BATCH} pairs in both orders, {minutes:g} minutes of processor time")
