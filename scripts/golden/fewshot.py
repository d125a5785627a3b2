"""Writes tests/golden/fewshot.json: what lm-evaluation-harness puts before a question.

    pip install lm-eval==0.4.13
    python scripts/golden/fewshot.py [FOLDER with gsm8k_test.jsonl and gsm8k_train.jsonl]

The task is lm-evaluation-harness' own `gsm8k` on the project's embedded rows, in every way to choose five examples and to write
them down; for each the SHA-256 of all prompts, one after the other as JSON texts, and the first prompt. Of the published rows,
if their folder is given, the SHA-256 for the task as it is. Run from the repository root; made with Python 3.11.
"""

import hashlib
import itertools
import json
import pathlib
import sys

import yaml
from lm_eval.api.task import ConfigurableTask
import lm_eval

ROOT = pathlib.Path(__file__).parents[2]
GSM8K = pathlib.Path(lm_eval.__file__).parent / "tasks/gsm8k/gsm8k.yaml"
SEED = 1234  # --seed's usual value for examples


def task(test, train, split, sampler):
    config = yaml.safe_load(GSM8K.read_text())
    for key in ("dataset_name", "tag"):
        config.pop(key)
    files = {"train": str(train), "test": str(test)}
    config |= {"dataset_path": "json", "dataset_kwargs": {"data_files": files}, "fewshot_split": split}
    config["fewshot_config"] = {"sampler": sampler}
    made = ConfigurableTask(config=config)
    made.set_fewshot_seed(SEED)
    return made


def prompts(made, chat, turns):
    def template(messages, add_generation_prompt):
        return json.dumps(messages)

    for doc in made.test_docs():
        # A task hands rows on without fields that have no value; its rows here have all of them.
        text = made.fewshot_context(
            dict(doc), 5, apply_chat_template=chat, fewshot_as_multiturn=turns, chat_template=template if chat else None
        )
        yield json.loads(text) if chat else text


def summary(all_of_them):
    digest, first = hashlib.sha256(), None
    for prompt in all_of_them:
        first = prompt if first is None else first
        digest.update(json.dumps(prompt, ensure_ascii=False, separators=(",", ":")).encode())
    return {"sha256": digest.hexdigest(), "first": first}


tiny = ROOT / "datasets/tiny/gsm8k"
forms = [(False, False), (True, False), (True, True)]
cases = []
for split, sampler, (chat, turns) in itertools.product(["train", "test"], ["default", "first_n"], forms):
    made = task(tiny / "test.jsonl", tiny / "train.jsonl", split, sampler)
    case = {"split": split, "sampler": sampler, "chat": chat, "turns": turns}
    cases.append(case | summary(prompts(made, chat, turns)))
golden = {"embedded": cases}
if len(sys.argv) > 1:
    folder = pathlib.Path(sys.argv[1])
    made = task(folder / "gsm8k_test.jsonl", folder / "gsm8k_train.jsonl", "train", "default")
    golden["published"] = summary(prompts(made, False, False))["sha256"]
path = ROOT / "tests/golden/fewshot.json"
path.write_text(json.dumps(golden, indent=1, ensure_ascii=False) + "\n")
