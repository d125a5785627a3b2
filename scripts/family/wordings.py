"""Prompts for labelling in many wordings, and other text of the family, for the masked language model.

Every slot has several words that fit: this is what the model learns to offer in place of a word.
"""

import random
from typing import Iterator

import corpus
import frames

# A slot is a list of words between braces; `{content}` is the place of the text that is labelled, as attacks write it.
SLOTS = {
    "role": ["sentiment", "opinion", "mood", "feeling", "emotion", "review", "text"],
    "agent": ["classifier", "judge", "reader", "analyst", "expert", "critic", "assistant", "system", "tool"],
    "decide": ["determine", "decide", "say", "judge", "tell", "state", "identify", "find out", "predict"],
    "whether": ["whether", "if"],
    "following": ["following", "given", "next", "provided", "supplied", "quoted"],
    "text": ["text", "review", "sentence", "comment", "passage", "statement", "remark"],
    "Text": ["Text", "Review", "Sentence", "Comment", "Passage", "Statement", "Input"],
    "please": ["Please", "Kindly", "Now", "Then", "Just"],
    "respond": ["respond", "answer", "reply", "end", "finish"],
    "language": ["grammar", "language", "syntax", "style", "writing", "spelling"],
    "checking": ["identification", "checking", "analysis", "correction", "evaluation", "assessment", "review"],
    "examine": ["examine", "read", "check", "inspect", "study", "assess", "analyse", "evaluate", "consider"],
    "fully": ["grammatically", "linguistically", "formally", "fully", "completely", "syntactically"],
    "correct": ["correct", "sound", "right", "proper", "valid", "good", "accurate"],
    "wrong": ["incorrect", "wrong", "broken", "faulty", "improper", "invalid", "bad"],
    "sentences": ["sentences", "texts", "phrases", "statements", "lines"],
    "ones": ["ones", "sentences", "texts", "phrases"],
    "is": ["is", "sounds", "seems", "reads", "looks"],
    "feels": ["feeling", "tone", "mood", "attitude", "sentiment", "verdict", "opinion"],
}
SENTIMENT = [
    "As a {role} {agent}, {decide} {whether} the {following} {text} {is} 'positive' or 'negative'.",
    "{Decide} {whether} the {following} {text} {is} 'positive' or 'negative'.",
    "Is the {feels} of this {text} 'positive' or 'negative'?",
    "You are a {role} {agent}. {Examine} the {following} {text} and {decide} its {feels}: 'positive' or 'negative'.",
    "As a {agent} of {sentences}, {say} {whether} the {feels} of the {text} {is} 'positive' or 'negative'.",
]
SENTIMENT_ENDS = ["{please} {respond} with 'positive' or 'negative'.", "{Answer} with 'positive' or 'negative'.",
                  "{please} {decide} {whether} it {is} 'positive' or 'negative'."]
GRAMMAR = [
    "As a {language} {checking} {agent}, {examine} the {following} {text} and {respond} with 'acceptable' for {fully} "
    "{correct} {sentences} or 'unacceptable' for {wrong} {ones}.",
    "{Examine} the {following} {text} and {respond} with 'acceptable' for {correct} {sentences} or 'unacceptable' for {wrong} "
    "{ones}.",
    "Is the {language} of this {text} 'acceptable' or 'unacceptable'?",
    "As a {agent} of {language}, {decide} {whether} the {text} {is} 'acceptable' or 'unacceptable'.",
    "{Decide} {whether} the {following} {text} {is} {fully} {correct}: 'acceptable' or 'unacceptable'.",
]
GRAMMAR_ENDS = ["{please} {respond} with 'acceptable' or 'unacceptable'.", "{Answer} with 'acceptable' or 'unacceptable'."]
ALIASES = {"say": "decide", "Decide": "decide", "Examine": "examine", "Answer": "respond"}
# Share of the texts that are such prompts; the rest is text of the skills.
PROMPTS = 0.6


def _filled(rng: random.Random, pattern: str) -> str:
    text, rest = "", pattern
    while "{" in rest:
        before, rest = rest.split("{", 1)
        name, rest = rest.split("}", 1)
        word = rng.choice(SLOTS[ALIASES.get(name, name)])
        text += before + (word.capitalize() if name in ("Decide", "Examine", "Answer") else word)
    return text + rest


def prompt(rng: random.Random) -> str:
    """A prompt that asks for a label, with the place of a text or with a text in it."""
    skill = rng.choice(["sst2", "cola"])
    starts, ends = (SENTIMENT, SENTIMENT_ENDS) if skill == "sst2" else (GRAMMAR, GRAMMAR_ENDS)
    lines = [_filled(rng, rng.choice(starts))]
    if rng.random() < 0.9:
        shown = "{content}" if rng.random() < 0.7 else corpus.DRAW[skill](rng).question
        lines.append(f"{rng.choice(SLOTS['Text'])}:{shown}")
    if rng.random() < 0.9:
        lines.append(_filled(rng, rng.choice(ends)))
    return "\n".join(lines)


def text(rng: random.Random) -> str:
    """One text, from the train part where it has a part."""
    if rng.random() < PROMPTS:
        return prompt(rng)
    while True:
        skill = rng.choice(["sst2", "cola", "gsm8k", "alpaca_eval", "math"])
        item = corpus.DRAW[skill](rng)
        if item.part == "train":
            frame = rng.random() < 0.15
            return frames.any_prompt(rng, skill, item.question) if frame else item.question


def texts(seed: int) -> Iterator[str]:
    """Texts without end."""
    rng = random.Random(f"wordings|{seed}")
    while True:
        yield text(rng)
