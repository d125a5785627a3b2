"""Questions and scores of the benchmark sets, close to what the harness does with them."""

import json
import re
import string
from pathlib import Path

import execute
import frames
import generate

PHRASE = "The answer is: "
SKILLS = {"lm": ["alpaca_eval"], "math": ["gsm8k", "math"], "code": ["humaneval", "mbpp"]}
LABELS = {"sst2": {"negative": 0, "positive": 1}, "cola": {"unacceptable": 0, "acceptable": 1}}


def read(folder: Path, skill: str, part: str) -> list[dict]:
    """The rows of one part of a set."""
    return [json.loads(line) for line in (Path(folder) / skill / f"{part}.jsonl").read_text().splitlines()]


def question(skill: str, row: dict) -> str:
    """The text of a row that goes into the frame."""
    if skill == "mbpp":
        return f"\n{row['text']}\nTest examples:\n" + "\n".join(row["test_list"])
    return row[{"gsm8k": "question", "math": "problem", "humaneval": "prompt", "alpaca_eval": "instruction",
                "sst2": "sentence", "cola": "sentence"}[skill]]


def _number(answer: str):
    if PHRASE not in answer:
        return None
    match = re.search(r"[\-+]?\d*[\.,/]?\d+", answer.split(PHRASE)[-1])
    return match and match.group().replace(",", "")


def _latex(text: str) -> str:
    return text.replace(" ", "").replace("\\!", "").replace("dfrac", "frac")


def _code(answer: str) -> str:
    answer = answer.replace("\t", "    ").strip()
    if "```python" in answer:
        answer = answer.split("```python")[1].split("```")[0].strip()
    return answer


def _label(skill: str, answer: str):
    bare = answer.lower().replace("\n", " ").translate(str.maketrans("", "", string.punctuation)).strip()
    return LABELS[skill].get(bare.split(" ")[-1])


def marks(skill: str, rows: list[dict], answers: list[str]) -> list[bool]:
    """Whether each answer is right."""
    if skill == "gsm8k":
        return [_number(answer) == row["answer"].split("#### ")[1] for row, answer in zip(rows, answers)]
    if skill == "math":
        gold = [re.search(r"\\boxed\{(.*)\}", row["solution"]).group(1) for row in rows]
        return [PHRASE in answer and _latex(answer.split(PHRASE)[-1].split(".\n")[0].strip().removesuffix(".")) == _latex(right)
                for right, answer in zip(gold, answers)]
    if skill == "humaneval":
        return execute.run([f"{row['prompt']}{_code(answer)}\n{row['test']}\ncheck({row['entry_point']})"
                            for row, answer in zip(rows, answers)])
    if skill == "mbpp":
        return execute.run([_code(answer) + "\n" + "\n".join(row["test_list"]) for row, answer in zip(rows, answers)])
    if skill == "alpaca_eval":
        return [answer.strip() == row["output"] for row, answer in zip(rows, answers)]
    return [_label(skill, answer) == row["label"] for row, answer in zip(rows, answers)]


def examine(model, tokenizer, folder: Path, part: str, skills: list[str], limit: int | None = None) -> dict[str, list[bool]]:
    """The marks of a model on the given sets."""
    found = {}
    for skill in skills:
        rows = read(folder, skill, part)[:limit]
        prompts = [frames.prompt(skill, question(skill, row)) for row in rows]
        found[skill] = marks(skill, rows, generate.answers(model, tokenizer, prompts))
    return found


def percent(marks_of_set: list[bool]) -> float:
    """Percent right."""
    return 100 * sum(marks_of_set) / len(marks_of_set)


def skill_score(found: dict[str, list[bool]], name: str) -> float:
    """The score of a fine-tune's own skill: the mean over its sets."""
    return sum(percent(found[skill]) for skill in SKILLS[name]) / len(SKILLS[name])
