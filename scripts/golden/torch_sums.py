"""Sums and norms of torch on a CPU with one thread, to the last bit: the order in which merges in float32 add up.

    pip install torch==2.15.0
    python3 scripts/golden/torch_sums.py > tests/golden/torch_sums.json

One entry for each length, and for columns of some matrices: the bits of `torch.sum` and of `torch.norm` over numbers that src/merge/totals.rs makes again.
"""

import json

import torch

torch.set_num_threads(1)
LENGTHS = [0, 1, 2, 3, 5, 7, 8, 9, 24, 31, 32, 33, 40, 63, 100, 511, 512, 576, 1000, 1152, 5000, 16384, 32767, 65536, 70001, 2**20 + 13]


def numbers(n):
    """Exact in float32, of changing sign and size."""
    values = [((i * 0x9E3779B9 >> 8 & 0xFFFFFF) - 8388608) / 8388608 for i in range(n)]
    return torch.tensor(values, dtype=torch.float32)


def bits(x):
    return x.view(torch.int32).item() & 0xFFFFFFFF


cases = [{"n": n, "sum": bits(numbers(n).sum()), "norm": bits(torch.norm(numbers(n), dim=-1))} for n in LENGTHS]
for height, width in [(5, 4), (24, 7), (24, 40), (40, 24), (1000, 70)]:
    matrix = numbers(height * width).reshape(height, width).transpose(0, 1)
    sums, norms = torch.sum(matrix, dim=-1), torch.norm(matrix, dim=-1)
    for j in sorted({0, width // 2, width - 1}):
        cases.append({"n": height, "column": j, "columns": width, "sum": bits(sums[j]), "norm": bits(norms[j])})
print("[\n" + ",\n".join(json.dumps(case) for case in cases) + "\n]")
