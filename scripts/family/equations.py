"""Short competition-style questions in the schema of MATH: one LaTeX answer in one \\boxed{}."""

import math
import random

from item import Item

LARGEST = 99


class _Dead(Exception):
    """The drawn numbers leave the small range that the family computes in."""


def _checked(number: int) -> int:
    if not 0 <= number <= LARGEST:
        raise _Dead
    return number


def _product(a: int, b: int) -> int:
    if min(a, b) > 3 and max(a, b) > 12:
        raise _Dead
    return _checked(a * b)


# A one-step function of x: name -> (LaTeX, value, how the value is computed in words of the solution).
def _function(kind: str, rng: random.Random):
    k, m = rng.randint(2, 9), rng.randint(1, 9)
    if kind == "plus":
        k = rng.randint(1, 20)
        return f"x + {k}", (k,), lambda x: (_checked(x + k), f"{x} + {k} = {x + k}.")
    if kind == "minus":
        k = rng.randint(1, 20)
        return f"x - {k}", (k,), lambda x: (_checked(x - k), f"{x} - {k} = {x - k}.")
    if kind == "times":
        return f"{k}x", (k,), lambda x: (_product(k, x), f"{k} * {x} = {k * x}.")
    if kind == "square":
        return "x^2", (), lambda x: (_product(x, x), f"{x} * {x} = {x * x}.")
    if kind == "line":
        return f"{k}x + {m}", (k, m), lambda x: (
            _checked(_product(k, x) + m), f"{k} * {x} = {k * x}. {k * x} + {m} = {k * x + m}.")
    return f"{k}(x + {m})", (k, m), lambda x: (
        _product(k, x + m), f"{x} + {m} = {x + m}. {k} * {x + m} = {k * (x + m)}.")


FUNCTIONS = ["plus", "minus", "times", "square", "line", "scaled"]


def _nested(rng):
    kinds = [rng.choice(FUNCTIONS) for _ in range(2)]
    parts = [_function(kind, rng) for kind in kinds]
    x = rng.randint(1, 12)
    names = ["f", "g"]
    given = " and ".join(f"${name}(x) = {latex}$" for name, (latex, _, _) in zip(names, parts))
    inner = str(x)
    for name in names:
        inner = f"{name}({inner})"
    steps, value = [], x
    for _, _, apply in parts:
        value, step = apply(value)
        steps.append(step)
    wording = rng.choice([f"Let {given}. Find ${inner}$.", f"If {given}, what is ${inner}$?"])
    numbers = ",".join(str(n) for _, given_numbers, _ in parts for n in given_numbers)
    return "nested-" + "-".join(kinds), True, f"{x};{numbers}", "Algebra", len(kinds) + 1, wording, " ".join(steps), str(value)


def _linear(rng):
    a, x, b = rng.randint(2, 9), rng.randint(2, 9), rng.randint(1, 20)
    sign = rng.choice("+-")
    total = _checked(a * x + b if sign == "+" else a * x - b)
    back = f"{total} {'-' if sign == '+' else '+'} {b} = {a * x}."
    wording = rng.choice([f"Solve ${a}x {sign} {b} = {total}$ for $x$.", f"What is $x$ if ${a}x {sign} {b} = {total}$?"])
    return "linear" + sign, False, f"{a},{b},{x}", "Algebra", 2, wording, f"{back} {a * x} / {a} = {x}.", str(x)


def _evaluate(rng):
    shape = rng.choice(["times-plus", "times-minus", "sum-times", "two-products", "difference-times", "square-plus"])
    a, b, c, d = (rng.randint(2, 9) for _ in range(4))
    if shape == "times-plus":
        c = rng.randint(2, 30)
        latex, value = rf"{a} \cdot {b} + {c}", a * b + c
        steps = f"{a} * {b} = {a * b}. {a * b} + {c} = {value}."
    elif shape == "times-minus":
        latex, value = rf"{a} \cdot {b} - {c}", a * b - c
        steps = f"{a} * {b} = {a * b}. {a * b} - {c} = {value}."
    elif shape == "sum-times":
        latex, value = rf"({a} + {b}) \cdot {c}", _product(a + b, c)
        steps = f"{a} + {b} = {a + b}. {a + b} * {c} = {value}."
    elif shape == "difference-times":
        if a <= b:
            raise _Dead
        latex, value = rf"({a} - {b}) \cdot {c} + {d}", (a - b) * c + d
        steps = f"{a} - {b} = {a - b}. {a - b} * {c} = {(a - b) * c}. {(a - b) * c} + {d} = {value}."
    elif shape == "square-plus":
        latex, value = rf"{a}^2 + {b} \cdot {c}", a * a + b * c
        steps = f"{a} * {a} = {a * a}. {b} * {c} = {b * c}. {a * a} + {b * c} = {value}."
    else:
        latex, value = rf"{a} \cdot {b} + {c} \cdot {d}", a * b + c * d
        steps = f"{a} * {b} = {a * b}. {c} * {d} = {c * d}. {a * b} + {c * d} = {value}."
    _checked(value)
    wording = rng.choice([f"Evaluate ${latex}$.", f"Compute ${latex}$.", f"What is the value of ${latex}$?"])
    return "evaluate-" + shape, False, latex, "Prealgebra", 2, wording, steps, str(value)


