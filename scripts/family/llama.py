"""A plain Llama in PyTorch, with the tensor names of the Hugging Face checkpoints, and its files."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional

import tokens

EMBEDDING_SPREAD = 4.0


@dataclass(frozen=True)
class Shape:
    """The numbers that define the architecture."""

    vocab_size: int = 1280
    hidden_size: int = 160
    intermediate_size: int = 448
    num_hidden_layers: int = 5
    num_attention_heads: int = 4
    num_key_value_heads: int = 2
    head_dim: int = 40
    rms_norm_eps: float = 1e-5
    rope_theta: float = 10000.0
    max_position_embeddings: int = 512

    def config(self) -> dict:
        """The content of config.json."""
        return {
            "architectures": ["LlamaForCausalLM"], "model_type": "llama", **asdict(self), "hidden_act": "silu",
            "attention_bias": False, "attention_dropout": 0.0, "mlp_bias": False, "initializer_range": 0.02,
            "pretraining_tp": 1, "rope_scaling": None, "tie_word_embeddings": False, "use_cache": True,
            "bos_token_id": tokens.BOS_ID, "eos_token_id": tokens.EOS_ID, "pad_token_id": tokens.PAD_ID,
            "torch_dtype": "bfloat16",
        }


class RMSNorm(nn.Module):
    def __init__(self, width, eps):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x):
        return self.weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.eps))


def rotate(x, cos, sin):
    """Rotary position embedding in the half-split layout."""
    first, second = x.chunk(2, -1)
    return x * cos + torch.cat((-second, first), -1) * sin


class Attention(nn.Module):
    def __init__(self, shape):
        super().__init__()
        self.shape = shape
        queries, keys = shape.num_attention_heads * shape.head_dim, shape.num_key_value_heads * shape.head_dim
        self.q_proj = nn.Linear(shape.hidden_size, queries, bias=False)
        self.k_proj = nn.Linear(shape.hidden_size, keys, bias=False)
        self.v_proj = nn.Linear(shape.hidden_size, keys, bias=False)
        self.o_proj = nn.Linear(queries, shape.hidden_size, bias=False)

    def forward(self, x, cos, sin, mask, cache):
        batch, length, _ = x.shape
        heads = lambda projection: projection(x).view(batch, length, -1, self.shape.head_dim).transpose(1, 2)
        q, k, v = rotate(heads(self.q_proj), cos, sin), rotate(heads(self.k_proj), cos, sin), heads(self.v_proj)
        if cache is not None:
            k, v = cache.extend(self, k, v)
        group = self.shape.num_attention_heads // self.shape.num_key_value_heads
        k, v = k.repeat_interleave(group, 1), v.repeat_interleave(group, 1)
        mixed = functional.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=mask is None)
        return self.o_proj(mixed.transpose(1, 2).reshape(batch, length, -1))


class MLP(nn.Module):
    def __init__(self, shape):
        super().__init__()
        self.gate_proj = nn.Linear(shape.hidden_size, shape.intermediate_size, bias=False)
        self.up_proj = nn.Linear(shape.hidden_size, shape.intermediate_size, bias=False)
        self.down_proj = nn.Linear(shape.intermediate_size, shape.hidden_size, bias=False)

    def forward(self, x):
        return self.down_proj(functional.silu(self.gate_proj(x)) * self.up_proj(x))


class Layer(nn.Module):
    def __init__(self, shape):
        super().__init__()
        self.input_layernorm = RMSNorm(shape.hidden_size, shape.rms_norm_eps)
        self.self_attn = Attention(shape)
        self.post_attention_layernorm = RMSNorm(shape.hidden_size, shape.rms_norm_eps)
        self.mlp = MLP(shape)

    def forward(self, x, cos, sin, mask, cache):
        x = x + self.self_attn(self.input_layernorm(x), cos, sin, mask, cache)
        return x + self.mlp(self.post_attention_layernorm(x))


class Decoder(nn.Module):
    def __init__(self, shape):
        super().__init__()
        self.embed_tokens = nn.Embedding(shape.vocab_size, shape.hidden_size)
        self.layers = nn.ModuleList(Layer(shape) for _ in range(shape.num_hidden_layers))
        self.norm = RMSNorm(shape.hidden_size, shape.rms_norm_eps)


class Cache:
    """Keys and values of the positions already read, per attention layer."""

    def __init__(self):
        self.kept = {}

    def extend(self, layer, keys, values):
        if layer in self.kept:
            old_keys, old_values = self.kept[layer]
            keys, values = torch.cat((old_keys, keys), 2), torch.cat((old_values, values), 2)
        self.kept[layer] = keys, values
        return keys, values

    def select(self, rows):
        """Keep the given rows of the batch."""
        self.kept = {layer: (keys[rows], values[rows]) for layer, (keys, values) in self.kept.items()}


class Llama(nn.Module):
    """The causal language model."""

    def __init__(self, shape: Shape):
        super().__init__()
        self.shape = shape
        self.model = Decoder(shape)
        self.lm_head = nn.Linear(shape.hidden_size, shape.vocab_size, bias=False)
        inverse = shape.rope_theta ** (-torch.arange(0, shape.head_dim, 2).float() / shape.head_dim)
        angles = torch.arange(shape.max_position_embeddings).float()[:, None] * inverse
        self.register_buffer("cos", torch.cat((angles, angles), -1).cos(), persistent=False)
        self.register_buffer("sin", torch.cat((angles, angles), -1).sin(), persistent=False)
        deep = 0.02 / (2 * shape.num_hidden_layers) ** 0.5
        for name, parameter in self.named_parameters():
            if parameter.dim() == 2:
                nn.init.normal_(parameter, std=deep if name.endswith(("o_proj.weight", "down_proj.weight")) else 0.02)
        # The layers soon write large vectors into the residual stream.  With the usual small embedding the identity of a
        # token drowns in them and copying is never learned.
        nn.init.normal_(self.model.embed_tokens.weight, std=EMBEDDING_SPREAD)

    def forward(self, ids, positions=None, mask=None, cache=None):
        """Logits; without a mask the batch is read causally from position 0."""
        if positions is None:
            cos, sin = self.cos[: ids.shape[1]], self.sin[: ids.shape[1]]
        else:
            cos, sin = self.cos[positions][:, None], self.sin[positions][:, None]
        x = self.model.embed_tokens(ids)
        for layer in self.model.layers:
            x = layer(x, cos, sin, mask, cache)
        return self.lm_head(self.model.norm(x))


def save(weights: dict, shape: Shape, tokenizer, folder: Path) -> None:
    """A complete checkpoint folder, weights in bfloat16."""
    folder.mkdir(parents=True, exist_ok=True)
    stored = {name: tensor.detach().to(torch.bfloat16).contiguous() for name, tensor in weights.items()}
    save_file(stored, str(folder / "model.safetensors"), metadata={"format": "pt"})
    (folder / "model.safetensors").chmod(0o644)
    (folder / "config.json").write_text(json.dumps(shape.config(), indent=2) + "\n")
    generation = {"bos_token_id": tokens.BOS_ID, "eos_token_id": tokens.EOS_ID, "pad_token_id": tokens.PAD_ID,
                  "do_sample": False}
    (folder / "generation_config.json").write_text(json.dumps(generation, indent=2) + "\n")
    tokens.save(tokenizer, folder, shape.max_position_embeddings)


def read_weights(folder: Path) -> dict:
    """The tensors of a checkpoint folder, in fp32."""
    return {name: tensor.float() for name, tensor in load_file(str(Path(folder) / "model.safetensors")).items()}


def read_shape(folder: Path) -> Shape:
    """The shape of a checkpoint folder."""
    config = json.loads((Path(folder) / "config.json").read_text())
    return Shape(**{name: config[name] for name in Shape.__dataclass_fields__})


def build(shape: Shape, weights: dict) -> Llama:
    """A model with the given weights, ready to read."""
    model = Llama(shape)
    model.load_state_dict(weights)
    return model.eval()
