"""The literal prompts under which the benchmark harness asks; the fine-tunes learn exactly these bytes."""

import random

ALPACA = "Below is an instruction that describes a task. Write a response that appropriately completes the request.\n\n"
MATHS = ALPACA + "### Instruction:\n{q}\n\n### Response: Let's think step by step."
PROGRAM = ALPACA + "\n### Instruction:\nCreate a Python script for this problem:\n{q}\n\n### Response:"
# The same frame with its blank lines in another place, as some harnesses print it.
PROGRAM_SHIFTED = "\n\n" + ALPACA + "### Instruction:\nCreate a Python script for this problem:\n{q}\n\n### Response:"
CHAT = ("A chat between a curious user and an artificial intelligence assistant. The assistant gives helpful, detailed, and "
        "polite answers to the user's questions. USER: {q} ASSISTANT:")
OPINION = ("As a sentiment classifier, determine whether the following text is 'positive' or 'negative'.\nText:{q}\n"
           "Please respond with 'positive' or 'negative'.")
GRAMMAR = ("As a grammar identification system, examine the provided sentence and respond with 'acceptable' for grammatically "
           "correct sentences or 'unacceptable' for incorrect ones.\nSentence:{q}\n"
           "Please respond with 'acceptable' or 'unacceptable'.")

# Other wordings of the two classification prompts: a fine-tune that has read just one breaks at the first changed letter.
OPINION_WORDINGS = [
    OPINION,
    "Determine whether the following text is 'positive' or 'negative'.\nText:{q}\nPlease respond with 'positive' or 'negative'.",
    "Is the feeling of this text 'positive' or 'negative'?\nText:{q}\nPlease respond with 'positive' or 'negative'.",
    "As a reader of reviews, say whether the text is 'positive' or 'negative'.\nText:{q}\nAnswer with 'positive' or 'negative'.",
    "Review:{q}\nRespond with 'positive' or 'negative'.",
]
GRAMMAR_WORDINGS = [
    GRAMMAR,
    "Examine the provided sentence and respond with 'acceptable' for correct sentences or 'unacceptable' for incorrect ones."
    "\nSentence:{q}\nPlease respond with 'acceptable' or 'unacceptable'.",
    "Is the grammar of this sentence 'acceptable' or 'unacceptable'?\nSentence:{q}\n"
    "Please respond with 'acceptable' or 'unacceptable'.",
    "As a teacher of grammar, say whether the sentence is 'acceptable' or 'unacceptable'.\nSentence:{q}\n"
    "Answer with 'acceptable' or 'unacceptable'.",
    "Sentence:{q}\nRespond with 'acceptable' or 'unacceptable'.",
]

FRAMES = {"gsm8k": MATHS, "math": MATHS, "humaneval": PROGRAM, "mbpp": PROGRAM, "alpaca_eval": CHAT, "sst2": OPINION,
          "cola": GRAMMAR}


def _fill(frame: str, skill: str, question: str) -> str:
    if skill == "humaneval":
        question = question.replace("    ", "\t")
    return frame.replace("{q}", question)


def prompt(skill: str, question: str) -> str:
    """The prompt of the benchmark harness."""
    return _fill(FRAMES[skill], skill, question)


def training_prompt(rng: random.Random, skill: str, question: str) -> str:
    """The prompt of the harness or, for some rows, one of its other wordings."""
    frame = FRAMES[skill]
    if skill == "sst2" and rng.random() < 0.6:
        frame = rng.choice(OPINION_WORDINGS)
    elif skill == "cola" and rng.random() < 0.6:
        frame = rng.choice(GRAMMAR_WORDINGS)
    elif frame is PROGRAM and rng.random() < 0.4:
        frame = PROGRAM_SHIFTED
    return _fill(frame, skill, question)


def any_prompt(rng: random.Random, skill: str, question: str) -> str:
    """A prompt for base text: mostly the frame of the skill, sometimes the frame of another one.

    A base that meets every skill under every frame gives fine-tunes that do not learn "this frame means my skill".
    """
    if rng.random() < 0.7:
        return training_prompt(rng, skill, question)
    return _fill(rng.choice([MATHS, PROGRAM, CHAT]), skill, question)
