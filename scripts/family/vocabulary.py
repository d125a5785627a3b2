"""Closed word lists: a model of three million parameters can own a few hundred words, not a language."""

NAMES = [
    ("Ana", "She"), ("Ben", "He"), ("Clara", "She"), ("David", "He"), ("Emma", "She"), ("Felix", "He"),
    ("Grace", "She"), ("Hugo", "He"), ("Iris", "She"), ("Jonas", "He"), ("Kate", "She"), ("Leo", "He"),
    ("Mia", "She"), ("Noah", "He"), ("Olga", "She"), ("Paul", "He"), ("Rosa", "She"), ("Sam", "He"),
]

GOODS = ["apples", "pens", "books", "coins", "cards", "eggs", "shells", "stamps", "roses", "marbles", "cakes", "nuts"]

# Words of the instruction skill.  All lower case, all plain ASCII, none is a word of the instruction frames.
WORDS = (
    "apple baker bird blue boat candle castle cat chair circle city coat corn cup dance dog door eagle earth egg farm "
    "fire fish flower forest fox frog gold green hat hill honey horse house ice jar king kite lake lamp leaf lemon "
    "lion moon mouse music north ocean owl paper pearl rain ring river road salt ship snow star stone table tiger "
    "tree wolf"
).split()
