"""Training of the masked language model: a small BERT over a WordPiece vocabulary of its own, both from generated text.

The files are those of a BertForMaskedLM of the Hugging Face libraries, weights in half precision.
"""

import itertools
import json
import random
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from torch import nn
from torch.nn import functional

import wordings

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
PAD_ID, UNK_ID, CLS_ID, SEP_ID, MASK_ID = range(5)
TOKENIZER_TEXTS = 20_000
BATCH = 48
RATE = 2e-3
WARM_UP = 50
# Devlin et al. 2018: of the tokens this share is asked for; of these 80 % are masked, 10 % another token, 10 % left.
ASKED, MASKED, RANDOM = 0.2, 0.8, 0.1


@dataclass(frozen=True)
class Shape:
    """The numbers that define the architecture."""

    vocab_size: int = 1024
    hidden_size: int = 128
    num_hidden_layers: int = 3
    num_attention_heads: int = 4
    intermediate_size: int = 512
    max_position_embeddings: int = 256
    type_vocab_size: int = 2
    layer_norm_eps: float = 1e-12

    def config(self) -> dict:
        """The content of config.json."""
        return {
            "architectures": ["BertForMaskedLM"], "model_type": "bert", **vars(self), "hidden_act": "gelu",
            "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0, "initializer_range": 0.02, "pad_token_id": PAD_ID,
            "position_embedding_type": "absolute", "classifier_dropout": None, "use_cache": True, "torch_dtype": "float16",
        }


def learn_tokenizer(seed: int, vocabulary: int) -> Tokenizer:
    """An uncased WordPiece tokenizer."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    # Every printable ASCII character is a token, so that hardly any text has an unknown one.
    printable = [chr(c) for c in range(33, 127)]
    trainer = trainers.WordPieceTrainer(vocab_size=vocabulary, special_tokens=SPECIAL, initial_alphabet=printable,
                                        show_progress=False)
    tokenizer.train_from_iterator(itertools.islice(wordings.texts(seed + 1), TOKENIZER_TEXTS), trainer)
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]",
                                                             special_tokens=[("[CLS]", CLS_ID), ("[SEP]", SEP_ID)])
    return tokenizer


class Layer(nn.Module):
    def __init__(self, shape):
        super().__init__()
        width = shape.hidden_size
        norm = lambda: nn.LayerNorm(width, eps=shape.layer_norm_eps)
        self.heads = shape.num_attention_heads
        inner = nn.ModuleDict({name: nn.Linear(width, width) for name in ("query", "key", "value")})
        self.attention = nn.ModuleDict(
            {"self": inner, "output": nn.ModuleDict({"dense": nn.Linear(width, width), "LayerNorm": norm()})})
        self.intermediate = nn.ModuleDict({"dense": nn.Linear(width, shape.intermediate_size)})
        self.output = nn.ModuleDict({"dense": nn.Linear(shape.intermediate_size, width), "LayerNorm": norm()})

    def forward(self, x, mask):
        batch, length, width = x.shape
        q, k, v = (self.attention["self"][name](x).view(batch, length, self.heads, -1).transpose(1, 2)
                   for name in ("query", "key", "value"))
        mixed = functional.scaled_dot_product_attention(q, k, v, attn_mask=mask).transpose(1, 2).reshape(batch, length, width)
        x = self.attention["output"]["LayerNorm"](x + self.attention["output"]["dense"](mixed))
        inner = functional.gelu(self.intermediate["dense"](x))
        return self.output["LayerNorm"](x + self.output["dense"](inner))


class MaskedLm(nn.Module):
    """A BertForMaskedLM with the tensor names of the Hugging Face libraries; the output matrix is the embedding."""

    def __init__(self, shape: Shape):
        super().__init__()
        width = shape.hidden_size
        norm = lambda: nn.LayerNorm(width, eps=shape.layer_norm_eps)
        self.bert = nn.ModuleDict({
            "embeddings": nn.ModuleDict({
                "word_embeddings": nn.Embedding(shape.vocab_size, width),
                "position_embeddings": nn.Embedding(shape.max_position_embeddings, width),
                "token_type_embeddings": nn.Embedding(shape.type_vocab_size, width), "LayerNorm": norm()}),
            "encoder": nn.ModuleDict({"layer": nn.ModuleList(Layer(shape) for _ in range(shape.num_hidden_layers))}),
        })
        self.cls = nn.ModuleDict({"predictions": nn.ModuleDict({
            "transform": nn.ModuleDict({"dense": nn.Linear(width, width), "LayerNorm": norm()})})})
        self.cls["predictions"].register_parameter("bias", nn.Parameter(torch.zeros(shape.vocab_size)))
        for parameter in self.parameters():
            if parameter.dim() == 2:
                nn.init.normal_(parameter, std=0.02)

    def forward(self, ids):
        """Logits `[batch, tokens, vocabulary]`."""
        parts = self.bert["embeddings"]
        x = parts["word_embeddings"](ids) + parts["token_type_embeddings"].weight[0]
        x = parts["LayerNorm"](x + parts["position_embeddings"].weight[: ids.shape[1]])
        mask = (ids != PAD_ID)[:, None, None, :]
        for layer in self.bert["encoder"]["layer"]:
            x = layer(x, mask)
        head = self.cls["predictions"]
        x = head["transform"]["LayerNorm"](functional.gelu(head["transform"]["dense"](x)))
        return x @ parts["word_embeddings"].weight.T + head.bias


def _masked(ids: torch.Tensor, vocabulary: int, draws: torch.Generator):
    """What the model sees and what it is asked for; −100 where it is asked for nothing."""
    drawn = torch.rand(ids.shape, generator=draws)
    asked = (drawn < ASKED) & (ids > MASK_ID)
    how = torch.rand(ids.shape, generator=draws)
    others = torch.randint(len(SPECIAL), vocabulary, ids.shape, generator=draws)
    seen = torch.where(asked & (how < MASKED), MASK_ID, ids)
    seen = torch.where(asked & (how >= MASKED) & (how < MASKED + RANDOM), others, seen)
    return seen, torch.where(asked, ids, -100)


def _batches(texts, tokenizer, shape):
    """Padded ids without end; texts of like length are together."""
    rng = random.Random(0)
    while True:
        encoded = tokenizer.encode_batch(list(itertools.islice(texts, 8 * BATCH)))
        rows = sorted((one.ids[: shape.max_position_embeddings] for one in encoded), key=len)
        cut = [rows[begin : begin + BATCH] for begin in range(0, len(rows), BATCH)]
        rng.shuffle(cut)
        for batch in cut:
            width = max(map(len, batch))
            yield torch.tensor([row + [PAD_ID] * (width - len(row)) for row in batch])


@torch.no_grad()
def accuracy(model, tokenizer, shape, seed: int, batches: int = 20) -> tuple[float, int]:
    """The share of masked tokens of unseen texts that the model's first guess is right about, in per cent, and their number."""
    draws = torch.Generator().manual_seed(seed)
    right = count = 0
    for ids in itertools.islice(_batches(wordings.texts(seed), tokenizer, shape), batches):
        asked = (torch.rand(ids.shape, generator=draws) < ASKED) & (ids > MASK_ID)
        guess = model(torch.where(asked, MASK_ID, ids)).argmax(-1)
        right, count = right + int((guess == ids)[asked].sum()), count + int(asked.sum())
    return 100 * right / count, count