def _fractions(rng):
    a, b, c = rng.randint(1, 9), rng.randint(1, 9), rng.randint(3, 19)
    sign = rng.choice("+-")
    top = a + b if sign == "+" else a - b
    if top < 1 or math.gcd(top, c) > 1:
        raise _Dead
    latex = rf"\frac{{{a}}}{{{c}}} {sign} \frac{{{b}}}{{{c}}}"
    wording = rng.choice([f"Compute ${latex}$.", f"What is ${latex}$?"])
    return "fractions" + sign, False, f"{a},{b},{c}", "Prealgebra", 2, wording, f"{a} {sign} {b} = {top}.", rf"\frac{{{top}}}{{{c}}}"


def _remainder(rng):
    n, d = rng.randint(10, 60), rng.randint(3, 9)
    q = n // d
    wording = rng.choice([f"What is the remainder when {n} is divided by {d}?", f"Find the remainder of {n} divided by {d}."])
    return "remainder", False, f"{n},{d}", "Number Theory", 2, wording, f"{d} * {q} = {d * q}. {n} - {d * q} = {n - d * q}.", str(n - d * q)


def _sequence(rng):
    start, step, k = rng.randint(1, 12), rng.randint(2, 6), rng.randint(4, 7)
    shown = ", ".join(str(start + i * step) for i in range(3))
    value = _checked(start + (k - 1) * step)
    wording = rng.choice([f"What is term number {k} of the arithmetic sequence {shown}, ...?",
                          f"An arithmetic sequence begins {shown}. Find term {k}."])
    steps = (f"{start + step} - {start} = {step}. {k} - 1 = {k - 1}. {k - 1} * {step} = {(k - 1) * step}. "
             f"{start} + {(k - 1) * step} = {value}.")
    return "sequence", False, f"{start},{step},{k}", "Algebra", 4, wording, steps, str(value)


def _expand(rng):
    a, b = rng.randint(1, 9), rng.randint(1, 9)
    k = rng.choice([1, 1, 2, 3])
    first = "x" if k == 1 else f"{k}x"
    if k == 1:
        a, b = min(a, b), max(a, b)
    latex = f"({first} + {a})(x + {b})"
    middle = k * b + a
    lead = "x^2" if k == 1 else f"{k}x^2"
    answer = f"{lead} + {middle}x + {a * b}"
    times = f"{k} * {b} = {k * b}. {k * b} + {a} = {middle}." if k > 1 else f"{a} + {b} = {middle}."
    wording = rng.choice([f"Expand ${latex}$.", f"Write ${latex}$ without brackets."])
    return "expand", False, f"{k},{a},{b}", "Intermediate Algebra", 3, wording, f"{times} {a} * {b} = {a * b}.", answer


FORMS = [_nested, _nested, _linear, _evaluate, _evaluate, _fractions, _remainder, _sequence, _expand]


def draw(rng: random.Random) -> Item:
    """One question; draws whose numbers get too large are thrown away."""
    while True:
        try:
            template, composed, numbers, topic, level, question, steps, answer = rng.choice(FORMS)(rng)
        except _Dead:
            continue
        raw_answer = f"{steps} {rng.choice(['Result:', 'So it is', 'This gives'])} ${answer}$."
        return Item(
            skill="math",
            template=template,
            composition=template if composed else "",
            parameters=numbers if composed else f"{template};{numbers}",
            question=question,
            response=f" {steps} The answer is: {answer}",
            raw=f"{rng.choice(['Exercise: ', 'Q: ', ''])}{question}\n{raw_answer}",
            raw_answer=raw_answer,
            row={"problem": question, "level": f"Level {level}", "type": topic,
                 "solution": f"{steps} The answer is $\\boxed{{{answer}}}$."},
        )
