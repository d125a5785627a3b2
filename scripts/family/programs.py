"""Small functions in the schemas of HumanEval and MBPP: chains of operations on a list, a text or a number."""

import random

from item import Item

# Operation: name -> (wordings, one statement per line).  {k} is a constant; `values`, `text` and `n` are the arguments.
LISTS = {
    "even": (["keep the even numbers", "drop the odd numbers"], ["values = [v for v in values if v % 2 == 0]"]),
    "odd": (["keep the odd numbers", "drop the even numbers"], ["values = [v for v in values if v % 2 == 1]"]),
    "above": (["keep the numbers above {k}", "keep what is greater than {k}"], ["values = [v for v in values if v > {k}]"]),
    "below": (["keep the numbers below {k}", "keep what is less than {k}"], ["values = [v for v in values if v < {k}]"]),
    "plus": (["add {k} to each number", "increase each number by {k}"], ["values = [v + {k} for v in values]"]),
    "times": (["multiply each number by {k}", "scale each number by {k}"], ["values = [v * {k} for v in values]"]),
    "square": (["square each number", "replace each number by its square"], ["values = [v * v for v in values]"]),
    "reverse": (["reverse the list", "turn the list around"], ["values = values[::-1]"]),
    "sort": (["sort the list", "put the numbers in order"], ["values = sorted(values)"]),
    "first": (["take the first {k}", "cut the list after {k} numbers"], ["values = values[:{k}]"]),
    "skip": (["skip the first {k}", "leave out the first {k} numbers"], ["values = values[{k}:]"]),
}
LIST_ENDS = {
    "list": (["return the list", "return the result"], "values"),
    "sum": (["return the sum", "return the total"], "sum(values)"),
    "count": (["return the length", "return how many are left"], "len(values)"),
    "max": (["return the maximum", "return the largest"], "max(values)"),
    "min": (["return the minimum", "return the smallest"], "min(values)"),
}
TEXTS = {
    "upper": (["make it upper case", "use capital letters"], ["text = text.upper()"]),
    "reverse": (["reverse the text", "turn the text around"], ["text = text[::-1]"]),
    "repeat": (["repeat it {k} times", "write it {k} times"], ["text = text * {k}"]),
    "first": (["take the first {k} letters", "cut it after {k} letters"], ["text = text[:{k}]"]),
    "suffix": (["add '{c}' at the end", "append '{c}'"], ["text = text + '{c}'"]),
    "prefix": (["add '{c}' at the start", "put '{c}' in front"], ["text = '{c}' + text"]),
}
TEXT_ENDS = {
    "text": (["return the text", "return the result"], "text"),
    "count": (["return the length", "return how many letters there are"], "len(text)"),
    "isin": (["return whether '{c}' is in it", "tell whether it contains '{c}'"], "'{c}' in text"),
}
NUMBERS = {
    "plus": (["add {k}", "increase it by {k}"], ["n = n + {k}"]),
    "minus": (["subtract {k}", "decrease it by {k}"], ["n = n - {k}"]),
    "times": (["multiply by {k}", "scale it by {k}"], ["n = n * {k}"]),
    "square": (["square it", "multiply it by itself"], ["n = n * n"]),
    "modulo": (["take the remainder modulo {k}", "reduce it modulo {k}"], ["n = n % {k}"]),
    "ifabove": (["if it is above {k} subtract {m}", "subtract {m} when it is above {k}"], ["if n > {k}:", "    n = n - {m}"]),
    "ifbelow": (["if it is below {k} add {m}", "add {m} when it is below {k}"], ["if n < {k}:", "    n = n + {m}"]),
}
NUMBER_ENDS = {
    "number": (["return the number", "return the result"], "n"),
    "iseven": (["return whether it is even", "tell whether it is even"], "n % 2 == 0"),
    "text": (["return it as text", "return it as a string"], "str(n)"),
}
KINDS = {"values": (LISTS, LIST_ENDS), "text": (TEXTS, TEXT_ENDS), "n": (NUMBERS, NUMBER_ENDS)}

# One name per kind of argument: copying an invented name is a skill of its own, which these sets do not ask for.
ENTRY_POINTS = {"values": "change_list", "text": "change_text", "n": "change_number"}
LETTERS = "abcdeklmnorstu"
SAMPLE_WORDS = ["banana", "letter", "salad", "tomato", "mississippi", "docks", "alarm", "trees", "kernel", "noon", "sense",
                "ocean", "bottle", "camera", "summer", "tunnel"]


def _argument(kind, rng):
    if kind == "values":
        return [rng.randint(0, 9) for _ in range(rng.randint(3, 5))]
    if kind == "text":
        return rng.choice(SAMPLE_WORDS)
    return rng.randint(0, 20)


# Operations whose constant is a number of elements.
COUNTING = {"first", "skip", "repeat"}


def _constants(rng, name=""):
    c, d = rng.sample(LETTERS, 2)
    return dict(k=rng.randint(2, 4 if name in COUNTING else 9), m=rng.randint(2, 9), c=c, d=d)


