"""Writes tests/golden/engine_tokenizer.json: a byte-level BPE with every byte, a few merges and two special tokens.

Small enough for tests that make a model on the spot, and real enough to split characters over tokens.
Run from the repository root; needs nothing but Python.
"""

import json

# GPT-2's printable stand-ins for the 256 bytes.
printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
stand_in = {b: chr(b) for b in printable}
for n, b in enumerate(b for b in range(256) if b not in stand_in):
    stand_in[b] = chr(256 + n)

merges = [
    ("h", "e"), ("l", "l"), ("he", "ll"), ("hell", "o"), ("Ġ", "t"), ("Ġt", "he"), ("i", "n"), ("in", "g"),
    ("Ġ", "a"), ("e", "r"), ("o", "n"), ("r", "e"), ("Ġ", "w"), ("o", "r"), ("Ġw", "or"), ("l", "d"),
    ("Ġwor", "ld"), ("1", "0"), ("Ġ", "="), ("n", "d"), ("a", "nd"), ("Ġa", "nd"), ("s", "t"), ("o", "p"),
    ("st", "op"), ("Ã", "©"),
]
special = ["<s>", "</s>"]
tokens = special + [stand_in[b] for b in range(256)] + [a + b for a, b in merges]
tokenizer = {
    "version": "1.0",
    "truncation": None,
    "padding": None,
    "added_tokens": [
        {"id": i, "content": t, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
        for i, t in enumerate(special)
    ],
    "normalizer": None,
    "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
    "post_processor": None,
    "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
    "model": {
        "type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None, "end_of_word_suffix": None,
        "fuse_unk": False, "byte_fallback": False, "ignore_merges": False,
        "vocab": {t: i for i, t in enumerate(tokens)},
        "merges": [list(m) for m in merges],
    },
}
with open("tests/golden/engine_tokenizer.json", "w", encoding="utf-8") as out:
    json.dump(tokenizer, out, ensure_ascii=False, separators=(",", ":"))
    out.write("\n")
print(len(tokens), "tokens")
