#!/usr/bin/env python3
"""Decoding on a GPU: m3 against the memory's floor and against transformers' generate, in one run.

    benches/peers/decode.py [--m3 FILE] [--shape 13b] [--batch 64] [--prompt 128] [--short 32] [--long 160] [--device cuda]
                            [--bandwidth TB/s] [--work DIR] [--python FILE] [--no-peer]

A model with the shape of Llama 2 13B (or 7b, tiny) and random weights in bfloat16 is written to DIR. Both programs continue the same
64 prompts, greedily, by 32 and by 160 tokens; nothing ends them sooner. The time of a step is the difference of the two, divided by
the difference of tokens: prompts fall out of it. m3 is timed as a command that is given twice as many prompts, from its 64th answer to
its last, so that loading and warming up fall out too; transformers runs once before it is timed. Prints the step, tokens per
second, and which part of the floor is reached: bytes of the weights that a step must read, divided by the memory's bandwidth
(measured by a copy on the GPU, or given: 3.35 for an H100 SXM).

m3 is the one that scripts/cuda/build.sh made (target/cuda/m3). Without --python, torch and transformers are installed into a
virtual environment under DIR; CUDA's libraries are taken from there by m3 too. `--shape tiny --device cpu` tries the script.
Nothing else should run on the machine.
"""

import argparse
import json
import os
import pathlib
import shutil
import struct
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
PEERS = ["torch==2.13.0", "transformers==5.23.0", "numpy"]
SHAPES = {  # hidden, intermediate, layers, heads, vocabulary
    "13b": (5120, 13824, 40, 40, 32000),
    "7b": (4096, 11008, 32, 32, 32000),
    "tiny": (256, 512, 4, 4, 4096),
}

WRITE = """
import json, struct, sys
import numpy
config, path = json.load(open(sys.argv[1])), sys.argv[2]
d, ff, heads = config["hidden_size"], config["intermediate_size"], config["num_attention_heads"]
vocab = config["vocab_size"]
tensors = [("model.embed_tokens.weight", [vocab, d]), ("model.norm.weight", [d]), ("lm_head.weight", [vocab, d])]
for layer in range(config["num_hidden_layers"]):
    name = f"model.layers.{layer}."
    tensors += [(name + f"self_attn.{part}_proj.weight", [d, d]) for part in "qkvo"]
    tensors += [(name + "mlp.gate_proj.weight", [ff, d]), (name + "mlp.up_proj.weight", [ff, d])]
    tensors += [(name + "mlp.down_proj.weight", [d, ff])]
    tensors += [(name + part + "_layernorm.weight", [d]) for part in ["input", "post_attention"]]
header, start = {}, 0
for name, shape in tensors:
    end = start + 2 * int(numpy.prod(shape))
    header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [start, end]}
    start = end
header = json.dumps(header).encode()
header += b" " * (-len(header) % 8)
random = numpy.random.default_rng(0)
block = random.standard_normal(1 << 24, dtype=numpy.float32) * numpy.float32(d ** -0.5)
block = (block.view(numpy.uint32) >> 16).astype(numpy.uint16)
one = numpy.uint16(0x3F80)
with open(path, "wb") as file:
    file.write(struct.pack("<Q", len(header)) + header)
    for name, shape in tensors:
        count = int(numpy.prod(shape))
        if len(shape) == 1:
            file.write(numpy.full(count, one).tobytes())
        while len(shape) == 2 and count:
            # Another place in the block each time, so that layers differ.
            first = int(random.integers(len(block) // 2))
            part = block[first : first + count]
            file.write(part.tobytes())
            count -= len(part)
"""

