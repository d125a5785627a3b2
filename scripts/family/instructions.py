"""Instructions that can be checked: by construction exactly one output is right."""

import random

import split
from item import Item
from vocabulary import WORDS

NUMBER_WORDS = {1: "first", 2: "second", 3: "third", 4: "fourth", 5: "fifth"}
PHRASES = ["that is all", "the end", "good night", "see you soon", "thank you", "all done"]


def _initials(words):
    return [word[0] for word in words]


# Operations that turn a list of words into a list of words: name -> (how it is asked for, function).
LIST_OPERATIONS = {
    "reverse": ("reverse the order of the words", lambda words: words[::-1]),
    "upper": ("write the words in capital letters", lambda words: [word.upper() for word in words]),
    "sort": ("sort the words alphabetically", sorted),
    "initials": ("keep just the initial of each word", _initials),
    "droplast": ("remove the last word", lambda words: words[:-1]),
    "dropfirst": ("remove the first word", lambda words: words[1:]),
    "swap": ("swap the first and the last word", lambda words: [words[-1], *words[1:-1], words[0]]),
    "twice": ("write each word twice", lambda words: [word for word in words for _ in range(2)]),
}
# How the resulting words are put on the page.
LAYOUTS = {
    "plain": ("", " ".join),
    "commas": ("put commas between the words", ", ".join),
    "bullets": ("give a bulleted list", lambda words: "\n".join(f"- {word}" for word in words)),
    "numbers": ("give a numbered list", lambda words: "\n".join(f"{i}. {word}" for i, word in enumerate(words, 1))),
    "dashes": ("put dashes between the words", "-".join),
}


def _sentence(text):
    return text[0].upper() + text[1:]


def _chain(rng):
    operations = rng.sample(list(LIST_OPERATIONS), rng.choice([0, 0, 1, 1, 1, 1, 1, 2]))
    layout = "plain" if operations and rng.random() < 0.7 else rng.choice(list(LAYOUTS))
    if not operations and layout == "plain":
        operations = [rng.choice(list(LIST_OPERATIONS))]
    words = rng.sample(WORDS, rng.choice([2, 3, 3, 4]))
    done = list(words)
    for operation in operations:
        if len(done) < 2 and operation in ("droplast", "dropfirst", "swap"):
            return None
        done = LIST_OPERATIONS[operation][1](done)
    if len(done) > 6 or done == words and layout == "plain":
        return None
    asked = [LIST_OPERATIONS[operation][0] for operation in operations]
    if layout != "plain":
        asked.append(LAYOUTS[layout][0])
    if len(asked) == 1:
        order = asked[0]
    else:
        order = ", ".join(asked[:-1]) + rng.choice([" and then ", ", then ", " and "]) + asked[-1]
    shown = " ".join(words)
    text = rng.choice([f"{_sentence(order)}: {shown}", f"Take these words: {shown}. {_sentence(order)}."])
    template = "-".join(["words", *operations, layout])
    return template, len(asked) > 1, " ".join(words), text, LAYOUTS[layout][1](done)


def _pick(rng):
    words = rng.sample(WORDS, rng.choice([3, 4, 5]))
    shown = " ".join(words)
    k = rng.randint(1, len(words))
    place = "last" if k == len(words) else NUMBER_WORDS[k]
    text = rng.choice([f"What is the {place} word of this line: {shown}", f"Give the {place} word: {shown}"])
    return "pick" + str(k) + ("last" if place == "last" else ""), False, shown, text, words[k - 1]


def _after(rng):
    words = rng.sample(WORDS, rng.choice([4, 5]))
    shown = " ".join(words)
    k = rng.randrange(len(words) - 1)
    if rng.random() < 0.5:
        return "after", False, shown + f";{k}", f"Which word comes after {words[k]}: {shown}", words[k + 1]
    return "before", False, shown + f";{k}", f"Which word comes before {words[k + 1]}: {shown}", words[k]


