"""Writes tests/golden/engine_logits.json: logits of small random models of every kind that the engine runs, by transformers.

    pip install torch==2.15.0 transformers==5.23.0
    python scripts/golden/engine_logits.py

Weights are not stored: they come from splitmix64 with a seed for each tensor, here and in tests/it/golden_logits.rs. A case has
the config, names and shapes of the tensors, the tokens, and every STRIDE-th logit after every token (f32, base64).
"""

import base64
import json
import pathlib

import numpy
import torch
import transformers

TOKENS = 24
STRIDE = 4

PLAIN = {
    "model_type": "llama", "hidden_size": 48, "intermediate_size": 80, "vocab_size": 300, "num_hidden_layers": 2,
    "num_attention_heads": 6, "num_key_value_heads": 2, "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
    "max_position_embeddings": 64, "tie_word_embeddings": False, "hidden_act": "silu", "eos_token_id": 1, "bos_token_id": 0,
}
# The ropes have a context of training that 24 tokens go beyond.
CASES = {
    "plain": {},
    "tied": {"tie_word_embeddings": True},
    "wide_heads": {"head_dim": 20},
    "biases": {"attention_bias": True, "mlp_bias": True},
    "linear": {"rope_scaling": {"rope_type": "linear", "factor": 3.0}},
    "dynamic": {"rope_scaling": {"rope_type": "dynamic", "factor": 3.0}},
    "llama3": {"rope_scaling": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                                "original_max_position_embeddings": 16}},
    "yarn": {"rope_scaling": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16}},
    "yarn_stated": {"rope_scaling": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 256,
                                     "beta_fast": 16.0, "beta_slow": 2.0, "attention_factor": 1.3, "truncate": False},
                    "max_position_embeddings": 1024},
    "mistral": {"model_type": "mistral", "sliding_window": None, "head_dim": 16},
    "mistral_window": {"model_type": "mistral", "sliding_window": 7},
    "qwen2": {"model_type": "qwen2"},
}


def weights(seed, shape):
    """Norms around 1, matrices with variance 1 / inputs, biases below 1/4."""
    count = int(numpy.prod(shape))
    with numpy.errstate(over="ignore"):
        z = numpy.uint64(seed) + numpy.arange(1, count + 1, dtype=numpy.uint64) * numpy.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> numpy.uint64(30))) * numpy.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> numpy.uint64(27))) * numpy.uint64(0x94D049BB133111EB)
        z = z ^ (z >> numpy.uint64(31))
    unit = (z >> numpy.uint64(40)).astype(numpy.float32) / numpy.float32(1 << 23) - numpy.float32(1)
    return unit.reshape(shape)


def scaled(name, unit):
    if name.endswith(".bias"):
        return unit * numpy.float32(0.25)
    if unit.ndim == 1:
        return numpy.float32(1) + numpy.float32(0.2) * unit
    return unit * numpy.sqrt(numpy.float32(3) / numpy.float32(unit.shape[1]))


def case(name, changes, seed):
    config = PLAIN | changes
    kinds = {"llama": transformers.LlamaConfig, "mistral": transformers.MistralConfig, "qwen2": transformers.Qwen2Config}
    theirs = kinds[config["model_type"]](**{k: v for k, v in config.items() if k != "model_type"})
    theirs._attn_implementation = "eager"
    model = transformers.AutoModelForCausalLM.from_config(theirs, dtype=torch.float32).eval()
    state = model.state_dict()
    tensors = []
    for number, (tensor, value) in enumerate(sorted(state.items())):
        if tensor == "lm_head.weight" and config["tie_word_embeddings"]:
            continue
        shape = list(value.shape)
        tensors.append([tensor, shape, seed * 1000 + number])
        value.copy_(torch.from_numpy(scaled(tensor, weights(seed * 1000 + number, shape))))
    model.load_state_dict(state)
    model.tie_weights()
    tokens = [(i * 37 + 11 * seed) % config["vocab_size"] for i in range(TOKENS)]
    with torch.no_grad():
        logits = model(torch.tensor([tokens])).logits[0, :, ::STRIDE].contiguous().numpy().astype("<f4")
    assert abs(logits).max() > 0.5
    return {"name": name, "config": config, "tensors": tensors, "tokens": tokens, "stride": STRIDE,
            "logits": base64.b64encode(logits.tobytes()).decode()}


def main():
    torch.set_num_threads(1)
    cases = [case(name, changes, seed) for seed, (name, changes) in enumerate(CASES.items(), 1)]
    made_by = f"transformers {transformers.__version__}, torch {torch.__version__.split('+')[0]}, float32, eager attention"
    path = pathlib.Path(__file__).resolve().parents[2] / "tests/golden/engine_logits.json"
    lines = ",\n".join(json.dumps(c, separators=(",", ":")) for c in cases)
    path.write_text(f'{{"made_by": {json.dumps(made_by)}, "cases": [\n{lines}\n]}}\n')


if __name__ == "__main__":
    main()