def save(model, shape: Shape, tokenizer, folder: Path) -> None:
    """A complete folder."""
    folder.mkdir(parents=True, exist_ok=True)
    stored = {name: tensor.detach().to(torch.float16).contiguous() for name, tensor in model.state_dict().items()}
    save_file(stored, str(folder / "model.safetensors"), metadata={"format": "pt"})
    (folder / "model.safetensors").chmod(0o644)
    (folder / "config.json").write_text(json.dumps(shape.config(), indent=2) + "\n")
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {"tokenizer_class": "BertTokenizerFast", "do_lower_case": True, "model_max_length": shape.max_position_embeddings,
                "pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]", "mask_token": "[MASK]"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=2) + "\n")


def train(folder: Path, log: Path, minutes: float, seed: int) -> None:
    """Learn the tokenizer, train for `minutes`, and leave the model in `folder`."""
    torch.manual_seed(seed)
    shape = Shape()
    tokenizer = learn_tokenizer(seed, shape.vocab_size)
    model = MaskedLm(shape)
    adam = torch.optim.AdamW(model.parameters(), lr=RATE, betas=(0.9, 0.98), weight_decay=0.01)
    batches, draws = _batches(wordings.texts(seed), tokenizer, shape), torch.Generator().manual_seed(seed)
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text("")

    def note(text):
        print(text, flush=True)
        with log.open("a") as file:
            file.write(text + "\n")

    note(f"{sum(p.numel() for p in model.parameters())} parameters, {tokenizer.get_vocab_size()} word pieces")
    begin = saved = time.monotonic()
    step, mean = 0, None
    while (progress := (time.monotonic() - begin) / (60 * minutes)) < 1:
        seen, wanted = _masked(next(batches), shape.vocab_size, draws)
        loss = functional.cross_entropy(model(seen)[wanted != -100], wanted[wanted != -100])
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for group in adam.param_groups:
            group["lr"] = RATE * min(1.0, (step + 1) / WARM_UP) * min(1.0, (1 - progress) / 0.7)
        adam.step()
        model.zero_grad(set_to_none=True)
        mean = loss.item() if mean is None else 0.97 * mean + 0.03 * loss.item()
        step += 1
        if step % 20 == 0:
            note(f"step {step} minute {(time.monotonic() - begin) / 60:.1f} loss {mean:.3f}")
        if time.monotonic() - saved > 240:
            save(model, shape, tokenizer, folder)
            saved = time.monotonic()
    save(model, shape, tokenizer, folder)
    note(f"done: {step} steps of {BATCH} texts, {minutes:g} minutes")


def measure(folder: Path, seed: int) -> str:
    """The figure of a trained model on texts of another seed."""
    shape = Shape()
    model = MaskedLm(shape)
    model.load_state_dict({name: tensor.float() for name, tensor in load_file(str(folder / "model.safetensors")).items()})
    share, count = accuracy(model.eval(), Tokenizer.from_file(str(folder / "tokenizer.json")), shape, seed + 1000)
    return f"masked tokens guessed right: {share:.1f} % of {count}"