def _count(rng):
    words = rng.sample(WORDS, rng.randint(2, 7))
    shown = " ".join(words)
    text = rng.choice([f"How many words are here: {shown}", f"Count the words: {shown}"])
    return "count", False, shown, text, str(len(words))


def _repeat(rng):
    words, n = rng.sample(WORDS, rng.choice([1, 2])), rng.randint(2, 5)
    shown = " ".join(words)
    text = rng.choice([f"Write this {n} times: {shown}", f"Repeat {n} times: {shown}"])
    return "repeat", False, f"{shown};{n}", text, " ".join([shown] * n)


def _replace(rng):
    words = rng.sample(WORDS, rng.choice([4, 5, 6]))
    shown, new = words[:-1], words[-1]
    k = rng.randrange(len(shown))
    text = rng.choice([f"Replace {shown[k]} with {new}: {' '.join(shown)}",
                       f"Put {new} in the place of {shown[k]}: {' '.join(shown)}"])
    return "replace", False, f"{' '.join(words)};{k}", text, " ".join(new if i == k else w for i, w in enumerate(shown))


def _remove(rng):
    words = rng.sample(WORDS, rng.choice([3, 4, 5]))
    shown = " ".join(words)
    k = rng.randrange(len(words))
    text = rng.choice([f"Remove the word {words[k]}: {shown}", f"Copy this line without {words[k]}: {shown}"])
    return "remove", False, f"{shown};{k}", text, " ".join(w for i, w in enumerate(words) if i != k)


def _ending(rng):
    words, phrase = rng.sample(WORDS, rng.choice([2, 3, 4])), rng.choice(PHRASES)
    shown = " ".join(words)
    if rng.random() < 0.5:
        return "endwith", False, f"{shown};{phrase}", f"Copy these words and end with '{phrase}': {shown}", f"{shown} {phrase}"
    return "beginwith", False, f"{shown};{phrase}", f"Copy these words and begin with '{phrase}': {shown}", f"{phrase} {shown}"


FORMS = [_chain, _chain, _chain, _chain, _chain, _chain, _pick, _after, _count, _repeat, _replace, _replace, _remove, _ending]
RAW_FORMS = ["{q}\n{a}", "Task: {q}\nResult: {a}", "{q} => {a}", "* {q}\n{a}"]


def draw(rng: random.Random) -> Item:
    """One instruction with its only right output."""
    drawn = None
    while drawn is None:
        drawn = rng.choice(FORMS)(rng)
    template, composed, words, text, output = drawn
    return Item(
        skill="alpaca_eval",
        template=template,
        composition=template if composed else "",
        parameters=words,
        question=text,
        response=f" {output}",
        raw=rng.choice(RAW_FORMS).format(q=text, a=output),
        raw_answer=rng.choice(["Here it is: {a}", "{a} - done", "Sure: {a}", "Result: {a}", "{a}"]).format(a=output),
        row={"instruction": text, "output": output, "generator": "reference", "dataset": "tiny"},
    )


def drill(rng: random.Random) -> str:
    """One line of words, copied and changed in several ways.

    Nearly every word here can be told from the words before it.  This is where the base learns to copy; the sparse
    answers of the instructions alone take far longer to teach it.
    """
    words = None
    while words is None or split.part_of("", " ".join(words)) != "train":
        words = rng.sample(WORDS, rng.randint(2, 7))
    shown = " ".join(words)
    lines = [f"words: {shown}"]
    if rng.random() < 0.5:
        lines += [f"copy: {shown}"] * rng.randint(1, 4)
    names = rng.sample(["reverse", "upper", "sort", "initials", "swap", "twice", "droplast", "dropfirst"], rng.randint(1, 4))
    for name in names:
        lines.append(f"{name}: {' '.join(LIST_OPERATIONS[name][1](words))}")
    lines += [f"{layout}: {LAYOUTS[layout][1](words)}" for layout in rng.sample(["commas", "dashes", "bullets"], rng.choice([0, 1]))]
    return "\n".join(lines)