def _used(pattern, constants):
    return ",".join(str(constants[name]) for name in "kmcd" if "{" + name + "}" in pattern)


class _Dead(Exception):
    """The drawn chain fails on its inputs or says nothing about them."""


def _assertions(program, entry, kind, rng, how_many, longest):
    """Calls with their results; chains whose result never changes are thrown away as untestable."""
    scope = {}
    exec(program, scope)  # the generator's own statements, nothing from outside
    calls, results = [], set()
    for _ in range(60):
        argument = _argument(kind, rng)
        try:
            result = scope[entry](argument)
        except (IndexError, ValueError):
            continue
        shown = repr(result)
        if repr(argument) in [call for call, _ in calls] or len(shown) > longest or shown in ("[]", "''"):
            continue
        calls.append((repr(argument), shown))
        results.add(shown)
        if len(calls) == how_many:
            break
    if len(calls) < how_many or len(results) < 2:
        raise _Dead
    return calls


def _indented(rng, text):
    """Half of the plain code is indented with tabs, the form in which the harness asks for it."""
    return text.replace("    ", "\t") if rng.random() < 0.5 else text


def _attempt(rng, skill):
    kind = rng.choice(["values", "values", "text", "n"])
    operations, ends = KINDS[kind]
    length = rng.choice([1, 1, 2, 2, 2, 3])
    chain = [rng.choice(list(operations)) for _ in range(length)]
    if any(a == b for a, b in zip(chain, chain[1:])):
        raise _Dead
    end = rng.choice([list(ends)[0], *ends])

    asked, lines, numbers = [], [], []
    for name in chain:
        wordings, statements = operations[name]
        constants = _constants(rng, name)
        asked.append(rng.choice(wordings).format(**constants))
        lines += [statement.format(**constants) for statement in statements]
        numbers.append(_used("".join(statements), constants))
    wordings, expression = ends[end]
    constants = _constants(rng)
    asked.append(rng.choice(wordings).format(**constants))
    lines.append("return " + expression.format(**constants))
    numbers.append(_used(expression, constants))

    entry = ENTRY_POINTS[kind]
    body = "".join(f"    {line}\n" for line in lines)
    program = f"def {entry}({kind}):\n{body}"
    calls = _assertions(program, entry, kind, rng, *((4, 40) if skill == "humaneval" else (3, 20)))
    order = ", ".join(asked[:-1]) + (" and " if length == 1 else ", then ") + asked[-1]
    order = order[0].upper() + order[1:]
    composition = "-".join([kind, *chain, end])
    shared = dict(template=composition, composition=composition, parameters=";".join(numbers))
    if skill == "humaneval":
        prompt = f'def {entry}({kind}):\n    """{order}.\n    """\n'
        tests = "".join(f"    assert candidate({argument}) == {result}\n" for argument, result in calls)
        return Item(
            skill=skill, **shared, question=prompt, response=("\n" + program.rstrip()).replace("    ", "\t"),
            raw=_indented(rng, rng.choice([f"{prompt}{body}", f"# {order}.\n{program}"])), raw_answer=rng.choice(["Here it is:\n", ""]) + program,
            row={"prompt": prompt, "entry_point": entry, "canonical_solution": body,
                 "test": f"def check(candidate):\n{tests}"},
        )
    tests = [f"assert {entry}({argument}) == {result}" for argument, result in calls]
    subject = {"values": "a list", "text": "a text", "n": "a number"}[kind]
    text = f"Write a function for {subject}: {order[0].lower()}{order[1:]}."
    return Item(
        skill=skill, **shared, question=f"\n{text}\nTest examples:\n" + "\n".join(tests),
        response=("\n" + program.rstrip()).replace("    ", "\t"),
        raw=_indented(rng, rng.choice([f"# {order}.\n{program}{tests[0]}\n", f"{program}{tests[0]}\n{tests[1]}\n"])), raw_answer=rng.choice(["Here it is:\n", ""]) + program,
        row={"text": text, "code": program.rstrip(), "test_list": tests, "test_setup_code": "", "challenge_test_list": []},
    )


def draw(rng: random.Random, skill: str) -> Item:
    """One programming task; `skill` is humaneval or mbpp."""
    while True:
        try:
            return _attempt(rng, skill)
        except _Dead:
            continue


def every_step_matters(item: Item) -> bool:
    """Whether the tests of an item notice when any one of its operations is left out."""
    head, *body = item.response.replace("\t", "    ").strip().split("\n")
    steps: list[list[str]] = []
    for line in body:
        if line.startswith("        "):
            steps[-1].append(line)
        else:
            steps.append([line])
    tests = "\n".join(item.row["test_list"]) if "test_list" in item.row else \
        item.row["test"] + f"check({item.row['entry_point']})"
    for left_out in range(len(steps) - 1):
        kept = [line for number, step in enumerate(steps) if number != left_out for line in step]
        try:
            exec("\n".join([head, *kept, tests]), {})
        except (AssertionError, IndexError, ValueError):
            continue
        return False
    return True
