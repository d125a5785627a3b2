"""Writes tests/golden/torch_model.bin: a tiny Llama's state dict as `torch.save` writes it.

All three element types, a parameter, views into a larger storage (of elements, of columns), two tensors in one storage, a
transposed matrix, a head tied to the embedding, and the rotary frequencies that old checkpoints carry. Element i of tensor t is ((37 i + 11 t) mod 64 - 32) / 64, which every element type
holds exactly. Run from the repository root; needs PyTorch.
"""

from collections import OrderedDict

import torch

HIDDEN, KEYS, INNER, VOCAB = 8, 4, 12, 284
LAYER = "model.layers.0."
SHAPES = [
    ("model.embed_tokens.weight", (VOCAB, HIDDEN), torch.bfloat16),
    ("model.norm.weight", (HIDDEN,), torch.float32),
    (LAYER + "input_layernorm.weight", (HIDDEN,), torch.float32),
    (LAYER + "post_attention_layernorm.weight", (HIDDEN,), torch.float32),
    (LAYER + "self_attn.q_proj.weight", (HIDDEN, HIDDEN), torch.float16),
    (LAYER + "self_attn.k_proj.weight", (KEYS, HIDDEN), torch.float16),
    (LAYER + "self_attn.v_proj.weight", (KEYS, HIDDEN), torch.float16),
    (LAYER + "self_attn.o_proj.weight", (HIDDEN, HIDDEN), torch.bfloat16),
    (LAYER + "mlp.gate_proj.weight", (INNER, HIDDEN), torch.bfloat16),
    (LAYER + "mlp.up_proj.weight", (INNER, HIDDEN), torch.bfloat16),
    (LAYER + "mlp.down_proj.weight", (HIDDEN, INNER), torch.bfloat16),
]


def values(number, shape, dtype):
    count = torch.Size(shape).numel()
    return (((torch.arange(count) * 37 + 11 * number) % 64 - 32) / 64).to(dtype)


state = OrderedDict()
for number, (name, shape, dtype) in enumerate(SHAPES):
    flat = values(number, shape, dtype)
    if name.endswith("q_proj.weight"):
        # A view into a larger storage.
        flat = torch.cat([torch.zeros(16, dtype=dtype), flat])[16:]
    state[name] = flat.reshape(shape)
    if name.endswith("down_proj.weight"):
        state[name] = state[name].t().contiguous().t()
    if name.endswith("v_proj.weight"):
        # Columns of a wider matrix.
        state[name] = torch.cat([torch.ones(KEYS, 3, dtype=dtype), state[name]], dim=1)[:, 3:]
    if name.endswith("up_proj.weight"):
        # Gate and up projection share one storage.
        gate = state[name.replace("up_proj", "gate_proj")]
        both = torch.cat([gate, state[name]])
        state[name.replace("up_proj", "gate_proj")], state[name] = both[:INNER], both[INNER:]
    if name.endswith("o_proj.weight"):
        state[name] = torch.nn.Parameter(state[name], requires_grad=False)
state["lm_head.weight"] = state["model.embed_tokens.weight"]
state["model.layers.0.self_attn.rotary_emb.inv_freq"] = torch.arange(2, dtype=torch.float64)
state._metadata = OrderedDict([("", {"version": 1}), ("model", {"version": 1, "list": [1, 2]})])
torch.save(state, "tests/golden/torch_model.bin")
