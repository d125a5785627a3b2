# Judges one program by LiveCodeBench's rules, inside the sandbox. Runs as the candidate: it prepares the program and
# gives back the function that takes the tests, so that no test is in reach while the program's module body runs.
#
# A program with a function's name is called with the arguments of each test. Any other is wrapped into a function,
# which is run once for each test with the test's input as standard input.
def judge(source, function, seconds):
    import ast, builtins, io, json, signal, sys, time, types
    from decimal import Decimal

    parse, loads, unparse, string, data = ast.parse, json.loads, ast.unparse, io.StringIO, io.BytesIO
    alarm, timer, processor, wall = signal.setitimer, signal.ITIMER_REAL, time.process_time, time.monotonic
    began = [0.0, 0.0]

    class TimeoutException(Exception):
        pass

    class WrongAnswer(Exception):
        pass

    # The reference's limit is wall time. Here it is processor time, and four times as much wall time, so that a busy
    # machine does not flip verdicts.
    def ring(number, frame):
        left = seconds - (processor() - began[0])
        if left <= 0 or wall() - began[1] >= 4 * seconds:
            raise TimeoutException
        alarm(timer, max(left, 0.02))

    class Timed:
        def __enter__(self):
            began[:] = processor(), wall()
            alarm(timer, seconds)

        def __exit__(self, *error):
            alarm(timer, 0)

    def short(value):
        text = value if isinstance(value, str) else repr(value)
        return text if len(text) <= 200 else text[:100] + "…" + text[-100:]

    def wrong(number, got, wanted):
        raise WrongAnswer(f"test {number}: {short(got)!r} instead of {short(wanted)!r}")

    # What a person would have at the head of the file; the stars in this order.
    modules = (
        "string re datetime collections heapq bisect copy math random statistics itertools functools operator io sys json"
    ).split()
    head = "".join(f"from {name} import *\n" for name in [*modules, "builtins", "typing"])
    head += "".join(f"import {name}\n" for name in modules) + "sys.setrecursionlimit(50000)\n"

    def opened(text):
        # The body of a closing `if __name__ == "__main__":` is part of the program.
        try:
            *before, last = parse(text).body
            if isinstance(last, ast.If) and unparse(last.test) == "__name__ == '__main__'":
                return unparse(before) + "\n" + unparse(last.body)
        except BaseException:
            pass
        return text

    def wrapped(text):
        try:
            body = parse(text).body
            imports = [s for s in body if isinstance(s, (ast.Import, ast.ImportFrom))]
            rest = [s for s in body if not isinstance(s, (ast.Import, ast.ImportFrom))]
            nothing = ast.arguments(posonlyargs=[], args=[], kwonlyargs=[], kw_defaults=[], defaults=[])
            whole = ast.FunctionDef(name="wrapped_function", args=nothing, body=rest, decorator_list=[], lineno=-1)
            return f"{head}\n{unparse(imports)}\n{unparse(whole)}"
        except Exception:
            return text

    def lines(text):
        return [line.strip() for line in text.strip().split("\n")]

    def numbers(line):
        try:
            return [Decimal(word) for word in line.split()]
        except Exception:
            return None

    # Lines are equal as texts or, word by word, as numbers; there is no tolerance.
    def same(got, wanted):
        if got == wanted:
            return True
        got, wanted = numbers(got), numbers(wanted)
        return got is not None and wanted is not None and got == wanted

    def by_calls(tests):
        tests = [([loads(line) for line in given.split("\n")], loads(wanted)) for given, wanted in tests]
        for number, (given, wanted) in enumerate(tests, 1):
            with Timed():
                got = method(*given)
            if isinstance(got, tuple):
                got = list(got)
            if not got == wanted:
                wrong(number, got, wanted)

    def by_streams(tests):
        for number, (given, wanted) in enumerate(tests, 1):
            rest = iter(given.split("\n"))
            stdin, stdout = string(given), string()
            stdin.readline, stdin.read = lambda *_: next(rest), lambda *_: given
            stdin.readlines, stdin.buffer = lambda *_: given.split("\n"), data(given.encode("utf-8"))
            stdout.close = lambda _: 1
            before = sys.stdin, sys.stdout
            sys.stdin, sys.stdout = stdin, stdout
            try:
                with Timed():
                    method()
            except SystemExit:
                pass
            finally:
                sys.stdin, sys.stdout = before
            got = stdout.getvalue()
            ours, theirs = lines(got), lines(wanted)
            if len(ours) != len(theirs) or not all(map(same, ours, theirs)):
                wrong(number, got, wanted)

    def leave(code=None):
        raise SystemExit(code)

    builtins.exit = leave
    sys.stdin = string()
    if hasattr(sys, "set_int_max_str_digits"):
        sys.set_int_max_str_digits(50000)
    signal.signal(signal.SIGALRM, ring)
    if function is None:
        program, function, run = wrapped(opened(source)), "wrapped_function", by_streams
    else:
        program, run = f"{head}\n\n{source}", by_calls
    module = types.ModuleType("tmp_sol", "")
    with Timed():
        exec(program, module.__dict__)
        holder = module.Solution() if "class Solution" in program else module
    method = getattr(holder, function)
    return lambda tests: run(loads(tests))
