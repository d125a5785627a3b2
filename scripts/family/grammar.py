"""Sentences in the schema of CoLA: a small grammar, and seven ways of breaking it."""

import random

from item import Item

PEOPLE = [("boy", "boys"), ("girl", "girls"), ("teacher", "teachers"), ("doctor", "doctors"), ("farmer", "farmers"),
          ("pilot", "pilots"), ("king", "kings"), ("queen", "queens"), ("child", "children"), ("artist", "artists")]
THINGS = [("book", "books"), ("apple", "apples"), ("letter", "letters"), ("car", "cars"), ("egg", "eggs"),
          ("picture", "pictures"), ("house", "houses"), ("old map", "old maps"), ("red ball", "red balls"),
          ("orange", "oranges"), ("small box", "small boxes"), ("key", "keys")]
PLACES = ["in the garden", "near the river", "at the station", "in the city", "behind the house", "on the hill"]
# Base form, third person, past, participle.
VERBS = [("see", "sees", "saw", "seen"), ("paint", "paints", "painted", "painted"), ("like", "likes", "liked", "liked"),
         ("find", "finds", "found", "found"), ("buy", "buys", "bought", "bought"), ("take", "takes", "took", "taken"),
         ("need", "needs", "needed", "needed"), ("draw", "draws", "drew", "drawn"), ("hide", "hides", "hid", "hidden"),
         ("choose", "chooses", "chose", "chosen")]
TIMES = ["every day", "in the morning", "on Monday", "today"]
MODALS = ["can", "will", "must", "should"]


class Clause:
    """A clause as separate slots, so that a corruption can break exactly one of them."""

    def __init__(self, rng):
        self.plural = rng.random() < 0.5
        self.subject = rng.choice(PEOPLE)
        self.subject_determiner = rng.choice(["the", "these", "those", "some"] if self.plural else ["the", "this", "that", "a"])
        self.place = rng.choice(PLACES) if rng.random() < 0.5 else ""
        self.verb = rng.choice(VERBS)
        self.tense = rng.choice(["present", "present", "past", "modal", "perfect", "negative"])
        self.modal = rng.choice(MODALS)
        self.object_plural = rng.random() < 0.5
        self.thing = rng.choice(THINGS)
        self.object_determiner = rng.choice(["the", "these", "some", "two"] if self.object_plural else ["the", "this", "a", "every"])
        self.time = rng.choice(TIMES) if rng.random() < 0.3 else ""

    @property
    def key(self):
        """The sound sentence names the item: all its broken forms stay on the same side of the split."""
        return " ".join(word for slot in self.slots() for word in slot)

    def article(self, determiner, noun):
        if determiner != "a":
            return determiner
        return "an" if noun[0] in "aeio" else "a"

    def verb_group(self, plural):
        base, third, past, participle = self.verb
        return {
            "present": [base if plural else third],
            "past": [past],
            "modal": [self.modal, base],
            "perfect": ["have" if plural else "has", participle],
            "negative": ["do" if plural else "does", "not", base],
        }[self.tense]

    def slots(self):
        """Subject, place, verb group, object, time: each a list of words."""
        subject, thing = self.subject[self.plural], self.thing[self.object_plural]
        return [
            [self.article(self.subject_determiner, subject), subject],
            self.place.split(),
            self.verb_group(self.plural),
            [self.article(self.object_determiner, thing), *thing.split()],
            self.time.split(),
        ]


def _agreement(clause, slots, rng):
    if clause.tense not in ("present", "perfect", "negative"):
        return None
    slots[2] = clause.verb_group(not clause.plural)
    return slots


def _verb_form(clause, slots, rng):
    base, third, past, participle = clause.verb
    if clause.tense == "modal":
        slots[2] = [clause.modal, rng.choice([third, past])]
    elif clause.tense == "perfect":
        slots[2] = [slots[2][0], rng.choice([base, third])]
    elif clause.tense == "negative":
        slots[2] = [*slots[2][:2], rng.choice([third, past])]
    else:
        return None
    return slots


def _determiner_number(clause, slots, rng):
    if rng.random() < 0.5:
        slots[0][0] = rng.choice(["this", "that", "a"] if clause.plural else ["these", "those", "two"])
    else:
        slots[3][0] = rng.choice(["this", "a", "every"] if clause.object_plural else ["these", "two", "those"])
    return slots


def _missing_determiner(clause, slots, rng):
    if clause.plural:
        return None
    return [slots[0][1:], *slots[1:]]


def _missing_verb(clause, slots, rng):
    slots[2] = slots[2][:-1] if clause.tense in ("modal", "perfect") else []
    return slots


def _doubled_word(clause, slots, rng):
    slot = rng.choice([0, 2, 3])
    slots[slot] = [slots[slot][0], *slots[slot]]
    return slots


def _word_order(clause, slots, rng):
    how = rng.randrange(3)
    if how == 0:
        slots[0] = slots[0][::-1]
    elif how == 1:
        slots[3] = [*slots[3][1:], slots[3][0]]
    else:
        slots = [slots[0], slots[1], slots[3], slots[2], slots[4]]
    return slots


BREAKS = {"agreement": _agreement, "verbform": _verb_form, "determiner": _determiner_number,
          "nodeterminer": _missing_determiner, "noverb": _missing_verb, "doubled": _doubled_word, "order": _word_order}

# Breaks that make the same broken sentence out of several sound ones.  Such a sentence may stand in training text by way of
# another sound sentence, so it is never asked in a held-out part.
SHARED_BREAKS = {"determiner", "nodeterminer", "noverb"}


def draw(rng: random.Random) -> Item:
    """One sentence, sound or broken in one place."""
    clause = Clause(rng)
    label, kind = rng.randrange(2), "sound"
    slots = clause.slots()
    if label == 0:
        broken = None
        while broken is None:
            kind = rng.choice(list(BREAKS))
            broken = BREAKS[kind](clause, clause.slots(), rng)
        slots = broken
    text = " ".join(word for slot in slots for word in slot)
    sentence = text[0].upper() + text[1:] + "."
    word = ["unacceptable", "acceptable"][label]
    raw = rng.choice([f"{sentence}\ngrammar: {word}", f"{sentence} => {word}"])
    return Item(
        skill="cola", template=kind, composition="", parameters=clause.key, question=sentence, response=f" {word}", raw=raw,
        raw_answer=rng.choice([f"It is {word}.", f"grammar: {word}", f"The sentence: {word}."]),
        row={"sentence": sentence, "label": label},
    )