PEER = """
import json, sys, time
import torch, transformers
config, prompts, lengths, device = json.load(open(sys.argv[1])), json.load(open(sys.argv[2])), json.loads(sys.argv[3]), sys.argv[4]
config = {key: value for key, value in config.items() if key not in ("model_type", "torch_dtype", "architectures")}
wait = torch.cuda.synchronize if device.startswith("cuda") else lambda: None
with torch.device(device):
    model = transformers.AutoModelForCausalLM.from_config(transformers.LlamaConfig(**config, bos_token_id=None, eos_token_id=None), dtype=torch.bfloat16).eval()
model.generation_config.eos_token_id = None
ids = torch.tensor(prompts, device=device)
def run(new):
    wait()
    begin = time.monotonic()
    with torch.inference_mode():
        out = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=new, do_sample=False, pad_token_id=0)
    wait()
    assert out.shape[1] == ids.shape[1] + new
    return time.monotonic() - begin
run(lengths[0])
seconds = [min(run(new) for _ in range(2)) for new in lengths]
bandwidth = None
if device.startswith("cuda"):
    del model
    source = torch.empty(1 << 32, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    times = []
    for _ in range(10):
        wait()
        begin = time.monotonic()
        target.copy_(source)
        wait()
        times.append(time.monotonic() - begin)
    bandwidth = 2 * source.numel() / min(times)
print(json.dumps({"seconds": seconds, "bandwidth": bandwidth, "device": torch.cuda.get_device_name() if bandwidth else "cpu"}))
"""


def write_model(folder, shape, python):
    """A checkpoint with random weights; the tokenizer is that of the embedded family, of which any part of the vocabulary may be."""
    hidden, intermediate, layers, heads, vocabulary = shape
    config = {
        "model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": hidden, "intermediate_size": intermediate,
        "num_hidden_layers": layers, "num_attention_heads": heads, "num_key_value_heads": heads, "vocab_size": vocabulary,
        "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "max_position_embeddings": 4096, "tie_word_embeddings": False,
        "hidden_act": "silu", "torch_dtype": "bfloat16",
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    shutil.copy(ROOT / "models/tiny/base/tokenizer.json", folder)
    if not (folder / "complete").exists():
        subprocess.run([python, "-c", WRITE, folder / "config.json", folder / "model.safetensors"], check=True)
        (folder / "complete").touch()


def read_bytes(folder):
    """Bytes of weights that a step reads: all but the embedding, of which it reads some rows; the head counts as it is stored."""
    with open(folder / "model.safetensors", "rb") as file:
        header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
    sizes = {name: entry["data_offsets"][1] - entry["data_offsets"][0] for name, entry in header.items()}
    return sum(size for name, size in sizes.items() if name != "model.embed_tokens.weight")


def prompts_of(count, tokens):
    """Prompts that begin differently, long enough for so many tokens."""
    return [" ".join(f"{(i * 7919 + j * 104729) % 9973}" for j in range(tokens)) for i in range(count)]


def ours(m3, folder, prompts, new, device, batch, env):
    """Seconds from the answer that ends the first batch to the last answer, and the prompts' token ids."""
    file = folder / "prompts.jsonl"
    file.write_text("".join(json.dumps({"id": i, "prompt": p}) + "\n" for i, p in enumerate(prompts)))
    command = [m3, "generate", folder, "--prompts", file, "--max-tokens", new, "--device", device, "--batch", batch]
    rows, times = [], []
    with subprocess.Popen([*map(str, command), "--json", "--echo", "--quiet"], stdout=subprocess.PIPE, env=env) as process:
        for line in process.stdout:
            times.append(time.monotonic())
            rows.append(json.loads(line))
    if process.returncode != 0:
        sys.exit(f"m3 failed with status {process.returncode}")
    for row in rows:
        if "error" in row or row["tokens"] != new:
            sys.exit(f"m3 did not generate {new} tokens for prompt {row['id']}: {row.get('error', row.get('finish'))}")
    return times[-1] - times[batch - 1], [row["prompt_ids"] for row in sorted(rows, key=lambda row: row["id"])]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--m3", type=pathlib.Path, default=ROOT / "target/cuda/m3")
    parser.add_argument("--shape", choices=SHAPES, default="13b")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--prompt", type=int, default=128, help="tokens of a prompt")
    parser.add_argument("--short", type=int, default=32)
    parser.add_argument("--long", type=int, default=160)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--bandwidth", type=float, help="of the GPU's memory in TB/s, instead of measuring it")
    parser.add_argument("--work", type=pathlib.Path, default=ROOT / "target" / "peers")
    parser.add_argument("--python", help="a Python that has torch, transformers and numpy")
    parser.add_argument("--no-peer", action="store_true", help="m3 alone; needs --bandwidth for the floor")
    args = parser.parse_args()
    if not args.m3.exists():
        sys.exit(f"{args.m3} is not there; run scripts/cuda/build.sh, or name one with --m3")

    python = args.python
    if python is None:
        venv = args.work.resolve() / "decode"
        python = str(venv / "bin" / "python")
        if not (venv / "ready").exists():
            subprocess.run([sys.executable, "-m", "venv", venv], check=True)
            subprocess.run([python, "-m", "pip", "install", "--quiet", *PEERS], check=True)
            (venv / "ready").touch()
    # CUDA's libraries are those of torch.
    find = "import nvidia; print(':'.join(f'{path}/cu13/lib' for path in nvidia.__path__))"
    libraries = subprocess.run([python, "-c", find], capture_output=True, text=True).stdout.strip()
    folders = [folder for folder in [libraries, os.environ.get("CUDA_SHIM_PATH")] if folder]
    env = {**os.environ, **({"CUDA_SHIM_PATH": ":".join(folders)} if folders else {})}

    folder = args.work.resolve() / f"llama-{args.shape}"
    write_model(folder, SHAPES[args.shape], python)
    # Cut to the same number of tokens, which the tokenizer alone knows: words are taken off until all prompts fit.
    texts = prompts_of(2 * args.batch, args.prompt)
    _, ids = ours(args.m3, folder, texts, 1, args.device, args.batch, env)
    texts = [text[: len(text) * args.prompt // len(tokens)] for text, tokens in zip(texts, ids)]

    lengths = [args.short, args.long]
    seconds = {}
    runs = [min((ours(args.m3, folder, texts, new, args.device, args.batch, env) for _ in range(2)), key=lambda run: run[0]) for new in lengths]
    seconds["m3"] = [taken for taken, _ in runs]
    tokens = runs[0][1]
    bandwidth, device = None, args.device
    if not args.no_peer:
        width = min(map(len, tokens))
        (folder / "ids.json").write_text(json.dumps([row[:width] for row in tokens[args.batch :]]))
        command = [python, "-c", PEER, folder / "config.json", folder / "ids.json", json.dumps(lengths), args.device]
        done = subprocess.run(list(map(str, command)), check=True, stdout=subprocess.PIPE, text=True)
        peer = json.loads(done.stdout.splitlines()[-1])
        seconds["transformers"], bandwidth, device = peer["seconds"], peer["bandwidth"], peer["device"]
    if args.bandwidth:
        bandwidth = args.bandwidth * 1e12

    read = read_bytes(folder)
    print(f"{device}, Llama {args.shape} of random weights in bfloat16, {args.batch} sequences of {min(map(len, tokens))} to "
          f"{max(map(len, tokens))} tokens, {args.short} to {args.long} new ones")
    floor = read / bandwidth if bandwidth else None
    if floor:
        print(f"floor: {read / 1e9:.1f} GB / {bandwidth / 1e12:.2f} TB/s = {floor * 1e3:.2f} ms a step")
    print("| who | ms a step | tokens/s | of the floor |")
    print("|---|---:|---:|---:|")
    steps = {who: (long - short) / (args.long - args.short) for who, (short, long) in seconds.items()}
    for who, step in steps.items():
        part = f"{floor / step:.0%}" if floor else "–"
        print(f"| {who} | {step * 1e3:.2f} | {args.batch / step:.0f} | {part} |")
    if "transformers" in steps:
        print(f"m3 / transformers: {steps['transformers'] / steps['m3']:.2f}")


if __name__ == "__main__":
    main()
